"""LabelGeometry: equal to skrr2qc.hierarchy and to the loops, on any device, in little memory."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skrr2qc.hierarchy import distance_ranks, label_distances, label_set_distances, node_depths
from skrr2qc.modules import LabelGeometry
from skrr2qc.modules._label_geometry import SparseRows
from tests.reference import ranking as reference
from tests.reference.golden import golden_cases

KINDS = {"tree": 1, "dag": 3, "flat": 0}  # parents a node has at most
FORMS = ["cos01", "jaccard", "dot_clamped"]
N_TEXTS, N_LABELS, N_FEATURES = 40, 18, 5


def golden(component):
    return pytest.mark.parametrize("case", golden_cases(component), ids=lambda case: case["id"])


def csr(Y):
    return sp.csr_matrix(np.asarray(Y, dtype=np.float32))


def random_hierarchy(kind, rng):
    """Distances of labels, and the depth of the deepest one."""
    parents = [
        rng.choice(i, size=min(i, rng.integers(KINDS[kind] + 1)), replace=False).tolist()
        for i in range(N_LABELS)
    ]
    return label_distances(parents), int(node_depths(parents).max())


def random_label_sets(rng):
    """Sets of all sizes; the first two are empty."""
    Y = rng.random((N_TEXTS, N_LABELS)) < rng.choice([0.05, 0.1, 0.4], size=(N_TEXTS, 1))
    Y[:2] = False
    return Y.astype(int)


@pytest.fixture(params=[(kind, seed) for kind in KINDS for seed in range(3)], ids=str)
def case(request):
    """Label sets, distances, depth, and the numbers of the texts of a batch and of a bank."""
    kind, seed = request.param
    rng = np.random.default_rng(seed)
    distances, depth = random_hierarchy(kind, rng)
    rows = rng.choice(N_TEXTS, size=9)
    rows[:2] = 0, 5
    bank = rng.choice(N_TEXTS, size=31)  # some twice
    bank[:3] = 0, 1, 5
    return random_label_sets(rng), distances, depth, rows, bank


def ranks_of(geometry, rows, bank):
    ranks, n_shared = geometry.ranks(torch.as_tensor(rows), torch.as_tensor(bank))
    assert ranks.dtype == torch.int64
    return ranks.numpy(), n_shared.numpy()


def closeness_of(geometry, rows, bank):
    rows, bank = torch.as_tensor(rows), torch.as_tensor(bank)
    _, n_shared = geometry.ranks(rows, bank)
    return geometry.closeness(
        rows, bank, n_shared, geometry.mean_vectors(rows), geometry.mean_vectors(bank)
    )


def are_labelled(Y, rows, bank):
    """Pairs of texts that both have a label."""
    return np.outer(Y[rows].any(axis=1), Y[bank].any(axis=1))


def slow_distances(Y, rows, bank, distances, depth, reduction):
    sets = [np.flatnonzero(labels).tolist() for labels in Y]
    return np.array(
        [
            [reference.set_distance(sets[i], sets[j], distances, depth, reduction) for j in bank]
            for i in rows
        ],
        dtype=float,
    )


# -------------------------------------------------------------------------------------- ranks


@golden("label_distance")
def test_golden_label_distances(case):
    """Ranks of single labels are their distances."""
    distances = np.array(case["expected"]["D"], dtype=np.int16)
    geometry = LabelGeometry(csr(np.eye(len(distances))), distances, int(distances.max()))
    everything = np.arange(len(distances))
    assert_array_equal(ranks_of(geometry, everything, everything)[0], distances)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@golden("khd")
def test_golden_ranks(case, reduction):
    inputs, expected = case["inputs"], case["expected"]
    Y, max_rank = csr(inputs["Y"]), 2 * inputs["H"]
    distances = label_distances(inputs["parents"])
    geometry = LabelGeometry(Y, distances, max_rank, "none", reduction=reduction)
    everything = np.arange(Y.shape[0])
    ranks, _ = ranks_of(geometry, everything, everything)
    if reduction == "mean":
        assert_array_equal(ranks, expected["ranks_ceil"])
    elif "khd_sum_variant" in expected:
        assert_array_equal(ranks, np.minimum(expected["khd_sum_variant"], max_rank))


def test_ranks_equal_those_of_the_hierarchy(case):
    Y, distances, depth, rows, bank = case
    geometry = LabelGeometry(csr(Y), distances, 2 * depth, "none")
    ranks, n_shared = ranks_of(geometry, rows, bank)
    expected = distance_ranks(label_set_distances(Y[rows], Y[bank], distances, depth))
    is_pair = are_labelled(Y, rows, bank)
    assert_array_equal(ranks[is_pair], expected[is_pair])
    assert_array_equal(n_shared, Y[rows] @ Y[bank].T)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_texts_without_a_label_are_farthest_from_all(case, reduction):
    """Even from each other, as in hierarchy; they would pass for sharing a label otherwise."""
    Y, distances, depth, rows, bank = case
    geometry = LabelGeometry(csr(Y), distances, 2 * depth, "none", reduction=reduction)
    ranks, _ = ranks_of(geometry, rows, bank)
    is_pair = are_labelled(Y, rows, bank)
    assert not is_pair.all()
    assert (ranks[~is_pair] == 2 * depth).all()


def test_sums_of_distances(case):
    Y, distances, depth, rows, bank = case
    geometry = LabelGeometry(csr(Y), distances, 10_000, "none", reduction="sum")
    ranks, _ = ranks_of(geometry, rows, bank)
    is_pair = are_labelled(Y, rows, bank)
    expected = slow_distances(Y, rows, bank, distances, depth, "sum")
    assert_array_equal(ranks[is_pair], expected[is_pair])


def test_ranks_are_symmetric_and_0_for_shared_labels_alone(case):
    Y, distances, depth, *_ = case
    everything = np.arange(N_TEXTS)
    ranks, n_shared = ranks_of(
        LabelGeometry(csr(Y), distances, 2 * depth, "none"), everything, everything
    )
    is_pair = are_labelled(Y, everything, everything)
    assert_array_equal(ranks, ranks.T)
    assert_array_equal((ranks == 0)[is_pair], (n_shared > 0)[is_pair])
    assert ranks.max() <= 2 * depth


def test_order_of_labels_does_not_matter(case):
    Y, distances, depth, rows, bank = case
    order = np.random.default_rng(0).permutation(N_LABELS)
    geometry = LabelGeometry(csr(Y), distances, 2 * depth, "none")
    other = LabelGeometry(csr(Y[:, order]), distances[np.ix_(order, order)], 2 * depth, "none")
    for found, expected in zip(
        ranks_of(other, rows, bank), ranks_of(geometry, rows, bank), strict=True
    ):
        assert_array_equal(found, expected)


@pytest.mark.parametrize("max_rank", [1, 2, 3])
def test_farther_than_the_farthest_rank_counts_as_farthest(case, max_rank):
    Y, distances, depth, rows, bank = case
    geometry = LabelGeometry(csr(Y), distances, max_rank, "none")
    assert geometry.max_rank == max_rank
    expected = distance_ranks(label_set_distances(Y[rows], Y[bank], distances, depth))
    is_pair = are_labelled(Y, rows, bank)
    ranks, _ = ranks_of(geometry, rows, bank)
    assert_array_equal(ranks[is_pair], np.minimum(expected, max_rank)[is_pair])


def test_large_sets_are_told_apart():
    """One pair of 3,600 is a step farther: the mean lies just above a whole number."""
    n_each = 60
    distances = np.full((2 * n_each, 2 * n_each), 2)
    sets = np.repeat(np.eye(2), n_each, axis=1)
    assert ranks_of(LabelGeometry(csr(sets), distances, 4, "none"), [0], [1])[0] == 2
    distances[0, -1] = distances[-1, 0] = 3
    assert ranks_of(LabelGeometry(csr(sets), distances, 4, "none"), [0], [1])[0] == 3


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_levels_rank_by_position(case, reduction):
    Y, distances, depth, rows, bank = case
    is_labelled = Y.any(axis=1)
    rows, bank = rows[is_labelled[rows]], bank[is_labelled[bank]]
    khd = slow_distances(Y, rows, bank, distances, depth, reduction)
    levels, positions = np.unique(np.round(np.append(khd, 0.0), 4), return_inverse=True)
    geometry = LabelGeometry(
        csr(Y), distances, len(levels) - 1, "none", reduction=reduction, levels=levels
    )
    assert geometry.max_rank == len(levels) - 1
    assert_array_equal(ranks_of(geometry, rows, bank)[0], positions[:-1].reshape(khd.shape))


def test_distances_between_levels_and_beyond_them():
    """A distance that was not seen takes the rank of the next level, or the farthest."""
    distances = np.array([[0, 1, 2, 4], [1, 0, 2, 4], [2, 2, 0, 4], [4, 4, 4, 0]])
    geometry = LabelGeometry(csr(np.eye(4)), distances, 2, "none", levels=[0.0, 1.0, 3.0])
    assert geometry.max_rank == 2
    assert ranks_of(geometry, [0], [0, 1, 2, 3])[0].tolist() == [[0, 1, 2, 2]]


def test_levels_are_cut_at_the_farthest_rank():
    """All levels were ranks, however few of them the released code's threshold keeps."""
    distances = 2 * np.abs(np.arange(5)[:, None] - np.arange(5))
    geometry = LabelGeometry(csr(np.eye(5)), distances, 2, "none", levels=[0.0, 2, 4, 6, 8])
    assert geometry.max_rank == 2
    assert ranks_of(geometry, [0], range(5))[0].tolist() == [[0, 1, 2, 2, 2]]


