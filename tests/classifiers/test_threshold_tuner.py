"""MultilabelThresholdTuner: over classifiers of all kinds; the common contract is elsewhere."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils import get_tags

from skrr2qc import ClassCenterHead, MultilabelThresholdTuner, TfidfLinearClassifier
from skrr2qc._thresholds import THRESHOLD_RULES, choose_decision
from skrr2qc.model_selection import MultilabelStratifiedKFold, train_holdout_split

X, Y = make_multilabel_classification(200, n_features=15, n_classes=6, random_state=0)
LINEAR = OneVsRestClassifier(LogisticRegression(C=0.01))


class Scores(ClassifierMixin, BaseEstimator):
    """Classifier whose features are its scores; counts its fits and the rows of each."""

    fits = ()  # a list in tests that count

    def fit(self, X, y):
        if isinstance(self.fits, list):
            self.fits.append(len(X))
        self.n_features_in_ = X.shape[1]
        return self

    def predict_proba(self, X):
        return np.asarray(X)


@pytest.fixture
def fits(monkeypatch):
    monkeypatch.setattr(Scores, "fits", [])
    return Scores.fits


# --- any classifier ---------------------------------------------------------------------------

CLASSIFIERS = {
    "one array": LINEAR,
    "decision function": OneVsRestClassifier(LinearSVC(C=0.1)),
    "one array a label": MultiOutputClassifier(LogisticRegression(C=0.01)),
    "neighbours": KNeighborsClassifier(7),
    "own": ClassCenterHead(n_epochs=5, random_state=0),
}


@pytest.mark.parametrize("rule", THRESHOLD_RULES)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_rule_is_chosen_on_held_out_rows(name, rule):
    estimator = CLASSIFIERS[name]
    tuner = MultilabelThresholdTuner(estimator, threshold=rule, random_state=3).fit(X, Y)
    train, held_out = train_holdout_split(Y, 0.2, random_state=3)
    fitted = clone(estimator).fit(X[train], Y[train])
    expected = choose_decision(Y[held_out], dense_scores(fitted, X[held_out]), rule)
    assert_allclose(tuner.best_threshold_, expected.threshold, rtol=1e-6)
    assert tuner.n_validation_ == len(held_out) == 40
    final = clone(estimator).fit(X, Y)
    predicted = tuner.predict(X)
    assert_array_equal(predicted, tuner.decision_.apply(dense_scores(final, X)))
    assert predicted.dtype == np.int8
    assert_array_equal(tuner.classes_, np.arange(6))
    assert tuner.n_features_in_ == 15


def dense_scores(fitted, X):
    if not hasattr(fitted, "predict_proba"):
        return fitted.decision_function(X).astype(np.float32)
    scores = fitted.predict_proba(X)
    if isinstance(scores, list):
        scores = np.column_stack([column[:, 1] for column in scores])
    return np.asarray(scores, dtype=np.float32)


def test_scores_are_those_of_the_estimator():
    tuner = MultilabelThresholdTuner(LINEAR).fit(X, Y)
    final = clone(LINEAR).fit(X, Y)
    assert_array_equal(tuner.predict_proba(X), final.predict_proba(X))
    assert_array_equal(tuner.decision_function(X), final.decision_function(X))
    no_probabilities = MultilabelThresholdTuner(CLASSIFIERS["decision function"])
    assert not hasattr(no_probabilities, "predict_proba")
    assert not hasattr(no_probabilities.fit(X, Y), "predict_proba")
    assert hasattr(no_probabilities, "decision_function")


def test_better_than_a_half():
    """Strong regularisation pulls all probabilities to the label's frequency."""
    plain = clone(LINEAR).fit(X[:100], Y[:100]).predict(X[100:])
    for rule in ("global", "per_label", "cardinality"):
        tuned = MultilabelThresholdTuner(LINEAR, threshold=rule, cv=5, random_state=0)
        tuned = tuned.fit(X[:100], Y[:100]).predict(X[100:])
        gain = f1_score(Y[100:], tuned, average="macro") - f1_score(Y[100:], plain, average="macro")
        assert gain > 0.05


