"""Ancestors, depths and distances: golden cases, slow loops, properties on random ones."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from skrr2qc.hierarchy import (
    ancestor_closure,
    ancestor_matrix,
    distance_ranks,
    find_cycle,
    is_tree,
    label_distances,
    label_set_distances,
    node_depths,
    tree_label_set_distances,
)

GOLDEN = json.loads((Path(__file__).parent / "data" / "golden_cases.json").read_text("utf-8"))


def golden(component):
    return [pytest.param(case, id=case["id"]) for case in GOLDEN[component]]


def random_parents(rng, n_nodes, max_parents):
    """Nodes in random numbering, so that parents do not come first."""
    numbers = rng.permutation(n_nodes)
    parents = [[] for _ in range(n_nodes)]
    for i in range(1, n_nodes):
        count = min(i, rng.integers(0, max_parents + 1))
        parents[numbers[i]] = [int(numbers[j]) for j in rng.choice(i, size=count, replace=False)]
    return parents


def random_label_sets(rng, n_rows, n_labels):
    Y = (rng.random((n_rows, n_labels)) < 2.5 / n_labels).astype(int)
    Y[0] = 0
    return Y


def slow_upward_steps(parents, node):
    """Every ancestor with its shortest upward path, "root" included, by exploring all paths."""
    steps = {node: 0}
    for above in parents[node] or ["root"]:
        reached = {"root": 0} if above == "root" else slow_upward_steps(parents, above)
        for ancestor, length in reached.items():
            steps[ancestor] = min(steps.get(ancestor, 10**6), length + 1)
    return steps


def slow_distances(parents):
    steps = [slow_upward_steps(parents, node) for node in range(len(parents))]
    return [[min(a[n] + b[n] for n in a.keys() & b.keys()) for b in steps] for a in steps]


def slow_label_set_distances(Y_a, Y_b, distances, max_depth):
    khd = np.zeros((len(Y_a), len(Y_b)))
    for i, j in product(range(len(Y_a)), range(len(Y_b))):
        a, b = np.flatnonzero(Y_a[i]), np.flatnonzero(Y_b[j])
        if not len(a) or not len(b):
            khd[i, j] = 2 * max_depth
        elif not set(a) & set(b):
            khd[i, j] = sum(distances[y][z] for y, z in product(a, b)) / (len(a) * len(b))
    return khd


@pytest.mark.parametrize("case", golden("label_distance"))
def test_golden_label_distances(case):
    parents = case["inputs"]["parents"]
    assert_array_equal(label_distances(parents), case["expected"]["D"])


@pytest.mark.parametrize("case", golden("khd"))
def test_golden_label_set_distances(case):
    inputs, expected = case["inputs"], case["expected"]
    distances = label_distances(inputs["parents"])
    khd = label_set_distances(inputs["Y"], inputs["Y"], distances, inputs["H"])
    assert_allclose(khd, expected["khd"], rtol=1e-8, atol=1e-12)
    assert_array_equal(distance_ranks(khd), expected["ranks_ceil"])
    assert_array_equal(distances, expected.get("D", distances))
    assert node_depths(inputs["parents"]).max() == inputs["H"]
    ancestors = ancestor_matrix(inputs["parents"])
    by_tree = tree_label_set_distances(inputs["Y"], inputs["Y"], ancestors, inputs["H"])
    assert_allclose(by_tree, expected["khd"], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("max_parents", [0, 1, 3])
@pytest.mark.parametrize("seed", range(5))
def test_against_all_paths(seed, max_parents):
    rng = np.random.default_rng(seed)
    parents = random_parents(rng, 14, max_parents)
    steps = [slow_upward_steps(parents, node) for node in range(14)]
    ancestors = [[int(a in above) for a in range(14)] for above in steps]
    assert_array_equal(ancestor_matrix(parents).toarray(), ancestors)
    assert_array_equal(node_depths(parents), [above["root"] for above in steps])

    distances = label_distances(parents)
    assert_array_equal(distances, slow_distances(parents))
    assert_array_equal(distances, distances.T)
    assert_array_equal(distances == 0, np.eye(14))
    assert distances.max() <= 2 * node_depths(parents).max()
    labels = [11, 3, 5]
    assert_array_equal(label_distances(parents, labels), distances[np.ix_(labels, labels)])


@pytest.mark.parametrize("seed", range(3))
def test_trees(seed):
    parents = random_parents(np.random.default_rng(seed), 40, max_parents=1)
    A = ancestor_matrix(parents).toarray()
    depths, distances = A.sum(axis=1), label_distances(parents)
    assert is_tree(parents)
    assert_array_equal(depths, node_depths(parents))
    assert_array_equal(distances, depths[:, None] + depths - 2 * A @ A.T)
    detours = distances[:, :, None] + distances[None, :, :]  # i -> j -> k
    assert (detours.min(axis=1) >= distances).all()


def test_triangle_inequality_fails_on_dags():
    """Documented behaviour: the detour over node 5 is shorter than the way from 2 to 1."""
    parents = [[], [], [0], [0, 1], [3], [2, 1]]
    D = label_distances(parents)
    assert not is_tree(parents)
    assert (D[2, 5], D[5, 1], D[2, 1]) == (1, 1, 3)


@pytest.mark.parametrize("as_matrix", [np.asarray, sp.csr_matrix, sp.csr_array, sp.coo_matrix])
@pytest.mark.parametrize("max_parents", [1, 3])
def test_label_set_distances_by_loop(max_parents, as_matrix):
    rng = np.random.default_rng(7)
    parents = random_parents(rng, 20, max_parents)
    distances, depth = label_distances(parents), int(node_depths(parents).max())
    Y_a, Y_b = random_label_sets(rng, 25, 20), random_label_sets(rng, 30, 20)
    expected = slow_label_set_distances(Y_a, Y_b, distances, depth)
    khd = label_set_distances(as_matrix(Y_a), as_matrix(Y_b), distances, depth)
    assert_allclose(khd, expected, rtol=1e-12)
    assert len(np.unique(khd)) > 5  # not only the extremes
    assert_allclose(label_set_distances(Y_b, Y_a, distances, depth), khd.T, rtol=1e-12)
    assert khd.max() <= 2 * depth
    if max_parents == 1:
        by_tree = tree_label_set_distances(Y_a, Y_b, ancestor_matrix(parents), depth)
        assert_allclose(by_tree, expected, rtol=1e-12, atol=1e-12)


def test_label_order_does_not_matter():
    rng = np.random.default_rng(3)
    parents = random_parents(rng, 15, 2)
    order = rng.permutation(15)
    Y = random_label_sets(rng, 10, 15)
    straight = label_set_distances(Y, Y, label_distances(parents), 5)
    shuffled = label_set_distances(Y[:, order], Y[:, order], label_distances(parents, order), 5)
    assert_allclose(shuffled, straight, rtol=1e-12)


def test_inputs_stay_as_they_are():
    Y = sp.csr_matrix(np.array([[1.0, 0.0], [0.0, 1.0]]))
    Y.data[0] = 0.0  # a stored zero is no label
    distances = label_distances([[], []])
    khd = label_set_distances(Y, Y, distances, 1)
    assert_array_equal(khd, [[2, 2], [2, 0]])
    assert Y.nnz == 2
    assert_array_equal(distances, [[0, 2], [2, 0]])


def test_distance_ranks_round_up_but_forgive_rounding_errors():
    khd = np.array([[0.0, 1e-12, 0.5], [2.0 + 1e-10, 2.0 + 1e-6, 3.0 - 1e-10]])
    ranks = distance_ranks(khd)
    assert_array_equal(ranks, [[0, 0, 1], [2, 3, 3]])
    assert ranks.dtype.kind == "i"


def test_ancestor_closure_by_loop():
    rng = np.random.default_rng(0)
    parents = random_parents(rng, 12, 2)
    labels = [4, 9, 0, 7]
    ancestors = ancestor_matrix(parents)[labels]
    Y = random_label_sets(rng, 8, 4)
    expected = np.zeros((8, 12))
    for i, j in zip(*Y.nonzero(), strict=True):
        expected[i, [a for a in slow_upward_steps(parents, labels[j]) if a != "root"]] = 1
    closure = ancestor_closure(sp.csr_matrix(Y, dtype=np.uint8), ancestors)
    assert isinstance(closure, sp.csr_matrix)
    assert closure.dtype == np.float32
    assert_array_equal(closure.toarray(), expected)


def test_repeated_parents_count_once():
    assert_array_equal(label_distances([[], [0, 0]]), [[0, 1], [1, 0]])
    assert is_tree([[], [0, 0]])


def test_deep_chain():
    """No recursion, and no overflow of a small integer type."""
    n_nodes = 1200
    distances = label_distances([[], *([i] for i in range(n_nodes - 1))], nodes=[0, n_nodes - 1])
    assert_array_equal(distances, [[0, n_nodes - 1], [n_nodes - 1, 0]])


def test_find_cycle_below_an_entry():
    parents = [[], [0, 3], [1], [2], [3]]  # 4 only hangs below the cycle
    assert find_cycle(parents) == [1, 3, 2, 1]
    assert find_cycle([[0]]) == [0, 0]
    assert find_cycle([[], [0], [0, 1]]) is None


@pytest.mark.parametrize("function", [ancestor_matrix, node_depths, is_tree, label_distances])
def test_cycles_are_named(function):
    with pytest.raises(ValueError, match="cycle, got 0 -> 2 -> 1 -> 0"):
        function([[2], [0], [1], []])


@pytest.mark.parametrize(
    ("parents", "error", "message"),
    [
        ([[], [2]], ValueError, r"parents\[1\] must hold indices from 0 to 1, got 2"),
        ([[], [-1]], ValueError, "got -1"),
        ([[], [0.0]], TypeError, "must hold node indices"),
        ([[], [True]], TypeError, "got True"),
        ([[], 0], TypeError, r"Write \[0\]"),
        ([[], "0"], TypeError, "one sequence of node indices per node"),
    ],
)
def test_invalid_parents(parents, error, message):
    with pytest.raises(error, match=message):
        ancestor_matrix(parents)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Y_a": [[0.5, 0]]}, "Y_a must hold only 0 and 1, got 0.5"),
        ({"Y_a": [1, 0]}, "two dimensions"),
        ({"Y_a": [["a", "b"]]}, "dtype"),
        ({"Y_b": [[1, 0, 0]]}, r"got \(1, 2\), \(1, 3\) and \(2, 2\)"),
        ({"distances": np.zeros((2, 3))}, r"and \(2, 3\)"),
        ({"max_depth": 0}, "max_depth must be a number >= 1, got 0"),
        ({"max_depth": float("nan")}, "max_depth"),
    ],
)
def test_invalid_label_sets(changes, message):
    arguments = {"Y_a": [[1, 0]], "Y_b": [[0, 1]], "distances": np.zeros((2, 2)), "max_depth": 1}
    with pytest.raises(ValueError, match=message):
        label_set_distances(**{**arguments, **changes})


def test_other_invalid_input():
    with pytest.raises(ValueError, match="nodes must hold indices"):
        label_distances([[]], nodes=[1])
    with pytest.raises(ValueError, match="one row per label: expected 2 rows"):
        ancestor_closure([[1, 0]], np.eye(3))
    with pytest.raises(ValueError, match=r"got \(1, 2\), \(1, 2\) and \(3, 3\)"):
        tree_label_set_distances([[1, 0]], [[1, 0]], np.eye(3), 1)
    with pytest.raises(ValueError, match="finite distances >= 0"):
        distance_ranks([1.0, -0.5])


def test_a_matrix_that_points_outside_of_itself():
    """scipy builds it without a word, and the process crashed when it was read."""
    Y = sp.csr_matrix((np.ones(1), np.array([7]), np.array([0, 1])), shape=(1, 2))
    with pytest.raises(ValueError, match="Y is a broken csr_matrix"):
        ancestor_closure(Y, np.eye(2))


def test_imaginary_parts_are_no_labels():
    """Of a complex sparse matrix the imaginary part was dropped, with a warning."""
    with pytest.raises(ValueError, match="Y must hold the numbers 0 and 1, got dtype complex"):
        ancestor_closure(sp.csr_matrix(np.eye(2) * 1j), np.eye(2))


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_distances_that_are_none(value):
    """They came out as distances between label sets."""
    distances = np.array([[0, value], [value, 0]])
    with pytest.raises(ValueError, match="distances must hold finite distances >= 0"):
        label_set_distances(np.eye(2), np.eye(2), distances, 2)


@pytest.mark.parametrize("max_depth", [np.inf, 10**400])
def test_depths_that_are_none(max_depth):
    """Infinity came out as the distance of an empty set, and ranks could not be made of it."""
    with pytest.raises(ValueError, match="max_depth must be a number >= 1"):
        label_set_distances([[0]], [[1]], [[0]], max_depth)


def test_distances_too_large_for_a_rank():
    """The conversion to integers gave the most negative one."""
    with pytest.raises(ValueError, match=r"khd must hold distances up to 2\*\*53"):
        distance_ranks([1e300])


@pytest.mark.parametrize("parents", [None, 3, iter([[]]), [None], [[], 2.0], sp.eye(2)])
def test_parents_that_are_no_sequences(parents):
    """`object of type 'int' has no len()` said not which object."""
    with pytest.raises(TypeError, match="parents must"):
        ancestor_matrix(parents)


def test_long_circles_are_cut():
    """A circle of a thousand nodes was written in full."""
    with pytest.raises(ValueError, match=r"more\) \(each node a child") as error:
        node_depths([[(i + 1) % 1000] for i in range(1000)])
    assert len(str(error.value)) < 250
