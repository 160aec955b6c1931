"""Whether embeddings of texts lie as their labels do: alignment, uniformity, order by rank."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import logsumexp

from ._inputs import Matrix, as_array, as_indicator, as_scores, check_real
from ._topk import row_blocks

LARGEST = 1e100  # similarity, whose square is summed
MOST_ALPHA = 1000.0  # 2 to this power is a float64


def alignment(embeddings: Matrix, Y: Matrix, alpha: float = 2.0) -> float:
    """Mean distance, to the power `alpha`, of texts that share a label (Section 4.1 of [1]_).

    Parameters
    ----------
    embeddings : ndarray or CSR of shape (n, d)
        One vector per text. Rows are scaled to unit length first.
    Y : ndarray or CSR of shape (n, L), {0, 1}
        Labels of the texts. Texts without a label belong to no pair.
    alpha : float, default=2.0
        Power of the Euclidean distance, greater than 0 and at most 1000.

    Returns
    -------
    value : float in [0, 2**alpha]
        Lower is better: 0 if texts that share a label have the same direction.

    Raises
    ------
    ValueError
        If no two texts share a label, the numbers of rows differ, `alpha` is not positive, or a
        value is not finite.
    TypeError
        If `embeddings` are not numeric or `Y` is not an indicator matrix.

    Warns
    -----
    UserWarning
        If rows of zeros, which have no direction, are left out.

    Notes
    -----
    Positive pairs are all unordered pairs of different texts with at least one label in common;
    a pair counts once, however many labels it shares. The paper draws two views of one picture
    instead. Time O(n^2 d), memory O(n d) plus one block of pairs.

    References
    ----------
    .. [1] Wang and Isola. Understanding Contrastive Representation Learning through Alignment and
       Uniformity on the Hypersphere. ICML 2020.

    Examples
    --------
    >>> from skrr2qc.metrics import alignment
    >>> round(alignment([[1, 0], [0, 3], [0, 1]], [[1, 0], [1, 0], [1, 1]]), 3)
    1.333
    """
    alpha = check_real(alpha, "alpha", above=0, maximum=MOST_ALPHA)
    labels = as_indicator(Y, "Y")
    unit, kept = _points(embeddings)
    if labels.shape[0] != kept.size:
        raise ValueError(
            "`embeddings` and `Y` must have one row per text, "
            f"got {kept.size} and {labels.shape[0]} rows."
        )
    labels = labels[kept]
    total, n_pairs = 0.0, 0
    for part, squares in _squared_distances(unit):
        shared = (labels[part] @ labels[part.start :].T).tocoo()
        later = shared.col > shared.row
        total += float(np.sum(squares[shared.row[later], shared.col[later]] ** (alpha / 2)))
        n_pairs += int(np.count_nonzero(later))
    if n_pairs == 0:
        raise ValueError(
            "`Y` must have at least two texts that share a label and have nonzero embeddings, got "
            f"none among {labels.shape[0]} texts and {labels.shape[1]} labels. Take more texts, or "
            "count labels one level up with ancestor_closure()."
        )
    return total / n_pairs


def uniformity(embeddings: Matrix, t: float = 2.0) -> float:
    """Logarithm of the mean Gaussian potential of all pairs of texts (Section 4.1 of [1]_).

    Parameters
    ----------
    embeddings : ndarray or CSR of shape (n, d)
        One vector per text, n >= 2. Rows are scaled to unit length first.
    t : float, default=2.0
        Sharpness of the potential exp(-t * squared distance), greater than 0.

    Returns
    -------
    value : float in [-4 t, 0]
        Lower is better: 0 if all texts have one direction, about -2 t if directions are random
        and d is large.

    Raises
    ------
    ValueError
        If fewer than two rows are nonzero, `t` is not positive, or a value is not finite.
    TypeError
        If `embeddings` are not numeric.

    Warns
    -----
    UserWarning
        If rows of zeros, which have no direction, are left out.

    Notes
    -----
    The mean is over unordered pairs i < j, as in the authors' code. Time O(n^2 d), memory O(n d)
    plus one block of pairs.

    References
    ----------
    .. [1] Wang and Isola. Understanding Contrastive Representation Learning through Alignment and
       Uniformity on the Hypersphere. ICML 2020.

    Examples
    --------
    >>> from skrr2qc.metrics import uniformity
    >>> uniformity([[1.0, 0.0], [0.0, 2.0]]), uniformity([[1.0, 0.0], [-1.0, 0.0]])
    (-4.0, -8.0)
    """
    t = check_real(t, "t", above=0)
    unit, _ = _points(embeddings)
    n = unit.shape[0]
    if n < 2:
        raise ValueError(f"`embeddings` must have at least two nonzero rows, got {n}.")
    total = -np.inf  # sums stay logarithms: a large `t` underflows otherwise
    for part, squares in _squared_distances(unit):
        later = np.arange(squares.shape[1]) > np.arange(part.stop - part.start)[:, None]
        if later.any():
            total = np.logaddexp(total, logsumexp(-t * squares[later]))
    return float(total - np.log(n * (n - 1) / 2))


def rank_order_accuracy(similarities: NDArray[Any], ranks: NDArray[Any]) -> float:
    """How often a text nearer in the hierarchy is also the more similar one.

    Parameters
    ----------
    similarities : ndarray of shape (n_a, n_b)
        Similarity of anchor a and text b, such as the cosine of their embeddings.
    ranks : ndarray of int, shape (n_a, n_b)
        Rank of their distance in the hierarchy, >= 0, as `skrr2qc.hierarchy.distance_ranks` gives
        it; lower is nearer. -1 leaves a pair out, such as an anchor and itself.

    Returns
    -------
    accuracy : float in [0, 1]
        0.5 for random similarities, 1 if every nearer text is more similar than every farther one.

    Raises
    ------
    ValueError
        If no anchor has texts of two different ranks, shapes differ, a similarity is not finite,
        or a rank is below -1.
    TypeError
        If `similarities` are not dense numbers or `ranks` are not integers.

    Notes
    -----
    For each anchor: the share of pairs of texts (b, c) with rank b < rank c in which b is more
    similar than c, equal similarities counting one half. The result is the mean over the anchors
    that have such a pair, so that each weighs the same. With two ranks this is the area under the
    ROC curve, averaged over anchors. Time O(n_b log n_b + n_b R) per anchor for R distinct ranks.

    Examples
    --------
    >>> from skrr2qc.metrics import rank_order_accuracy
    >>> rank_order_accuracy([[1.0, 0.8, 0.3, 0.5]], [[-1, 0, 2, 4]])
    0.6666666666666666
    """
    values, levels = _checked_ranks(similarities, ranks)
    shares: list[NDArray[np.float64]] = []
    for part in row_blocks(*values.shape):
        concordant, n_pairs = _concordance(values[part], levels[part])
        shares.append(concordant[n_pairs > 0] / n_pairs[n_pairs > 0])
    each = np.concatenate(shares) if shares else np.empty(0)
    if each.size == 0:
        raise ValueError(
            "`ranks` must hold two different ranks >= 0 for at least one anchor, got none among "
            f"{values.shape[0]} anchors: there is no order to compare. Take more texts or labels."
        )
    return float(each.mean())


def rank_similarity_profile(
    similarities: NDArray[Any], ranks: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Mean and spread of the similarities at each rank of the hierarchical distance.

    Parameters
    ----------
    similarities : ndarray of shape (n_a, n_b)
        Similarity of anchor a and text b.
    ranks : ndarray of int, shape (n_a, n_b)
        Rank of their distance, >= 0, or -1 for pairs left out; see `rank_order_accuracy`.

    Returns
    -------
    distinct : ndarray of shape (R,), int64
        The ranks that occur, ascending.
    means : ndarray of shape (R,), float64
        Mean similarity of the pairs with this rank.
    stds : ndarray of shape (R,), float64
        Standard deviation over these pairs (divided by their number).
    counts : ndarray of shape (R,), int64
        Number of pairs.

    Raises
    ------
    ValueError, TypeError
        If all pairs are left out, or as in `rank_order_accuracy`.

    Examples
    --------
    >>> from skrr2qc.metrics import rank_similarity_profile
    >>> ranks, means, stds, counts = rank_similarity_profile([[1.0, 0.75, 0.25]], [[-1, 2, 2]])
    >>> ranks, means, stds, counts
    (array([2]), array([0.5]), array([0.25]), array([2]))
    """
    values, levels = _checked_ranks(similarities, ranks)
    blocks = list(row_blocks(*values.shape))
    found = [np.unique(levels[part]) for part in blocks]  # one call would copy all of `ranks`
    distinct = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *found]))
    distinct = distinct[distinct >= 0]
    if distinct.size == 0:
        raise ValueError("`ranks` must hold at least one rank >= 0, got only pairs left out (-1).")

    def sums(shift: NDArray[np.float64], power: int) -> NDArray[np.float64]:
        total = np.zeros(distinct.size)
        for part in blocks:
            chosen = levels[part] >= 0
            places = np.searchsorted(distinct, levels[part][chosen])
            terms = (values[part][chosen] - shift[places]) ** power
            total += np.bincount(places, weights=terms, minlength=distinct.size)
        return total

    nothing = np.zeros(distinct.size)
    counts = sums(nothing, 0)
    means = sums(nothing, 1) / counts
    stds = np.sqrt(sums(means, 2) / counts)
    return distinct, means, stds, counts.astype(np.int64)


