"""Pre-training compared: bootstrap, runs, records, tables, costs; no figure of a real model."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal

import benchmarks._effect
from benchmarks import _bootstrap, pretraining
from benchmarks import _pretraining_costs as costs
from benchmarks._bootstrap import interval, paired_bootstrap
from benchmarks._effect import (
    SETTINGS,
    EffectTask,
    class_mean_precision,
    describe_vectors,
    estimated_seconds,
    key_of,
    run,
)
from benchmarks._effect_differences import difference_lines
from benchmarks._effect_table import format_effect
from benchmarks._per_text import FIGURES, Ranking
from benchmarks._processes import apart
from benchmarks._records import KEY, find_record, per_text_file, read_records
from benchmarks._runs import TextSet
from skrr2qc import LabelSpace, RCPTEncoder
from skrr2qc.encoders._pretraining import Pretraining
from skrr2qc.modules import MaskedLanguageModel, RankingPretrainer
from tests.benchmarks.test_compare import cells, make_record, write_set


def ranking_of_hits(hits, n_train=9):
    """One label a text, ranked first or not at all among the first five."""
    n_texts, truth = len(hits), np.eye(8)[np.zeros(len(hits), dtype=int)]
    top = np.where(np.reshape(hits, (-1, 1)), [0, 1, 2, 3, 4], [7, 6, 5, 4, 3])
    nothing = sp.csr_matrix((n_texts, 8))
    return Ranking(top, nothing, sp.csr_matrix(truth), np.full(8, n_train), 72)


# -------------------------------------------------------------------------------- bootstrap


def test_draws_are_of_n_texts_with_replacement():
    weights = _bootstrap._draw(30, 4000, np.random.default_rng(0))
    assert_array_equal(weights.sum(axis=1), 30)
    assert_allclose(weights.mean(axis=0), 1, atol=0.1)
    assert_allclose(weights.var(), 1 - 1 / 30, rtol=0.05)


def test_spread_is_the_standard_error():
    left, right = ranking_of_hits([True] * 60 + [False] * 40), ranking_of_hits([False] * 100)
    observed, resampled = paired_bootstrap([left], [right])
    assert_allclose(observed[0], 0.6)
    assert resampled.shape == (10_000, len(FIGURES))
    assert_allclose(resampled[:, 0].std(), np.sqrt(0.6 * 0.4 / 100), rtol=0.03)
    error = 1.96 * np.sqrt(0.6 * 0.4 / 100)
    assert_allclose(interval(resampled[:, 0]), [0.6 - error, 0.6 + error], atol=0.011)


def test_texts_are_paired():
    """Each side alone varies a lot; what they differ in is the same for every text."""
    hits = np.arange(50) % 2 == 0
    left, right = ranking_of_hits(hits), ranking_of_hits(hits)
    right.top[hits] = [1, 0, 2, 3, 4]  # second instead of first
    left.top[~hits] = [7, 0, 6, 5, 4]  # second instead of nowhere
    second = 1 / np.log2(3)
    observed, resampled = paired_bootstrap([left], [right], n_resamples=700)
    n_hits = _bootstrap._draw(50, 500, np.random.default_rng(0)) @ hits
    assert_allclose(observed[:2], [0.5, 0.5 * (1 - second) + 0.5 * second])
    assert_allclose(resampled[:500, 0], n_hits / 50)
    assert_allclose(resampled[:500, 1], (n_hits * (1 - second) + (50 - n_hits) * second) / 50)


def test_seeds_are_averaged():
    better, worse = ranking_of_hits([True] * 20), ranking_of_hits([False] * 20)
    observed, resampled = paired_bootstrap([better, worse], [worse], n_resamples=10)
    assert_allclose(observed[:2], 0.5)
    assert_allclose(resampled[:, 0], 0.5)


def test_bootstrap_is_seeded():
    sides = [ranking_of_hits([True, False] * 10)], [ranking_of_hits([False] * 20)]
    first, again, other = (
        paired_bootstrap(*sides, n_resamples=50, random_state=s)[1] for s in (0, 0, 1)
    )
    assert_array_equal(first, again)
    assert (first != other).any()


# --------------------------------------------------------------------------------- one run


@pytest.fixture
def texts():
    labels = LabelSpace(["a", "b", "c", "d"], parents={"a": ["x"], "b": ["x"], "c": ["y"]})
    train = ["one circle", "two squares", "mean of samples"] * 8
    Y = sp.csr_matrix(np.eye(4, dtype=np.float32)[np.arange(24) % 3])
    test = ["a circle", "a square", "the mean", "circle again", "nobody knows"]
    Y_test = sp.csr_matrix(np.eye(4, dtype=np.float32)[[0, 1, 2, 0, 3]])
    selection = {"subset": None, "n_characters": None}
    return TextSet("toy", "val", labels, train, Y, test, Y_test, selection)


@pytest.fixture
def task():
    given = (("hidden_size", 16), ("label_epochs", 1), ("n_epochs", 1))
    return EffectTask("rcpt", 0, "compact", "compact", given=given)


def test_settings_are_parameters_of_one_class(texts):
    for name, expected in SETTINGS.items():
        task = EffectTask(name, 7, "/a/folder", "folder", given=(("momentum", 0.5),))
        head = task.estimator(texts.labels)
        found = head.encoder.get_params()
        assert isinstance(head.encoder, RCPTEncoder)
        assert expected.items() <= found.items()
        assert (found["momentum"], found["random_state"], head.random_state) == (0.5, 7, 7)
        assert found["labels"] is head.labels is texts.labels
        assert "/a/folder" not in json.dumps(key_of(task, texts))
    assert task.title == "quesco momentum=0.5"


def test_key_tells_runs_apart(texts):
    tasks = [EffectTask(name, 0, "compact", "compact") for name in SETTINGS]
    tasks += [EffectTask("rcpt", 1, "compact", "compact"), EffectTask("rcpt", 0, "/x", "x")]
    tasks += [EffectTask("rcpt", 0, "compact", "compact", given=(("momentum", 0.5),))]
    keys = [json.dumps({n: key_of(task, texts)[n] for n in KEY}) for task in tasks]
    assert len(set(keys)) == len(tasks)
    verbose = EffectTask("rcpt", 0, "compact", "compact", "cpu", 1)
    assert key_of(verbose, texts) == key_of(tasks[2], texts)


def test_a_run(task, texts):
    record, ranking = run(task, texts)
    record = json.loads(json.dumps(record, allow_nan=False))
    assert {*KEY, "figures", "fitted", "warnings", "versions", "machine", "run"} <= set(record)
    assert find_record([record], key_of(task, texts)) is record
    found = record["figures"]
    assert_allclose([found[n] for n in FIGURES], ranking.figures(np.ones((1, 5)))[0])
    assert (ranking.top[:, 3] == 3).all()  # no training text has it: last of four labels
    assert_allclose(found["fit_seconds"], found["encoder_seconds"] + found["head_seconds"])
    assert found["memory_mib"] >= found["head_memory_mib"] >= found["encoder_memory_mib"] > 20
    assert record["fitted"]["encoder"]["n_epochs"] == 1
    assert "ranking" in record["fitted"]["encoder"]["last"]
    assert record["fitted"]["head"]["n_epochs"] > 1
    assert 0 <= found["rank_order_accuracy_before"] <= 1


class Vectors:
    """An encoder that knows its vectors, and has not been trained."""

    history_ = ()

    def __init__(self, vectors):
        self.vectors = vectors

    def transform(self, texts):
        rows = np.array([self.vectors[text] for text in texts], dtype=float)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


VECTORS = {
    "one circle": (1, 0, 0), "two squares": (0, 1, 0), "mean of samples": (0, 0, 1),
    "a circle": (1, 0, 0), "circle again": (1, 0, 0), "a square": (1, 2, 0), "the mean": (0, 0, 1),
    "nobody knows": (0, 0, -1),
}  # fmt: skip


def test_figures_of_vectors(texts):
    found = describe_vectors(Vectors(VECTORS), texts)
    assert found["class_mean_precision_at_1"] == 0.8
    assert found["alignment"] == found["alignment_before"] == 0.0  # one pair shares a label
    assert found["rank_order_accuracy"] < 1  # "nobody knows" is no nearer to anything
    del texts.test[4]
    known = TextSet(**{**vars(texts), "Y_test": texts.Y_test[:4]})
    found = describe_vectors(Vectors(VECTORS), known)
    # The squares lie between: nearer to both circles than to the mean, as in the hierarchy.
    assert found["rank_order_accuracy"] == 1.0
    swapped = Vectors(VECTORS | {"a square": (1, 0, 2), "the mean": (1, 1, 0)})
    assert describe_vectors(swapped, known)["rank_order_accuracy"] < 1


def test_flat_labels_have_no_rank_order(texts):
    flat = TextSet(**{**vars(texts), "labels": LabelSpace(["a", "b", "c", "d"])})
    found = describe_vectors(Vectors(VECTORS), flat)
    assert "rank_order_accuracy" not in found
    assert found["uniformity"] < 0


def test_no_text_shares_a_label(texts):
    few = TextSet(**{**vars(texts), "test": texts.test[:3], "Y_test": texts.Y_test[:3]})
    assert describe_vectors(Vectors(VECTORS), few)["alignment"] is None


def test_a_label_without_training_texts_is_nobodys_class_mean(texts):
    away = Vectors(dict.fromkeys(VECTORS, (1, 0, 0)) | {"nobody knows": (-1, 0, 0)})
    assert class_mean_precision(away, texts) == pytest.approx(0.4)  # label a, for all


def test_at_most_so_many_texts_are_compared(texts, monkeypatch):
    monkeypatch.setattr(benchmarks._effect, "_MOST_COMPARED", 3)
    rows = benchmarks._effect._compared_rows(sp.csr_matrix(np.eye(9)))
    assert len(set(rows)) == 3
    assert_array_equal(rows, benchmarks._effect._compared_rows(sp.csr_matrix(np.eye(9))))
    assert_array_equal(benchmarks._effect._compared_rows(sp.csr_matrix([[1, 0], [0, 0]])), [0])


def test_estimates(texts):
    none, tapt, rcpt = (
        estimated_seconds(EffectTask(name, 0, "compact", "compact"), texts, [])
        for name in ("none", "tapt", "rcpt")
    )
    assert 0 < none < tapt < rcpt
    pretrained = EffectTask("rcpt", 0, "/x", "x")
    assert estimated_seconds(pretrained, texts, []) > rcpt
    kept = effect_record("rcpt", encoder="x", n_train=48)
    assert estimated_seconds(pretrained, texts, [kept]) == 1.0  # 2 seconds for twice the texts


def test_apart():
    assert apart(divmod, 7, 2) == (3, 1)


# ----------------------------------------------------------------------------------- tables


def effect_record(setting, given="", **values):
    record = {"setting": setting, "model": f"{setting} {given}".strip(), "encoder": "compact"}
    record |= {"run": f"{setting}{given}{values.get('seed', 0)}{values.get('set', 'toy')}"}
    return make_record(**(record | values))


def test_differences_of_two_sets():
    records = [
        effect_record(s, set=name, seed=seed)
        for name in ("toy", "two")
        for s in ("none", "tapt", "rcpt")
        for seed in (0, 1)
    ]
    hits = {"none": [False] * 20, "tapt": [True, False] * 10, "rcpt": [True] * 20}
    rankings = {r["run"]: ranking_of_hits(hits[r["setting"]]) for r in records}
    rankings |= {f"rcpt{seed}two": ranking_of_hits([True, False] * 10) for seed in (0, 1)}
    lines = difference_lines(records, rankings, n_resamples=200)
    assert json.loads(json.dumps(lines, allow_nan=False)) == lines
    assert difference_lines(records, rankings, lines, n_resamples=200) == []
    assert len(difference_lines(records, rankings, lines, n_resamples=100)) == 4
    report = format_effect(records, lines)
    rows = [line for line in report.splitlines() if "| rcpt - " in line]
    table = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert table[0][:3] == ["toy (compact)", "rcpt - none", "2"]
    assert table[0][3] == "+100.0 [+100.0, +100.0]*"
    assert table[1][1] == "rcpt - tapt"
    assert table[1][3].startswith("+50.0 [+")
    assert table[3][3] == "+0.0 [+0.0, +0.0]"  # of the second set, the same in every text
    assert table[4][:3] == ["mean of 2 test", "rcpt - none", ""]
    assert table[4][3].startswith("+75.0 [")
    assert table[5][3].startswith("+25.0 [")
    assert len(table) == 6
    spread = 1.96 * np.sqrt(0.5 * 0.5 / 20) / 2  # the other set's difference is the same always
    low, high = map(float, table[4][3].split("[")[1].rstrip("]*").split(","))
    assert_allclose([low, high], [75 - 100 * spread, 75 + 100 * spread], atol=1.5)
    assert {row[6] for row in table} == {"-"}  # no label is rare
    assert cells(report, 0)[:3] == ["toy", "none (compact)", "2"]


def difference_rows_of(records, names, lines=()):
    """Lines of the table of differences, if only the rankings of these runs were kept."""
    rankings = {name: ranking_of_hits([True] * 9) for name in names}
    lines = [*lines, *difference_lines(records, rankings, lines, n_resamples=20)]
    report = format_effect(records, lines)
    return [line.split("|") for line in report.splitlines() if " - none" in line], lines


def test_only_common_seeds_are_compared():
    records = [effect_record("none"), effect_record("rcpt", seed=1), effect_record("rcpt")]
    names = [record["run"] for record in records]
    rows, lines = difference_rows_of(records, names)
    assert rows[0][3].strip() == "1"
    assert lines[0]["seeds"] == [0]
    assert difference_rows_of(records[:2], names)[0] == []
    assert difference_rows_of(records, names[:2])[0] == []


def test_kept_differences_are_shown_without_rankings():
    records = [effect_record(s, seed=seed) for s in ("none", "rcpt") for seed in (0, 1)]
    names = [record["run"] for record in records]
    rows, first = difference_rows_of(records, names[::2])  # of the first seeds alone
    assert (rows[0][3].strip(), len(first)) == ("1", 1)
    again, kept = difference_rows_of(records, [], first)
    assert (again, kept) == (rows, first)
    rows, both = difference_rows_of(records, names, first)
    assert (rows[0][3].strip(), len(both)) == ("2", 2)
    for lines in (both, both[::-1]):  # the most seeds, not the last
        assert difference_rows_of(records, [], lines)[0] == rows
    later = [{**record, "run": f"{record['run']} again"} for record in records]
    assert difference_rows_of(later, [], both)[0] == []


def test_means_are_of_several_sets():
    records = [
        effect_record(s, set=name, encoder=encoder, run=f"{s} {name} {encoder}")
        for name, encoder in (("toy", "compact"), ("two", "compact"), ("toy", "minilm"))
        for s in ("none", "rcpt")
    ]
    names = [record["run"] for record in records]
    titles = [
        [row[1].split(" (")[0].strip() for row in difference_rows_of(records[:n], names)[0]]
        for n in (2, 4, 6)
    ]
    assert titles == [["toy"], ["toy", "two", "mean of 2 test"], ["toy", "toy", "two"]]


def test_the_tail_is_compared_where_there_is_one():
    records = [effect_record("none"), effect_record("rcpt")]
    hits = {"none": [False] * 9, "rcpt": [True] * 9}
    rankings = {r["run"]: ranking_of_hits(hits[r["setting"]], n_train=2) for r in records}
    lines = difference_lines(records, rankings, n_resamples=20)
    report = format_effect(records, [{**lines[0], "note": "Rounded."}])
    row = next(line for line in report.splitlines() if "rcpt - none" in line)
    assert row.split("|")[7].strip() == "+100.0 [+100.0, +100.0]*"
    assert report.endswith("Rounded.")


def test_runs_of_changed_labels_are_not_compared():
    records = [effect_record("none"), effect_record("rcpt")]
    rankings = {r["run"]: ranking_of_hits([True] * n) for r, n in zip(records, (8, 9), strict=True)}
    assert difference_lines(records, rankings, n_resamples=20) == []


def test_parameters_that_were_searched_have_rows_of_their_own():
    records = [effect_record("tapt")]
    records += [effect_record("rcpt", f"rank_weight={w}") for w in (0.1, 0.2)]
    rankings = {r["run"]: ranking_of_hits([True] * 9) for r in records}
    report = format_effect(records, difference_lines(records, rankings, n_resamples=20))
    assert [cells(report, i)[1] for i in range(3)] == [
        "tapt (compact)", "rcpt rank_weight=0.1 (compact)", "rcpt rank_weight=0.2 (compact)",
    ]  # fmt: skip
    assert "rcpt rank_weight=0.2 - tapt" in report


# ----------------------------------------------------------------------------- command line


@pytest.fixture
def data(tmp_path, monkeypatch):
    root = tmp_path / "data"
    for name in ("toy", "two"):
        write_set(root, name, {"train": 30, "val": 6, "test": 9})
    monkeypatch.setenv("SKRR2QC_DATA", str(root))
    return root


@pytest.fixture
def runs(monkeypatch):
    """Runs that were asked for, none of them made."""
    asked = []

    def stub(task, texts):
        asked.append((texts.name, task.title, task.seed, texts.part, len(texts.train)))
        if task.model == "quesco":
            raise RuntimeError("no such luck")
        name = f"{len(asked)}"
        values = {"precision_at_1": 0.5, "ndcg_at_5": 0.6, "fit_seconds": 2.0}
        values |= {"encoder_seconds": 1.0, "head_seconds": 1.0}
        record = make_record(**key_of(task, texts), figures=values, run=name)
        right = texts.Y_test.toarray()
        return record, Ranking.from_scores(texts.Y_train, texts.Y_test, right, right)

    monkeypatch.setattr(pretraining, "run", stub)
    return asked


def effect(out, *more):
    command = ["effect", "--sets", "toy", "--encoder", "compact", "--in-process"]
    return pretraining.main([*command, "--out", str(out), *more])


def test_effect_keeps_and_resumes(data, runs, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    settings = ["--settings", "none", "rcpt"]
    assert effect(out, *settings, "--sets", "two", "toy", "--seeds", "0", "1") == 0
    expected = [(s, m, seed) for s in ("two", "toy") for m in ("none", "rcpt") for seed in (0, 1)]
    assert [asked[:3] for asked in runs] == expected
    assert {asked[3] for asked in runs} == {"val"}  # the test part only if it is asked for
    first = capsys.readouterr().out
    assert "rcpt - none" in first
    assert effect(out, *settings, "--sets", "two", "toy", "--seeds", "0", "1") == 0
    assert len(runs) == len(read_records(out)) == 8
    captured = capsys.readouterr()
    assert captured.out == first
    assert "kept from" in captured.err
    per_text_file(out).unlink()  # true labels, which nobody passes on
    assert pretraining.main(["--report", str(out)]) == 0
    assert capsys.readouterr().out == first


def test_a_report_of_two_files_compares_their_runs(data, runs, tmp_path, capsys):
    files = [tmp_path / f"{setting}.jsonl" for setting in ("none", "rcpt")]
    for file in files:
        assert effect(file, "--settings", file.stem) == 0
    assert "rcpt - none" not in capsys.readouterr().out
    assert pretraining.main(["--report", *map(str, files)]) == 0
    assert "rcpt - none" in capsys.readouterr().out


@pytest.mark.parametrize(
    "more",
    [["--force"], ["--limit-train", "9"], ["--part", "test"], ["--set", "closeness=jaccard"]],
)
def test_other_runs_are_made(data, runs, tmp_path, more):
    out = tmp_path / "out.jsonl"
    assert effect(out, "--settings", "rcpt") == 0
    assert effect(out, "--settings", "rcpt", *more) == 0
    assert len(runs) == 2
    assert effect(out, "--settings", "rcpt", *(m for m in more if m != "--force")) == 0
    assert len(runs) == 2


def test_a_failing_run_leaves_the_others(data, runs, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    assert effect(out, "--settings", "quesco", "tapt") == 1
    assert "toy quesco seed 0: FAILED, RuntimeError: no such luck" in capsys.readouterr().err
    assert [record["setting"] for record in read_records(out)] == ["tapt"]


def test_given_parameters():
    items = ["rank_weight=0.2", "closeness=jaccard", "tapt:n_epochs=9", "label_epochs=None"]
    assert pretraining.parse_given(items) == {
        "rcpt": (("closeness", "jaccard"), ("label_epochs", None), ("rank_weight", 0.2)),
        "tapt": (("n_epochs", 9),),
    }


def test_plan_is_only_shown(data, runs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pretraining, "PLAN", {"two": ("compact", pretraining._seeds(2))})
    out = tmp_path / "out.jsonl"
    assert effect(out, "--sets", "two", "--settings", "tapt", "--seeds", "1") == 0
    capsys.readouterr()
    command = ["effect", "--out", str(out), "--plan"]
    assert pretraining.main(command) == 0
    report = capsys.readouterr().out
    assert len(runs) == 1
    settings = [tuple(cells(report, i)[1:3]) for i in range(7)]
    expected = [(f"{s} (compact)", str(i)) for s in ("none", "tapt", "rcpt") for i in (0, 1)]
    assert settings == [*expected, ("quesco (compact)", "0")]
    assert [cells(report, i)[5] for i in range(4)] == ["", "", "", "kept"]
    assert cells(report, 2)[4] == "0.0"  # two seconds, as the kept run of the other seed took


def test_default_plan():
    n_runs = {name: sum(map(len, seeds.values())) for name, (_, seeds) in pretraining.PLAN.items()}
    assert n_runs == {"da20k": 7, "hoc": 16, "arc": 7, "baidu_hs4": 4}
    assert {name for name, plan in pretraining.PLAN.items() if plan[0] == "minilm"} == {"arc"}
    assert all(list(seeds) == list(SETTINGS) for _, seeds in pretraining.PLAN.values())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--settings", "bert"], "unknown setting bert; choose from none, tapt, rcpt, quesco"),
        (["--sets", "acr"], "unknown set acr; choose from toy, two"),
        (["--set", "momentum"], "expected NAME=VALUE, got 'momentum'"),
        (["--set", "random_state=1"], "unknown parameter random_state"),
        (["--set", "tpat:lr=1"], "unknown setting tpat"),
        (["--limit-train", "1"], "must be at least 3, got 1"),
        (["--encoder", "compcat"], "there is no encoder"),
    ],
)
def test_mistakes_are_found_before_work(data, runs, tmp_path, capsys, more, message):
    with pytest.raises(SystemExit) as stopped:
        effect(tmp_path / "out.jsonl", *more)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not runs


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ([], "nothing to do: choose effect or costs"),
        (["--report", "missing.jsonl"], "there is no file missing.jsonl"),
        (["costs", "--texts", "short", "--out", "x"], "unknown texts short"),
    ],
)
def test_commands_that_say_nothing(tmp_path, monkeypatch, capsys, command, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        pretraining.main(command)
    assert message in capsys.readouterr().err


# ------------------------------------------------------------------------------------ costs


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(costs, "_N_GENERATED", 48)
    return costs.generated_data("arc", 40)


@pytest.fixture
def state(few):
    return costs.ranking_state(few, batch_size=4, queue_size=32, width=8, device="cpu")


def test_generated_hierarchy(few):
    assert few.labels.n_labels == 40
    assert not few.labels.is_tree
    assert few.labels.max_depth >= 3
    assert few.Y.shape == (48, 40)
    assert few.Y.getnnz(axis=1).min() >= 1
    assert {len(text.split()) for text in few.texts} == {40}


def test_texts_of_another_set_with_the_labels_of_laws(data, monkeypatch):
    monkeypatch.setattr(costs, "_SET", "two")
    (data / "two" / "subset_train5k.json").write_text(json.dumps({"train": ["train1", "train2"]}))
    write_set(data, "arc", {"train": 5, "test": 1})
    found = costs.cost_data("arc")
    assert found.source == "two, arc"
    assert len(found.texts) == found.Y.shape[0] == 5
    assert found.labels.n_labels == 4
    assert costs.cost_data("arc", 20).labels.n_labels == 20


def test_block_is_what_pretraining_computes(state):
    real = SimpleNamespace(
        geometry=state.geometry,
        module=SimpleNamespace(queue=state.queue),
        temperatures=state.temperatures,
        settings=SimpleNamespace(own_key_positive=True, variant="in", rank_discount=1.0),
    )
    loss = Pretraining.ranking_loss(real, state.rows, state.queries, state.keys)
    (expected,) = torch.autograd.grad(loss, state.queries)
    assert_allclose(costs.ranking_block(state), loss.detach())
    assert state.queries.grad.abs().sum() > 0
    assert_allclose(state.queries.grad, expected)


def test_block_is_measured(few):
    case = {"batch_size": 4, "queue_size": 32, "width": 8, "device": "cpu", "repeats": 2}
    found = costs.measure_block(few, case)
    assert found["seconds"] > 0
    assert found["n_labels"] == 40
    assert found["geometry_mib"] > 40 * 40 * 2 / 2**20  # the distances alone
    assert 0 < found["extra_peak_mib"] < 5
    assert found["queue_mib"] * 2**20 == 32 * (128 + 8) * 4 + 32 * 8 + 8


def test_peak_is_of_what_lives_together():
    def together():
        x = torch.ones(2**18)  # 1 MiB
        return x, x + 1

    def in_turn():
        for _ in range(3):
            torch.ones(2**18).sum()

    assert costs.peak_allocation(together) == pytest.approx(2 * 2**20, rel=0.01)
    assert costs.peak_allocation(in_turn) == pytest.approx(2**20, rel=0.01)


@pytest.mark.parametrize(("parameters", "ranks"), [({"rank_weight": 0}, False), ({}, True)])
def test_steps_of_a_real_fit(few, monkeypatch, parameters, ranks):
    monkeypatch.setattr(costs, "RCPTEncoder", lambda *a, **k: RCPTEncoder(*a, hidden_size=16, **k))
    originals = MaskedLanguageModel.forward, RankingPretrainer.forward
    case = {"batch_size": 8, "queue_size": 16, "device": "cpu", "steps": 2}
    steps = costs.timed_fit(few, "compact", case, **parameters)
    assert len(steps) == 2
    assert steps["width"].min() >= 40
    assert (steps["step"] > steps["key_forward"] + steps["update"]).all()
    assert ((steps["key_forward"] > 0) == ranks).all()
    assert ((steps["update"] > 0) == ranks).all()
    assert (MaskedLanguageModel.forward, RankingPretrainer.forward) == originals


def test_queue_is_full_from_the_first_step(few):
    geometry = costs.ranking_state(few, batch_size=4, queue_size=8, width=8, device="cpu").geometry
    backbone = torch.nn.Linear(8, 8)
    backbone.hidden_size, backbone.sees_whole_text = 8, True
    backbone.word_embeddings = torch.nn.Embedding(5, 8)
    pretrainer = RankingPretrainer(
        backbone, geometry, projection_size=4, queue_size=100, momentum=0.9
    )
    costs._fill(pretrainer)
    assert pretrainer.queue.n_filled == 100
    rows, columns = pretrainer.queue.content()
    assert_allclose(columns["means"], geometry.mean_vectors(rows))
    assert_allclose(columns["keys"].norm(dim=1), 1, rtol=1e-5)


def test_costs_are_kept(tmp_path, capsys, monkeypatch, few):
    steps = np.array([(2.0, 0.4, 0.1, 9)], dtype=[(n, float) for n in STEP_FIELDS])
    alone = np.array([(1.6, 0.0, 0.0, 9)], dtype=steps.dtype)
    monkeypatch.setattr(
        costs, "timed_fit", lambda *a, rank_weight=1: alone if rank_weight == 0 else steps
    )
    monkeypatch.setattr(costs, "apart", lambda function, *arguments: function(*arguments))
    out = tmp_path / "costs.jsonl"
    command = ["costs", "--labels", "40", "--texts", "arc", "--encoders", "compact"]
    command += ["--repeats", "1", "--rounds", "2", "--queue-size", "16", "--out", str(out)]
    assert pretraining.main(command) == 0
    kept = [json.loads(line) for line in out.read_text().splitlines()]
    names = ["label distances", "ranking block 1024", "step compact arc"]
    assert [record["measurement"] for record in kept] == names
    assert kept[2]["ratios"] == [1.25, 1.25]
    assert kept[2]["floor_ratio"] == 1.25
    assert kept[2]["key_forward_percent"] == 20
    assert {"versions", "machine", "date", "source"} <= set(kept[0])
    capsys.readouterr()
    assert pretraining.main(command) == 0
    assert len(out.read_text().splitlines()) == 3
    assert capsys.readouterr().err.count("kept") == 3


STEP_FIELDS = ("step", "key_forward", "update", "width")
