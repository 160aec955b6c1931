"""Word vectors to start from: latent semantic analysis of the token counts."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import svds

_MAX_DENSE = 1000  # texts, or tokens, whose Gram matrix is decomposed at once
_SMALLEST = 1e-6  # of the largest singular value: below, a direction is rounding error


def word_vectors(ids, tokenizer, n_features, rng):
    """Token vectors whose weighted sum over a text is its latent semantic vector.

    Parameters
    ----------
    ids : list of n int32 arrays
    tokenizer : TextTokenizer
    n_features : int
    rng : numpy.random.Generator

    Returns
    -------
    vectors : ndarray of shape (V, n_features), float32
        Rows of special tokens are 0; a rare token's vector is longer (inverse document
        frequency). Directions that too few texts leave open are filled with small noise.
    """
    counts = _token_counts(ids, tokenizer)
    document_frequency = np.bincount(counts.indices, minlength=counts.shape[1])
    idf = np.log((1 + counts.shape[0]) / (1 + document_frequency)) + 1
    idf[tokenizer.special_ids] = 0
    weighted = counts.copy()
    weighted.data = 1 + np.log(weighted.data)
    weighted = weighted @ sp.diags_array(idf)
    norms = np.sqrt(weighted.multiply(weighted).sum(axis=1))
    weighted = sp.diags_array(1 / np.maximum(norms, 1e-12)) @ weighted
    rank = min(n_features, min(weighted.shape) - 1)
    vectors = rng.normal(scale=0.1 / np.sqrt(n_features), size=(counts.shape[1], n_features))
    if rank > 0 and weighted.count_nonzero():  # texts without a known token leave explicit zeros
        components = _main_directions(weighted, rank, rng)
        scale = np.linalg.norm(components, axis=0)
        vectors[:, : len(components)] += (components / max(scale[scale > 0].mean(), 1e-12)).T
    return (vectors * idf[:, None] / max(idf.max(), 1e-12)).astype(np.float32)


def _main_directions(matrix, rank, rng):
    """Right singular vectors of the largest singular values; at most `rank`, none of value 0.

    Those of value 0 are arbitrary, and where ARPACK meets them it goes on from random numbers
    that follow no seed: small matrices, often of low rank, are decomposed without it.
    """
    if min(matrix.shape) <= _MAX_DENSE:
        is_wide = matrix.shape[0] < matrix.shape[1]
        squares, vectors = np.linalg.eigh(
            (matrix @ matrix.T if is_wide else matrix.T @ matrix).toarray()
        )
        squares, vectors = squares[-rank:], vectors[:, -rank:]
        is_used = squares > _SMALLEST**2 * squares.max()
        directions = (matrix.T @ vectors if is_wide else vectors)[:, is_used]
        return (directions / np.linalg.norm(directions, axis=0)).T
    start = rng.standard_normal(min(matrix.shape))
    _, values, directions = svds(matrix, k=rank, v0=start, solver="arpack")
    return directions[values > _SMALLEST * values.max()]


def _token_counts(ids, tokenizer):
    indptr = np.cumsum([0, *map(len, ids)])
    indices = np.concatenate(ids).astype(np.int64)
    shape = (len(ids), tokenizer.vocab_size)
    counts = sp.csr_array((np.ones(len(indices)), indices, indptr), shape=shape)
    counts.sum_duplicates()
    return counts
