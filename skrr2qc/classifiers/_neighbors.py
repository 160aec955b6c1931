"""Nearest training texts as evidence for labels."""

import numpy as np

from ._sparse_scores import with_empty_rows

_SAMPLE = 1_000  # training texts that show what is typical
_MAX_ENTRIES = 8_000_000  # similarities held at a time: 32 MB


class LabelNeighbors:
    """How much more alike a text and the nearest training text of each label are than others are.

    A label with many training texts has one near to anything: what a label's nearest text is like
    for training texts that do not have the label is subtracted.

    Parameters
    ----------
    vectors : ndarray of shape (N, D), float32
        Training texts, rows of length 1.
    Y : csr_matrix of shape (N, L)
        Their labels.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> vectors = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], dtype=np.float32)
    >>> neighbors = LabelNeighbors(vectors, sp.csr_matrix(np.array([[1, 0], [0, 1], [0, 1]])))
    >>> text = np.array([[0.0, 1.0]], dtype=np.float32)
    >>> neighbors.similarities(text).tolist()
    [[0.0, 1.0]]
    >>> neighbors.excess(text).astype(float).round(1).tolist()  # others have 0.3 and 0.6
    [[-0.3, 0.4]]
    """

    def __init__(self, vectors, Y):
        by_label = Y.tocsc()
        self.vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self.rows_ = by_label.indices
        self.starts_ = by_label.indptr
        self.typical_ = self._typical(Y)

    def excess(self, vectors):
        """Similarities less what is typical of each label; (n, L) float32, 0 without a text."""
        return self.similarities(vectors) - self.typical_

    def similarities(self, vectors):
        """Cosine with the nearest training text of each label.

        Parameters
        ----------
        vectors : ndarray of shape (n, D), float32
            Rows of length 1.

        Returns
        -------
        similarities : ndarray of shape (n, L), float32
            In [0, 1]; 0 for a label without a training text.
        """
        n_labels = len(self.starts_) - 1
        nearest = np.zeros((len(vectors), n_labels), dtype=np.float32)
        has_text = np.flatnonzero(np.diff(self.starts_))
        n_rows = max(1, _MAX_ENTRIES // max(len(self.rows_), len(self.vectors)))
        for start in range(0, len(vectors) if len(has_text) else 0, n_rows):
            block = slice(start, start + n_rows)
            rows = with_empty_rows(vectors[block])  # so that its company leaves no trace in a text
            cosines = (rows @ self.vectors.T)[: len(vectors[block])]  # (b, N)
            best = np.maximum.reduceat(cosines[:, self.rows_], self.starts_[has_text], axis=1)
            nearest[block, has_text] = best
        return np.clip(nearest, 0.0, 1.0)

    def _typical(self, Y):
        """Mean similarity, for each label, of (up to 1,000) training texts that do not have it."""
        sample = np.linspace(0, Y.shape[0] - 1, min(_SAMPLE, Y.shape[0])).astype(int)
        similarities = self.similarities(self.vectors[sample])
        has_label = Y[sample].toarray() > 0
        n_without = np.maximum((~has_label).sum(axis=0), 1)
        return (np.where(has_label, 0.0, similarities).sum(axis=0) / n_without).astype(np.float32)
