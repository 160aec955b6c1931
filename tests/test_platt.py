"""Platt scaling: against a general optimizer and scikit-learn, and what it must not do."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

import skrr2qc._platt as implementation
from skrr2qc._platt import fit_sigmoid, fit_slopes, tally


def make_scores(slope, intercept, shape=(300, 5), seed=0, scale=2.0):
    rng = np.random.default_rng(seed)
    scores = rng.normal(-1, scale, size=shape)
    return rng.random(shape) < expit(slope * scores + intercept), scores


def penalised(parameters, z, t):
    slope, intercept = parameters
    odds = slope * z + intercept
    pull = 0.5 * ((slope - 1) ** 2 + intercept**2)
    return (np.logaddexp(0, odds) - t * odds).sum() + pull


@pytest.mark.parametrize("scale", [0.05, 2.0])
@pytest.mark.parametrize("slope, intercept", [(1.0, 0.0), (0.3, -1.0), (3.0, 2.0), (1.0, -4.0)])
def test_minimises_the_penalised_likelihood(slope, intercept, scale):
    Y, scores = make_scores(slope, intercept, scale=scale)
    found = fit_sigmoid(Y, scores)
    best = minimize(penalised, [1.0, 0.0], (scores, Y), tol=1e-12)
    assert_allclose(found, best.x, atol=2e-4)
    assert all(type(value) is float for value in found)


def test_agrees_with_logistic_regression_on_many_rows():
    Y, scores = make_scores(0.5, -1.0, shape=(4000, 5))
    model = LogisticRegression(C=np.inf).fit(scores.reshape(-1, 1), Y.ravel())
    expected = model.coef_[0, 0], model.intercept_[0]
    assert_allclose(fit_sigmoid(Y, scores), expected, rtol=2e-3)


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_array, sp.coo_matrix])
def test_any_form_of_targets_and_precision(kind):
    Y, scores = make_scores(2.0, -1.0)
    expected = fit_sigmoid(Y, scores)
    assert fit_sigmoid(kind(Y.astype(np.float32)), scores) == expected
    assert_allclose(fit_sigmoid(Y, scores.astype(np.float32)), expected, rtol=1e-3)
    stored = sp.csr_matrix(np.ones(Y.shape))
    stored.data[:] = Y.ravel()
    assert fit_sigmoid(stored, scores) == expected


def test_ranking_is_never_turned_round():
    Y, scores = make_scores(2.0, 0.0)
    slope, intercept = fit_sigmoid(Y, -scores)
    assert slope == 0.05
    losses = [penalised((0.05, intercept + step), -scores, Y) for step in (-0.01, 0.0, 0.01)]
    assert losses[1] == min(losses)  # best at that slope


@pytest.mark.parametrize("scale", [0.0, 1e-300, 1e-8, 1.0, 1e8, np.finfo(float).max])
def test_finite_at_the_extremes(scale):
    scores = np.array([[1.0, -1.0], [-1.0, 1.0]]) * scale
    for Y in (np.eye(2), np.zeros((2, 2)), np.ones((2, 2)), 1 - np.eye(2)):
        slope, intercept = fit_sigmoid(Y, scores)
        assert np.isfinite([slope, intercept]).all()
        assert slope >= 0.05
    assert fit_sigmoid(np.ones((2, 2)), scores)[1] >= 0


def test_without_a_positive_scores_stay_as_they_are():
    assert fit_sigmoid(np.zeros((3, 2)), np.ones((3, 2))) == (1.0, 0.0)
    assert fit_sigmoid(np.zeros((0, 2)), np.ones((0, 2))) == (1.0, 0.0)


def test_few_positives_change_little():
    slope, intercept = fit_sigmoid([[1], [0]], [[4.0], [-4.0]])
    assert 1.0 < slope < 1.1
    assert abs(intercept) < 1e-3


def test_cells_hold_every_entry(monkeypatch):
    Y, scores = make_scores(1.0, 0.0)
    centers, n_true, n_all = tally(Y, scores, lambda part: part)
    assert (np.diff(centers) > 0).all()
    assert (n_true <= n_all).all()
    assert (n_true.sum(), n_all.sum()) == (Y.sum(), Y.size)
    width = np.ptp(scores) / implementation._CELLS
    assert_allclose(np.repeat(centers, n_all.astype(int)), np.sort(scores, axis=None), atol=width)
    monkeypatch.setattr(implementation, "_BLOCK_ENTRIES", 77)
    for found, expected in zip(
        tally(Y, scores, lambda part: part), (centers, n_true, n_all), strict=True
    ):
        assert_array_equal(found, expected)


def test_slopes_of_several_columns():
    """Counts weigh as repeated rows do."""
    rng = np.random.default_rng(0)
    design = rng.normal(size=(400, 2))
    truth = (rng.random(400) < expit(design @ [2.0, 0.5] - 1)).astype(float)
    alone = fit_slopes(design, truth, np.ones(400))
    assert_allclose(alone, [-1, 2.0, 0.5], atol=0.4)
    n_all = rng.integers(1, 4, size=400)
    n_true = rng.integers(0, n_all + 1)
    rows = np.repeat(np.arange(400), n_all)
    nth = np.arange(len(rows)) - np.repeat(np.cumsum(n_all) - n_all, n_all)
    repeated = fit_slopes(design[rows], (nth < n_true[rows]).astype(float), np.ones(len(rows)))
    assert_allclose(fit_slopes(design, n_true, n_all), repeated, rtol=1e-5)
