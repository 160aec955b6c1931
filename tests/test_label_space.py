"""LabelSpace: content identity, conversions, hierarchy, and what it refuses."""

import copy
import json
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.preprocessing import MultiLabelBinarizer

from skrr2qc.label_space import LabelSpace

NAMES = ["linear", "quadratic", "mean", "angle"]
PARENTS = {"linear": ["equation"], "quadratic": ["equation", "curve"], "equation": "algebra"}
META = {"linear": ["unknown", "degree"], "quadratic": ["degree", "root"], "mean": []}
TEXTS = {"linear": "Linear equations", "algebra": "Algebra"}


@pytest.fixture
def labels():
    return LabelSpace(NAMES, texts=TEXTS, parents=PARENTS, meta_labels=META)


class Holder(BaseEstimator):
    def __init__(self, labels=None):
        self.labels = labels


def test_attributes(labels):
    assert labels.names == tuple(NAMES)
    assert labels.nodes == ("linear", "quadratic", "mean", "angle", "algebra", "curve", "equation")
    assert labels.texts == ("Linear equations", "quadratic", "mean", "angle")
    assert labels.node_texts[4:] == ("Algebra", "curve", "equation")
    assert (labels.n_labels, labels.n_nodes, labels.n_meta_labels, len(labels)) == (4, 7, 3, 4)
    assert labels.meta_names == ("degree", "root", "unknown")
    assert labels.parents == {
        "linear": ("equation",),
        "quadratic": ("equation", "curve"),
        "algebra": (),
        "curve": (),
        "equation": ("algebra",),
    }
    assert labels.max_depth == 3  # linear; quadratic reaches the top in two steps over "curve"
    assert not labels.is_tree
    assert repr(labels) == "LabelSpace(4 labels, 3 inner nodes, max_depth=3, 3 meta-labels)"


def test_flat_space():
    labels = LabelSpace(["b", "a"])
    assert labels.texts == labels.nodes == ("b", "a")
    assert labels.parents == {}
    assert labels.meta_names == ()
    assert labels.label_to_meta is None
    assert labels.is_tree
    assert labels.max_depth == 1
    assert_array_equal(labels.ancestors.toarray(), np.eye(2))
    assert_array_equal(labels.distances(), [[0, 2], [2, 0]])
    assert repr(labels) == "LabelSpace(2 labels)"


def test_hierarchy_by_hand(labels):
    assert_array_equal(
        labels.ancestors.toarray(),
        [
            [1, 0, 0, 0, 1, 0, 1],
            [0, 1, 0, 0, 1, 1, 1],
            [0, 0, 1, 0, 0, 0, 0],
            [0, 0, 0, 1, 0, 0, 0],
        ],
    )
    # linear and quadratic meet in "equation"; mean and angle lie right below the virtual root.
    assert_array_equal(labels.distances(), [[0, 2, 4, 4], [2, 0, 3, 3], [4, 3, 0, 2], [4, 3, 2, 0]])
    assert labels.path_text("linear") == "Algebra > equation > Linear equations"
    assert labels.path_text("quadratic", separator="/") == "Algebra/equation/quadratic"
    assert labels.path_text("equation") == "Algebra > equation"
    assert labels.path_text("mean") == "mean"
    assert_array_equal(
        labels.closure([[1, 0, 1, 0], [0, 0, 0, 0]]).toarray(),
        [[1, 0, 1, 0, 1, 0, 1], [0] * 7],
    )


def test_label_above_another_label():
    labels = LabelSpace(["animal", "dog"], parents={"dog": ["animal"]})
    assert labels.nodes == ("animal", "dog")
    assert_array_equal(labels.closure(labels.encode([["dog"]])).toarray(), [[1, 1]])


def test_encode_and_decode_agree_with_scikit_learn(labels):
    rng = np.random.default_rng(0)
    sets = [list(rng.choice(NAMES, size=rng.integers(0, 6))) for _ in range(50)]
    Y = labels.encode(sets)
    assert isinstance(Y, sp.csr_matrix)
    assert Y.dtype == np.float32
    assert Y.has_sorted_indices
    expected = MultiLabelBinarizer(classes=NAMES).fit_transform(sets)
    assert_array_equal(Y.toarray(), expected)
    decoded = labels.decode(Y)
    assert [set(names) for names in decoded] == [set(names) for names in sets]
    assert labels.decode(expected) == decoded
    assert_array_equal(labels.encode(decoded).toarray(), expected)


def test_encode_takes_any_collection(labels):
    items = ["mean", "linear"]
    Y = labels.encode([items, tuple(items), set(items), np.array(items), iter(items)])
    assert_array_equal(Y.toarray(), [[1, 0, 1, 0]] * 5)
    assert labels.encode([]).shape == (0, 4)
    assert labels.decode(labels.encode([])) == []
    assert labels.encode(names for names in [items]).shape == (1, 4)


