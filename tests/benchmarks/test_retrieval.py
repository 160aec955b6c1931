"""Retrieval measured: work of a step, unseen labels, memory, curve; no figure of a real model."""

import gzip
import json
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.metrics.pairwise import cosine_similarity
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import _retrieval_curve as curve
from benchmarks import _retrieval_memory as memory
from benchmarks import _retrieval_speed as speed
from benchmarks import _retrieval_zero_shot as zero_shot
from benchmarks import retrieval
from benchmarks._machine import peak_memory
from benchmarks._models import MODELS
from benchmarks._processes import apart
from benchmarks._retrieval_table import format_retrieval
from benchmarks._runs import TextSet
from skrr2qc import ClassCenterHead, LabelSpace, RCPTEncoder, RetrievalRerankClassifier
from skrr2qc.modules import LabelHead, TextTower
from skrr2qc.text import TokenBatches
from tests.benchmarks.test_compare import cells
from tests.reference.tiny_bert import WORDS, save_tiny_bert

WIDTH, INNER, N_LAYERS, N_LABELS = 16, 24, 4, 3  # of the tiny network, and of the texts
NAMES = ["area of a circle", "mean of a sample", "root of an equation", "square"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny-bert")
    save_tiny_bert(path)
    return str(path)


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, size=n)) for n in rng.integers(2, 15, size=30)]


@pytest.fixture
def Y(texts):
    return sp.csr_matrix(np.eye(N_LABELS, dtype=np.float32)[np.arange(len(texts)) % N_LABELS])


@pytest.fixture
def head(folder, texts):
    encoder = FrozenEstimator(RCPTEncoder(folder, n_epochs=0, device="cpu").fit(texts))
    return ClassCenterHead(
        encoder, n_frozen_layers=2, batch_size=3, n_epochs=1, device="cpu", random_state=0
    )


