"""Random cases shared by the metric tests."""

import numpy as np
import pytest
from scipy import sparse


@pytest.fixture(scope="session")
def make_case():
    """Function that draws truth, dense scores, and the same scores as CSR of a random subset."""

    def draw(seed, n_samples=13, n_labels=9, *, ties=False, empty_rows=True, density=0.25):
        rng = np.random.default_rng(seed)
        Y = (rng.random((n_samples, n_labels)) < density).astype(int)
        if empty_rows:
            Y[0] = 0
        else:
            Y[np.arange(n_samples), rng.integers(n_labels, size=n_samples)] = 1
        if ties:
            scores = rng.integers(-1, 3, size=(n_samples, n_labels)).astype(float)
        else:
            scores = rng.permutation(Y.size).reshape(Y.shape) / Y.size
        stored = rng.random(Y.shape) < 0.5
        stored[-1] = False  # one row of which nothing is retrieved
        rows, columns = np.nonzero(stored)
        partial = sparse.csr_array((scores[stored], (rows, columns)), shape=Y.shape)
        return Y, scores, partial

    return draw


@pytest.fixture(scope="session")
def fill():
    """Function that gives the dense matrix a CSR of scores stands for: -inf where not stored."""

    def dense(scores):
        filled = np.full(scores.shape, -np.inf)
        rows = np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr))
        filled[rows, scores.indices] = scores.data  # stored zeros stay zeros
        return filled

    return dense
