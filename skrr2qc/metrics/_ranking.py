"""Metrics of a ranking: precision, recall, nDCG, R-precision, propensity-scored precision, MRR."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from ._inputs import (
    Matrix,
    as_array,
    as_indicator,
    as_scores,
    check_k,
    check_option,
    check_real,
    check_same_shape,
    label_counts,
    warn_undefined,
)
from ._topk import iterate_ranked, ranked_labels, row_blocks

NO_ROWS = "there is no row to average over"
NO_LABELS = "no row has a true label"


def precision_at_k(Y_true: Matrix, scores: Matrix, k: int) -> float:
    """Share of true labels among the `k` best labels, averaged over rows.

    Parameters
    ----------
    Y_true : ndarray or CSR of shape (n, L), {0, 1}
        Rows without a true label count as 0, as in napkinXC.
    scores : ndarray or CSR of shape (n, L)
        Higher is better; see `top_k` for ties and for labels that were not retrieved.
    k : int
        Cut-off, 1 <= k <= L. The divisor is `k` even where fewer labels were retrieved.

    Returns
    -------
    precision : float in [0, 1]
        nan with a RuntimeWarning if there are no rows.

    Raises
    ------
    ValueError, TypeError
        If shapes differ, `Y_true` holds other values than 0 and 1, `scores` contains NaN, or `k`
        is out of range.

    Examples
    --------
    >>> from skrr2qc.metrics import precision_at_k
    >>> precision_at_k([[1, 0, 1], [0, 1, 0]], [[0.9, 0.8, 0.1], [0.3, 0.2, 0.1]], k=2)
    0.5
    """
    Y, labels = _truth_and_ranking(Y_true, scores, k)
    if Y.shape[0] == 0:
        return warn_undefined("precision_at_k", NO_ROWS)
    return float(np.count_nonzero(hits(Y, labels)) / labels.size)


def recall_at_k(Y_true: Matrix, scores: Matrix, k: int, *, average: str = "samples") -> float:
    """Share of the true labels that are among the `k` best labels.

    Parameters
    ----------
    Y_true : ndarray or CSR of shape (n, L), {0, 1}
        Rows without a true label are skipped. napkinXC counts them as 0 instead, which multiplies
        the "samples" average by the share of rows with labels.
    scores : ndarray or CSR of shape (n, L)
        Higher is better; see `top_k` for ties and for labels that were not retrieved.
    k : int
        Cut-off, 1 <= k <= L.
    average : {"samples", "micro"}, default="samples"
        "samples": mean over rows of hits / number of true labels. "micro": all hits / all true
        labels, the recall behind the micro-F1 of RR2QC.

    Returns
    -------
    recall : float in [0, 1]
        nan with a RuntimeWarning if no row has a true label.

    Raises
    ------
    ValueError, TypeError
        As `precision_at_k`, and for an unknown `average`.

    Examples
    --------
    >>> from skrr2qc.metrics import recall_at_k
    >>> Y, scores = [[1, 0, 1], [0, 1, 0]], [[0.9, 0.8, 0.1], [0.3, 0.2, 0.1]]
    >>> recall_at_k(Y, scores, k=2), round(recall_at_k(Y, scores, k=2, average="micro"), 3)
    (0.75, 0.667)
    """
    check_option(average, "average", ("samples", "micro"))
    Y, labels = _truth_and_ranking(Y_true, scores, k)
    n_true = np.diff(Y.indptr)
    if not n_true.any():
        return warn_undefined("recall_at_k", NO_LABELS)
    n_hits = np.count_nonzero(hits(Y, labels), axis=1)
    if average == "micro":
        return float(n_hits.sum() / n_true.sum())
    return _mean_ratio(n_hits, n_true)


def r_precision_at_k(Y_true: Matrix, scores: Matrix, k: int) -> float:
    """R-Precision@K: hits among the `k` best labels, divided by min(k, number of true labels).

    Parameters
    ----------
    Y_true : ndarray or CSR of shape (n, L), {0, 1}
        Rows without a true label are skipped.
    scores : ndarray or CSR of shape (n, L)
        Higher is better; see `top_k` for ties and for labels that were not retrieved.
    k : int
        Cut-off, 1 <= k <= L.

    Returns
    -------
    r_precision : float in [0, 1]
        nan with a RuntimeWarning if no row has a true label.

    Raises
    ------
    ValueError, TypeError
        As `precision_at_k`.

    References
    ----------
    .. [1] Chalkidis, Fergadiotis, Malakasiotis and Androutsopoulos. Large-Scale Multi-Label Text
       Classification on EU Legislation. ACL 2019. Section 5, the metric used for EURLEX57K.

    Examples
    --------
    >>> from skrr2qc.metrics import r_precision_at_k
    >>> r_precision_at_k([[1, 0, 1], [0, 1, 0]], [[0.9, 0.8, 0.1], [0.3, 0.2, 0.1]], k=2)
    0.75
    """
    Y, labels = _truth_and_ranking(Y_true, scores, k)
    n_true = np.diff(Y.indptr)
    if not n_true.any():
        return warn_undefined("r_precision_at_k", NO_LABELS)
    return _mean_ratio(np.count_nonzero(hits(Y, labels), axis=1), np.minimum(n_true, k))


def ndcg_at_k(Y_true: Matrix, scores: Matrix, k: int) -> float:
    """Normalised discounted cumulative gain of the `k` best labels, with binary gains.

    A hit at rank r (from 1) gains 1 / log2(r + 1); the sum is divided by the gain of the best
    ranking of that row, which has min(k, number of true labels) hits in front.

    Parameters
    ----------
    Y_true : ndarray or CSR of shape (n, L), {0, 1}
        Rows without a true label are skipped. napkinXC and ``sklearn.metrics.ndcg_score`` count
        them as 0 instead, which multiplies the result by the share of rows with labels.
    scores : ndarray or CSR of shape (n, L)
        Higher is better; see `top_k` for ties (scikit-learn averages over them unless
        ``ignore_ties=True``) and for labels that were not retrieved.
    k : int
        Cut-off, 1 <= k <= L.

    Returns
    -------
    ndcg : float in [0, 1]
        nan with a RuntimeWarning if no row has a true label.

    Raises
    ------
    ValueError, TypeError
        As `precision_at_k`.

    References
    ----------
    .. [1] Jarvelin and Kekalainen. Cumulated gain-based evaluation of IR techniques. ACM TOIS 2002.

    Examples
    --------
    >>> from skrr2qc.metrics import ndcg_at_k
    >>> round(ndcg_at_k([[1, 0, 1], [0, 1, 0]], [[0.9, 0.8, 0.1], [0.3, 0.2, 0.1]], k=2), 4)
    0.622
    """
    Y, labels = _truth_and_ranking(Y_true, scores, k)
    if Y.nnz == 0:
        return warn_undefined("ndcg_at_k", NO_LABELS)
    return mean_ndcg(Y, labels)


def psprecision_at_k(
    Y_true: Matrix, scores: Matrix, k: int, propensities: ArrayLike, *, normalize: bool = True
) -> float:
    """Propensity-scored precision (PSP@K): every hit weighs 1 / propensity of its label.

    Parameters
    ----------
    Y_true : ndarray or CSR of shape (n, L), {0, 1}
        Rows without a true label add nothing to numerator and denominator, as in napkinXC.
    scores : ndarray or CSR of shape (n, L)
        Higher is better; see `top_k` for ties and for labels that were not retrieved.
    k : int
        Cut-off, 1 <= k <= L.
    propensities : array of shape (L,), in (0, 1]
        As `jain_propensities` returns them; not their inverses.
    normalize : bool, default=True
        Divide by the best value any ranking can reach, as published tables do. Otherwise the
        weighted hits are divided by n k, and the value may exceed 1.

    Returns
    -------
    psprecision : float, in [0, 1] when normalised
        nan with a RuntimeWarning if no row has a true label (without rows, if not normalised).

    Raises
    ------
    ValueError, TypeError
        As `precision_at_k`, and if `propensities` has the wrong length or range.

    References
    ----------
    .. [1] Jain, Prabhu and Varma. Extreme Multi-label Loss Functions for Recommendation, Tagging,
       Ranking & Other Missing Label Applications. KDD 2016.

    Examples
    --------
    >>> from skrr2qc.metrics import psprecision_at_k
    >>> Y, scores = [[1, 0, 0], [0, 0, 1]], [[0.9, 0.8, 0.1], [0.3, 0.2, 0.1]]
    >>> psprecision_at_k(Y, scores, k=1, propensities=[0.5, 0.5, 0.25])  # 2 of 2 + 4
    0.3333333333333333
    """
    Y, labels = _truth_and_ranking(Y_true, scores, k)
    weights = 1.0 / _check_propensities(propensities, Y.shape[1])
    # Index -1 (nothing retrieved) picks some weight, which is multiplied by a miss.
    gained = float(np.sum(weights[labels] * hits(Y, labels)))
    if not normalize:
        if labels.size == 0:
            return warn_undefined("psprecision_at_k", NO_ROWS)
        return gained / labels.size
    if Y.nnz == 0:
        return warn_undefined("psprecision_at_k", NO_LABELS)
    true_weights = sparse.csr_array((weights[Y.indices], Y.indices, Y.indptr), shape=Y.shape)
    best = ranked_labels(true_weights, k)
    return gained / float(np.sum(weights[best] * (best >= 0)))


def jain_propensities(Y_train: Matrix, a: float = 0.55, b: float = 1.5) -> NDArray[np.float64]:
    """Probability that a true label is observed, by training frequency [1]_.

    ``p = 1 / (1 + C (N_l + b)^-a)`` with ``C = (log N - 1) (b + 1)^a``, N training rows and N_l
    examples of label l. These are the propensities; napkinXC's ``Jain_et_al_inverse_propensity``
    is 1 / p.

    Parameters
    ----------
    Y_train : ndarray or CSR of shape (N, L), {0, 1}
        Truth of the training rows, N >= 3 (with fewer the formula exceeds 1). Labels without
        examples are allowed and have the lowest propensity.
    a, b : float, default=0.55, 1.5
        Constants > 0 of the data set; Wikipedia: 0.5, 0.4; Amazon: 0.6, 2.6.

    Returns
    -------
    propensities : ndarray of shape (L,), in (0, 1]

    Raises
    ------
    ValueError, TypeError
        If `Y_train` has fewer than 3 rows or values other than 0 and 1, or if `a` or `b` is not a
        finite number > 0, or both are so far apart that a propensity is 0.

    References
    ----------
    .. [1] Jain, Prabhu and Varma. Extreme Multi-label Loss Functions for Recommendation, Tagging,
       Ranking & Other Missing Label Applications. KDD 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from skrr2qc.metrics import jain_propensities
    >>> Y_train = np.array([[1, 0], [1, 0], [1, 1], [1, 0]])
    >>> jain_propensities(Y_train).round(3)
    array([0.8  , 0.721])
    """
    a, b = check_real(a, "a", above=0), check_real(b, "b", above=0)
    Y = as_indicator(Y_train, "Y_train")
    if Y.shape[0] < 3:
        raise ValueError(
            f"`Y_train` must have at least 3 rows, got {Y.shape[0]}. "
            "Propensities are estimated from the whole training set."
        )
    with np.errstate(over="ignore"):  # one power of a quotient: neither of two overflows alone
        odds = (np.log(Y.shape[0]) - 1) * ((b + 1) / (label_counts(Y) + b)) ** a
        propensities: NDArray[np.float64] = 1 / (1 + odds)
    if not propensities.all():
        raise ValueError(
            f"`a` == {a:g} and `b` == {b:g} give labels without examples the propensity 0, which "
            "nothing can be divided by. Take values of the order of 1."
        )
    return propensities


def mean_reciprocal_rank(Y_true: Matrix, scores: Matrix) -> float:
    """Mean of 1 / rank of the best-ranked true label.

    Parameters
    ----------
    Y_true : ndarray or CSR of shape (n, L), {0, 1}
        Rows without a true label are skipped.
    scores : ndarray or CSR of shape (n, L)
        Higher is better; see `top_k` for ties. Rows of which no true label was retrieved count 0.

    Returns
    -------
    mrr : float in [0, 1]
        nan with a RuntimeWarning if no row has a true label.

    Raises
    ------
    ValueError, TypeError
        If shapes differ, `Y_true` holds other values than 0 and 1, or `scores` contains NaN.

    Examples
    --------
    >>> from skrr2qc.metrics import mean_reciprocal_rank
    >>> mean_reciprocal_rank([[1, 0, 1], [0, 1, 0]], [[0.9, 0.8, 0.1], [0.3, 0.2, 0.1]])
    0.75
    """
    Y, scores = checked_pair(Y_true, scores)
    if Y.nnz == 0:
        return warn_undefined("mean_reciprocal_rank", NO_LABELS)
    ranks = _best_ranks_sparse(Y, scores) if sparse.issparse(scores) else _best_ranks(Y, scores)
    return float(np.sum(1.0 / ranks) / np.count_nonzero(np.diff(Y.indptr)))


def checked_pair(Y_true: Matrix, scores: Matrix) -> tuple[sparse.csr_array, Matrix]:
    """Check truth and scores and that they belong together."""
    Y, scores = as_indicator(Y_true, "Y_true"), as_scores(scores)
    check_same_shape(Y, scores, "Y_true", "scores")
    return Y, scores


def hits(Y: sparse.csr_array, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell for each ranked label, (n, k), whether it is true; -1 is never true."""
    return contains(Y, np.arange(Y.shape[0])[:, None], labels)