def test_meta_targets(labels):
    assert_array_equal(labels.label_to_meta.toarray(), [[1, 0, 1], [1, 1, 0], [0, 0, 0], [0, 0, 0]])
    assert labels.label_to_meta.dtype == np.float32
    Y = np.random.default_rng(0).integers(0, 2, (30, 4))
    expected = (Y @ labels.label_to_meta.toarray() > 0).astype(int)
    for given in (Y, sp.csr_array(Y), Y.astype(bool)):
        assert_array_equal(labels.meta_targets(given).toarray(), expected)


@pytest.mark.parametrize("as_matrix", [np.asarray, sp.csr_matrix, sp.coo_array])
def test_meta_labels_as_matrix(as_matrix):
    matrix = np.array([[1, 0, 0, 1], [0, 0, 0, 1]])  # two columns without a label are kept
    labels = LabelSpace(["a", "b"], meta_labels=as_matrix(matrix))
    assert labels.meta_names == ("meta_0", "meta_1", "meta_2", "meta_3")
    assert_array_equal(labels.label_to_meta.toarray(), matrix)
    assert_array_equal(LabelSpace.from_dict(labels.to_dict()).label_to_meta.toarray(), matrix)


def test_round_trip(labels):
    data = json.loads(json.dumps(labels.to_dict()))
    assert LabelSpace.from_dict(data) == labels
    assert LabelSpace.from_dict({"names": ["a"]}) == LabelSpace(["a"])
    loaded = pickle.loads(pickle.dumps(labels))
    assert loaded == labels
    assert loaded.nodes == labels.nodes
    assert_array_equal(loaded.label_to_meta.toarray(), labels.label_to_meta.toarray())


def test_from_targets():
    labels = LabelSpace.from_targets([("b", "a"), [], {"c", "b"}])
    assert labels == LabelSpace(["a", "b", "c"])


def test_equal_content_is_equal():
    """However it was written down, and whether or not lists are shared between entries."""
    shared = ["equation"]
    one = LabelSpace(
        NAMES, texts=["l", "quadratic", "mean", "angle"], parents=dict.fromkeys(NAMES[:2], shared)
    )
    other = LabelSpace(
        np.array(NAMES),
        texts={"mean": "mean", "linear": np.str_("l")},
        parents={"equation": [], "quadratic": {"equation"}, "linear": ["equa" + "tion"] * 2},
        meta_labels={"angle": []},
    )
    assert one == other
    assert hash(one) == hash(other)
    assert joblib.hash(one) == joblib.hash(other)
    assert len({one, other}) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"names": ["quadratic", "linear", "mean", "angle"]},
        {"names": [*NAMES, "sum"]},
        {"texts": {**TEXTS, "mean": "average"}},
        {"texts": None},
        {"parents": {**PARENTS, "mean": "statistics"}},
        {"parents": {**PARENTS, "quadratic": ["curve", "equation"]}},
        {"meta_labels": {**META, "mean": ["root"]}},
        {"meta_labels": None},
    ],
)
def test_other_content_differs(labels, changes):
    arguments = {"names": NAMES, "texts": TEXTS, "parents": PARENTS, "meta_labels": META}
    other = LabelSpace(**{**arguments, **changes})
    assert other != labels
    assert joblib.hash(other) != joblib.hash(labels)
    assert labels != NAMES


def test_hash_does_not_depend_on_what_was_computed(labels):
    before = joblib.hash(labels)
    labels.ancestors, labels.label_to_meta, labels.max_depth, labels.encode([])
    assert joblib.hash(labels) == before
    assert joblib.hash(pickle.loads(pickle.dumps(labels))) == before


