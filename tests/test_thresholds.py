"""Decision rules: as good as trying every one, and what they do to scores."""

import json

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logit
from sklearn.metrics import f1_score

from skrr2qc._thresholds import (
    THRESHOLD_RULES,
    Decision,
    best_global_threshold,
    best_macro_threshold,
    cardinality_threshold,
    check_rule,
    choose_decision,
    per_label_thresholds,
)
from skrr2qc.metrics import top_k


def micro_f1(Y, predicted):
    hits = (Y * predicted).sum()
    return 2 * hits / max(Y.sum() + predicted.sum(), 1)


def best_f1_by_trying(Y, scores):
    candidates = [-np.inf, *np.unique(scores)]
    return max(micro_f1(Y, (scores > threshold).astype(int)) for threshold in candidates)


def random_case(seed, *, ties=False, shape=(12, 9), density=0.2):
    rng = np.random.default_rng(seed)
    Y = (rng.random(shape) < density).astype(int)
    Y[0, 0] = 1
    scores = rng.random(shape) + 0.5 * Y
    return Y, np.round(scores, 1) if ties else scores


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("seed", range(10))
def test_equals_trying_every_threshold(seed, dtype, ties):
    Y, scores = random_case(seed, ties=ties)
    scores = scores.astype(dtype)
    threshold = best_global_threshold(sp.csr_matrix(Y), scores)
    assert isinstance(threshold, float)
    found = f1_score(Y, scores > threshold, average="micro")
    assert found == pytest.approx(best_f1_by_trying(Y, scores))


@pytest.mark.parametrize("seed", range(5))
def test_few_positives_among_many_entries(seed):
    """Only the largest scores are sorted: the optimum must be among them."""
    Y, scores = random_case(seed, shape=(30, 200), density=0.002)
    assert 20 * Y.sum() + len(Y) < Y.size
    threshold = best_global_threshold(Y, scores)
    found = micro_f1(Y, (scores > threshold).astype(int))
    assert found == pytest.approx(best_f1_by_trying(Y, scores))


def test_lies_midway_between_accepted_and_rejected():
    Y = np.array([[1, 0], [0, 1]])
    assert best_global_threshold(Y, np.array([[0.75, 0.25], [0.0, 0.5]])) == 0.375


def test_accepts_everything_where_everything_is_true():
    scores = np.array([[0.2, 0.4]])
    assert best_global_threshold(np.ones((1, 2)), scores) < 0.2


def test_equal_scores_are_accepted_together():
    Y, scores = np.array([[1, 0, 0]]), np.array([[0.5, 0.5, 0.1]])
    assert 0.1 < best_global_threshold(Y, scores) < 0.5


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_without_positives_nothing_is_accepted(dtype):
    scores = np.array([[0.2, 0.9]], dtype=dtype)
    assert not (scores > best_global_threshold(np.zeros((1, 2)), scores)).any()


def test_takes_any_form_of_targets():
    Y, scores = random_case(3)
    expected = best_global_threshold(Y, scores)
    for kind in (sp.csr_matrix, sp.csc_array, sp.coo_matrix):
        assert best_global_threshold(kind(Y), scores) == expected


def test_threshold_of_float32_scores_parts_neighbours():
    """Midway between neighbours rounds to one of them: the accepted score has to stay above."""
    low = np.float32(0.3)
    for _ in range(4):
        high = np.nextafter(low, np.float32(1))
        scores = np.array([[high, low]], dtype=np.float32)
        threshold = best_global_threshold(np.array([[1, 0]]), scores)
        assert_array_equal(scores > np.float32(threshold), [[True, False]])
        low = high


# --- one threshold for macro-F1 ---------------------------------------------------------------


def macro_f1(Y, predicted):
    has_positive = Y.any(axis=0)
    return f1_score(
        Y[:, has_positive], predicted[:, has_positive], average="macro", zero_division=0
    )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_macro_equals_trying_every_threshold(seed, ties):
    Y, scores = random_case(seed, ties=ties, shape=(14, 6))
    Y[:, 2] = 0
    threshold = best_macro_threshold(Y, scores)
    tried = [macro_f1(Y, scores > t) for t in [-np.inf, *np.unique(scores)]]
    assert macro_f1(Y, scores > threshold) == pytest.approx(max(tried))


