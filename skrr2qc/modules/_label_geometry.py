"""Ranks and closeness of label sets, computed for a batch against a bank, on any device."""

import numpy as np
import torch
from torch import Tensor, nn

_TOLERANCE = 1e-4  # of averages of small integers in float32
_LEAST_CLOSENESS = 1e-6


class _Arrays(nn.Module):
    """Arrays that move with a module and are no part of its state: they come from the data."""

    def _keep(self, name: str, array) -> None:
        tensor = None if array is None else torch.from_numpy(np.ascontiguousarray(array))
        self.register_buffer(name, tensor, persistent=False)


class SparseRows(_Arrays):
    """Rows of a CSR matrix as buffers: gathered, made dense, multiplied from the left.

    Parameters
    ----------
    matrix : csr_matrix of shape (n, C)
    """

    def __init__(self, matrix):
        super().__init__()
        self.n_columns = matrix.shape[1]
        self._keep("indptr", matrix.indptr.astype(np.int64))
        self._keep("columns", matrix.indices.astype(np.int64))
        self._keep("values", matrix.data.astype(np.float32))

    def counts(self, rows: Tensor) -> Tensor:
        """Stored entries of each row; (B,) int64."""
        return self.indptr[rows + 1] - self.indptr[rows]

    def entries(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Position in `rows`, column and value of every stored entry; each (nnz,)."""
        counts = self.counts(rows)
        owners = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), counts)
        starts = self.indptr[rows] - (counts.cumsum(0) - counts)
        places = torch.arange(len(owners), device=rows.device) + starts[owners]
        return owners, self.columns[places], self.values[places]

    def combine(self, rows: Tensor, table: Tensor) -> Tensor:
        """Rows times a dense table, (B, C) @ (C, D) -> (B, D); nothing of size B x C is made."""
        owners, columns, values = self.entries(rows)
        parts = table[columns].float() * values[:, None]
        out = torch.zeros(len(rows), table.shape[1], device=table.device)
        return out.index_add_(0, owners, parts)

    def sums(self, rows: Tensor) -> Tensor:
        """Sum of each row; (B,)."""
        owners, _, values = self.entries(rows)
        return torch.zeros(len(rows), device=rows.device).index_add_(0, owners, values)

    def dense(self, rows: Tensor) -> Tensor:
        """Rows as they are, (B, C)."""
        owners, columns, values = self.entries(rows)
        out = torch.zeros(len(rows), self.n_columns, device=rows.device)
        out[owners, columns] = values
        return out


class LabelGeometry(_Arrays):
    """How far and how close the label sets of numbered texts are (Eq. 1-4 and 7 of [1]_).

    Parameters
    ----------
    label_sets : csr_matrix of shape (n, L), {0, 1}
        One row a text; without a label it has no rank.
    distances : ndarray of shape (L, L), int, or None
        Label distances, at most `max_rank`; None: flat labels, 2 between any two.
    max_rank : int
        Farthest rank, 2H.
    closeness : {"cos01", "jaccard", "none", "dot_clamped"}, default="cos01"
        Mean cosine of two label sets' vectors brought to [0, 1]; shared share of their labels;
        1; or mean dot product, cut off below. All at least 1e-6.
    label_vectors : ndarray of shape (L, h), default=None
        For "cos01" and "dot_clamped".
    reduction : {"mean", "sum"}, default="mean"
        Over pairs of labels; "sum" as the authors' code computes.
    levels : ndarray of shape (R + 1,), default=None
        Sorted distances that occur: the rank is then the position among them, and not the
        distance rounded up.

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv:2411.01841, 2024.
    """

    def __init__(
        self, label_sets, distances, max_rank, closeness="cos01", label_vectors=None,
        reduction="mean", levels=None,
    ):  # fmt: skip
        super().__init__()
        self.max_rank = max_rank
        self.closeness_form = closeness
        self.label_sets = SparseRows(label_sets)
        shares = label_sets.astype(np.float32)
        counts = np.diff(label_sets.indptr)
        shares.data = np.repeat(1.0 / np.maximum(counts, 1), counts).astype(np.float32)
        self.shares = SparseRows(shares)
        self.weights = self.shares if reduction == "mean" else self.label_sets
        self._keep("distances", distances)
        self._keep("levels", None if levels is None else np.asarray(levels, dtype=np.float32))
        if label_vectors is None:
            label_vectors = np.zeros((label_sets.shape[1], 0))
        label_vectors = np.asarray(label_vectors, dtype=np.float32)
        if closeness == "cos01":
            lengths = np.linalg.norm(label_vectors, axis=1, keepdims=True)
            label_vectors = label_vectors / np.maximum(lengths, 1e-12)
        self._keep("label_vectors", label_vectors)

    def mean_vectors(self, rows: Tensor) -> Tensor:
        """Mean label vector of each text; (B, h)."""
        return self.shares.combine(rows, self.label_vectors)

    def has_labels(self, rows: Tensor) -> Tensor:
        """Whether a text has a label; (B,) bool."""
        return self.label_sets.counts(rows) > 0

    def ranks(self, rows: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
        """Ranks of texts against a bank of texts, and the number of labels that they share.

        Returns
        -------
        ranks : Tensor of shape (B, K), int64
            0 where a label is shared, the farthest where a text has none.
        n_shared : Tensor of shape (B, K), float32
        """
        sets = self.label_sets.dense(rows)
        if self.distances is None:
            n_shared = self.label_sets.combine(bank, sets.T).T
            distances = 2.0 * self.weights.sums(rows)[:, None] * self.weights.sums(bank)
        else:
            far = self.weights.combine(rows, self.distances)  # (B, L)
            both = torch.cat([far, sets]).T.contiguous()  # (L, 2B)
            owners, columns, weights = self.weights.entries(bank)
            parts = both[columns]  # (nnz, 2B)
            parts[:, : len(rows)] *= weights[:, None]
            sums = torch.zeros(len(bank), both.shape[1], device=both.device)
            distances, n_shared = sums.index_add_(0, owners, parts).T.split(len(rows))
        distances = torch.where(n_shared > 0, 0.0, distances)
        if self.levels is None:
            ranks = (distances - _TOLERANCE).ceil().long()
        else:
            ranks = torch.bucketize((distances - _TOLERANCE).contiguous(), self.levels)
        are_labelled = self.has_labels(rows)[:, None] & self.has_labels(bank)
        ranks = torch.where(are_labelled, ranks.clamp(0, self.max_rank), self.max_rank)
        return ranks, n_shared

    def closeness(self, rows, bank, n_shared, means, bank_means) -> Tensor | None:
        """Weight W of each pair, (B, K) in [1e-6, 1]; None where all weigh alike.

        Parameters
        ----------
        rows, bank : Tensor of shape (B,) and (K,), int64
        n_shared : Tensor of shape (B, K)
            From `ranks`.
        means, bank_means : Tensor of shape (B, h) and (K, h)
            From `mean_vectors`.
        """
        if self.closeness_form == "none":
            return None
        if self.closeness_form == "jaccard":
            sizes = self.label_sets.counts(rows)[:, None] + self.label_sets.counts(bank)
            closeness = n_shared / (sizes - n_shared).clamp(min=1.0)
        else:
            closeness = means @ bank_means.T
            if self.closeness_form == "cos01":
                closeness = (closeness + 1.0) / 2.0
        return closeness.clamp(_LEAST_CLOSENESS, 1.0)
