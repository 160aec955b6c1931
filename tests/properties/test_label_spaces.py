"""LabelSpace: whatever names, texts, hierarchies and meta-labels."""

import copy
import json
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skrr2qc import LabelSpace

from .strategies import (
    ODD_VALUES,
    any_text,
    attempt,
    examples,
    indicators,
    label_spaces,
    matrices_of,
    name_lists,
    names,
    odd_values,
    refused,
    wrong_matrices,
)

NESTED = [[None], [1], [b"a"], [["a"]], [float("nan")], [""], [" "], ["\ud800"], [("a", "b")], [{}]]
odd = st.sampled_from([*ODD_VALUES, *NESTED, None, True, 0, 1.5, np.zeros((2, 2)), {"a": None}])


@examples(25)
@given(label_spaces())
def test_a_space_is_what_it_was_made_of(labels):
    restored = [
        LabelSpace.from_dict(labels.to_dict()),
        LabelSpace.from_dict(json.loads(json.dumps(labels.to_dict()))),
        pickle.loads(pickle.dumps(labels)),
        copy.deepcopy(labels),
    ]
    for other in restored:
        assert other == labels
        assert hash(other) == hash(labels)
        assert joblib.hash(other) == joblib.hash(labels)
        assert other.names == labels.names
        assert other.node_texts == labels.node_texts
        assert other.parents == labels.parents
        assert other.meta_names == labels.meta_names
        assert_array_equal(other.ancestors.toarray(), labels.ancestors.toarray())
    assert len(repr(labels)) < 200


@examples(20)
@given(st.data())
def test_label_sets_go_there_and_back(data):
    labels = data.draw(label_spaces())
    Y = data.draw(indicators(n_labels=len(labels)))
    sets = labels.decode(Y)
    assert_array_equal(labels.encode(sets).toarray(), Y)
    assert_array_equal(labels.encode(iter(sets)).toarray(), Y)
    assert labels.decode(labels.encode(sets)) == sets
    for kind, form in matrices_of(Y).items():
        assert labels.decode(form) == sets, kind
        closure = labels.closure(form)
        assert_array_equal(closure.toarray()[:, : len(labels)] >= Y, True, err_msg=kind)
        assert_array_equal(closure.toarray(), Y @ labels.ancestors.toarray() > 0, err_msg=kind)


@examples(40)
@given(st.data())
def test_wrong_matrices_are_refused(data):
    labels = data.draw(label_spaces(n_labels=2, meta=True))
    Y = data.draw(wrong_matrices(3, 2))
    for method in (labels.decode, labels.closure, labels.meta_targets):
        refused(lambda method=method: method(Y), about=["Y"])


@examples(50)
@given(label_spaces(), st.one_of(odd, st.lists(st.lists(any_text, max_size=3), max_size=3)))
def test_what_is_encoded_is_a_list_of_sets_of_names(labels, label_sets):
    Y = attempt(lambda: labels.encode(label_sets), about=["label_sets"])
    if Y is not None:
        assert Y.shape == (len(list(label_sets)), len(labels))
        assert [set(row) for row in labels.decode(Y)] == [set(row) for row in label_sets]
    found = attempt(lambda: LabelSpace.from_targets(label_sets), about=["label_sets", "names"])
    assert found is None or list(found.names) == sorted(set().union(*label_sets))


@examples(25)
@given(label_spaces())
def test_distances_and_paths(labels):
    distances = labels.distances()
    assert_array_equal(distances, distances.T)
    assert_array_equal(distances == 0, np.eye(len(labels), dtype=bool))
    deepest = int(labels.ancestors.sum(axis=1).max())
    assert distances.max() <= 2 * deepest
    assert 1 <= labels.max_depth <= deepest
    for node in labels.nodes:
        assert labels.path_text(node).endswith(labels.node_texts[labels.nodes.index(node)])


