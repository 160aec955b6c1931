"""Explanations: their numbers are those of the classifier, their words those of the labels."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.multiclass import OneVsRestClassifier

from skrr2qc import ClassCenterHead, MetaLabelReranker, RCPTEncoder, RetrievalRerankClassifier


def make_classifier(**params):
    parts = {
        "encoder": RCPTEncoder(hidden_size=16, vocab_size=300, n_epochs=0),
        "head": ClassCenterHead(n_epochs=1),
        "validation_fraction": 0.25,
        "random_state": 0,
    }
    return RetrievalRerankClassifier(**{**parts, **params})


@pytest.fixture(scope="module")
def classifier(questions):
    reranker = MetaLabelReranker(ClassCenterHead(n_epochs=2))
    fitted = make_classifier(labels=questions.labels, reranker=reranker)
    return fitted.fit(list(questions.texts), questions.Y)


def test_numbers_are_those_of_the_classifier(classifier, questions):
    texts = list(questions.texts[:6])
    explanations = classifier.explain(texts, k=4)
    names, scores = classifier.predict_topk(texts, k=4)
    retrieval = classifier.retriever_.predict_proba(texts)
    meta = classifier.reranker_.meta_scores(texts)
    meta_names = list(questions.labels.meta_names)
    for i, explanation in enumerate(explanations):
        assert explanation.text == texts[i]
        assert [reason.label for reason in explanation.reasons] == list(names[i])
        assert_allclose([reason.score for reason in explanation.reasons], scores[i], rtol=1e-6)
        for reason in explanation.reasons:
            j = questions.labels.names.index(reason.label)
            assert reason.retrieval_score == pytest.approx(retrieval[i, j], rel=1e-6)
            assert reason.retrieval_rank == 1 + (retrieval[i] > retrieval[i, j]).sum()
            columns = np.flatnonzero(questions.labels.label_to_meta[[j]].toarray())
            assert list(reason.meta_scores) == [meta_names[m] for m in columns]
            assert_allclose(list(reason.meta_scores.values()), meta[i, columns], rtol=1e-6)
            product = reason.retrieval_score * np.mean(list(reason.meta_scores.values()))
            assert reason.score == pytest.approx(classifier.calibration_([product])[0], rel=1e-5)


def nearest_by_hand(embed, texts, rows, text):
    similarities = cosine_similarity(embed([texts[i] for i in rows]), embed([text])).ravel()
    return np.sort(similarities)[::-1][:2]


def test_nearest_are_the_nearest_training_texts_with_the_label(classifier, questions):
    texts = list(questions.texts)
    explanation = classifier.explain("Find the mean of 3, 4 and 5.", k=12)
    for reason in explanation.reasons:
        j = questions.labels.names.index(reason.label)
        rows = questions.Y[:, [j]].nonzero()[0]
        assert len(reason.nearest) == min(2, len(rows))
        assert all(texts.index(text) in rows or texts.count(text) > 1 for text, _ in reason.nearest)
        expected = nearest_by_hand(classifier.head_.embed, texts, rows, explanation.text)
        assert_allclose([s for _, s in reason.nearest], expected, atol=2e-2)  # bfloat16 batches


@pytest.mark.parametrize("encoder", [TfidfVectorizer(), CountVectorizer()])
def test_nearest_among_sparse_vectors(questions, encoder):
    """Sparse rows gave an array that held one sparse matrix, and a TypeError."""
    texts = list(questions.texts)
    head = OneVsRestClassifier(LogisticRegression())
    classifier = make_classifier(encoder=encoder, head=head, labels=questions.labels)
    classifier.set_params(reranker="passthrough", lexical=None).fit(texts, questions.Y)
    explanation = classifier.explain(texts[0], k=2)
    for reason in explanation.reasons:
        rows = questions.Y[:, [questions.labels.names.index(reason.label)]].nonzero()[0]
        expected = nearest_by_hand(classifier.encoder_.transform, texts, rows, texts[0])
        assert_allclose([s for _, s in reason.nearest], expected, rtol=1e-6)
        assert all(-1 <= similarity <= 1 + 1e-6 for _, similarity in reason.nearest)
        assert reason.meta_scores == {}
    itself = [text for reason in explanation.reasons for text, s in reason.nearest if s > 1 - 1e-6]
    assert set(itself) <= {texts[0]}


def test_words(classifier, questions):
    text = "Find  the\n mean " + "of a very long list of numbers " * 10
    explanation = classifier.explain(text, k=3)
    printed = str(explanation)
    lines = printed.splitlines()
    assert lines[0].startswith("“Find the mean of a very long")
    assert lines[0].endswith("…”")
    assert max(map(len, lines)) < 200
    for place, reason in enumerate(explanation.reasons, start=1):
        assert f"{place}. {reason.label}  (score {reason.score:.3f})" in printed
        assert f"rank {reason.retrieval_rank} with score {reason.retrieval_score:.3f}" in printed
        for name, score in reason.meta_scores.items():
            assert f"{name} {score:.2f}" in printed
        shown = printed.split(f"{place}. {reason.label}")[1].split(f"  {place + 1}. ")[0]
        assert shown.count("like “") == len(reason.nearest)
    assert {reason.label for reason in explanation.reasons} <= set(questions.labels.names)


def test_one_text_or_many(classifier, questions):
    texts = list(questions.texts[:3])
    many = classifier.explain(np.array(texts, dtype=object), k=2)
    assert isinstance(many, list)
    assert len(many) == 3
    single = classifier.explain(texts[0], k=2)
    assert [reason.label for reason in single.reasons] == [r.label for r in many[0].reasons]
    assert len(classifier.explain(texts[0], k=99).reasons) == 12
    assert classifier.explain("").text == ""


@pytest.mark.parametrize("X, error", [([], ValueError), ([3], TypeError), (b"text", TypeError)])
def test_texts_that_are_none(classifier, X, error):
    with pytest.raises(error, match="`X`"):
        classifier.explain(X)


@pytest.mark.parametrize("k", [0, -1, 1.5])
def test_impossible_number_of_labels(classifier, k):
    with pytest.raises((ValueError, TypeError)):
        classifier.explain("text", k=k)


def test_without_names_or_meta_labels(questions):
    texts, Y = list(questions.texts), sp.hstack([questions.Y, sp.csr_matrix((80, 1))]).tocsr()
    with pytest.warns(UserWarning, match="1 of 13 labels have no training text"):
        classifier = make_classifier(lexical=None).fit(texts, Y)
    explanation = classifier.explain(texts[0], k=13)
    assert {reason.label for reason in explanation.reasons} == set(range(13))
    unseen = next(reason for reason in explanation.reasons if reason.label == 12)
    assert unseen.nearest == []
    assert "12  (score" in str(explanation)
    assert "concepts" not in str(explanation)


def test_meta_labels_without_names(questions):
    reranker = MetaLabelReranker(
        ClassCenterHead(n_epochs=1), label_to_meta=questions.labels.label_to_meta
    )
    classifier = make_classifier(lexical=None, reranker=reranker)
    reason = classifier.fit(list(questions.texts), questions.Y).explain("a circle", k=1).reasons[0]
    assert all(isinstance(name, int) for name in reason.meta_scores)
    assert len(reason.meta_scores) == questions.labels.label_to_meta[[reason.label]].nnz


def test_label_texts_are_no_training_texts(questions):
    """They train the head as rows of their own, and explain nothing."""
    texts, Y = list(questions.texts), questions.Y.tolil()
    Y[:, 3] = 0
    with pytest.warns(UserWarning, match="1 of 12 labels have no training text"):
        classifier = make_classifier(labels=questions.labels).fit(texts, Y.tocsr())
    name, own_text = questions.labels.names[3], questions.labels.texts[3]
    explanation = classifier.explain(own_text, k=12)
    nearest = {reason.label: reason.nearest for reason in explanation.reasons}
    assert nearest[name] == []
    assert {text for found in nearest.values() for text, _ in found} <= set(texts)
    unseen = next(reason for reason in explanation.reasons if reason.label == name)
    retrieval = classifier.retriever_.predict_proba([own_text])[0]
    assert unseen.retrieval_rank == 1
    assert unseen.retrieval_score == pytest.approx(retrieval[3], rel=1e-6)
    assert unseen.score == pytest.approx(classifier.predict_proba([own_text])[0, 3], rel=1e-6)
