"""Alignment, uniformity and the order of similarities by hierarchical rank."""

import warnings
from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.metrics import roc_auc_score

from skrr2qc.hierarchy import distance_ranks, label_distances, label_set_distances
from skrr2qc.metrics import (
    _topk,
    alignment,
    rank_order_accuracy,
    rank_similarity_profile,
    uniformity,
)
from skrr2qc.metrics._embeddings import unit_rows


@pytest.fixture(params=[7, 2**21], ids=["small blocks", "one block"])
def block_size(monkeypatch, request):
    monkeypatch.setattr(_topk, "BLOCK_SIZE", request.param)


def draw(seed, n=15, d=4, n_labels=5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), (rng.random((n, n_labels)) < 0.3).astype(int)


def unit(vectors):
    return [row / np.linalg.norm(row) for row in vectors]


# ----------------------------------------------------------------- alignment and uniformity


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array, sparse.csr_matrix])
@pytest.mark.parametrize("alpha", [0.5, 1, 2.0, 3.0])
@pytest.mark.usefixtures("block_size")
def test_alignment_equals_a_loop_over_pairs(storage, alpha):
    vectors, Y = draw(0)
    pairs = [(i, j) for i, j in combinations(range(len(Y)), 2) if (Y[i] & Y[j]).any()]
    points = unit(vectors)
    expected = np.mean([np.linalg.norm(points[i] - points[j]) ** alpha for i, j in pairs])
    assert 0 < len(pairs) < 15 * 14 / 2
    assert_allclose(alignment(storage(vectors), storage(Y), alpha), expected, rtol=1e-12)


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("t", [0.5, 2, 10.0])
@pytest.mark.usefixtures("block_size")
def test_uniformity_equals_a_loop_over_pairs(storage, t):
    vectors, _ = draw(1)
    potentials = [np.exp(-t * np.sum((a - b) ** 2)) for a, b in combinations(unit(vectors), 2)]
    assert_allclose(uniformity(storage(vectors), t), np.log(np.mean(potentials)), rtol=1e-12)


def test_alignment_by_hand():
    vectors, Y = [[2.0, 0.0], [0.0, 1.0], [-3.0, 0.0]], [[1, 0], [1, 1], [0, 1]]
    assert_allclose(alignment(vectors, Y), 2.0)  # two right angles; texts 0 and 2 share nothing
    assert_allclose(alignment(vectors, Y, alpha=1), np.sqrt(2))
    assert_allclose(alignment(vectors, [[1], [0], [1]]), 4.0)  # opposite
    assert_allclose(alignment([[1.0, 2.0], [2.0, 4.0]], [[1, 1], [1, 1]]), 0.0, atol=1e-15)


def test_uniformity_by_hand():
    assert_allclose(uniformity(np.ones((3, 2))), 0.0, atol=1e-15)
    triangle = [[1.0, 0.0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]]
    assert_allclose(uniformity(triangle, t=1.0), -3.0)  # sides of length sqrt(3)
    assert_allclose(uniformity([[1, 0], [1, 0], [-1, 0]]), np.log((1 + 2 * np.exp(-8.0)) / 3))


def test_sharp_potentials_do_not_underflow():
    assert_allclose(uniformity([[1.0, 0.0], [-1.0, 0.0]], t=1e4), -4e4)


def test_length_and_order_of_texts_do_not_matter():
    vectors, Y = draw(2)
    scaled = vectors * np.arange(1, 16)[:, None]
    order = np.random.default_rng(3).permutation(15)
    assert_allclose(alignment(scaled[order], Y[order]), alignment(vectors, Y), rtol=1e-12)
    assert_allclose(uniformity(scaled[order]), uniformity(vectors), rtol=1e-12)
    floats = vectors.astype(np.float32)
    assert_allclose(uniformity(floats), uniformity(floats.astype(float)), rtol=1e-12)


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array])
def test_rows_of_zeros_are_left_out(storage):
    vectors, Y = draw(4)
    vectors[[0, 7]] = 0.0
    kept = np.delete(np.arange(15), [0, 7])
    with pytest.warns(UserWarning, match="2 of 15 embeddings are zero"):
        value = alignment(storage(vectors), Y)
    assert_allclose(value, alignment(vectors[kept], Y[kept]), rtol=1e-12)
    with pytest.warns(UserWarning, match="2 of 15 embeddings are zero"):
        value = uniformity(storage(vectors))
    assert_allclose(value, uniformity(vectors[kept]), rtol=1e-12)


def test_arguments_are_not_changed():
    vectors, Y = draw(5)
    before = vectors.copy(), Y.copy()
    alignment(vectors, Y)
    uniformity(vectors)
    unit_rows(vectors)
    assert_array_equal(vectors, before[0])
    assert_array_equal(Y, before[1])


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array])
def test_unit_rows(storage):
    rows, nonzero = unit_rows(storage([[3, 4], [0, 0], [0, -2]]))
    rows = rows.toarray() if sparse.issparse(rows) else rows
    assert_allclose(rows, [[0.6, 0.8], [0.0, 0.0], [0.0, -1.0]])
    assert_array_equal(nonzero, [True, False, True])


