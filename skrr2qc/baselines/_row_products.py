"""Linear support vector machines of all labels at once, from the products of the rows."""

import numpy as np
import scipy.sparse as sp
from scipy.linalg import lapack

from ._one_vs_rest import prune

_MAX_ROWS = 10_000  # products of all pairs in double precision: 0.8 GB
_COMMON = 0.05  # share of the rows from which on a feature is multiplied as a dense column
_BLOCK_ROWS = 1024  # of the products at a time
_BLOCK_COMMON = 2048  # dense columns at a time
_BLOCK_LABELS = 256  # solved at a time
_BLOCK_WEIGHTS = 25_000_000  # dense weights at a time, before they are pruned
_MAX_STEPS = 250  # most labels take 25 to 40 for C = 1 and 100 for C = 10
_STEPS_TO_CHECK = 5  # a check costs as much as a step
_MAX_GAP = 0.01  # of duality, as a share of the objective

# Seconds on one core, by which the two ways are compared; only their ratios matter.
_DENSE_PRODUCT, _SPARSE_PRODUCT = 2e-11, 3e-9  # of a feature of two rows
_INVERSE = 2.5e-11  # n^3 times
_STEPS = 1.2e-9  # n^2 times, all steps of a label
_LIBLINEAR, _LIBLINEAR_CALL = 1.6e-8, 1e-3  # of a feature of a row, all passes of a label; a label


def is_worthwhile(features, n_labels):
    """Whether the products of the rows cost less than as many runs of liblinear."""
    n_rows = features.shape[0]
    if n_rows > _MAX_ROWS:
        return False
    is_common, counts = _common(features)
    products = _DENSE_PRODUCT * n_rows**2 * is_common.sum()
    products += _SPARSE_PRODUCT * (counts[~is_common].astype(np.float64) ** 2).sum()
    saved = n_labels * (_LIBLINEAR_CALL + _LIBLINEAR * features.nnz - _STEPS * n_rows**2)
    return bool(products + _INVERSE * n_rows**3 < saved)


