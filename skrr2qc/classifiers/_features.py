"""Features instead of texts: batches of them, and a projection to start from."""

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.utils.extmath import randomized_svd

_MAX_WIDTH = 512  # wider features are first reduced to this many directions


class FeatureBatches:
    """Iterable of ``(inputs, Y)`` over dense or CSR features; only a batch is made dense.

    Parameters
    ----------
    X : ndarray or csr_matrix of shape (n, d)
    Y : csr_matrix of shape (n, L), default=None
    batch_size : int
    rng : numpy.random.Generator, default=None
        Draws a new order each time it is iterated; None keeps the order of the rows.
    """

    def __init__(self, X, Y=None, *, batch_size, rng=None):
        self.X = X
        self.Y = Y
        self.batch_size = batch_size
        self.rng = rng
        self.order = np.arange(X.shape[0])

    def __len__(self):
        return -(-len(self.order) // self.batch_size)

    @property
    def n_labels(self):
        """Columns of the targets."""
        return self.Y.shape[1]

    def __iter__(self):
        order = self.order if self.rng is None else self.rng.permutation(self.order)
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            X = self.X[rows]
            X = X.toarray() if sp.issparse(X) else X
            inputs = {"X": torch.from_numpy(np.ascontiguousarray(X, dtype=np.float32))}
            if self.Y is None:
                yield inputs, torch.zeros(len(rows), 0)
            else:
                yield inputs, torch.from_numpy(self.Y[rows].toarray())


def project_start(X, rng):
    """Shift, factor and projection that a feature tower begins with.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n, d)
    rng : numpy.random.Generator

    Returns
    -------
    shift : ndarray of shape (d,)
        Column means; 0 for sparse features, which stay sparse.
    factor : float
        Brings the mean squared row length to 1.
    weight : ndarray of shape (p, d)
        The identity, or the main directions of features wider than 512.
    """
    X = X.astype(np.float32)
    n_features = X.shape[1]
    shift = np.zeros(n_features, np.float32) if sp.issparse(X) else X.mean(axis=0)
    centered = X if sp.issparse(X) else X - shift
    squares = centered.multiply(centered) if sp.issparse(X) else np.square(centered)
    factor = 1.0 / np.sqrt(max(float(squares.sum()) / X.shape[0], 1e-12))
    if n_features <= _MAX_WIDTH:
        return shift, factor, np.eye(n_features, dtype=np.float32)
    seed = int(rng.integers(np.iinfo(np.int32).max))
    width = min(_MAX_WIDTH, X.shape[0])
    weight = randomized_svd(centered, width, random_state=seed)[2]
    return shift, factor, np.ascontiguousarray(weight, dtype=np.float32)
