"""Reranking measured: variants of one fit, differences, means, records; no real figure."""

import gzip
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from benchmarks import _decomposition, _per_text, _solutions, reranking
from benchmarks import _reranking_arithmetic as arithmetic
from benchmarks import _reranking_effect as effect
from benchmarks import _reranking_solutions as solutions
from benchmarks import _reranking_variants as variants
from benchmarks._differences import FIGURES, difference, mean_difference
from benchmarks._models import _composite
from benchmarks._reranking_means import better, mean_rows
from benchmarks._reranking_table import format_reranking
from benchmarks._runs import Task, TextSet, evaluate
from skrr2qc import LabelSpace, MetaLabelReranker, RCPTEncoder
from skrr2qc.meta_labels import NameDecomposer
from tests.benchmarks.test_compare import cells

NAMES = ["area of a circle", "area of a square", "angle in a circle", "angle in a square"]
EXPERTS = {name: [name.split()[0], name.split()[-1]] for name in NAMES}
LABELS = LabelSpace(NAMES, meta_labels=EXPERTS)
SIZES = {"train": 80, "val": 12, "test": 8}


def write_texts(root, name, **about):
    """A set of four labels; every text has a solution, which names a label now and then."""
    (root / name).mkdir(parents=True)
    (root / name / "labels.json").write_text(json.dumps({"labels": NAMES, **about}))
    for part, size in SIZES.items():
        with gzip.open(root / name / f"{part}.jsonl.gz", "wt") as file:
            for i in range(size):
                label = NAMES[i % 4]
                solution = [f"It is the {label}.", f"By four, {label.split()[-1]}s."][i // 4 % 2]
                line = {"id": f"{part}{i}", "text": f"find the {label}, {part} {i}"}
                file.write(json.dumps({**line, "labels": [label], "solution": solution}) + "\n")


def small(seed, encoder, labels, **parameters):
    """The classifier, small enough for a test."""
    classifier = _composite(seed, encoder, labels, validation_fraction=0.4, **parameters)
    encoder = RCPTEncoder(hidden_size=16, n_epochs=0)
    return classifier.set_params(encoder=encoder, head__n_epochs=1)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Two sets, one of them with the experts' map."""
    root = tmp_path / "data"
    write_texts(root, "mapped", meta_labels=EXPERTS)
    write_texts(root, "bare")
    monkeypatch.setenv("SKRR2QC_DATA", str(root))
    monkeypatch.setattr(effect, "_composite", small)
    monkeypatch.setattr(_solutions, "SOLUTION_SETS", ("mapped",))
    return root


@pytest.fixture
def texts():
    """Twenty rows to train on and eight to evaluate on; the last label is rare."""
    columns = np.array([0, 1, 2] * 6 + [3, 3])
    Y = sp.csr_matrix(np.eye(4, dtype=np.float32)[columns])
    words = [f"the {NAMES[c]} {i}" for i, c in enumerate(columns)]
    selection = {"subset": None, "n_characters": None}
    return TextSet("toy", "val", LABELS, words, Y, words[-8:], Y[-8:], selection)


def job(name, out, *more):
    return [name, *more, "--in-process", "--out", str(out)]


def records_of(out, kind=None):
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    return [line for line in lines if kind in (None, line["measurement"])]


# ----------------------------------------------------------------------------------- figures


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    return {name: rng.random((8, 4), dtype=np.float32) for name in ("a", "b")}


def test_figures_are_those_of_other_runs(texts, scores):
    found = variants.describe_variants(texts, scores)
    expected = evaluate(texts.Y_train, texts.Y_test, scores["b"], np.zeros((8, 4), dtype=np.int8))
    for name in FIGURES:
        assert_allclose(found["b"][name], expected[name])
    assert not {"micro_f1", "macro_f1"} & set(found["b"])  # they need thresholds


def test_rankings_average_to_the_figures(texts, scores):
    found = variants.describe_variants(texts, scores)
    for name, ranking in variants.rankings_of(texts, scores).items():
        figures = dict(zip(_per_text.FIGURES, ranking.figures(np.ones((1, 8)))[0], strict=True))
        for figure in FIGURES:
            assert_allclose(figures[figure], found[name][figure], rtol=1e-6)


def test_differences_are_those_of_the_figures(texts, scores):
    found, rankings = variants.describe_variants(texts, scores), variants.rankings_of(texts, scores)
    differences = difference([rankings["b"]], [rankings["a"]], n_resamples=200)
    assert list(differences) == list(FIGURES)
    for name, (value, low, high, error) in differences.items():
        assert_allclose(value, found["b"][name] - found["a"][name], atol=1e-6)
        assert low <= high
        assert error >= 0


def test_equal_scores_do_not_differ(texts, scores):
    ranking = variants.rankings_of(texts, scores)["a"]
    for found in difference([ranking], [ranking], n_resamples=50).values():
        assert found == [0, 0, 0, 0]


def test_without_rare_labels_there_is_no_tail(texts, scores):
    texts = replace(texts, Y_train=sp.csr_matrix(np.tile(np.eye(4), (6, 1))))
    rankings = variants.rankings_of(texts, scores)
    found = difference([rankings["a"]], [rankings["b"]], n_resamples=20)
    assert set(found) == set(FIGURES) - {"tail_ndcg_at_5"}


# ----------------------------------------------------------------------- runs and differences


def make_run(texts, scores, model="auto", seed=0, **about):
    """A record and rankings as `effect` makes them, from given scores."""
    key = {
        "measurement": "effect", **texts.describe(), "model": model, "map": model, "towers": "one",
        "seed": seed, "encoder": "e", "parameters": {}, "version": "1", "n_meta_labels": 2,
        "memory": False, **about,
    }  # fmt: skip
    costs = {"fit_seconds": 9.0, "n_timed": 8, "retrieval_seconds": 1.0, "learned_ratio": 1.25}
    found = {"figures": costs, "fitted": {"combination": {"retrieval": 1.5}}, "caught": []}
    task = Task(model, seed, "e", "e")
    return variants.make_record(key, "retrieval", scores, texts, task, found)


@pytest.fixture
def runs(texts):
    """Two seeds with a map and without; what is learned is right, retrieval only at times."""
    truth = texts.Y_test.toarray()
    made = []
    for model, rate in (("auto", 0.4), ("none", 0.6)):
        for seed in (0, 1):
            noise = np.random.default_rng([seed, int(10 * rate)]).random(truth.shape)
            scores = {"retrieval": rate * truth + noise, "learned": 2 * truth + noise}
            made.append(make_run(texts, scores, model, seed))
    return made


def test_differences_of_runs(runs):
    records = [record for record, _ in runs]
    rankings = {name: value for _, more in runs for name, value in more.items()}
    found = variants.difference_records(records, rankings, n_resamples=100)
    assert [(d["model"], d["against"], sorted(d["differences"])) for d in found] == [
        ("auto", "retrieval", ["learned"]),
        ("auto", "retrieval, no map", ["learned", "retrieval"]),
        ("none", "retrieval", ["learned"]),
    ]
    own, bare, _ = found
    assert own["seeds"] == [0, 1]
    assert own["base_runs"] == own["runs"] != bare["base_runs"]
    for record, bases in ((own, records[:2]), (bare, records[2:])):
        means = [
            np.mean([r["variants"][variant]["ndcg_at_5"] for r in of])
            for variant, of in (("learned", records[:2]), ("retrieval", bases))
        ]
        assert_allclose(record["differences"]["learned"]["ndcg_at_5"][0], means[0] - means[1])
    json.dumps(found)
    assert variants.difference_records(records, rankings, found, n_resamples=100) == []
    more = make_run_like(records[0], seed=2)
    assert variants.difference_records([*records, more], rankings, found, n_resamples=100) == []


def test_differences_to_the_network_alone(texts):
    truth = texts.Y_test.toarray()
    noise = np.random.default_rng(0).random(truth.shape)
    scores = {"network": noise, "retrieval": truth + noise, "learned": 2 * truth + noise}
    record, rankings = make_run(texts, scores, "auto", 0)
    own, network = variants.difference_records([record], rankings, n_resamples=100)
    assert (own["against"], list(own["differences"])) == ("retrieval", ["learned"])
    assert network["against"] == "network"
    assert list(network["differences"]) == ["retrieval", "learned"]
    figures = record["variants"]
    gain = figures["learned"]["ndcg_at_5"] - figures["network"]["ndcg_at_5"]
    assert network["differences"]["learned"]["ndcg_at_5"][0] == pytest.approx(gain)


def make_run_like(record, **values):
    """A run whose rankings nobody kept."""
    return {**record, "run": "lost", **values}


def test_rankings_are_kept(runs, tmp_path):
    file = tmp_path / "per_text.jsonl"
    for _, rankings in runs:
        variants.keep_rankings(file, rankings)
    kept = _per_text.read_rankings(file)
    for _, rankings in runs:
        for name, ranking in rankings.items():
            assert_array_equal(kept[name].top, ranking.top)
            assert kept[name].truth == ranking.truth


# ------------------------------------------------------------------------------------- effect


def test_maps():
    assert effect.with_map(LABELS, "expert") is LABELS
    bare = effect.with_map(LABELS, "none")
    assert bare == LabelSpace(NAMES)
    found = effect.with_map(LABELS, "auto")
    assert found == NameDecomposer().decompose(LabelSpace(NAMES))
    same = LabelSpace(NAMES, texts=["x", "y", "z", "w"], meta_labels=EXPERTS)
    assert effect.fingerprint(same) == effect.fingerprint(LABELS) != effect.fingerprint(bare)


@pytest.fixture(scope="module")
def fitted():
    columns = np.arange(80) % 4
    words = [f"the {NAMES[c]} {i}" for i, c in enumerate(columns)]
    reranker = MetaLabelReranker(combine="learned")
    classifier = small(0, "compact", LABELS, reranker=reranker)
    return classifier.fit(words, np.eye(4, dtype=np.float32)[columns]), words[:10]


def test_variants_are_of_one_fit(fitted):
    classifier, words = fitted
    found = effect.variant_scores(classifier, words)
    assert list(found) == ["network", "retrieval", "product", "learned"]
    assert_allclose(found["network"], classifier.head_.predict_proba(words), rtol=1e-5)
    retrieval = classifier.retriever_.predict_proba(words)
    meta = classifier.reranker_.meta_scores(words)
    assert_array_equal(found["retrieval"], retrieval)
    assert_array_equal(found["learned"], classifier.predict_proba(words))
    label_to_meta = LABELS.label_to_meta.toarray()
    means = [[row[label > 0].mean() for label in label_to_meta] for row in meta]
    assert_allclose(found["product"], retrieval * means, rtol=1e-5)


def test_ratios_are_medians_of_rounds(fitted, monkeypatch):
    """A clock that ticks as long as each call shall take."""
    lasting = [1.0, 2.0, 3.0, 2.0, 2.0, 2.0, 4.0, 12.0, 4.0]  # three rounds of three variants
    ticks = iter(t for n in lasting for t in (0.0, n))
    monkeypatch.setattr(effect.time, "perf_counter", lambda: next(ticks))
    found = effect.timed_variants(*fitted)
    assert found == {
        "n_timed": 10,
        "retrieval_seconds": 2.0,
        "product_seconds": 2.0,
        "product_ratio": 2.0,
        "learned_seconds": 3.0,
        "learned_ratio": 1.0,
    }


def test_effect_is_kept_and_resumed(data, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out.jsonl"
    command = job("effect", out, "mapped", "--seeds", "0", "1", "--maps", "expert", "none")
    assert reranking.main(command) == 0
    records = records_of(out, "effect")
    assert [(r["map"], r["seed"]) for r in records] == [
        *(("expert", 0), ("expert", 1), ("none", 0), ("none", 1))
    ]
    expert, bare = records[0], records[2]
    assert list(expert["variants"]) == ["network", "retrieval", "product", "learned"]
    assert list(bare["variants"]) == ["network", "retrieval", "learned"]  # without meta-labels
    assert (expert["n_meta_labels"], bare["n_meta_labels"]) == (4, 0)
    near = {"neighbors", "rare_neighbors", "votes"}
    evidence = {"retrieval", "rare_retrieval", *near, "intercept"}  # no text has two labels
    assert set(expert["fitted"]["combination"]) == evidence | {"meta_labels"}
    assert set(bare["fitted"]["combination"]) == evidence
    assert expert["figures"]["head_seconds"] > 0
    assert expert["figures"]["meta_seconds"] is None
    assert {"versions", "machine", "date", "seed", "parameters", "part"} <= set(expert)
    assert [d["against"] for d in records_of(out, "differences")] == [
        *("retrieval", "network", "retrieval, no map", "retrieval", "network")
    ]
    first, before = capsys.readouterr().out, out.read_text()
    assert cells(first, 0)[:4] == ["mapped val (compact)", "expert", "network", "2"]
    monkeypatch.setattr(effect, "run", lambda *arguments: pytest.fail("measured again"))
    assert reranking.main(command) == 0
    again = capsys.readouterr()
    assert again.out == first
    assert again.err.count("kept from") == 4
    assert out.read_text() == before


def test_two_towers_share_the_retrieval_model(data, tmp_path):
    out, memory = tmp_path / "out.jsonl", tmp_path / "memory"
    more = ("mapped", "--maps", "expert", "--memory", str(memory))
    assert reranking.main(job("effect", out, *more)) == 0
    assert reranking.main(job("effect", out, *more, "--towers", "two")) == 0
    one, two = records_of(out, "effect")
    assert (one["model"], two["model"]) == ("expert", "expert, two towers")
    assert one["variants"]["retrieval"] == two["variants"]["retrieval"]
    assert one["figures"]["head_seconds"] == two["figures"]["head_seconds"]  # fetched
    assert two["figures"]["meta_seconds"] > 0
    assert one["memory"]
    assert str(tmp_path) not in out.read_text()


def test_what_a_set_lacks_is_left_out(data, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    more = ("bare", "mapped", "--maps", "expert", "--limit-train", "60")
    assert reranking.main(job("effect", out, *more)) == 0
    (record,) = records_of(out, "effect")
    assert (record["set"], record["n_train"]) == ("mapped", 60)
    assert "bare: labels.json has no meta_labels" in capsys.readouterr().err


def test_a_set_that_cannot_be_read_is_told(data, tmp_path, capsys):
    (data / "bare" / "train.jsonl.gz").unlink()
    out = tmp_path / "out.jsonl"
    assert reranking.main(job("effect", out, "bare", "--maps", "none")) == 1
    assert "bare: FAILED" in capsys.readouterr().err
    assert not out.exists()


# ---------------------------------------------------------- arithmetic, maps and solutions


def test_a_random_map():
    found = arithmetic.random_map(500, 40, np.random.default_rng(0))
    assert found.shape == (500, 40)
    assert set(found.data) == {1.0}
    sizes = np.diff(found.indptr)
    assert (sizes.min(), sizes.max()) == (1, 5)
    assert_allclose(sizes.mean(), 3, atol=0.2)


def test_arithmetic_is_kept(tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    more = ("--n-texts", "50", "--n-labels", "30", "--n-meta", "10", "--repeats", "3")
    assert reranking.main(job("arithmetic", out, *more)) == 0
    (record,) = records_of(out)
    figures = record["figures"]
    assert figures["seconds"] == np.median(figures["seconds_of_each"])
    assert len(figures["seconds_of_each"]) == 3
    assert cells(capsys.readouterr().out, 0)[:3] == ["50", "30", "10"]
    assert reranking.main(job("arithmetic", out, *more)) == 0
    assert len(records_of(out)) == 1
    assert reranking.main(job("arithmetic", out, *more, "--force")) == 0
    assert len(records_of(out)) == 2


def test_maps_are_kept(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_decomposition, "_embed_by_minilm", lambda texts: None)
    (data / "rr2qc_label_maps").mkdir()
    content = {"labels": NAMES, "meta_labels": EXPERTS}
    (data / "rr2qc_label_maps" / "da20k.json").write_text(json.dumps(content))
    out = tmp_path / "out.jsonl"
    assert reranking.main(job("maps", out)) == 0
    records = records_of(out)
    assert [r["method"] for r in records] == ["experts", "names", "names, no heads"]
    assert {"machine", "version", "date"} <= set(records[0])
    report = capsys.readouterr().out
    assert cells(report, 0)[:5] == ["da20k", "experts", "no", "4", "4"]
    assert cells(report, 1)[-2] == "100.0"  # pair F1
    assert reranking.main(job("maps", out)) == 0
    assert len(records_of(out)) == 3


def test_no_maps_at_hand(data, tmp_path, capsys):
    assert reranking.main(job("maps", tmp_path / "out.jsonl")) == 1
    assert "holds neither" in capsys.readouterr().err


def test_solutions_are_kept(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(solutions.MODELS, "skrr2qc", small)
    out = tmp_path / "out.jsonl"
    command = job("solutions", out, "--composite")
    assert reranking.main(command) == 0
    linear, composite = records_of(out, "solutions")
    assert (linear["model"], linear["encoder"]) == ("tfidf-linear", None)
    assert (composite["model"], composite["encoder"]) == ("skrr2qc", "compact")
    assert list(linear["variants"]) == ["texts", "texts and solutions"]
    assert linear["figures"]["n_with_solution"] == 92
    assert "find the" not in out.read_text()  # no text of the set
    assert linear["parameters"]["solutions__strip"] == "'labels'"
    assert {r["strip"] for r in records_of(out, "leaks")} == {"labels", "all"}
    assert len(records_of(out, "differences")) == 2
    first, before = capsys.readouterr().out, out.read_text()
    assert cells(first, 0)[:3] == ["mapped val", "tfidf-linear", "texts"]
    assert reranking.main(command) == 0
    assert out.read_text() == before


def test_solutions_reach_the_model():
    """They tell what no text does, in words that are not the names of the labels."""
    labels = LabelSpace(["first kind", "second kind"])
    Y = sp.csr_matrix(np.eye(2)[np.arange(60) % 2])
    words = [f"task {i}" for i in range(60)]
    given = {word: ["square", "circle"][i % 2] for i, word in enumerate(words)}
    parts = (words[:40], Y[:40], words[40:], Y[40:])
    told = TextSet("toy", "val", labels, *parts, {"subset": None, "n_characters": None})
    (record,), _ = solutions.run(Task("tfidf-linear", 0, "e", "e"), told, given)
    without, with_solutions = record["variants"].values()
    assert with_solutions["precision_at_1"] == 1 > without["precision_at_1"]


# ------------------------------------------------------------------------------------- tables


def make_difference(name, map_name, **variants_by_name):
    """Differences of one set, each [value, low, high, error] for all figures."""
    differences = {
        variant: {f: [value, value - 0.1, value + 0.1, 0.03] for f in FIGURES}
        for variant, value in variants_by_name.items()
    }
    about = {"set": name, "part": "val", "towers": "one", "against": "retrieval"}
    texts = {"n_train": 5, "subset": None, "n_characters": None, "encoder": "e"}
    return {**about, **texts, "map": map_name, "differences": differences}


def test_means_by_hand():
    value, low, high = mean_difference([[0.1, 0, 0, 0.03], [0.3, 0, 0, 0.04]])
    error = math.sqrt(0.03**2 + 0.04**2) / 2
    assert_allclose([value, low, high], [0.2, 0.2 - 1.96 * error, 0.2 + 1.96 * error])


def test_the_better_is_chosen_by_set():
    records = [
        make_difference("x", "expert", product=0.2, learned=0.1),
        make_difference("x", "auto", product=0.0, learned=0.3),
        make_difference("y", "auto", product=-0.4, learned=0.1),
        make_difference("x", "none", learned=0.5),
    ]
    assert better(records[0]["differences"]) == "product"
    rows = {(row[1], row[2]): row[4].split(" ")[0] for row in mean_rows(records)}
    assert rows == {
        ("auto", "product"): "-20.0",
        ("auto", "learned"): "+20.0",
        ("auto", "the better"): "+20.0",
        ("expert, else auto", "product"): "-10.0",
        ("expert, else auto", "learned"): "+10.0",
        ("expert, else auto", "the better"): "+15.0",
    }


def test_what_is_worse_is_named(runs):
    records = [record for record, _ in runs][:2]
    record = {**records[0], "measurement": "differences", "of": "effect", "against": "retrieval"}
    record |= {"runs": [r["run"] for r in records], "base_runs": [r["run"] for r in records]}
    figures = {f: [-0.05, -0.09, -0.01, 0.02] for f in FIGURES}
    record |= {"seeds": [0, 1], "differences": {"learned": figures}}
    report = format_reranking([*records, record])
    assert "-5.0 [-9.0, -1.0]*" in report
    assert "in some figure: learned of auto on toy val (e)." in report
    clear = {f: [0.05, 0.01, 0.09, 0.02] for f in FIGURES}
    record["differences"] = {"learned": clear}
    assert "in some figure: none." in format_reranking([*records, record])


def test_differences_of_earlier_runs_are_not_shown(runs):
    records = [record for record, _ in runs][:2]
    old = {**records[0], "measurement": "differences", "of": "effect", "against": "retrieval"}
    old |= {"runs": ["gone"], "base_runs": ["gone"], "seeds": [0], "differences": {}}
    assert "paired bootstrap" not in format_reranking([*records, old])


def test_a_table_of_kept_lines(runs, tmp_path, capsys):
    file = tmp_path / "kept.jsonl"
    lines = [json.dumps(record) for record, _ in runs]
    file.write_text("\n".join([*lines, '{"set": "to', json.dumps({"measurement": "other"})]))
    assert reranking.main(["table", str(file)]) == 0
    report = capsys.readouterr().out
    assert cells(report, 0)[:4] == ["toy val (e)", "auto", "retrieval", "2"]
    assert "| 1.25" in report


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ([], "nothing to do: choose of maps, effect, arithmetic, solutions, table"),
        (["table", "missing.jsonl"], "there is no file missing.jsonl"),
        (["effect", "mapper"], "unknown set mapper; choose from bare, mapped"),
        (["effect", "bare", "--maps", "own"], "unknown map own; choose from expert, auto, none"),
        (["effect", "bare", "--maps", "expert"], "'expert' needs a set whose labels.json"),
        (["effect", "mapped", "--maps", "none", "--towers", "two"], "two towers a map"),
        (["effect", "bare", "--encoder", "compcat"], "there is no encoder 'compcat'"),
        (["effect", "bare", "--limit-train", "2"], "--limit-train must be at least 3, got 2"),
        (["effect", "bare", "--subset", "few"], "the set bare has no file few.json"),
        (["effect", "bare", "--memory", "no/such"], "--memory: there is no folder no"),
        (["effect", "bare", "--out", "no/such/x"], "there is no folder"),
        (["arithmetic", "--n-meta", "4"], "--n-meta must be at least 5, got 4"),
        (["solutions", "--sets", "bare"], "unknown set with solutions bare; choose from mapped"),
    ],
)
def test_mistakes_are_found_before_work(data, tmp_path, capsys, monkeypatch, command, message):
    monkeypatch.chdir(tmp_path)
    if command and command[0] != "table" and "--out" not in command:
        command = [*command, "--out", "out.jsonl"]
    with pytest.raises(SystemExit) as stopped:
        reranking.main(command)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", [["maps"], ["effect", "x"], ["solutions"]])
def test_sets_are_asked_for(tmp_path, capsys, monkeypatch, command):
    monkeypatch.delenv("SKRR2QC_DATA", raising=False)
    with pytest.raises(SystemExit):
        reranking.main([*command, "--out", str(tmp_path / "out.jsonl")])
    assert "SKRR2QC_DATA must name the folder" in capsys.readouterr().err


def test_a_failing_run_is_told(data, tmp_path, capsys, monkeypatch):
    def fail(*arguments):
        raise FloatingPointError("the loss has grown")

    monkeypatch.setattr(effect, "run", fail)
    out = tmp_path / "out.jsonl"
    assert reranking.main(job("effect", out, "mapped", "--maps", "expert")) == 1
    assert "FAILED, FloatingPointError: the loss has grown" in capsys.readouterr().err
    assert not out.exists()
