"""Estimators on any texts and targets: scores that keep their promises, or a clear error."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator

from skrr2qc import (
    ClassCenterHead,
    LabelSpace,
    MetaLabelReranker,
    MultilabelThresholdTuner,
    RetrievalRerankClassifier,
    TextCNNClassifier,
    TfidfLinearClassifier,
)
from skrr2qc.testing import make_tiny_texts, tiny_encoder

from .strategies import (
    OnlyLength,
    any_text,
    assert_scores,
    attempt,
    containers_of,
    encodable,
    examples,
    indicators,
    label_spaces,
    matrices_of,
    refused,
    wrong_matrices,
    wrong_texts,
)

TEXTS, TARGETS = make_tiny_texts(12)
LABELS = LabelSpace(
    ["circle", "triangle", "equation", "sample"],
    meta_labels={"circle": ["shape"], "triangle": ["shape", "angle"], "equation": ["angle"]},
)
VECTORIZER = TfidfVectorizer(analyzer="char", ngram_range=(1, 2))


def linear(**params):
    return TfidfLinearClassifier(**{"C": 1.0, "random_state": 0} | params)


def head(encoder=None, **params):
    return ClassCenterHead(encoder, **{"n_epochs": 1, "random_state": 0} | params)


def composite(encoder=VECTORIZER, **params):
    parts = {"head": head(), "lexical": None, "refit": False, "validation_fraction": 0.3}
    return RetrievalRerankClassifier(encoder, **parts | {"random_state": 0} | params)


def network(**params):
    small = {"n_filters": 4, "embedding_size": 4, "n_epochs": 1, "vocab_size": 300}
    return TextCNNClassifier(**small | {"random_state": 0} | params)


FAST = {
    "linear": linear,
    "logistic": lambda: linear(loss="log_loss", validation_fraction=0.0),
    "linear, C chosen": lambda: linear(C="auto", analyzer="word"),
    "linear, characters": lambda: linear(analyzer="char", n_negatives=2),
}
MEDIUM = {
    "head": lambda: head(VECTORIZER),
    "reranker": lambda: MetaLabelReranker(
        head(VECTORIZER), retriever=linear(), label_to_meta=np.eye(4, 2)
    ),
    "tuner": lambda: MultilabelThresholdTuner(linear(), threshold="per_label", random_state=0),
    "convolutional": network,
    "encoder and head": lambda: head(tiny_encoder()),
    "encoder": lambda: tiny_encoder(n_epochs=1),
    "composite": composite,
    "composite, everything": lambda: composite(
        tiny_encoder(), lexical="tfidf", labels=LABELS, threshold="per_label", refit=True
    ),
}


def fit(make, X, Y):
    """Fitted, or None where it was refused."""
    return attempt(lambda: make().fit(X, Y), about=["X", "y", "Y", "texts", "rows"])


def assert_predictions(fitted, X, n_labels):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not hasattr(fitted, "predict"):
            assert np.isfinite(fitted.transform(X)).all()
            return
        scores, predicted = fitted.predict_proba(X), fitted.predict(X)
        assert_scores(scores, (len(X), n_labels))
        assert predicted.shape == (len(X), n_labels)
        assert np.isin(predicted, [0, 1]).all()
        assert_array_equal(fitted.predict_proba(X), scores)
        if hasattr(fitted, "predict_topk"):
            labels, best = fitted.predict_topk(X, k=n_labels)
            assert (np.diff(best, axis=1) <= 0).all()
            assert all(len(set(row)) == n_labels for row in labels)


@st.composite
def texts_and_targets(draw, n_labels=None, most=8):
    """At least one text that is not blank, and one label."""
    texts = draw(st.lists(encodable, min_size=1, max_size=most))
    Y = draw(indicators(len(texts), n_labels))
    return texts, Y


@pytest.mark.parametrize("name", FAST)
@examples(10)
@given(texts_and_targets(), st.lists(encodable, min_size=1, max_size=4))
def test_linear_models_of_any_texts(name, case, unseen):
    texts, Y = case
    fitted = fit(FAST[name], texts, Y)
    assert (fitted is None) <= (not any(text.strip() for text in texts))
    if fitted is not None:
        assert_predictions(fitted, [*texts, *unseen], Y.shape[1])


@pytest.mark.parametrize("name", MEDIUM)
@examples(3)
@given(texts_and_targets(n_labels=4), st.lists(encodable, min_size=1, max_size=4))
def test_estimators_of_any_texts(name, case, unseen):
    """Blank texts beside others, one text, no positive: fitted, or refused before work starts."""
    texts, Y = case
    fitted = fit(MEDIUM[name], texts, Y)
    assert fitted is not None or not Y.any() or not any(text.strip() for text in texts)
    if fitted is not None:
        assert_predictions(fitted, [*texts, *unseen], 4)


@pytest.mark.parametrize("name", ["linear", "head", "tuner", "composite"])
@examples(2)
@given(st.data())
def test_targets_in_every_form(name, data):
    Y = data.draw(indicators(12, 4).filter(np.any))
    make = (FAST | MEDIUM)[name]
    forms = matrices_of(Y)
    kinds = data.draw(st.lists(st.sampled_from(sorted(forms)), min_size=3, max_size=3, unique=True))
    expected = fit(make, TEXTS, Y).predict_proba(TEXTS)
    for kind in kinds:
        assert_allclose(fit(make, TEXTS, forms[kind]).predict_proba(TEXTS), expected, err_msg=kind)


@examples(2)
@given(st.data())
def test_label_sets_equal_their_matrix(data):
    labels = data.draw(label_spaces(n_labels=4))
    Y = data.draw(indicators(12, 4).filter(np.any))
    scores, sets = [], labels.decode(Y)
    forms = [Y, sp.csc_matrix(Y), sets, list(map(set, sets)), pd.Series(sets), iter(sets)]
    for form in forms:
        fitted = fit(lambda: composite(labels=labels), TEXTS, form)
        scores.append(fitted.predict_proba(TEXTS))
        assert_array_equal(scores[-1], scores[0])
        names, _ = fitted.predict_topk(TEXTS, k=2)
        assert set(names.ravel()) <= set(labels.names)


@pytest.fixture(scope="module")
def fitted_ones():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return {name: make().fit(TEXTS, TARGETS) for name, make in (FAST | MEDIUM).items()}


@examples(15)
@given(X=wrong_texts(12))
def test_wrong_texts_are_refused_everywhere(fitted_ones, X):
    for name, fitted in fitted_ones.items():
        if name == "reranker":
            continue  # it has no encoder: takes what its retriever takes, arrays or texts
        for method in ("predict", "predict_proba", "transform", "explain", "predict_topk"):
            call = getattr(fitted, method, None)
            if callable(call) and not (method == "explain" and isinstance(X, str)):
                refused(lambda call=call: call(X), about=["X"])
        estimator = (FAST | MEDIUM)[name]()
        before = set(vars(estimator))
        refused(lambda e=estimator: e.fit(X, TARGETS), about=["X"])
        assert set(vars(estimator)) == before, f"{name} sets attributes"


@examples(12)
@given(Y=wrong_matrices(12, 4))
def test_wrong_targets_are_refused_everywhere(Y):
    for name, make in (FAST | MEDIUM).items():
        is_wide = getattr(Y, "shape", None) == (12, 8)
        is_known = isinstance(Y, OnlyLength) and "composite" in name
        makes_labels = name == "composite" and isinstance(Y, list | pd.Series)
        if is_wide or is_known or makes_labels or name == "encoder":
            continue  # another number of labels; any names; classes
        estimator = make()
        before = set(vars(estimator))
        refused(lambda e=estimator: e.fit(TEXTS, Y), about=["y", "Y"])
        assert set(vars(estimator)) == before, f"{name} sets attributes"


@examples(3)
@given(texts=st.lists(any_text, min_size=2, max_size=6))
def test_predictions_of_any_texts_in_every_container(fitted_ones, texts):
    """Also texts that are no valid Unicode, which are refused."""
    for name, fitted in fitted_ones.items():
        method = fitted.predict_proba if hasattr(fitted, "predict_proba") else fitted.transform
        expected = attempt(lambda m=method: m(texts), about=["X"])
        is_valid = not any("\ud800" <= c <= "\udfff" for text in texts for c in text)
        assert (expected is not None) == is_valid
        if not is_valid:
            continue
        assert_predictions(fitted, texts, 4)
        for kind, X in containers_of(texts).items():
            assert_array_equal(method(X), expected, err_msg=f"{name} {kind}")
        assert_allclose(method(texts[::-1])[::-1], expected, atol=1e-5, err_msg=name)


def test_very_long_and_very_many_texts(fitted_ones):
    long = ["circle " * 15_000, "👩‍👩‍👧" * 20_000, "\0" * 100_000, "的" * 100_000]
    for name in ("linear", "convolutional", "encoder", "composite, everything"):
        fitted = fitted_ones[name]
        method = fitted.predict_proba if hasattr(fitted, "predict_proba") else fitted.transform
        assert np.isfinite(method(long)).all()
        scores = method(["circle"] * 1000)
        assert_allclose(scores, np.broadcast_to(scores[0], scores.shape), atol=1e-6)
    for make in (linear, composite):
        fitted = fit(make, ["the same"] * 1000, np.tile(TARGETS[:4], (250, 1)))
        assert_predictions(fitted, ["the same", long[0]], 4)


def test_a_frozen_encoder_is_shared():
    encoder = FrozenEstimator(tiny_encoder().fit(TEXTS))
    for text in ("\0", "", "🦄", "[MASK]", "x" * 5000):
        fitted = fit(lambda: head(encoder), [text] * 3, np.eye(3))
        assert_predictions(fitted, [text], 3)
