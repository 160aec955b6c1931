"""Calibration of scores: against a general optimizer, and what it must not change."""

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import expit, logit

from skrr2qc.classifiers._calibration import CalibrationCurve, fit_calibration, log_odds
from skrr2qc.metrics import expected_calibration_error, ndcg_at_k, top_k


def distorted(seed, distort, shape=(800, 12)):
    """True probabilities, truth drawn from them, and what a classifier makes of them."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-2, 2, size=shape)
    Y = (rng.random(shape) < expit(z)).astype(np.int8)
    return expit(z), Y, expit(distort(z)).astype(np.float32)


DISTORTIONS = {
    "slope": lambda z: 3 * z + 2,
    "too sure at the top": lambda z: z + 3 * np.maximum(z, 0),
    "product": lambda z: 2 * logit(expit(z) * 0.3),
    "none": lambda z: z,
}


@pytest.mark.parametrize("name", DISTORTIONS)
def test_probabilities_are_found_again(name):
    p, Y, scores = distorted(0, DISTORTIONS[name])
    curve = fit_calibration(sp.csr_matrix(Y), scores)
    calibrated = curve(scores)
    assert calibrated.dtype == np.float32
    assert np.abs(calibrated - p).mean() < 0.01
    p, Y, scores = distorted(1, DISTORTIONS[name])  # other rows
    assert np.abs(curve(scores) - p).mean() < 0.01
    of_truth = expected_calibration_error(Y, p, k=2)  # which is not 0 for few rows
    assert expected_calibration_error(Y, curve(scores), k=2) < of_truth + 0.01


def penalised(parameters, knots, z, t):
    """Loss by np.interp instead of sums of segments."""
    intercept, slopes = parameters[0], parameters[1:]
    edges = np.concatenate([[-200.0], knots, [200.0]])
    lowest = intercept + slopes[0] * edges[0]
    values = lowest + np.append(0.0, np.cumsum(slopes * np.diff(edges)))
    odds = np.interp(z, edges, values)
    pull = 0.5 * (intercept**2 + ((slopes - 1) ** 2).sum())
    return (np.logaddexp(0, odds) - t * odds).sum() + pull


def test_curve_minimises_the_penalised_likelihood():
    _, Y, scores = distorted(2, DISTORTIONS["too sure at the top"], shape=(300, 5))
    curve = fit_calibration(Y, scores)
    z, t = log_odds(scores).ravel(), Y.ravel()
    assert_allclose(curve.knots, np.quantile(z[t == 1], [0.125, 0.375, 0.625, 0.875]))
    found = penalised(np.array([curve.intercept, *curve.slopes]), curve.knots, z, t)
    arguments = (np.array(curve.knots), z, t)
    bounds = [(None, None)] + [(0.05, None)] * 5
    best = minimize(penalised, [0.0] + [1.0] * 5, arguments, bounds=bounds, tol=1e-10)
    assert found == pytest.approx(best.fun, rel=1e-5)
    assert found < penalised(np.array([0.0] + [1.0] * 5), *arguments) - 1  # it does something


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", DISTORTIONS)
def test_ranking_stays(seed, name):
    _, Y, scores = distorted(seed, DISTORTIONS[name])
    calibrated = fit_calibration(Y, scores)(scores)
    order = np.argsort(scores, axis=None)
    assert (np.diff(calibrated.ravel()[order]) >= 0).all()
    assert_array_equal(top_k(calibrated, 3), top_k(scores, 3))


def test_ranking_stays_where_the_truth_contradicts_it():
    _, Y, scores = distorted(0, lambda z: -z)
    curve = fit_calibration(Y, scores)
    assert min(curve.slopes) >= 0.05
    assert ndcg_at_k(Y, curve(scores), 3) == ndcg_at_k(Y, scores, 3)


def test_few_positives_change_little():
    Y, scores = np.zeros((50, 4)), np.full((50, 4), 0.02)
    Y[0, 0] = 1
    curve = fit_calibration(Y, scores)
    assert curve.knots == ()
    assert 1 < curve.slopes[0] < 1.5  # the truth, 1 in 200, is lower than the scores say
    assert 0.005 < curve(scores)[0, 0] < 0.02


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_curve_is_finite_at_the_extremes(value, share):
    scores = np.full((60, 4), value, dtype=np.float32)
    Y = (np.arange(240) < 240 * share).reshape(60, 4).astype(int)
    curve = fit_calibration(Y, scores)
    assert np.isfinite([curve.intercept, *curve.slopes, *curve.knots]).all()
    assert np.isfinite(curve(scores)).all()


def test_without_positives_scores_stay_as_they_are():
    scores = np.random.default_rng(0).random((5, 3)).astype(np.float32)
    curve = fit_calibration(np.zeros((5, 3)), scores)
    assert curve == CalibrationCurve()
    assert curve(scores) is scores


def test_any_shape_and_all_at_once(monkeypatch):
    curve = CalibrationCurve(0.5, (2.0, 0.5), (-1.0,))
    scores = np.random.default_rng(0).random((7, 9))
    z = logit(scores)
    expected = expit(np.where(z < -1, 2 * z, -2 + 0.5 * (z + 1)) + 0.5)
    assert_allclose(curve(scores), expected, rtol=1e-6)
    monkeypatch.setattr("skrr2qc.classifiers._calibration._BLOCK_ENTRIES", 10)
    assert_allclose(curve(scores), expected, rtol=1e-6)
    assert_allclose(curve(scores[0]), expected[0], rtol=1e-6)


def test_counting_in_blocks_changes_nothing(monkeypatch):
    _, Y, scores = distorted(0, DISTORTIONS["slope"], shape=(100, 5))
    expected = fit_calibration(Y, scores)
    monkeypatch.setattr("skrr2qc._platt._BLOCK_ENTRIES", 77)
    assert fit_calibration(Y, scores) == expected


def test_curve_holds_plain_numbers():
    _, Y, scores = distorted(0, DISTORTIONS["slope"])
    curve = fit_calibration(Y, scores)
    assert all(type(v) is float for v in (curve.intercept, *curve.slopes, *curve.knots))
    copy = CalibrationCurve(curve[0], tuple(curve[1]), tuple(curve[2]))
    assert joblib.hash(copy) == joblib.hash(curve)


def test_log_odds_of_what_float32_rounds_to_zero_or_one():
    found = log_odds(np.array([0.0, 1e-20, 0.5, 1.0], dtype=np.float32))
    assert_allclose(found, [np.log(1e-30), np.log(1e-20), 0, 36.7], rtol=1e-2)
