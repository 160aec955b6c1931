"""The one ranking rule of all metrics: higher score first, then the lower label index."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ._inputs import Matrix, as_scores, check_k

BLOCK_SIZE = 2**21  # scores looked at together: 16 MiB in float64


def top_k(scores: Matrix, k: int) -> NDArray[np.int64]:
    """Indices of the `k` best labels of each row, best first.

    Parameters
    ----------
    scores : ndarray or CSR of shape (n, L)
        Higher is better. In CSR, labels that are not stored were not retrieved, and neither are
        dense entries equal to -inf; a stored 0 is an ordinary score.
    k : int
        Number of labels, 1 <= k <= L.

    Returns
    -------
    labels : ndarray of shape (n, k), int64
        Column indices. Rows with fewer than `k` retrieved labels end in -1.

    Raises
    ------
    ValueError
        If `scores` is not two-dimensional or contains NaN, or `k` is out of range.
    TypeError
        If `scores` is not numeric or `k` is not an integer.

    Notes
    -----
    Equal scores are ordered by label index, lowest first, whatever the storage: a CSR matrix
    ranks exactly like the dense matrix that has -inf where nothing is stored. Time O(n L) for
    dense scores plus O(n k log k); memory O(n k) plus one block of rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skrr2qc.metrics import top_k
    >>> top_k(np.array([[0.1, 0.7, 0.7], [0.5, 0.2, -np.inf]]), k=3)
    array([[ 1,  2,  0],
           [ 0,  1, -1]])
    """
    scores = as_scores(scores)
    return ranked_labels(scores, check_k(k, scores.shape[1]))


def ranked_labels(
    scores: Matrix, k: int, columns: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Rank checked scores as `top_k` does, optionally among some columns only.

    Parameters
    ----------
    scores : ndarray or csr_array of shape (n, L)
        As returned by `as_scores`.
    k : int
        At most the number of columns ranked.
    columns : ndarray of shape (C,), default=None
        Sorted indices of the labels that compete; all labels if None.

    Returns
    -------
    labels : ndarray of shape (n, k), int64
        Positions within `columns` (or label indices), -1 where nothing was retrieved.
    """
    labels = np.full((scores.shape[0], k), -1, dtype=np.int64)
    if sparse.issparse(scores):
        chosen = scores if columns is None else scores[:, columns]
        for rows, indices, ranks, values in iterate_ranked(chosen):
            keep = (ranks < k) & (values != -np.inf)
            labels[rows[keep], ranks[keep]] = indices[keep]
        return labels
    for part in row_blocks(*scores.shape):
        block = scores[part] if columns is None else scores[part][:, columns]
        best = _top_k_block(block, k)
        retrieved = np.take_along_axis(block, best, axis=1) != -np.inf
        labels[part] = np.where(retrieved, best, -1)
    return labels


def iterate_ranked(scores: sparse.csr_array) -> Iterator[tuple[NDArray, ...]]:
    """Yield (rows, labels, ranks, scores) of the stored entries, ranked within each row from 0."""
    indptr = scores.indptr.astype(np.int64)
    start, n_rows = 0, scores.shape[0]
    while start < n_rows:
        stop = int(np.searchsorted(indptr, indptr[start] + BLOCK_SIZE, side="right")) - 1
        stop = min(max(stop, start + 1), n_rows)
        begin, end = indptr[start], indptr[stop]
        rows = np.repeat(np.arange(start, stop), np.diff(indptr[start : stop + 1]))
        labels, values = scores.indices[begin:end], scores.data[begin:end]
        order = np.lexsort((labels, -values, rows))
        ranks = np.arange(begin, end) - indptr[rows]  # rows stay grouped after the sort
        yield rows, labels[order], ranks, values[order]
        start = stop


def row_blocks(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Yield slices of rows that hold about `BLOCK_SIZE` entries each."""
    step = max(1, BLOCK_SIZE // max(1, n_columns))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def _top_k_block(block: NDArray, k: int) -> NDArray[np.int64]:
    n_rows, n_labels = block.shape
    if k == 1:
        return np.argmax(block, axis=1)[:, None]  # argmax returns the first maximum
    if k == n_labels:
        return np.argsort(-block, axis=1, kind="stable")
    kth = np.partition(block, n_labels - k, axis=1)[:, n_labels - k, None]
    chosen = block >= kth
    if np.count_nonzero(chosen) > n_rows * k:  # ties at the cut: keep the lowest indices
        above = block > kth
        tied = chosen & ~above
        places = k - np.count_nonzero(above, axis=1)[:, None]
        chosen = above | (tied & (np.cumsum(tied, axis=1, dtype=np.int32) <= places))
    labels = np.nonzero(chosen)[1].reshape(n_rows, k)  # ascending, so a stable sort breaks ties
    order = np.argsort(-np.take_along_axis(block, labels, axis=1), axis=1, kind="stable")
    return np.take_along_axis(labels, order, axis=1)