def test_joblib_hash_is_the_same_in_another_process(labels):
    """Python salts the hashes of strings per process; the cache key must not notice."""
    code = (
        "import json, joblib, sys; from skrr2qc.label_space import LabelSpace;"
        "print(joblib.hash(LabelSpace.from_dict(json.load(sys.stdin))))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(labels.to_dict()),
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == joblib.hash(labels)


def test_inside_an_estimator(labels):
    estimator = Holder(labels)
    copied = clone(estimator)
    assert copied.labels == labels
    assert copied.get_params()["labels"] == labels
    assert copy.deepcopy(labels) == copy.copy(labels) == labels
    assert joblib.hash(copied) == joblib.hash(estimator)
    assert "LabelSpace(4 labels" in repr(estimator)


def test_immutable(labels):
    with pytest.raises(AttributeError, match="immutable"):
        labels.names = ("a",)
    with pytest.raises(AttributeError, match="immutable"):
        del labels.names
    with pytest.raises(ValueError, match="read-only"):
        labels.label_to_meta.data[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        labels.ancestors.data[0] = 0
    labels.parents["mean"] = ("angle",)
    assert "mean" not in labels.parents
    labels.encode([["mean"]]).data[:] = 5  # a matrix of the caller's own


def test_thousands_of_labels():
    names = [f"label {i}" for i in range(3000)]
    parents = {name: [f"group {i % 300}"] for i, name in enumerate(names)}
    parents |= {f"group {i}": [f"area {i % 20}", f"area {(i + 1) % 20}"] for i in range(300)}
    labels = LabelSpace(names, parents=parents, meta_labels={n: n.split() for n in names})
    Y = labels.encode([[names[i], names[-i]] for i in range(1, 1000)])
    assert labels.n_nodes == 3320
    assert labels.closure(Y).shape == (999, 3320)
    assert_array_equal(labels.distances().max(), 6)
    assert LabelSpace.from_dict(labels.to_dict()) == labels


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ("abc", TypeError, "names must be a sequence of str, got 'abc'"),
        (b"abc", TypeError, "names must be a sequence"),
        ({"a", "b"}, TypeError, "whose order is the order of the columns"),
        ({"a": "b"}, TypeError, "names must be a sequence"),
        (None, TypeError, "got None"),
        (3, TypeError, "got 3"),
        ([], ValueError, "at least one label"),
        (["a", "b", "a"], ValueError, "must be distinct, got 'a' more than once"),
        (["a", ""], ValueError, "not blank, got ''"),
        (["a", " \n"], ValueError, "not blank"),
        (["a", b"b"], TypeError, r"got b'b' \(bytes\)"),
        (["a", None], TypeError, r"got None \(NoneType\)"),
        (["a", float("nan")], TypeError, r"got nan \(float\)"),
        ([0, 1], TypeError, r"got 0 \(int\)"),
        (np.array("a"), TypeError, "names must be a sequence"),
    ],
)
def test_invalid_names(names, error, message):
    with pytest.raises(error, match=message):
        LabelSpace(names)


@pytest.mark.parametrize(
    ("parameter", "value", "error", "message"),
    [
        ("texts", "abc", TypeError, "texts must be a mapping"),
        ("texts", ["x"], ValueError, "one text per label: expected 2, got 1"),
        ("texts", ["x", None], TypeError, "texts must hold str, got None"),
        ("texts", {"alpah": "x"}, ValueError, r"'alpah' \(did you mean 'alpha'\?\)"),
        ("texts", {0: "x"}, TypeError, "keys of texts must hold str, got 0"),
        ("texts", {"alpha": " "}, ValueError, r"texts\['alpha'\] must hold names that are not"),
        ("parents", ["alpha"], TypeError, "parents must be a mapping"),
        ("parents", {"alpha": None}, TypeError, r"parents\['alpha'\] must be a sequence of str"),
        ("parents", {"alpha": [0]}, TypeError, r"parents\['alpha'\] must hold str, got 0"),
        ("parents", {"alpha": [""]}, ValueError, r"parents\['alpha'\].*not blank"),
        ("parents", {1.5: ["x"]}, TypeError, "keys of parents must hold str, got 1.5"),
        ("parents", {"alpha": "alpha"}, ValueError, "cycle, got 'alpha' -> 'alpha'"),
        ("parents", {"alpha": "x", "x": "y", "y": "x"}, ValueError, "got 'x' -> 'y' -> 'x'"),
        ("meta_labels", ["x", "y"], TypeError, "meta_labels must be a mapping from label"),
        ("meta_labels", {"bet": ["x"]}, ValueError, r"'bet' \(did you mean 'beta'\?\)"),
        ("meta_labels", {"beta": [None]}, TypeError, r"meta_labels\['beta'\] must hold str"),
        ("meta_labels", np.eye(3), ValueError, r"expected \(2, M\), got \(3, 3\)"),
        ("meta_labels", np.full((2, 3), 2), ValueError, "meta_labels must hold only 0 and 1"),
        ("meta_labels", np.ones((2, 0)), ValueError, "at least one column"),
    ],
)
def test_invalid_parameters(parameter, value, error, message):
    with pytest.raises(error, match=message):
        LabelSpace(["alpha", "beta"], **{parameter: value})


def test_undeclared_parent_of_a_declared_hierarchy():
    """One empty entry says that the top level is spelt out; a new name is then a mistake."""
    parents = {"alpha": ["greek"], "beta": ["grek"]}
    assert LabelSpace(["alpha", "beta"], parents=parents).n_nodes == 4
    with pytest.raises(ValueError, match=r"no entry for 'grek' \(did you mean 'greek'\?\)"):
        LabelSpace(["alpha", "beta"], parents={**parents, "greek": []})
    # Empty entries of labels say nothing about inner nodes.
    assert LabelSpace(["alpha", "beta"], parents={"alpha": ["greek"], "beta": []}).n_nodes == 3


