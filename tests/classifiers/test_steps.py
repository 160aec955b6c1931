"""The fitted composite as steps: what crosses them, and that they are what they say."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.base import clone, is_classifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils.validation import check_is_fitted

import skrr2qc.classifiers._retrieval_rerank as composite
from skrr2qc import ClassCenterHead, MetaLabelReranker, RCPTEncoder, RetrievalRerankClassifier


@pytest.fixture(scope="module")
def make(questions):
    def make(weights=None, unseen=(), **params):
        parts = {
            "encoder": RCPTEncoder(hidden_size=16, vocab_size=300, n_epochs=0),
            "head": ClassCenterHead(n_epochs=1),
            "reranker": MetaLabelReranker(ClassCenterHead(n_epochs=1)),
            "labels": questions.labels,
            "validation_fraction": 0.25,
            "random_state": 0,
        }
        classifier = RetrievalRerankClassifier(**{**parts, **params})
        with pytest.MonkeyPatch.context() as patch:
            if weights is not None:
                choose = composite.choose_blend
                patch.setattr(
                    composite, "choose_blend", lambda *args: choose(*args) | {"weights": weights}
                )
            Y = questions.Y.toarray()
            Y[:, list(unseen)] = 0
            return classifier.fit(list(questions.texts), Y)

    return make


@pytest.fixture(scope="module")
def fitted(make):
    return make({"head": 0.5, "lexical": 0.3, "label_texts": 0.2})


def test_what_crosses_the_joints(fitted, questions):
    texts = list(questions.texts[:9])
    features = fitted.pipeline_["encoder"].transform(texts)
    own, meta = fitted.head_.embed(texts), fitted.reranker_.classifier_.embed(texts)
    lexical = fitted.lexical_.decision_function(texts)
    likeness = fitted.retriever_.channels["label_texts"].decision_function(texts)
    assert_array_equal(features, np.hstack([own, lexical, likeness, meta]))
    assert features.dtype == np.float32
    scored = fitted.pipeline_["head"].transform(features)
    assert_array_equal(scored, np.hstack([fitted.retriever_.predict_proba(texts), meta]))
    reranked = fitted.pipeline_["reranker"].predict_proba(scored)
    assert_array_equal(reranked, fitted.predict_proba(texts))
    assert_array_equal(fitted.pipeline_[:-1].transform(texts), scored)


def test_channels_without_weight_do_not_cross(make, questions, monkeypatch):
    texts = list(questions.texts[:4])
    only_head = make({"head": 1.0}, reranker="passthrough")
    assert_array_equal(
        only_head.pipeline_["encoder"].transform(texts), only_head.head_.embed(texts)
    )
    only_lexical = make({"lexical": 1.0}, reranker="passthrough")
    only_likeness = make({"label_texts": 1.0}, reranker="passthrough")
    monkeypatch.setattr(ClassCenterHead, "embed", None)
    features = only_lexical.pipeline_["encoder"].transform(texts)
    assert_array_equal(features, only_lexical.lexical_.decision_function(texts))
    features = only_likeness.pipeline_["encoder"].transform(texts)
    channel = only_likeness.retriever_.channels["label_texts"]
    assert_array_equal(features, channel.decision_function(texts))


@pytest.mark.filterwarnings("ignore:.* labels have no training text")
@pytest.mark.parametrize("weights", [{"head": 1.0}, {"lexical": 1.0}, {"label_texts": 1.0}])
def test_label_texts_cross_for_unseen_labels(make, questions, weights):
    """Without weight, too: half of the score of an unseen label comes from there."""
    texts = list(questions.texts[:4])
    classifier = make(weights, unseen=[2, 9])
    encoder, head = classifier.pipeline_["encoder"], classifier.pipeline_["head"]
    own = {"head": classifier.head_.embed, "lexical": None, "label_texts": None}
    own |= {
        n: c.decision_function for n, c in classifier.retriever_.channels.items() if n != "head"
    }
    names = classifier.retriever_.names
    assert set(names) == {*weights, "label_texts"}
    meta = classifier.reranker_.classifier_.embed(texts)
    features = encoder.transform(texts)
    assert_array_equal(features, np.hstack([*(own[name](texts) for name in names), meta]))
    scored = head.transform(features)
    assert_array_equal(scored, np.hstack([classifier.retriever_.predict_proba(texts), meta]))
    assert_array_equal(classifier.pipeline_.predict_proba(texts), classifier.predict_proba(texts))


@pytest.mark.filterwarnings("ignore:.* labels have no training text", "ignore:Label not .*")
@pytest.mark.parametrize("reads", [True, False])
def test_sparse_features_with_unseen_labels(make, questions, reads):
    classifier = make(
        {"head": 1.0},
        unseen=[2, 9],
        encoder=TfidfVectorizer(),
        head=OneVsRestClassifier(LogisticRegression()),
        reranker="passthrough",
        label_texts=reads,
    )
    texts = list(questions.texts[:5])
    features = classifier.pipeline_["encoder"].transform(texts)
    assert sp.issparse(features)
    assert features.shape == (5, len(classifier.encoder_.vocabulary_) + 12 * reads)
    scores = classifier.predict_proba(texts)
    assert_array_equal(classifier.pipeline_.predict_proba(texts), scores)
    seen = np.setdiff1d(np.arange(12), [2, 9])
    is_last = scores[:, [2, 9]].max(axis=1) < scores[:, seen].min(axis=1)
    assert is_last.all() != reads


@pytest.mark.parametrize("order", [("label_texts", "head", "lexical"), ("lexical", "head")])
def test_channels_cross_in_the_order_of_their_weights(make, questions, order):
    texts = list(questions.texts[:4])
    classifier = make(dict.fromkeys(order, 1 / len(order)))
    assert_array_equal(classifier.pipeline_.predict_proba(texts), classifier.predict_proba(texts))


def test_sparse_vectors_stay_sparse_for_foreign_heads(make, questions):
    """A vectorizer of 200,000 columns was made dense, n x 200,000, on the way to its head."""
    classifier = make(
        {"head": 0.5, "lexical": 0.3, "label_texts": 0.2},
        encoder=TfidfVectorizer(),
        head=OneVsRestClassifier(LogisticRegression()),
        reranker="passthrough",
    )
    texts = list(questions.texts[:5])
    features = classifier.pipeline_["encoder"].transform(texts)
    assert sp.issparse(features)
    width = len(classifier.encoder_.vocabulary_)
    assert features.shape == (5, width + 12 + 12)
    expected = classifier.encoder_.transform(texts)
    assert_array_equal(features[:, :width].toarray(), expected.toarray())
    scores = classifier.predict_proba(texts)
    assert_array_equal(classifier.pipeline_.predict_proba(texts), scores)


def test_steps_are_fitted_and_fitting_them_again_changes_nothing(fitted, questions):
    texts = list(questions.texts[:5])
    scores = fitted.predict_proba(texts)
    check_is_fitted(fitted.pipeline_)
    for name, step in fitted.pipeline_.steps:
        check_is_fitted(step)
        assert step.fit(None, None) is step, name
    assert fitted.pipeline_.fit(texts, None) is fitted.pipeline_
    assert_array_equal(fitted.pipeline_.predict_proba(texts), scores)


def test_last_step_is_a_classifier_of_columns(fitted, questions):
    last = fitted.pipeline_["reranker"]
    assert is_classifier(fitted.pipeline_)
    assert_array_equal(last.classes_, np.arange(12))
    assert_array_equal(fitted.pipeline_.classes_, fitted.classes_)
    assert fitted.pipeline_.predict(list(questions.texts[:5])).dtype == np.int8


def test_pipeline_survives_pickle(fitted, questions):
    texts = list(questions.texts[:5])
    back = pickle.loads(pickle.dumps(fitted.pipeline_))
    assert_array_equal(back.predict_proba(texts), fitted.predict_proba(texts))


def test_steps_can_be_cloned(fitted):
    for _, step in fitted.pipeline_.steps:
        assert type(clone(step)) is type(step)
