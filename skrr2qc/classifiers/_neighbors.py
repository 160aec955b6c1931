"""Nearest training texts as evidence for labels."""

import numpy as np
import scipy.sparse as sp
import torch

from ._sparse_scores import with_empty_rows

KINDS = ("neighbors", "rare_neighbors", "votes")
_SAMPLE = 1_000  # training texts that show what is typical
_MAX_ENTRIES = 8_000_000  # similarities held at a time: 32 MB
_MANY_TEXTS = 64  # from so many in a block on, a loop over labels pays
_FEW_TEXTS = 10  # of a label, over which its rarity fades by a factor of e
_N_VOTERS = 50  # nearest training texts
_TEMPERATURE = 0.1  # cosines: a text that is so much less alike has e times less of a vote
_LEAST_SHARE = 0.003  # of votes, added before their logarithm is taken


def rarity(n_texts):
    """1 for labels without a training text, ``exp(-n / 10)`` for n; (L,)."""
    return np.exp(n_texts / -_FEW_TEXTS)


class LabelNeighbors:
    """What training texts near a text say of its labels: how near, and how many.

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
    >>> evidence = neighbors.evidence(text)
    >>> evidence["neighbors"].astype(float).round(1).tolist()  # others have 0.3 and 0.6
    [[-0.3, 0.4]]
    >>> evidence["votes"].astype(float).round(1).tolist()  # 0 and 1 of the votes; shares 1/3, 2/3
    [[-4.7, 0.4]]
    """

    def __init__(self, vectors, Y):
        self.vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self.labels_ = sp.csr_matrix(Y > 0, dtype=np.float32)
        by_label = self.labels_.tocsc()
        self.rows_ = by_label.indices
        self.starts_ = by_label.indptr
        self.shares_ = (np.diff(self.starts_) / Y.shape[0]).astype(np.float32)
        self.typical_ = self._typical(Y)

    def evidence(self, vectors, kinds=KINDS):
        """What speaks for each label.

        Parameters
        ----------
        vectors : ndarray of shape (n, D), float32
            Rows of length 1.
        kinds : sequence of {"neighbors", "rare_neighbors", "votes"}
            Those that are wanted.

        Returns
        -------
        evidence : dict of str to ndarray of shape (n, L), float32
            "neighbors": the cosine with the nearest training text of the label, less what it is,
            on average, for training texts that do not have the label; one with many texts has
            one near to anything. "rare_neighbors": the same times ``exp(-n / 10)``, n being the
            number of the label's training texts. "votes": ``log((v + e) / (p + e))`` with
            ``e = 0.003`` and the label's shares v of the votes of the 50 nearest training texts
            and p of all training texts. A text whose cosine is 0.1 less has e times less of a
            vote; all that are as near as the 50th vote. Nothing speaks for or against a label
            without a text.
        """
        n_labels = len(self.starts_) - 1
        found = {kind: np.empty((len(vectors), n_labels), dtype=np.float32) for kind in kinds}
        of_rare = rarity(np.diff(self.starts_))
        for block, cosines in self._cosines(vectors):
            if "neighbors" in found or "rare_neighbors" in found:
                excess = self._nearest(cosines) - self.typical_
            if "neighbors" in found:
                found["neighbors"][block] = excess
            if "rare_neighbors" in found:
                found["rare_neighbors"][block] = excess * of_rare
            if "votes" in found:
                votes = self._votes(cosines) + _LEAST_SHARE
                found["votes"][block] = np.log(votes / (self.shares_ + np.float32(_LEAST_SHARE)))
        return found

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
        similarities = np.empty((len(vectors), len(self.starts_) - 1), dtype=np.float32)
        for block, cosines in self._cosines(vectors):
            similarities[block] = self._nearest(cosines)
        return similarities

    def _cosines(self, vectors):
        """Slices of the rows, and their cosines with all training texts."""
        n_rows = max(1, _MAX_ENTRIES // max(len(self.rows_), len(self.vectors)))
        for start in range(0, len(vectors), n_rows):
            block = slice(start, start + n_rows)
            rows = with_empty_rows(vectors[block])  # so that its company leaves no trace in a text
            yield block, (rows @ self.vectors.T)[: len(vectors[block])]

    def _nearest(self, cosines):
        """Largest cosine of each label; for many texts, label by label, which is far faster."""
        nearest = np.zeros((len(self.starts_) - 1, len(cosines)), dtype=np.float32)
        has_text = np.flatnonzero(np.diff(self.starts_))
        if len(cosines) < _MANY_TEXTS and len(has_text):
            starts = self.starts_[has_text]
            nearest[has_text] = np.maximum.reduceat(cosines[:, self.rows_], starts, axis=1).T
            return np.clip(nearest.T, 0.0, 1.0)
        of_texts = np.ascontiguousarray(cosines.T)
        for label in has_text:
            rows = self.rows_[self.starts_[label] : self.starts_[label + 1]]
            np.max(of_texts[rows], axis=0, out=nearest[label])
        return np.clip(nearest.T, 0.0, 1.0)

    def _votes(self, cosines):
        """Shares of the votes of near training texts; their order decides nothing."""
        n_voters = min(_N_VOTERS, cosines.shape[1])
        nearest = torch.from_numpy(cosines).topk(n_voters, dim=1).values.numpy()
        texts, voters = np.nonzero(cosines >= nearest[:, -1:])
        away = nearest[texts, 0] - cosines[texts, voters]
        votes = np.exp(-away / np.float32(_TEMPERATURE))
        votes = sp.csr_matrix((votes, (texts, voters)), shape=cosines.shape)
        return (votes @ self.labels_).toarray() / votes.sum(axis=1)

    def _typical(self, Y):
        """Mean similarity, for each label, of (up to 1,000) training texts that do not have it."""
        sample = np.linspace(0, Y.shape[0] - 1, min(_SAMPLE, Y.shape[0])).astype(int)
        similarities = self.similarities(self.vectors[sample])
        has_label = Y[sample].toarray() > 0
        n_without = np.maximum((~has_label).sum(axis=0), 1)
        return (np.where(has_label, 0.0, similarities).sum(axis=0) / n_without).astype(np.float32)