@pytest.mark.parametrize("wrap", [sp.csr_matrix, sp.csr_array, lambda a: a.tolist()])
def test_kinds_of_features_and_targets(wrap):
    expected = MultilabelThresholdTuner(LINEAR, random_state=0).fit(X, Y).predict(X)
    targets = wrap(Y) if sp.issparse(wrap(Y)) else Y.tolist()
    tuner = MultilabelThresholdTuner(LINEAR, random_state=0).fit(wrap(X), targets)
    assert_array_equal(tuner.predict(wrap(X)), expected)


@pytest.mark.parametrize("form", ["coo", "csc", "bsr", "dia", "dok", "lil"])
@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csr_array])
def test_any_sparse_features(kind, form):
    """Rows cannot be picked from all of them."""
    expected = MultilabelThresholdTuner(LINEAR, random_state=0).fit(X, Y).predict(X)
    features = kind(X).asformat(form)
    for cv in (0.2, KFold(2)):
        tuner = MultilabelThresholdTuner(LINEAR, cv=cv, random_state=0).fit(features, Y)
        assert tuner.predict(features).shape == Y.shape
    tuner.set_params(cv=0.2).fit(features, kind(Y).asformat(form))
    assert_array_equal(tuner.predict(features), expected)


def test_frames():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(15)], index=np.arange(200)[::-1])
    tuner = MultilabelThresholdTuner(LINEAR, random_state=0).fit(frame, pd.DataFrame(Y))
    expected = MultilabelThresholdTuner(LINEAR, random_state=0).fit(X, Y).predict(X)
    assert_array_equal(tuner.predict(frame), expected)
    assert tuner.feature_names_in_[0] == "x0"


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(TfidfVectorizer(), LINEAR),
        make_pipeline(make_pipeline(TfidfVectorizer()), LINEAR),
        TfidfLinearClassifier(C=1.0, random_state=0),
    ],
)
def test_texts(estimator, labelled_texts):
    texts, targets = labelled_texts
    tuner = MultilabelThresholdTuner(estimator, threshold="top_k", random_state=0)
    predicted = tuner.fit(texts, targets).predict(np.array(texts))
    assert predicted.shape == targets.shape
    assert_array_equal(predicted.sum(axis=1), tuner.decision_.k)
    for bad in (texts[0], None, [b"bytes", *texts[1:]]):
        with pytest.raises(TypeError, match="`X` must"):
            tuner.predict(bad)
        with pytest.raises(TypeError, match="`X` must"):
            tuner.fit(bad, targets)


