"""One linear model a label, by liblinear, on all rows or on those that matter to the label."""

from itertools import chain, pairwise

import numpy as np
import scipy.sparse as sp
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.preprocessing import normalize

_PRUNING = 0.002  # weights below this share of their label's norm are dropped
_LABELS_PER_TASK = 32  # handing the features to a process costs as much as a label
_PER_POSITIVE = 5  # negatives a positive has at least


def fit_columns(features, Y, labels, linear, *, n_negatives=None, n_jobs=None, seed=0):
    """Pruned weights and intercepts of some columns of targets.

    Parameters
    ----------
    features : csr_matrix of shape (n, d), float64
    Y : sparse matrix of shape (n, L)
    labels : ndarray of int
        Columns to learn; each has positive and negative rows.
    linear : unfitted linear classifier
    n_negatives : int, default=None
        Negative rows a label is told from: half of them those most like its mean text, half drawn
        from the others and weighed up to stand for all of them. None takes every row.
    n_jobs : int, default=None
    seed : int

    Returns
    -------
    fitted : list of (csr_matrix of shape (1, d), float)
    """
    columns = sp.csc_matrix(Y)
    # No threads: they would share liblinear's one random generator and not be reproducible.
    parallel = Parallel(n_jobs=n_jobs, prefer="processes")
    chunks = np.array_split(labels, max(1, -(-len(labels) // _LABELS_PER_TASK)))
    some = delayed(_fit_some)
    done = parallel(
        some(features, columns[:, chunk], linear, n_negatives, [seed, int(i)])
        for i, chunk in enumerate(chunks)
        if len(chunk)
    )
    return list(chain.from_iterable(done))


def _fit_some(features, columns, linear, n_negatives, seed):
    fitted, rng, nearness = [], np.random.default_rng(seed), None
    if n_negatives is not None and n_negatives < features.shape[0]:
        centers = normalize(columns.T @ features)
        nearness = (features @ centers.T.toarray()).T  # (labels, n), of one chunk
    for i, (start, stop) in enumerate(pairwise(columns.indptr)):
        positive = columns.indices[start:stop]
        is_positive = np.zeros(features.shape[0], dtype=np.int8)
        is_positive[positive] = 1
        rows, weights = slice(None), None
        if nearness is not None:
            rows, weights = _telling_rows(positive, nearness[i], n_negatives, rng)
        model = clone(linear).fit(features[rows], is_positive[rows], sample_weight=weights)
        fitted.append((prune(model.coef_[0]), model.intercept_[0]))
    return fitted


def prune(weights):
    """Weights (d,) as csr_matrix of shape (1, d), float32, without those that hardly matter."""
    kept = np.flatnonzero(np.abs(weights) >= _PRUNING * np.linalg.norm(weights))
    entries = weights[kept].astype(np.float32)
    return sp.csr_matrix((entries, kept, [0, len(kept)]), shape=(1, len(weights)))


def _telling_rows(positive, nearness, n_negatives, rng):
    """Rows to learn one label from, and their weights; all rows where that is no more."""
    n_rows = len(nearness)
    n_near = max(n_negatives, _PER_POSITIVE * len(positive)) // 2
    if len(positive) + 2 * n_near >= n_rows:
        return slice(None), None
    order = nearness.copy()
    order[positive] = np.inf
    order = np.argpartition(-order, len(positive) + n_near - 1)
    near, rest = np.split(order, [len(positive) + n_near])
    drawn = rng.choice(rest, n_near, replace=False)
    weights = np.ones(len(near) + n_near)
    weights[len(near) :] = len(rest) / n_near
    return np.concatenate([near, drawn]), weights
