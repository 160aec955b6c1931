"""Checks of texts, targets, maps and parameters: what passes unchanged, what each message says."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from skrr2qc import LabelSpace
from skrr2qc._validation import (
    check_choice,
    check_label_matrix,
    check_label_to_meta,
    check_number,
    check_seed,
    check_texts,
)

# -------------------------------------------------------------------------------------- texts


@pytest.mark.parametrize(
    "texts",
    [
        ["a", "b b", ""],
        ("a", "b b", ""),
        np.array(["a", "b b", ""]),
        np.array(["a", "b b", ""], dtype=object),
        pd.Series(["a", "b b", ""], index=[7, 5, 5]),
        pd.Series(["a", "b b", ""], dtype="string"),
        pd.Index(["a", "b b", ""]),
        {"a": 1, "b b": 2, "": 3}.keys(),
    ],
    ids=lambda texts: type(texts).__name__,
)
def test_texts(texts):
    checked = check_texts(texts)
    assert checked == ["a", "b b", ""]
    assert all(type(text) is str for text in checked)  # np.str_ would hash otherwise


def test_texts_are_a_new_list():
    texts = ["a", "b"]
    checked = check_texts(texts)
    checked.append("c")
    assert texts == ["a", "b"]


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ("area of", TypeError, r"got one str 'area of'\. Wrap it in a list: \[X\]"),
        (b"area", TypeError, r"got one bytes b'area'"),
        (None, TypeError, r"got NoneType\. Materialise"),
        (3, TypeError, "got int"),
        ((t for t in "ab"), TypeError, r"got generator\. Materialise iterators with list\(X\)"),
        ([], ValueError, "`X` is empty: expected at least one text"),
        (np.array([], dtype=object), ValueError, "`X` is empty"),
        (
            np.array([["a", "b"]]),
            ValueError,
            r"one-dimensional .* shape \(1, 2\)\. Pass the",
        ),
        (np.array("a"), ValueError, r"one-dimensional .* of shape \(\)"),
        (pd.DataFrame({"t": ["a"]}), ValueError, r"DataFrame of shape \(1, 1\)"),
        (sp.csr_matrix((2, 2)), ValueError, r"csr_matrix of shape \(2, 2\)"),
        ({"a": "text"}, TypeError, r"got a dict, whose order .* Pass a list"),
        ({"text"}, TypeError, r"got a set, whose order"),
        (["a", b"b"], TypeError, r"1 of 2 items are not: X\[1\] = b'b' \(bytes\)\. Decode bytes"),
        (["a", None], TypeError, r"X\[1\] = None \(NoneType\).*replace missing texts by ''"),
        ([float("nan")], TypeError, r"X\[0\] = nan \(float\)"),
        (pd.Series(["a", None], dtype="string"), TypeError, r"X\[1\] = "),
        ([["a"], ["b"]], TypeError, r"X\[0\] = \['a'\] \(list\)"),
        (np.eye(2)[0], TypeError, r"X\[0\] = 1\.0 \(float\)"),
    ],
)
def test_wrong_texts(texts, error, message):
    with pytest.raises(error, match=message):
        check_texts(texts)


def test_wrong_texts_are_not_all_quoted():
    with pytest.raises(TypeError, match="1000 of 1000 items") as caught:
        check_texts([3] * 1000, name="queries")
    assert str(caught.value).count("queries[") == 3
    with pytest.raises(TypeError) as caught:
        check_texts([b"long" * 1000])
    assert len(str(caught.value)) < 300


# ------------------------------------------------------------------------------------ targets

DENSE = np.array([[1, 0, 1], [0, 0, 0]])


@pytest.mark.parametrize(
    "targets",
    [
        DENSE,
        DENSE.astype(bool),
        DENSE.astype(np.float64),
        DENSE.tolist(),
        [tuple(row) for row in DENSE],
        list(DENSE),
        pd.DataFrame(DENSE),
        *(kind(DENSE) for kind in (sp.csr_matrix, sp.csr_array, sp.csc_matrix, sp.coo_array)),
        *(sp.csr_matrix(DENSE).asformat(name) for name in ("lil", "dok", "bsr", "dia")),
    ],
    ids=lambda targets: type(targets).__name__,
)
def test_targets(targets):
    checked = check_label_matrix(targets, n_samples=2)
    assert isinstance(checked, sp.csr_matrix)
    assert checked.dtype == np.float32
    assert checked.has_canonical_format
    assert_array_equal(checked.toarray(), DENSE)


def test_targets_are_copied():
    targets = sp.csr_matrix(DENSE, dtype=np.float32)
    check_label_matrix(targets).data[:] = 7
    assert_array_equal(targets.toarray(), DENSE)


def test_stored_zeros_are_dropped():
    targets = sp.csr_matrix((np.array([1.0, 0.0]), [0, 1], [0, 2]), shape=(1, 3))
    assert check_label_matrix(targets).nnz == 1
    assert targets.nnz == 2


def test_label_sets():
    labels = LabelSpace(["a", "b", "c"])
    checked = check_label_matrix([{"c", "a"}, set()], labels=labels)
    assert_array_equal(checked.toarray(), DENSE)
    checked = check_label_matrix([["c", "a"], []], labels=labels)
    assert_array_equal(checked.toarray(), DENSE)
    assert check_label_matrix([[], []], labels=labels).shape == (2, 3)
    assert_array_equal(check_label_matrix(DENSE.tolist(), labels=labels).toarray(), DENSE)


THREE = LabelSpace(["a", "b", "c"])
DUPLICATED = sp.coo_matrix((np.ones(2), ([0, 0], [1, 1])), shape=(1, 2))


@pytest.mark.parametrize(
    ("targets", "params", "error", "message"),
    [
        (None, {}, TypeError, "`Y` is required but got None: pass an indicator"),
        ("ab", {}, TypeError, "one label set per text, got the single 'ab'"),
        (["a", "b"], {}, TypeError, r"got bare strings such as 'a'\. Wrap each in a set"),
        ([{"a"}, {"b"}], {}, TypeError, r"need a label space: pass labels=LabelSpace\(names\)"),
        ([["a"], ["b"]], {}, TypeError, "need a label space"),
        ([{"z"}], {"labels": THREE}, ValueError, "z"),
        ([[1, 0], [1]], {}, ValueError, r"rows of one length, got lengths \[1, 2\]"),
        ([[1, 0], [1]], {"labels": THREE}, ValueError, r"rows of one length, got lengths \[1, 2\]"),
        ([0, 1, 1], {}, ValueError, r"shape \(n, L\), got shape \(3,\).*LabelBinarizer"),
        ([], {}, ValueError, r"got shape \(0,\)"),
        (np.ones((2, 2, 2)), {}, ValueError, r"got shape \(2, 2, 2\)"),
        (np.ones((2, 0)), {}, ValueError, r"no label column \(shape \(2, 0\)\)"),
        (np.array([["0", "1"]]), {}, TypeError, "must hold 0 and 1, got dtype <U1"),
        (np.array([[0, None]]), {}, TypeError, "got dtype object"),
        ([[0, 2, 5]], {}, ValueError, r"got 2 other values such as 2, 5\. Binarise"),
        ([[0, 0.5]], {}, ValueError, "such as 0.5"),
        ([[0, -1]], {}, ValueError, "such as -1"),
        ([[0, np.nan]], {}, ValueError, "such as nan"),
        (sp.csr_matrix([[0, 3]]), {}, ValueError, "such as 3"),
        (DUPLICATED, {}, ValueError, "stores an entry more than once"),
        (DENSE, {"n_samples": 5}, ValueError, r"one row per text: expected 5 rows, got 2\. Check"),
        (DENSE[:, :2], {"labels": THREE}, ValueError, r"expected 3 columns, got 2.*labels.encode"),
    ],
)
def test_wrong_targets(targets, params, error, message):
    with pytest.raises(error, match=message):
        check_label_matrix(targets, **params)


def test_messages_use_the_name_of_the_argument():
    with pytest.raises(TypeError, match="`y` is required"):
        check_label_matrix(None, name="y")


# --------------------------------------------------------------------------------------- maps


@pytest.mark.parametrize("kind", [np.array, sp.csr_array, list])
def test_map(kind):
    label_to_meta = [[1, 0], [1, 1], [0, 0]]
    checked = check_label_to_meta(kind(label_to_meta), 3)
    assert isinstance(checked, sp.csr_matrix)
    assert_array_equal(checked.toarray(), label_to_meta)


@pytest.mark.parametrize(
    ("label_to_meta", "message"),
    [
        (np.ones((4, 2)), r"one row per label: expected shape \(3, M\), got \(4, 2\)\. LabelSpace"),
        ([1, 0, 1], r"expected shape \(3, M\), got \(3,\)"),
        (np.ones((3, 0)), r"has no meta-label \(shape \(3, 0\)\)\. Pass None"),
        ([[1], [2], [0]], r"`label_to_meta` must hold only 0 and 1, .* such as 2"),
    ],
)
def test_wrong_map(label_to_meta, message):
    with pytest.raises(ValueError, match=message):
        check_label_to_meta(label_to_meta, 3)


# --------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize("value", [1, 2.5, np.float32(1), np.int64(3)])
def test_number(value):
    assert check_number(value, "lr", above=0, maximum=3) is value


@pytest.mark.parametrize("value", [1, np.int8(4)])
def test_integer(value):
    assert check_number(value, "k", minimum=1, integer=True) is value


@pytest.mark.parametrize(
    ("value", "bounds", "error", "message"),
    [
        ("1", {}, TypeError, r"`lr` must be a number, got '1' \(str\)"),
        (None, {}, TypeError, "got None"),
        (True, {}, TypeError, r"got True \(bool\)"),
        (1.0, {"integer": True}, TypeError, r"must be an integer, got 1.0 \(float\)"),
        (np.True_, {"integer": True}, TypeError, "must be an integer"),
        (0, {"above": 0}, ValueError, "`lr` == 0, must be > 0"),
        (-1, {"minimum": 0}, ValueError, "`lr` == -1, must be >= 0"),
        (2, {"maximum": 1}, ValueError, "`lr` == 2, must be <= 1"),
        (float("nan"), {"minimum": 0}, ValueError, "`lr` == nan, must be >= 0"),
        (float("nan"), {}, ValueError, "`lr` == nan, must be finite"),
        (float("inf"), {"minimum": 0}, ValueError, "`lr` == inf, must be finite"),
    ],
)
def test_wrong_number(value, bounds, error, message):
    with pytest.raises(error, match=message):
        check_number(value, "lr", **bounds)


def test_bounds_belong_to_the_range():
    assert check_number(0, "x", minimum=0, maximum=0) == 0


def test_choice():
    assert check_choice("paper", "form", ("paper", "released")) == "paper"
    for value in ("papers", None, 3, ["paper"]):
        with pytest.raises(ValueError, match=r"`form` must be one of \['paper', 'released'\], got"):
            check_choice(value, "form", ("released", "paper"))


def broken_csr(n_columns=2):
    """Built with a shape that its indices do not fit."""
    return sp.csr_matrix((np.ones(2), np.array([0, 9]), np.array([0, 1, 2])), shape=(2, n_columns))


def test_a_sparse_matrix_that_points_outside_of_itself():
    """scipy builds it without a word, and the process crashed when it was read."""
    for check in (check_label_matrix, lambda Y: check_label_to_meta(Y, 2)):
        with pytest.raises(ValueError, match="broken csr_matrix .* Give the right shape"):
            check(broken_csr())


def test_rows_that_are_iterators():
    """The first of them was used up by looking at it: a text lost its labels, silently."""
    labels = LabelSpace(["a", "b"])
    rows = [iter(["a"]), iter(["b"]), (name for name in ("a", "b"))]
    expected = [[1, 0], [0, 1], [1, 1]]
    assert_array_equal(check_label_matrix(rows, labels=labels).toarray(), expected)
    assert_array_equal(check_label_matrix(iter([iter([1, 0]), [0, 1]])).toarray(), expected[:2])


@pytest.mark.parametrize("kind", [pd.Series, lambda rows: np.array(rows, dtype=object)])
def test_label_sets_in_a_series_or_array(kind):
    """They were refused with the advice to one-hot encode one label per text."""
    labels = LabelSpace(["a", "b"])
    rows = kind([{"a"}, {"b", "a"}, set()])
    assert_array_equal(check_label_matrix(rows, labels=labels).toarray(), [[1, 0], [1, 1], [0, 0]])


@pytest.mark.parametrize(
    ("Y", "error", "message"),
    [
        (5, TypeError, "`y` must be an indicator matrix .* got 5"),
        ({0: [1]}, TypeError, "`y` must be an indicator matrix"),
        ([[1, 0], 5], TypeError, "`y` must hold one row or label set per text, got 5"),
        ([[[1], [1, 2]]], ValueError, "`y` must be an indicator matrix with rows of numbers"),
        ([{"c"}, set()], ValueError, "`y` must hold names of this label space only"),
    ],
)
def test_wrong_targets_by_name(Y, error, message):
    """Errors of numpy and of the label space told nothing of `y`."""
    with pytest.raises(error, match=message):
        check_label_matrix(Y, labels=LabelSpace(["a", "b"]), name="y")


def test_labels_that_are_no_label_space():
    """A list had no len() or no encode(), as an AttributeError said deep inside."""
    with pytest.raises(TypeError, match="`labels` must be a LabelSpace or None, got 0.5"):
        check_label_matrix([[1]], labels=0.5)


def test_maps_with_rows_of_different_lengths():
    """numpy's own words about an inhomogeneous shape came through."""
    with pytest.raises(ValueError, match="`label_to_meta` must be an indicator matrix"):
        check_label_to_meta([[1], [1, 0]], 2)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (10**400, ValueError, "below 2\\*\\*63 in size"),  # isfinite() of numpy takes none
        (10**5000, ValueError, "below 2\\*\\*63 in size"),  # nor has it digits that print
        (Fraction(1, 2), TypeError, "`lr` must be a number, got Fraction"),  # torch takes none
    ],
    ids=["long", "longer", "fraction"],
)
def test_numbers_that_nothing_computes_with(value, error, message):
    """They came through and failed in numpy or torch, during training."""
    with pytest.raises(error, match=message):
        check_number(value, "lr", minimum=0)


def test_a_half_precision_number_is_compared_exactly():
    """numpy rounded the bound to float16, so that 0 was no less than 1e-9."""
    with pytest.raises(ValueError, match="must be >= 1e-09"):
        check_number(np.float16(0), "lr", minimum=1e-9)


@pytest.mark.parametrize("value", ["x", -1, 2**32, 10**400, 0.5])
def test_seeds(value):
    with pytest.raises(ValueError, match="`random_state` must be an int from 0 to 2"):
        check_seed(value)
    assert check_seed(np.int64(3)) == 3
    assert check_seed(None) is None


class OnlyLength:
    def __len__(self):
        return 2


@pytest.mark.parametrize("X", [str, OnlyLength()])
def test_texts_that_only_have_a_length(X):
    """`list(X)` said that the object is not iterable, and not which argument it is."""
    with pytest.raises(TypeError, match="`X` must be a sequence of str"):
        check_texts(X)
