"""load_set: tiny sets written here, and the real ones where SKRR2QC_DATA names their folder."""

import gzip
import json
import os

import pytest
from numpy.testing import assert_array_equal

from skrr2qc import LabelSpace
from skrr2qc.datasets import load_set

LABELS = {
    "labels": ["c1", "c2", "c3"],
    "texts": {"c1": "first", "top": "everything"},
    "parents": {"c1": ["top"], "c2": ["top"], "top": ["top"]},
    "meta_labels": {"c1": ["m", "n"], "c2": ["m"]},
    "head": ["c1"],
    "groups": {"rare": ["c3"]},
}
TRAIN = [
    {"id": "a", "text": "alpha question", "labels": ["c1", "c3"], "solution": "worked out"},
    {"id": "b", "text": "二次方程", "labels": []},
    {"id": "c", "text": "gamma", "labels": ["c2"]},
]
TEST = [{"id": "d", "text": "delta", "labels": ["c3"]}]


def write_split(folder, split, records):
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    with gzip.open(folder / f"{split}.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n\n")


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "labels.json").write_text(json.dumps(LABELS), encoding="utf-8")
    write_split(folder, "train", TRAIN)
    write_split(folder, "test", TEST)
    (folder / "subset_small.json").write_text(
        json.dumps({"how": "by hand", "train": ["c", "a"]}), encoding="utf-8"
    )
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "labels.json").write_text('{"labels": ["x"]}', encoding="utf-8")
    return tmp_path


def test_contents(root):
    data = load_set(root, "tiny")
    assert data.train.texts == ["alpha question", "二次方程", "gamma"]
    assert data.train.ids == ["a", "b", "c"]
    assert_array_equal(data.train.Y.toarray(), [[1, 0, 1], [0, 0, 0], [0, 1, 0]])
    assert data.train.solutions == ["worked out", "", ""]
    assert data.val is None
    assert data.test.solutions is None
    assert data["test"]["texts"] == ["delta"]


def test_label_space(root):
    """A node that is its own parent, as in da20k, does not count as a cycle."""
    data = load_set(root, "tiny")
    assert data.labels == LabelSpace(
        ["c1", "c2", "c3"],
        texts={"c1": "first", "top": "everything"},
        parents={"c1": ["top"], "c2": ["top"]},
        meta_labels={"c1": ["m", "n"], "c2": ["m"]},
    )
    assert data.labels.max_depth == 2
    assert data.info == {"head": ["c1"], "groups": {"rare": ["c3"]}}


def test_flat_set_without_splits(root):
    data = load_set(root, "other")
    assert data.train is data.val is data.test is None
    assert data.labels.names == ("x",)


def test_folder_from_the_environment(root, monkeypatch):
    monkeypatch.setenv("SKRR2QC_DATA", str(root))
    assert load_set(None, "tiny").test.ids == ["d"]


def test_n_characters(root):
    data = load_set(root, "tiny", n_characters=3)
    assert data.train.texts == ["alp", "二次方", "gam"]
    assert data.train.solutions == ["wor", "", ""]


@pytest.mark.parametrize("subset", ["subset_small", "subset_small.json"])
def test_subset_keeps_the_order_of_the_file(root, subset):
    data = load_set(root, "tiny", subset=subset)
    assert data.train.ids == ["a", "c"]
    assert_array_equal(data.train.Y.toarray(), [[1, 0, 1], [0, 1, 0]])
    assert data.test.ids == ["d"]


def test_no_folder(monkeypatch):
    monkeypatch.delenv("SKRR2QC_DATA", raising=False)
    with pytest.raises(ValueError, match="SKRR2QC_DATA is not set"):
        load_set(None, "tiny")


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist.*nowhere"):
        load_set(tmp_path / "nowhere", "tiny")


def test_unknown_set_lists_those_found(root):
    with pytest.raises(ValueError, match=r"no set 'tyni'.*other, tiny"):
        load_set(root, "tyni")


def test_unknown_subset_lists_those_found(root):
    with pytest.raises(ValueError, match="no subset 'large'.*subset_small"):
        load_set(root, "tiny", subset="large")


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"n_characters": 0}, ValueError, "`n_characters` must be at least 1 or None, got 0"),
        ({"n_characters": 2.5}, TypeError, "`n_characters` must be an int or None, got 2.5"),
        ({"n_characters": True}, TypeError, "got True"),
        ({"subset": ["a"]}, TypeError, r"`subset` must be the name of a file .* got \['a'\]"),
        ({"name": 3}, TypeError, "`name` must be the name of a set"),
    ],
)
def test_invalid_parameters(root, params, error, message):
    with pytest.raises(error, match=message):
        load_set(root, **{"name": "tiny", **params})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": ["a", "zz"]}, "1 ids of the subset are not in .*'zz'"),
        ({"val": ["a"]}, "names ids of val.jsonl.gz, but the set has no such file"),
        ({"how": "nothing"}, "must map at least one of train, val, test"),
        (["a"], "must map at least one of train, val, test"),
    ],
)
def test_broken_subsets(root, content, message):
    (root / "tiny" / "broken.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_set(root, "tiny", subset="broken")


def test_record_without_a_field(root):
    write_split(root / "tiny", "train", [TRAIN[0], {"id": "e", "text": "no labels"}])
    with pytest.raises(ValueError, match="Line 2 of .*train.jsonl.gz lacks labels"):
        load_set(root, "tiny")


@pytest.mark.parametrize("content", [b"no gzip", b"\x1f\x8b\x08", None], ids=str)
def test_broken_gzip(root, content):
    file = root / "tiny" / "train.jsonl.gz"
    file.write_bytes(file.read_bytes()[:-12] if content is None else content)
    with pytest.raises(ValueError, match="train.jsonl.gz is no whole gzipped text file"):
        load_set(root, "tiny")


def test_broken_json(root):
    with gzip.open(root / "tiny" / "test.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write("{not json}\n")
    with pytest.raises(ValueError, match="Line 1 of .*test.jsonl.gz is not valid JSON"):
        load_set(root, "tiny")
    (root / "other" / "labels.json").write_text("[1", encoding="utf-8")
    with pytest.raises(ValueError, match=r"labels.json is not valid JSON"):
        load_set(root, "other")
    (root / "other" / "labels.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(ValueError, match="must hold an object with the key 'labels'"):
        load_set(root, "other")


def test_unknown_label_in_a_record(root):
    write_split(root / "tiny", "test", [{"id": "f", "text": "?", "labels": ["c9"]}])
    with pytest.raises(ValueError, match="c9"):
        load_set(root, "tiny")


needs_data = pytest.mark.skipif(
    not os.environ.get("SKRR2QC_DATA"), reason="SKRR2QC_DATA names no folder with real sets"
)


@needs_data
@pytest.mark.parametrize(
    ("name", "sizes", "n_labels"),
    [
        ("arc", (3367, 869, 3539), 417),
        ("da20k", (2241, None, 2243), 427),
        ("hoc", (1125, 146, 309), 36),
    ],
)
def test_real_sets(name, sizes, n_labels):
    data = load_set(None, name)
    for part, size in zip((data.train, data.val, data.test), sizes, strict=True):
        if size is None:
            assert part is None
        else:
            assert part.Y.shape == (size, n_labels)
            assert len(part.texts) == len(part.ids) == size
    assert data.labels.n_labels == n_labels


@needs_data
def test_real_subset():
    data = load_set(None, "eurlex57k", subset="subset_train5k", n_characters=200)
    assert data.train.Y.shape == (5000, 4271)
    assert max(map(len, data.train.texts)) == 200
