"""Promises of all estimators: of texts by our own checks, on arrays by scikit-learn's."""

import random
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.datasets import make_classification, make_multilabel_classification
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

import skrr2qc
from skrr2qc import (
    ClassCenterHead,
    LabelSpace,
    MetaLabelReranker,
    MultilabelThresholdTuner,
    RCPTEncoder,
    RetrievalRerankClassifier,
    TextCNNClassifier,
    TfidfLinearClassifier,
)
from skrr2qc._validation import check_label_matrix, check_texts
from skrr2qc.testing import check_text_estimator, make_tiny_texts, tiny_encoder

LABELS = LabelSpace(
    ["circle", "triangle", "equation", "sample"],
    meta_labels={"circle": ["shape"], "triangle": ["shape", "angle"], "equation": ["angle"]},
)

# Estimator -> check -> why it fails. An entry whose check passes is an error.
KNOWN_FAILURES: dict[str, dict[str, str]] = {}


def fitted_encoder():
    return FrozenEstimator(tiny_encoder().fit(make_tiny_texts()[0]))


def small_head(encoder=None, **params):
    return ClassCenterHead(encoder, **{"n_epochs": 1} | params)


def small_reranker(encoder):
    retriever = small_head(encoder)
    return MetaLabelReranker(small_head(), retriever=retriever, encoder=encoder, labels=LABELS)


def small_composite(encoder, **params):
    """Held-out rows enough to choose on, so that every branch of fit runs."""
    reranker = MetaLabelReranker(small_head(), labels=LABELS)
    parts = {"head": small_head(), "reranker": reranker, "labels": LABELS, "lexical": None}
    return RetrievalRerankClassifier(encoder, **parts | {"validation_fraction": 0.4} | params)


ESTIMATORS = {
    "encoder": lambda: tiny_encoder(random_state=None),
    "encoder, language model": lambda: tiny_encoder(n_epochs=1),
    "head": lambda: small_head(fitted_encoder()),
    "head with its own encoder": lambda: small_head(tiny_encoder()),
    "head with names": lambda: small_head(fitted_encoder(), labels=LABELS, passthrough=True),
    "head on a vectorizer": lambda: small_head(TfidfVectorizer()),
    "reranker": lambda: small_reranker(fitted_encoder()),
    "composite": lambda: small_composite(fitted_encoder()),
    "composite, lexical": lambda: small_composite(
        fitted_encoder(), lexical=TfidfLinearClassifier(C=1.0), refit=False
    ),
    "composite on a vectorizer": lambda: small_composite(TfidfVectorizer(), refit=False),
    "linear": lambda: TfidfLinearClassifier(C=1.0),
    "thresholds": lambda: MultilabelThresholdTuner(
        TfidfLinearClassifier(C=1.0), threshold="per_label"
    ),
    "convolutional": lambda: TextCNNClassifier(
        n_filters=4, embedding_size=8, n_epochs=1, vocab_size=300
    ),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_text_estimator(name):
    check_text_estimator(ESTIMATORS[name](), expected_failures=KNOWN_FAILURES.get(name))


def test_every_public_estimator_is_tested():
    """One that is added has to be added here, too."""
    public = {getattr(skrr2qc, name) for name in skrr2qc.__all__}
    estimators = {kind for kind in public if issubclass(kind, BaseEstimator)}
    assert RCPTEncoder in estimators
    assert estimators == {type(make()) for make in ESTIMATORS.values()}
    assert set(KNOWN_FAILURES) <= set(ESTIMATORS)


# ------------------------------------------------------------------------------- on arrays


@parametrize_with_checks([ClassCenterHead(n_epochs=20)])
def test_scikit_learn_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # one of scikit-learn's own checks warns
        check(estimator)


def blobs(n_classes, seed=0):
    return make_classification(
        n_samples=90, n_features=6, n_informative=4, n_classes=n_classes, random_state=seed
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_head_on_one_dimensional_targets(n_classes):
    X, y = blobs(n_classes)
    names = np.array(["one", "two", "three"])[y]
    head = ClassCenterHead(random_state=0).fit(X, names)
    assert_array_equal(head.classes_, np.unique(names))
    scores, decisions = head.predict_proba(X), head.decision_function(X)
    assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    assert_array_equal(head.predict(X), head.classes_[scores.argmax(axis=1)])
    assert decisions.shape == ((90,) if n_classes == 2 else (90, n_classes))
    if n_classes == 2:  # log-odds of the second class
        assert_allclose(decisions, np.log(scores[:, 1] / scores[:, 0]), atol=1e-3)
    assert head.score(X, names) > 0.7


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csr_array])
def test_head_on_indicator_targets(kind):
    X, Y = make_multilabel_classification(n_samples=80, n_classes=4, random_state=0)
    expected = ClassCenterHead(n_epochs=5, random_state=0).fit(X, Y).predict_proba(X)
    head = ClassCenterHead(n_epochs=5, random_state=0).fit(X, kind(Y))
    assert_allclose(head.predict_proba(X), expected, rtol=1e-5)
    assert_array_equal(head.predict(X), (expected > 0.5).astype(int))
    assert head.decision_function(X).shape == (80, 4)
    assert_array_equal(head.classes_, np.arange(4))


