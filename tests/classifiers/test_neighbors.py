"""Nearest training texts of labels, against a loop over labels and texts."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import normalize

import skrr2qc.classifiers._neighbors as module
from skrr2qc.classifiers._neighbors import LabelNeighbors


def make_texts(n_rows=30, n_labels=7, n_dims=4, seed=0):
    """Unit vectors and label sets; some texts have no label, and the last label has no text."""
    rng = np.random.default_rng(seed)
    vectors = normalize(rng.normal(size=(n_rows, n_dims))).astype(np.float32)
    Y = rng.random((n_rows, n_labels)) < 0.2
    Y[:, -1] = Y[0] = False
    return vectors, sp.csr_matrix(Y.astype(np.float32))


def slow_votes(queries, vectors, Y):
    """Log of each label's share of the votes of the nearest 50 texts, over its share of texts."""
    Y, shares = Y.toarray(), np.zeros((len(queries), Y.shape[1]))
    for i, query in enumerate(queries):
        cosines = [float(query @ vector) for vector in vectors]
        voters = sorted(range(len(vectors)), key=lambda n: -cosines[n])[:50]
        votes = {n: np.exp(cosines[n] / 0.1) for n in voters}
        for n, vote in votes.items():
            shares[i] += vote / sum(votes.values()) * Y[n]
    return np.log((shares + 0.003) / (Y.mean(axis=0) + 0.003))


def slow_similarities(queries, vectors, Y):
    nearest = np.zeros((len(queries), Y.shape[1]))
    for i, query in enumerate(queries):
        for j in range(Y.shape[1]):
            for vector, row in zip(vectors, Y.toarray(), strict=True):
                if row[j]:
                    nearest[i, j] = max(nearest[i, j], float(query @ vector))
    return nearest


def test_by_hand():
    vectors = np.float32([[1, 0], [0.6, 0.8], [0, 1]])
    neighbors = LabelNeighbors(vectors, sp.csr_matrix([[1, 0, 0], [0, 1, 0], [1, 1, 0]]))
    similarities = neighbors.similarities(np.float32([[1, 0], [0.8, 0.6], [-1, 0]]))
    expected = [[1, 0.6, 0], [0.8, 0.96, 0], [0, 0, 0]]  # never below 0
    assert_allclose(similarities, expected, rtol=1e-6)
    assert similarities.dtype == np.float32


def test_excess_by_hand():
    """Less what others have on average: label 0 is 0.6 from text 1, label 1 is 0.8 from text 2."""
    vectors = np.float32([[1, 0], [0.6, 0.8], [0.8, 0.6]])
    neighbors = LabelNeighbors(vectors, sp.csr_matrix([[1, 1, 0], [1, 0, 0], [0, 0, 0]]))
    others = [0.96, (0.6 + 0.8) / 2, 0]  # only text 2 has not label 0; nothing has label 2
    assert_allclose(neighbors.typical_, others, rtol=1e-6)
    excess = neighbors.evidence(np.float32([[1, 0], [0, 1]]))["neighbors"]
    assert_allclose(excess, [[1 - 0.96, 1 - 0.7, 0], [0.8 - 0.96, 0 - 0.7, 0]], atol=1e-6)
    assert excess.dtype == np.float32


def test_what_is_typical_equals_slow_loop():
    vectors, Y = make_texts()
    nearest, has_label = slow_similarities(vectors, vectors, Y), Y.toarray() > 0
    expected = [nearest[~has_label[:, j], j].mean() for j in range(Y.shape[1])]
    assert_allclose(LabelNeighbors(vectors, Y).typical_, expected, rtol=1e-5)


def test_label_of_all_texts_has_nothing_typical():
    vectors, Y = make_texts()
    Y = sp.hstack([Y, sp.csr_matrix(np.ones((30, 1)))]).tocsr()
    neighbors = LabelNeighbors(vectors, Y)
    assert neighbors.typical_[-1] == 0
    assert_allclose(neighbors.evidence(vectors)["neighbors"][:, -1], 1, rtol=1e-6)


