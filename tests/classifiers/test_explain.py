"""Explanations: their numbers are those of the classifier, their words those of the labels."""

import json

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.multiclass import OneVsRestClassifier

from skrr2qc import (
    ClassCenterHead,
    LabelSpace,
    MetaLabelReranker,
    RCPTEncoder,
    RetrievalRerankClassifier,
)
from skrr2qc.classifiers import _explain


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

            assert reason.reranked_score == pytest.approx(product, rel=1e-5)
            assert reason.factor == pytest.approx(product / reason.retrieval_score, rel=1e-5)


def places(scores):
    """Rank of every label, by counting those before it."""
    ahead = scores[None, :] > scores[:, None]
    ties = (scores[None, :] == scores[:, None]) & np.tri(len(scores), k=-1, dtype=bool)
    return 1 + (ahead | ties).sum(axis=1)


def test_what_a_learned_combination_adds(questions):
    classifier = make_classifier(labels=questions.labels).fit(list(questions.texts), questions.Y)
    assert classifier.reranker_.combination_ is not None
    explanation = classifier.explain(questions.texts[0], k=3)
    weights = classifier.reranker_.combination_.weights
    for reason in explanation.reasons:
        assert set(reason.reranking) == {name for name, w in weights.items() if w} | {"base"}
        log_odds = np.log(reason.reranked_score / (1 - reason.reranked_score))
        assert sum(reason.reranking.values()) == pytest.approx(log_odds, rel=1e-3, abs=1e-4)
        score = np.log(reason.retrieval_score / (1 - reason.retrieval_score))
        assert reason.reranking["retrieval"] == pytest.approx(
            weights["retrieval"] * score, rel=1e-3
        )
    assert "reranked by (log-odds): retrieval " in str(explanation)
    assert ">reranking<" in explanation.to_html()
    json.dumps(explanation.to_dict())


@pytest.mark.parametrize("k", [2, 6])
def test_what_reranking_threw_out(classifier, questions, k, monkeypatch):
    texts, n_dropped = list(questions.texts[:8]), 0
    meta = np.random.default_rng(0).random((8, questions.labels.n_meta_labels)).astype(np.float32)
    monkeypatch.setattr(classifier.reranker_, "meta_scores", lambda X, vectors=None: meta)
    retrieval, final = classifier.retriever_.predict_proba(texts), classifier.predict_proba(texts)
    names = questions.labels.names
    for i, explanation in enumerate(classifier.explain(texts, k=k)):
        before, after = places(retrieval[i]), places(final[i])
        for reason in (*explanation.reasons, *explanation.dropped):
            j = names.index(reason.label)
            assert (reason.retrieval_rank, reason.rank) == (before[j], after[j])
            columns = np.flatnonzero(questions.labels.label_to_meta[[j]].toarray())
            assert reason.factor == pytest.approx(meta[i, columns].mean(), rel=1e-5)
            assert reason.score == pytest.approx(final[i, j], rel=1e-6)
        assert [reason.rank for reason in explanation.reasons] == list(range(1, k + 1))
        gone = [j for j in np.argsort(before) if before[j] <= k < after[j]]
        assert [reason.label for reason in explanation.dropped] == [names[j] for j in gone]
        assert all(r.nearest == [] and r.meta_scores for r in explanation.dropped)
        n_dropped += len(gone)
    assert n_dropped > 0


def contributions_by_hand(classifier, text, j, halved=False):
    """Equation of the blend, term by term; a label without texts is half its own text."""
    blend = classifier.retriever_
    slope, intercept = blend.curve
    if halved:
        slope, intercept = blend.unseen_curve
        intercept = intercept + blend.unseen_shift
    parts = {}
    for name, channel in blend.channels.items():
        if hasattr(channel, "decision_function"):
            logit = channel.decision_function([text])[0, j]
        else:
            score = np.clip(channel.predict_proba([text])[0, j], 1e-7, 1 - 1e-7)
            logit = np.log(score / (1 - score))
        weight = blend.weights.get(name, 0)
        if halved:
            weight = weight / 2 + (0.5 if name == "label_texts" else 0)
        mean, spread = blend.scales[name]
        if weight:
            parts[name] = slope * weight * (logit - mean) / spread
    return parts, intercept


def check_channels(classifier, text, reason, j, halved=False):
    parts, intercept = contributions_by_hand(classifier, text, j, halved)
    assert list(reason.channels) == list(parts)
    # The head embeds in bfloat16, one text alone otherwise than many together.
    assert_allclose(list(reason.channels.values()), list(parts.values()), atol=3e-2)
    assert reason.base == intercept
    log_odds = reason.base + sum(reason.channels.values())
    assert reason.retrieval_score == pytest.approx(1 / (1 + np.exp(-log_odds)), rel=2e-3)


def test_channels_add_up_to_the_retrieval_score(classifier, questions):
    weights = {"head": 0.5, "lexical": 0.3, "label_texts": 0.2}
    blend, known = classifier.retriever_, classifier.retriever_.weights
    channels = {"head": classifier.head_, **blend.channels}
    if set(channels) != set(weights):
        pytest.fail(f"all three channels are to be looked at, got {sorted(channels)}")
    blend.set_params(weights=weights)
    try:
        for text in questions.texts[:3]:
            for reason in classifier.explain(text, k=12).reasons:
                j = questions.labels.names.index(reason.label)
                check_channels(classifier, text, reason, j)
    finally:
        blend.set_params(weights=known)


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
        assert list(reason.channels) == list(classifier.channel_weights_)
        j = questions.labels.names.index(reason.label)
        check_channels(classifier, texts[0], reason, j)
        assert (reason.rank, reason.reranked_score) == (
            reason.retrieval_rank,
            reason.retrieval_score,
        )
    assert explanation.dropped == []
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