@pytest.mark.parametrize(
    ("embeddings", "Y", "alpha", "error", "message"),
    [
        (np.eye(3), np.eye(3), 2.0, ValueError, "none among 3 texts and 3 labels"),
        (np.eye(3), np.zeros((3, 2)), 2.0, ValueError, "two texts that share a label"),
        (np.eye(3), np.ones((2, 2)), 2.0, ValueError, "one row per text, got 3 and 2 rows"),
        (np.eye(2), np.ones((2, 1)), 0.0, ValueError, "`alpha` must be a finite number > 0"),
        (np.eye(2), np.ones((2, 1)), np.inf, ValueError, "`alpha` must be a finite number > 0"),
        (np.eye(2), np.ones((2, 1)), "2", TypeError, "`alpha` must be a number, got '2'"),
        (np.eye(2), np.full((2, 1), 2), 2.0, ValueError, "`Y` must hold only 0 and 1"),
        ([[1, np.inf], [1, 0]], np.ones((2, 1)), 2.0, ValueError, "length inf in row 0"),
        ([[1, np.nan], [1, 0]], np.ones((2, 1)), 2.0, ValueError, "must not contain NaN"),
        (np.ones(2), np.ones((2, 1)), 2.0, ValueError, "`embeddings` must have two dimensions"),
    ],
)
def test_alignment_invalid_input(embeddings, Y, alpha, error, message):
    with pytest.raises(error, match=message):
        alignment(embeddings, Y, alpha)


@pytest.mark.parametrize(
    ("embeddings", "t", "error", "message"),
    [
        (np.ones((1, 2)), 2.0, ValueError, "at least two nonzero rows, got 1"),
        (np.empty((0, 2)), 2.0, ValueError, "at least two nonzero rows, got 0"),
        (np.eye(2), -1, ValueError, "`t` must be a finite number > 0, got -1"),
        (np.eye(2), True, TypeError, "`t` must be a number, got True"),
        ([["a"], ["b"]], 2.0, TypeError, "`embeddings` must hold real numbers"),
    ],
)
def test_uniformity_invalid_input(embeddings, t, error, message):
    with pytest.raises(error, match=message):
        uniformity(embeddings, t)


# ------------------------------------------------------------------------------ order by rank


def loop_accuracy(similarities, ranks):
    shares = []
    for values, levels in zip(similarities, ranks, strict=True):
        points = [
            1.0 if near > far else 0.5 if near == far else 0.0
            for near, near_rank in zip(values, levels, strict=True)
            for far, far_rank in zip(values, levels, strict=True)
            if 0 <= near_rank < far_rank
        ]
        if points:
            shares.append(np.mean(points))
    return np.mean(shares)


def draw_ranks(seed, *, ties, shape=(9, 13), n_ranks=5):
    rng = np.random.default_rng(seed)
    values = rng.integers(-2, 3, size=shape) / 2 if ties else rng.normal(size=shape)
    ranks = rng.integers(-1, n_ranks, size=shape) * 3
    ranks[ranks < 0] = -1
    ranks[2] = -1  # an anchor without pairs
    ranks[4] = 6  # an anchor with one rank only
    return values, ranks


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.usefixtures("block_size")
def test_accuracy_equals_loops(seed, ties):
    values, ranks = draw_ranks(seed, ties=ties)
    expected = loop_accuracy(values, ranks)
    assert_allclose(rank_order_accuracy(values, ranks), expected, rtol=1e-12)
    floats = values.astype(np.float32)
    assert_allclose(
        rank_order_accuracy(floats, ranks.astype(np.int8)), loop_accuracy(floats, ranks), rtol=1e-12
    )


def test_two_ranks_are_the_area_under_the_roc_curve():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 20, size=(6, 40)) / 20
    ranks = rng.integers(0, 2, size=values.shape)
    areas = [roc_auc_score(1 - r, v) for r, v in zip(ranks, values, strict=True)]
    assert_allclose(rank_order_accuracy(values, ranks), np.mean(areas), rtol=1e-12)


def test_accuracy_by_hand():
    ranks = np.array([[0, 2, 2, 4]])
    assert rank_order_accuracy([[0.9, 0.5, 0.6, 0.1]], ranks) == 1.0
    assert rank_order_accuracy([[0.1, 0.5, 0.6, 0.9]], ranks) == 0.0
    assert rank_order_accuracy([[0.3, 0.3, 0.3, 0.3]], ranks) == 0.5
    # Five pairs differ in rank: of text 0 with 1, 2 and 3; of texts 1 and 2 with 3.
    assert_allclose(rank_order_accuracy([[0.5, 0.7, 0.5, 0.1]], ranks), (0 + 0.5 + 1 + 1 + 1) / 5)


