"""Scores of labels from the scores of their meta-labels (Eq. 15), and what is made of both."""

import numpy as np
import scipy.sparse as sp

from .._validation import check_choice, check_number
from ..metrics import top_k

MEANS = ("arithmetic", "geometric")
LEAST = 1e-6  # score, before its logarithm is taken


def rerank_scores(
    label_scores, meta_scores, label_to_meta, *, alpha=1.0, mean="arithmetic", top_r=None
):
    """Label scores times the mean score of each label's meta-labels (Eq. 15 of [1]_).

    Parameters
    ----------
    label_scores : ndarray of shape (n, L)
    meta_scores : ndarray of shape (n, M)
    label_to_meta : sparse matrix of shape (L, M), {0, 1}
        A label without a meta-label keeps its score.
    alpha : float, default=1.0
        Exponent of the mean; 0 leaves the scores as they are.
    mean : {"arithmetic", "geometric"}, default="arithmetic"
        The geometric mean falls to the score of a meta-label that is surely absent.
    top_r : int, default=None
        Labels of each row, best first, whose order may change. The others keep their order and
        stay below: their scores are multiplied by the smallest mean of the row's top labels.

    Returns
    -------
    scores : ndarray of shape (n, L)
        For ranking: a product of two probabilities is not one.

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv:2411.01841, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> label_to_meta = sp.csr_matrix(np.array([[1, 1], [0, 0]]))
    >>> rerank_scores(np.array([[0.5, 0.4]]), np.array([[0.2, 0.6]]), label_to_meta).tolist()
    [[0.2, 0.4]]
    """
    check_choice(mean, "mean", MEANS)
    if top_r is not None:
        check_number(top_r, "top_r", minimum=1, integer=True)
    label_scores, meta_scores = _as_floats(label_scores), _as_floats(meta_scores)
    label_to_meta = sp.csr_matrix(label_to_meta, dtype=meta_scores.dtype)
    expected = (label_scores.shape[1], meta_scores.shape[1])
    if label_to_meta.shape != expected or len(label_scores) != len(meta_scores):
        raise ValueError(
            f"Scores of shapes {label_scores.shape} and {meta_scores.shape} need as many rows each "
            f"and a `label_to_meta` of shape {expected}, got {label_to_meta.shape}."
        )
    means = mean_meta_scores(meta_scores, label_to_meta, mean)
    if alpha != 1.0:
        means **= alpha
    if top_r is not None and top_r < label_scores.shape[1]:
        _level_the_rest(means, top_k(label_scores, top_r))
    means *= label_scores
    return means.astype(label_scores.dtype, copy=False)


def mean_meta_scores(meta_scores, label_to_meta, mean="arithmetic"):
    """Mean score of each label's meta-labels, (n, L); 1 for a label without any.

    Parameters
    ----------
    meta_scores : ndarray of shape (n, M), floats
    label_to_meta : csr_matrix of shape (L, M), {0, 1}
    mean : {"arithmetic", "geometric"}, default="arithmetic"
    """
    if mean == "geometric":
        meta_scores = np.log(np.maximum(meta_scores, LEAST))
    n_meta = np.asarray(label_to_meta.sum(axis=1)).ravel()
    means = (label_to_meta @ meta_scores.T).T  # (n, L)
    means /= np.maximum(n_meta, 1)
    if mean == "geometric":
        np.exp(means, out=means)
    means[:, n_meta == 0] = 1.0
    return means


def _level_the_rest(means, top):
    """Give the labels that are not among a row's top the smallest mean of those that are."""
    kept = np.take_along_axis(means, top, axis=1)
    means[:] = kept.min(axis=1, keepdims=True)
    np.put_along_axis(means, top, kept, axis=1)


def _as_floats(scores):
    scores = np.asarray(scores)
    return scores if scores.dtype.kind == "f" else scores.astype(np.float64)