@pytest.mark.parametrize(
    ("k", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_impossible_number_of_labels(classifier, k, error):
    with pytest.raises(error, match="`k`"):
        classifier.explain("text", k=k)


def test_twice_the_same(classifier, questions):
    texts = list(questions.texts[:4])
    assert classifier.explain(texts, k=5) == classifier.explain(texts, k=5)


def test_block_by_block(classifier, questions, monkeypatch):
    texts = list(questions.texts[:5])
    together = classifier.explain(texts, k=4)
    monkeypatch.setattr(_explain, "block_rows", lambda n_labels: 2)
    for one, other in zip(together, classifier.explain(texts, k=4), strict=True):
        assert one.text == other.text
        first = {reason.label: reason for reason in one.reasons}
        for reason in other.reasons[:2]:  # later ones may be as good as equal
            assert reason.score == pytest.approx(first[reason.label].score, abs=2e-2)


def test_texts_of_several_labels_are_encoded_once(questions):
    head = OneVsRestClassifier(LogisticRegression())
    classifier = make_classifier(encoder=TfidfVectorizer(), head=head, lexical=None)
    classifier.fit(list(questions.texts), questions.Y)
    encoded = []
    transform = classifier.encoder_.transform
    nearest = _explain._Nearest(
        lambda texts: encoded.extend(texts) or transform(texts),
        classifier.train_texts_,
        classifier.train_labels_,
    )
    for labels in ([0, 1, 2], [1, 2, 5], [0, 5]):
        nearest.prepare(np.array(labels))
    rows = np.flatnonzero(questions.Y[:, [0, 1, 2, 5]].sum(axis=1))
    assert sorted(encoded) == sorted(questions.texts[i] for i in rows)
    for label in (0, 5):
        texts, rows = classifier.train_texts_, questions.Y[:, [label]].nonzero()[0]
        found = nearest.find(transform(texts[:1]), label)
        expected = nearest_by_hand(transform, texts, rows, texts[0])
        assert_allclose([s for _, s in found], expected, rtol=1e-6)


def test_without_names_or_meta_labels(questions):
    texts, Y = list(questions.texts), sp.hstack([questions.Y, sp.csr_matrix((80, 1))]).tocsr()
    with pytest.warns(UserWarning, match="1 of 13 labels have no training text"):
        classifier = make_classifier(lexical=None).fit(texts, Y)
    explanation = classifier.explain(texts[0], k=13)
    assert {reason.label for reason in explanation.reasons} == set(range(13))
    unseen = next(reason for reason in explanation.reasons if reason.label == 12)
    assert unseen.nearest == []
    assert (unseen.channels, unseen.base) == ({}, -30.0)  # nothing is known of it
    assert unseen.retrieval_score == pytest.approx(1 / (1 + np.exp(30.0)), rel=1e-5)
    assert unseen.retrieval_rank == 13
    assert "12  (score" in str(explanation)
    assert "evidence (log-odds): head" in str(explanation)
    json.dumps(explanation.to_dict(), allow_nan=False)
    assert "concepts" not in str(explanation)


def test_meta_labels_without_names(questions):
    reranker = MetaLabelReranker(
        ClassCenterHead(n_epochs=1), label_to_meta=questions.labels.label_to_meta
    )
    classifier = make_classifier(lexical=None, reranker=reranker)
    reason = classifier.fit(list(questions.texts), questions.Y).explain("a circle", k=1).reasons[0]
    assert all(isinstance(name, int) for name in reason.meta_scores)
    assert len(reason.meta_scores) == questions.labels.label_to_meta[[reason.label]].nnz


def test_names_of_another_map_are_not_lent(questions):
    """Columns of the reranker's own map were called by the names of the label space."""
    own = questions.labels.label_to_meta[:, ::-1].tocsr()
    reranker = MetaLabelReranker(ClassCenterHead(n_epochs=1), label_to_meta=own)
    classifier = make_classifier(lexical=None, labels=questions.labels, reranker=reranker)
    classifier.fit(list(questions.texts), questions.Y)
    reason = classifier.explain("a circle", k=1).reasons[0]
    columns = np.flatnonzero(own[[questions.labels.names.index(reason.label)]].toarray())
    assert list(reason.meta_scores) == columns.tolist()


def test_names_of_the_rerankers_labels(questions):
    labels = questions.labels
    plain = LabelSpace(labels.names, texts=labels.texts)
    reranker = MetaLabelReranker(ClassCenterHead(n_epochs=1), label_to_meta=labels.label_to_meta)
    classifier = make_classifier(lexical=None, labels=plain, reranker=reranker)
    classifier.fit(list(questions.texts), questions.Y)
    classifier.reranker_.set_params(labels=labels)
    reason = classifier.explain("a circle", k=1).reasons[0]
    assert set(reason.meta_scores) <= set(labels.meta_names)


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
    check_channels(classifier, own_text, unseen, 3, halved=True)
    retrieval = classifier.retriever_.predict_proba([own_text])[0]
    assert unseen.retrieval_rank == 1
    assert unseen.retrieval_score == pytest.approx(retrieval[3], rel=1e-6)
    assert unseen.score == pytest.approx(classifier.predict_proba([own_text])[0, 3], rel=1e-6)