def test_frequent_label_is_not_ahead_for_being_frequent():
    """A label with many texts has one near to anything."""
    rng = np.random.default_rng(0)
    vectors = normalize(rng.normal(size=(400, 3))).astype(np.float32)
    Y = sp.csr_matrix(np.column_stack([rng.random(400) < 0.5, rng.random(400) < 0.02]))
    neighbors = LabelNeighbors(vectors, Y)
    queries = normalize(rng.normal(size=(300, 3))).astype(np.float32)
    frequent, rare = neighbors.similarities(queries).mean(axis=0)
    assert frequent > rare + 0.1
    assert_allclose(neighbors.evidence(queries)["neighbors"].mean(axis=0), 0, atol=0.05)


def test_nearness_counts_more_for_rare_labels():
    """e times less for ten texts more; a label without a text has no nearness at all."""
    vectors = normalize(np.random.default_rng(0).normal(size=(40, 4))).astype(np.float32)
    counts = [1, 11, 31, 0]
    Y = sp.csr_matrix(np.arange(40)[:, None] < counts)
    found = LabelNeighbors(vectors, Y).evidence(vectors[:7])
    factors = np.exp(np.divide(counts, -10))
    assert_allclose(found["rare_neighbors"], found["neighbors"] * factors, rtol=1e-5)
    assert np.abs(found["rare_neighbors"][:, :3]).min() > 0
    assert_array_equal(found["rare_neighbors"][:, 3], 0)


def test_only_so_many_texts_show_what_is_typical(monkeypatch):
    vectors, Y = make_texts()
    monkeypatch.setattr(module, "_SAMPLE", 3)
    sample = [0, 14, 29]
    nearest, has_label = slow_similarities(vectors[sample], vectors, Y), Y[sample].toarray() > 0
    n_without = np.maximum((~has_label).sum(axis=0), 1)
    expected = (nearest * ~has_label).sum(axis=0) / n_without
    assert_allclose(LabelNeighbors(vectors, Y).typical_, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, sp.csr_array])
def test_equals_slow_loop(form):
    vectors, Y = make_texts()
    queries, _ = make_texts(12, seed=1)
    assert Y.getnnz(axis=0)[-1] == 0
    assert Y.getnnz(axis=1)[0] == 0
    similarities = LabelNeighbors(vectors, form(Y)).similarities(queries)
    expected = slow_similarities(queries, vectors, Y)
    assert_allclose(similarities, expected, atol=1e-6)
    assert ((similarities >= 0) & (similarities <= 1)).all()
    assert (expected > 0).mean() > 0.5


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, sp.csr_array])
@pytest.mark.parametrize("n_rows", [30, 80])
def test_votes_equal_slow_loop(form, n_rows):
    vectors, Y = make_texts(n_rows)
    queries, _ = make_texts(12, seed=1)
    votes = LabelNeighbors(vectors, form(Y)).evidence(queries)["votes"]
    assert_allclose(votes, slow_votes(queries, vectors, Y), rtol=1e-3, atol=1e-4)
    assert votes.dtype == np.float32
    assert_array_equal(votes[:, -1], 0)  # no text has it


def test_texts_that_are_as_near_as_the_last_voter_vote_as_well():
    """Of 120 equal texts, 50 would be any 50."""
    vectors = np.repeat(np.float32([[1, 0], [0, 1]]), [120, 80], axis=0)
    which = np.append(np.repeat(np.arange(4), 30), np.arange(80) % 4)
    Y = sp.csr_matrix(which[:, None] == np.arange(4))
    votes = LabelNeighbors(vectors, Y).evidence(np.float32([[1, 0]]))["votes"]
    assert_allclose(votes, 0, atol=1e-6)


