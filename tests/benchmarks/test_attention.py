"""LabelAttentionClassifier: its network against a loop over labels, and what it learns."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from torch import nn

from benchmarks._attention import LabelAttention, LabelAttentionClassifier
from tests.reference.word_order import word_order_texts


@pytest.fixture
def classifier(monkeypatch):
    monkeypatch.setattr("skrr2qc._training.uses_bfloat16", lambda device: False)
    return LabelAttentionClassifier(
        hidden_size=12,
        scoring_size=16,
        embedding_size=12,
        vocab_size=300,
        n_epochs=3,
        batch_size=16,
        device="cpu",
        random_state=0,
    )


@pytest.fixture(params=[False, True], ids=["own output", "shared output"])
def module(request):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LabelAttention(20, 3, 8, 5, 4, 0.5, shared_output=request.param).eval()


def test_module_against_a_loop_over_labels(module):
    """A bidirectional layer of torch reads each text, and each label reads its states alone."""
    lstm = nn.LSTM(8, 5, batch_first=True, bidirectional=True)
    weights = module.forwards.state_dict()
    weights |= {f"{k}_reverse": v for k, v in module.backwards.state_dict().items()}
    lstm.load_state_dict(weights)
    ids = torch.tensor([[4, 7, 9, 2, 11], [3, 5, 0, 0, 0]])
    with torch.no_grad():
        logits, _ = module(ids, ids > 0)
        for row, length in enumerate([5, 2]):
            states = lstm(module.embeddings(ids[row, :length])[None])[0][0]  # (T, 2 H)
            for label, query in enumerate(module.attention.weight):
                read = (states @ query).softmax(0) @ states
                expected = module.output(module.hidden(read).relu()).expand(3)[label].item()
                assert logits[row, label].item() == pytest.approx(expected, abs=1e-5)


def test_learns_the_order_of_words(classifier):
    """A bag of words cannot: both labels have the same words."""
    texts, Y = word_order_texts()
    classifier.set_params(n_epochs=15, lr=1e-2, dropout=0.1).fit(texts[:80], Y[:80])
    predicted = classifier.predict_proba(texts[80:]).argmax(axis=1)
    assert (predicted == Y[80:].argmax(axis=1)).mean() > 0.9


def test_absent_labels_rank_last(classifier, labelled_texts):
    X, Y = labelled_texts
    Y = sp.hstack([sp.csr_matrix((80, 2)), Y], format="csr")
    scores = classifier.set_params(n_epochs=20, lr=1e-2).fit(X, Y).predict_proba(X)
    ranks = (-scores).argsort(axis=1).argsort(axis=1)
    assert ranks[:, :2].mean() > 2 * ranks[:, 2:].mean()
    assert not classifier.predict(X)[:, :2].any()


def test_same_seed_same_scores(classifier, labelled_texts):
    X, Y = labelled_texts
    scores = classifier.fit(X, Y).predict_proba(X)
    twin = clone(classifier).fit(X, Y)
    assert_array_equal(twin.predict_proba(X), scores)
    assert_array_equal(twin.predict(X), scores > classifier.threshold_)
    other = clone(classifier).set_params(random_state=1).fit(X, Y).predict_proba(X)
    assert not np.array_equal(other, scores)


def test_texts_alone_or_together(classifier, labelled_texts):
    X, Y = labelled_texts
    texts = [*X[:10], "x", "", "a b"]
    together = classifier.fit(X, Y).predict_proba(texts)
    alone = np.vstack([classifier.predict_proba([text]) for text in texts])
    assert_allclose(alone, together, atol=1e-5)


@pytest.mark.parametrize("name", ["hidden_size", "scoring_size", "embedding_size"])
def test_sizes_that_are_none(classifier, labelled_texts, name):
    with pytest.raises(ValueError, match=name):
        classifier.set_params(**{name: 0}).fit(*labelled_texts)
