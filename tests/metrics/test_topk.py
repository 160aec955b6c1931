"""top_k: order, ties, labels that were not retrieved, blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from scipy import sparse

from skrr2qc.metrics import _topk, top_k

# Few distinct values, so that ties at the cut are the rule.
VALUES = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 0.5000001, 2.0, np.inf])
SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 12))


def sort_in_python(scores, k):
    ranked = []
    for row in scores.tolist():
        order = sorted(range(len(row)), key=lambda label: (-row[label], label))[:k]
        ranked.append([label if row[label] != -np.inf else -1 for label in order])
    return np.array(ranked)


@settings(max_examples=150, deadline=None)
@given(scores=arrays(np.float64, SHAPES, elements=VALUES), data=st.data())
def test_equals_a_python_sort(scores, data):
    k = data.draw(st.integers(1, scores.shape[1]))
    expected = sort_in_python(scores, k)
    assert_array_equal(top_k(scores, k), expected)
    rows, columns = np.nonzero(scores != -np.inf)
    stored = sparse.csr_array((scores[rows, columns], (rows, columns)), shape=scores.shape)
    assert stored.nnz == rows.size  # zeros are stored
    assert_array_equal(top_k(stored, k), expected)


@pytest.mark.parametrize("k", [1, 4, 9])
@pytest.mark.parametrize("block_size", [1, 20, 64])
def test_block_size_does_not_matter(monkeypatch, make_case, k, block_size):
    _, scores, partial = make_case(0, ties=True)
    expected = top_k(scores, k), top_k(partial, k)
    monkeypatch.setattr(_topk, "BLOCK_SIZE", block_size)
    assert_array_equal(top_k(scores, k), expected[0])
    assert_array_equal(top_k(partial, k), expected[1])


def test_unsorted_csr_with_a_stored_zero_and_a_negative_score():
    indices, indptr = np.array([3, 0, 2]), np.array([0, 3, 3])
    scores = sparse.csr_array((np.array([-1.0, 0.0, 0.0]), indices, indptr), shape=(2, 5))
    assert_array_equal(top_k(scores, 4), [[0, 2, 3, -1], [-1, -1, -1, -1]])
    assert_array_equal(scores.indices, [3, 0, 2])  # the caller's matrix is left alone


@pytest.mark.parametrize("columns", [[2], [0, 3, 8], [1, 2, 4, 5, 7]])
def test_columns_restrict_the_competition(make_case, fill, columns):
    _, scores, partial = make_case(1, ties=True)
    columns = np.array(columns)
    k = min(2, columns.size)
    expected = sort_in_python(scores[:, columns], k)
    assert_array_equal(_topk.ranked_labels(scores, k, columns), expected)
    expected = sort_in_python(fill(partial)[:, columns], k)
    assert_array_equal(_topk.ranked_labels(partial, k, columns), expected)


@pytest.mark.parametrize("dtype", [bool, np.int64, np.uint8, np.float16, np.float32])
def test_dtypes(dtype):
    scores = np.array([[0, 1, 1, 0], [1, 0, 0, 1]], dtype=dtype)
    assert_array_equal(top_k(scores, 3), [[1, 2, 0], [0, 3, 1]])
    if dtype is not np.float16:  # which scipy does not store
        assert_array_equal(top_k(sparse.csr_array(scores), 3), [[1, 2, -1], [0, 3, -1]])


def test_no_rows():
    assert top_k(np.empty((0, 4)), 2).shape == (0, 2)
    assert top_k(sparse.csr_array((0, 4)), 2).shape == (0, 2)


@pytest.mark.parametrize(
    ("scores", "k", "error", "message"),
    [
        (np.zeros((2, 3)), 0, ValueError, r"`k` must lie between 1 and .*\(3\), got k == 0"),
        (np.zeros((2, 3)), 4, ValueError, "got k == 4"),
        (np.zeros((2, 3)), 1.0, TypeError, "`k` must be an integer, got 1.0"),
        (np.zeros((2, 3)), True, TypeError, "`k` must be an integer, got True"),
        (np.zeros(3), 1, ValueError, r"`scores` must have two dimensions .* got shape \(3,\)"),
        (np.array([[0.1, np.nan]]), 1, ValueError, "`scores` must not contain NaN, got 1 of 2"),
        (sparse.csr_array([[np.nan, 1.0]]), 1, ValueError, "`scores` must not contain NaN"),
        (np.array([["a", "b"]]), 1, TypeError, "`scores` must hold real numbers, got dtype <U1"),
        (np.array([[1j, 0]]), 1, TypeError, "got dtype complex128"),
    ],
)
def test_invalid_input(scores, k, error, message):
    with pytest.raises(error, match=message):
        top_k(scores, k)