@examples(100)
@given(
    st.one_of(name_lists(0), st.lists(any_text, max_size=4), odd),
    st.one_of(st.none(), odd, st.dictionaries(any_text, any_text, max_size=2)),
    st.one_of(st.none(), odd, st.dictionaries(any_text, st.lists(any_text), max_size=3)),
    st.one_of(st.none(), odd, st.dictionaries(names, st.lists(any_text), max_size=2)),
)
def test_any_arguments_make_a_space_or_a_clear_error(given_names, texts, parents, meta_labels):
    about = ["names", "texts", "parents", "meta_labels"]
    space = attempt(lambda: LabelSpace(given_names, texts, parents, meta_labels), about=about)
    if space is not None:
        assert pickle.loads(pickle.dumps(space)).names == tuple(given_names)
    one = attempt(lambda: LabelSpace(given_names), about=about)
    if one is None:
        return
    for name, value in {"texts": texts, "parents": parents, "meta_labels": meta_labels}.items():
        attempt(lambda name=name, value=value: LabelSpace(one.names, **{name: value}), about=[name])


@examples(80)
@given(st.data())
def test_hierarchies_are_without_circles_or_refused(data):
    nodes = data.draw(name_lists(2, 6))
    n_labels = data.draw(st.integers(1, len(nodes)))
    above = st.lists(st.sampled_from(nodes), max_size=3)
    parents = {node: data.draw(above) for node in nodes if data.draw(st.booleans())}
    links = {node: set(parents.get(node, ())) for node in nodes}
    reached = {node: set(up) for node, up in links.items()}
    for _ in nodes:
        reached = {node: up.union(*(reached[u] for u in up)) for node, up in reached.items()}
    space = attempt(lambda: LabelSpace(nodes[:n_labels], parents=parents), about=["parents"])
    has_circle = any(node in up for node, up in reached.items())
    if space is None:
        declared = any(not parents.get(node, True) for node in nodes[n_labels:])
        assert has_circle or declared
        return
    assert not has_circle
    for name, row in zip(space.names, space.ancestors.toarray(), strict=True):
        assert {space.nodes[i] for i in np.flatnonzero(row)} == {name} | reached[name]


@examples(60)
@given(odd_values, odd_values)
def test_methods_refuse_what_is_no_name(name, separator):
    labels = LabelSpace(["a", "b"], parents={"a": "c"})
    refused(lambda: labels.path_text(name), about=["node", "name"])
    if not isinstance(separator, str):
        refused(lambda: labels.path_text("a", separator), about=["separator"])
    refused(lambda: LabelSpace.from_dict(name), about=["data"])
    data = labels.to_dict() | {"meta_names": separator}
    attempt(lambda: LabelSpace.from_dict(data), about=["meta_names"])


@pytest.mark.parametrize("name", ["\ud800", "\ud83d\ude00"])
def test_surrogates_are_refused_everywhere(name):
    calls = [
        lambda: LabelSpace([name]),
        lambda: LabelSpace(["a"], texts=[name]),
        lambda: LabelSpace(["a"], parents={"a": name}),
        lambda: LabelSpace(["a"], meta_labels={"a": name}),
        lambda: LabelSpace.from_targets([[name]]),
    ]
    for call in calls:
        refused(call)


def test_deep_chains_and_long_names():
    chain = {f"{i}": f"{i + 1}" for i in range(600)}
    labels = LabelSpace(["0", "a"], parents=chain)
    assert labels.max_depth == 601
    assert labels.distances().tolist() == [[0, 602], [602, 0]]
    assert labels.path_text("0", "").startswith("600")
    refused(lambda: LabelSpace(["0"], parents=chain | {"600": "0"}), about=["parents"])
    long = "ab" * 50_000
    wide = LabelSpace([long, "b"])
    refused(lambda: wide.encode([["ba" * 50_000]]), about=["label_sets"])
    refused(lambda: LabelSpace([long, long]), about=["names"])
    refused(lambda: LabelSpace([long, "b"], parents={long: long}), about=["parents"])
    refused(lambda: wide.path_text("c" + long))


def test_many_equal_label_sets():
    labels = LabelSpace(pd.Series(["a", "b"], index=[5, 6]))
    Y = labels.encode([["b"]] * 20_000)
    assert Y.nnz == 20_000
    assert labels.decode(Y) == [("b",)] * 20_000
    assert labels.decode(sp.csr_matrix((0, 2))) == []