def test_a_single_label():
    for estimator in (LINEAR, CLASSIFIERS["decision function"], KNeighborsClassifier(5)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # scikit-learn would take one dimension
            tuner = MultilabelThresholdTuner(estimator, random_state=0).fit(X, Y[:, 3:4])
        assert tuner.predict(X).shape == (200, 1)
        assert f1_score(Y[:, 3], tuner.predict(X)[:, 0]) > 0.7


# --- where held-out scores come from ----------------------------------------------------------


def test_folds_are_pooled(fits):
    scores = np.random.default_rng(0).random(Y.shape) + 0.3 * Y
    tuner = MultilabelThresholdTuner(Scores(), cv=4, random_state=0).fit(scores, Y)
    assert fits == [150, 150, 150, 150, 200]
    assert tuner.n_validation_ == 200
    expected = choose_decision(Y, scores.astype(np.float32))  # the folds do not matter here
    assert tuner.best_threshold_ == expected.threshold


@pytest.mark.parametrize("cv", [KFold(3), MultilabelStratifiedKFold(3), list(KFold(3).split(X))])
def test_splitters_and_splits(cv):
    tuner = MultilabelThresholdTuner(LINEAR, cv=cv).fit(X, Y)
    splits = list(cv.split(X, Y)) if hasattr(cv, "split") else cv
    rows = np.concatenate([held_out for _, held_out in splits])
    scores = [clone(LINEAR).fit(X[a], Y[a]).predict_proba(X[b]) for a, b in splits]
    expected = choose_decision(Y[rows], np.concatenate(scores).astype(np.float32))
    assert tuner.best_threshold_ == pytest.approx(expected.threshold)


def test_splits_as_masks(fits):
    """Positions 0 and 1 were taken for the rows."""
    scores = np.random.default_rng(0).random(Y.shape) + 0.3 * Y
    is_held_out = np.arange(200) % 4 == 1
    masks = [(~is_held_out, is_held_out), (is_held_out.tolist(), (~is_held_out).tolist())]
    rows = [tuple(np.flatnonzero(mask) for mask in pair) for pair in masks]
    for cv in (masks, rows, iter(masks), [[part.tolist() for part in pair] for pair in rows]):
        fits.clear()
        tuner = MultilabelThresholdTuner(Scores(), cv=cv).fit(scores, Y)
        assert fits == [150, 50, 200]
        assert tuner.n_validation_ == 200
        assert tuner.best_threshold_ == choose_decision(Y, scores.astype(np.float32)).threshold


@pytest.mark.parametrize(
    "split, message",
    [
        ((np.ones(150, bool), np.ones(50, bool)), r"masks of 200 rows.*got \(150,\) of bool"),
        ((np.arange(150), np.arange(150, 201)), "rows from 0 to 199, got 150 to 200"),
        ((np.arange(-3, 150), np.arange(150, 200)), "rows from 0 to 199, got -3 to 149"),
        ((np.arange(150.0), np.arange(150, 200)), r"got \(150,\) of float64"),
        ((Y[:150], np.arange(150, 200)), r"got \(150, 6\) of int"),
    ],
)
def test_splits_that_are_no_rows(fits, split, message):
    with pytest.raises(ValueError, match=f"`cv` .*{message}"):
        MultilabelThresholdTuner(Scores(), cv=[split]).fit(Y * 1.0, Y)
    assert not fits


STRATIFIED = [StratifiedKFold(3), StratifiedShuffleSplit(2, random_state=0)]


@pytest.mark.parametrize("cv", STRATIFIED)
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_one_class_a_row_can_be_stratified(fits, cv, form):
    """Where there is one label, or every row has just one, that is the class."""
    codes = np.random.default_rng(0).integers(4, size=200)
    for targets, classes in ((np.eye(4, dtype=int)[codes], codes), (Y[:, :1], Y[:, 0])):
        fits.clear()
        MultilabelThresholdTuner(Scores(), cv=cv).fit(targets * 1.0, form(targets))
        assert fits == [len(train) for train, _ in cv.split(X, classes)] + [200]


def test_label_sets_can_be_stratified_where_they_repeat():
    targets = np.repeat(Y[:20], 10, axis=0)
    cv = StratifiedShuffleSplit(1, test_size=0.5, random_state=0)
    tuner = MultilabelThresholdTuner(Scores(), cv=cv, refit=False).fit(targets * 1.0, targets)
    _, held_out = next(cv.split(targets, targets))
    assert_array_equal(targets[held_out].sum(axis=0) * 2, targets.sum(axis=0))
    assert tuner.n_validation_ == 100


@pytest.mark.parametrize(
    "cv, message",
    [
        (StratifiedKFold(3), "StratifiedKFold.*multilabel-indicator"),
        (StratifiedShuffleSplit(2), "StratifiedShuffleSplit.*only 1 member"),
        (GroupKFold(2), "GroupKFold.*'groups' parameter should not be None"),
        (KFold(300), "KFold.*n_splits=300"),
    ],
)
def test_splitters_that_cannot_split_label_sets(fits, cv, message):
    way_out = r"Pass an integer.*MultilabelStratifiedKFold.*list\(cv.split\(X, classes, groups\)\)"
    with pytest.raises(ValueError, match=rf"`cv`, a {message}.*{way_out}"):
        MultilabelThresholdTuner(Scores(), cv=cv).fit(Y * 1.0, Y)
    assert not fits


def test_without_refit_the_one_that_chose_is_kept(fits):
    tuner = MultilabelThresholdTuner(Scores(), cv=0.25, refit=False, random_state=0)
    tuner.fit(Y.astype(float), Y)
    assert fits == [150]
    with pytest.raises(ValueError, match="`refit` must be True with 3 folds"):
        tuner.set_params(cv=3).fit(Y.astype(float), Y)
    assert fits == [150]  # refused before work


def test_fitted_estimator_is_not_fitted_again(fits):
    scores = np.random.default_rng(0).random(Y.shape) + 0.3 * Y
    fitted = Scores().fit(scores[:50], Y[:50])
    tuner = MultilabelThresholdTuner(fitted, cv="prefit", refit=False).fit(scores, Y)
    assert fits == [50]
    assert tuner.estimator_ is fitted
    assert tuner.n_validation_ == 200
    assert tuner.best_threshold_ == choose_decision(Y, scores.astype(np.float32)).threshold
    frozen = MultilabelThresholdTuner(FrozenEstimator(fitted), cv=0.2, random_state=0)
    assert clone(frozen).fit(scores, Y).predict(scores).any()
    assert fits == [50]


def test_given_threshold_holds_nothing_out(fits):
    tuner = MultilabelThresholdTuner(Scores(), threshold=0.5).fit(Y * 0.75, Y)
    assert fits == [200]
    assert tuner.best_threshold_ == 0.5
    assert tuner.n_validation_ == 0
    assert_array_equal(tuner.predict(Y * 0.75), Y)


def test_random_state_picks_the_rows():
    thresholds = {
        seed: MultilabelThresholdTuner(LINEAR, random_state=seed).fit(X, Y).best_threshold_
        for seed in (0, 1, 2)
    }
    assert len(set(thresholds.values())) > 1
    again = MultilabelThresholdTuner(LINEAR, random_state=1).fit(X, Y).best_threshold_
    assert again == thresholds[1]


def test_constant_score_of_a_label_without_positives_is_not_predicted():
    """One-vs-rest gives 0 to a label without positives, more than a margin of other labels."""
    svm = OneVsRestClassifier(LinearSVC(C=0.001))
    targets = np.hstack([Y, np.zeros((200, 1), dtype=int)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # scikit-learn: a label is in no row
        tuner = MultilabelThresholdTuner(svm, threshold="cardinality", random_state=0)
        tuner.fit(X, targets)
    assert tuner.best_threshold_ < 0
    assert (tuner.decision_function(X)[:, 6] == 0).all()
    assert_array_equal(tuner.unseen_, [6])
    assert not tuner.predict(X)[:, 6].any()
    assert tuner.predict(X)[:, :6].any(axis=0).all()


def test_a_label_without_positives_but_with_scores_can_be_predicted():
    """Zero-shot labels: a classifier that knows their names scores them."""
    scores, targets = np.random.default_rng(0).random(Y.shape) + 0.3 * Y, Y.copy()
    targets[:, 2] = 0
    tuner = MultilabelThresholdTuner(Scores(), random_state=0).fit(scores, targets)
    assert tuner.unseen_.size == 0
    assert tuner.predict(scores)[:, 2].any()


def test_large_inputs_are_decided_in_blocks(monkeypatch):
    monkeypatch.setattr("skrr2qc.classifiers._sparse_scores.BLOCK_BYTES", 1)
    tuner = MultilabelThresholdTuner(LINEAR, random_state=0).fit(X, Y)
    expected = tuner.predict(X)
    monkeypatch.setattr("skrr2qc.classifiers._sparse_scores.block_rows", lambda n_labels: 7)
    assert_array_equal(tuner.predict(X), expected)


# --- scikit-learn's conventions ---------------------------------------------------------------


def test_rule_can_be_searched():
    search = GridSearchCV(
        MultilabelThresholdTuner(LINEAR, random_state=0),
        {"threshold": [0.99, "global", "per_label"], "estimator__estimator__C": [0.01, 1.0]},
        scoring="f1_macro",
        cv=KFold(3),
    ).fit(X, Y)
    results = search.cv_results_["mean_test_score"].reshape(2, 3)
    assert search.best_params_["threshold"] != 0.99
    assert (results[:, 0] < results[:, 1]).all()
    assert search.predict(X).shape == Y.shape


def test_tags_are_those_of_the_estimator():
    texts = get_tags(MultilabelThresholdTuner(TfidfLinearClassifier()))
    assert texts.input_tags.string
    assert not texts.input_tags.two_d_array
    assert get_tags(MultilabelThresholdTuner(LINEAR)).input_tags.sparse
    assert texts.classifier_tags.multi_label
    assert not texts.target_tags.single_output


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params, error, message",
    [
        ({"threshold": "best"}, ValueError, "`threshold` must be one of 'global'.*got 'best'"),
        ({"threshold": None}, ValueError, "`threshold` must be one of 'global'.*got None"),
        ({"estimator": "linear"}, TypeError, "`estimator` must be a multi-label classifier"),
        ({"estimator": LinearSVC}, TypeError, "`estimator` must be a multi-label classifier"),
        ({"cv": 0.0}, ValueError, r"`cv` == 0.0, must lie between 0 and 1 .* Pass an integer"),
        ({"cv": 1.5}, ValueError, r"`cv` == 1.5, must lie between 0 and 1"),
        ({"cv": 1}, ValueError, "`cv` == 1, must be >= 2"),
        ({"cv": "none"}, ValueError, "`cv` must be a share of rows.*got 'none'"),
        ({"cv": None}, ValueError, "`cv` must be a share of rows.*got None"),
        ({"cv": "prefit"}, ValueError, "`refit` must be False with cv='prefit'"),
        ({"cv": "prefit", "refit": False}, NotFittedError, "not fitted"),
    ],
)
def test_wrong_parameters_are_refused_before_work(fits, params, error, message):
    tuner = MultilabelThresholdTuner(Scores()).set_params(**params)
    with pytest.raises(error, match=message):
        tuner.fit(Y.astype(float), Y)
    assert not fits
    assert not hasattr(tuner, "decision_")


def test_targets_without_a_positive(fits):
    with pytest.raises(ValueError, match=r"`y` has no positive entry \(shape \(200, 6\)\)"):
        MultilabelThresholdTuner(Scores()).fit(X, np.zeros_like(Y))
    assert not fits
    tuner = MultilabelThresholdTuner(Scores(), threshold=0.5).fit(Y * 1.0, np.zeros_like(Y))
    assert_array_equal(tuner.predict(Y * 1.0), Y)


@pytest.mark.parametrize(
    "n_rows, params, n_held_out",
    [(6, {}, 0), (30, {"cv": [(np.arange(6), np.arange(10, 20))]}, 10)],
)
def test_training_rows_choose_where_no_row_with_a_label_is_held_out(n_rows, params, n_held_out):
    targets = np.zeros((n_rows, 6), dtype=int)
    targets[:6] = np.eye(6)
    scores = np.random.default_rng(0).random((n_rows, 6)) + targets
    tuner = MultilabelThresholdTuner(Scores(), **params)
    message = rf"{n_held_out} of {n_rows} rows could be held out.*Give more rows, another `cv`"
    with pytest.warns(UserWarning, match=message) as caught:
        tuner.fit(scores, targets)
    assert caught[0].filename == __file__
    assert tuner.n_validation_ == 0
    assert_array_equal(tuner.predict(scores), targets)


def test_classifiers_without_scores_or_with_too_few():
    with pytest.raises(TypeError, match="neither predict_proba nor decision_function"):
        MultilabelThresholdTuner(MultiOutputClassifier(LinearSVC())).fit(X, Y)
    with pytest.raises(ValueError, match=r"one column per label: expected 6, got shape \(40, 15\)"):
        MultilabelThresholdTuner(Scores(), random_state=0).fit(X, Y)


def test_not_fitted():
    tuner = MultilabelThresholdTuner(LINEAR)
    for method in (tuner.predict, tuner.predict_proba, tuner.decision_function):
        with pytest.raises(NotFittedError):
            method(X)
    assert not hasattr(tuner, "n_features_in_")