@pytest.mark.parametrize(("n_rows", "n_bank"), [(3, 0), (1, 1)])
def test_few_texts(n_rows, n_bank):
    geometry = LabelGeometry(csr(np.eye(5)), label_distances([[]] * 5), 2, "jaccard")
    ranks, n_shared = ranks_of(geometry, np.arange(n_rows), np.arange(n_bank))
    assert ranks.shape == n_shared.shape == (n_rows, n_bank)
    assert closeness_of(geometry, np.arange(n_rows), np.arange(n_bank)).shape == (n_rows, n_bank)


# ---------------------------------------------------------------------------------- closeness


@golden("label_group_weight")
def test_golden_closeness(case):
    inputs, expected = case["inputs"], case["expected"]
    n_anchors = len(inputs["Y_anchor"])
    Y = csr(inputs["Y_anchor"] + inputs["Y_other"])
    rows, bank = np.arange(n_anchors), np.arange(n_anchors, Y.shape[0])
    distances = 2 * (1 - np.eye(Y.shape[1], dtype=np.int16))
    names = {"dot_clamped": "dot_literal", "cos01": "cos01", "jaccard": "jaccard"}
    n_compared = 0
    for form, name in names.items():
        geometry = LabelGeometry(Y, distances, 2, form, np.array(inputs["E"]))
        found = closeness_of(geometry, rows, bank).numpy()
        for key, values in ((name, found), (f"{name}_diag", found.diagonal())):
            if key in expected:
                assert_allclose(values, np.clip(expected[key], 1e-6, 1.0), rtol=1e-5)
                n_compared += 1
    assert n_compared >= 2


