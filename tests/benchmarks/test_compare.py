"""The comparison: texts, figures, records and command line; no figure of a real model."""

import gzip
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

import benchmarks._command_line
import benchmarks._models
import benchmarks._runs
from benchmarks import compare
from benchmarks._machine import describe_machine, peak_memory
from benchmarks._models import MODELS, find_encoder, parameters_of
from benchmarks._per_text import FIGURES, read_rankings
from benchmarks._processes import OverTime, apart
from benchmarks._records import KEY, append_record, check_writable, find_record, read_records
from benchmarks._runs import (
    Task,
    TextSet,
    evaluate,
    evaluate_groups,
    key_of,
    load,
    run,
    with_first_label,
)
from benchmarks._table import format_report
from skrr2qc import LabelSpace, TfidfLinearClassifier, metrics

WORDS = {"area": "a circle has which area", "mean": "the mean of a sample", "root": "solve for x"}


def write_set(root, name, parts):
    """A set of the shared layout; `parts` names its splits and their sizes."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "labels.json").write_text(json.dumps({"labels": [*WORDS, "unseen"]}))
    for part, size in parts.items():
        with gzip.open(folder / f"{part}.jsonl.gz", "wt") as file:
            for i in range(size):
                label = list(WORDS)[i % 3]
                record = {
                    "id": f"{part}{i}",
                    "text": f"{WORDS[label]} {part} {i}",
                    "labels": [label],
                }
                file.write(json.dumps(record) + "\n")


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Folder with two sets, one of them without a validation part."""
    root = tmp_path / "data"
    write_set(root, "toy", {"train": 40, "test": 9})
    write_set(root, "with-val", {"train": 30, "val": 6, "test": 9})
    monkeypatch.setenv("SKRR2QC_DATA", str(root))
    return root


@pytest.fixture
def texts():
    labels = LabelSpace(["a", "b"])
    Y = sp.csr_matrix(np.eye(2, dtype=np.float32)[np.arange(20) % 2])
    X = ["one circle", "two squares"] * 10
    return TextSet(
        "toy", "test", labels, X, Y, X[:4], Y[:4], {"subset": None, "n_characters": None}
    )


@pytest.fixture
def task():
    return Task("tfidf-linear", 0, "compact", "compact")


def command(out, *more):
    return ["--sets", "toy", "--models", "tfidf-linear", "--in-process", "--out", str(out), *more]


# ------------------------------------------------------------------------------------ texts


def test_official_parts(data):
    tested, chosen = load("with-val"), load("with-val", part="val")
    assert (len(tested.train), len(tested.test), len(chosen.test)) == (30, 9, 6)
    assert chosen.train == tested.train  # validation texts are never trained on
    assert not set(chosen.test) & set(tested.test)


def test_a_fifth_of_training_stands_in_for_a_missing_validation_part(data):
    first, again, tested = load("toy", part="val"), load("toy", part="val"), load("toy")
    assert first.test == again.test
    assert len(first.test) == 8
    assert sorted(first.train + first.test) == sorted(tested.train)
    assert first.Y_test.shape == (8, 4)
    assert_allclose(first.Y_train.sum() + first.Y_test.sum(), tested.Y_train.sum())


def test_limited_training_keeps_texts_and_labels_together(data):
    limited = load("toy", limit_train=10)
    assert len(limited.train) == limited.Y_train.shape[0] == 10
    assert limited.train == load("toy", limit_train=10).train
    assert len(limited.test) == 9
    names = limited.labels.decode(limited.Y_train)
    assert all(
        text.startswith(WORDS[name]) for text, (name,) in zip(limited.train, names, strict=True)
    )


def test_long_laws_are_cut(data, monkeypatch):
    assert benchmarks._runs.N_CHARACTERS == {"eurlex57k": 3000}
    monkeypatch.setitem(benchmarks._runs.N_CHARACTERS, "toy", 4)
    assert {len(text) for text in load("toy").train} == {4}
    assert {len(text) for text in load("toy", n_characters=6).train} == {6}
    assert min(len(text) for text in load("toy", n_characters=0).train) > 6


# ----------------------------------------------------------------------------------- models


