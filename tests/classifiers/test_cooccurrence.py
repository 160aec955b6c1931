"""Labels that occur together, against a loop over texts and pairs of labels."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from skrr2qc.classifiers._cooccurrence import LabelCooccurrence


def make_targets(n_rows=60, n_labels=14, seed=0):
    """The last label has no text, and the one before always occurs alone."""
    Y = np.random.default_rng(seed).random((n_rows, n_labels)) < 0.15
    Y[:, -2:] = False
    Y[:5] = False
    Y[:5, -2] = True
    return sp.csr_matrix(Y.astype(np.float32))


def make_scores(n_rows=9, n_labels=14, seed=1):
    return np.random.default_rng(seed).random((n_rows, n_labels)).astype(np.float32)


def slow_expected(weights, Y, companions):
    """What weighted labels let expect of each other."""
    expected = np.zeros(Y.shape[1])
    for label in range(Y.shape[1]):
        for j in companions:
            if j != label:
                expected[label] += weights[j] * (Y[:, j] & Y[:, label]).sum() / (Y[:, j].sum() + 1)
    return expected


def slow_lift(scores, Y):
    Y = Y.toarray() > 0
    ones = np.ones(Y.shape[1])
    typical = np.mean([slow_expected(ones, Y, np.flatnonzero(row)) for row in Y], axis=0)
    best = [sorted(range(len(row)), key=lambda j: -row[j])[:10] for row in scores]
    expected = [slow_expected(row, Y, js) for row, js in zip(scores, best, strict=True)]
    return np.log((np.array(expected) + 1e-3) / (typical + 1e-3))


def test_by_hand():
    Y = sp.csr_matrix([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 1]])
    cooccurrence = LabelCooccurrence(Y)
    expected = [[0, 2 / 4, 1 / 4], [2 / 3, 0, 1 / 3], [1 / 3, 1 / 3, 0]]
    assert_allclose(cooccurrence.given_.toarray(), expected, rtol=1e-6)
    first, second, third = 1 / 2 * 2 / 3 + 1 / 2 / 3, 3 / 4 / 2 + 1 / 2 / 3, 3 / 4 / 4 + 1 / 2 / 3
    assert_allclose(cooccurrence.typical_, [first, second, third], rtol=1e-6)
    lift = cooccurrence.lift(np.float32([[0.9, 0.3, 0]]))
    expected = np.array([[0.3 * 2 / 3, 0.9 / 2, 0.9 / 4 + 0.3 / 3]])
    typical = np.array([[first, second, third]])
    assert_allclose(lift, np.log((expected + 1e-3) / (typical + 1e-3)), rtol=1e-5)
    assert lift.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_slow_loop(dtype):
    Y, scores = make_targets(), make_scores().astype(dtype)
    lift = LabelCooccurrence(Y).lift(scores)
    assert lift.dtype == np.float32
    assert_allclose(lift, slow_lift(scores, Y), rtol=1e-4, atol=1e-5)


def test_label_speaks_for_others_and_not_for_itself():
    Y = make_targets()
    scores = np.zeros((2, 14), dtype=np.float32)
    scores[1, 3] = 1
    without, with_it = LabelCooccurrence(Y).lift(scores)
    companions = np.asarray((Y.T @ Y)[3].todense()).ravel() > 0
    companions[3] = False
    assert companions.any()
    assert (with_it[companions] > without[companions]).all()
    assert_array_equal(with_it[~companions], without[~companions])


def test_label_that_nothing_occurs_with_is_neither_likelier_nor_less_likely():
    lift = LabelCooccurrence(make_targets()).lift(make_scores())
    assert_array_equal(lift[:, -2:], 0)
    assert np.isfinite(lift).all()
    assert_array_equal(LabelCooccurrence(sp.csr_matrix(np.eye(14))).lift(make_scores()), 0)


def test_company_leaves_no_trace_in_a_text():
    cooccurrence, scores = LabelCooccurrence(make_targets()), make_scores(50)
    together = cooccurrence.lift(scores)
    alone = np.vstack([cooccurrence.lift(scores[i : i + 1]) for i in range(len(scores))])
    assert_array_equal(together, alone)


def test_targets_may_be_counts_and_hold_explicit_zeros():
    Y = make_targets()
    counts, stored = Y * 3, Y.copy()
    stored.data[::4] = 0
    for given, meant in ((counts, Y), (stored, sp.csr_matrix(stored.toarray()))):
        found, expected = LabelCooccurrence(given), LabelCooccurrence(meant)
        assert_array_equal(found.given_.toarray(), expected.given_.toarray())
        assert_array_equal(found.typical_, expected.typical_)


def test_no_texts_and_few_labels():
    cooccurrence = LabelCooccurrence(sp.csr_matrix([[1, 1]]))
    assert cooccurrence.lift(np.zeros((0, 2), dtype=np.float32)).shape == (0, 2)
    assert cooccurrence.lift(np.float32([[1, 0]])).shape == (1, 2)