@pytest.mark.parametrize("form", FORMS)
def test_closeness_equals_the_equation(case, form):
    Y, distances, depth, rows, bank = case
    vectors = np.random.default_rng(0).normal(size=(N_LABELS, N_FEATURES))
    geometry = LabelGeometry(csr(Y), distances, 2 * depth, form, vectors)
    found = closeness_of(geometry, rows, bank).numpy()
    assert found.shape == (len(rows), len(bank))
    assert found.min() >= 0.999e-6
    assert found.max() <= 1.0
    sets = [np.flatnonzero(labels).tolist() for labels in Y]
    for i, row in enumerate(rows):
        for j, other in enumerate(bank):
            if sets[row] and sets[other]:
                expected = reference.closeness(sets[row], sets[other], vectors.tolist(), form)
                assert_allclose(found[i, j], np.clip(expected, 1e-6, 1.0), rtol=1e-4, atol=1e-6)


def test_closeness_none_weighs_all_alike(case):
    Y, distances, depth, rows, bank = case
    assert closeness_of(LabelGeometry(csr(Y), distances, 2 * depth, "none"), rows, bank) is None


def test_labels_without_a_vector_are_neither_close_nor_far():
    vectors = np.array([[1.0, 0.0], [0.0, 0.0]])
    geometry = LabelGeometry(csr(np.eye(2)), label_distances([[], []]), 2, "cos01", vectors)
    assert_allclose(closeness_of(geometry, [0], [0, 1]), [[1.0, 0.5]])


def test_mean_vectors_and_labelled_texts(case):
    Y, distances, depth, rows, _ = case
    vectors = np.random.default_rng(0).normal(size=(N_LABELS, N_FEATURES))
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = Y[rows] @ units / np.maximum(Y[rows].sum(axis=1), 1)[:, None]
    geometry = LabelGeometry(csr(Y), distances, 2 * depth, "cos01", vectors)
    assert_allclose(geometry.mean_vectors(torch.from_numpy(rows)), expected, atol=1e-6)
    assert_array_equal(geometry.has_labels(torch.from_numpy(rows)), Y[rows].any(axis=1))


# ---------------------------------------------------------------------- rows, memory, devices


def test_sparse_rows():
    rng = np.random.default_rng(0)
    dense = np.where(rng.random((7, 6)) < 0.4, rng.normal(size=(7, 6)), 0.0).astype(np.float32)
    dense[3] = 0.0
    matrix = SparseRows(sp.csr_matrix(dense))
    rows = torch.tensor([5, 3, 0, 5])
    table = torch.from_numpy(rng.normal(size=(6, 2)))
    assert_array_equal(matrix.dense(rows), dense[rows])
    assert_array_equal(matrix.counts(rows), np.count_nonzero(dense[rows], axis=1))
    assert_allclose(matrix.combine(rows, table), dense[rows] @ table.numpy(), rtol=1e-5)
    owners, columns, values = matrix.entries(rows)
    rebuilt = np.zeros((4, 6), dtype=np.float32)
    rebuilt[owners, columns] = values
    assert_array_equal(rebuilt, dense[rows])
    assert matrix.combine(rows[:0], table).shape == (0, 2)


