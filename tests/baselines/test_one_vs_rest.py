"""One linear model a label: which rows it is told from, what they weigh, nothing by chance."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.svm import LinearSVC

from skrr2qc.baselines import _one_vs_rest as implementation
from skrr2qc.baselines._one_vs_rest import fit_columns

N_ROWS, N_FEATURES, N_LABELS = 300, 40, 5


@pytest.fixture
def data():
    """Sparse non-negative features, and labels that each depend on one of them."""
    rng = np.random.default_rng(0)
    features = sp.random(N_ROWS, N_FEATURES, 0.2, format="csr", random_state=0)
    Y = features[:, :N_LABELS].toarray() > 0.5
    Y[:3, :] = np.eye(3, N_LABELS) > 0
    Y[rng.integers(N_ROWS, size=N_LABELS), np.arange(N_LABELS)] = True
    return features, sp.csr_matrix(Y.astype(np.float32))


class Recorder(BaseEstimator):
    """Linear model that keeps the rows, targets and weights it is given, and learns nothing."""

    seen = []

    def fit(self, X, y, sample_weight=None):
        self.seen.append((X, y, sample_weight))
        self.coef_, self.intercept_ = np.ones((1, X.shape[1])), np.zeros(1)
        return self


@pytest.fixture
def seen(monkeypatch):
    monkeypatch.setattr(Recorder, "seen", [])
    return Recorder.seen


def rows_of(features, subset):
    """Numbers of the rows of `features` that the rows of `subset` are."""
    where = {row.tobytes(): i for i, row in enumerate(features.toarray())}
    return np.array([where[row.tobytes()] for row in subset.toarray()])


def svc(**params):
    return LinearSVC(**{"C": 1.0, "dual": True, "random_state": 0, "tol": 1e-6} | params)


def assert_same(first, second):
    for (weights, bias), (others, other) in zip(first, second, strict=True):
        assert_array_equal(weights.toarray(), others.toarray())
        assert bias == other


# --- all rows ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n_negatives", [None, N_ROWS, 10 * N_ROWS])
def test_all_rows_are_the_plain_model(data, n_negatives, monkeypatch):
    monkeypatch.setattr(implementation, "_PRUNING", 0.0)
    features, Y = data
    labels = np.arange(N_LABELS)
    fitted = fit_columns(features, Y, labels, svc(), n_negatives=n_negatives)
    for label, (weights, bias) in zip(labels, fitted, strict=True):
        plain = svc().fit(features, Y[:, [label]].toarray().ravel().astype(np.int8))
        assert_array_equal(weights.toarray(), plain.coef_.astype(np.float32))
        assert bias == plain.intercept_[0]


def test_positives_and_negatives_that_are_all_there_is(data, seen):
    """Where a label's share of rows would be all of them, nothing is drawn nor weighed."""
    features, Y = data
    n_positive = int(Y[:, [0]].sum())
    fit_columns(features, Y, np.array([0]), Recorder(), n_negatives=N_ROWS - n_positive)
    fit_columns(features, Y, np.array([0]), Recorder(), n_negatives=N_ROWS - n_positive - 2)
    (X, y, weights), (fewer, _, others) = seen
    assert X.shape[0] == N_ROWS
    assert weights is None
    assert_array_equal(y, Y[:, [0]].toarray().ravel())
    assert fewer.shape[0] < N_ROWS
    assert others.sum() == pytest.approx(N_ROWS)


# --- some rows --------------------------------------------------------------------------------


@pytest.mark.parametrize("n_negatives", [2, 3, 40, 100])
def test_rows_that_a_label_is_told_from(data, seen, n_negatives):
    features, Y = data
    fit_columns(features, Y, np.arange(N_LABELS), Recorder(), n_negatives=n_negatives)
    assert len(seen) == N_LABELS
    for label, (X, y, weights) in enumerate(seen):
        rows, truth = rows_of(features, X), Y[:, [label]].toarray().ravel()
        positive = np.flatnonzero(truth)
        n_near = max(n_negatives, 5 * len(positive)) // 2
        assert len(np.unique(rows)) == len(rows) == len(positive) + 2 * n_near
        assert set(positive) <= set(rows)
        assert_array_equal(y, truth[rows])
        assert weights[y == 1].tolist() == [1.0] * len(positive)
        assert weights.sum() == pytest.approx(N_ROWS)
        near, drawn = rows[weights == 1.0], rows[weights != 1.0]
        assert len(drawn) == n_near
        assert_allclose(weights[weights != 1.0], (N_ROWS - len(near)) / n_near)
        center = np.asarray(features[positive].mean(axis=0))
        nearness = (features @ center.ravel()).ravel()
        negative_near = np.setdiff1d(near, positive)
        others = np.setdiff1d(np.arange(N_ROWS), near)
        assert nearness[negative_near].min() >= nearness[others].max() - 1e-12


def test_nearness_is_to_the_mean_text_of_the_label():
    """By hand: of the rows that are no positives, two lie along the positives' direction."""
    angles = np.deg2rad([0, 10, 20, 30, 60, 70, 80, 88])
    features = sp.csr_matrix(np.column_stack([np.cos(angles), np.sin(angles)]))
    nearness = cosine_similarity(features, features[:2].mean(axis=0).A1[None]).ravel()
    assert_array_equal(np.argsort(-nearness)[2:4], [2, 3])
    rng = np.random.default_rng(0)
    rows, weights = implementation._telling_rows(np.array([0]), nearness, 4, rng)
    assert set(rows[:3]) == {0, 1, 2}
    assert_array_equal(weights, [1, 1, 1, 2.5, 2.5])