def fit_columns(features, Y, labels, C):
    r"""Pruned weights and intercepts of some columns of targets, learned from all rows.

    Minimises what liblinear does, :math:`\frac12 |w|^2 + C \sum_i \max(0, 1 - y_i w x_i)^2` with
    a constant feature for the intercept. The squared hinge is at most the square of its argument,
    or of the distance from where a row beyond its margin stands. So a step is a least-squares fit
    to the targets :math:`\max(1, y_i f_i) y_i`, which one inverse serves for all labels and steps,
    and steps gather momentum [1]_ until they turn back [2]_.

    Parameters
    ----------
    features : csr_matrix of shape (n, d)
    Y : sparse matrix of shape (n, L)
    labels : ndarray of int
        Columns to learn; each has positive and negative rows.
    C : float

    Returns
    -------
    fitted : list of (csr_matrix of shape (1, d), float), or None
        None for a label that has not settled, which is left to others.

    References
    ----------
    .. [1] A. Beck, M. Teboulle. A fast iterative shrinkage-thresholding algorithm for linear
       inverse problems. SIAM Journal on Imaging Sciences 2(1), 2009.
    .. [2] B. O'Donoghue, E. Candes. Adaptive restart for accelerated gradient schemes.
       Foundations of Computational Mathematics 15, 2015.
    """
    features = sp.csr_matrix(features, dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows has no inverse
        products = _products(features)
        inverse = _inverse(products, 1 / (2 * C))
    if inverse is None:
        return [None] * len(labels)
    by_feature, by_label = features.T.tocsr(), sp.csr_matrix(sp.csc_matrix(Y)[:, labels].T)
    fitted = []
    for start in range(0, len(labels), _BLOCK_LABELS):
        is_positive = by_label[start : start + _BLOCK_LABELS].toarray() > 0
        duals, is_settled = _solve(products, inverse, is_positive, C)
        done = iter(_weights(by_feature, duals[is_settled].T))
        fitted += [next(done) if settled else None for settled in is_settled]
    return fitted


def _common(features):
    """Which features are in so many rows that dense columns are faster, and in how many each is."""
    counts = np.bincount(features.indices, minlength=features.shape[1])
    return counts > _COMMON * features.shape[0], counts


def _products(features):
    """Products of all pairs of rows, shape (n, n), float32, with a constant feature of 1."""
    n_rows = features.shape[0]
    is_common, _ = _common(features)
    by_feature = features.tocsc()
    rare = by_feature[:, ~is_common].tocsr()
    rare_by_feature = rare.T.tocsr()
    products = np.ones((n_rows, n_rows), dtype=np.float32)
    blocks = [slice(start, start + _BLOCK_ROWS) for start in range(0, n_rows, _BLOCK_ROWS)]
    for rows in blocks:
        products[rows] += (rare[rows] @ rare_by_feature).toarray()
    common = np.flatnonzero(is_common)
    for start in range(0, len(common), _BLOCK_COMMON):
        columns = by_feature[:, common[start : start + _BLOCK_COMMON]].toarray()
        for rows in blocks:
            products[rows] += columns[rows] @ columns.T
    return products


def _inverse(products, penalty):
    """Inverse of products + penalty, float32; None where rounding leaves none."""
    penalized = products.astype(np.float64)
    penalized.flat[:: len(penalized) + 1] += penalty
    # LAPACK reads by column; of a symmetric matrix the transpose is the same, and no copy
    lower, failed = lapack.dpotrf(penalized.T, lower=1, overwrite_a=1)
    if not failed:
        lower, failed = lapack.dpotri(lower, lower=1, overwrite_c=1)
    if failed or not np.isfinite(lower).all():
        return None
    inverse = lower.astype(np.float32)
    inverse += np.tril(inverse, -1).T
    return inverse


def _solve(products, inverse, is_positive, C):
    """Dual coefficients (b, n) of labels with these rows, and which of them have settled."""
    penalty = np.float32(1 / (2 * C))
    found = np.empty(is_positive.shape, dtype=np.float32)
    is_settled, left = np.zeros(len(found), dtype=bool), np.arange(len(found))
    targets = before = ahead = np.where(is_positive, np.float32(1), np.float32(-1))
    momentum = np.ones((len(found), 1), dtype=np.float32)
    for step in range(1, _MAX_STEPS + 1):
        duals = targets @ inverse
        scores = targets - penalty * duals
        if step % _STEPS_TO_CHECK == 0:
            done = _is_near_minimum(products, duals, scores, is_positive, C)
            found[left[done]], is_settled[left[done]] = duals[done], True
            if done.all():
                break
            left, momentum, is_positive = left[~done], momentum[~done], is_positive[~done]
            scores, ahead, before = scores[~done], ahead[~done], before[~done]
        move = scores - before
        turns_back = _row_dots(ahead, move) > _row_dots(scores, move)
        momentum[turns_back] = 1
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        move *= (momentum - 1) / following
        before, momentum, ahead = scores, following, np.add(scores, move, out=move)
        targets = np.minimum(ahead, -1)
        targets[is_positive] = np.maximum(ahead[is_positive], 1)
    return found, is_settled


def _is_near_minimum(products, duals, scores, is_positive, C):
    """Whether the objective of each label is near its minimum.

    With w the sum of dual coefficients times rows, the duality gap of w and of the coefficients
    2 C max(0, 1 - y f) is half the squared norm of the difference between w and their sum.
    """
    violations = np.minimum(-1 - scores, 0)  # times y
    violations[is_positive] = np.maximum(1 - scores[is_positive], 0)
    objective = _row_dots(duals, scores) / 2 + C * _row_dots(violations, violations)
    away = duals - np.float32(2 * C) * violations
    return _row_dots(away, away @ products) / 2 <= _MAX_GAP * objective


def _row_dots(first, second):
    return np.einsum("ij,ij->i", first, second)


def _weights(by_feature, duals):
    """Pruned weights and intercept of each column of dual coefficients (n, b)."""
    n_labels = max(1, _BLOCK_WEIGHTS // by_feature.shape[0])
    for start in range(0, duals.shape[1], n_labels):
        some = np.ascontiguousarray(duals[:, start : start + n_labels])
        weights, intercepts = (by_feature @ some).T, some.sum(axis=0)
        for row, intercept in zip(weights, intercepts, strict=True):
            yield prune(row), float(intercept)
