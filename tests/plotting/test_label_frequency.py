"""LabelFrequencyDisplay: values of each bin by brute force."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import f1_score

from skrr2qc.metrics import tail_ndcg_at_k
from skrr2qc.plotting import LabelFrequencyDisplay


@pytest.fixture
def case():
    """50 texts, 12 labels; labels 10 and 11 are true nowhere, label 11 not in training either."""
    rng = np.random.default_rng(0)
    Y = (rng.random((50, 12)) < 0.2).astype(int)
    Y[:, 10:] = 0
    scores = Y + rng.normal(size=Y.shape)
    counts = np.array([200, 101, 100, 40, 21, 20, 19, 6, 5, 1, 3, 0])
    return Y, scores, counts


BINS = [[0, 0], [1, 5], [6, 20], [21, 100], [101, np.inf]]


def columns_of(counts):
    return [np.flatnonzero((counts >= low) & (counts <= high)) for low, high in BINS]


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_f1(ax, case, form):
    Y, scores, counts = case
    Y_pred = (scores > 0.5).astype(int)
    display = LabelFrequencyDisplay.from_predictions(
        form(Y), {"model": form(Y_pred)}, counts, ax=ax
    )
    assert_array_equal(display.bins, BINS)
    assert_array_equal(display.n_labels, [1, 3, 3, 3, 2])
    assert display.measure == "F1"
    for value, columns in zip(display.values["model"], columns_of(counts), strict=True):
        columns = columns[Y[:, columns].any(axis=0)]
        each = [f1_score(Y[:, c], Y_pred[:, c], zero_division=0) for c in columns]
        assert_allclose(value, np.mean(each) if each else np.nan, rtol=1e-12)
    assert np.isnan(display.values["model"][0])  # label 11 is true nowhere


def test_ndcg(ax, case):
    Y, scores, counts = case
    display = LabelFrequencyDisplay.from_predictions(
        Y, {"a": scores, "b": -scores}, counts, measure="ndcg", k=3, ax=ax
    )
    assert display.measure == "nDCG@3"
    discounts = 1 / np.log2(np.arange(2, 5))
    for name, sign in (("a", 1), ("b", -1)):
        order = np.argsort(-sign * scores, axis=1, kind="stable")[:, :3]
        for value, columns in zip(display.values[name], columns_of(counts), strict=True):
            own = np.zeros_like(Y)
            own[:, columns] = Y[:, columns]
            gains = np.take_along_axis(own, order, axis=1) @ discounts
            ideal = np.array([discounts[:n].sum() for n in np.minimum(own.sum(axis=1), 3)])
            rows = ideal > 0
            expected = np.mean(gains[rows] / ideal[rows]) if rows.any() else np.nan
            assert_allclose(value, expected, rtol=1e-12)


def test_the_rarest_bin_is_the_tail(ax, case):
    Y, scores, counts = case
    display = LabelFrequencyDisplay.from_predictions(
        Y, scores, counts, measure="ndcg", bins=(0, 6), ax=ax
    )
    assert_allclose(display.values[""][0], tail_ndcg_at_k(Y, scores, 5, counts), rtol=1e-12)
    assert ax.get_legend() is None


def test_frequencies_from_training_targets(ax):
    Y_train = sp.csr_matrix([[1, 0, 1], [1, 0, 0], [1, 0, 0]])
    Y = np.eye(3, dtype=int)
    display = LabelFrequencyDisplay.from_predictions(Y, Y, Y_train, bins=(0, 1, 2), ax=ax)
    assert_array_equal(display.bins, [[0, 0], [1, 1], [2, np.inf]])
    assert_array_equal(display.values[""], [1, 1, 1])


def test_bins_without_labels_are_left_out(ax):
    Y = np.eye(3, dtype=int)
    display = LabelFrequencyDisplay.from_predictions(Y, Y, [2, 300, 400], bins=(1, 50, 100), ax=ax)
    assert_array_equal(display.bins, [[1, 49], [100, np.inf]])
    assert_array_equal(display.n_labels, [1, 2])


def test_bars(ax, case, check_drawn):
    Y, scores, counts = case
    models = {"_first": scores > 0.5, "$\\frac{": scores > 0.9, "third": scores > 0}
    display = LabelFrequencyDisplay.from_predictions(Y, models, counts, ax=ax, alpha=0.5)
    check_drawn(ax.figure)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(models)
    for bars, values in zip(display.bars_, display.values.values(), strict=True):
        assert_allclose([bar.get_height() for bar in bars], values)
        assert {bar.get_alpha() for bar in bars} == {0.5}
    edges = sorted(
        (bar.get_x(), bar.get_x() + bar.get_width()) for bars in display.bars_ for bar in bars
    )
    assert all(end <= start + 1e-9 for (_, end), (start, _) in zip(edges, edges[1:], strict=False))
    ticks = [tick.get_text() for tick in ax.get_xticklabels()]
    assert ticks == [
        "0\n1 label", "1–5\n3 labels", "6–20\n3 labels", "21–100\n3 labels",
        "101 and more\n2 labels",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"predictions": {"a": np.full((3, 3), 0.5)}}, ValueError, "only 0 and 1"),
        ({"predictions": {"a": np.eye(2)}}, ValueError, "same shape"),
        ({"predictions": {}}, ValueError, "at least one"),
        ({"Y_train": [1, 2]}, ValueError, r"expected \(3,\), got \(2,\)"),
        ({"Y_train": [-1, 2, 3]}, ValueError, ">= 0"),
        ({"measure": "recall"}, ValueError, "`measure` must be one of"),
        ({"bins": (3, 1)}, ValueError, "ascending"),
        ({"bins": ()}, ValueError, "ascending"),
        ({"bins": (9,)}, ValueError, "B >= 1"),
        ({"measure": "ndcg", "k": 4}, ValueError, "`k` must lie between"),
    ],
)
def test_unusable(ax, changes, error, message):
    known = {"Y_true": np.eye(3, dtype=int), "predictions": np.eye(3), "Y_train": [1, 2, 3]}
    with pytest.raises(error, match=message):
        LabelFrequencyDisplay.from_predictions(**(known | changes), ax=ax)


def test_shapes():
    with pytest.raises(ValueError, match=r"must be of shape \(2,\)"):
        LabelFrequencyDisplay([[0, 1], [2, 3]], {"a": [0.5]}, [1, 1])
