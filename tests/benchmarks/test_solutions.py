"""Leak figures and sets with solutions, on a set made here."""

import gzip
import json

import pytest

from benchmarks import _solutions

SETS = {
    "solved": {"train": 4, "val": 2, "test": 3},
    "tested": {"train": 3, "test": 10},  # a train part without solutions
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(_solutions, "SOLUTION_SETS", tuple(SETS))
    for name, sizes in SETS.items():
        (tmp_path / name).mkdir()
        labels = {"labels": ["circle", "mean"]}
        if name == "tested":
            labels["meta_labels"] = {"circle": ["figure"]}
        (tmp_path / name / "labels.json").write_text(json.dumps(labels))
        for part, size in sizes.items():
            records = [record(part, i) for i in range(size)]
            if (name, part) == ("tested", "train"):
                records = [{k: v for k, v in r.items() if k != "solution"} for r in records]
            with gzip.open(tmp_path / name / f"{part}.jsonl.gz", "wt") as file:
                file.writelines(json.dumps(r) + "\n" for r in records)
    return tmp_path


def record(part, i):
    """Every other solution names the label, the text never does."""
    solution = ["A circle.", "See the figure. It is 4."][i % 2]
    text = f"{part} {i}"
    return {"id": text, "text": text, "labels": ["circle"], "solution": solution}


def test_leak_records(folder):
    records = _solutions.leak_records(folder)
    keys = [(r["set"], r["part"], r["strip"]) for r in records]
    assert keys == [
        ("solved", "train+val+test", "labels"),
        ("tested", "test", "labels"),
        ("tested", "test", "all"),
    ]
    solved, tested, stripped = records
    assert (solved["n_texts"], solved["n_solutions"]) == (9, 9)
    assert solved["figures"]["in_solution"] == pytest.approx(5 / 9)
    assert solved["figures"]["in_stripped"] == solved["figures"]["in_text"] == 0
    assert tested["figures"]["emptied"] == 5 / 10
    assert stripped["figures"]["kept"] < tested["figures"]["kept"]
    json.dumps(records)


def test_solution_texts(folder):
    texts, solutions = _solutions.solution_texts("solved", part="val", data_folder=folder)
    assert (len(texts.train), len(texts.test), texts.Y_test.shape) == (4, 2, (2, 2))
    assert len(solutions) == 9
    assert solutions["val 0"] == "A circle."


def test_where_only_the_test_part_has_solutions(folder):
    texts, solutions = _solutions.solution_texts("tested", data_folder=folder)
    assert (len(texts.train), len(texts.test)) == (8, 2)
    assert set(texts.train) | set(texts.test) == set(solutions)
    again, _ = _solutions.solution_texts("tested", data_folder=folder)
    assert again.test == texts.test
    with pytest.raises(ValueError, match="val part of tested has no solutions"):
        _solutions.solution_texts("tested", part="val", data_folder=folder)