class LargestTensor(TorchDispatchMode):
    """Number of elements of the largest tensor that any operation returns."""

    n_elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        sizes = [x.numel() for x in tree_leaves(out) if isinstance(x, torch.Tensor)]
        self.n_elements = max([self.n_elements, *sizes])
        return out


def test_nothing_of_batch_by_bank_by_labels_is_made():
    n_batch, n_bank, n_labels, n_each = 8, 100, 300, 3
    rng = np.random.default_rng(0)
    Y = np.zeros((n_bank, n_labels))
    for row in Y:
        row[rng.choice(n_labels, n_each, replace=False)] = 1
    distances = label_distances([[]] * n_labels)
    geometry = LabelGeometry(csr(Y), distances, 2, "cos01", rng.normal(size=(n_labels, 4)))
    with LargestTensor() as largest:
        closeness_of(geometry, np.arange(n_batch), np.arange(n_bank))
    entries_of_batch, entries_of_bank = n_each * n_batch, n_each * n_bank
    bound = max(entries_of_batch * n_labels, entries_of_bank * 2 * n_batch, 2 * n_batch * n_labels)
    assert n_batch * n_bank <= largest.n_elements <= bound
    assert bound < n_batch * n_bank * n_labels / 30


def test_everything_moves_with_the_module():
    vectors = np.ones((4, 2))
    geometry = LabelGeometry(
        csr(np.eye(4)), label_distances([[]] * 4), 2, "cos01", vectors, levels=[0.0, 2.0]
    )
    geometry.to("meta")
    parts = list(geometry.modules())
    tensors = [x for part in parts for x in part.__dict__.values() if isinstance(x, torch.Tensor)]
    assert not tensors  # all are buffers, so none was left behind
    buffers = dict(geometry.named_buffers())
    assert {"distances", "levels", "label_vectors", "label_sets.indptr"} <= buffers.keys()
    assert all(buffer.is_meta for buffer in buffers.values())
    assert not list(geometry.parameters())
    rows = torch.zeros(3, dtype=torch.int64, device="meta")
    assert geometry.has_labels(rows).is_meta


@pytest.mark.gpu
def test_accelerator_agrees(case):
    from skrr2qc._training import resolve_device

    Y, distances, depth, *numbers = case
    vectors = np.random.default_rng(0).normal(size=(N_LABELS, N_FEATURES))
    geometry = LabelGeometry(csr(Y), distances, 2 * depth, "cos01", vectors)
    rows, bank = (torch.from_numpy(x) for x in numbers)
    ranks, _ = geometry.ranks(rows, bank)
    closeness = closeness_of(geometry, rows, bank)
    device = resolve_device("auto")
    geometry, rows, bank = geometry.to(device), rows.to(device), bank.to(device)
    assert_array_equal(geometry.ranks(rows, bank)[0].cpu(), ranks)
    assert_allclose(closeness_of(geometry, rows, bank).cpu(), closeness, rtol=1e-3)


def test_given_arrays_stay_as_they_are(case):
    Y, distances, depth, rows, bank = case
    label_sets, before = csr(Y), distances.copy()
    vectors = np.random.default_rng(0).normal(size=(N_LABELS, N_FEATURES)).astype(np.float32)
    kept = vectors.copy()
    for reduction in ("mean", "sum"):
        geometry = LabelGeometry(
            label_sets, distances, 2 * depth, "cos01", vectors, reduction=reduction
        )
        closeness_of(geometry, rows, bank)
    assert_array_equal(label_sets.toarray(), Y)
    assert_array_equal(distances, before)
    assert_array_equal(vectors, kept)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_flat_labels_need_no_table(reduction):
    rng = np.random.default_rng(0)
    Y = csr(rng.random((20, 6)) < 0.3)
    table = 2 * (1 - np.eye(6, dtype=np.int16))
    rows, bank = torch.arange(7), torch.arange(20)
    without = LabelGeometry(Y, None, 50, "none", reduction=reduction)
    ranks, n_shared = without.ranks(rows, bank)
    expected = LabelGeometry(Y, table, 50, "none", reduction=reduction).ranks(rows, bank)
    assert torch.equal(ranks, expected[0])
    assert torch.equal(n_shared, expected[1])
    assert len(ranks.unique()) > 2