def test_macro_by_hand():
    """Micro-F1 leaves the rare label out, macro-F1 accepts a wrong entry for it."""
    Y = np.array([[1, 0], [1, 0], [1, 0], [0, 1]])
    scores = np.array([[0.9, 0.0], [0.8, 0.1], [0.7, 0.3], [0.5, 0.2]])
    assert best_macro_threshold(Y, scores) == pytest.approx(0.15)
    assert best_global_threshold(Y, scores) == pytest.approx(0.6)
    assert best_macro_threshold(np.zeros((4, 2)), scores) > 0.9


# --- one threshold a label --------------------------------------------------------------------


def label_f1(y, predicted):
    return 2 * (y & predicted).sum() / max(y.sum() + predicted.sum(), 1)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "shape, density", [((12, 9), 0.2), ((90, 40), 0.02), ((70, 7), 0.5), ((40, 3), 0.97)]
)
@pytest.mark.parametrize("seed", range(3))
def test_every_label_as_good_as_trying_every_cut(seed, shape, density, dtype, ties):
    """Labels whose best F1 is below 2 / 21 keep the common threshold: nothing is to be found."""
    Y, scores = random_case(seed, ties=ties, shape=shape, density=density)
    Y[:, 1] = 0
    scores = scores.astype(dtype)
    thresholds = per_label_thresholds(sp.csr_matrix(Y), scores, 0.123, shrinkage=0)
    assert thresholds.shape == (shape[1],)
    n_chosen = 0
    for y, s, threshold in zip(Y.T.astype(bool), scores.T, thresholds, strict=True):
        best = max(label_f1(y, s >= t) for t in s)
        if not y.any() or best < 2 / 21:
            assert threshold == 0.123
        else:
            assert label_f1(y, s > threshold) == pytest.approx(best)
            n_chosen += 1
    assert n_chosen > 1


def test_fewest_labels_of_equally_good_cuts():
    y, scores = np.array([[1], [0], [0], [1]]), np.array([[0.9], [0.8], [0.7], [0.6]])
    assert label_f1(y, scores > 0.85) == label_f1(y, scores > 0.55)
    assert per_label_thresholds(y, scores, 0.5, 0) == pytest.approx(0.85)


def test_cut_below_what_was_sorted_lies_midway_to_the_next_score():
    Y, scores = np.zeros((60, 1), dtype=int), np.linspace(0.9, 0.31, 60)[:, None]
    Y[:30] = 1
    threshold = per_label_thresholds(Y, scores, 0.5, 0)[0]
    assert threshold == pytest.approx((scores[29, 0] + scores[30, 0]) / 2)
    assert per_label_thresholds(np.ones((60, 1)), scores, 0.5, 0)[0] == pytest.approx(0.31)


def test_rare_label_with_hopeless_scores_keeps_the_common_threshold():
    """Accepting 40 entries for one true one is no evidence on where to cut."""
    Y, scores = np.zeros((50, 1)), np.linspace(0.9, 0.1, 50)[:, None]
    Y[40] = 1
    assert per_label_thresholds(Y, scores, 0.7, 0) == 0.7


@pytest.mark.parametrize("shrinkage", [1, 10.0])
def test_shrinkage_averages_log_odds(shrinkage):
    Y, scores = random_case(0, shape=(30, 5), density=0.3)
    scores = scores / 2
    own, common = per_label_thresholds(Y, scores, 0.4, 0), 0.4
    weight = Y.sum(axis=0) / (Y.sum(axis=0) + shrinkage)
    expected = expit(weight * logit(own) + (1 - weight) * logit(common))
    assert_allclose(per_label_thresholds(Y, scores, common, shrinkage), expected, rtol=1e-12)


def test_shrinkage_of_decision_values_averages_them():
    Y, scores = random_case(0, shape=(30, 5), density=0.3)
    scores = 8 * scores - 5
    own, weight = per_label_thresholds(Y, scores, -0.4, 0), Y.sum(axis=0) / (Y.sum(axis=0) + 10.0)
    expected = weight * own + (1 - weight) * -0.4
    assert_allclose(per_label_thresholds(Y, scores, -0.4), expected, rtol=1e-12)