def test_rows_are_drawn_the_same_for_the_same_seed(data, seen):
    features, Y = data
    labels = np.arange(N_LABELS)
    fitted = [
        fit_columns(features, Y, labels, svc(), n_negatives=40, seed=seed) for seed in (3, 3, 4)
    ]
    assert_same(fitted[0], fitted[1])
    weights = [sp.vstack([row for row, _ in columns]).toarray() for columns in fitted]
    assert not np.array_equal(weights[1], weights[2])
    for seed in (3, 3, 4):
        fit_columns(features, Y, labels[:1], Recorder(), n_negatives=40, seed=seed)
    first, again, other = (rows_of(features, X).tolist() for X, _, _ in seen)
    assert first == again
    assert first != other


def test_processes_change_nothing(data, monkeypatch):
    features, Y = data
    monkeypatch.setattr(implementation, "_LABELS_PER_TASK", 2)
    labels = np.arange(N_LABELS)
    alone = fit_columns(features, Y, labels, svc(), n_negatives=40, seed=1)
    assert_same(alone, fit_columns(features, Y, labels, svc(), n_negatives=40, seed=1, n_jobs=2))


def test_global_random_state_is_left_alone(data):
    features, Y = data
    np.random.seed(0)  # noqa: NPY002
    fit_columns(features, Y, np.arange(N_LABELS), svc(), n_negatives=40)
    found = np.random.random()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    assert found == np.random.random()  # noqa: NPY002


def test_drawn_rows_stand_for_all(data, monkeypatch):
    """With weights, most of the rows suffice for nearly the decisions of all of them."""
    monkeypatch.setattr(implementation, "_PRUNING", 0.0)
    features, Y = data
    labels = np.arange(N_LABELS)
    linear = LogisticRegression(C=1.0, solver="liblinear", random_state=0)
    full = fit_columns(features, Y, labels, linear)
    some = fit_columns(features, Y, labels, linear, n_negatives=120)
    for (weights, bias), (others, other) in zip(full, some, strict=True):
        scores = features @ weights.toarray().ravel() + bias
        approximate = features @ others.toarray().ravel() + other
        assert np.corrcoef(scores, approximate)[0, 1] > 0.9
        assert approximate.mean() == pytest.approx(scores.mean(), abs=0.5)


# --- form -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_negatives", [None, 20])
@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, sp.csr_array, sp.coo_matrix])
def test_any_sparse_form_of_targets(data, form, n_negatives):
    features, Y = data
    labels = np.array([4, 1])
    expected = fit_columns(features, Y, labels, svc(), n_negatives=n_negatives)
    fitted = fit_columns(features, form(Y), labels, svc(), n_negatives=n_negatives)
    assert_same(fitted, expected)
    assert all(weights.shape == (1, N_FEATURES) for weights, _ in fitted)
    assert all(weights.dtype == np.float32 for weights, _ in fitted)


def test_labels_come_back_in_the_order_asked_for(data, seen):
    features, Y = data
    fit_columns(features, Y, np.array([3, 0, 2]), Recorder())
    assert [int(y.sum()) for _, y, _ in seen] == [int(Y[:, [j]].sum()) for j in (3, 0, 2)]


@pytest.mark.parametrize("n_negatives", [None, 2, 20])
def test_one_label_and_no_label(data, n_negatives):
    features, Y = data
    fitted = fit_columns(features, Y[:, [0]], np.array([0]), svc(), n_negatives=n_negatives)
    assert len(fitted) == 1
    none = np.array([], dtype=int)
    assert fit_columns(features, Y, none, svc(), n_negatives=n_negatives) == []


@pytest.mark.parametrize("n_positive", [1, 2, 299])
def test_one_row_that_is_different(n_positive):
    features = sp.random(N_ROWS, 7, 0.5, format="csr", random_state=0)
    column = sp.csr_matrix((np.arange(N_ROWS) < n_positive).astype(np.float32)[:, None])
    ((weights, bias),) = fit_columns(features, column, np.array([0]), svc(), n_negatives=2)
    assert np.isfinite(weights.data).all()
    assert np.isfinite(bias)


def test_blank_rows_and_rows_that_are_all_the_same():
    column = sp.csr_matrix((np.arange(40) < 3).astype(np.float32)[:, None])
    for features in (sp.csr_matrix((40, 3)), sp.csr_matrix(np.ones((40, 3)))):
        ((weights, bias),) = fit_columns(features, column, np.array([0]), svc(), n_negatives=4)
        assert np.isfinite(weights.data).all()
        assert bias < 0


def test_small_weights_are_dropped(data, monkeypatch):
    features, Y = data
    monkeypatch.setattr(implementation, "_PRUNING", 0.0)
    full = fit_columns(features, Y, np.arange(2), svc())
    monkeypatch.setattr(implementation, "_PRUNING", 0.05)
    for (weights, bias), (kept, other) in zip(
        full, fit_columns(features, Y, np.arange(2), svc()), strict=True
    ):
        weights = weights.toarray()
        expected = np.where(np.abs(weights) < 0.05 * np.linalg.norm(weights), 0.0, weights)
        assert_array_equal(kept.toarray(), expected)
        assert 0 < kept.nnz < np.count_nonzero(weights)
        assert bias == other
