"""F1 of label sets: loops over sets, scikit-learn, golden cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.metrics import f1_score

from skrr2qc.metrics import f1_at_1, f1_per_label, hierarchical_f1, label_f1, precision_at_k, top_k

AVERAGES = ("micro", "macro", "samples")
STORAGES = (np.asarray, sparse.csr_array, sparse.csr_matrix)
INDICATORS = arrays(np.int64, (5, 6), elements=st.integers(0, 1))

# Nodes: 0, 1 roots; 2, 3 under 0; 4 under 1; 5 under both 2 and 4. Labels: nodes 1 to 5.
ANCESTORS = np.array(
    [
        [0, 1, 0, 0, 0, 0],
        [1, 0, 1, 0, 0, 0],
        [1, 0, 0, 1, 0, 0],
        [0, 1, 0, 0, 1, 0],
        [1, 1, 1, 0, 1, 1],
    ]
)


def f1_of_sets(true, predicted):
    total = len(true) + len(predicted)
    return 2 * len(true & predicted) / total if total else np.nan


def loop_f1(Y, P, average, zero_division):
    rows = (Y.T, P.T) if average == "macro" else (Y, P)
    entries = [(set(np.flatnonzero(t)), set(np.flatnonzero(p))) for t, p in zip(*rows, strict=True)]
    if average == "micro":
        entries = [(set(map(tuple, np.argwhere(Y))), set(map(tuple, np.argwhere(P))))]
    if zero_division == "supported":
        return np.mean([f1_of_sets(true, predicted) for true, predicted in entries if true])
    values = [f1_of_sets(true, predicted) for true, predicted in entries]
    return np.mean([zero_division if np.isnan(value) else value for value in values])


@settings(max_examples=100, deadline=None)
@given(Y=INDICATORS, P=INDICATORS)
def test_equals_loops_and_scikit_learn(Y, P):
    Y[0, 0] = 1
    for average in AVERAGES:
        for zero in (0, 1, "supported"):
            value = label_f1(Y, P, average=average, zero_division=zero)
            assert_allclose(value, loop_f1(Y, P, average, zero), rtol=1e-12)
            mixed = label_f1(sparse.csr_matrix(Y), P, average=average, zero_division=zero)
            both = sparse.csr_array(Y), sparse.csr_array(P)
            assert value == mixed == label_f1(*both, average=average, zero_division=zero)
            if zero != "supported":
                theirs = f1_score(Y, P, average=average, zero_division=zero)
                assert_allclose(value, theirs, rtol=1e-12)
    theirs = f1_score(Y, P, average=None, zero_division=np.nan)
    assert_allclose(f1_per_label(Y, P), theirs, rtol=1e-12)


@pytest.mark.parametrize("storage", STORAGES)
def test_golden_two_unused_labels(golden, storage):
    inputs, expected = golden("f1_metrics", "4x5_two_unused_labels")
    Y, P = storage(inputs["Y_true"]), storage(inputs["Y_pred"])
    assert_allclose(label_f1(Y, P), expected["micro"], rtol=1e-8)
    assert_allclose(label_f1(Y, P, average="samples"), expected["samples"], rtol=1e-8)
    for zero, name in ((0, "zero0"), (1, "zero1"), ("supported", "supported_labels_only")):
        value = label_f1(Y, P, average="macro", zero_division=zero)
        assert_allclose(value, expected[f"macro_{name}"], rtol=1e-8)
    per_label = np.nan_to_num(f1_per_label(Y, P), nan=0.0)
    assert_allclose(per_label, expected["per_label_zero0"], rtol=1e-8)


@pytest.mark.parametrize("storage", STORAGES)
def test_golden_empty_row(golden, storage):
    inputs, expected = golden("f1_metrics", "3x3_empty_row")
    Y, P = storage(inputs["Y_true"]), storage(inputs["Y_pred"])
    assert_allclose(label_f1(Y, P), expected["micro"], rtol=1e-8)
    for zero in (0, 1):
        value = label_f1(Y, P, average="macro", zero_division=zero)
        assert_allclose(value, expected[f"macro_zero{zero}"], rtol=1e-8)
    assert_allclose(label_f1(Y, P, average="samples"), expected["samples"], rtol=1e-8)
    value = label_f1(Y, P, average="samples", zero_division=1)
    assert_allclose(value, expected["samples_zero1"], rtol=1e-8)


@pytest.mark.parametrize("storage", STORAGES)
def test_golden_top_1(golden, storage):
    inputs, expected = golden("ranking_metrics", "3x5")
    Y, scores = storage(inputs["Y_true"]), storage(inputs["scores"])
    assert_allclose(f1_at_1(Y, scores), expected["top1_micro_f1"], rtol=1e-8)
    for zero in (0, 1):
        value = f1_at_1(Y, scores, average="macro", zero_division=zero)
        assert_allclose(value, expected[f"top1_macro_f1_zero{zero}"], rtol=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_top_1_micro_f1_is_a_function_of_precision(make_case, seed):
    """Eq. 16 of RR2QC carries no information beyond P@1, whatever the scores."""
    Y, scores, _ = make_case(seed, ties=seed % 2 == 0)
    expected = 2 * precision_at_k(Y, scores, 1) / (1 + Y.sum(axis=1).mean())
    assert_allclose(f1_at_1(Y, scores), expected, rtol=1e-12)


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("zero", [0, 1, "supported"])
def test_top_1_equals_f1_of_a_one_hot_prediction(make_case, fill, average, zero):
    Y, _, partial = make_case(2, ties=True)
    P = np.zeros_like(Y)
    for row, label in enumerate(top_k(partial, 1)[:, 0]):
        if label >= 0:
            P[row, label] = 1
    assert P.sum() < len(P)  # one row predicts nothing
    expected = loop_f1(Y, P, average, zero)
    options = {"average": average, "zero_division": zero}
    assert_allclose(f1_at_1(Y, partial, **options), expected, rtol=1e-12)
    assert f1_at_1(sparse.csr_array(Y), fill(partial), **options) == f1_at_1(Y, partial, **options)


@settings(max_examples=60, deadline=None)
@given(Y=arrays(np.int64, (4, 5), elements=st.integers(0, 1)), data=st.data())
def test_hierarchical_f1_equals_ancestor_sets(Y, data):
    P = data.draw(arrays(np.int64, (4, 5), elements=st.integers(0, 1)))
    Y[0, 0] = 1
    nodes = [set(np.flatnonzero(row)) for row in ANCESTORS]

    def extend(labels):
        return set().union(*(nodes[label] for label in np.flatnonzero(labels)))

    pairs = [(extend(t), extend(p)) for t, p in zip(Y, P, strict=True)]
    both = sum(len(true & predicted) for true, predicted in pairs)
    micro = 2 * both / sum(len(true) + len(predicted) for true, predicted in pairs)
    samples = np.nan_to_num([f1_of_sets(*pair) for pair in pairs], nan=0.0).mean()
    for storage in STORAGES:
        arguments = storage(Y), storage(P), storage(ANCESTORS)
        assert_allclose(hierarchical_f1(*arguments), micro, rtol=1e-12)
        assert_allclose(hierarchical_f1(*arguments, average="samples"), samples, rtol=1e-12)


def test_hierarchical_f1_by_hand():
    Y, P = np.array([[0, 1, 0, 0, 0]]), np.array([[0, 0, 1, 0, 0]])
    assert hierarchical_f1(Y, P, ANCESTORS) == 0.5  # {0, 2} and {0, 3}
    assert label_f1(Y, P) == 0.0
    deepest = np.array([[0, 0, 0, 0, 1]])
    assert_allclose(hierarchical_f1(Y, deepest, ANCESTORS), 2 * 2 / (2 + 5))


def test_a_flat_hierarchy_changes_nothing(make_case):
    Y, scores, _ = make_case(4)
    P = (scores > 0.6).astype(int)
    for average in ("micro", "samples"):
        flat = hierarchical_f1(Y, P, np.eye(Y.shape[1]), average=average)
        assert flat == label_f1(Y, P, average=average)


@pytest.mark.parametrize("average", AVERAGES)
def test_undefined(average):
    nothing = np.zeros((2, 3), dtype=int)
    options = {"average": average, "zero_division": "supported"}
    with pytest.warns(RuntimeWarning, match="label_f1 is undefined and set to nan"):
        assert np.isnan(label_f1(nothing, nothing, **options))
    with pytest.warns(RuntimeWarning, match="f1_at_1 is undefined and set to nan"):
        assert np.isnan(f1_at_1(nothing, nothing, **options))
    assert label_f1(nothing, nothing, average=average, zero_division=1) == 1.0


def test_no_labels_at_all():
    empty = np.empty((2, 0))
    assert f1_at_1(empty, empty) == 0.0
    with pytest.warns(RuntimeWarning, match="f1_at_1 is undefined"):
        assert np.isnan(f1_at_1(empty, empty, average="macro"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: label_f1([[1]], [[1]], average="weighted"), "`average` must be one of .*weighted"),
        (lambda: label_f1([[1]], [[1]], zero_division="warn"), "`zero_division` must be one of"),
        (lambda: label_f1([[1]], [[1, 0]]), r"`Y_true` and `Y_pred` .* \(1, 1\) and \(1, 2\)"),
        (lambda: f1_per_label([[1]], [[1, 0]]), "`Y_true` and `Y_pred`"),
        (lambda: f1_at_1([[1]], [[1, 0]]), "`Y_true` and `scores`"),
        (lambda: f1_at_1([[1]], [[1]], average=None), "`average` must be one of"),
        (lambda: hierarchical_f1([[1]], [[1]], [[1]], average="macro"), "`average` must be one of"),
        (lambda: hierarchical_f1([[1, 0]], [[1, 0]], [[1]]), "expected 2 rows, got shape"),
        (lambda: hierarchical_f1([[1, 0]], [[1, 0]], [[0, 0], [1, 0]]), "1 empty rows, .* row 0"),
        (lambda: hierarchical_f1([[1]], [[1]], [[2]]), "`ancestors` must hold only 0 and 1"),
    ],
)
def test_invalid_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_per_label_is_nan_only_where_nothing_is_known():
    f1 = f1_per_label([[1, 0, 0]], [[1, 1, 0]])
    assert_array_equal(f1, [1.0, 0.0, np.nan])
