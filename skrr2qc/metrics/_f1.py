"""F1 of label sets: micro, macro, per sample, of the top-1 label, and along a hierarchy."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ._inputs import Matrix, as_indicator, as_scores, check_option, check_same_shape, warn_undefined
from ._topk import ranked_labels

AVERAGES = ("micro", "macro", "samples")
ZERO_DIVISION = (0, 1, "supported")


def label_f1(
    Y_true: Matrix, Y_pred: Matrix, *, average: str = "micro", zero_division: int | str = 0
) -> float:
    """F1 of predicted label sets, ``2 tp / (2 tp + fp + fn)``, without densifying CSR.

    Parameters
    ----------
    Y_true, Y_pred : ndarray or CSR of shape (n, L), {0, 1}
        True and predicted labels. The two may be stored differently.
    average : {"micro", "macro", "samples"}, default="micro"
        "micro": counts are summed over everything. "macro": mean over labels. "samples": mean
        over rows.
    zero_division : {0, 1, "supported"}, default=0
        Value of a label (row) with neither true nor predicted entries, as in
        ``sklearn.metrics.f1_score``. "supported" averages only over labels (rows) with at least
        one true entry, which also leaves out those that were predicted but are never true.

    Returns
    -------
    f1 : float in [0, 1]
        nan with a RuntimeWarning if there is nothing to average over.

    Raises
    ------
    ValueError, TypeError
        If shapes differ, values are not 0 or 1, or an option is unknown.

    Examples
    --------
    >>> from skrr2qc.metrics import label_f1
    >>> Y_true, Y_pred = [[1, 1, 0], [0, 1, 0]], [[1, 0, 0], [0, 1, 0]]
    >>> [round(label_f1(Y_true, Y_pred, average="macro", zero_division=z), 3)
    ...  for z in (0, 1, "supported")]
    [0.556, 0.889, 0.833]
    """
    check_option(average, "average", AVERAGES)
    check_option(zero_division, "zero_division", ZERO_DIVISION)
    Y, P = as_indicator(Y_true, "Y_true"), as_indicator(Y_pred, "Y_pred")
    check_same_shape(Y, P, "Y_true", "Y_pred")
    return average_f1(Y, P, average, zero_division)


def f1_per_label(Y_true: Matrix, Y_pred: Matrix) -> NDArray[np.float64]:
    """F1 of each label, nan where a label is neither true nor predicted.

    Parameters
    ----------
    Y_true, Y_pred : ndarray or CSR of shape (n, L), {0, 1}
        True and predicted labels.

    Returns
    -------
    f1 : ndarray of shape (L,), in [0, 1] or nan

    Raises
    ------
    ValueError, TypeError
        If shapes differ or values are not 0 or 1.

    Examples
    --------
    >>> from skrr2qc.metrics import f1_per_label
    >>> f1_per_label([[1, 1, 0], [0, 1, 0]], [[1, 0, 0], [0, 1, 0]]).round(3)
    array([1.   , 0.667,   nan])
    """
    Y, P = as_indicator(Y_true, "Y_true"), as_indicator(Y_pred, "Y_pred")
    check_same_shape(Y, P, "Y_true", "Y_pred")
    return _ratio(*_counts(Y, P, axis=0))


def f1_at_1(
    Y_true: Matrix, scores: Matrix, *, average: str = "micro", zero_division: int | str = 0
) -> float:
    """F1 of the best label of each row as the only prediction (Eq. 16 and 17 of [1]_).

    Parameters
    ----------
    Y_true : ndarray or CSR of shape (n, L), {0, 1}
        Rows without a true label count: their prediction is a false positive.
    scores : ndarray or CSR of shape (n, L)
        Higher is better; see `top_k` for ties. Rows of which nothing was retrieved predict nothing.
    average : {"micro", "macro", "samples"}, default="micro"
        See `label_f1`.
    zero_division : {0, 1, "supported"}, default=0
        See `label_f1`. ``average="macro", zero_division=1`` is the macro-F1 of [1]_.

    Returns
    -------
    f1 : float in [0, 1]
        nan with a RuntimeWarning if there is nothing to average over.

    Raises
    ------
    ValueError, TypeError
        If shapes differ, `Y_true` holds other values than 0 and 1, `scores` contains NaN, or an
        option is unknown.

    Notes
    -----
    If every row has a prediction, the micro average equals 2 P@1 / (1 + mean number of true
    labels): it orders models exactly as P@1 does. With ``zero_division=1``, each label that is
    absent from the test set and never predicted counts as a full success, worth up to 13 points
    on DA-20K; report 0 or "supported" beside it.

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv 2411.01841.

    Examples
    --------
    >>> from skrr2qc.metrics import f1_at_1
    >>> Y, scores = [[1, 0, 1], [0, 1, 0]], [[0.9, 0.8, 0.1], [0.3, 0.2, 0.1]]
    >>> f1_at_1(Y, scores), round(f1_at_1(Y, scores, average="macro"), 3)
    (0.4, 0.222)
    """
    check_option(average, "average", AVERAGES)
    check_option(zero_division, "zero_division", ZERO_DIVISION)
    Y, scores = as_indicator(Y_true, "Y_true"), as_scores(scores)
    check_same_shape(Y, scores, "Y_true", "scores")
    return average_f1(Y, top_1_indicator(scores), average, zero_division, metric="f1_at_1")


def hierarchical_f1(
    Y_true: Matrix,
    Y_pred: Matrix,
    ancestors: Matrix,
    *,
    average: str = "micro",
    zero_division: int | str = 0,
) -> float:
    """F1 of the label sets extended by all ancestors, so that near misses count in part.

    Parameters
    ----------
    Y_true, Y_pred : ndarray or CSR of shape (n, L), {0, 1}
        True and predicted labels; inner nodes of the hierarchy may be labels.
    ancestors : ndarray or CSR of shape (L, V), {0, 1}
        Ancestor-or-self closure: row l marks the nodes on all paths from label l to its roots,
        l included, the virtual root excluded (it would be shared by any two labels).
    average : {"micro", "samples"}, default="micro"
        "micro" is the measure of [1]_: overlaps and set sizes are summed over rows. "samples":
        mean over rows.
    zero_division : {0, 1, "supported"}, default=0
        See `label_f1`.

    Returns
    -------
    f1 : float in [0, 1]
        nan with a RuntimeWarning if there is nothing to average over.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, values are not 0 or 1, an option is unknown, or a label has no node
        in `ancestors`.

    References
    ----------
    .. [1] Kiritchenko, Matwin and Famili. Functional Annotation of Genes Using Hierarchical Text
       Categorization. BioLINK SIG 2005.

    Examples
    --------
    Two leaves under one parent; the third column is the parent:

    >>> from skrr2qc.metrics import hierarchical_f1
    >>> hierarchical_f1([[1, 0]], [[0, 1]], ancestors=[[1, 0, 1], [0, 1, 1]])
    0.5
    """
    check_option(average, "average", ("micro", "samples"))
    check_option(zero_division, "zero_division", ZERO_DIVISION)
    Y, P = as_indicator(Y_true, "Y_true"), as_indicator(Y_pred, "Y_pred")
    check_same_shape(Y, P, "Y_true", "Y_pred")
    closure = as_indicator(ancestors, "ancestors")
    if closure.shape[0] != Y.shape[1]:
        raise ValueError(
            f"`ancestors` must have one row per label: expected {Y.shape[1]} rows, "
            f"got shape {closure.shape}."
        )
    empty = np.flatnonzero(np.diff(closure.indptr) == 0)
    if empty.size:
        raise ValueError(
            f"`ancestors` must mark at least the label itself in each row, got {empty.size} empty "
            f"rows, the first is row {empty[0]}. Add the diagonal: a label is its own ancestor."
        )
    Y, P = _extend(Y, closure), _extend(P, closure)
    return average_f1(Y, P, average, zero_division, metric="hierarchical_f1")


def top_1_indicator(scores: Matrix) -> sparse.csr_array:
    """Indicator (n, L) of the best label of each row; rows without a retrieved label are empty."""
    if scores.shape[1] == 0:
        return sparse.csr_array(scores.shape, dtype=np.int32)
    best = ranked_labels(scores, 1)[:, 0]
    indptr = np.concatenate([[0], np.cumsum(best >= 0)])
    best = best[best >= 0]
    return sparse.csr_array((np.ones(best.size, np.int32), best, indptr), shape=scores.shape)


def average_f1(
    Y: sparse.csr_array,
    P: sparse.csr_array,
    average: str,
    zero_division: int | str,
    metric: str = "label_f1",
) -> float:
    """Average F1 of two checked indicators; see `label_f1`."""
    axis = {"micro": None, "macro": 0, "samples": 1}[average]
    both, total, support = _counts(Y, P, axis)
    f1 = _ratio(both, total, support)
    if zero_division == "supported":
        f1 = f1[support > 0]
    else:
        f1 = np.where(np.isnan(f1), zero_division, f1)
    if f1.size == 0:
        return warn_undefined(metric, "there is nothing to average over", stacklevel=4)
    return float(np.mean(f1))


def _counts(
    Y: sparse.csr_array, P: sparse.csr_array, axis: int | None
) -> tuple[NDArray, NDArray, NDArray]:
    """Sizes |true and predicted|, |true| + |predicted|, |true|, per label, row or in all."""
    true, predicted, both = (
        np.atleast_1d(np.asarray(matrix.sum(axis=axis, dtype=np.int64)))
        for matrix in (Y, P, Y.multiply(P))
    )
    return both, true + predicted, true


def _ratio(both: NDArray, total: NDArray, support: NDArray) -> NDArray[np.float64]:
    """Dice ratio per entry, nan where both sets are empty."""
    f1 = np.full(total.shape, np.nan)
    return np.divide(2.0 * both, total, out=f1, where=total > 0)


def _extend(labels: sparse.csr_array, closure: sparse.csr_array) -> sparse.csr_array:
    extended = sparse.csr_array(labels @ closure)  # counts paths, of which only the sign matters
    extended.sort_indices()
    extended.data[:] = 1
    return extended
