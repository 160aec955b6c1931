"""Agreement of maps over pairs of labels."""

from itertools import combinations

import numpy as np
import pytest

from skrr2qc import LabelSpace
from skrr2qc.meta_labels import _agreement, meta_label_pair_scores

NAMES = [f"label {i}" for i in range(15)]


def random_space(seed, n_meta=6, names=NAMES):
    rng = np.random.default_rng(seed)
    matrix = rng.random((len(NAMES), n_meta)) < 0.2
    metas = {
        name: [f"m{j}" for j in np.flatnonzero(row)]
        for name, row in zip(NAMES, matrix, strict=True)
    }
    return LabelSpace(names, meta_labels=metas)


def shared_pairs(labels):
    metas = labels.to_dict()["meta_labels"]
    return {
        frozenset(pair)
        for pair in combinations(NAMES, 2)
        if set(metas.get(pair[0], ())) & set(metas.get(pair[1], ()))
    }


@pytest.mark.parametrize("block", [4, 512])
@pytest.mark.parametrize("seed", range(4))
def test_equals_a_loop_over_pairs(monkeypatch, block, seed):
    monkeypatch.setattr(_agreement, "_BLOCK", block)
    ours, theirs = random_space(seed), random_space(seed + 10, 9, NAMES[::-1])
    a, b = shared_pairs(ours), shared_pairs(theirs)
    scores = meta_label_pair_scores(ours, theirs)
    assert (scores["n_pairs"], scores["n_reference_pairs"]) == (len(a), len(b))
    assert scores["precision"] == len(a & b) / len(a)
    assert scores["recall"] == len(a & b) / len(b)
    assert scores["f1"] == pytest.approx(2 * len(a & b) / (len(a) + len(b)), rel=1e-12)


def test_a_map_agrees_with_itself_whatever_its_names():
    labels = random_space(0)
    renamed = LabelSpace(
        NAMES,
        meta_labels={k: [m[::-1] for m in v] for k, v in labels.to_dict()["meta_labels"].items()},
    )
    scores = meta_label_pair_scores(renamed, labels)
    assert scores["precision"] == scores["recall"] == scores["f1"] == 1.0


def test_without_meta_labels_nothing_agrees():
    empty = LabelSpace(NAMES)
    for pair in ((empty, random_space(0)), (random_space(0), empty), (empty, empty)):
        assert meta_label_pair_scores(*pair)["f1"] == 0.0


def test_other_labels():
    with pytest.raises(ValueError, match=r"2 that only one of them has, such as \['a', 'b'\]"):
        meta_label_pair_scores(LabelSpace(["a"]), LabelSpace(["b"]))


def test_what_is_no_label_space():
    """It had no attribute `names`."""
    labels = LabelSpace(["a"])
    with pytest.raises(TypeError, match="reference must be a LabelSpace, got list"):
        meta_label_pair_scores(labels, ["a"])
    with pytest.raises(TypeError, match="labels must be a LabelSpace, got None"):
        meta_label_pair_scores(None, labels)