def test_head_on_sparse_features():
    X, Y = make_multilabel_classification(n_samples=80, n_classes=4, random_state=0)
    head = ClassCenterHead(n_epochs=5, random_state=0).fit(sp.csr_matrix(X), Y)
    assert_allclose(head.predict_proba(X), head.predict_proba(sp.csr_array(X)), rtol=1e-4)


# ---------------------------------------------------------------------------- the checks themselves


class Counter(ClassifierMixin, BaseEstimator):
    """A right, if simple, classifier of texts: label frequencies. Subclasses go wrong."""

    def __init__(self, shift=0.0, part=None, random_state=None):
        self.shift = shift
        self.part = part
        self.random_state = random_state

    def fit(self, X, y):
        X = check_texts(X)
        Y = check_label_matrix(y, n_samples=len(X), name="y")
        self.frequencies_ = np.asarray(Y.mean(axis=0)).ravel()
        self.classes_ = np.arange(Y.shape[1])
        return self

    def predict_proba(self, X):
        check_is_fitted(self)
        lengths = np.array([len(text) for text in check_texts(X)])
        return self.frequencies_ * (lengths / (1.0 + lengths))[:, None]

    def predict(self, X):
        return (self.predict_proba(X) > 0.3).astype(int)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class SetsMore(Counter):
    def __init__(self, shift=0.0, part=None, random_state=None):
        super().__init__(shift, part, random_state)
        self.extra = 1


class Converts(Counter):
    def __init__(self, shift=0.0, part=None, random_state=None):
        super().__init__(shift + 0.5, part, random_state)


class ReturnsNothing(Counter):
    def fit(self, X, y):
        super().fit(X, y)
        return Counter().fit(X, y)


class ChangesParameter(Counter):
    def fit(self, X, y):
        super().fit(X, y)
        self.shift = 1.0
        return self


class FitsItsPart(Counter):
    def fit(self, X, y):
        super().fit(X, y)
        if self.part is not None:
            self.part.fit(X, y)
        return self


class ChangesTexts(Counter):
    def fit(self, X, y):
        super().fit(X, y)
        if isinstance(X, list):
            X[0] = "changed"
        return self


class Remembers(Counter):
    def fit(self, X, y):
        before = getattr(self, "frequencies_", None)
        super().fit(X, y)
        if before is not None:
            self.frequencies_ = before / 2
        return self


class DrawsFreely(Counter):
    def fit(self, X, y):
        super().fit(X, y)
        self.frequencies_ = np.random.default_rng().random(len(self.classes_))
        return self


