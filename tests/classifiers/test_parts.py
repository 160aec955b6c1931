"""Dealing with classifiers from anywhere: their targets, probabilities, encoder and seeds."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline

from skrr2qc import ClassCenterHead, RetrievalRerankClassifier, TfidfLinearClassifier
from skrr2qc.classifiers._parts import (
    fit_multilabel,
    inherit,
    label_probabilities,
    targets_for,
    with_encoder,
)


class Recorder(ClassifierMixin, BaseEstimator):
    """Classifier from elsewhere that keeps what it was fitted on."""

    def __init__(self, encoder=None):
        self.encoder = encoder

    def fit(self, X, y):
        self.X_, self.y_ = X, y
        return self


@pytest.fixture
def targets():
    return sp.csr_matrix(np.array([[1, 0, 1], [0, 1, 0], [1, 1, 0]], dtype=np.float32))


# --- targets ----------------------------------------------------------------------------------


def test_others_get_dense_targets(targets):
    y = fit_multilabel(Recorder(), ["a", "b", "c"], targets).y_
    assert isinstance(y, np.ndarray)
    assert y.dtype == np.int32
    assert_array_equal(y, targets.toarray())


@pytest.mark.parametrize(
    "estimator, is_sparse",
    [
        (ClassCenterHead(), True),
        (TfidfLinearClassifier(), True),
        (FrozenEstimator(KNeighborsClassifier()), True),  # does not look at them
        (make_pipeline(TfidfVectorizer(), ClassCenterHead()), True),
        (make_pipeline(TfidfVectorizer(), Pipeline([("head", ClassCenterHead())])), True),
        (make_pipeline(TfidfVectorizer(), KNeighborsClassifier()), False),
        (OneVsRestClassifier(LogisticRegression()), False),
        (RandomForestClassifier(), False),
    ],
)
def test_own_estimators_get_csr_targets(targets, estimator, is_sparse):
    assert sp.issparse(targets_for(estimator, targets)) == is_sparse


# --- probabilities ----------------------------------------------------------------------------


class Scores:
    def __init__(self, scores, classes=None):
        self.scores = scores
        self.classes_ = classes

    def predict_proba(self, X):
        return self.scores


def test_one_array_a_label():
    columns = [np.array([[0.2, 0.8], [1.0, 0.0]]), np.array([[0.5, 0.5], [0.3, 0.7]])]
    found = label_probabilities(Scores(columns, [[0, 1], [0, 1]]), None)
    assert_allclose(found, [[0.8, 0.5], [0.0, 0.7]], rtol=1e-6)
    assert found.dtype == np.float32


def test_label_that_training_never_saw_or_always_saw():
    columns = [np.ones((2, 1)), np.ones((2, 1)), np.array([[0.4, 0.6], [0.3, 0.7]])]
    found = label_probabilities(Scores(columns, [[0], [1], [0, 1]]), None)
    assert_allclose(found, [[0, 1, 0.6], [0, 1, 0.7]], rtol=1e-6)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, lambda s: s.astype(np.float64)])
def test_one_matrix(form):
    scores = np.array([[0.2, 0.8], [0.5, 0.0]], dtype=np.float32)
    found = label_probabilities(Scores(form(scores), np.arange(2)), None, 2)
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float32
    assert_array_equal(found, scores)


def test_two_columns_of_one_label():
    scores = np.array([[0.2, 0.8], [0.5, 0.5]])
    assert_allclose(label_probabilities(Scores(scores, [0, 1]), None, 1), [[0.8], [0.5]])


# --- encoders ---------------------------------------------------------------------------------


def test_encoder_goes_into_the_part_or_before_it():
    encoder = FrozenEstimator(TfidfVectorizer().fit(["a word"]))
    head, knn = ClassCenterHead(), KNeighborsClassifier()
    given = with_encoder(head, encoder)
    assert isinstance(given, ClassCenterHead)
    assert given.encoder is encoder
    assert head.encoder is None
    before = with_encoder(knn, encoder)
    assert isinstance(before, Pipeline)
    assert before[0] is encoder
    assert before[1] is not knn
    alone = with_encoder(knn, None)
    assert isinstance(alone, KNeighborsClassifier)
    assert alone is not knn


# --- what parts take over from their parent ---------------------------------------------------


def test_defaults_follow_the_parent_and_choices_stay():
    parent = RetrievalRerankClassifier(device="cpu", random_state=0, verbose=1)
    default = inherit(ClassCenterHead(), parent)
    assert (default.device, default.verbose) == ("cpu", 1)
    assert isinstance(default.random_state, int)
    chosen = inherit(ClassCenterHead(device="mps", random_state=5, verbose=2), parent)
    assert (chosen.device, chosen.random_state, chosen.verbose) == ("mps", 5, 2)


def test_parts_get_seeds_of_their_own():
    parent = RetrievalRerankClassifier(random_state=0)
    seeds = [inherit(ClassCenterHead(), parent, offset).random_state for offset in range(4)]
    assert len(set(seeds)) == 4
    again = [inherit(RandomForestClassifier(), parent, offset).random_state for offset in range(4)]
    assert again == seeds


def test_parent_without_a_seed_gives_none():
    head = inherit(ClassCenterHead(), RetrievalRerankClassifier())
    assert head.random_state is None


def test_parts_without_these_parameters_are_only_cloned():
    parent = RetrievalRerankClassifier(device="cpu", random_state=0, verbose=1)
    part = Recorder()
    assert inherit(part, parent) is not part
    knn = inherit(KNeighborsClassifier(7), parent)
    assert knn.n_neighbors == 7
