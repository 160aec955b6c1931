"""Lexical channel: blending by hand, calibration against a general optimizer."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier

from skrr2qc.classifiers._lexical import LexicalBlend, calibration_curve, choose_blend, logits_of
from skrr2qc.metrics import ndcg_at_k, precision_at_k


@pytest.fixture
def channels():
    """Targets, and logits of a head and a lexical channel that err independently."""
    rng = np.random.default_rng(0)
    Y = np.eye(8, dtype=np.float32)[rng.integers(8, size=120)]
    head = 4 * Y - 3 + rng.normal(scale=2, size=Y.shape)
    lexical = 2 * Y - 1 + rng.normal(size=Y.shape)
    return sp.csr_matrix(Y), head.astype(np.float32), lexical.astype(np.float32)


# --- blending ---------------------------------------------------------------------------------


def test_blend_by_hand():
    blend = LexicalBlend(None, weight=0.25, curves=((2.0, 1.0), (1.0, -1.0)))
    scores = blend.blend(np.array([[0.5, -1.0]]), np.array([[3.0, 1.0]]))
    assert_allclose(scores, expit([[0.75 * 2 + 0.25 * 2, 0.75 * -1 + 0.25 * 0]]), rtol=1e-6)


@pytest.mark.parametrize("weight, unused", [(0.0, "lexical"), (1.0, "head")])
def test_channel_without_weight_is_not_asked(weight, unused):
    class Channel:
        def __init__(self, value):
            self.value = value

        def decision_function(self, X):
            if self.value is None:
                raise AssertionError("asked for scores that count for nothing")
            return np.full((len(X), 2), self.value)

    parts = {"head": Channel(1.0), "lexical": Channel(1.0), unused: Channel(None)}
    scores = LexicalBlend(**parts, weight=weight).predict_proba(["a", "b"])
    assert_allclose(scores, np.full((2, 2), expit(1.0)), rtol=1e-6)


def test_scores_stay_between_zero_and_one():
    blend = LexicalBlend(None, weight=0.5, curves=((50.0, 0.0), (50.0, 0.0)))
    extreme = np.array([[1e30, -1e30, np.inf, -np.inf]], dtype=np.float32)
    scores = blend.blend(extreme, extreme)
    assert np.isfinite(scores).all()
    assert ((scores >= 0) & (scores <= 1)).all()
    assert scores.dtype == np.float32


# --- choosing the weight ----------------------------------------------------------------------


def test_weight_is_the_best_of_the_grid(channels):
    Y, head, lexical = channels
    weight, curves = choose_blend(Y, head, lexical)

    def quality(weight):
        scores = LexicalBlend(None, weight=weight, curves=curves).blend(head, lexical)
        return precision_at_k(Y, scores, 1) + ndcg_at_k(Y, scores, 5)

    qualities = {w: quality(w) for w in np.linspace(0, 1, 11)}
    assert quality(weight) == max(qualities.values())
    assert all(qualities[w] < quality(weight) for w in qualities if w < weight)
    assert quality(weight) > max(quality(0.0), quality(1.0))  # they err independently


def test_noise_gets_no_weight(channels):
    Y, head, lexical = channels
    noise = np.random.default_rng(1).normal(size=head.shape).astype(np.float32)
    truth = (20 * Y.toarray() - 10).astype(np.float32)
    assert choose_blend(Y, truth, noise)[0] == 0.0
    assert choose_blend(Y, noise, truth)[0] > 0.0


def test_smallest_of_equal_weights(channels):
    Y, head, _ = channels
    assert choose_blend(Y, head, head)[0] == 0.0


def test_without_a_lexical_channel(channels):
    Y, head, _ = channels
    weight, curves = choose_blend(Y, head, None)
    assert weight == 0.0
    assert curves[0] == calibration_curve(Y, head)


@pytest.mark.parametrize("n_labels", [1, 2, 4])
def test_fewer_labels_than_the_cut_off(n_labels):
    rng = np.random.default_rng(0)
    Y = sp.csr_matrix((rng.random((30, n_labels)) < 0.5).astype(np.float32))
    weight, _ = choose_blend(Y, rng.normal(size=Y.shape), rng.normal(size=Y.shape))
    assert 0 <= weight <= 1


# --- calibration ------------------------------------------------------------------------------


def penalised(parameters, logits, targets):
    z = parameters[0] * logits + parameters[1]
    nll = np.logaddexp(0, z) - targets * z
    return nll.sum() + 0.5 * ((parameters[0] - 1) ** 2 + parameters[1] ** 2)


@pytest.mark.parametrize("slope, intercept", [(1.0, 0.0), (0.3, -1.0), (3.0, 2.0)])
def test_curve_minimises_the_penalised_likelihood(slope, intercept):
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(300, 5))
    Y = rng.random(logits.shape) < expit(slope * logits + intercept)
    found = calibration_curve(sp.csr_matrix(Y.astype(np.float32)), logits)
    best = minimize(penalised, [1.0, 0.0], args=(logits, Y), tol=1e-10)
    assert_allclose(found, best.x, atol=1e-4)
    assert_allclose(found, (slope, intercept), rtol=0.2, atol=0.2)


def test_curve_agrees_with_logistic_regression_on_many_rows():
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(4000, 5))
    Y = (rng.random(logits.shape) < expit(0.5 * logits - 1)).astype(np.float32)
    model = LogisticRegression(C=1e9).fit(logits.reshape(-1, 1), Y.ravel())
    found = calibration_curve(sp.csr_matrix(Y), logits)
    assert_allclose(found, [model.coef_[0, 0], model.intercept_[0]], rtol=1e-2)


def test_ranking_is_never_turned_round(channels):
    Y, head, _ = channels
    slope, _ = calibration_curve(Y, -head)
    assert slope > 0


@pytest.mark.parametrize("scale", [0.0, 1e-8, 1e8, np.inf])
def test_curve_is_finite_at_the_extremes(scale):
    sign = np.array([[1.0, -1.0], [-1.0, 1.0]])
    logits = np.nan_to_num(sign * scale, nan=0.0)
    for Y in (np.eye(2), np.zeros((2, 2)), np.ones((2, 2))):
        found = calibration_curve(sp.csr_matrix(Y), logits)
        assert np.isfinite(found).all()
        assert found[0] > 0


# --- logits of anything -----------------------------------------------------------------------


def test_logits_are_the_decision_function_or_log_odds():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 3)), (rng.random((40, 4)) < 0.4).astype(int)
    linear = OneVsRestClassifier(LogisticRegression()).fit(X, Y)
    assert_allclose(logits_of(linear, X), linear.decision_function(X), rtol=1e-5)
    neighbours = KNeighborsClassifier(4).fit(X, Y)
    probabilities = np.column_stack([column[:, 1] for column in neighbours.predict_proba(X)])
    logits = logits_of(neighbours, X)
    inside = (probabilities > 0) & (probabilities < 1)
    assert_allclose(logits[inside], logit(probabilities[inside]), rtol=1e-4, atol=1e-6)
    assert (logits[probabilities == 0] < -15).all()
    assert (logits[probabilities == 1] > 15).all()
    assert np.isfinite(logits).all()


def test_blend_of_two_real_classifiers():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 3)), (rng.random((40, 4)) < 0.4).astype(int)
    first = OneVsRestClassifier(LogisticRegression()).fit(X, Y)
    second = KNeighborsClassifier(4).fit(X, Y)
    blend = LexicalBlend(first, second, 0.3, ((1.0, 0.5), (2.0, 0.0)))
    expected = blend.blend(logits_of(first, X), logits_of(second, X))
    assert_array_equal(blend.predict_proba(X), expected)
