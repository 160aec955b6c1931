"""Records of decompositions, on a made-up folder."""

import json

import numpy as np
import pytest

from benchmarks import _decomposition
from benchmarks._decomposition import decomposition_records

NAMES = ["area of a circle", "area of a square", "angle in a circle", "angle in a square"]
EXPERTS = {name: [name.split()[0], name.split()[-1]] for name in NAMES}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "rr2qc_label_maps").mkdir()
    (tmp_path / "hoc").mkdir()
    content = {"labels": NAMES, "meta_labels": EXPERTS}
    (tmp_path / "rr2qc_label_maps" / "da20k.json").write_text(json.dumps(content))
    parents = {NAMES[0]: ["shapes"], "shapes": ["shapes"]}  # its own parent, as in one of the sets
    content = {"labels": NAMES, "texts": {NAMES[3]: "angle in squares"}, "parents": parents}
    (tmp_path / "hoc" / "labels.json").write_text(json.dumps(content))
    return tmp_path


def test_records(folder, monkeypatch):
    monkeypatch.setattr(_decomposition, "_embed_by_minilm", lambda texts: np.eye(len(texts)) + 1)
    records = decomposition_records(folder)
    assert [(r["set"], r["method"], r["hierarchy"]) for r in records] == [
        ("da20k", "experts", False),
        ("da20k", "names", False),
        ("da20k", "names, no heads", False),
        ("hoc", "names", True),
        ("hoc", "names, all parents", True),
    ]
    json.dumps(records)
    for record in records[:3]:
        assert (record["n_meta_labels"], record["mean_per_label"]) == (4, 2.0)
        assert record["pairs"]["f1"] == 1.0
        assert set(record["similarity"]) == {"characters"}
    assert records[3]["pairs"] is None
    assert set(records[3]["similarity"]) == {"characters", "minilm"}
    similarity = records[3]["similarity"]["minilm"]
    assert similarity["labels"]["n_pairs"] == similarity["meta_labels"]["n_pairs"] == 6


def test_an_empty_folder_has_no_records(tmp_path):
    assert decomposition_records(tmp_path) == []
