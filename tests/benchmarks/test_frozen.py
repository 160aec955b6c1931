"""Logistic regression on frozen vectors: its optimum against scikit-learn's, and its choices."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

import benchmarks._frozen as frozen
from benchmarks._frozen import C_GRID, FrozenEncoderClassifier, LogisticRegressions
from skrr2qc import RCPTEncoder
from skrr2qc.metrics import precision_at_k


@pytest.fixture
def classifier():
    encoder = RCPTEncoder(hidden_size=32, vocab_size=300, n_epochs=0)
    return FrozenEncoderClassifier(encoder, device="cpu", random_state=0)


@pytest.fixture
def vectors():
    """Vectors (60, 5) and six labels: rare to frequent, one of no row and one of all."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 5)).astype(np.float32)
    noisy = X @ rng.normal(size=(5, 4)) + rng.normal(size=(60, 4))
    Y = noisy > np.quantile(noisy, [0.95, 0.8, 0.5, 0.2], axis=0).diagonal()
    return X, np.column_stack([Y, np.zeros(60), np.ones(60)]).astype(int)


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_same_optimum_as_one_scikit_learn_model_a_label(vectors, C):
    X, Y = vectors
    scores = LogisticRegressions(C, tol=1e-12).fit(X, sp.csr_matrix(Y)).predict_proba(X)
    for label in range(4):
        model = LogisticRegression(C=C, tol=1e-8, max_iter=5000).fit(X.astype(float), Y[:, label])
        assert_allclose(scores[:, label], model.predict_proba(X)[:, 1], atol=2e-3)


def test_labels_of_no_row_and_of_all_rows(vectors):
    X, Y = vectors
    scores = LogisticRegressions(3.0).fit(X, Y).predict_proba(100 * X)
    assert_array_equal(scores[:, 4], 0.0)
    assert (scores[:, :4] > 0).all()  # however sure: the label of no row ranks last
    assert_array_equal(scores[:, 5], 1.0)


def test_chunks_of_labels_change_nothing(vectors, monkeypatch):
    X, Y = vectors
    together = LogisticRegressions(tol=1e-12).fit(X, Y).predict_proba(X)
    monkeypatch.setattr(frozen, "_LABELS_AT_ONCE", 1)
    alone = LogisticRegressions(tol=1e-12).fit(X, Y).predict_proba(X)
    assert_allclose(alone, together, atol=2e-3)


def test_start_is_of_use_and_is_left_alone(vectors):
    X, Y = vectors
    solved = LogisticRegressions(tol=1e-12).fit(X, Y)
    start = solved.coef_.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        again = LogisticRegressions(max_iter=3).fit(X, Y, start=start)
    assert_array_equal(start, solved.coef_)
    assert_allclose(again.predict_proba(X), solved.predict_proba(X), atol=2e-3)
    with pytest.warns(ConvergenceWarning, match="after 3 steps at C=1"):
        LogisticRegressions(max_iter=3).fit(X, Y)


def test_learns_better_than_chance(classifier, questions):
    X, Y = questions.texts, questions.Y
    scores = classifier.fit(X[:60], Y[:60]).predict_proba(X[60:])
    by_frequency = np.tile(np.asarray(Y[:60].sum(axis=0)), (20, 1))
    assert precision_at_k(Y[60:], scores, 1) > precision_at_k(Y[60:], by_frequency, 1) + 0.2
    assert_array_equal(classifier.predict(X), classifier.predict_proba(X) > classifier.threshold_)


def test_absent_labels_rank_last_and_are_not_predicted(classifier, labelled_texts):
    X, Y = labelled_texts
    Y = sp.hstack([sp.csr_matrix((80, 2)), Y], format="csr")
    scores = classifier.fit(X, Y).predict_proba(X)
    assert scores[:, :2].max() < scores[:, 2:].min()
    assert not classifier.predict(X)[:, :2].any()


def test_penalty_is_chosen_on_rows_that_training_did_not_see(
    classifier, labelled_texts, monkeypatch
):
    X, Y = labelled_texts
    tried, solve = [], LogisticRegressions.fit

    def watch(self, vectors, targets, start=None):
        tried.append((self.C, len(vectors), start is None))
        return solve(self, vectors, targets, start)

    qualities = iter([0.1, 0.5, 0.4, 0.5, 0.9])
    monkeypatch.setattr(LogisticRegressions, "fit", watch)
    monkeypatch.setattr(frozen, "_ranking_quality", lambda Y, scores: next(qualities))
    classifier.fit(X, Y)
    n_rows = 80 - classifier.n_validation_
    assert 6 <= classifier.n_validation_ <= 8
    assert [(C, n) for C, n, _ in tried] == [*((C, n_rows) for C in C_GRID[:4]), (C_GRID[1], 80)]
    assert [is_cold for *_, is_cold in tried] == [True, False, False, False, False]
    assert C_GRID.index(classifier.C_) == 1


def test_given_penalty(classifier, labelled_texts):
    assert classifier.set_params(C=0.07).fit(*labelled_texts).C_ == 0.07


def test_same_seed_same_scores(classifier, labelled_texts):
    X, Y = labelled_texts
    scores = classifier.fit(X, Y).predict_proba(X)
    twin = clone(classifier).fit(X, Y.toarray())
    assert_array_equal(twin.predict_proba(X), scores)
    assert twin.threshold_ == classifier.threshold_
    other = clone(classifier).set_params(random_state=1).fit(X, Y)
    assert not np.array_equal(other.predict_proba(X), scores)


def test_each_row_the_only_one_of_its_label(classifier):
    classifier.fit(["area of a circle", "mean of a sample"], np.eye(2, dtype=int))
    assert classifier.n_validation_ == 2
    assert classifier.predict(["area of a circle"]).tolist() == [[1, 0]]
