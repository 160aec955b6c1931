"""Platt scaling: how scores of any kind become log-odds, by the likelihood of held-out rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit

_LEAST_SLOPE = 0.05  # a ranking is never turned round
_BOUND = 30.0  # scores beyond are as good as certain
_CELLS = 2**16  # of a grid from the lowest to the highest score, on which they are counted
_BLOCK_ENTRIES = 2**20  # scores looked at together


def fit_sigmoid(Y: Any, scores: ArrayLike) -> tuple[float, float]:
    """Slope and intercept that make scores calibrated log-odds (Platt scaling [1]_).

    Parameters
    ----------
    Y : sparse matrix or ndarray of shape (n, L), {0, 1}
        Held-out targets.
    scores : ndarray of shape (n, L)
        Held-out scores, cut off at 30 either way.

    Returns
    -------
    slope : float, at least 0.05
    intercept : float
        ``expit(slope * scores + intercept)`` is the probability. 1 and 0 without any positive.

    Notes
    -----
    The slope is pulled towards 1 and the intercept towards 0 with the weight of one entry, so
    that few positives tip nothing over. Scores are counted on a grid: the fit costs O(n L) once.

    References
    ----------
    .. [1] J. Platt. Probabilistic outputs for support vector machines. Advances in Large Margin
       Classifiers, 1999.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(2000, 5))
    >>> slope, intercept = fit_sigmoid(rng.random(z.shape) < expit(2 * z - 1), z)
    >>> bool(abs(slope - 2) < 0.2), bool(abs(intercept + 1) < 0.2)
    (True, True)
    """
    z, n_true, n_all = tally(Y, scores, lambda part: np.clip(part, -_BOUND, _BOUND))
    if not n_true.sum():
        return 1.0, 0.0
    intercept, slope = fit_slopes(z[:, None], n_true, n_all)
    return float(slope), float(intercept)


def tally(
    Y: Any, scores: ArrayLike, transform: Callable[[NDArray], NDArray]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Count entries on a grid of a rising function of their scores.

    Parameters
    ----------
    Y : sparse matrix or ndarray of shape (n, L), {0, 1}
    scores : ndarray of shape (n, L)
    transform : callable
        Of arrays of scores; rising, with finite values.

    Returns
    -------
    centers : ndarray of shape (C,)
        Rising; cells without an entry are left out.
    n_true, n_all : ndarray of shape (C,)
        True and all entries in each cell.
    """
    Y, scores = sp.csr_matrix(Y), np.asarray(scores)
    flat = scores.reshape(-1)
    if not flat.size:
        return np.empty(0), np.empty(0), np.empty(0)
    ends = np.array([flat.min(), flat.max()])
    low, high = transform(ends.astype(np.float64))
    width = max((high - low) / _CELLS, np.finfo(np.float64).tiny)

    def count(part: NDArray) -> NDArray:
        cells = (transform(part.astype(np.float64)) - low) / width
        return np.bincount(np.clip(cells.astype(np.int64), 0, _CELLS - 1), minlength=_CELLS)

    n_all = np.zeros(_CELLS)
    for start in range(0, flat.size, _BLOCK_ENTRIES):
        n_all += count(flat[start : start + _BLOCK_ENTRIES])
    rows = np.repeat(np.arange(Y.shape[0]), np.diff(Y.indptr))
    n_true = count(scores[rows, Y.indices][Y.data > 0]).astype(np.float64)
    is_met = n_all > 0
    centers = np.minimum(low + (np.arange(_CELLS) + 0.5) * width, high)
    return centers[is_met], n_true[is_met], n_all[is_met]


def fit_slopes(design: NDArray, n_true: NDArray, n_all: NDArray) -> NDArray[np.float64]:
    """Intercept and slopes of log-odds, none of them falling, by penalised likelihood.

    Parameters
    ----------
    design : ndarray of shape (C, K)
        What each slope is multiplied by.
    n_true, n_all : ndarray of shape (C,)
        True and all entries of each row of the design.

    Returns
    -------
    parameters : ndarray of shape (1 + K,)
        The intercept, pulled towards 0, and slopes of at least 0.05, pulled towards 1, each with
        the weight of one entry.
    """
    design = np.column_stack([np.ones(len(design)), design])
    start = np.append(0.0, np.ones(design.shape[1] - 1))
    bounds = [(None, None)] + [(_LEAST_SLOPE, None)] * (len(start) - 1)
    scale = max(1.0, float(n_true.sum()))

    def loss(parameters: NDArray) -> tuple[float, NDArray]:
        z, away = design @ parameters, parameters - start
        value = n_all @ np.logaddexp(0, z) - n_true @ z + 0.5 * away @ away
        gradient = design.T @ (n_all * expit(z) - n_true) + away
        return value / scale, gradient / scale

    exact = {"ftol": 1e-13, "gtol": 1e-9, "maxiter": 1000}
    return minimize(loss, start, method="L-BFGS-B", jac=True, bounds=bounds, options=exact).x