def small(seed, encoder, labels):
    """The classifier, small enough for a test."""
    return RetrievalRerankClassifier(
        RCPTEncoder(hidden_size=16, n_epochs=0), ClassCenterHead(n_epochs=1), labels=labels,
        random_state=seed,
    )  # fmt: skip


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A set of four labels, one of which no training text has; it names the group of it."""
    root = tmp_path / "data"
    (root / "toy").mkdir(parents=True)
    content = {"labels": NAMES, "groups": {"zero": ["square"]}}
    (root / "toy" / "labels.json").write_text(json.dumps(content))
    for part, size, n_labels in (("train", 60, 3), ("val", 12, 4), ("test", 8, 4)):
        with gzip.open(root / "toy" / f"{part}.jsonl.gz", "wt") as file:
            for i in range(size):
                name = NAMES[i % n_labels]
                line = {"id": f"{part}{i}", "text": f"find the {name}, {part} {i}"}
                file.write(json.dumps({**line, "labels": [name]}) + "\n")
    monkeypatch.setenv("SKRR2QC_DATA", str(root))
    for name in ("skrr2qc", "fine-tuning"):
        monkeypatch.setitem(MODELS, name, small)
    return root


def job(name, out, *more):
    return [name, "--in-process", "--device", "cpu", "--out", str(out), *more]


def records_of(out):
    return [json.loads(line) for line in out.read_text().splitlines()]


# --------------------------------------------------------------------------- work of a step


@pytest.mark.parametrize("n_frozen", [0, 2])
def test_work_is_what_a_counter_of_products_sees(head, n_frozen):
    """All texts are of one length here: the counter would count padding, too."""
    backbone = head.encoder.backbone_
    backbone.network.set_attn_implementation("eager")  # as products that are counted
    tower = TextTower(backbone, n_frozen, LabelHead(WIDTH, N_LABELS)).train()
    tower.head.start_from(torch.ones(N_LABELS, WIDTH))
    ids, mask = torch.randint(5, 15, (4, 7)), torch.ones(4, 7, dtype=torch.bool)
    inputs = {"input_ids": ids}
    if n_frozen:
        inputs = {"hidden": tower.lower_states(ids, mask)}
    work = speed.training_work(tower, mask, inputs)
    with FlopCounterMode(display=False) as counter:
        tower(attention_mask=mask, **inputs)[0].square().sum().backward()
    assert counter.get_total_flops() == 2 * work.of([7] * 4)


def test_work_by_hand(head):
    tower = TextTower(head.encoder.backbone_, 2, LabelHead(WIDTH, N_LABELS)).train()
    mask = torch.ones(1, 2, dtype=torch.bool)
    for inputs in ({"hidden": torch.zeros(1, 2, WIDTH)}, {"input_ids": torch.ones(1, 2).long()}):
        work = speed.training_work(tower, mask, inputs)
        layer = 3 * (4 * WIDTH**2 + 2 * WIDTH * INNER)
        no_gradient_below = 3 * WIDTH**2  # queries, keys and values of the lowest trained layer
        assert work.per_token == 2 * layer - no_gradient_below
        assert work.per_pair == 2 * 2 * 3 * WIDTH  # layers, products, passes
        assert work.per_text == 3 * WIDTH * N_LABELS
    assert speed.Work(10, 1, 5).of([2, 3]) == 10 * 5 + (4 + 9) + 5 * 2


def test_work_leaves_no_trace(head):
    tower = TextTower(head.encoder.backbone_, 2, LabelHead(WIDTH, N_LABELS)).train()
    state = torch.get_rng_state()
    speed.training_work(tower, torch.ones(1, 2).bool(), {"hidden": torch.zeros(1, 2, WIDTH)})
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in tower.parameters())
    assert not any(module._forward_hooks for module in tower.modules())


def test_steps_of_a_fit(head, texts, Y):
    owners = (TextTower.forward, torch.Tensor.backward, TokenBatches.__iter__)
    fitted, steps = speed.timed_fit(head, texts, Y)
    assert (TextTower.forward, torch.Tensor.backward, TokenBatches.__iter__) == owners
    assert fitted.history_
    n_batches = len(texts) // 3
    assert len(steps) == n_batches - speed._N_FIRST - 1
    parts = [steps[name] for name in speed._PARTS]
    assert (np.array(parts) > 0).all()
    assert (sum(parts) <= steps["step"]).all()
    ids, _ = head.encoder.tokenizer_.encode(texts)
    lengths = {len(row) for row in ids}
    assert (steps["tokens"] <= steps["padded"]).all()
    assert steps["padded"].max() <= 3 * max(lengths)


def test_work_of_steps_is_that_of_their_tokens(head, texts, Y):
    """One text a step: its tokens tell its multiply-adds."""
    head.set_params(batch_size=1)
    _, steps = speed.timed_fit(head, texts, Y)
    assert_array_equal(steps["tokens"], steps["padded"])
    layer = 4 * WIDTH**2 + 2 * WIDTH * INNER
    per_token = 6 * layer - 3 * WIDTH**2
    tokens = steps["tokens"]
    expected = per_token * tokens + 12 * WIDTH * tokens**2 + 3 * WIDTH * N_LABELS
    assert_array_equal(steps["macs"], expected)


def test_a_watched_fit_learns_the_same(head, texts, Y):
    plain = head.fit(texts, Y).predict_proba(texts)
    watched, _ = speed.timed_fit(head, texts, Y)
    assert_array_equal(watched.predict_proba(texts), plain)


def test_few_steps_are_refused(head, texts, Y):
    with pytest.raises(RuntimeError, match="2 steps were seen"):
        speed.timed_fit(head, texts[:6], Y[:6])


def test_rate_of_products(monkeypatch):
    """A clock that ticks half a second whenever it is read."""
    ticks = iter(np.arange(0, 100, 0.5))
    monkeypatch.setattr(speed, "_now", lambda: next(ticks))
    assert speed._rate(8, 4, torch.float32, "cpu") == speed._PRODUCT_ROWS * 8 * 4 / 0.5


def test_rate_is_that_of_the_fastest_shape(monkeypatch):
    seen = []

    def rate(n_in, n_out, dtype, device):
        seen.append((n_in, n_out))
        return n_in * n_out

    monkeypatch.setattr(speed, "_rate", rate)
    assert speed.product_rate(16, 24, torch.float32, "cpu") == 16 * 24
    assert sorted(seen) == [(16, 16), (16, 24), (24, 16)]


def test_widths_of_the_layers(head):
    assert speed._widths(head.encoder) == (WIDTH, INNER)


# ------------------------------------------------------------------------------- prediction


def test_bare_pass_runs_over_the_same_tokens(head, texts, Y):
    head.fit(texts, Y)
    batches = speed.token_batches(head, texts)
    ids, _ = head.encoder_.tokenizer_.encode(texts)
    assert sum(int(b["attention_mask"].sum()) for b in batches) == sum(map(len, ids))
    seen = []
    speed.bare_pass(lambda **inputs: seen.append(inputs), batches, "cpu")
    for given, expected in zip(seen, batches, strict=True):
        assert given.keys() == {"input_ids", "attention_mask"}
        assert_array_equal(given["input_ids"], expected["input_ids"])


def test_a_prediction_without_batches_is_an_error(texts):
    with pytest.raises(RuntimeError, match="no longer iterates over TokenBatches"):
        speed.token_batches(SimpleNamespace(predict_proba=len), texts)


def test_prediction_is_told_from_tokenising(head, texts, Y, monkeypatch):
    head.fit(texts, Y)
    moments = iter([0.0, 1.0, 3.0, 12.0, 20.0, 24.0])  # start, encode twice, end, bare twice
    monkeypatch.setattr(speed, "_now", lambda: next(moments))
    found = speed.timed_prediction(head, texts, "cpu")
    assert found["prediction_seconds"] == 12
    assert found["tokenising_seconds"] == 2
    assert found["bare_seconds"] == 4
    assert found["prediction_ratio"] == 2.5
    assert found["prediction_ratio_with_tokenising"] == 3


def test_speed_is_kept_and_resumed(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("SKRR2QC_DATA", raising=False)
    monkeypatch.setattr(speed, "_PRODUCT_REPEATS", 2)
    out = tmp_path / "out.jsonl"
    command = job("speed", out, "--encoder", folder, "--generated", "200", "--rounds", "2")
    assert retrieval.main(command) == 0
    (record,) = records_of(out)
    figures = record["figures"]
    assert_allclose(figures["share_of_rate"], np.median(figures["share_of_rates"]))
    assert len(figures["prediction_ratios"]) == 2
    assert figures["needed_rate"] > 0
    assert 0 <= figures["padding_percent"] < 100
    assert {"versions", "machine", "date", "seed", "parameters"} <= set(record)
    assert folder not in out.read_text()
    first = capsys.readouterr().out
    assert cells(first, 0)[0] == "generated questions: 200 texts"
    monkeypatch.setattr(speed, "measure", lambda *arguments: pytest.fail("measured again"))
    assert retrieval.main(command) == 0
    again = capsys.readouterr()
    assert again.out == first
    assert "kept from" in again.err


# ----------------------------------------------------------------------------- unseen labels


def test_recalls_by_hand():
    Y = sp.csr_matrix([[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 1]])
    scores = np.array([[0.9, 0.8, 0.7, 0.1], [0.1, 0.9, 0.2, 0.3], [0.8, 0.6, 0.1, 0.7]])
    found = zero_shot.recalls(Y, {"ours": scores}, np.array([2, 3]))
    assert found["n_texts"] == 2  # the second has none of the two
    assert found["n_labels"] == found["n_labels_tested"] == 2
    assert found["recall_at_10"]["ours"] == [1.0, 1.0]  # ten is more than there are
    assert found["recall_at_10"]["chance"] == [1.0, 1.0]


def test_recalls_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    Y, scores = rng.random((40, 60)) < 0.05, rng.random((40, 60))
    columns = rng.permutation(60)[:25]
    alone, among_all = [], []
    for truth, row in zip(Y, scores, strict=True):
        wanted = set(columns) & set(np.flatnonzero(truth))
        if wanted:
            best_alone = sorted(columns, key=lambda c: -row[c])[:10]
            best = np.argsort(-row)[:10]
            alone.append(len(wanted & set(best_alone)) / len(wanted))
            among_all.append(len(wanted & set(best)) / len(wanted))
    found = zero_shot.recalls(sp.csr_matrix(Y.astype(float)), {"ours": scores}, columns)
    assert found["n_texts"] == len(alone) > 10
    assert_allclose(found["recall_at_10"]["ours"], [np.mean(alone), np.mean(among_all)])
    assert found["recall_at_10"]["chance"] == [10 / 25, 10 / 60]


def make_texts(Y_train, Y_test):
    train, test = ([f"text {i}" for i in range(len(Y))] for Y in (Y_train, Y_test))
    parts = (train, sp.csr_matrix(Y_train), test, sp.csr_matrix(Y_test))
    return TextSet("toy", "test", LabelSpace(NAMES), *parts, {})


def test_groups_of_unseen_labels():
    texts = make_texts([[1, 0, 0, 0]], [[0, 1, 0, 1]])
    found = zero_shot.unseen_groups(texts, {})
    assert_array_equal(found["unseen"], [1, 2, 3])
    found = zero_shot.unseen_groups(texts, {"zero": ["square", NAMES[0]], "few": [NAMES[1]]})
    assert list(found) == ["unseen", "zero"]
    assert_array_equal(found["zero"], [3])  # the other one has a training text
    assert list(zero_shot.unseen_groups(texts, {"zero": NAMES[1:]})) == ["unseen"]  # the same


def test_nothing_unseen_is_an_error():
    with pytest.raises(ValueError, match="no test text of toy has a label without"):
        zero_shot.unseen_groups(make_texts([[1, 1, 1, 0]], [[1, 0, 0, 0]]), {})


def test_similarities_are_cosines():
    texts = make_texts(np.eye(4), np.eye(4))
    texts.test[:2] = ["the square", "a mean circle"]
    found = zero_shot.similarities(TfidfVectorizer(), texts)
    vectorizer = TfidfVectorizer().fit([*texts.train, *NAMES])
    expected = cosine_similarity(vectorizer.transform(texts.test), vectorizer.transform(NAMES))
    assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert found[0].argmax() == 3


def test_unseen_labels_are_counted_and_kept(data, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    more = ("--sets", "toy", "--subset", "none", "--seeds", "0", "1")
    assert retrieval.main(job("zero-shot", out, *more)) == 0
    first, second = records_of(out)
    assert (first["part"], first["n_train"], first["seed"], second["seed"]) == ("val", 60, 0, 1)
    (group,) = first["figures"]["groups"].values()  # the set's own group is the same
    assert (group["n_labels"], group["n_texts"]) == (1, 3)
    assert group["recall_at_10"]["chance"] == [1.0, 1.0]  # four labels alone
    assert sum(first["figures"]["channel_weights"].values()) == pytest.approx(1)
    report = capsys.readouterr().out
    assert cells(report, 0)[0] == "toy val, seed 0: unseen, 1 labels, 3 texts"
    assert "skrr2qc (compact)" in report


def test_few_texts_can_be_ranked(data, tmp_path):
    out = tmp_path / "out.jsonl"
    assert retrieval.main(job("zero-shot", out, "--sets", "toy", "--limit-test", "4")) == 0
    (record,) = records_of(out)
    assert record["n_test"] == 4
    assert record["figures"]["groups"]["unseen"]["n_texts"] == 1


# ------------------------------------------------------------------------------------ memory


def test_peak_begins_anew():
    ballast = np.ones(40_000_000)  # 320 MB
    before = peak_memory()
    del ballast
    current, is_exact = memory.restart_peak()
    if not is_exact:
        pytest.skip("this system keeps its peak")
    assert peak_memory() == pytest.approx(current, abs=20)
    assert peak_memory() < before - 250


def test_peak_that_cannot_begin_anew(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_RESET", tmp_path / "no" / "clear_refs")
    assert memory.restart_peak()[1] is False
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    assert memory.restart_peak() == (None, False)


def test_memory_of_generated_texts(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(MODELS, "skrr2qc", small)
    out = tmp_path / "out.jsonl"
    sizes = ("--n-texts", "60", "--n-labels", "12", "--length", "arc", "--epochs", "1")
    assert retrieval.main(job("memory", out, *sizes)) == 0
    (record,) = records_of(out)
    figures = record["figures"]
    assert (figures["n_train"], figures["labels"]) == (60, 12)
    assert figures["fit_peak_mib"] >= figures["start_mib"] > 20
    for method in ("topk", "proba"):
        assert figures[f"{method}_above_model_mib"] >= 0
        assert figures[f"{method}_peak_mib"] > 20
    assert record["parameters"]["head__n_epochs"] == "1"
    assert cells(capsys.readouterr().out, 0)[0] == "generated: 60 texts, 12 labels"


def test_memory_of_a_set(data):
    case = {"seed": 0, "device": "cpu", "epochs": 1, "k": 2, "block": 7}
    source = {"set": "toy", "limit_train": 40}
    figures, estimator = memory.measure_fit(source, "compact", case)
    assert (figures["n_train"], figures["labels"]) == (40, 4)
    assert len(estimator.head_.history_) == 1


def test_all_texts_are_predicted():
    calls = []
    estimator = SimpleNamespace(
        train_texts_=["a"] * 20,
        predict_topk=lambda texts, k: calls.append((len(texts), k)),
        predict_proba=lambda texts: calls.append(len(texts)),
    )
    case = {"k": 2, "block": 8}
    memory.measure_prediction(estimator, case, "topk")
    memory.measure_prediction(estimator, case, "proba")
    assert calls == [(20, 2), (20, 2), 8, 8, 4, 8, 8, 4]  # a first time, not counted, and all


@pytest.mark.slow
def test_memory_is_measured_in_processes_of_their_own(monkeypatch):
    ballast = np.ones(60_000_000)  # 480 MB that nobody else holds
    source = {"set": "generated", "n_texts": 60, "n_labels": 12, "length": "arc"}
    case = {"seed": 0, "device": "cpu", "epochs": 1, "k": 2, "block": 32}
    found = memory.measure(source, "compact", case, apart)
    assert found["topk_peak_mib"] < peak_memory() - 100
    assert ballast[-1] == 1


# ------------------------------------------------------------------------------------- curve


@pytest.mark.parametrize(
    ("ours", "seconds"),
    [
        ([(10.0, 0.5), (20.0, 0.6), (30.0, 0.7)], 20.0),
        ([(40.0, 0.7), (20.0, 0.6)], 20.0),
        ([(10.0, 0.5)], None),
    ],
)
def test_first_to_reach(ours, seconds):
    points = [{"fit_seconds": s, "ndcg_at_5": q} for s, q in ((40.0, 0.6), *ours)]
    found = curve.first_to_reach(points)
    assert found["plain_seconds"] == 40
    assert found["seconds_to_reach"] == seconds
    assert found["share_of_plain"] == (None if seconds is None else seconds / 40)


def test_curve_is_kept(data, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    command = job("curve", out, "--set", "toy", "--encoder", "compact", "--epochs", "1", "2")
    assert retrieval.main(command) == 0
    (record,) = records_of(out)
    points = record["figures"]["points"]
    assert [point["model"] for point in points] == ["fine-tuning", "skrr2qc", "skrr2qc"]
    assert [point["epochs"] for point in points] == [1, 1, 2]
    assert all(len(point["epoch_seconds"]) == point["epochs"] for point in points)
    assert {fit["refit"] for fit in record["fits"]} == {"False"}
    assert record["epochs"] == [None, 1, 2]
    report = capsys.readouterr().out
    assert cells(report, 0)[:3] == ["toy val, seed 0", "fine-tuning (compact)", "1"]
    assert cells(report, 0)[-1] == "100 %"
    assert cells(report, 2)[2] == "2"


# ------------------------------------------------------------------------------- command line


def make_record(**values):
    point = {"model": "m", "epochs": 2, "fit_seconds": 4.0}
    points = [{**point, "precision_at_1": 0.5, "ndcg_at_5": 0.25}]
    return {
        "measurement": "curve", "set": "toy", "part": "val", "encoder": "e", "seed": 0,
        "figures": {"points": points, "plain_seconds": 8.0}, "versions": {"skrr2qc": "1"},
        "machine": {"cpu": "C", "cores": 2, "bf16": False, "gpu": None}, "date": "2025-01-01",
    } | values  # fmt: skip


def test_table_shows_the_latest():
    old = make_record(figures={"points": [], "plain_seconds": 1.0}, date="2024-01-01")
    report = format_retrieval([old, make_record(), make_record(seed=1)])
    assert cells(report, 0) == ["toy val, seed 0", "m (e)", "2", "50.0", "25.0", "4", "50 %"]
    assert cells(report, 1)[0] == "toy val, seed 1"
    assert "Seeds 0, 1" in report


def test_bounds_are_shown_as_such():
    figures = {"n_train": 5, "labels": 2, "fit_peak_mib": 9.0, "fit_seconds": 1.0}
    for method, is_exact, above in (("topk", True, 3.0), ("proba", False, 4.0)):
        figures |= {f"{method}_peak_mib": 7.0, f"{method}_seconds": 2.0}
        figures |= {f"{method}_above_model_mib": above, f"{method}_is_exact": is_exact}
    report = format_retrieval([make_record(measurement="memory", figures=figures)])
    assert cells(report, 0)[2:7] == ["9", "7", "7", "3", "<= 4"]


def test_a_report_of_kept_lines(tmp_path, capsys):
    file = tmp_path / "kept.jsonl"
    lines = [json.dumps(make_record()), '{"set": "to', json.dumps({"measurement": "other"})]
    file.write_text("\n".join(lines))
    assert retrieval.main(["--report", str(file)]) == 0
    assert cells(capsys.readouterr().out, 0)[0] == "toy val, seed 0"


def test_a_failing_measurement_is_told(data, tmp_path, capsys, monkeypatch):
    def fail(*arguments):
        raise FloatingPointError("the loss has grown")

    monkeypatch.setattr(curve, "measure", fail)
    out = tmp_path / "out.jsonl"
    assert retrieval.main(job("curve", out, "--set", "toy", "--encoder", "compact")) == 1
    assert "FAILED, FloatingPointError: the loss has grown" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ([], "nothing to do: choose of speed, zero-shot, memory, curve"),
        (["--report", "missing.jsonl"], "there is no file missing.jsonl"),
        (["speed", "--encoder", "compact"], "give minilm"),
        (["speed", "--encoder", "compcat"], "there is no encoder 'compcat'"),
        (["zero-shot", "--sets", "acr"], "unknown set acr; choose from toy"),
        (["zero-shot", "--sets", "toy", "--limit-test", "0"], "--limit-test must be at least 1"),
        (["memory", "--n-labels", "1"], "--n-labels must be at least 10, got 1"),
        (["memory", "--set", "acr"], "unknown set acr"),
        (["curve", "--set", "toy", "--epochs", "-1"], "--epochs must be at least 0, got -1"),
        (["curve", "--out", "no/such/folder/x"], "there is no folder"),
    ],
)
def test_mistakes_are_found_before_work(data, tmp_path, capsys, monkeypatch, command, message):
    monkeypatch.chdir(tmp_path)
    if command and not command[0].startswith("-") and "--out" not in command:
        command = [*command, "--out", "out.jsonl"]
    with pytest.raises(SystemExit) as stopped:
        retrieval.main(command)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_sets_are_asked_for(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("SKRR2QC_DATA", raising=False)
    with pytest.raises(SystemExit):
        retrieval.main(job("zero-shot", tmp_path / "out.jsonl"))
    assert "SKRR2QC_DATA must name the folder" in capsys.readouterr().err