@pytest.mark.parametrize("name", sorted(MODELS))
def test_models_are_unfitted_estimators_of_their_seed(name, texts):
    estimator = MODELS[name](7, "compact", texts.labels)
    assert estimator.get_params()["random_state"] == 7
    assert not [attribute for attribute in vars(estimator) if attribute.endswith("_")]


def test_variants_differ_from_the_method_in_what_they_leave_out(texts):
    full = parameters_of(MODELS["skrr2qc"](0, "compact", texts.labels), "compact", "compact")
    left_out = {
        "skrr2qc-tower": {"lexical", "label_texts"},
        "skrr2qc-no-rerank": {"reranker"},
        "skrr2qc-no-refit": {"refit"},
    }
    for name, changed in left_out.items():
        variant = parameters_of(MODELS[name](0, "compact", texts.labels), "compact", "compact")
        assert {key for key in full | variant if full.get(key) != variant.get(key)} == changed


def test_parameters_show_everything_but_seeds_and_paths(texts, tmp_path):
    path = str(tmp_path)
    found = parameters_of(MODELS["skrr2qc"](3, path, texts.labels), path, "nice-encoder")
    assert found[""] == "RetrievalRerankClassifier"
    assert found["encoder__backbone"] == "'nice-encoder'"
    assert "head__class_center_weight" in found
    assert not [name for name in found if name.endswith(("random_state", "verbose", "device"))]
    assert path not in json.dumps(found)
    assert found == parameters_of(MODELS["skrr2qc"](4, path, texts.labels), path, "nice-encoder")


def test_encoders(tmp_path, monkeypatch):
    folder, other = tmp_path / "tiny-encoder", tmp_path / "x" / "tiny-encoder"
    for made in (folder, other):
        made.mkdir(parents=True)
        (made / "config.json").write_text("{}")
    assert find_encoder("compact") == ("compact", "compact")
    shown, backbone = find_encoder(str(folder))
    assert (shown.partition(" ")[0], backbone) == ("tiny-encoder", str(folder))
    assert find_encoder(str(other))[0] == shown
    (other / "config.json").write_text("{ }")
    assert find_encoder(str(other))[0] != shown  # a run of the one is none of the other
    assert find_encoder("someone/encoder") == ("someone/encoder", "someone/encoder")
    for missing in (str(tmp_path / "missing"), "compcat", "./a/b"):
        with pytest.raises(ValueError, match="there is no encoder"):
            find_encoder(missing)
    monkeypatch.setattr(benchmarks._models, "_MINILM_PACKAGE", "no_such_package_anywhere")
    with pytest.raises(ValueError, match=r"pip install 'skrr2qc\[bench\]'"):
        find_encoder("minilm")


# ---------------------------------------------------------------------------------- figures


def test_figures_are_those_of_the_metrics():
    rng = np.random.default_rng(0)
    Y_train, Y_test = rng.integers(0, 2, (30, 6)), rng.integers(0, 2, (20, 6))
    scores = rng.random((20, 6))
    Y_pred = (scores > 0.6).astype(int)
    figures = evaluate(sp.csr_matrix(Y_train), sp.csr_matrix(Y_test), scores, Y_pred)
    propensities = metrics.jain_propensities(Y_train)
    assert figures["precision_at_3"] == metrics.precision_at_k(Y_test, scores, 3)
    assert figures["psprecision_at_5"] == metrics.psprecision_at_k(Y_test, scores, 5, propensities)
    assert figures["micro_f1"] == metrics.label_f1(Y_test, Y_pred)
    assert math.isnan(figures["tail_ndcg_at_5"])  # every label has more than five texts here


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_every_text_gets_its_first_label_where_all_had_one(form):
    scores = np.array([[0.2, 0.4, 0.1], [0.6, 0.7, 0.1], [0.0, 0.0, 0.0]])
    Y_pred = form((scores > 0.5).astype(np.int8))
    found = with_first_label(np.eye(3), form(scores), Y_pred).toarray()
    last = [1, 0, 0] if form is np.asarray else [0, 0, 0]  # nothing was retrieved for it
    assert_allclose(found, [[0, 1, 0], [1, 1, 0], last])
    assert_allclose(
        with_first_label([[1, 0, 0], [0, 0, 0]], scores, Y_pred).toarray(), scores > 0.5
    )