def unit_rows(embeddings: Matrix) -> tuple[Any, NDArray[np.bool_]]:
    """Scale rows to unit length in float64; tell which have one: rows of zeros stay zero.

    Parameters
    ----------
    embeddings : ndarray or CSR of shape (n, d)
        Finite values.

    Returns
    -------
    unit : ndarray or csr_array of shape (n, d), float64
    nonzero : ndarray of shape (n,), bool
    """
    vectors: Any = as_scores(embeddings, "embeddings").astype(np.float64)
    largest = _largest_entries(vectors)
    if not np.isfinite(largest).all():
        row = int(np.flatnonzero(~np.isfinite(largest))[0])
        raise ValueError(f"`embeddings` must be finite, got length {largest[row]} in row {row}.")
    nonzero = largest > 0
    vectors = _divide_rows(vectors, largest)  # no square overflows, and none is lost
    squares = vectors.multiply(vectors) if sparse.issparse(vectors) else vectors**2
    return _divide_rows(vectors, np.sqrt(np.asarray(squares.sum(axis=1)).ravel())), nonzero


def _largest_entries(vectors: Any) -> NDArray[np.float64]:
    """Largest absolute value of each row."""
    if not sparse.issparse(vectors):
        return np.abs(vectors).max(axis=1, initial=0.0)
    rows = np.repeat(np.arange(vectors.shape[0]), np.diff(vectors.indptr))
    largest = np.zeros(vectors.shape[0])
    np.maximum.at(largest, rows, np.abs(vectors.data))
    return largest


