"""Input checks shared by the metrics."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skrr2qc.metrics import _inputs, label_f1, ndcg_at_k, precision_at_k

DENSE = np.array([[0, 1, 0], [1, 0, 1]])


@pytest.mark.parametrize(
    "convert",
    [
        np.asarray,
        lambda Y: Y.astype(bool),
        lambda Y: Y.astype(np.float32),
        lambda Y: Y.astype(np.uint8),
        lambda Y: Y.tolist(),
        sparse.csr_matrix,
        sparse.csc_array,
        sparse.coo_array,
        lambda Y: sparse.csr_array(Y.astype(bool)),
    ],
)
def test_indicator_is_canonical_csr_for_every_storage(convert):
    Y = _inputs.as_indicator(convert(DENSE), "Y")
    assert isinstance(Y, sparse.csr_array)
    assert Y.has_canonical_format
    assert Y.data.dtype == np.int32
    assert_array_equal(Y.toarray(), DENSE)


def test_explicit_zeros_are_not_labels_and_the_input_is_left_alone():
    data, indices, indptr = np.array([1, 0, 1]), np.array([2, 1, 0]), np.array([0, 2, 3])
    Y = sparse.csr_array((data, indices, indptr), shape=(2, 3))
    checked = _inputs.as_indicator(Y, "Y")
    assert_array_equal(checked.indices, [2, 0])
    assert_array_equal(Y.indices, [2, 1, 0])
    assert_array_equal(Y.data, [1, 0, 1])


@pytest.mark.parametrize(
    ("Y", "error", "message"),
    [
        ([[0, 2]], ValueError, "`Y_true` must hold only 0 and 1, got the value 2"),
        ([[0.0, 0.5]], ValueError, "got the value 0.5"),
        ([[0.0, np.nan]], ValueError, "got the value nan"),
        (sparse.csr_array([[0, -1]]), ValueError, "got the value -1"),
        # Two stored entries at one place add up to 2.
        (sparse.csr_array(([1, 1], [0, 0], [0, 2]), shape=(1, 2)), ValueError, "the value 2"),
        ([0, 1], ValueError, r"`Y_true` must have two dimensions .* got shape \(2,\)"),
        ([["algebra", "sets"]], TypeError, "`Y_true` must hold numbers 0 and 1, got dtype <U7"),
        ([[0, 1, 0]], ValueError, r"`Y_true` and `scores` must have .* \(1, 3\) and \(1, 2\)"),
    ],
)
def test_invalid_truth(Y, error, message):
    with pytest.raises(error, match=message):
        ndcg_at_k(Y, np.array([[0.1, 0.2]]), 1)


def test_predictions_are_checked_under_their_own_name():
    with pytest.raises(ValueError, match="`Y_pred` must hold only 0 and 1, got the value 0.5"):
        label_f1([[0, 1]], [[0, 0.5]])


@pytest.mark.parametrize("counts", [[3, 0, 2], np.array([3.0, 0.0, 2.0])])
def test_label_counts_of_counts(counts):
    assert_array_equal(_inputs.label_counts(counts), [3, 0, 2])


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array])
def test_label_counts_of_a_matrix(storage):
    assert_array_equal(_inputs.label_counts(storage(DENSE)), [1, 1, 1])


@pytest.mark.parametrize("counts", [[1, -1], [0.5, 1.0], [np.nan, 1.0]])
def test_label_counts_must_be_counts(counts):
    with pytest.raises(ValueError, match="must be whole numbers >= 0"):
        _inputs.label_counts(counts)


def test_the_warning_points_at_the_caller():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert np.isnan(precision_at_k(np.empty((0, 2)), np.empty((0, 2)), 1))
        assert np.isnan(label_f1(np.empty((0, 2)), np.empty((0, 2)), average="samples"))
    assert [warning.category for warning in caught] == [RuntimeWarning] * 2
    assert {warning.filename for warning in caught} == {__file__}


def test_a_sparse_matrix_that_points_outside_of_itself():
    """scipy builds it without a word, and the process crashed when it was read."""
    Y = sparse.csr_matrix((np.ones(1), np.array([7]), np.array([0, 1])), shape=(1, 2))
    with pytest.raises(ValueError, match="`Y_true` is a broken csr_matrix"):
        label_f1(Y, [[0, 1]])
    with pytest.raises(ValueError, match="`scores` is a broken csr_matrix"):
        ndcg_at_k([[0, 1]], Y, k=1)


def test_rows_of_different_lengths():
    """numpy's own words about an inhomogeneous shape came through."""
    with pytest.raises(ValueError, match="`Y_pred` must be a matrix with rows of one length"):
        label_f1([[1, 0], [1, 1]], [[1, 0], [1]])


@pytest.mark.parametrize("value", ["x", None, np.array(0.5), True])
def test_check_real(value):
    """Comparing these with a bound failed in Python's own words."""
    with pytest.raises(TypeError, match="`t` must be a number"):
        _inputs.check_real(value, "t", above=0)
    assert _inputs.check_real(np.float32(2), "t", above=0) == 2.0
    with pytest.raises(ValueError, match="`t` must be a finite number > 0, got inf"):
        _inputs.check_real(np.inf, "t", above=0)
