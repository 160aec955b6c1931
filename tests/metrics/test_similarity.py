"""Similarity of labels."""

from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from skrr2qc.metrics import _topk, label_similarity_report


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("block_size", [7, 2**21])
@pytest.mark.parametrize("threshold", [-0.3, 0.0, 0.8])
def test_equals_a_loop_over_pairs(monkeypatch, storage, block_size, threshold):
    monkeypatch.setattr(_topk, "BLOCK_SIZE", block_size)
    vectors = np.random.default_rng(0).normal(size=(12, 3))
    cosines = [a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) for a, b in combinations(vectors, 2)]
    report = label_similarity_report(storage(vectors), threshold)
    assert report["n_pairs"] == len(cosines)
    assert_allclose(report["mean"], np.mean(cosines), rtol=1e-9)
    assert_allclose(report["std"], np.std(cosines), rtol=1e-12)
    assert_allclose(report["variance"], np.var(cosines), rtol=1e-12)
    assert_allclose(report["share_above"], np.mean(np.array(cosines) > threshold), rtol=1e-12)


def test_length_does_not_matter_and_float32_is_accepted():
    vectors = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    scaled = vectors.astype(float) * np.arange(1, 7)[:, None]
    expected = label_similarity_report(vectors)
    for name, value in label_similarity_report(scaled).items():
        assert_allclose(value, expected[name], rtol=1e-9)


def test_identical_and_orthogonal_labels():
    report = label_similarity_report(np.ones((4, 5)))
    assert_allclose([report["mean"], report["share_above"]], 1.0)
    assert_allclose(report["std"], 0.0, atol=1e-12)
    report = label_similarity_report(np.eye(4))
    assert_allclose([report["mean"], report["std"], report["share_above"]], 0.0, atol=1e-15)


@pytest.mark.parametrize(
    ("embeddings", "threshold", "message"),
    [
        (np.ones((1, 3)), 0.8, r"at least two rows, one per label, got shape \(1, 3\)"),
        ([[1.0, 0.0], [0.0, 0.0]], 0.8, "length 0.0 in row 1"),
        ([[1.0, 0.0], [np.inf, 0.0]], 0.8, "length inf in row 1"),
        (sparse.csr_array([[1.0, 0.0], [0.0, 0.0]]), 0.8, "length 0.0 in row 1"),
        ([[1.0, 0.0], [np.nan, 0.0]], 0.8, "`embeddings` must not contain NaN"),
        (np.ones(3), 0.8, "`embeddings` must have two dimensions"),
        (np.eye(3), 1.5, r"`threshold` must be a finite number >= -1 and <= 1, got 1.5"),
    ],
)
def test_invalid_input(embeddings, threshold, message):
    with pytest.raises(ValueError, match=message):
        label_similarity_report(embeddings, threshold)
