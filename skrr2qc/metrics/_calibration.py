"""Calibration of label scores."""

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ._inputs import Matrix, check_k, warn_undefined
from ._ranking import checked_pair, contains
from ._topk import ranked_labels, row_blocks

MOST_BINS = 1_000_000
NO_ENTRIES = "there are no entries"


def expected_calibration_error(
    Y_true: Matrix, scores: Matrix, n_bins: int = 15, *, k: int | None = None
) -> float:
    """Expected calibration error of label scores that are read as probabilities.

    Entries are sorted into equal bins of [0, 1]; the error is the mean over entries of the
    distance between the mean score and the share of true labels of their bin (Eq. 5 of [1]_).

    Parameters
    ----------
    Y_true : ndarray or CSR of shape (n, L), {0, 1}
        True labels.
    scores : ndarray or CSR of shape (n, L), in [0, 1]
        In CSR, entries that are not stored count as probability 0.
    n_bins : int, default=15
        Number of bins, from 1 to a million. A bin includes its lower edge; the last one includes 1.
    k : int, default=None
        Only the `k` best labels of each row count, chosen as by `top_k`: in CSR, of those that
        are stored. None: all n L entries.

    Returns
    -------
    error : float in [0, 1]
        nan with a RuntimeWarning if there are no entries.

    Raises
    ------
    ValueError, TypeError
        If shapes differ, `Y_true` holds other values than 0 and 1, `scores` leave [0, 1] or
        contain NaN, `n_bins` is not a positive integer, or `k` is out of range.

    Notes
    -----
    With many labels almost all entries are true negatives near 0, which make the error small:
    compare models on the same labels only, and look at the labels that anyone looks at with `k`.

    References
    ----------
    .. [1] Guo, Pleiss, Sun and Weinberger. On Calibration of Modern Neural Networks. ICML 2017;
       there with one predicted class per sample.

    Examples
    --------
    >>> from skrr2qc.metrics import expected_calibration_error
    >>> round(expected_calibration_error([[1, 0], [0, 0]], [[0.5, 0.1], [0.5, 0.1]]), 3)
    0.05
    >>> round(expected_calibration_error([[1, 0], [0, 0]], [[0.9, 0.1], [0.9, 0.1]], k=1), 3)
    0.4
    """
    is_count = isinstance(n_bins, Integral) and not isinstance(n_bins, bool)
    if not is_count or not 1 <= n_bins <= MOST_BINS:
        raise ValueError(
            f"`n_bins` must be an integer >= 1, at most {MOST_BINS:,}, got {n_bins!r:.80}."
        )
    Y, scores = checked_pair(Y_true, scores)
    values: Any = scores.data if sparse.issparse(scores) else scores
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(
            f"`scores` must be probabilities in [0, 1], got values between {values.min()} and "
            f"{values.max()}. Apply a sigmoid to logits first."
        )
    if k is not None:
        return _error_of_best(Y, scores, check_k(k, Y.shape[1]), int(n_bins))
    n_entries = Y.shape[0] * Y.shape[1]
    if n_entries == 0:
        return warn_undefined("expected_calibration_error", NO_ENTRIES)
    stored: Any = scores
    if sparse.issparse(scores):
        rows = np.repeat(np.arange(Y.shape[0]), np.diff(stored.indptr))
        truth = contains(Y, rows, stored.indices)
        confidence, n_true = _bin_sums(stored.data, truth, int(n_bins))
        n_true[0] += Y.nnz - n_true.sum()  # true labels that were not retrieved
    else:
        confidence, n_true = np.zeros((2, int(n_bins)))
        for part in row_blocks(*scores.shape):
            sums = _bin_sums(stored[part].ravel(), Y[part].toarray().ravel(), int(n_bins))
            confidence, n_true = confidence + sums[0], n_true + sums[1]
    return float(np.sum(np.abs(confidence - n_true)) / n_entries)


def _error_of_best(Y: sparse.csr_array, scores: Matrix, k: int, n_bins: int) -> float:
    """Error of the `k` best labels of each row; CSR rows may hold fewer."""
    labels = ranked_labels(scores, k)
    rows, ranks = np.nonzero(labels >= 0)
    if rows.size == 0:
        return warn_undefined("expected_calibration_error", NO_ENTRIES, stacklevel=4)
    columns = labels[rows, ranks]
    values = np.asarray(scores[rows, columns]).ravel()
    confidence, n_true = _bin_sums(values, contains(Y, rows, columns), n_bins)
    return float(np.sum(np.abs(confidence - n_true)) / rows.size)


def _bin_sums(scores: NDArray, truth: NDArray, n_bins: int) -> tuple[NDArray, NDArray]:
    """Sum of scores and number of true labels in each bin."""
    bins = np.minimum((scores * n_bins).astype(np.int64), n_bins - 1)
    return (
        np.bincount(bins, weights=scores, minlength=n_bins),
        np.bincount(bins, weights=truth, minlength=n_bins),
    )