def contains(
    Y: sparse.csr_array, rows: NDArray[np.int64], labels: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Look up entries of a canonical indicator; broadcasts, and labels < 0 are never found."""
    keys = _entry_rows(Y) * Y.shape[1] + Y.indices  # ascending, because Y is canonical
    wanted = np.where(labels < 0, -1, rows * Y.shape[1] + labels)
    if keys.size == 0:
        return np.zeros(wanted.shape, dtype=bool)
    position = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
    found: NDArray[np.bool_] = keys[position] == wanted
    return found


def mean_ndcg(Y: sparse.csr_array, labels: NDArray[np.int64]) -> float:
    """nDCG of ranked labels (n, k), averaged over the rows of Y with a true label, which exist."""
    k = labels.shape[1]
    gains = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(gains)])[np.minimum(np.diff(Y.indptr), k)]
    return _mean_ratio(hits(Y, labels) @ gains, ideal)


def _truth_and_ranking(
    Y_true: Matrix, scores: Matrix, k: int
) -> tuple[sparse.csr_array, NDArray[np.int64]]:
    Y, scores = checked_pair(Y_true, scores)
    return Y, ranked_labels(scores, check_k(k, Y.shape[1]))


def _mean_ratio(numerator: NDArray, denominator: NDArray) -> float:
    defined = denominator > 0
    return float(np.mean(numerator[defined] / denominator[defined]))


def _check_propensities(propensities: ArrayLike, n_labels: int) -> NDArray[np.float64]:
    values = as_array(propensities, "propensities")
    if values.dtype.kind not in "biuf":
        raise TypeError(f"`propensities` must hold numbers, got dtype {values.dtype}.")
    values = values.astype(np.float64)
    if values.shape != (n_labels,):
        raise ValueError(
            f"`propensities` must have one value per label, shape ({n_labels},), "
            f"got shape {values.shape}. Build them with jain_propensities(Y_train)."
        )
    if not np.all((values > 0) & (values <= 1)):
        raise ValueError(
            f"`propensities` must lie in (0, 1], got values between {values.min()} and "
            f"{values.max()}. If these are inverse propensities, pass 1 / values."
        )
    return values


def _entry_rows(Y: sparse.csr_array) -> NDArray[np.int64]:
    return np.repeat(np.arange(Y.shape[0], dtype=np.int64), np.diff(Y.indptr))


def _best_ranks(Y: sparse.csr_array, scores: NDArray) -> NDArray[np.float64]:
    """Rank (from 1) of the best true label of each row, inf where there is none."""
    ranks = np.full(Y.shape[0], np.inf)
    for part in row_blocks(*scores.shape):
        Y_part, block = Y[part], scores[part]
        labelled = np.flatnonzero(np.diff(Y_part.indptr))
        if labelled.size == 0:
            continue
        rows, indices = _entry_rows(Y_part), Y_part.indices
        true_scores = block[rows, indices]
        order = np.lexsort((indices, -true_scores, rows))  # entries of a row stay together
        first = order[Y_part.indptr[labelled]]
        label, best = indices[first][:, None], true_scores[first][:, None]
        block = block[labelled]
        ahead = (block > best) | ((block == best) & (np.arange(block.shape[1]) < label))
        found = 1.0 + np.count_nonzero(ahead, axis=1)
        ranks[part.start + labelled] = np.where(best[:, 0] == -np.inf, np.inf, found)
    return ranks


def _best_ranks_sparse(Y: sparse.csr_array, scores: sparse.csr_array) -> NDArray[np.float64]:
    best = np.full(Y.shape[0], np.inf)
    for rows, labels, ranks, values in iterate_ranked(scores):
        keep = contains(Y, rows, labels) & (values != -np.inf)
        np.minimum.at(best, rows[keep], ranks[keep] + 1.0)
    return best
