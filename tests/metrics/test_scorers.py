"""Scorers inside scikit-learn's model selection."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import check_scoring, make_scorer
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from skrr2qc.metrics import f1_at_1, ndcg_at_k, precision_at_k, recall_at_k
from skrr2qc.metrics.scorers import (
    AtKScorer,
    macro_f1_at_1_scorer,
    make_at_k_scorer,
    ndcg_at_5_scorer,
    precision_at_1_scorer,
    precision_at_5_scorer,
    r_precision_at_5_scorer,
)

READY_MADE = [
    precision_at_1_scorer,
    precision_at_5_scorer,
    ndcg_at_5_scorer,
    r_precision_at_5_scorer,
    macro_f1_at_1_scorer,
]


class Fixed(ClassifierMixin, BaseEstimator):
    """Returns its input as scores."""

    def fit(self, X, y):
        self.classes_ = np.arange(y.shape[1])
        return self

    def predict_proba(self, X):
        return X


def make_data(n_labels=6):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    logits = X @ rng.normal(size=(4, n_labels)) + rng.normal(size=(60, n_labels))
    return X, (logits > 0.7).astype(int)


@pytest.mark.parametrize("scorer", READY_MADE)
def test_cross_val_score_with_one_vs_rest(scorer):
    X, Y = make_data()
    model = make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression()))
    found = cross_val_score(model, X, Y, cv=KFold(3), scoring=scorer, error_score="raise")
    expected = []
    for train, test in KFold(3).split(X):
        scores = clone(model).fit(X[train], Y[train]).predict_proba(X[test])
        expected.append(scorer.metric(Y[test], scores, **dict(scorer.params)))
    assert_allclose(found, expected, rtol=1e-12)
    assert found.min() > 0


def test_two_labels_are_not_taken_for_a_binary_problem():
    """With make_scorer, scikit-learn keeps one of two columns: the reason for our own class."""
    Y, scores = np.array([[1, 0], [0, 1], [1, 0]]), np.array([[0.9, 0.1], [0.8, 0.7], [0.2, 0.3]])
    model = Fixed().fit(scores, Y)
    assert_allclose(precision_at_1_scorer(model, scores, Y), 1 / 3)
    theirs = make_scorer(precision_at_k, response_method="predict_proba", k=1)
    with pytest.raises(ValueError, match="must have two dimensions"):
        theirs(model, scores, Y)


def test_one_label():
    model = Fixed().fit(np.ones((2, 1)), np.ones((2, 1)))
    assert precision_at_1_scorer(model, np.array([[0.3], [0.4]]), np.array([[1], [0]])) == 0.5


def test_outputs_given_as_a_list_are_stacked():
    X, Y = make_data()
    model = MultiOutputClassifier(LogisticRegression()).fit(X, Y)
    outputs = model.predict_proba(X)
    assert isinstance(outputs, list)
    scores = np.column_stack([output[:, 1] for output in outputs])
    assert_allclose(ndcg_at_5_scorer(model, X, Y), ndcg_at_k(Y, scores, 5), rtol=1e-12)


def test_a_label_absent_from_training_ranks_last():
    """Its only class is 0; the last column of its output is the certainty of *not* having it."""
    X, Y = make_data(3)
    Y[:, 1], Y[:, 0] = 0, 1
    model = DecisionTreeClassifier(random_state=0).fit(X, Y)
    assert [len(classes) for classes in model.classes_] == [1, 1, 2]
    assert precision_at_1_scorer(model, X, Y) == 1.0  # label 0 is always true
    assert make_at_k_scorer(recall_at_k, k=2)(model, X, Y) == 1.0


def test_grid_search_with_several_scorers_in_two_processes():
    X, Y = make_data()
    search = GridSearchCV(
        OneVsRestClassifier(LogisticRegression()),
        {"estimator__C": [1e-3, 1.0]},
        scoring={"P@1": precision_at_1_scorer, "nDCG@5": ndcg_at_5_scorer},
        refit="nDCG@5",
        cv=KFold(2),
        n_jobs=2,
        error_score="raise",
    ).fit(X, Y)
    assert search.cv_results_["mean_test_P@1"].shape == (2,)
    best = search.cv_results_["mean_test_nDCG@5"].max()
    assert search.best_index_ == np.argmax(search.cv_results_["mean_test_nDCG@5"])
    assert 0 < best <= 1
    refitted = search.best_estimator_
    assert search.score(X, Y) == ndcg_at_5_scorer(refitted, X, Y)


def test_sparse_truth():
    X, Y = make_data()
    model = OneVsRestClassifier(LogisticRegression()).fit(X, Y)
    assert ndcg_at_5_scorer(model, X, sparse.csr_matrix(Y)) == ndcg_at_5_scorer(model, X, Y)


def test_decision_function():
    X, Y = make_data()
    model = OneVsRestClassifier(LinearSVC()).fit(X, Y)
    scorer = make_at_k_scorer(precision_at_k, k=2, response_method="decision_function")
    assert scorer(model, X, Y) == precision_at_k(Y, model.decision_function(X), 2)
    with pytest.raises(TypeError, match=r"needs an estimator with predict_proba\(\), got OneVs"):
        precision_at_1_scorer(model, X, Y)


@pytest.mark.parametrize("scorer", READY_MADE)
def test_scorers_are_values(scorer):
    assert pickle.loads(pickle.dumps(scorer)) == scorer
    assert clone(scorer, safe=False) == scorer
    assert check_scoring(Fixed(), scoring=scorer) is scorer


def test_parameters():
    scorer = make_at_k_scorer(f1_at_1, average="macro", zero_division="supported")
    assert scorer == macro_f1_at_1_scorer
    assert scorer == AtKScorer(f1_at_1, (("average", "macro"), ("zero_division", "supported")))
    assert make_at_k_scorer(ndcg_at_k, k=5) == ndcg_at_5_scorer
    assert make_at_k_scorer(ndcg_at_k, k=4) != ndcg_at_5_scorer


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"metric": "ndcg"}, TypeError, "`metric` must be a function .* got 'ndcg'"),
        (
            {"metric": ndcg_at_k, "response_method": "predict"},
            ValueError,
            "`response_method` must be one of .* got 'predict'",
        ),
    ],
)
def test_invalid_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        make_at_k_scorer(**arguments)


def test_metrics_load_neither_torch_nor_scikit_learn():
    program = (
        "import sys, skrr2qc.metrics.scorers\n"
        "print([name for name in ('torch', 'sklearn', 'pandas') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr
