"""Scores of many texts, in bounded memory and the same in any company; the best kept as CSR."""

import numpy as np
import scipy.sparse as sp

from .._validation import check_number
from ..metrics import top_k

BLOCK_BYTES = 2**26  # scores of one block, float32
_FEWEST_NUMBERS = 1024  # a text costs that many in any case: its tokens and its vector
_LOGITS = 2**20  # held in float64 at a time
_ROWS = 8  # of features, at least and in steps: products of one or two rows round differently


def block_rows(n_labels, n_bytes=BLOCK_BYTES):
    """Texts to score at once, so that their float32 scores stay within `n_bytes`; at least 1.

    Examples
    --------
    >>> block_rows(4271), block_rows(28)
    (3928, 16384)
    """
    return max(1, n_bytes // (4 * max(n_labels, _FEWEST_NUMBERS)))


def score_blocks(score_block, n_rows, n_labels, block=None):
    """Yield (rows, scores) of one block of texts after the other.

    Parameters
    ----------
    score_block : callable
        ``score_block(rows) -> ndarray of shape (len(rows), L)`` for a slice of texts.
    n_rows, n_labels : int
    block : int, default=None
        Texts in a block; None derives it from 64 MiB of scores.
    """
    block = block_rows(n_labels) if block is None else block
    check_number(block, "block", minimum=1, integer=True)
    for start in range(0, n_rows, block):
        rows = slice(start, min(start + block, n_rows))
        scores = np.asarray(score_block(rows))
        expected = (rows.stop - rows.start, n_labels)
        if scores.shape != expected:
            raise ValueError(
                f"`score_block` must return scores of shape {expected} for the texts {start} to "
                f"{rows.stop - 1}, got {scores.shape}. Score all labels of every text."
            )
        yield rows, scores


def topk_arrays(score_block, n_rows, n_labels, k, block=None, name="k"):
    """The `k` best labels of each text and their scores, best first.

    Parameters
    ----------
    score_block, n_rows, n_labels, block
        As for `score_blocks`.
    k : int
        At most L.
    name : str, default="k"
        How messages call the parameter.

    Returns
    -------
    labels : ndarray of shape (n, k), int64
        Equal scores are ranked as `skrr2qc.metrics.top_k` does. -1 where the score is -inf.
    scores : ndarray of shape (n, k), float32

    Raises
    ------
    TypeError, ValueError
        If `k` is no integer in 1..L; before anything is scored.

    Notes
    -----
    Memory: O(n k) and one block, O(block L).
    """
    check_number(k, name, minimum=1, integer=True)
    if k > n_labels:
        raise ValueError(
            f"`{name}` == {k}, must be <= {n_labels}, the number of labels. "
            f"Pass {name}={n_labels} to keep all."
        )
    labels = np.empty((n_rows, k), dtype=np.int64)
    best = np.empty((n_rows, k), dtype=np.float32)
    for rows, scores in score_blocks(score_block, n_rows, n_labels, block):
        labels[rows] = top_k(scores, k)
        best[rows] = np.take_along_axis(scores, labels[rows], axis=1)
    return labels, best


def topk_csr(score_block, n_rows, n_labels, top_k, block=None):
    """The `top_k` best scores of each text as CSR.

    Parameters
    ----------
    score_block, n_rows, n_labels, block
        As for `score_blocks`.
    top_k : int
        Scores kept of each text, at most L.

    Returns
    -------
    scores : csr_matrix of shape (n, L), float32
        Sorted column indices. A score of 0 that is among the best is stored, so that every row
        holds `top_k` entries (fewer only where scores are -inf) and ranks like the dense row.

    Raises
    ------
    TypeError, ValueError
        If `top_k` is no integer in 1..L; before anything is scored.

    Notes
    -----
    Memory: O(n top_k) and one block, O(block L).

    Examples
    --------
    >>> import numpy as np
    >>> dense = np.array([[0.125, 0.75, 0.25], [0.5, 0.0, 0.0]])
    >>> scores = topk_csr(lambda rows: dense[rows], 2, 3, top_k=2)
    >>> scores.indices.reshape(2, 2).tolist(), scores.data.reshape(2, 2).tolist()
    ([[1, 2], [0, 1]], [[0.75, 0.25], [0.5, 0.0]])
    """
    labels, best = topk_arrays(score_block, n_rows, n_labels, top_k, block, name="top_k")
    order = np.argsort(labels, axis=1)
    labels = np.take_along_axis(labels, order, axis=1)
    best = np.take_along_axis(best, order, axis=1)
    is_stored = labels >= 0
    indptr = np.concatenate([[0], np.cumsum(is_stored.sum(axis=1))])
    return sp.csr_matrix((best[is_stored], labels[is_stored], indptr), shape=(n_rows, n_labels))


def linear_scores(embeddings, weight, bias, factor=1.0):
    """Logits (n, L), rounded to float32 last: products in float32 depend on the number of rows."""
    weight = weight.astype(np.float64).T
    logits = np.empty((len(embeddings), len(bias)), dtype=np.float32)
    step = max(1, _LOGITS // max(logits.shape[1], 1))
    for start in range(0, len(logits), step):
        rows = slice(start, start + step)
        logits[rows] = factor * (np.asarray(embeddings[rows], np.float64) @ weight) + bias
    return logits


def with_empty_rows(X):
    """Features (n, d) with as many rows of zeros below them as make a multiple of 8."""
    n_empty = -X.shape[0] % _ROWS
    if not n_empty:
        return X
    if sp.issparse(X):
        empty = sp.csr_matrix((n_empty, X.shape[1]), dtype=X.dtype)
        return sp.vstack([X, empty], format="csr")
    X = np.asarray(X)
    return np.concatenate([X, np.zeros((n_empty, X.shape[1]), dtype=X.dtype)])
