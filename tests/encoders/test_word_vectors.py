"""Starting word vectors: latent semantic analysis, compared with a dense decomposition."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import skrr2qc.encoders._word_vectors as word_vectors_module
from skrr2qc.encoders._word_vectors import word_vectors
from skrr2qc.text import train_tokenizer

TEXTS = [
    "area of a circle", "area of a square", "side of a square", "radius of a circle",
    "mean of a sample", "median of a sample", "mean and median", "area area area circle",
]  # fmt: skip


class Quiet(np.random.Generator):
    """Draws as any other generator, but for normal noise, which is 0."""

    def normal(self, *args, size=None, **kwargs):
        return np.zeros(size)


@pytest.fixture
def tokenizer():
    return train_tokenizer(TEXTS, vocab_size=80)


def start(tokenizer, texts, n_features=4, generator=np.random.Generator, seed=0):
    ids, _ = tokenizer.encode(texts)
    return word_vectors(ids, tokenizer, n_features, generator(np.random.PCG64(seed)))


def tfidf_by_hand(tokenizer, texts):
    """Sublinear counts without idf, and idf; rows divided by the length they have with idf."""
    ids, _ = tokenizer.encode(texts)
    counts = np.array([np.bincount(row, minlength=tokenizer.vocab_size) for row in ids], float)
    idf = np.log((1 + len(ids)) / (1 + (counts > 0).sum(axis=0))) + 1
    idf[tokenizer.special_ids] = 0
    sublinear = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0)
    return sublinear / np.linalg.norm(sublinear * idf, axis=1, keepdims=True), idf


def test_weighted_sums_are_latent_semantic_vectors(tokenizer):
    """Up to one factor and a rotation: the inner products of all pairs of texts agree."""
    vectors = start(tokenizer, TEXTS, generator=Quiet).astype(np.float64)
    sublinear, idf = tfidf_by_hand(tokenizer, TEXTS)
    U, s, _ = np.linalg.svd(sublinear * idf, full_matrices=False)
    expected = (U[:, :4] * s[:4]) @ (U[:, :4] * s[:4]).T
    found = (sublinear @ vectors) @ (sublinear @ vectors).T
    factor = np.trace(found) / np.trace(expected)
    assert_allclose(found, factor * expected, atol=1e-5 * factor)


def test_special_tokens_are_nowhere(tokenizer):
    vectors = start(tokenizer, TEXTS)
    assert_array_equal(vectors[tokenizer.special_ids], 0)
    assert vectors.shape == (tokenizer.vocab_size, 4)
    assert vectors.dtype == np.float32


def test_open_directions_hold_small_noise(tokenizer):
    """Two texts open one direction; the others must not be dead, nor loud."""
    vectors = start(tokenizer, TEXTS[:2], n_features=8)
    used = vectors[np.setdiff1d(np.arange(tokenizer.vocab_size), tokenizer.special_ids)]
    spread = np.abs(used[:, 1:]).mean()
    assert 0 < spread < 0.1
    assert (used != 0).all()


@pytest.mark.parametrize("side", ["rows", "columns"])
def test_texts_of_low_rank_are_decomposed_alike_each_time(tokenizer, side):
    """ARPACK filled the directions without variance, loudly, with numbers that no seed ruled."""
    texts = TEXTS[:3] * (4 if side == "rows" else 40)
    vectors = start(tokenizer, texts, n_features=20)
    for _ in range(3):
        assert_array_equal(start(tokenizer, texts, n_features=20), vectors)
    assert tokenizer.vocab_size < 100
    quiet = start(tokenizer, texts, n_features=20, generator=Quiet)
    assert (np.abs(quiet).max(axis=0) > 1e-6).sum() == 3


def test_large_matrices_are_decomposed_to_the_same(tokenizer, monkeypatch):
    """By ARPACK, but for one factor and the signs of the directions."""
    dense = start(tokenizer, TEXTS, generator=Quiet)
    monkeypatch.setattr(word_vectors_module, "_MAX_DENSE", 0)
    sparse = start(tokenizer, TEXTS, generator=Quiet)
    assert_array_equal(start(tokenizer, TEXTS, generator=Quiet), sparse)
    factor = np.linalg.norm(sparse) / np.linalg.norm(dense)
    assert_allclose(np.abs(sparse), factor * np.abs(dense), atol=1e-5)
    assert 0.5 < factor < 2


def test_noise_follows_the_generator(tokenizer):
    assert_array_equal(start(tokenizer, TEXTS), start(tokenizer, TEXTS))
    assert not np.array_equal(start(tokenizer, TEXTS, seed=1), start(tokenizer, TEXTS))


@pytest.mark.parametrize(
    "texts",
    [
        ["area of a circle"],
        ["area of a circle"] * 30,
        [""] * 5,
        ["", "area of a circle", "", "☃☃"],
        ["☃"] * 3,
    ],
)
@pytest.mark.parametrize("n_features", [1, 4, 100])
def test_texts_that_decompose_badly(tokenizer, texts, n_features):
    """One text, equal texts, and texts without a token that is known."""
    vectors = start(tokenizer, texts, n_features)
    assert vectors.shape == (tokenizer.vocab_size, n_features)
    assert np.isfinite(vectors).all()


def test_vocabulary_of_special_tokens_only():
    """Texts without a character divided zero by zero: every vector was NaN."""
    tokenizer = train_tokenizer(["", ""])
    assert tokenizer.vocab_size == len(tokenizer.special_ids)
    assert_array_equal(start(tokenizer, ["", ""]), 0)
