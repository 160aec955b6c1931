"""Label groups: tie rule, subsets of Table 5, restricted nDCG."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skrr2qc.metrics import (
    f1_at_1,
    label_f1,
    label_group_report,
    label_groups_by_frequency,
    ndcg_at_k,
    precision_at_k,
    tail_ndcg_at_k,
    top_k,
)


def as_lists(groups):
    return {name: labels.tolist() for name, labels in groups.items()}


@pytest.mark.parametrize(
    ("counts", "head", "medium", "tail"),
    [
        ([9, 8, 7, 6, 5, 4], [0, 1], [2, 3], [4, 5]),
        ([0, 0, 0, 5, 6, 7], [4, 5], [3], [0, 1, 2]),  # ties of the tail's edge stay in the tail
        ([5, 5, 1, 2, 5, 0], [0, 1, 4], [3], [2, 5]),
        ([3, 3, 3, 3], [], [], [0, 1, 2, 3]),
        ([1, 1, 1, 1, 9], [4], [], [0, 1, 2, 3]),
        ([4], [], [], [0]),
    ],
)
def test_groups_keep_ties_together(counts, head, medium, tail):
    groups = as_lists(label_groups_by_frequency(counts))
    assert groups == {"head": head, "medium": medium, "tail": tail}


@pytest.mark.parametrize("seed", range(5))
def test_groups_partition_the_labels_and_ignore_their_order(seed):
    rng = np.random.default_rng(seed)
    counts = rng.zipf(1.5, size=50) % 40
    groups = label_groups_by_frequency(counts)
    assert_array_equal(np.sort(np.concatenate(list(groups.values()))), np.arange(50))
    assert len(groups["tail"]) >= 17
    if groups["head"].size and groups["medium"].size:
        assert counts[groups["head"]].min() > counts[groups["medium"]].max()
        assert counts[groups["medium"]].min() > counts[groups["tail"]].max()
    order = rng.permutation(50)
    for name, labels in label_groups_by_frequency(counts[order]).items():
        assert_array_equal(np.sort(order[labels]), groups[name])


def test_groups_from_a_matrix_equal_groups_from_counts(make_case):
    Y, _, _ = make_case(0)
    expected = as_lists(label_groups_by_frequency(Y.sum(axis=0)))
    assert as_lists(label_groups_by_frequency(Y)) == expected
    assert as_lists(label_groups_by_frequency(sparse.csr_matrix(Y))) == expected


def loop_restricted_ndcg(Y, scores, k, columns):
    values = []
    for truth, row in zip(Y[:, columns], scores[:, columns], strict=True):
        if truth.any():
            order = sorted(range(len(row)), key=lambda label: (-row[label], label))[:k]
            kept = [truth[label] if row[label] != -np.inf else 0 for label in order]
            best = sorted(truth, reverse=True)[:k]
            discount = 1 / np.log2(np.arange(2, len(kept) + 2))
            values.append((kept @ discount) / (best @ discount))
    return np.mean(values)


@pytest.mark.parametrize("storage", ["dense", "CSR"])
@pytest.mark.parametrize("seed", range(4))
def test_report_equals_the_metrics_of_its_subsets(make_case, fill, seed, storage):
    Y, scores, partial = make_case(seed, 40, 9, ties=seed % 2 == 0)
    groups = {"head": [0, 1], "medium": np.arange(9) == 4, "tail": [8, 5, 6]}
    if storage == "CSR":
        scores = fill(partial)
        report = label_group_report(sparse.csr_array(Y), partial, groups, k=4)
    else:
        report = label_group_report(Y, scores, groups, k=4)
    assert list(report) == ["head", "medium", "tail"]
    best = top_k(scores, 1)
    top = (np.arange(9) == best).astype(int)
    for name, columns in {"head": [0, 1], "medium": [4], "tail": [5, 6, 8]}.items():
        rows = np.array([row[columns].any() for row in Y])
        sub_Y, sub_scores = Y[rows], scores[rows]
        in_group = label_f1(Y[:, columns], top[:, columns], average="macro", zero_division=0)
        expected = {
            "n_labels": len(columns),
            "n_rows": rows.sum(),
            "precision_at_1": precision_at_k(sub_Y, sub_scores, 1),
            "precision_at_4": precision_at_k(sub_Y, sub_scores, 4),
            "ndcg_at_4": ndcg_at_k(sub_Y, sub_scores, 4),
            "micro_f1_at_1": f1_at_1(sub_Y, sub_scores),
            "macro_f1_at_1_paper": f1_at_1(sub_Y, sub_scores, average="macro", zero_division=1),
            "macro_f1_at_1": in_group,  # every label of these groups occurs
            "group_ndcg_at_4": loop_restricted_ndcg(Y, scores, 4, columns),
        }
        assert report[name].keys() == expected.keys()
        for key, value in expected.items():
            assert_allclose(report[name][key], value, rtol=1e-12, err_msg=f"{name} {key}")


def test_report_splits_counts_and_training_truth(make_case):
    Y, scores, _ = make_case(1)
    Y_train = make_case(2, 30)[0]
    by_groups = label_group_report(Y, scores, label_groups_by_frequency(Y_train))
    assert label_group_report(Y, scores, Y_train) == by_groups
    assert label_group_report(Y, scores, sparse.csr_array(Y_train)) == by_groups
    assert label_group_report(Y, scores, Y_train.sum(axis=0)) == by_groups


def test_macro_f1_of_a_group_sees_false_positives_outside_its_rows():
    Y = np.array([[1, 0], [0, 1], [0, 1]])
    scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9]])
    report = label_group_report(Y, scores, {"first": [0]}, k=1)["first"]
    assert report["precision_at_1"] == 1.0
    assert_allclose(report["macro_f1_at_1"], 2 / 3)


def test_macro_f1_of_a_group_leaves_out_labels_that_are_never_true():
    """Label 1 is predicted but never true, label 2 neither."""
    Y = np.array([[1, 0, 0], [1, 0, 0]])
    scores = np.array([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]])
    report = label_group_report(Y, scores, {"all": [0, 1, 2]}, k=1)["all"]
    assert_allclose(report["macro_f1_at_1"], 2 / 3)
    assert_allclose(report["macro_f1_at_1_paper"], (2 / 3 + 0 + 1) / 3)


@pytest.mark.filterwarnings("error")
def test_groups_without_rows_are_nan():
    Y, scores = np.array([[1, 0, 0]]), np.array([[0.9, 0.1, 0.2]])
    report = label_group_report(Y, scores, {"absent": [2], "empty": []}, k=2)
    assert (report["absent"]["n_labels"], report["absent"]["n_rows"]) == (1, 0)
    assert (report["empty"]["n_labels"], report["empty"]["n_rows"]) == (0, 0)
    for group in report.values():
        values = [value for name, value in group.items() if not name.startswith("n_")]
        assert len(values) == 7
        assert np.isnan(values).all()


@pytest.mark.parametrize("max_count", [0, 2, 5])
@pytest.mark.parametrize("k", [1, 3, 9])
@pytest.mark.parametrize("seed", range(3))
def test_tail_ndcg_equals_a_loop_over_the_rare_columns(make_case, fill, seed, k, max_count):
    Y, scores, partial = make_case(seed, 40, 9, ties=seed == 1)
    counts = np.array([0, 9, 1, 5, 80, 6, 0, 3, 2])
    columns = np.flatnonzero(counts <= max_count)
    assert columns.size
    value = tail_ndcg_at_k(Y, scores, k, counts, max_count, ranked="tail")
    assert_allclose(value, loop_restricted_ndcg(Y, scores, k, columns), rtol=1e-12)
    value = tail_ndcg_at_k(sparse.csr_array(Y), partial, k, counts, max_count, ranked="tail")
    assert_allclose(value, loop_restricted_ndcg(Y, fill(partial), k, columns), rtol=1e-12)
    assert value == tail_ndcg_at_k(Y, fill(partial), k, counts, max_count, ranked="tail")


def test_tail_ndcg_ignores_frequent_labels():
    Y, scores = np.array([[1, 1, 0], [1, 0, 0]]), np.array([[0.9, 0.2, 0.1], [0.1, 0.8, 0.9]])
    assert tail_ndcg_at_k(Y, scores, 1, [50, 5, 0], ranked="tail") == 1.0  # row 1 has no rare label
    swapped = scores[:, [0, 2, 1]]
    assert_allclose(tail_ndcg_at_k(Y, swapped, 3, [50, 5, 0], ranked="tail"), 1 / np.log2(3))
    Y_train = np.zeros((60, 3), dtype=int)
    Y_train[:50, 0], Y_train[:5, 1] = 1, 1
    assert tail_ndcg_at_k(Y, scores, 1, sparse.csr_array(Y_train), ranked="tail") == 1.0


@pytest.mark.parametrize("k", [1, 3, 5])
def test_tail_ndcg_against_all_labels_equals_a_loop(k):
    rng = np.random.default_rng(k)
    Y, scores = rng.random((40, 9)) < 0.3, rng.random((40, 9))
    counts = np.array([0, 9, 1, 5, 80, 6, 0, 3, 2])
    values = []
    for truth, row in zip(Y, scores, strict=True):
        rare = {j for j in np.flatnonzero(truth) if counts[j] <= 5}
        if rare:
            order = np.argsort(-row)[:k]
            gain = sum(1 / np.log2(r + 2) for r, j in enumerate(order) if j in rare)
            values.append(gain / sum(1 / np.log2(r + 2) for r in range(min(k, len(rare)))))
    expected = np.mean(values)
    assert 0 < expected < 1
    assert_allclose(tail_ndcg_at_k(Y.astype(int), scores, k, counts), expected, rtol=1e-12)
    sparse_Y = sparse.csr_array(Y.astype(np.float32))
    assert_allclose(tail_ndcg_at_k(sparse_Y, scores, k, counts), expected, rtol=1e-12)


@pytest.mark.parametrize("counts", [[9, 9], [9, 1]])
def test_tail_ndcg_undefined(counts):
    with pytest.warns(RuntimeWarning, match="no row has a true label with at most 5 training"):
        assert np.isnan(tail_ndcg_at_k([[1, 0]], [[0.5, 0.6]], 1, counts))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: label_groups_by_frequency([]), "`Y_train` must have at least one label"),
        (lambda: label_group_report([[1, 0]], [[1, 0]], {"a": [0]}, k=5), "got k == 5"),
        (lambda: label_group_report([[1, 0]], [[1, 0]], {"a": [2]}, k=1), "from 0 to 1, got .* 2"),
        (lambda: label_group_report([[1, 0]], [[1, 0]], {"a": [-1]}, k=1), "from 0 to 1"),
        (lambda: label_group_report([[1, 0]], [[1, 0]], {"a": ["x"]}, k=1), r"label_groups\['a'\]"),
        (lambda: label_group_report([[1, 0]], [[1, 0]], {"a": [True]}, k=1), "boolean mask of"),
        (lambda: label_group_report([[1, 0]], [[1, 0]], [1, 2, 3], k=1), "expected 2, got 3"),
        (lambda: tail_ndcg_at_k([[1, 0]], [[1, 0]], 1, [1, 2, 3]), "`Y_train` .* got 3"),
        (lambda: tail_ndcg_at_k([[1, 0]], [[1, 0]], 1, [1, 2], -1), "a finite number >= 0"),
        (lambda: tail_ndcg_at_k([[1, 0]], [[1, 0]], 3, [1, 2]), "got k == 3"),
        (lambda: tail_ndcg_at_k([[1, 0]], [[1, 0]], 1, [1, 2], ranked="x"), "`ranked` must be"),
    ],
)
def test_invalid_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
