"""Vectors of labels: where they come from, what training of label texts does, what it leaves."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skrr2qc import LabelSpace, RCPTEncoder
from skrr2qc._training import seeded
from skrr2qc.encoders._label_vectors import embed, start_vectors, train_label_vectors
from skrr2qc.testing import make_tiny_texts, tiny_encoder
from tests.reference.tiny_bert import WORDS, save_tiny_bert

LABEL_TEXTS = ["circle radius", "triangle angle", "equation root", "sample mean"]
UNKNOWN = "☃"


@pytest.fixture(autouse=True)
def _full_precision(monkeypatch):
    monkeypatch.setattr("skrr2qc._training.uses_bfloat16", lambda device: False)


@pytest.fixture(scope="module")
def tiny():
    """Texts, their label sets, and a fitted encoder, which nobody changes."""
    texts, Y = make_tiny_texts(40)
    encoder = tiny_encoder(n_epochs=0).fit(texts)
    return texts, sp.csr_matrix(Y, dtype=np.float32), encoder


def ids_of(encoder, texts):
    return encoder.tokenizer_.encode(texts)[0]


def start(tiny, label_texts, Y=None):
    texts, targets, encoder = tiny
    Y = targets if Y is None else sp.csr_matrix(Y, dtype=np.float32)
    ids = ids_of(encoder, texts)
    return start_vectors(encoder.backbone_, encoder.tokenizer_, label_texts, ids, Y, "cpu")


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


# --- before training --------------------------------------------------------------------------


def test_vectors_of_label_texts(tiny):
    assert_allclose(start(tiny, LABEL_TEXTS), tiny[2].transform(LABEL_TEXTS), atol=1e-6)


def test_without_label_texts_the_mean_of_their_texts(tiny):
    texts, Y, encoder = tiny
    found = start(tiny, None)
    vectors = encoder.transform(texts)
    expected = [vectors[Y[:, [label]].toarray().ravel() > 0].mean(axis=0) for label in range(4)]
    assert found.dtype == np.float32
    assert_allclose(found, unit(np.array(expected)), atol=1e-5)


@pytest.mark.parametrize("unreadable", ["", UNKNOWN, f"{UNKNOWN} {UNKNOWN}"])
def test_label_text_without_a_known_token(tiny, unreadable):
    """Codes, or names in another script, all had one vector: that of a text without a token."""
    texts, Y, encoder = tiny
    expected = encoder.transform(LABEL_TEXTS)
    expected[1] = unit(encoder.transform(texts)[Y[:, [1]].toarray().ravel() > 0].mean(axis=0))
    assert_allclose(
        start(tiny, [LABEL_TEXTS[0], unreadable, *LABEL_TEXTS[2:]]), expected, atol=1e-5
    )


def test_training_keeps_labels_apart_that_nobody_can_read(tiny):
    texts, Y, _ = tiny
    labels = LabelSpace(["甲", "乙", "丙", "丁"])
    encoder = tiny_encoder(labels=labels, n_epochs=1, label_epochs=2).fit(texts, Y)
    assert len(np.unique(encoder.label_embeddings_.round(4), axis=0)) == 4


@pytest.mark.parametrize("label_texts", [None, ["", *LABEL_TEXTS[1:]]])
def test_label_without_text_and_without_example(tiny, label_texts):
    Y = tiny[1].toarray()
    Y[:, 0] = 0
    found = start(tiny, label_texts, Y)
    assert np.isfinite(found).all()
    assert_array_equal(found[0], np.zeros(16))
    assert_allclose(np.linalg.norm(found[1:], axis=1), 1, atol=1e-5)


def test_no_text_has_a_label(tiny):
    assert_array_equal(start(tiny, None, np.zeros((40, 3))), np.zeros((3, 16)))


def test_embed_is_transform(tiny):
    texts, _, encoder = tiny
    found = embed(encoder.backbone_, encoder.tokenizer_, ids_of(encoder, texts), "cpu")
    assert_allclose(found, encoder.transform(texts), atol=1e-6)


# --- training ---------------------------------------------------------------------------------


def train(encoder, label_texts, start, seed=0, **params):
    settings = {"n_epochs": 30, "lr": 1e-2, "device": "cpu", "verbose": 0} | params
    with seeded(seed) as rng:
        return train_label_vectors(
            encoder.backbone_, encoder.tokenizer_, label_texts, start, rng=rng, **settings
        )


def cosines(vectors):
    products = unit(vectors) @ unit(vectors).T
    return products[~np.eye(len(vectors), dtype=bool)]


ALIKE = ["area of a circle", "area of the circle", "area of a triangle", "side of a triangle"]


def test_labels_that_read_alike_are_told_apart(tiny):
    before = start(tiny, ALIKE)
    after = train(tiny[2], ALIKE, before)
    assert after.shape == (4, 16)
    assert after.dtype == np.float32
    assert_allclose(np.linalg.norm(after, axis=1), 1, atol=1e-5)
    assert cosines(after).max() < cosines(before).max()
    assert cosines(after).mean() < cosines(before).mean()


def test_more_epochs_go_further(tiny):
    before = start(tiny, ALIKE)
    spread = [cosines(train(tiny[2], ALIKE, before, n_epochs=n)).mean() for n in (1, 10, 60)]
    assert spread[0] > spread[1] > spread[2]


def test_only_a_copy_of_the_backbone_learns(tiny):
    backbone = tiny[2].backbone_
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    flags = [(p.requires_grad, p.grad is None) for p in backbone.parameters()]
    train(tiny[2], LABEL_TEXTS, start(tiny, LABEL_TEXTS))
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
    assert [(p.requires_grad, p.grad is None) for p in backbone.parameters()] == flags


def test_same_seed_same_vectors(tiny):
    before = start(tiny, LABEL_TEXTS)
    first = train(tiny[2], LABEL_TEXTS, before)
    assert_array_equal(train(tiny[2], LABEL_TEXTS, before), first)
    assert not np.array_equal(train(tiny[2], LABEL_TEXTS, before, seed=1), first)


@pytest.mark.parametrize("label_texts", [["one"], ["same", "same"], ["", UNKNOWN, "circle"]])
def test_odd_label_texts(tiny, label_texts):
    Y = tiny[1].toarray()[:, : len(label_texts)]
    vectors = train(tiny[2], label_texts, start(tiny, label_texts, Y), n_epochs=3)
    assert vectors.shape == (len(label_texts), 16)
    assert np.isfinite(vectors).all()


def test_pretrained_backbone(tmp_path):
    save_tiny_bert(tmp_path)
    encoder = RCPTEncoder(str(tmp_path), n_epochs=0).fit(WORDS)
    names = ["area of the circle", "area of the square", "mean of the sample"]
    Y = sp.csr_matrix((len(WORDS), 3), dtype=np.float32)
    ids = ids_of(encoder, WORDS)
    before = start_vectors(encoder.backbone_, encoder.tokenizer_, names, ids, Y, "cpu")
    assert_allclose(before, encoder.transform(names), atol=1e-5)
    after = train(encoder, names, before, n_epochs=40)
    assert cosines(after).mean() < cosines(before).mean() - 0.01
    assert_allclose(encoder.transform(names), before, atol=1e-5)


def test_label_texts_are_shown_as_they_are_learned(tiny, capsys):
    train(tiny[2], LABEL_TEXTS, start(tiny, LABEL_TEXTS), n_epochs=2, verbose=1)
    shown = capsys.readouterr()
    assert "label texts" in shown.err
    assert "label_texts=" in shown.err
    assert shown.out == ""