def test_more_shrinkage_is_nearer_to_the_common_threshold():
    Y, scores = random_case(0, shape=(30, 5), density=0.3)
    scores = scores / 2
    away = [np.abs(per_label_thresholds(Y, scores, 0.3, s) - 0.3) for s in (0, 1, 10, 1e9)]
    assert all((more <= less).all() for less, more in zip(away, away[1:], strict=False))
    assert away[0].max() > 0.02
    assert_allclose(away[-1], 0, atol=1e-6)


@pytest.mark.parametrize("shrinkage", [-1, None, np.nan])
def test_invalid_shrinkage(shrinkage):
    with pytest.raises(ValueError, match="`shrinkage` must be a number >= 0"):
        per_label_thresholds([[1]], [[0.5]], 0.5, shrinkage)


# --- cardinality ------------------------------------------------------------------------------


@pytest.mark.parametrize("density", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_as_many_labels_as_there_are(seed, density):
    Y, scores = random_case(seed, shape=(20, 8), density=density)
    threshold = cardinality_threshold(sp.csr_array(Y), scores)
    assert (scores > threshold).sum() == Y.sum()


@pytest.mark.parametrize("n_true, n_predicted", [(1, 1), (2, 1), (3, 4), (5, 5)])
def test_nearest_cardinality_that_equal_scores_allow(n_true, n_predicted):
    Y = np.zeros((1, 6))
    Y[0, :n_true] = 1
    scores = np.array([[0.9, 0.5, 0.5, 0.5, 0.2, 0.1]])
    assert (scores > cardinality_threshold(Y, scores)).sum() == n_predicted


# --- decisions --------------------------------------------------------------------------------


def test_k_best_labels_of_every_text():
    Y, scores = random_case(1, ties=True, shape=(40, 6), density=0.4)
    decision = choose_decision(Y, scores, "top_k")
    assert decision.k == round(Y.sum() / 40) == 2
    predicted = decision.apply(scores)
    assert_array_equal(predicted.sum(axis=1), 2)
    rows = np.arange(40)[:, None]
    assert (predicted[rows, top_k(scores, 2)] == 1).all()  # the same of equal scores


def test_a_text_without_a_label_is_given_its_first():
    scores = np.array([[0.1, 0.3, 0.3], [0.6, 0.7, 0.1], [-np.inf] * 3, [-np.inf, 0.2, -np.inf]])
    decision = Decision("global", 0.5, at_least_one=True)
    expected = [[0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]]  # of equal scores, as top_k has it
    assert_array_equal(decision.apply(scores), expected)
    by_label = Decision("per_label", np.array([0.5, 0.5, 0.2]), at_least_one=True)
    assert_array_equal(by_label.apply(scores)[0], [0, 0, 1])  # it has one: no further is added
    assert decision.apply(np.empty((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("rule", ["global", "per_label", "cardinality"])
def test_thresholds_are_the_same_whether_or_not_every_text_gets_one(rule):
    Y, scores = random_case(5, shape=(50, 6))
    lax, strict = (choose_decision(Y, scores, rule, at_least_one=b) for b in (True, False))
    assert_array_equal(lax.threshold, strict.threshold)
    few = scores - 5
    assert lax.apply(few).any(axis=1).all()
    assert not strict.apply(few).any()
    assert not choose_decision(Y, scores, 9.0, at_least_one=True).apply(scores).any()


@pytest.mark.parametrize(
    "n_true, k", [([0, 0, 1], 1), ([1, 1, 3], 2), ([1, 2], 2), ([4, 4], 4), ([2, 3, 2], 2)]
)
def test_number_of_labels_is_the_rounded_mean_and_at_least_one(n_true, k):
    Y = (np.arange(4) < np.array(n_true)[:, None]).astype(int)
    assert choose_decision(Y, np.ones(Y.shape), "top_k").k == k


def test_labels_scored_minus_infinity_are_never_predicted():
    Y, scores = random_case(2, shape=(30, 5))
    scores[:, 3], Y[:, 3] = -np.inf, 0
    scores[4] = -np.inf
    for rule in THRESHOLD_RULES:
        decision = choose_decision(Y, scores, rule)
        predicted = decision.apply(scores)
        assert not predicted[:, 3].any()
        assert not predicted[4].any()
        assert predicted.any()
        assert not np.isnan(decision.threshold).any()


def test_rules_use_the_functions_above():
    Y, scores = random_case(3, shape=(50, 6))
    common = (best_macro_threshold(Y, scores) + cardinality_threshold(Y, scores)) / 2
    assert choose_decision(Y, scores).threshold == best_global_threshold(Y, scores)
    assert choose_decision(Y, scores, "cardinality").threshold == cardinality_threshold(Y, scores)
    expected = per_label_thresholds(Y, scores, common)
    assert_array_equal(choose_decision(Y, scores, "per_label").threshold, expected)
    assert choose_decision(Y, scores, 0.25).threshold == 0.25
    scores = expit(scores)  # midway in log-odds
    ends = logit([best_macro_threshold(Y, scores), cardinality_threshold(Y, scores)])
    expected = per_label_thresholds(Y, scores, expit(ends.mean()))
    assert_array_equal(choose_decision(Y, scores, "per_label").threshold, expected)


@pytest.mark.parametrize("rule", [*THRESHOLD_RULES, 0.5])
def test_decision_is_plain_and_copied_by_its_parts(rule):
    Y, scores = random_case(4, shape=(50, 6))
    decision = choose_decision(Y, scores.astype(np.float32), rule)
    predicted = decision.apply(scores)
    assert predicted.dtype == np.int8
    copy = Decision(**vars(decision))
    assert_array_equal(copy.apply(scores), predicted)
    assert joblib.hash(copy) == joblib.hash(decision)
    state = {k: np.asarray(v).tolist() for k, v in vars(decision).items()}
    assert_array_equal(Decision(**json.loads(json.dumps(state))).apply(scores), predicted)
    assert repr(decision).startswith(f"Decision({decision.rule!r}, ")


def test_repr_says_what_was_chosen():
    assert repr(Decision("top_k", -np.inf, 3)) == "Decision('top_k', k=3)"
    assert repr(Decision("fixed", 0.25)) == "Decision('fixed', threshold=0.25)"
    found = repr(Decision("per_label", np.array([0.125, 0.75])))
    assert found == "Decision('per_label', 2 thresholds, 0.125 to 0.75)"


@pytest.mark.parametrize(
    "rule", ["auto", None, True, np.nan, np.inf, ["global"], np.float64("nan")]
)
def test_unknown_rules(rule):
    with pytest.raises(ValueError, match=r"`threshold` must be one of 'global', .* got .*\. A "):
        check_rule(rule)
    with pytest.raises(ValueError, match="`rule` must be one of 'global'"):
        choose_decision([[1]], [[0.5]], rule)


@pytest.mark.parametrize("rule", THRESHOLD_RULES)
@pytest.mark.parametrize("n_rows", [0, 3])
def test_nothing_to_choose_on(rule, n_rows):
    message = f"on {n_rows} held-out rows without any positive. Hold out more rows"
    with pytest.raises(ValueError, match=message):
        choose_decision(np.zeros((n_rows, 2)), np.ones((n_rows, 2)), rule)


def test_scores_that_do_not_fit():
    with pytest.raises(ValueError, match=r"same shape \(n, L\), got \(1, 2\) and \(1, 3\)"):
        choose_decision([[1, 0]], [[0.1, 0.2, 0.3]])
    with pytest.raises(ValueError, match="must not contain NaN, got 1 of 2 values"):
        choose_decision([[1, 0]], [[0.1, np.nan]])
    decision = choose_decision([[1, 0]], [[0.5, 0.2]], "per_label")
    with pytest.raises(ValueError, match=r"got shape \(1, 3\) for 2 thresholds"):
        decision.apply(np.ones((1, 3)))


# --- scores of -inf ---------------------------------------------------------------------------


def with_unreachable(seed, *, ties=False, shape=(14, 6)):
    """Positives among entries that are never to be predicted; a sixth of all entries."""
    Y, scores = random_case(seed, ties=ties, shape=shape, density=0.3)
    scores = np.where(np.random.default_rng(seed + 99).random(shape) < 1 / 6, -np.inf, scores / 2)
    assert (Y[scores == -np.inf] == 1).any()
    return Y, scores


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_unreachable_positives_stay_missed_whatever_the_cut(seed, ties):
    """They counted as hits of a cut below every score, which no threshold makes."""
    Y, scores = with_unreachable(seed, ties=ties)
    cuts = [-1.0, *np.unique(scores[scores > -np.inf])]
    micro, macro = best_global_threshold(Y, scores), best_macro_threshold(Y, scores)
    assert micro_f1(Y, scores > micro) == pytest.approx(max(micro_f1(Y, scores > t) for t in cuts))
    assert macro_f1(Y, scores > macro) == pytest.approx(max(macro_f1(Y, scores > t) for t in cuts))
    thresholds = per_label_thresholds(Y, scores, 0.123, shrinkage=0)
    for y, s, threshold in zip(Y.T, scores.T, thresholds, strict=True):
        best = max(label_f1(y, s > t) for t in cuts)
        assert label_f1(y, s > threshold) == pytest.approx(best)
    assert np.isfinite([micro, macro, *thresholds]).all()


@pytest.mark.parametrize("seed", range(3))
def test_unreachable_positives_are_not_made_up_for(seed):
    Y, scores = with_unreachable(seed)
    n_reachable = Y[scores > -np.inf].sum()
    assert (scores > cardinality_threshold(Y, scores)).sum() == n_reachable
    assert choose_decision(Y, scores, "top_k").k == round(n_reachable / len(Y))


def test_unreachable_positives_are_no_evidence_on_a_labels_own_cut():
    Y, scores = np.array([[1], [1], [0], [1]]), np.array([[0.4], [0.3], [0.1], [-np.inf]])
    expected = expit((2 * logit(0.2) + 10 * logit(0.5)) / 12)
    assert_allclose(per_label_thresholds(Y, scores, 0.5), expected, rtol=1e-12)


@pytest.mark.parametrize("lowest", [-np.inf, 0.01])
def test_common_threshold_averages_log_odds_of_probabilities(lowest):
    """One score of -inf made it the arithmetic mean, as if the others were no probabilities."""
    Y, scores = random_case(3, shape=(50, 6))
    scores = expit(scores)
    Y, scores = np.hstack([Y, np.zeros((50, 1))]), np.hstack([scores, np.full((50, 1), lowest)])
    ends = logit([best_macro_threshold(Y, scores), cardinality_threshold(Y, scores)])
    expected = per_label_thresholds(Y, scores, expit(ends.mean()))
    assert_allclose(choose_decision(Y, scores, "per_label").threshold, expected, rtol=1e-12)


@pytest.mark.parametrize("rule", THRESHOLD_RULES)
def test_no_positive_can_be_reached(rule):
    Y, scores = np.array([[1, 0], [1, 0]]), np.array([[-np.inf, 0.5], [-np.inf, 0.2]])
    with pytest.raises(ValueError, match="all 2 positives.* score -inf.*Hold out more rows"):
        choose_decision(Y, scores, rule)
    for choose in (best_global_threshold, best_macro_threshold, cardinality_threshold):
        assert not (scores > choose(Y, scores)).any()
    assert_array_equal(per_label_thresholds(Y, scores, 0.4), [0.4, 0.4])


def test_explicit_zeros_are_no_positives():
    Y, scores = random_case(5)
    stored = sp.coo_matrix(np.ones(Y.shape)).tocsr()
    stored.data[:] = Y.ravel()
    for rule in THRESHOLD_RULES:
        found, expected = (choose_decision(form, scores, rule) for form in (stored, Y))
        assert_array_equal(found.threshold, expected.threshold)
        assert found.k == expected.k
    assert stored.nnz == Y.size


@pytest.mark.parametrize("rule", [10**400, -(10**400), 2**2000])
def test_rules_too_large_for_a_float(rule):
    """The conversion to a float raised an OverflowError."""
    with pytest.raises(ValueError, match="`threshold` must be one of"):
        check_rule(rule)