def test_unused_inner_nodes_are_kept():
    labels = LabelSpace(["a"], parents={"a": ["top"], "other": ["top"]})
    assert labels.nodes == ("a", "other", "top")
    assert LabelSpace.from_dict(labels.to_dict()) == labels


@pytest.mark.parametrize(
    ("label_sets", "error", "message"),
    [
        ("linear", TypeError, "label_sets must be a list of label-name lists"),
        (None, TypeError, "got None"),
        ({"linear": 1}, TypeError, "label_sets must be"),
        ([["mean"], "linear"], TypeError, r"got 'linear' at position 1. Write \['linear'\]"),
        ([["mean"], None], TypeError, r"got None at position 1. Write a list, \[\] for no label"),
        ([float("nan")], TypeError, "got nan at position 0"),
        (np.eye(4), TypeError, r"label_sets\[0\] must hold str"),
        ([["linaer"]], ValueError, r"1 unknown: 'linaer' \(did you mean 'linear'\?\)"),
        ([["equation"]], ValueError, "unknown: 'equation'"),  # an inner node
        ([list("abcdefg")], ValueError, "7 unknown: .* and 2 more"),
    ],
)
def test_invalid_label_sets(labels, label_sets, error, message):
    with pytest.raises(error, match=message):
        labels.encode(label_sets)


@pytest.mark.parametrize("method", ["decode", "meta_targets", "closure"])
@pytest.mark.parametrize(
    ("Y", "message"),
    [
        (np.zeros((2, 3)), r"expected 4 columns, got shape \(2, 3\)"),
        ([[0.2, 0, 0, 0]], "only 0 and 1, got 0.2"),
        ([0, 1, 0, 0], "two dimensions"),
    ],
)
def test_invalid_matrices(labels, method, Y, message):
    with pytest.raises(ValueError, match=message):
        getattr(labels, method)(Y)


def test_other_invalid_input(labels):
    with pytest.raises(ValueError, match="Pass meta_labels="):
        LabelSpace(["a"]).meta_targets([[1]])
    with pytest.raises(ValueError, match=r"No such node: 'algebar' \(did you mean 'algebra'\?\)"):
        labels.path_text("algebar")
    with pytest.raises(ValueError, match="at least one label name"):
        LabelSpace.from_targets([[], []])
    with pytest.raises(ValueError, match="must have the key 'names'"):
        LabelSpace.from_dict({"names": ["a"], "labels": ["a"]})
    with pytest.raises(TypeError, match="data must be a mapping"):
        LabelSpace.from_dict(["a"])
    with pytest.raises(TypeError, match="meta_names must be a sequence of str, got 3"):
        LabelSpace.from_dict({"names": ["a"], "meta_names": 3})
    with pytest.raises(ValueError, match="meta_names lacks 'x'"):
        LabelSpace.from_dict({"names": ["a"], "meta_names": ["y"], "meta_labels": {"a": ["x"]}})


@pytest.mark.parametrize("name", ["\ud800", "\ud83d\ude00"])
def test_names_that_are_no_valid_unicode(name):
    """JSON makes one character of the second: another name after a pickle, and an equal space."""
    for make in (
        lambda: LabelSpace([name]),
        lambda: LabelSpace(["a"], texts=[name]),
        lambda: LabelSpace(["a"], parents={"a": [name]}),
        lambda: LabelSpace(["a"], meta_labels={"a": [name]}),
    ):
        with pytest.raises(ValueError, match="no valid Unicode: surrogates not allowed"):
            make()


def test_errors_stay_readable_and_fast():
    """Unknown names of 100,000 letters were compared for minutes, and circles written in full."""
    long = "ab" * 50_000
    with pytest.raises(ValueError, match="unknown") as error:
        LabelSpace([long, "b"]).encode([["ba" * 50_000]])
    assert len(str(error.value)) < 500
    circle = {f"node {i}": f"node {(i + 1) % 600}" for i in range(600)}
    with pytest.raises(ValueError, match=r"\(591 more\) -> 'node 596'") as error:
        LabelSpace(["node 0"], parents=circle)
    assert len(str(error.value)) < 500


def test_path_text_of_what_is_no_name():
    """A list is not hashable, and a number has no join: neither error named the argument."""
    labels = LabelSpace(["a"], parents={"a": "b"})
    with pytest.raises(ValueError, match=r"No such node: \['a'\]"):
        labels.path_text(["a"])
    with pytest.raises(TypeError, match="separator must be a str such as ' > ', got 5"):
        labels.path_text("a", 5)


def test_a_class_is_no_list_of_names():
    """`str` has an __iter__, of its instances: iterating it failed in other words."""
    with pytest.raises(TypeError, match="names must be a sequence of str"):
        LabelSpace(str)