def test_unseen_labels_count_as_misses():
    Y_train = sp.csr_matrix([[1, 0]] * 3)
    Y_test, scores = sp.csr_matrix([[1, 0], [0, 1]]), np.array([[0.9, 0.1], [0.9, 0.1]])
    figures = evaluate(Y_train, Y_test, scores, scores > 0.5)
    assert figures["precision_at_1"] == 0.5
    assert figures["macro_f1_at_1"] == pytest.approx((2 / 3 + 0) / 2)
    assert figures["tail_ndcg_at_5"] == pytest.approx((1 + 1 / math.log2(3)) / 2)  # ranks 1 and 2


def test_groups_of_a_set_are_judged_apart(data):
    labels = data / "toy" / "labels.json"
    groups = {"few(1-9)": ["mean", "area"], "zero": ["unseen"]}
    labels.write_text(json.dumps({"labels": [*WORDS, "unseen"], "groups": groups}))
    texts = load("toy")
    assert texts.groups == {"few(1-9)": [1, 0], "zero": [3]}
    scores = np.tile([0.9, 0.8, 0.1, 0.5], (9, 1))  # area, mean, root, unseen
    figures = evaluate_groups(texts, scores)
    assert figures["ndcg_at_5_among_few"] == pytest.approx((1 + 1 / math.log2(3)) / 2)
    assert figures["r_precision_at_5_among_few"] == 1  # both are among the first five
    assert math.isnan(figures["ndcg_at_5_among_zero"])  # no such text
    assert load("with-val").groups == {}
    labels.write_text(json.dumps({"labels": list(WORDS), "groups": {"zero": [], "few": ["mean"]}}))
    assert list(load("toy").groups) == ["few"]
    labels.write_text(json.dumps({"labels": list(WORDS), "groups": {"few": ["medium"]}}))
    with pytest.raises(ValueError, match="'medium', which is no label"):
        load("toy")


def test_record_of_a_run(task, texts):
    record = json.loads(json.dumps(run(task, texts), allow_nan=False))
    assert {*KEY, "figures", "fitted", "warnings", "versions", "machine", "date"} <= set(record)
    assert record["encoder"] is None  # this model has none
    assert record["n_test"] == 4
    figures = record["figures"]
    assert figures["precision_at_1"] == 1.0
    assert figures["memory_mib"] >= figures["fit_memory_mib"] >= figures["start_memory_mib"] > 20
    assert figures["fit_seconds"] > 0
    assert set(record["versions"]) == {"skrr2qc", "python", "numpy", "scikit-learn", "torch"}


def test_key_tells_runs_apart(task, texts):
    key = key_of(task, texts)
    assert key == key_of(replace(task, verbose=1, device="cpu"), texts)
    assert key == key_of(replace(task, encoder="x/y", shown="y"), texts)  # no encoder in it
    others = [
        key_of(replace(task, seed=1), texts),
        key_of(replace(task, model="textcnn"), texts),
        key_of(task, replace(texts, part="val")),
        key_of(task, replace(texts, train=texts.train[:5])),
    ]
    assert key not in others


def test_encoder_is_recorded_where_there_is_one(task, texts):
    composite = replace(task, model="skrr2qc")
    assert key_of(composite, texts)["encoder"] == "compact"
    assert key_of(composite, texts) != key_of(replace(composite, shown="other"), texts)


class Warns(TfidfLinearClassifier):
    """Warns, and fails if it is told to."""

    def fit(self, X, y):
        import warnings

        for _ in range(3):
            warnings.warn("no meta-labels in /x/y", UserWarning, stacklevel=2)
        return super().fit(X, y)


def test_warnings_are_kept_once_and_without_paths(task, texts, monkeypatch, recwarn):
    monkeypatch.setitem(MODELS, "warns", lambda seed, encoder, labels: Warns(random_state=seed))
    record = run(Task("warns", 0, "/x/y", "y"), texts)
    assert record["warnings"] == ["UserWarning: no meta-labels in y (3 times)"]
    assert not recwarn.list


def test_machine():
    found = describe_machine()
    assert found["machine"]["cores"] >= 1
    assert found["date"].endswith("+00:00")
    assert peak_memory() > 20


