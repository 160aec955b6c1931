"""Best labels in bounded memory: equal to what dense scores give, whatever the blocks."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from skrr2qc.classifiers._sparse_scores import (
    BLOCK_BYTES,
    block_rows,
    score_blocks,
    topk_arrays,
    topk_csr,
)
from skrr2qc.metrics import ndcg_at_k, top_k


def draw(seed, *, ties=False, shape=(23, 11)):
    scores = np.random.default_rng(seed).random(shape).astype(np.float32)
    return np.round(scores, 1) if ties else scores


@pytest.mark.parametrize("block", [None, 1, 5, 23, 100])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("k", [1, 4, 11])
def test_rows_hold_the_best_scores(k, ties, block):
    dense = draw(0, ties=ties)
    scores = topk_csr(lambda rows: dense[rows], *dense.shape, k, block)
    assert isinstance(scores, sp.csr_matrix)
    assert scores.dtype == np.float32
    assert scores.has_sorted_indices
    assert_array_equal(np.diff(scores.indptr), k)
    best = top_k(dense, k)
    expected = np.full(dense.shape, -1, dtype=np.float32)
    np.put_along_axis(expected, best, np.take_along_axis(dense, best, axis=1), axis=1)
    found = np.full(dense.shape, -1, dtype=np.float32)
    found[np.repeat(np.arange(len(dense)), k), scores.indices] = scores.data
    assert_array_equal(found, expected)
    assert_array_equal(top_k(scores, k), best)


def test_best_first_with_their_scores():
    dense = draw(1, ties=True)
    labels, scores = topk_arrays(lambda rows: dense[rows], *dense.shape, 3, block=4)
    assert_array_equal(labels, top_k(dense, 3))
    assert_array_equal(scores, np.take_along_axis(dense, labels, axis=1))
    assert scores.dtype == np.float32


def test_zero_scores_are_stored_and_infinitely_low_ones_are_not():
    dense = np.array([[0.5, 0.0, 0.0], [-np.inf, 0.25, -np.inf]])
    scores = topk_csr(lambda rows: dense[rows], 2, 3, 2)
    assert_array_equal(scores.indptr, [0, 2, 3])
    assert_array_equal(scores.indices, [0, 1, 1])
    assert_array_equal(scores.data, [0.5, 0.0, 0.25])


def test_metrics_at_k_are_those_of_dense_scores():
    dense, Y = draw(2), np.random.default_rng(0).integers(2, size=(23, 11))
    scores = topk_csr(lambda rows: dense[rows], *dense.shape, 5)
    assert ndcg_at_k(Y, scores, 5) == ndcg_at_k(Y, dense, 5)


@pytest.mark.parametrize("n_labels", [1, 28, 1024, 4271, 10**6, 10**9])
def test_a_block_of_scores_keeps_to_its_bytes(n_labels):
    n_rows = block_rows(n_labels)
    assert 1 <= n_rows <= 16384
    assert n_rows * n_labels * 4 <= BLOCK_BYTES or n_rows == 1


def test_every_text_is_scored_once_in_order():
    seen = []

    def score(rows):
        seen.append(rows)
        return np.zeros((rows.stop - rows.start, 4271), dtype=np.float32)

    assert topk_csr(score, 10_000, 4271, 5).shape == (10_000, 4271)
    assert [r.start for r in seen] == [0, *(r.stop for r in seen[:-1])]
    assert seen[-1].stop == 10_000
    assert max(r.stop - r.start for r in seen) == block_rows(4271)


def test_no_texts():
    assert topk_csr(lambda rows: 1 / 0, 0, 7, 3).shape == (0, 7)


@pytest.mark.parametrize(
    "k, error, message",
    [
        (8, ValueError, r"`top_k` == 8, must be <= 7, the number of labels\. Pass top_k=7"),
        (0, ValueError, "`top_k` == 0, must be >= 1"),
        (2.0, TypeError, "`top_k` must be an integer, got 2.0"),
    ],
)
def test_wrong_top_k_is_refused_before_scoring(k, error, message):
    with pytest.raises(error, match=message):
        topk_csr(lambda rows: 1 / 0, 3, 7, k)


def test_wrong_block_and_wrong_scores():
    with pytest.raises(ValueError, match="`block` == 0, must be >= 1"):
        list(score_blocks(lambda rows: 1 / 0, 3, 7, block=0))
    message = r"shape \(2, 7\) for the texts 2 to 3, got \(2, 6\)"
    with pytest.raises(ValueError, match=message):
        list(score_blocks(lambda rows: np.zeros((2, 7 - rows.start // 2)), 4, 7, block=2))
