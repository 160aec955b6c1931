"""Functions of hierarchies: any parent relation, any indicator, any distances."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
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

from .strategies import (
    ODD_VALUES,
    attempt,
    examples,
    indicators,
    matrices_of,
    odd_values,
    refused,
    wrong_matrices,
)

FUNCTIONS = [ancestor_matrix, node_depths, is_tree, label_distances]
nodes = st.one_of(st.integers(-1, 6), odd_values, st.sampled_from([True, None, np.int8(1), 1.0]))
relations = st.one_of(
    st.integers(0, 6).flatmap(
        lambda n: st.lists(st.lists(st.integers(0, max(n - 1, 0)), max_size=3), max_size=n)
    ),
    st.lists(st.one_of(st.lists(nodes, max_size=3), nodes), max_size=5),
    odd_values,
    st.sampled_from([None, 3, np.zeros((2, 2), dtype=int), ((), (0,)), {0: [1]}, iter([[]])]),
)


@st.composite
def acyclic(draw, tree=False):
    n = draw(st.integers(1, 6))
    most = 1 if tree else 3
    order = draw(st.permutations(range(n)))
    parents = [[] for _ in range(n)]
    for i, node in enumerate(order[1:], start=1):
        parents[node] = draw(st.lists(st.sampled_from(order[:i]), max_size=most))
    return parents


@examples(100)
@given(relations)
def test_any_relation_is_acyclic_or_refused(parents):
    cycle = attempt(lambda: find_cycle(parents), about=["parents"])
    results = [attempt(lambda f=f: f(parents), about=["parents"]) for f in FUNCTIONS]
    if cycle is not None:
        assert results == [None] * len(FUNCTIONS)
        assert cycle[0] == cycle[-1]
        pairs = zip(cycle[:-1], cycle[1:], strict=True)
        assert all(upper in parents[lower] for lower, upper in pairs)
    if results[0] is None:
        assert all(result is None for result in results)
        return
    ancestors, depths, _, distances = results
    n = len(parents)
    assert ancestors.shape == (n, n)
    assert_array_equal(ancestors.diagonal(), np.ones(n))
    assert (depths >= 1).all()
    assert_array_equal(distances, distances.T)
    assert_array_equal(distances == 0, np.eye(n, dtype=bool))
    assert (distances <= depths[:, None] + depths).all()


@examples(80)
@given(acyclic(), st.one_of(st.lists(nodes, max_size=4), nodes))
def test_any_nodes(parents, wanted):
    distances = attempt(lambda: label_distances(parents, wanted), about=["nodes"])
    if distances is not None and wanted is not None:
        rows = list(wanted)
        assert_array_equal(distances, label_distances(parents)[np.ix_(rows, rows)])


@examples(15)
@given(acyclic(tree=True), st.data())
def test_set_distances_agree_in_every_form(parents, data):
    n = len(parents)
    Y_a, Y_b = (data.draw(indicators(n_labels=n)) for _ in range(2))
    distances, ancestors = label_distances(parents), ancestor_matrix(parents)
    depth = int(node_depths(parents).max())
    expected = label_set_distances(Y_a, Y_b, distances, depth)
    assert ((expected >= 0) & (expected <= 2 * depth)).all()
    shared = Y_a.astype(int) @ Y_b.T > 0
    assert_array_equal(expected == 0, shared)
    ranks = distance_ranks(expected)
    assert_array_equal(ranks == 0, shared)
    assert ranks.max() <= 2 * depth
    forms = zip(matrices_of(Y_a).values(), list(matrices_of(Y_b).values())[::-1], strict=True)
    for left, right in forms:
        assert_array_equal(label_set_distances(left, right, distances, depth), expected)
        by_tree = tree_label_set_distances(left, right, ancestors, depth)
        assert_allclose(by_tree, expected, atol=1e-9)
    for form in matrices_of(ancestors.toarray()).values():
        closure = ancestor_closure(Y_a, form)
        assert_array_equal(closure.toarray(), Y_a @ ancestors.toarray() > 0)


@examples(80)
@given(wrong_matrices(3, 2), odd_values)
def test_wrong_matrices_are_refused(Y, odd):
    good, distances, ancestors = np.eye(3, 2), label_distances([[], [0]]), np.eye(2)
    refused(lambda: label_set_distances(Y, good, distances, 2), about=["Y_a"])
    refused(lambda: label_set_distances(good, Y, distances, 2), about=["Y_b"])
    refused(lambda: tree_label_set_distances(Y, good, ancestors, 2), about=["Y_a"])
    refused(lambda: ancestor_closure(Y, ancestors), about=["Y"])
    refused(lambda: ancestor_closure(good, odd), about=["ancestors"])
    refused(lambda: tree_label_set_distances(good, good, odd, 2), about=["ancestors"])
    refused(lambda: label_set_distances(good, good, odd, 2), about=["distances"])


depths = st.one_of(odd_values, st.floats(), st.integers(), st.none())


@examples(100)
@given(depths, st.lists(st.one_of(st.floats(), st.sampled_from(ODD_VALUES)), max_size=3))
def test_depths_and_ranks(max_depth, values):
    Y, distances = np.eye(2), label_distances([[], [0]])
    for function, geometry in ((label_set_distances, distances), (tree_label_set_distances, Y)):
        found = attempt(lambda f=function, g=geometry: f(Y, Y, g, max_depth), about=["max_depth"])
        assert found is None or np.isfinite(found).all()
    for khd in (values, max_depth, np.array(values, dtype=object)):
        ranks = attempt(lambda khd=khd: distance_ranks(khd), about=["khd"])
        if ranks is not None:
            assert ((ranks - np.asarray(khd) > -1e-6) | (ranks == np.asarray(khd))).all()
            assert (ranks >= 0).all()


def test_long_chains():
    chain = [[i + 1] for i in range(700)] + [[]]
    assert node_depths(chain)[0] == 701
    assert label_distances(chain, [0, 700]).tolist() == [[0, 700], [700, 0]]
    chain[-1] = [0]
    refused(lambda: node_depths(chain), about=["parents"])
    assert len(find_cycle(chain)) == 702
    diamonds = [[2 * i + 2, 2 * i + 3] for i in range(200) for _ in range(2)] + [[], []]
    assert ancestor_matrix(diamonds)[0].nnz == 401
