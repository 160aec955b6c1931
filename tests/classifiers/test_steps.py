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

import skrr2qc.classifiers._reranker as reranking
import skrr2qc.classifiers._retrieval_rerank as composite
from skrr2qc import ClassCenterHead, MetaLabelReranker, RCPTEncoder, RetrievalRerankClassifier
from skrr2qc._training import sigmoid
from skrr2qc.classifiers._combination import Combination


@pytest.fixture(scope="module")
def make(questions):
    def make(weights=None, unseen=(), learned=None, **params):
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
            if learned is not None:
                patch.setattr(reranking, "fit_combination", lambda *args: Combination(learned, 0.3))
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


THREE = {"head": 0.5, "lexical": 0.3, "label_texts": 0.2}
ALL = {"retrieval": 1.0, "meta_labels": 0.5, "neighbors": 2.0}
NO_META = {"retrieval": 1.0, "meta_labels": 0.0, "neighbors": 2.0}
NO_NEIGHBORS = {"retrieval": 1.0, "meta_labels": 0.5, "neighbors": 0.0}
ALONE = {"retrieval": 1.0, "meta_labels": 0.0, "neighbors": 0.0}


def shared(**params):
    return {"reranker": MetaLabelReranker(**params)}


def two_towers(**params):
    return {"reranker": MetaLabelReranker(ClassCenterHead(n_epochs=1), **params)}


@pytest.mark.parametrize(
    ("params", "learned", "crossing"),
    [
        (shared(), None, ["head"]),
        (shared(alpha=0), None, []),
        (shared(combine="learned"), ALL, ["head"]),
        (shared(combine="learned"), NO_META, ["head"]),
        (shared(combine="learned"), NO_NEIGHBORS, ["head"]),
        (shared(combine="learned"), ALONE, []),
        ({"reranker": None}, ALL, ["head"]),
        (two_towers(combine="learned"), ALL, ["head", "meta"]),
        (two_towers(combine="learned"), NO_META, ["head", "meta"]),
        (two_towers(combine="learned"), NO_NEIGHBORS, ["meta"]),
        (two_towers(), None, ["meta"]),
        ({"reranker": "passthrough"}, None, []),
    ],
)
@pytest.mark.parametrize("weights", [THREE, {"lexical": 1.0}])
def test_vectors_that_reranking_needs_cross_once(
    make, questions, weights, params, learned, crossing
):
    """Those of the head stand where it retrieves, and come after the channels where it does not."""
    texts = list(questions.texts[:5])
    classifier = make(weights, learned=learned, refit=False, **params)
    retriever, reranker = classifier.retriever_, classifier.reranker_
    blocks = {name: c.decision_function(texts) for name, c in retriever.channels.items()}
    head = classifier.head_.embed(texts)
    if "head" in weights:
        blocks["head"] = head
    elif "head" in crossing:
        blocks["head of the reranker"] = head
    if "meta" in crossing:
        blocks["meta"] = reranker.classifier_.embed(texts)
    features = classifier.pipeline_["encoder"].transform(texts)
    assert_array_equal(features, np.hstack(list(blocks.values())))

    left = [head] if "head" in crossing else []
    left += [blocks["meta"]] if "meta" in crossing else []
    scored = classifier.pipeline_["head"].transform(features)
    assert_array_equal(scored, np.hstack([retriever.predict_proba(texts), *left]))
    scores = classifier.predict_proba(texts)
    assert_array_equal(classifier.pipeline_["reranker"].predict_proba(scored), scores)
    assert_array_equal(classifier.pipeline_.predict_proba(texts), scores)
    if learned is not None:
        assert reranker.combination_.weights == learned


@pytest.mark.parametrize("encoder", ["towers", TfidfVectorizer()])
@pytest.mark.parametrize("combine", ["product", "learned"])
def test_last_step_scores_meta_labels_from_the_vectors_of_the_head(
    make, questions, encoder, combine
):
    kind = {} if encoder == "towers" else {"encoder": encoder}
    classifier = make(THREE, learned=ALL, reranker=MetaLabelReranker(combine=combine), **kind)
    texts = list(questions.texts[:5])
    head, reranker = classifier.head_, classifier.reranker_
    vectors = head.embed(texts)
    meta_scores = sigmoid(head.score_meta(vectors))
    retrieved = classifier.retriever_.predict_proba(texts)
    expected = classifier.calibration_(reranker.fuse(retrieved, meta_scores, vectors))
    last = classifier.pipeline_["reranker"]
    assert_array_equal(last.predict_proba(np.hstack([retrieved, vectors])), expected)
    assert_array_equal(classifier.predict_proba(texts), expected)


def test_sparse_features_with_a_tower_of_their_own(make, questions):
    """A foreign head on a vectorizer hands on CSR, and meta-labels have vectors all the same."""
    classifier = make(
        {"head": 0.5, "lexical": 0.5},
        learned={"retrieval": 1.0, "meta_labels": 0.5},
        encoder=TfidfVectorizer(),
        head=OneVsRestClassifier(LogisticRegression()),
        reranker=MetaLabelReranker(ClassCenterHead(n_epochs=1), combine="learned"),
    )
    texts = list(questions.texts[:5])
    features = classifier.pipeline_["encoder"].transform(texts)
    assert sp.issparse(features)
    meta = classifier.reranker_.classifier_.embed(texts)
    assert_array_equal(features[:, -meta.shape[1] :].toarray(), meta)
    scores = classifier.predict_proba(texts)
    assert_array_equal(classifier.pipeline_.predict_proba(texts), scores)
    assert classifier.reranker_.tower_ is None


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


def test_pipeline_survives_pickle(fitted, make, questions):
    texts = list(questions.texts[:5])
    for classifier in (fitted, make(THREE, learned=ALL, reranker=None)):
        back = pickle.loads(pickle.dumps(classifier.pipeline_))
        assert_array_equal(back.predict_proba(texts), classifier.predict_proba(texts))


def test_steps_can_be_cloned(fitted):
    for _, step in fitted.pipeline_.steps:
        assert type(clone(step)) is type(step)
