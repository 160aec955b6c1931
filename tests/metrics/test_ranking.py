"""Ranking metrics: definitions in loops, napkinXC, scikit-learn, golden cases, memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.metrics import ndcg_score

from skrr2qc.metrics import (
    _topk,
    jain_propensities,
    label_group_report,
    mean_reciprocal_rank,
    ndcg_at_k,
    precision_at_k,
    psprecision_at_k,
    r_precision_at_k,
    recall_at_k,
)


def ranking_of(row):
    order = sorted(range(len(row)), key=lambda label: (-row[label], label))
    return [label for label in order if row[label] != -np.inf]


def loop_precision(Y, scores, k):
    found = [sum(t[label] for label in ranking_of(s)[:k]) for t, s in zip(Y, scores, strict=True)]
    return sum(found) / (k * len(Y))


def loop_recall(Y, scores, k):
    rows = [(t, s) for t, s in zip(Y, scores, strict=True) if sum(t)]
    return np.mean([sum(t[label] for label in ranking_of(s)[:k]) / sum(t) for t, s in rows])


def loop_micro_recall(Y, scores, k):
    found = [sum(t[label] for label in ranking_of(s)[:k]) for t, s in zip(Y, scores, strict=True)]
    return sum(found) / Y.sum()


def loop_r_precision(Y, scores, k):
    rows = [(t, s) for t, s in zip(Y, scores, strict=True) if sum(t)]
    return np.mean([sum(t[label] for label in ranking_of(s)[:k]) / min(k, sum(t)) for t, s in rows])


def loop_ndcg(Y, scores, k):
    values = []
    for truth, row in zip(Y, scores, strict=True):
        if sum(truth):
            ranked = enumerate(ranking_of(row)[:k], start=1)
            gain = sum(truth[label] / np.log2(rank + 1) for rank, label in ranked)
            best = sum(1 / np.log2(rank + 1) for rank in range(1, min(k, sum(truth)) + 1))
            values.append(gain / best)
    return np.mean(values)


def loop_psprecision(Y, scores, k, propensities):
    gained = best = 0.0
    for truth, row in zip(Y, scores, strict=True):
        weights = [t / p for t, p in zip(truth, propensities, strict=True)]
        gained += sum(weights[label] for label in ranking_of(row)[:k])
        best += sum(sorted(weights, reverse=True)[:k])
    return gained / best


def loop_mrr(Y, scores):
    values = []
    for truth, row in zip(Y, scores, strict=True):
        if sum(truth):
            ranks = [r for r, label in enumerate(ranking_of(row), start=1) if truth[label]]
            values.append(1 / min(ranks) if ranks else 0.0)
    return np.mean(values)


AT_K = [
    (precision_at_k, loop_precision),
    (recall_at_k, loop_recall),
    (lambda Y, s, k: recall_at_k(Y, s, k, average="micro"), loop_micro_recall),
    (r_precision_at_k, loop_r_precision),
    (ndcg_at_k, loop_ndcg),
    (lambda Y, s, k: mean_reciprocal_rank(Y, s), lambda Y, s, k: loop_mrr(Y, s)),
    (
        lambda Y, s, k: psprecision_at_k(Y, s, k, np.linspace(0.1, 1, Y.shape[1])),
        lambda Y, s, k: loop_psprecision(Y, s, k, np.linspace(0.1, 1, Y.shape[1])),
    ),
]


@pytest.mark.parametrize("k", [1, 3, 9])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("metric", "loop"), AT_K)
def test_equals_the_definition_in_every_storage(make_case, fill, metric, loop, seed, k):
    Y, scores, partial = make_case(seed, ties=seed % 2 == 0)
    expected = loop(Y, scores, k)
    assert_allclose(metric(Y, scores, k), expected, rtol=1e-12)
    assert metric(sparse.csr_matrix(Y), scores, k) == metric(Y, scores, k)
    filled = fill(partial)
    assert_allclose(metric(Y, partial, k), loop(Y, filled, k), rtol=1e-12)
    assert metric(Y, partial, k) == metric(sparse.csr_array(Y), filled, k)
    rows, columns = np.indices(Y.shape)
    full = sparse.csr_array((scores.ravel(), (rows.ravel(), columns.ravel())), shape=Y.shape)
    assert metric(Y, full, k) == metric(Y, scores, k)


@settings(max_examples=80, deadline=None)
@given(
    Y=arrays(np.int64, (4, 6), elements=st.integers(0, 1)),
    scores=arrays(np.float64, (4, 6), elements=st.floats(width=16, allow_nan=False)),
    k=st.integers(1, 6),
)
def test_properties_of_any_ranking(Y, scores, k):
    Y[0, 0] = 1
    for metric in (precision_at_k, recall_at_k, r_precision_at_k, ndcg_at_k):
        value = metric(Y, scores, k)
        assert 0 <= value <= 1
        assert_allclose(metric(Y, Y.astype(float), k), metric(Y, 2.0 * Y - 5, k), rtol=1e-12)
    for metric in (r_precision_at_k, ndcg_at_k):
        assert_allclose(metric(Y, Y, k), 1.0, rtol=1e-12)  # the truth is the best ranking
    assert_allclose(psprecision_at_k(Y, Y, k, np.ones(6)), 1.0, rtol=1e-12)
    assert recall_at_k(Y, scores, 6) >= recall_at_k(Y, scores, k)


@pytest.mark.parametrize("block_size", [1, 30])
def test_block_size_does_not_matter(monkeypatch, make_case, block_size):
    Y, scores, partial = make_case(5, ties=True)
    expected = mean_reciprocal_rank(Y, scores), mean_reciprocal_rank(Y, partial)
    monkeypatch.setattr(_topk, "BLOCK_SIZE", block_size)
    assert (mean_reciprocal_rank(Y, scores), mean_reciprocal_rank(Y, partial)) == expected


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("storage", ["dense", "full CSR", "partial CSR"])
def test_equals_napkinxc(make_case, seed, storage):
    napkinxc = pytest.importorskip("napkinxc.metrics")
    # Distinct scores, because napkinXC orders ties as its sort happens to.
    Y, scores, partial = make_case(seed, 40, 30, empty_rows=False, density=0.1)
    if storage != "dense":
        Y = sparse.csr_matrix(Y)
        scores = sparse.csr_matrix(scores + 1 if storage == "full CSR" else partial)
    K = range(1, 8)
    for name in ("precision_at_k", "recall_at_k", "ndcg_at_k"):
        ours = {"precision_at_k": precision_at_k, "recall_at_k": recall_at_k}.get(name, ndcg_at_k)
        theirs = getattr(napkinxc, name)(Y, scores, k=7)
        assert_allclose([ours(Y, scores, k) for k in K], theirs, rtol=1e-12)
    inverse = napkinxc.Jain_et_al_inverse_propensity(Y, A=0.6, B=2.6)
    propensities = jain_propensities(Y, a=0.6, b=2.6)
    assert_allclose(1 / propensities, inverse, rtol=1e-12)
    for normalize in (True, False):
        theirs = napkinxc.psprecision_at_k(Y, scores, inverse, k=7, normalize=normalize)
        ours = [psprecision_at_k(Y, scores, k, propensities, normalize=normalize) for k in K]
        assert_allclose(ours, theirs, rtol=1e-12)


def test_rows_without_labels_compared_with_napkinxc_and_scikit_learn(make_case):
    """Precision counts such rows as 0 like both; recall and nDCG skip what they count as 0."""
    Y, scores, _ = make_case(3, density=0.15)
    share = np.mean(Y.any(axis=1))
    assert share < 1
    assert_allclose(ndcg_at_k(Y, scores, 4) * share, ndcg_score(Y, scores, k=4), rtol=1e-12)
    napkinxc = pytest.importorskip("napkinxc.metrics")
    theirs = napkinxc.precision_at_k(Y, scores, k=4)[-1]
    assert_allclose(precision_at_k(Y, scores, 4), theirs, rtol=1e-12)
    for ours, name in ((recall_at_k, "recall_at_k"), (ndcg_at_k, "ndcg_at_k")):
        theirs = getattr(napkinxc, name)(Y, scores, k=4)[-1]
        assert_allclose(ours(Y, scores, 4) * share, theirs, rtol=1e-12)
    inverse = np.linspace(1, 3, Y.shape[1])
    theirs = napkinxc.psprecision_at_k(Y, scores, inverse, k=4)[-1]
    assert_allclose(psprecision_at_k(Y, scores, 4, 1 / inverse), theirs, rtol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_ndcg_equals_scikit_learn(make_case, seed, k):
    Y, scores, _ = make_case(seed, empty_rows=False)
    assert_allclose(ndcg_at_k(Y, scores, k), ndcg_score(Y, scores, k=k), rtol=1e-12)


@pytest.mark.parametrize("storage", [np.array, sparse.csr_array])
def test_golden_ranking(golden, storage):
    inputs, expected = golden("ranking_metrics", "3x5")
    Y, scores = storage(inputs["Y_true"]), storage(inputs["scores"])
    for k in (1, 2, 3):
        assert_allclose(precision_at_k(Y, scores, k), expected[f"P@{k}"], rtol=1e-8)
    for k in (3, 5):
        assert_allclose(ndcg_at_k(Y, scores, k), expected[f"N@{k}"], rtol=1e-8)


@pytest.mark.parametrize("storage", [np.array, sparse.csr_array])
def test_golden_propensities(golden, storage):
    inputs, expected = golden("ranking_metrics", "psp")
    counts = np.array(inputs["train_label_counts"])
    Y_train = storage((np.arange(inputs["n_train"])[:, None] < counts).astype(int))
    propensities = jain_propensities(Y_train, a=inputs["A"], b=inputs["B"])
    assert_allclose(1 / propensities, expected["inverse_propensity"], rtol=1e-8)
    Y, scores = storage(inputs["Y_true"]), storage(inputs["scores"])
    for k in (1, 3, 5):
        value = psprecision_at_k(Y, scores, k, propensities)
        assert_allclose(value, expected[f"PSP@{k}"], rtol=1e-8)


def test_jain_propensities_grow_with_frequency():
    Y_train = (np.arange(20)[:, None] < np.array([0, 1, 5, 20])).astype(int)
    propensities = jain_propensities(Y_train)
    assert np.all(np.diff(propensities) > 0)
    assert np.all((propensities > 0) & (propensities <= 1))


def test_equal_propensities_give_precision(make_case):
    Y, scores, _ = make_case(0)
    value = psprecision_at_k(Y, scores, 3, np.ones(Y.shape[1]), normalize=False)
    assert_allclose(value, precision_at_k(Y, scores, 3), rtol=1e-12)


def test_by_hand():
    Y = np.array([[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    scores = np.array([[0.2, 0.9, 0.8, 0.1], [0.4, 0.3, 0.2, 0.1], [1.0, 0.0, 0.0, 0.0]])
    assert_allclose(precision_at_k(Y, scores, 2), 1 / 6)
    assert_allclose(recall_at_k(Y, scores, 3), (2 / 2 + 0 / 1) / 2)
    assert_allclose(recall_at_k(Y, scores, 3, average="micro"), 2 / 3)
    assert_allclose(r_precision_at_k(Y, scores, 2), (1 / 2 + 0 / 1) / 2)
    assert_allclose(mean_reciprocal_rank(Y, scores), (1 / 2 + 1 / 4) / 2)
    best = 1 + 1 / np.log2(3)
    assert_allclose(ndcg_at_k(Y, scores, 4), ((1 / np.log2(3) + 0.5) / best + 1 / np.log2(5)) / 2)


def test_labels_that_were_not_retrieved_never_count():
    """Filling free places with arbitrary labels would reward a model for stopping early."""
    Y, scores = np.array([[1, 0, 1]]), sparse.csr_array(np.array([[0.0, 0.0, 0.3]]))
    assert precision_at_k(Y, scores, 3) == pytest.approx(1 / 3)
    assert recall_at_k(Y, scores, 3) == 0.5
    assert mean_reciprocal_rank(Y, sparse.csr_array((1, 3))) == 0.0


UNDEFINED = [
    lambda Y, s: recall_at_k(Y, s, 1),
    lambda Y, s: recall_at_k(Y, s, 1, average="micro"),
    lambda Y, s: r_precision_at_k(Y, s, 1),
    lambda Y, s: ndcg_at_k(Y, s, 1),
    lambda Y, s: psprecision_at_k(Y, s, 1, np.ones(2)),
    lambda Y, s: mean_reciprocal_rank(Y, s),
]


@pytest.mark.parametrize("n_rows", [0, 2])
@pytest.mark.parametrize("metric", UNDEFINED)
def test_undefined_without_labels(metric, n_rows):
    with pytest.warns(RuntimeWarning, match="undefined and set to nan: no row has a true label"):
        assert np.isnan(metric(np.zeros((n_rows, 2)), np.zeros((n_rows, 2))))


def test_precision_without_labels_is_zero_and_without_rows_undefined():
    assert precision_at_k(np.zeros((3, 2)), np.zeros((3, 2)), 1) == 0.0
    empty = np.empty((0, 2))
    with pytest.warns(RuntimeWarning, match="precision_at_k is undefined"):
        assert np.isnan(precision_at_k(empty, empty, 1))
    with pytest.warns(RuntimeWarning, match="psprecision_at_k is undefined"):
        assert np.isnan(psprecision_at_k(empty, empty, 1, np.ones(2), normalize=False))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: precision_at_k([[1, 0]], [[0.1, 0.2]], 3), "got k == 3"),
        (lambda: precision_at_k([[1, 0]], [[0.1, 0.2, 0.3]], 1), "`Y_true` and `scores`"),
        (lambda: recall_at_k([[1]], [[0.1]], 1, average="macro"), "`average` must be one of"),
        (lambda: psprecision_at_k([[1, 0]], [[1, 0]], 1, [0.5]), r"got shape \(1,\)"),
        (lambda: psprecision_at_k([[1, 0]], [[1, 0]], 1, [3.0, 1.0]), "pass 1 / values"),
        (lambda: psprecision_at_k([[1, 0]], [[1, 0]], 1, [0.0, 1.0]), r"lie in \(0, 1\]"),
        (lambda: psprecision_at_k([[1, 0]], [[1, 0]], 1, [np.nan, 1.0]), r"lie in \(0, 1\]"),
        (lambda: jain_propensities(np.ones((2, 3))), "at least 3 rows, got 2"),
        (lambda: jain_propensities(np.ones((5, 3)), a=0), "`a` must be a finite number > 0, got 0"),
        (lambda: mean_reciprocal_rank([[1, 0]], [[np.nan, 1]]), "`scores` must not contain NaN"),
    ],
)
def test_invalid_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_large_sparse_input_stays_sparse():
    n_samples, n_labels = 20_000, 50_000
    rng = np.random.default_rng(0)

    def draw(per_row):
        columns = rng.integers(n_labels // per_row, size=(n_samples, per_row))
        columns = columns + np.arange(per_row) * (n_labels // per_row)  # distinct within a row
        indptr = np.arange(0, n_samples * per_row + 1, per_row)
        return columns.ravel(), indptr

    columns, indptr = draw(3)
    Y = sparse.csr_array((np.ones(columns.size), columns, indptr), shape=(n_samples, n_labels))
    columns, indptr = draw(20)
    values = rng.random(columns.size)
    scores = sparse.csr_array((values, columns, indptr), shape=Y.shape) + 2 * Y
    tracemalloc.start()
    try:
        assert precision_at_k(Y, scores, 3) == 1.0
        assert ndcg_at_k(Y, scores, 5) == 1.0
        assert mean_reciprocal_rank(Y, scores) == 1.0
        assert psprecision_at_k(Y, scores, 5, jain_propensities(Y)) == pytest.approx(1.0)
        report = label_group_report(Y, scores, Y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report["tail"]["precision_at_1"] == 1.0
    assert peak < n_samples * n_labels / 8  # bytes; dense, even one byte an entry takes 1 GB


def test_inputs_are_not_changed(make_case):
    Y, scores, partial = make_case(0)
    copies = Y.copy(), scores.copy(), partial.copy()
    ndcg_at_k(Y, scores, 3)
    mean_reciprocal_rank(sparse.csr_array(Y), partial)
    assert_array_equal(Y, copies[0])
    assert_array_equal(scores, copies[1])
    assert_array_equal(partial.data, copies[2].data)
    assert_array_equal(partial.indices, copies[2].indices)


def test_propensities_of_extreme_constants():
    """An overflow times 0 made them NaN."""
    Y = np.eye(3)
    assert_allclose(jain_propensities(Y, a=1e4, b=1e8), 1 / (1 + np.log(3) - 1), rtol=1e-3)
    with pytest.raises(ValueError, match="`b` == 1e-300 give labels without examples"):
        jain_propensities(np.eye(3, 4), a=5.0, b=1e-300)
    with pytest.raises(ValueError, match="`a` must be a finite number > 0, got inf"):
        jain_propensities(Y, a=np.inf)


def test_propensities_that_are_no_numbers():
    """`could not convert string to float` named no argument."""
    with pytest.raises(TypeError, match="`propensities` must hold numbers"):
        psprecision_at_k(np.eye(2), np.eye(2), 1, ["a", "b"])