def _divide_rows(vectors: Any, divisors: NDArray[np.float64]) -> Any:
    """Rows over numbers > 0; rows with a divisor of 0 as they are."""
    divisors = np.where(divisors > 0, divisors, 1.0)
    if not sparse.issparse(vectors):
        return vectors / divisors[:, None]
    data = vectors.data / np.repeat(divisors, np.diff(vectors.indptr))
    return sparse.csr_array((data, vectors.indices, vectors.indptr), shape=vectors.shape)


def _points(embeddings: Matrix) -> tuple[Any, NDArray[np.bool_]]:
    """Unit vectors of the rows that have a direction, and which these are."""
    unit, nonzero = unit_rows(embeddings)
    if nonzero.all():
        return unit, nonzero
    warnings.warn(
        f"{np.count_nonzero(~nonzero)} of {nonzero.size} embeddings are zero, have no direction "
        "and are left out.",
        UserWarning,
        stacklevel=3,
    )
    return unit[nonzero], nonzero


def _squared_distances(unit: Any) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield blocks of rows with their squared distances to all rows from their first one on."""
    for part in row_blocks(unit.shape[0], unit.shape[0]):
        cosines = unit[part] @ unit[part.start :].T
        block = cosines.toarray() if sparse.issparse(cosines) else cosines
        yield part, np.clip(2.0 - 2.0 * block, 0.0, 4.0)


def _concordance(
    values: NDArray[Any], levels: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each row, the sum over pairs of different rank of 1, 1/2 or 0, and their number."""
    n_rows, n = values.shape
    order = np.argsort(values, axis=1)
    values = np.take_along_axis(values, order, axis=1)
    levels = np.take_along_axis(levels, order, axis=1)
    starts, ends = _tie_bounds(values)
    concordant, n_pairs = np.zeros(n_rows), np.zeros(n_rows)
    farther = np.zeros((n_rows, n + 1), dtype=np.int32)  # column p: among the p least similar
    distinct = np.unique(levels)
    for rank in distinct[distinct >= 0][:-1]:
        np.cumsum(levels > rank, axis=1, out=farther[:, 1:])
        rows, places = np.nonzero(levels == rank)
        below = farther[rows, starts[rows, places]]
        tied_or_below = farther[rows, ends[rows, places]]
        concordant += np.bincount(rows, weights=(below + tied_or_below) / 2, minlength=n_rows)
        n_pairs += np.bincount(rows, weights=farther[rows, -1], minlength=n_rows)
    return concordant, n_pairs


def _tie_bounds(ordered: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First place, and one past the last, of the values equal to each one of a sorted row."""
    n = ordered.shape[1]
    is_first = np.ones(ordered.shape, dtype=bool)
    is_first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    places = np.arange(n)
    starts = np.maximum.accumulate(np.where(is_first, places, 0), axis=1)
    is_last = np.ones_like(is_first)
    is_last[:, :-1] = is_first[:, 1:]
    ends = np.where(is_last, places + 1, n)[:, ::-1]
    return starts, np.minimum.accumulate(ends, axis=1)[:, ::-1]


def _checked_ranks(similarities: Any, ranks: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    if sparse.issparse(similarities) or sparse.issparse(ranks):
        raise TypeError("`similarities` and `ranks` must be dense, got a sparse matrix.")
    values: Any = as_scores(similarities, "similarities")
    if values.size and not -LARGEST <= float(values.min()) <= float(values.max()) <= LARGEST:
        raise ValueError(
            f"`similarities` must be finite, and up to {LARGEST:g} in size, got values from "
            f"{values.min()} to {values.max()}."
        )
    levels = as_array(ranks, "ranks")
    if levels.dtype.kind not in "iu":
        raise TypeError(
            f"`ranks` must hold integers, got dtype {levels.dtype}. "
            "distance_ranks() of skrr2qc.hierarchy makes ranks of distances."
        )
    if levels.shape != values.shape:
        raise ValueError(
            "`similarities` and `ranks` must have the same shape (n_anchors, n_texts), "
            f"got {values.shape} and {levels.shape}."
        )
    if levels.size and levels.min() < -1:
        raise ValueError(
            f"`ranks` must be >= 0, or -1 to leave a pair out, got {int(levels.min())}."
        )
    return values, levels.astype(np.int64, copy=False)