class MovesNumpy(Counter):
    def fit(self, X, y):
        np.random.random()  # noqa: NPY002
        return super().fit(X, y)


class MovesTorch(Counter):
    def predict_proba(self, X):
        scores = super().predict_proba(X)
        torch.rand(1)
        return scores


class MovesPython(Counter):
    def fit(self, X, y):
        random.random()
        return super().fit(X, y)


class TakesThreads(Counter):
    def fit(self, X, y):
        torch.set_num_threads(torch.get_num_threads() + 1)
        return super().fit(X, y)


class LosesState(Counter):
    def __getstate__(self):
        return super().__getstate__() | {"frequencies_": np.zeros(4)}


class TakesLists(Counter):
    def predict_proba(self, X):
        if not isinstance(X, (list, str, type(None))):
            raise AttributeError("no list")
        return super().predict_proba(X)


class IndexesSeries(Counter):
    def fit(self, X, y):
        if hasattr(X, "loc"):
            X = [X[i] for i in range(len(X))]
        return super().fit(X, y)


class DropsEmptyLabels(Counter):
    def fit(self, X, y):
        super().fit(X, y)
        self.frequencies_ = self.frequencies_[self.frequencies_ > 0]
        return self


class DividesByLabels(Counter):
    def fit(self, X, y):
        super().fit(X, y)
        n_labels = np.asarray(check_label_matrix(y).sum(axis=1)).ravel()
        with np.errstate(divide="ignore", invalid="ignore"):
            self.frequencies_ = self.frequencies_ + 0 * (1 / n_labels).max()
        return self


class NeedsTwo(Counter):
    def fit(self, X, y):
        if len(check_texts(X)) < 2:
            raise ValueError("at least two texts: give more")
        return super().fit(X, y)


class DividesByLength(Counter):
    def predict_proba(self, X):
        lengths = np.array([len(text) for text in check_texts(X)])
        with np.errstate(divide="ignore", invalid="ignore"):
            return super().predict_proba(X) * (lengths / lengths)[:, None]


class LeavesRange(Counter):
    def predict_proba(self, X):
        return super().predict_proba(X) + 1


class ReturnsNames(Counter):
    def predict(self, X):
        return np.array(["a", "b"], dtype=object)[super().predict(X)]


class SortsRows(Counter):
    def predict_proba(self, X):
        return super().predict_proba(sorted(check_texts(X)))


class PoolsPadding(Counter):
    def predict_proba(self, X):
        X = check_texts(X)
        return super().predict_proba(X) * len(X[0]) / max(map(len, X))


class PredictsUnfitted(Counter):
    def predict_proba(self, X):
        if not hasattr(self, "classes_"):
            return np.zeros((len(X), 4))
        return super().predict_proba(X)


class SplitsStr(Counter):
    def fit(self, X, y):
        return super().fit(list(X) if isinstance(X, str) else X, y)


class RaisesKeyError(Counter):
    def fit(self, X, y):
        if len(X) == 0:
            raise KeyError(0)
        return super().fit(X, y)


class SaysNothing(Counter):
    def fit(self, X, y):
        try:
            return super().fit(X, y)
        except TypeError:
            raise TypeError("wrong") from None


class ChecksLate(Counter):
    def fit(self, X, y):
        self.late_ = True
        return super().fit(X, y)


class ClipsTargets(Counter):
    def fit(self, X, y):
        return super().fit(X, y if y is None else (y != 0) * 1)


class NeedsDense(Counter):
    def fit(self, X, y):
        if sp.issparse(y):
            raise TypeError("dense only")
        return super().fit(X, y)


