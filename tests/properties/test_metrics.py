"""Metrics: any truth and any scores, in any form; a number within its range, or a clear error."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from skrr2qc import metrics
from skrr2qc.metrics import scorers

from .strategies import (
    attempt,
    examples,
    indicators,
    matrices_of,
    odd_values,
    refused,
    score_matrices,
    with_zeros,
    wrong_matrices,
)

RANKED = {
    "precision_at_k": metrics.precision_at_k,
    "recall_at_k": metrics.recall_at_k,
    "micro recall": lambda Y, S, k: metrics.recall_at_k(Y, S, k, average="micro"),
    "r_precision_at_k": metrics.r_precision_at_k,
    "ndcg_at_k": metrics.ndcg_at_k,
    "psprecision_at_k": lambda Y, S, k: metrics.psprecision_at_k(Y, S, k, np.full(Y.shape[1], 0.3)),
    "tail_ndcg_at_k": lambda Y, S, k: metrics.tail_ndcg_at_k(Y, S, k, np.arange(Y.shape[1]), 2),
    "tail alone": lambda Y, S, k: metrics.tail_ndcg_at_k(
        Y, S, k, np.arange(Y.shape[1]), 1, ranked="tail"
    ),
    "mean_reciprocal_rank": lambda Y, S, k: metrics.mean_reciprocal_rank(Y, S),
    "f1_at_1": lambda Y, S, k: metrics.f1_at_1(Y, S),
    "macro": lambda Y, S, k: metrics.f1_at_1(Y, S, average="macro", zero_division="supported"),
    "calibration": lambda Y, S, k: metrics.expected_calibration_error(Y, S, 4),
    "calibration of the best": lambda Y, S, k: metrics.expected_calibration_error(Y, S, 4, k=k),
}
SETS = {
    "label_f1": metrics.label_f1,
    "macro": lambda Y, P: metrics.label_f1(Y, P, average="macro"),
    "samples": lambda Y, P: metrics.label_f1(Y, P, average="samples", zero_division=1),
    "hierarchical_f1": lambda Y, P: metrics.hierarchical_f1(Y, P, np.eye(2, 3)),
}
wild = st.one_of(
    st.floats(allow_nan=False), st.sampled_from([np.inf, -np.inf, 1e308, -1e308, 5e-324])
)


@st.composite
def truth_and_scores(draw):
    Y = draw(indicators())
    return Y, draw(score_matrices(Y.shape)), draw(st.integers(1, Y.shape[1]))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@examples(10)
@given(truth_and_scores())
def test_ranked_metrics_agree_in_every_form(case):
    Y, scores, k = case
    stored = {
        kind: with_zeros(scores, kind) for kind in (sp.csr_array, sp.csc_matrix, sp.coo_array)
    }
    for name, metric in RANKED.items():
        expected = metric(Y, scores, k)
        assert isinstance(expected, float), name
        assert np.isnan(expected) or 0 <= expected <= 1, f"{name}: {expected}"
        for form in matrices_of(Y).values():
            if hasattr(form, "shape"):
                assert_array_equal(metric(form, scores, k), expected, err_msg=name)
        for kind, form in stored.items():
            assert_allclose(metric(Y, form, k), expected, rtol=1e-12, err_msg=f"{name} {kind}")
        for form in (scores.tolist(), np.asfortranarray(scores), scores[::-1][::-1]):
            assert_array_equal(metric(Y, form, k), expected, err_msg=name)


@examples(30)
@given(indicators().flatmap(lambda Y: arrays(np.float64, Y.shape, elements=wild)), st.data())
def test_the_best_labels_are_sorted_and_ties_go_to_the_first(scores, data):
    k = data.draw(st.integers(1, scores.shape[1]))
    before = scores.copy()
    best = metrics.top_k(scores, k)
    expected = np.lexsort((np.tile(np.arange(scores.shape[1]), (len(scores), 1)), -scores))[:, :k]
    found = np.take_along_axis(scores, expected, axis=1) > -np.inf
    assert_array_equal(best, np.where(found, expected, -1))
    assert_array_equal(metrics.top_k(with_zeros(scores, sp.csr_matrix), k), best)
    assert_array_equal(scores, before)
    Y = data.draw(indicators(*scores.shape))
    for name, metric in RANKED.items():
        value = attempt(lambda m=metric: m(Y, scores, k), about=["scores"])
        assert value is None or np.isnan(value) or 0 <= value <= 1, name


@examples(40)
@given(wrong_matrices(3, 2))
def test_wrong_matrices_are_refused(Y):
    good = np.eye(3, 2)
    for metric in RANKED.values():
        is_shaped = hasattr(Y, "shape") and len(Y.shape) == 2
        if is_shaped or "lambda" not in metric.__name__:
            refused(lambda m=metric: m(Y, good, 1), about=["Y_true"])
    for metric in SETS.values():
        refused(lambda m=metric: m(Y, good), about=["Y_true"])
        refused(lambda m=metric: m(good, Y), about=["Y_pred"])
    refused(lambda: metrics.f1_per_label(Y, good), about=["Y_true"])
    attempt(lambda: metrics.alignment(good, Y), about=["Y"])
    attempt(lambda: metrics.label_groups_by_frequency(Y), about=["Y_train"])
    attempt(lambda: metrics.jain_propensities(Y), about=["Y_train"])
    attempt(lambda: metrics.tail_ndcg_at_k(good, good, 1, Y), about=["Y_train"])
    attempt(lambda: metrics.label_group_report(good, good, Y, 1), about=["label_groups", "Y_train"])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@examples(12)
@given(indicators(3, 2), indicators(3, 2))
def test_label_sets_agree_in_every_form(Y, P):
    for name, metric in SETS.items():
        expected = metric(Y, P)
        assert 0 <= expected <= 1, name
        forms = zip(matrices_of(Y).values(), list(matrices_of(P).values())[::-1], strict=True)
        for left, right in forms:
            assert_array_equal(metric(left, right), expected, err_msg=name)
    per_label = metrics.f1_per_label(Y, P)
    assert_array_equal(np.isnan(per_label), ~(Y | P).any(axis=0))


CALLS = {  # what is varied -> a call with it; everything else is right
    "k": lambda v: metrics.precision_at_k(np.eye(3), np.eye(3), v),
    "scores": lambda v: metrics.ndcg_at_k(np.eye(3), v, 1),
    "average": lambda v: metrics.label_f1(np.eye(3), np.eye(3), average=v),
    "zero_division": lambda v: metrics.label_f1(np.eye(3), np.eye(3), zero_division=v),
    "ancestors": lambda v: metrics.hierarchical_f1(np.eye(3), np.eye(3), v),
    "n_bins": lambda v: metrics.expected_calibration_error(np.eye(3), np.eye(3), v),
    "propensities": lambda v: metrics.psprecision_at_k(np.eye(3), np.eye(3), 1, v),
    "a": lambda v: metrics.jain_propensities(np.eye(3), a=v),
    "b": lambda v: metrics.jain_propensities(np.eye(3), b=v),
    "alpha": lambda v: metrics.alignment(np.eye(3), np.ones((3, 1)), v),
    "t": lambda v: metrics.uniformity(np.eye(3), v),
    "threshold": lambda v: metrics.label_similarity_report(np.eye(3), v)["share_above"],
    "max_count": lambda v: metrics.tail_ndcg_at_k(np.eye(3), np.eye(3), 1, [0, 1, 2], v),
    "ranked": lambda v: metrics.tail_ndcg_at_k(np.eye(3), np.eye(3), 1, [0, 1, 2], ranked=v),
    "Y_train": metrics.label_groups_by_frequency,
    "label_groups": lambda v: metrics.label_group_report(np.eye(3), np.eye(3), v, 1),
    "group": lambda v: metrics.label_group_report(np.eye(3), np.eye(3), {"group": v}, 1),
    "embeddings": metrics.uniformity,
    "similarities": lambda v: metrics.rank_order_accuracy(v, np.arange(9).reshape(3, 3)),
    "ranks": lambda v: metrics.rank_similarity_profile(np.eye(3), v),
    "metric": scorers.make_at_k_scorer,
    "response_method": lambda v: (
        scorers.make_at_k_scorer(metrics.ndcg_at_k, response_method=v).response_method
    ),
}


@pytest.mark.parametrize("name", CALLS)
@examples(25)
@given(st.one_of(odd_values, st.floats(), st.integers(), st.sampled_from([None, True, [[1], [2]]])))
def test_odd_parameters(name, value):
    about = {"Y_train": ["Y_train"], "label_groups": ["label_groups", "Y_train"]}.get(name, [name])
    found = attempt(lambda: CALLS[name](value), about=about)
    if isinstance(found, float | np.ndarray):
        assert np.isfinite(found).all(), f"{found} for {value!r}"


@examples(40)
@given(indicators(4, 2), arrays(np.float64, (4, 3), elements=st.one_of(wild, st.floats(-2, 2))))
def test_embeddings(Y, embeddings):
    """Any size of vectors: directions of 1e-200 and of 1e200 are directions, too."""
    about = ["embeddings", "Y"]
    values = [
        attempt(lambda: metrics.alignment(embeddings, Y), about=about),
        attempt(lambda: metrics.uniformity(embeddings), about=about),
        attempt(lambda: metrics.alignment(sp.csr_matrix(embeddings), Y), about=about),
        attempt(lambda: metrics.uniformity(sp.csr_matrix(embeddings)), about=about),
    ]
    assert values[0] is None or 0 <= values[0] <= 4
    assert values[1] is None or -8 - 1e-9 <= values[1] <= 1e-9
    for one, other in zip(values[:2], values[2:], strict=True):
        assert (one is None) == (other is None)
        assert one is None or abs(one - other) < 1e-9
    report = attempt(lambda: metrics.label_similarity_report(embeddings), about=["embeddings"])
    if report is not None:
        assert -1 - 1e-9 <= report["mean"] <= 1 + 1e-9
        assert 0 <= report["share_above"] <= 1


@examples(40)
@given(
    arrays(np.float64, (3, 4), elements=st.one_of(wild, st.sampled_from([0.0, 0.5, 1.0]))),
    arrays(np.int64, (3, 4), elements=st.integers(-2, 3)),
)
def test_orders_and_profiles(similarities, ranks):
    about = ["similarities", "ranks"]
    value = attempt(lambda: metrics.rank_order_accuracy(similarities, ranks), about=about)
    assert value is None or 0 <= value <= 1
    profile = attempt(lambda: metrics.rank_similarity_profile(similarities, ranks), about=about)
    if profile is not None:
        distinct, means, stds, counts = profile
        assert np.isfinite([means, stds]).all()
        assert (stds >= 0).all()
        assert counts.sum() == (ranks >= 0).sum()
        assert_array_equal(distinct, np.unique(ranks[ranks >= 0]))


class Answers:
    """An estimator that gives one answer."""

    classes_ = [np.array([0, 1])] * 2

    def __init__(self, answer):
        self.answer = answer

    def predict_proba(self, X):
        return self.answer


@examples(60)
@given(odd_values, indicators(3, 2))
def test_scorers_take_any_answer(answer, Y):
    scorer = scorers.precision_at_1_scorer
    refused(lambda: scorer(Answers(answer), ["a", "b", "c"], Y), about=["scores"])
    refused(lambda: scorer(answer, ["a"], Y), about=["scorer"])