@pytest.mark.slow
def test_a_process_of_its_own_counts_its_own_memory(task, texts):
    ballast = np.ones(60_000_000)  # 480 MB in this process, which the other must not count
    assert peak_memory() > 450
    figures = apart(run, task, texts)["figures"]
    assert figures["start_memory_mib"] < peak_memory() - 100
    assert figures["precision_at_1"] == 1.0
    assert ballast[-1] == 1


# ---------------------------------------------------------------------------------- records


def make_record(**values):
    record = {
        "set": "toy", "part": "test", "n_train": 100, "n_test": 10, "n_labels": 4, "subset": None,
        "n_characters": None, "model": "m", "encoder": None, "seed": 0, "parameters": {"a": "1"},
        "version": "1", "figures": {"precision_at_1": 0.5, "fit_seconds": 2.0}, "warnings": [],
        "versions": {"skrr2qc": "1"}, "commit": None, "date": "2025-01-01T00:00:00+00:00",
        "machine": {"cpu": "C", "cores": 2, "threads": 2, "bf16": False, "gpu": None},
    }  # fmt: skip
    return record | values


def test_records_are_found_again(tmp_path):
    file = tmp_path / "out.jsonl"
    assert read_records(file) == []
    first, second = make_record(date="2025-01-01"), make_record(date="2025-01-02")
    for record in (first, make_record(seed=1), second):
        append_record(file, record)
    records = read_records(file)
    assert records == [first, make_record(seed=1), second]
    assert find_record(records, make_record(figures=None)) == second
    assert find_record(records, make_record(parameters={"a": "2"})) is None


def test_a_torn_line_costs_only_itself(tmp_path, capsys):
    file = tmp_path / "out.jsonl"
    append_record(file, make_record())
    with file.open("a") as stream:
        stream.write('{"set": "to')
    append_record(file, make_record(seed=1))
    assert [record["seed"] for record in read_records(file)] == [0, 1]
    assert "out.jsonl, line 2" in capsys.readouterr().err


def test_places_that_cannot_be_written(tmp_path):
    check_writable(tmp_path / "new.jsonl")
    with pytest.raises(ValueError, match="is a folder"):
        check_writable(tmp_path)
    with pytest.raises(ValueError, match="there is no folder"):
        check_writable(tmp_path / "no" / "out.jsonl")


# ------------------------------------------------------------------------------------ table


def cells(report, row):
    return [cell.strip() for cell in report.splitlines()[2 + row].strip("|").split("|")]


def test_table_of_seeds():
    seeds = [make_record(seed=s, figures={"precision_at_1": p}) for s, p in ((0, 0.5), (1, 0.6))]
    report = format_report([*seeds, make_record(model="n", encoder="compact")])
    assert cells(report, 0)[:3] == ["toy", "m", "55.0 ± 5.0"]
    assert cells(report, 1)[:3] == ["", "n (compact)", "50.0"]
    assert cells(report, 1)[-3] == "2"
    assert cells(report, 1)[4] == "-"  # a figure that is missing or undefined
    assert "100 training and 10 test texts, 4 labels" in report
    assert "Seeds 0, 1" in report


def test_table_shows_the_latest_of_each_run():
    old = make_record(figures={"precision_at_1": 0.1})
    other = make_record(seed=1, parameters={"a": "0"}, figures={"precision_at_1": 0.2})
    report = format_report([old, other, make_record()])
    assert cells(report, 0)[2] == "50.0"
    assert "2 records of other parameters" in report


def test_table_tells_parts_and_sizes_apart():
    report = format_report([make_record(), make_record(n_train=50), make_record(part="val")])
    assert [cells(report, i)[0] for i in range(3)] == ["toy n=100", "toy n=50", "toy val"]


def test_table_is_markdown():
    lines = format_report([make_record()]).splitlines()[:3]
    assert len({line.count("|") for line in lines}) == 1
    assert len({len(line) for line in lines}) == 1


# ------------------------------------------------------------------------------ command line