BROKEN = {
    SetsMore: "init_only_assigns",
    ReturnsNothing: "fit_returns_self",
    ChangesParameter: "fit_keeps_parameters",
    FitsItsPart: "fit_keeps_parameters",
    ChangesTexts: "fit_keeps_data",
    Remembers: "refit",
    DrawsFreely: "refit",
    MovesNumpy: "global_state",
    MovesTorch: "global_state",
    MovesPython: "global_state",
    TakesThreads: "global_state",
    LosesState: "pickle",
    TakesLists: "input_kinds",
    IndexesSeries: "input_kinds",
    DropsEmptyLabels: "empty_label_column",
    DividesByLabels: "row_without_label",
    NeedsTwo: "one_sample",
    DividesByLength: "empty_and_long_texts",
    LeavesRange: "outputs",
    ReturnsNames: "outputs",
    SortsRows: "row_order",
    PoolsPadding: "row_order",
    PredictsUnfitted: "unfitted",
    SplitsStr: "bad_texts",
    RaisesKeyError: "bad_texts",
    SaysNothing: "bad_texts",
    ChecksLate: "bad_texts",
    ClipsTargets: "bad_targets",
    NeedsDense: "sparse_targets",
}


def test_right_estimator_passes():
    names = check_text_estimator(Counter(part=Counter()))
    assert set(BROKEN.values()) <= set(names)


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_wrong_estimator_is_found(kind):
    n_threads = torch.get_num_threads()
    try:
        with pytest.raises(AssertionError, match="breaks the contract") as caught:
            check_text_estimator(kind(part=Counter()))
    finally:
        torch.set_num_threads(n_threads)
    assert f"- {BROKEN[kind]}: " in str(caught.value)


def test_init_that_changes_a_parameter_is_found_by_clone():
    with pytest.raises(RuntimeError, match="Cannot clone object.*modifies parameter shift"):
        check_text_estimator(Converts())


def test_pure_transformers_need_no_targets():
    class Length(TransformerMixin, BaseEstimator):
        def fit(self, X, y=None):
            check_texts(X)
            self.fitted_ = True
            return self

        def transform(self, X):
            check_is_fitted(self)
            return np.array([[len(text) / 100] for text in check_texts(X)])

    names = check_text_estimator(
        Length(), expected_failures={"pickle": "a local class"} | {"global_state": "pickles, too"}
    )
    assert "bad_targets" in names


def test_expected_failures_have_to_fail():
    with pytest.raises(AssertionError, match="- refit: passes; no longer: a reason of old"):
        check_text_estimator(Counter(), expected_failures={"refit": "a reason of old"})
    names = check_text_estimator(NeedsTwo(), expected_failures={"one_sample": "needs two"})
    assert "one_sample" not in names


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"names no check: \['spelling'\]\. Choose from \['bad_"):
        check_text_estimator(Counter(), expected_failures={"spelling": "?"})
    with pytest.raises(ValueError, match="pass both, or neither"):
        check_text_estimator(Counter(), X=["a text"])


def test_own_data(labelled_texts):
    X, Y = labelled_texts
    assert "refit" in check_text_estimator(Counter(), X=X, Y=Y)


def test_what_cannot_be_fitted_is_reported_as_it_is():
    class Fails(Counter):
        def fit(self, X, y):
            raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck"):
        check_text_estimator(Fails())


def test_make_tiny_texts():
    texts, Y = make_tiny_texts(40, random_state=3)
    assert len(texts) == len(set(texts)) == 40
    assert Y.any(axis=0).all()
    assert set(Y.sum(axis=1)) == {1, 2}
    again, _ = make_tiny_texts(40, random_state=3)
    assert texts == again
    assert texts != make_tiny_texts(40, random_state=4)[0]
    with pytest.raises(ValueError, match="`n_samples` == 3, must be >= 4"):
        make_tiny_texts(3)


def test_pipeline_of_encoder_and_head():
    """Pipeline fits its steps in place, which is the one thing it does differently."""
    pipeline = make_pipeline(tiny_encoder(), small_head())
    reason = {"fit_keeps_parameters": "scikit-learn's Pipeline fits its steps in place"}
    assert "refit" in check_text_estimator(pipeline, expected_failures=reason)