def test_anchors_weigh_the_same():
    values = np.array([[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
    ranks = np.array([[0, 1, 2, 3], [0, 1, -1, -1]])  # six pairs right, one wrong
    assert rank_order_accuracy(values, ranks) == 0.5


def test_what_is_left_out_has_no_effect():
    values, ranks = draw_ranks(7, ties=False)
    changed = np.where(ranks < 0, 99.0, values)
    assert rank_order_accuracy(changed, ranks) == rank_order_accuracy(values, ranks)
    for first, second in zip(
        rank_similarity_profile(changed, ranks), rank_similarity_profile(values, ranks), strict=True
    ):
        assert_array_equal(first, second)


def test_with_the_ranks_of_a_hierarchy():
    """Similarities that fall with the distance are in perfect order; nothing else is assumed."""
    parents = [[], [], [0], [0], [1], [2], [2]]
    Y = np.eye(7, dtype=int)[[3, 4, 5, 6, 6]]
    khd = label_set_distances(Y, Y, label_distances(parents), max_depth=3)
    ranks = distance_ranks(khd)
    np.fill_diagonal(ranks, -1)
    assert rank_order_accuracy(-khd, ranks) == 1.0
    assert rank_order_accuracy(khd, ranks) == 0.0
    distinct, means, _, counts = rank_similarity_profile(-khd, ranks)
    assert_array_equal(distinct, np.unique(ranks[ranks >= 0]))
    assert_allclose(means, -distinct)
    assert counts.sum() == 5 * 4


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("block_size")
def test_profile_equals_a_loop_over_ranks(seed):
    values, ranks = draw_ranks(seed, ties=False)
    distinct, means, stds, counts = rank_similarity_profile(values, ranks)
    assert_array_equal(distinct, sorted(set(ranks.ravel().tolist()) - {-1}))
    for place, rank in enumerate(distinct):
        chosen = values[ranks == rank]
        assert_allclose(means[place], chosen.mean(), rtol=1e-12, atol=1e-15)
        assert_allclose(stds[place], chosen.std(), rtol=1e-12)
        assert counts[place] == chosen.size


def test_profile_keeps_large_unsigned_ranks():
    ranks = np.array([[2**60 + 1, 2**60]], dtype=np.uint64)
    distinct, means, _, _ = rank_similarity_profile([[0.25, 0.75]], ranks)
    assert distinct.tolist() == [2**60, 2**60 + 1]
    assert means.tolist() == [0.75, 0.25]


@pytest.mark.parametrize("function", [rank_order_accuracy, rank_similarity_profile])
@pytest.mark.parametrize(
    ("similarities", "ranks", "error", "message"),
    [
        ([[1.0, 2.0]], [[0, 1, 2]], ValueError, r"same shape .* got \(1, 2\) and \(1, 3\)"),
        ([[1.0, 2.0]], [[0.0, 1.0]], TypeError, r"integers, got dtype float64. distance_ranks"),
        ([[1.0, 2.0]], [[0, -2]], ValueError, "-1 to leave a pair out, got -2"),
        ([[1.0, np.nan]], [[0, 1]], ValueError, "`similarities` must not contain NaN"),
        ([[1.0, np.inf]], [[0, 1]], ValueError, "`similarities` must be finite"),
        ([1.0, 2.0], [0, 1], ValueError, "`similarities` must have two dimensions"),
        (sparse.csr_array([[1.0, 2.0]]), [[0, 1]], TypeError, "must be dense"),
        ([[1.0, 2.0]], [[-1, -1]], ValueError, "`ranks` must hold"),
        (np.empty((0, 3)), np.empty((0, 3), dtype=int), ValueError, "`ranks` must hold"),
        (np.empty((3, 0)), np.empty((3, 0), dtype=int), ValueError, "`ranks` must hold"),
    ],
)
def test_ranks_invalid_input(function, similarities, ranks, error, message):
    with pytest.raises(error, match=message):
        function(similarities, ranks)


def test_accuracy_needs_two_ranks_at_one_anchor():
    with pytest.raises(ValueError, match="two different ranks .* none among 2 anchors"):
        rank_order_accuracy(np.ones((2, 3)), [[0, 0, -1], [2, 2, 2]])


def test_nothing_warns_on_ordinary_input():
    vectors, Y = draw(6)
    values, ranks = draw_ranks(0, ties=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alignment(vectors, Y)
        uniformity(vectors)
        rank_order_accuracy(values, ranks)
        rank_similarity_profile(values, ranks)


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_directions_of_any_length(size):
    """Squares of small numbers vanished, and the text was left out; of large ones overflew."""
    embeddings = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    for kind in (np.array, sparse.csr_array):
        assert_allclose(uniformity(kind(embeddings * size)), uniformity(embeddings))


def test_parameters_beyond_floats():
    """The result was infinite."""
    with pytest.raises(ValueError, match="`alpha` must be a finite number > 0 and <= 1000"):
        alignment(np.array([[1.0, 0.0], [-1.0, 0.0]]), [[1], [1]], alpha=5000)
    with pytest.raises(ValueError, match=r"`similarities` must be finite, and up to 1e\+100"):
        rank_similarity_profile(np.full((1, 3), 1e300), np.zeros((1, 3), dtype=int))