def test_compare_keeps_and_resumes(data, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out.jsonl"
    assert compare.main(command(out, "--limit-train", "20")) == 0
    first = capsys.readouterr()
    assert cells(first.out, 0)[:3] == ["toy", "tfidf-linear", "100.0"]
    assert "fitting 20 texts" in first.err
    assert str(data) not in out.read_text()
    monkeypatch.setattr(compare, "measure", lambda task, texts: pytest.fail("fitted again"))
    assert compare.main(command(out, "--limit-train", "20")) == 0
    again = capsys.readouterr()
    assert again.out == first.out
    assert "kept from" in again.err
    assert len(read_records(out)) == 1
    assert compare.main(["--report", str(out)]) == 0
    assert capsys.readouterr().out == first.out


def test_what_a_run_made_of_each_text_is_kept(data, tmp_path):
    out = tmp_path / "out.jsonl"
    assert compare.main(command(out)) == 0
    (record,) = read_records(out)
    (run_name, ranking), *others = read_rankings(tmp_path / "out_per_text.jsonl").items()
    assert (run_name, others) == (record["run"], [])
    wanted = [record["figures"][name] for name in FIGURES]
    wanted = [math.nan if value is None else value for value in wanted]
    assert_allclose(ranking.figures(np.ones((1, 9)))[0], wanted)
    assert ranking.counts.tolist() == [14, 13, 13, 0]


def test_a_run_over_its_time_is_kept_as_stopped(data, tmp_path, capsys, monkeypatch):
    def too_slow(*arguments, time_limit):
        raise OverTime(f"{time_limit}")

    out = tmp_path / "out.jsonl"
    arguments = ["--sets", "toy", "--models", "tfidf-linear", "--out", str(out)]
    monkeypatch.setattr(benchmarks._command_line, "apart", too_slow)
    assert compare.main([*arguments, "--time-limit", "7"]) == 0
    captured = capsys.readouterr()
    assert "toy tfidf-linear seed 0: stopped after 7 s" in captured.err
    assert cells(captured.out, 0)[2] == "-"
    assert read_records(out)[0]["figures"] == {"stopped_after_seconds": 7.0}
    assert compare.main([*arguments, "--time-limit", "5"]) == 0
    assert "kept from" in capsys.readouterr().err  # less would not do, either
    assert compare.main([*arguments, "--time-limit", "9"]) == 0
    assert [r["figures"]["stopped_after_seconds"] for r in read_records(out)] == [7, 9]


def test_a_record_without_what_was_made_of_texts_is_made_again(data, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    assert compare.main(command(out)) == 0
    (record,) = read_records(out)
    del record["run"]  # as of before that was kept
    out.write_text(json.dumps(record) + "\n")
    assert compare.main(command(out)) == 0
    assert ["run" in found for found in read_records(out)] == [False, True]


def test_environments_are_made_before_the_clock_starts(data, tmp_path, capsys, monkeypatch):
    made = []

    def make(name):
        made.append(name)
        raise RuntimeError("no network")

    monkeypatch.setattr(compare, "make_environment", make)
    models = ["--models", "pecos", "tfidf-linear"]
    assert compare.main([*command(tmp_path / "out.jsonl"), *models]) == 1
    captured = capsys.readouterr()
    assert made == ["pecos"]
    assert "pecos: FAILED, RuntimeError: no network" in captured.err
    assert cells(captured.out, 0)[1] == "tfidf-linear"


def test_a_process_is_gone_after_its_time():
    others = set(active_children())  # of tests before
    with pytest.raises(OverTime, match="after 1 s"):
        apart(time.sleep, 300, time_limit=1)
    assert set(active_children()) <= others


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for the process there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_process_ends_with_its_parent(tmp_path, number):
    """Whatever ends the parent: an orphan would go on for hours, and leave no record."""
    code = (
        "import signal, sys, time\n"
        "from benchmarks._processes import apart\n"
        "from tests.benchmarks.sleeper import sleep\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "if __name__ == '__main__':\n"
        "    apart(sleep, sys.argv[1])\n"
    )
    script, told = tmp_path / "parent.py", tmp_path / "worker"
    script.write_text(code)
    root = str(Path(__file__).parents[2])
    parent = subprocess.Popen(
        [sys.executable, str(script), str(told)], env={**os.environ, "PYTHONPATH": root}
    )
    assert wait_until(lambda: told.is_file() and told.read_text())
    worker = int(told.read_text())
    parent.send_signal(number)
    parent.wait(60)
    assert wait_until(lambda: is_gone(worker))


def wait_until(is_so):
    for _ in range(600):
        if is_so():
            return True
        time.sleep(0.1)
    return False


def is_gone(process):
    try:
        return "State:\tZ" in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True


def test_the_same_run_asked_for_twice_is_made_once(data, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    twice = [
        "--sets",
        "toy",
        "toy",
        "--models",
        "tfidf-linear",
        "tfidf-linear",
        "--seeds",
        "0",
        "0",
    ]
    assert compare.main([*command(out), *twice]) == 0
    assert len(read_records(out)) == 1


def test_force_and_other_rows_fit_again(data, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    for more in ([], ["--force"], ["--limit-train", "20"], ["--part", "val"]):
        assert compare.main(command(out, *more)) == 0
    records = read_records(out)
    assert [record["n_train"] for record in records] == [40, 40, 20, 32]
    assert [record["part"] for record in records] == ["test", "test", "test", "val"]


def test_a_failing_run_leaves_the_others(data, tmp_path, capsys, monkeypatch):
    def fail(seed, encoder, labels):
        return TfidfLinearClassifier(C=-1)

    monkeypatch.setitem(MODELS, "fails", fail)
    out = tmp_path / "out.jsonl"
    models = ["--models", "fails", "tfidf-linear"]
    assert compare.main([*command(out), *models]) == 1
    captured = capsys.readouterr()
    assert "toy fails seed 0: FAILED, ValueError" in captured.err
    assert cells(captured.out, 0)[1] == "tfidf-linear"
    assert len(read_records(out)) == 1


@pytest.mark.parametrize(
    ("file", "content"),
    [("labels.json", b"["), ("train.jsonl.gz", b"no gzip"), ("test.jsonl.gz", b"\x1f\x8b\x08")],
)
def test_a_broken_set_leaves_the_others(data, tmp_path, capsys, file, content):
    (data / "with-val" / file).write_bytes(content)
    out = tmp_path / "out.jsonl"
    assert compare.main([*command(out), "--sets", "with-val", "toy"]) == 1
    captured = capsys.readouterr()
    assert "with-val: FAILED" in captured.err
    assert cells(captured.out, 0)[0] == "toy"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--models", "bert"], "unknown model bert; choose from skrr2qc,"),
        (["--time-limit", "5"], "--time-limit stops processes: leave out --in-process"),
        (["--time-limit", "nan"], "--time-limit must be at most"),
        (["--time-limit", "inf"], "--time-limit must be at most"),
        (["--sets", "toy", "acr"], "unknown set acr; choose from toy, with-val"),
        (["--encoder", "compcat"], "there is no encoder 'compcat'"),
        (["--out", "no/such/folder/x"], "there is no folder"),
        (["--limit-train", "0"], "--limit-train must be at least 3, got 0"),
        (["--subset", "small"], "the set toy has no file small.json"),
        (["--report", "missing.jsonl"], "there is no file missing.jsonl"),
        (["--part", "train"], "invalid choice"),
    ],
)
def test_mistakes_are_found_before_work(data, tmp_path, capsys, monkeypatch, more, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compare, "load", lambda *args, **kwargs: pytest.fail("work began"))
    with pytest.raises(SystemExit) as stopped:
        compare.main([*command("out.jsonl"), *more])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not Path("out.jsonl").exists()


@pytest.mark.parametrize(("folder", "message"), [(None, "is not set"), ("gone", "names no folder")])
def test_data_folder_is_asked_for(folder, message, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("SKRR2QC_DATA", raising=False)
    if folder is not None:
        monkeypatch.setenv("SKRR2QC_DATA", str(tmp_path / folder))
    with pytest.raises(SystemExit):
        compare.main(command(tmp_path / "out.jsonl"))
    assert message in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_found_before_work(data, tmp_path, capsys):
    (tmp_path / "out_per_text.jsonl").mkdir()
    with pytest.raises(SystemExit):
        compare.main(command(tmp_path / "out.jsonl"))
    assert "out_per_text.jsonl is a folder" in capsys.readouterr().err


def test_out_is_asked_for(data, capsys):
    with pytest.raises(SystemExit):
        compare.main(["--sets", "toy"])
    assert "--out FILE is required" in capsys.readouterr().err
