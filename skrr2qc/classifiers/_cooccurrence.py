"""Labels that occur together as evidence for each other."""

import numpy as np
import scipy.sparse as sp

from ..metrics import top_k

_N_COMPANIONS = 10  # best labels of a text that speak for others
_LEAST_EXPECTED = 1e-3  # added to what is expected before its logarithm is taken


def has_company(Y):
    """Whether any text of a csr_matrix (N, L) has a label beside another."""
    return bool((np.diff(Y.indptr) > 1).any())


class LabelCooccurrence:
    """How much likelier a text's best labels make each other label than other texts' labels do.

    Parameters
    ----------
    Y : csr_matrix of shape (N, L)
        Labels of the training texts.

    Attributes
    ----------
    given_ : csr_matrix of shape (L, L), float32
        In row j, the share of the texts with label j that have each other label; one text more
        than there are counts as having label j alone.
    typical_ : ndarray of shape (L,), float32
        What the labels of an average training text let expect of each other label.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> Y = sp.csr_matrix(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 1]]))
    >>> cooccurrence = LabelCooccurrence(Y)
    >>> cooccurrence.given_.toarray().astype(float).round(2).tolist()
    [[0.0, 0.67, 0.0], [0.67, 0.0, 0.0], [0.0, 0.0, 0.0]]
    >>> scores = np.array([[0.9, 0.1, 0.1]], dtype=np.float32)
    >>> cooccurrence.lift(scores).astype(float).round(1).tolist()  # the first speaks for the second
    [[-1.6, 0.6, 0.0]]
    """

    def __init__(self, Y):
        Y = sp.csr_matrix(Y > 0, dtype=np.float32)
        counts = np.asarray(Y.sum(axis=0), dtype=np.float64).ravel()
        given = sp.csr_matrix(Y.T @ Y)
        rows = np.repeat(np.arange(len(counts)), np.diff(given.indptr))
        given.data[rows == given.indices] = 0
        given.data /= (counts + 1)[rows]
        given.eliminate_zeros()
        self.given_ = given
        self.typical_ = (counts / Y.shape[0] @ given).astype(np.float32)

    def lift(self, scores):
        """Log of what a text's ten best labels let expect of each other, over what is typical.

        Parameters
        ----------
        scores : ndarray of shape (n, L)
            In [0, 1].

        Returns
        -------
        lift : ndarray of shape (n, L), float32
            Of label l, ``log((sum over j of score_j given_jl + e) / (typical_l + e))`` with
            ``e = 0.001``; 0 for a label that never occurs with another.
        """
        n_texts, n_labels = scores.shape
        best = top_k(scores, min(_N_COMPANIONS, n_labels))
        values = np.take_along_axis(scores, best, axis=1).astype(np.float32)
        starts = np.arange(n_texts + 1) * best.shape[1]
        companions = sp.csr_matrix((values.ravel(), best.ravel(), starts), shape=scores.shape)
        expected = (companions @ self.given_).toarray()
        return np.log((expected + _LEAST_EXPECTED) / (self.typical_ + _LEAST_EXPECTED))