def test_only_the_kinds_that_are_wanted():
    vectors, Y = make_texts()
    neighbors = LabelNeighbors(vectors, Y)
    both = neighbors.evidence(vectors)
    assert list(both) == ["neighbors", "rare_neighbors", "votes"]
    for kind, values in both.items():
        found = neighbors.evidence(vectors, [kind])
        assert list(found) == [kind]
        assert_array_equal(found[kind], values)


@pytest.mark.parametrize("n_entries", [1, 40, 150])
def test_blocks_change_nothing(monkeypatch, n_entries):
    vectors, Y = make_texts()
    queries, _ = make_texts(13, seed=1)
    expected = LabelNeighbors(vectors, Y).evidence(queries)
    monkeypatch.setattr(module, "_MAX_ENTRIES", n_entries)
    found = LabelNeighbors(vectors, Y).evidence(queries)
    for kind, values in expected.items():
        assert_allclose(found[kind], values, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n_rows", [30, 200])
def test_company_leaves_no_trace_in_a_text(n_rows):
    """Bit by bit, whether there are few texts in a block or many."""
    vectors, Y = make_texts(n_rows)
    neighbors, queries = LabelNeighbors(vectors, Y), make_texts(100, seed=1)[0]
    together = neighbors.evidence(queries)
    for rows in (slice(0, 1), slice(0, 100, 3), slice(97, 100)):
        for kind, values in neighbors.evidence(queries[rows]).items():
            assert_array_equal(values, together[kind][rows])


def test_explicit_zeros_are_no_labels():
    vectors, Y = make_texts()
    stored = Y.copy()
    stored.data[::3] = 0
    expected = LabelNeighbors(vectors, sp.csr_matrix(stored.toarray())).evidence(vectors)
    for kind, values in LabelNeighbors(vectors, stored).evidence(vectors).items():
        assert_array_equal(values, expected[kind])


def test_a_training_text_is_its_own_neighbor():
    vectors, Y = make_texts()
    similarities = LabelNeighbors(vectors, Y).similarities(vectors)
    assert_allclose(similarities[Y.toarray() > 0], 1, rtol=1e-6)
    assert (similarities[Y.toarray() == 0] < 1).all()


def test_order_of_training_texts_does_not_matter():
    vectors, Y = make_texts()
    queries, _ = make_texts(5, seed=1)
    shuffled = np.random.default_rng(2).permutation(len(vectors))
    other, neighbors = LabelNeighbors(vectors[shuffled], Y[shuffled]), LabelNeighbors(vectors, Y)
    assert_allclose(other.similarities(queries), neighbors.similarities(queries), rtol=1e-6)
    found, expected = other.evidence(queries), neighbors.evidence(queries)
    for kind, values in expected.items():
        assert_allclose(found[kind], values, rtol=1e-4, atol=1e-5)


def test_labels_without_any_text():
    vectors, Y = make_texts()
    nothing = LabelNeighbors(vectors, sp.csr_matrix(Y.shape))
    assert_array_equal(nothing.similarities(vectors), np.zeros(Y.shape))
    for values in nothing.evidence(vectors).values():
        assert_array_equal(values, np.zeros(Y.shape))


def test_no_text_asked_for():
    vectors, Y = make_texts()
    neighbors = LabelNeighbors(vectors, Y)
    for values in (neighbors.similarities(vectors[:0]), *neighbors.evidence(vectors[:0]).values()):
        assert values.shape == (0, Y.shape[1])


def test_vectors_of_the_caller_stay_as_they_are():
    vectors, Y = make_texts()
    before = vectors.copy()
    LabelNeighbors(vectors, Y).similarities(vectors)
    assert_array_equal(vectors, before)
    assert Y.format == "csr"


def test_memory_does_not_grow_with_texts_without_a_label():
    vectors = np.zeros((20_000, 2), dtype=np.float32)
    Y = sp.csr_matrix(([1.0], ([0], [0])), shape=(len(vectors), 1))
    tracemalloc.start()
    LabelNeighbors(vectors, Y).similarities(vectors[:4000])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 4 * module._MAX_ENTRIES  # all at once are 320 MB
