"""rerank_scores: Eq. 15 by hand, by a slow loop, and what the options make of it."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from skrr2qc.classifiers import rerank_scores
from skrr2qc.classifiers._rerank_scores import mean_meta_scores
from tests.reference.reranking import slow_rerank

MAP = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 1]])  # (L, M)


def test_golden_four_labels(golden):
    inputs, expected = golden("meta_label_rerank", "four_labels")
    label_to_meta = np.zeros((4, 5))
    for label, meta in enumerate(inputs["label_to_meta"]):
        label_to_meta[label, meta] = 1
    scores = rerank_scores(
        np.array([inputs["label_scores"]]), np.array([inputs["meta_scores"]]), label_to_meta
    )
    assert_allclose(scores[0], expected["scores"], rtol=1e-12)
    assert_array_equal(np.argsort(-scores[0], kind="stable"), expected["ranking"])


def test_golden_unknown_meta_label_counts_as_zero_and_empty_label_keeps_its_score(golden):
    inputs, expected = golden("meta_label_rerank", "unknown_meta_and_empty")
    unknown = len(inputs["meta_scores"])  # a column of its own, which always scores 0
    label_to_meta = np.zeros((3, unknown + 1))
    for label, meta in enumerate(inputs["label_to_meta"]):
        label_to_meta[label, [unknown if m is None else m for m in meta]] = 1
    meta_scores = np.array([[*inputs["meta_scores"], 0.0]])
    scores = rerank_scores(np.array([inputs["label_scores"]]), meta_scores, label_to_meta)
    assert_allclose(scores[0], expected["scores"], rtol=1e-12)
    assert_array_equal(np.argsort(-scores[0], kind="stable"), expected["ranking"])


@st.composite
def rerank_inputs(draw):
    n, n_labels, n_meta = (draw(st.integers(1, 4)) for _ in range(3))
    unit = st.floats(0, 1, width=32).map(lambda v: round(v, 3))
    return (
        draw(arrays(np.float64, (n, n_labels), elements=unit)),
        draw(arrays(np.float64, (n, n_meta), elements=unit)),
        draw(arrays(np.float64, (n_labels, n_meta), elements=st.sampled_from([0.0, 1.0]))),
    )


@settings(max_examples=60, deadline=None)
@given(
    rerank_inputs(),
    st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    st.sampled_from(["arithmetic", "geometric"]),
    st.sampled_from([None, 1, 2, 9]),
)
def test_equals_slow_loop(inputs, alpha, mean, top_r):
    scores, meta_scores, label_to_meta = inputs
    meta_of = [np.flatnonzero(row) for row in label_to_meta]
    expected = slow_rerank(scores, meta_scores, meta_of, alpha, mean, top_r)
    options = {"alpha": alpha, "mean": mean, "top_r": top_r}
    for form in (np.asarray, sp.csr_matrix, sp.csc_matrix, sp.csr_array, sp.coo_matrix):
        reranked = rerank_scores(scores, meta_scores, form(label_to_meta), **options)
        assert_allclose(reranked, expected, rtol=1e-11, atol=1e-300)


@settings(max_examples=60, deadline=None)
@given(rerank_inputs(), st.floats(0.01, 1))
def test_constant_meta_scores_keep_the_order(inputs, constant):
    scores, meta_scores, label_to_meta = inputs
    label_to_meta[:, 0] = 1  # every label has a meta-label: all are scaled alike
    reranked = rerank_scores(scores, np.full_like(meta_scores, constant), label_to_meta)
    assert_allclose(reranked, scores * constant, rtol=1e-12)
    for before, after in zip(scores, reranked, strict=True):
        assert (np.diff(after[np.argsort(-before, kind="stable")]) <= 1e-15).all()


@settings(max_examples=60, deadline=None)
@given(rerank_inputs(), st.data())
def test_monotone_in_each_meta_score(inputs, data):
    scores, meta_scores, label_to_meta = inputs
    m = data.draw(st.integers(0, meta_scores.shape[1] - 1))
    higher = meta_scores.copy()
    higher[:, m] = np.minimum(1.0, higher[:, m] + data.draw(st.floats(0.01, 1)))
    before = rerank_scores(scores, meta_scores, label_to_meta)
    after = rerank_scores(scores, higher, label_to_meta)
    assert (after >= before).all()
    has_meta = label_to_meta[:, m] > 0
    assert_array_equal(after[:, ~has_meta], before[:, ~has_meta])


@settings(max_examples=60, deadline=None)
@given(rerank_inputs(), st.floats(0.01, 1))
def test_multiplicative_in_the_label_scores(inputs, factor):
    scores, meta_scores, label_to_meta = inputs
    assert_allclose(
        rerank_scores(factor * scores, meta_scores, label_to_meta),
        factor * rerank_scores(scores, meta_scores, label_to_meta),
        rtol=1e-12,
    )


def test_labels_with_equal_maps_keep_their_retrieval_order():
    rng = np.random.default_rng(0)
    scores, meta_scores = rng.random((50, 6)), rng.random((50, 3))
    reranked = rerank_scores(scores, meta_scores, np.tile([1, 0, 1], (6, 1)))
    assert_array_equal(np.argsort(-reranked, axis=1), np.argsort(-scores, axis=1))


def test_inputs_are_left_alone():
    rng = np.random.default_rng(0)
    given_arrays = rng.random((4, 5)), rng.random((4, 4)), sp.csr_matrix(MAP)
    copies = [a.copy() for a in given_arrays]
    rerank_scores(*given_arrays, alpha=2.0)
    assert_array_equal(given_arrays[0], copies[0])
    assert_array_equal(given_arrays[1], copies[1])
    assert_array_equal(given_arrays[2].toarray(), copies[2].toarray())


def test_hard_label_decisions_are_scores_too():
    """Integer label scores made the result an integer matrix: everything was cut down to 0."""
    scores = rerank_scores(np.array([[1, 0]]), np.array([[0.5]]), np.array([[1], [1]]))
    assert_array_equal(scores, [[0.5, 0.0]])


def test_stored_zeros_of_a_map_are_no_meta_labels():
    """A stored 0 counted in the divisor, though the label does not have the meta-label."""
    stored = sp.csr_matrix((np.array([1.0, 0.0]), np.array([0, 1]), np.array([0, 2])))
    assert stored.nnz == 2
    assert_allclose(rerank_scores(np.array([[0.5]]), np.array([[0.4, 0.4]]), stored), [[0.2]])


@pytest.mark.parametrize(
    "label_shape, meta_shape, map_shape",
    [((3, 2), (3, 4), (5, 4)), ((3, 2), (3, 4), (2, 3)), ((3, 2), (2, 4), (2, 4))],
)
def test_shapes_that_do_not_agree(label_shape, meta_shape, map_shape):
    with pytest.raises(ValueError, match=r"label_to_meta"):
        rerank_scores(np.ones(label_shape), np.ones(meta_shape), np.ones(map_shape))


def test_memory_stays_at_one_score_matrix(monkeypatch):
    """2,000 texts x 1,000 labels x 500 meta-labels: float32 throughout, the map stays sparse."""
    rng = np.random.default_rng(0)
    scores = rng.random((2000, 1000), dtype=np.float32)
    meta_scores = rng.random((2000, 500), dtype=np.float32)
    label_to_meta = sp.random(1000, 500, density=0.006, format="csr", random_state=0)
    label_to_meta.data[:] = 1  # float64, as sp.random gives it
    for name in ("toarray", "todense"):
        monkeypatch.setattr(sp.csr_matrix, name, None)
        monkeypatch.setattr(sp.csc_matrix, name, None)
    tracemalloc.start()
    try:
        reranked = rerank_scores(scores, meta_scores, label_to_meta)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reranked.dtype == np.float32
    assert peak < 2 * scores.nbytes  # less than one such matrix in float64


# --- the mean ---------------------------------------------------------------------------------


def test_means_by_hand():
    label_to_meta = sp.csr_matrix([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    meta_scores = np.array([[0.9, 0.1], [0.0, 0.25]])
    assert_allclose(mean_meta_scores(meta_scores, label_to_meta), [[0.5, 0.1, 1], [0.125, 0.25, 1]])
    geometric = mean_meta_scores(meta_scores, label_to_meta, "geometric")
    assert_allclose(geometric, [[0.3, 0.1, 1], [np.sqrt(1e-6 * 0.25), 0.25, 1]])


@settings(max_examples=60, deadline=None)
@given(rerank_inputs())
def test_geometric_mean_is_the_lower_one_and_within_the_scores(inputs):
    _, meta_scores, label_to_meta = inputs
    meta_scores = np.maximum(meta_scores, 1e-3)
    arithmetic = mean_meta_scores(meta_scores, sp.csr_matrix(label_to_meta))
    geometric = mean_meta_scores(meta_scores, sp.csr_matrix(label_to_meta), "geometric")
    assert (geometric <= arithmetic * (1 + 1e-12)).all()
    assert (geometric >= meta_scores.min() * (1 - 1e-12)).all()
    alone = label_to_meta.sum(axis=1) <= 1
    assert_allclose(geometric[:, alone], arithmetic[:, alone], rtol=1e-12)


def test_one_absent_meta_label_sinks_a_label_in_the_geometric_mean_alone():
    scores, meta_scores = np.array([[0.5, 0.5]]), np.array([[0.99, 0.0, 0.45]])
    label_to_meta = np.array([[1, 1, 0], [0, 0, 1]])
    arithmetic = rerank_scores(scores, meta_scores, label_to_meta)
    geometric = rerank_scores(scores, meta_scores, label_to_meta, mean="geometric")
    assert arithmetic[0, 0] > arithmetic[0, 1]
    assert geometric[0, 0] < 0.01 * geometric[0, 1]


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_type_of_the_scores_stays(mean, dtype):
    rng = np.random.default_rng(0)
    scores, meta_scores = rng.random((3, 5)).astype(dtype), rng.random((3, 4)).astype(dtype)
    assert rerank_scores(scores, meta_scores, MAP, mean=mean, top_r=2).dtype == dtype


# --- the best labels alone --------------------------------------------------------------------


def test_top_r_by_hand():
    """Label 0 and 1 change places; 2 and 3 keep theirs, though their meta-labels are certain."""
    scores = np.array([[0.8, 0.6, 0.5, 0.4]])
    meta_scores = np.array([[0.3, 0.9, 1.0]])
    label_to_meta = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]])
    reranked = rerank_scores(scores, meta_scores, label_to_meta, top_r=2)
    assert_allclose(reranked, [[0.8 * 0.3, 0.6 * 0.9, 0.5 * 0.3, 0.4 * 0.3]])
    everything = rerank_scores(scores, meta_scores, label_to_meta)
    assert everything.argmax() == 1
    assert everything[0, 2] > everything[0, 0]


@settings(max_examples=60, deadline=None)
@given(rerank_inputs(), st.integers(1, 5), st.sampled_from(["arithmetic", "geometric"]))
def test_labels_below_the_top_keep_their_order_and_stay_below(inputs, top_r, mean):
    scores, meta_scores, label_to_meta = inputs
    meta_scores = np.maximum(meta_scores, 1e-3)
    reranked = rerank_scores(scores, meta_scores, label_to_meta, mean=mean, top_r=top_r)
    for before, after in zip(scores, reranked, strict=True):
        order = np.argsort(-before, kind="stable")
        top, rest = order[:top_r], order[top_r:]
        assert (np.diff(after[rest]) <= 0).all()
        if rest.size:
            assert after[rest].max() <= after[top].min()
        assert set(np.argsort(-after, kind="stable")[:top_r]) == set(top)


def test_one_label_at_the_top_changes_no_order():
    rng = np.random.default_rng(0)
    scores, meta_scores = rng.random((50, 5)), rng.random((50, 4))
    reranked = rerank_scores(scores, meta_scores, MAP, top_r=1)
    assert_array_equal(np.argsort(-reranked, axis=1), np.argsort(-scores, axis=1))


@pytest.mark.parametrize("top_r", [5, 6, 10**6])
def test_as_many_at_the_top_as_there_are_labels_is_all_of_them(top_r):
    rng = np.random.default_rng(0)
    scores, meta_scores = rng.random((50, 5)), rng.random((50, 4))
    reranked = rerank_scores(scores, meta_scores, MAP, top_r=top_r)
    assert_array_equal(reranked, rerank_scores(scores, meta_scores, MAP))


@pytest.mark.parametrize(
    "params, error",
    [
        ({"mean": "harmonic"}, ValueError),
        ({"mean": None}, ValueError),
        ({"top_r": 0}, ValueError),
        ({"top_r": 2.5}, TypeError),
        ({"top_r": "all"}, TypeError),
    ],
)
def test_unknown_options(params, error):
    """A mean that does not exist was silently taken for the arithmetic one."""
    with pytest.raises(error, match=f"`{next(iter(params))}`"):
        rerank_scores(np.ones((1, 5)), np.ones((1, 4)), MAP, **params)
