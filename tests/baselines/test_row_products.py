"""All labels at once from the products of rows: what liblinear finds, or nothing at all."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC

from skrr2qc.baselines import TfidfLinearClassifier, _tfidf
from skrr2qc.baselines import _row_products as implementation
from skrr2qc.baselines._row_products import fit_columns, is_worthwhile

N_ROWS, N_FEATURES, N_LABELS = 300, 400, 12


@pytest.fixture
def data():
    """Sparse features of length 1, one of them in every row, and labels from 1 to 150 rows."""
    rng = np.random.default_rng(0)
    features = sp.random(N_ROWS, N_FEATURES, 0.05, format="lil", random_state=0)
    features[:, 0] = 0.3
    directions = rng.normal(size=(N_FEATURES, N_LABELS))
    scores = features @ directions + 0.2 * rng.normal(size=(N_ROWS, N_LABELS))
    n_positive = np.geomspace(1, N_ROWS / 2, N_LABELS).round().astype(int)
    Y = np.argsort(np.argsort(-scores, axis=0), axis=0) < n_positive
    return normalize(features.tocsr()), sp.csr_matrix(Y.astype(np.float32))


def dense(fitted):
    """Weights (L, d) and intercepts (L,)."""
    weights = sp.vstack([weights for weights, _ in fitted]).toarray()
    return weights, np.array([intercept for _, intercept in fitted])


def objective(features, signs, weights, intercept, C):
    """What liblinear minimises; the intercept is the weight of a constant feature."""
    violation = np.maximum(0, 1 - signs * (features @ weights + intercept))
    return (weights @ weights + intercept**2) / 2 + C * (violation**2).sum()


@pytest.mark.parametrize("C", [0.03, 0.3, 1.0, 3.0, 10.0])
def test_weights_are_those_of_liblinear(data, C):
    features, Y = data
    weights, intercepts = dense(fit_columns(features, Y, np.arange(N_LABELS), C))
    for label, y in enumerate(Y.toarray().T):
        exact = LinearSVC(C=C, dual=True, tol=1e-7, max_iter=100_000, random_state=0)
        exact.fit(features, y)
        scores = features @ weights[label] + intercepts[label]
        assert_allclose(scores, exact.decision_function(features), atol=0.2)
        signs = 2 * y - 1
        least = objective(features, signs, exact.coef_[0], exact.intercept_[0], C)
        found = objective(features, signs, weights[label], intercepts[label], C)
        assert least - 1e-6 <= found <= 1.01 * least


def test_scores_do_not_depend_on_blocks_and_company(data, monkeypatch):
    features, Y = data
    expected = dense(fit_columns(features, Y, np.arange(N_LABELS), 1.0))
    monkeypatch.setattr(implementation, "_BLOCK_ROWS", 7)
    monkeypatch.setattr(implementation, "_BLOCK_LABELS", 5)
    monkeypatch.setattr(implementation, "_BLOCK_WEIGHTS", 2 * N_FEATURES)
    found = dense(fit_columns(features, Y, np.arange(N_LABELS), 1.0))
    for one, other in zip(found, expected, strict=True):
        assert_allclose(one, other, atol=2e-3)  # a weight at the edge may be pruned or not
    some = dense(fit_columns(features, Y.tocsc(), np.array([7, 2]), 1.0))
    for one, other in zip(some, expected, strict=True):
        assert_allclose(one, other[[7, 2]], atol=2e-3)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_products_of_common_and_rare_features(data, monkeypatch, share):
    """All columns dense, or all sparse: the same products."""
    monkeypatch.setattr(implementation, "_COMMON", share)
    monkeypatch.setattr(implementation, "_BLOCK_COMMON", 150)
    features = sp.csr_matrix(data[0], dtype=np.float32)
    expected = (features @ features.T).toarray() + 1
    assert_allclose(implementation._products(features), expected, rtol=1e-5)


def test_small_weights_are_dropped(data):
    features, Y = data
    weights, _ = dense(fit_columns(features, Y, np.arange(N_LABELS), 1.0))
    for row in weights:
        kept = np.abs(row[row != 0])
        assert kept.min() >= 0.002 * np.linalg.norm(row) * 0.999
    assert (weights == 0).any()


def test_what_does_not_settle_is_left_to_liblinear(data):
    """Rows of length 1,000 and C = 1,000 would take thousands of steps."""
    features, Y = data
    fitted = fit_columns(1000 * features, Y, np.arange(N_LABELS), 1000.0)
    assert len(fitted) == N_LABELS
    assert any(one is None for one in fitted)


@pytest.mark.parametrize("scale", [1e15, np.nan])
def test_products_without_an_inverse_are_left_to_liblinear(data, scale):
    features, Y = data
    features = features.copy()
    features.data[:] *= scale
    assert fit_columns(features, Y, np.arange(2), 1.0) == [None, None]


def test_classifier_takes_the_rest_from_liblinear(data, monkeypatch):
    """Of labels that have not settled, none is lost or mixed up."""
    rng = np.random.default_rng(0)
    Y = np.eye(6, dtype=int)[rng.integers(6, size=200)]
    texts = [f"topic{row.argmax()} {rng.integers(50)} {rng.integers(50)}" for row in Y]
    classifier = TfidfLinearClassifier(C=1.0, validation_fraction=0, random_state=0)
    expected = classifier.fit(texts, Y).decision_function(texts)
    left, fit_all, fit_rest = [], fit_columns, _tfidf.fit_columns

    def half(features, Y, labels, C):
        fitted = fit_all(features, Y, labels, C)
        return [None if label % 2 else one for label, one in zip(labels, fitted, strict=True)]

    def rest(features, Y, labels, *args, **kwargs):
        left.extend(labels)
        return fit_rest(features, Y, labels, *args, **kwargs)

    monkeypatch.setattr(implementation, "fit_columns", half)
    monkeypatch.setattr(_tfidf, "fit_columns", rest)
    scores = classifier.fit(texts, Y).decision_function(texts)
    assert left == [1, 3, 5]
    assert_array_equal(scores[:, ::2], expected[:, ::2])
    assert_allclose(scores, expected, atol=0.1)  # liblinear stops at a looser tolerance


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, True),
        ({"n_negatives": "auto"}, True),
        ({"n_negatives": 200}, True),
        ({"n_negatives": 199}, False),
        ({"loss": "log_loss"}, False),
    ],
)
def test_which_classifiers_learn_from_products(monkeypatch, parameters, expected):
    used = []
    monkeypatch.setattr(implementation, "fit_columns", lambda *args: used.append(1) or [None] * 3)
    Y = np.eye(3, dtype=int)[np.arange(200) % 3]
    texts = [f"topic{row.argmax()} text{i}" for i, row in enumerate(Y)]
    TfidfLinearClassifier(C=1.0, validation_fraction=0, **parameters).fit(texts, Y)
    assert bool(used) is expected


def features_of(n_rows, n_entries, n_features):
    """As many features a row, drawn from all of them."""
    columns = np.random.default_rng(0).integers(n_features, size=n_rows * n_entries)
    starts = np.arange(n_rows + 1) * n_entries
    entries = np.ones(len(columns), dtype=np.float32)
    return sp.csr_matrix((entries, columns, starts), shape=(n_rows, n_features))


@pytest.mark.parametrize(
    ("n_rows", "n_entries", "n_features", "n_labels", "expected"),
    [
        (1800, 286, 70_000, 340, True),  # as da20k
        (1800, 286, 70_000, 2, False),  # the inverse is for few labels
        (5000, 300, 70_000, 340, False),  # steps over all pairs of rows take longer than passes
        (1000, 3000, 15_000, 1, False),  # long rows: so do products of features that all have
        (1000, 3000, 15_000, 100, True),
        (9, 3, 20, 0, False),
    ],
)
def test_products_pay_for_few_rows_and_many_labels(
    n_rows, n_entries, n_features, n_labels, expected
):
    features = features_of(n_rows, n_entries, n_features)
    assert is_worthwhile(features, n_labels) is expected


def test_products_of_very_many_rows_are_never_made():
    features = features_of(10_001, 1000, 300_000)
    assert not is_worthwhile(features, 100_000)
    assert is_worthwhile(features[:-1], 100_000)


def test_rows_without_features_and_rows_twice(data):
    features, Y = data
    blank = sp.csr_matrix((5, N_FEATURES))
    features = sp.vstack([features, features[:20], blank], format="csr")
    Y = sp.vstack([Y, Y[:20], Y[:5]], format="csr")
    weights, intercepts = dense(fit_columns(features, Y, np.arange(N_LABELS), 1.0))
    assert np.isfinite(weights).all()
    assert np.isfinite(intercepts).all()
