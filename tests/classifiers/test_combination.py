"""The learned combination: its objective by a slow loop, its weights by another optimizer."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import approx_fprime, minimize
from scipy.special import expit

import skrr2qc.classifiers._combination as module
from skrr2qc._platt import fit_sigmoid
from skrr2qc.classifiers._combination import Combination, fit_combination, with_unseen_shift
from skrr2qc.metrics import ndcg_at_k

RIDGE, N_CANDIDATES = module._RIDGE, module._N_CANDIDATES
KINDS = {"retrieval": (1.0, 2.0), "meta_labels": (1.0, 1.0), "neighbors": (0.3, 0.2)}


def make_evidence(n_rows=150, n_labels=6, seed=0, kinds=KINDS):
    """Targets, and evidence that is the truth times a signal plus noise, for each kind."""
    rng = np.random.default_rng(seed)
    Y = rng.random((n_rows, n_labels)) < 0.25
    evidence = {
        name: (signal * Y + rng.normal(scale=noise, size=Y.shape)).astype(np.float32)
        for name, (signal, noise) in kinds.items()
    }
    return sp.csr_matrix(Y.astype(np.float32)), evidence


def best_labels(scores, k=N_CANDIDATES):
    return [np.argsort(-row, kind="stable")[:k] for row in scores]


def slow_objective(weights, Y, evidence, label_weights=None):
    """One row and one candidate at a time; weights are of standardised evidence."""
    names, Y = list(evidence), Y.toarray()
    best = enumerate(best_labels(evidence["retrieval"]))
    rows = [(i, c) for i, c in best if Y[i, c].any() and not Y[i, c].all()]
    spread = {n: np.std([evidence[n][i, c].astype(float) for i, c in rows]) for n in names}
    loss, total_weight = 0.0, 0.0
    label_weights = np.ones(Y.shape[1]) if label_weights is None else label_weights
    for i, columns in rows:
        sums = [
            sum(w * evidence[n][i, j] / spread[n] for w, n in zip(weights, names, strict=True))
            for j in columns
        ]
        wrong = sum(np.exp(s) for s, j in zip(sums, columns, strict=True) if not Y[i, j])
        right = [(s, label_weights[j]) for s, j in zip(sums, columns, strict=True) if Y[i, j]]
        loss += sum(w * (np.log(np.exp(s) + wrong) - s) for s, w in right) / len(right)
        total_weight += sum(weight for _, weight in right) / len(right)
    loss *= len(rows) / total_weight
    prior = [spread[n] if n == "retrieval" else 0.0 for n in names]
    return loss + RIDGE * sum((w - p) ** 2 for w, p in zip(weights, prior, strict=True))


@pytest.fixture
def objectives(monkeypatch):
    """What was minimised: functions of weights that give value and gradient."""
    seen = []

    def watched(fun, start, **kwargs):
        seen.append((fun, start))
        return minimize(fun, start, **kwargs)

    monkeypatch.setattr(module, "minimize", watched)
    return seen


def shares(combination):
    """Weights against that of retrieval: what the ranking depends on."""
    first = combination.weights["retrieval"]
    return {name: weight / first for name, weight in combination.weights.items()}


# --- applying ---------------------------------------------------------------------------------


def test_apply_by_hand():
    evidence = {"a": np.array([[1.0, -2.0]]), "b": np.array([[0.5, 4.0]])}
    scores = Combination({"a": 2.0, "b": 0.5}, intercept=-1.0).apply(evidence)
    assert_allclose(scores, expit([[2 + 0.25 - 1, -4 + 2 - 1]]), rtol=1e-6)
    assert scores.dtype == np.float32


def test_evidence_without_weight_need_not_be_there():
    combination = Combination({"a": 1.0, "b": 0.0})
    scores = combination.apply({"a": np.array([[0.0, 3.0]])})
    assert_allclose(scores, expit([[0.0, 3.0]]), rtol=1e-6)


@pytest.mark.parametrize("extreme", [0.0, 1e4, 1e30, np.inf])
def test_scores_stay_between_zero_and_one(extreme):
    with np.errstate(over="ignore"):
        scores = Combination({"a": 7.0}, 1.0).apply({"a": np.float32([[extreme, -extreme]])})
    assert ((scores >= 0) & (scores <= 1)).all()


# --- what is minimised ------------------------------------------------------------------------


def test_softmax_by_hand(objectives):
    """Two rows of two candidates, and one that tells nothing; spreads are 1."""
    Y = sp.csr_matrix([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    evidence = {"retrieval": np.array([[1.0, -1.0], [1.0, -1.0], [5.0, -9.0]])}
    fit_combination(Y, evidence)
    value, gradient = objectives[0][0](np.array([0.5]))
    log_total = np.log(np.exp(0.5) + np.exp(-0.5))
    assert value == pytest.approx((log_total - 0.5) + (log_total + 0.5) + RIDGE * 0.5**2)
    mean = np.tanh(0.5)  # of the evidence under the softmax
    assert gradient == pytest.approx([(mean - 1) + (mean + 1) + 2 * RIDGE * (0.5 - 1)])


def test_labels_of_a_row_do_not_compete(objectives):
    """Three candidates, two of them right: each against the third alone."""
    Y = sp.csr_matrix([[1.0, 1.0, 0.0]])
    evidence = {"retrieval": np.array([[2.0, 0.0, 1.0]])}
    fit_combination(Y, evidence)
    spread = np.std([2.0, 0.0, 1.0])
    value, _ = objectives[0][0](np.array([spread]))  # a weight of 1
    against = [np.log(1 + np.exp(1.0 - right)) for right in (2.0, 0.0)]
    assert value == pytest.approx(np.mean(against))


def test_objective_equals_slow_loop(objectives):
    Y, evidence = make_evidence(20, 40)  # more labels than candidates
    fit_combination(Y, evidence)
    for weights in np.random.default_rng(0).random((3, 3)):
        value, _ = objectives[0][0](weights)
        assert value == pytest.approx(slow_objective(weights, Y, evidence), rel=1e-9)


def test_weighted_objective_equals_slow_loop(objectives):
    Y, evidence = make_evidence(30)
    label_weights = np.array([5.0, 1.0, 0.5, 2.0, 0.1, 1.0])
    fit_combination(Y, evidence, label_weights)
    objective, start = objectives[0]
    for weights in (start, start + 0.3, np.arange(len(start)) + 0.5):
        expected = slow_objective(weights, Y, evidence, label_weights)
        assert objective(weights)[0] == pytest.approx(expected, rel=1e-5)
    weights = start + 0.3
    slope = approx_fprime(weights, lambda w: objective(w)[0], 1e-6)
    assert_allclose(objective(weights)[1], slope, rtol=1e-3, atol=1e-2)


def test_unit_of_label_weights_does_not_matter():
    Y, evidence = make_evidence()
    same, sevens = (fit_combination(Y, evidence, w).weights for w in (None, np.full(6, 7.0)))
    assert sevens == pytest.approx(same, rel=1e-4)


def test_evidence_for_labels_that_count_more_gets_more_weight():
    """It speaks for label 0 alone."""
    Y, evidence = make_evidence(kinds={"retrieval": (1.0, 2.0)})
    evidence["special"] = np.zeros(Y.shape, dtype=np.float32)
    evidence["special"][:, 0] = Y.toarray()[:, 0]
    same = shares(fit_combination(Y, evidence))["special"]
    more = shares(fit_combination(Y, evidence, np.array([20.0, 1, 1, 1, 1, 1])))["special"]
    assert more > 1.2 * same > 0


def test_gradient_by_finite_differences(objectives):
    fit_combination(*make_evidence(30))
    fun, start = objectives[0]
    for weights in [start, np.zeros(3), np.array([0.3, 2.0, 0.7])]:
        expected = approx_fprime(weights, lambda w: fun(w)[0], 1e-6)
        assert_allclose(fun(weights)[1], expected, rtol=1e-4, atol=1e-3)
        assert np.abs(expected).max() > 1


def test_weights_are_those_of_another_optimizer():
    Y, evidence = make_evidence(40)
    kind = {"bounds": [(0, None)] * 3, "method": "SLSQP"}
    best = minimize(slow_objective, [1.0, 0.1, 0.1], args=(Y, evidence), **kind)
    rows = np.flatnonzero(Y.getnnz(axis=1))
    spreads = np.array([z[rows].astype(float).std() for z in evidence.values()])
    found = np.array(list(fit_combination(Y, evidence).weights.values()))
    expected = best.x / spreads
    assert_allclose(found / found.sum(), expected / expected.sum(), atol=2e-3)


def test_sums_are_calibrated():
    Y, evidence = make_evidence(1500)
    combination = fit_combination(Y, evidence)
    scores = combination.apply(evidence)
    assert scores.mean() == pytest.approx(Y.mean(), abs=0.005)
    sure = scores > 0.5
    assert sure.any()
    assert scores[sure].mean() == pytest.approx(Y.toarray()[sure].mean(), abs=0.05)
    log_odds = np.log(scores / (1 - scores))
    assert_allclose(fit_sigmoid(Y, log_odds), (1, 0), atol=0.02)


def test_weights_are_plain_numbers():
    combination = fit_combination(*make_evidence())
    assert list(combination.weights) == list(KINDS)
    assert all(type(w) is float for w in combination.weights.values())
    assert type(combination.intercept) is float


# --- what it learns ---------------------------------------------------------------------------


def test_evidence_that_helps_is_used():
    Y, evidence = make_evidence(400)
    combination = fit_combination(Y[:200], {n: z[:200] for n, z in evidence.items()})
    assert min(combination.weights.values()) > 0
    scores = combination.apply({n: z[200:] for n, z in evidence.items()})
    alone = max(ndcg_at_k(Y[200:], z[200:], 5) for z in evidence.values())
    assert ndcg_at_k(Y[200:], scores, 5) > alone + 0.02


@pytest.mark.parametrize("seed", range(4))
def test_noise_gets_almost_no_weight(seed):
    kinds = {"retrieval": (2.0, 1.0), "noise": (0.0, 1.0)}
    Y, evidence = make_evidence(300, seed=seed, kinds=kinds)
    assert shares(fit_combination(Y, evidence))["noise"] < 0.1


@pytest.mark.parametrize("seed", range(4))
def test_few_rows_move_little(seed):
    """Ten rows tell next to nothing: noise that fits them by chance is held back by the ridge."""
    kinds = {"retrieval": (2.0, 1.0), "noise": (0.0, 1.0)}
    Y, evidence = make_evidence(10, seed=seed, kinds=kinds)
    assert shares(fit_combination(Y, evidence))["noise"] < 0.25


@pytest.mark.parametrize("signal", [-3.0, -0.5])
def test_weights_are_never_negative(signal):
    kinds = {"retrieval": (1.0, 1.0), "against": (signal, 1.0)}
    weights = fit_combination(*make_evidence(kinds=kinds)).weights
    assert weights["against"] == 0.0
    assert weights["retrieval"] > 0


def test_retrieval_may_lose_to_better_evidence_but_not_everything(objectives):
    """It keeps a tenth of the weight of 1 that it begins with."""
    kinds = {"retrieval": (-1.0, 1.0), "meta_labels": (2.0, 1.0)}
    Y, evidence = make_evidence(400, kinds=kinds)
    weights = fit_combination(Y, evidence).weights
    assert weights["meta_labels"] > 5 * weights["retrieval"] > 0
    scores = module._fit_softmax(
        np.stack([evidence[name].astype(float) for name in kinds], axis=2),
        Y.toarray() > 0, np.array([1.0, 0.0]), [0, 1],
    )  # fmt: skip
    assert scores[0] == pytest.approx(0.1)


def test_where_all_evidence_misleads_the_order_of_retrieval_stays():
    """All weights were 0: each label then had the same score, one number instead of a matrix."""
    kinds = {"retrieval": (-3.0, 0.5), "other": (-3.0, 0.5)}
    Y, evidence = make_evidence(400, kinds=kinds)
    combination = fit_combination(Y, evidence)
    assert combination.weights["retrieval"] > 0
    assert combination.weights["other"] == 0.0
    scores = combination.apply(evidence)
    assert scores.shape == Y.shape
    assert_array_equal(scores.argmax(axis=1), evidence["retrieval"].argmax(axis=1))


def without_labels(Y, evidence):
    return sp.csr_matrix(Y.shape, dtype=np.float32), evidence


def all_labels(Y, evidence):
    return sp.csr_matrix(np.ones(Y.shape, dtype=np.float32)), evidence


def one_label(Y, evidence):
    return Y[:, :1], {name: values[:, :1] for name, values in evidence.items()}


@pytest.mark.parametrize("change", [without_labels, one_label])
def test_rows_that_tell_nothing_leave_the_order_of_retrieval(change):
    Y, evidence = change(*make_evidence())
    combination = fit_combination(Y, evidence)
    assert combination.weights["retrieval"] > 0
    assert [w for n, w in combination.weights.items() if n != "retrieval"] == pytest.approx([0, 0])
    order = np.argsort(-combination.apply(evidence), axis=1, kind="stable")
    assert_array_equal(order, np.argsort(-evidence["retrieval"], axis=1, kind="stable"))


def test_labels_outside_of_the_candidates_teach_nothing():
    Y, evidence = make_evidence(60, 40)
    is_candidate = np.zeros(Y.shape, dtype=bool)
    for i, columns in enumerate(best_labels(evidence["retrieval"])):
        is_candidate[i, columns] = True
    assert not is_candidate.all()
    other = {n: np.where(is_candidate, z, z - (n != "retrieval")) for n, z in evidence.items()}
    changed = sp.csr_matrix(Y.toarray() * is_candidate)
    expected = shares(fit_combination(changed, evidence))
    assert shares(fit_combination(changed, other)) == pytest.approx(expected, rel=1e-4)
    assert shares(fit_combination(Y, evidence)) == pytest.approx(expected, rel=1e-4)


def test_order_of_rows_does_not_matter():
    Y, evidence = make_evidence()
    shuffled = np.random.default_rng(1).permutation(Y.shape[0])
    expected = fit_combination(Y, evidence)
    found = fit_combination(Y[shuffled], {n: z[shuffled] for n, z in evidence.items()})
    assert found.weights == pytest.approx(expected.weights, rel=1e-3)
    assert found.intercept == pytest.approx(expected.intercept, rel=1e-3)


def test_order_of_labels_does_not_matter():
    Y, evidence = make_evidence()
    shuffled = np.random.default_rng(1).permutation(Y.shape[1])
    expected = fit_combination(Y, evidence)
    found = fit_combination(Y[:, shuffled], {n: z[:, shuffled] for n, z in evidence.items()})
    assert found.weights == pytest.approx(expected.weights, rel=1e-3)


def test_scale_of_further_evidence_does_not_matter():
    Y, evidence = make_evidence()
    expected = fit_combination(Y, evidence).weights
    scaled = fit_combination(Y, evidence | {"neighbors": 8 * evidence["neighbors"]}).weights
    assert scaled["neighbors"] == pytest.approx(expected["neighbors"] / 8, rel=1e-3)
    assert scaled["meta_labels"] == pytest.approx(expected["meta_labels"], rel=1e-3)


def test_few_rare_labels_among_the_candidates_do_not_set_their_evidence_free():
    """Its spread was a fiftieth of the whole's: a weight of 30 cost the ridge next to nothing."""
    Y, evidence = make_evidence(300, n_labels=40)
    is_rare = np.arange(40) < 2
    noise = np.random.default_rng(1).normal(size=Y.shape)
    chance = is_rare * (0.01 * noise + 0.01 * Y.toarray()).astype(np.float32)
    free = fit_combination(Y, evidence | {"other": chance}).weights["other"]
    weights = fit_combination(Y, evidence | {"rare_neighbors": chance}).weights
    assert free > 5  # a hundred times that of the whole, for a hundredth of its range
    assert weights["rare_neighbors"] < weights["neighbors"]
    alone = {name: values for name, values in evidence.items() if name != "neighbors"}
    assert fit_combination(Y, alone | {"rare_neighbors": chance}).weights["rare_neighbors"] > 5


def test_a_part_with_the_spread_of_its_whole_counts_as_any():
    Y, evidence = make_evidence()
    part = evidence["neighbors"][::-1]
    expected = fit_combination(Y, evidence | {"other": part}).weights
    found = fit_combination(Y, evidence | {"rare_neighbors": part}).weights
    assert found["rare_neighbors"] == pytest.approx(expected["other"], rel=1e-3)


def test_constant_evidence_gets_no_weight():
    Y, evidence = make_evidence()
    expected = shares(fit_combination(Y, evidence))
    silent = np.full(Y.shape, 0.25, dtype=np.float32)
    combination = fit_combination(Y, evidence | {"silent": silent})
    assert combination.weights["silent"] == pytest.approx(0, abs=1e-9)
    found = shares(combination)
    del found["silent"]
    assert found == pytest.approx(expected, rel=1e-3)


def test_evidence_that_says_the_same_of_all_texts_gets_no_weight():
    """However well it does on these rows: it tells no text from another."""
    Y, evidence = make_evidence()
    frequency = np.tile(np.asarray(Y.mean(axis=0)), (Y.shape[0], 1)).astype(np.float32)
    combination = fit_combination(Y, evidence | {"frequency": frequency})
    assert combination.weights["frequency"] == 0
    frequency[0] += 0.5
    assert fit_combination(Y, evidence | {"frequency": frequency}).weights["frequency"] > 0


def test_only_so_many_rows_are_looked_at(monkeypatch):
    Y, evidence = make_evidence(60)
    monkeypatch.setattr(module, "_MAX_ENTRIES", 30 * Y.shape[1])
    few = fit_combination(Y, evidence)
    assert few == fit_combination(Y[:30], {n: z[:30] for n, z in evidence.items()})
    monkeypatch.undo()
    assert few != fit_combination(Y, evidence)


def test_every_label_of_a_row_right():
    """No candidate is wrong: nothing is to be told apart, and scores say that all are there."""
    Y, evidence = all_labels(*make_evidence())
    combination = fit_combination(Y, evidence)
    assert min(combination.weights.values()) >= 0
    assert combination.apply(evidence).mean() > 0.9


def test_inputs_are_left_alone():
    Y, evidence = make_evidence()
    before = {name: values.copy() for name, values in evidence.items()}
    fit_combination(Y, evidence)
    for name, values in evidence.items():
        assert_array_equal(values, before[name])


def test_rounding_errors_are_no_evidence():
    Y, evidence = make_evidence(kinds={"retrieval": (1.0, 2.0)})
    evidence["neighbors"] = np.float32(1e-6) * Y.toarray()  # as of texts that are all the same
    weights = fit_combination(Y, evidence).weights
    assert weights["neighbors"] * 1e-6 < 1e-3 * weights["retrieval"]


@pytest.mark.parametrize(("strength", "share"), [(0.01, 1.0), (5.0, 0.0)])
def test_what_ranks_worse_is_held_back(monkeypatch, strength, share):
    """The likelier weights cost up to 0.6 points of nDCG where labels are few."""
    rng = np.random.default_rng(0)
    Y = sp.csr_matrix((rng.random((300, 8)) < 0.2).astype(float))
    told = {
        "retrieval": Y.toarray() + rng.normal(scale=0.3, size=Y.shape),
        "noise": rng.normal(size=Y.shape),
    }
    weights = np.array([1.0, strength])
    monkeypatch.setattr(module, "_fit_softmax", lambda *args: weights)
    fitted = fit_combination(Y, told).weights
    assert_allclose(fitted["noise"] / fitted["retrieval"], share * strength, rtol=1e-9)


def test_half_of_what_ranks_worse_may_rank_better(monkeypatch):
    Y = sp.csr_matrix(np.repeat([[1.0, 0.0]], 4, axis=0))
    told = {
        "retrieval": np.array([[0.0, 1.0], [3.0, 0.0], [3.0, 0.0], [3.0, 0.0]]),
        "other": np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]),
    }
    monkeypatch.setattr(module, "_fit_softmax", lambda *args: np.array([1.0, 4.0]))
    fitted = fit_combination(Y, told).weights  # 4 and 2 x: rows 2-4 are lost at 4, none at 2
    assert_allclose(fitted["other"] / fitted["retrieval"], 2.0, rtol=1e-9)


@pytest.mark.parametrize("misled", [True, False])
def test_nearness_of_rare_labels_is_left_out_where_all_is_held_back(monkeypatch, misled):
    right = np.tile(np.eye(2), (2, 1))
    told = {"retrieval": right, "neighbors": right, "rare_neighbors": abs(misled - right)}

    def fit(told, *_):
        asked.append(told.any(axis=(0, 1)).tolist())
        return np.array([1.0, 1.0, 20.0]) * asked[-1]

    asked = []
    monkeypatch.setattr(module, "_fit_softmax", fit)
    weights = fit_combination(sp.csr_matrix(right), told).weights
    assert asked == [[True, True, True], [True, True, False]][: 1 + misled]
    assert {name for name, weight in weights.items() if weight} == (
        {"retrieval", "neighbors"} if misled else set(told)
    )


def test_retrieval_is_left_where_all_is_held_back_without_it_too(monkeypatch):
    right = np.tile(np.eye(2), (2, 1))
    told = {"retrieval": right, "neighbors": 1 - right, "rare_neighbors": 1 - right}
    monkeypatch.setattr(module, "_fit_softmax", lambda *args: np.array([1.0, 20.0, 20.0]))
    weights = fit_combination(sp.csr_matrix(right), told).weights
    assert [bool(weight) for weight in weights.values()] == [True, False, False]


# --- labels without a training text -------------------------------------------------------------


def make_unseen(n_rows=400, n_labels=9, n_unseen=3, scale=1.0):
    rng = np.random.default_rng(0)
    Y_train = np.zeros((60, n_labels))
    Y_train[np.arange(60), rng.integers(1, n_labels - n_unseen, size=60)] = 1
    Y_train[0] = np.eye(n_labels)[0]  # one label is seen once
    evidence = {
        "retrieval": scale * rng.normal(size=(n_rows, n_labels)),
        "votes": rng.normal(size=(n_rows, n_labels)),
    }
    return sp.csr_matrix(Y_train), evidence, Y_train.sum(axis=0) == 0


@pytest.mark.parametrize("intercept", [-6.0, 0.0, 6.0])
def test_as_many_unseen_labels_are_expected_as_labels_were_seen_once(intercept):
    Y_train, evidence, is_unseen = make_unseen()
    before = Combination({"retrieval": 1.0, "votes": 0.5}, intercept)
    after = with_unseen_shift(before, evidence, Y_train)
    scores = after.apply(evidence, is_unseen)
    assert scores[:, is_unseen].sum(axis=1).mean() == pytest.approx(2 / 62, rel=1e-3)
    assert_array_equal(scores[:, ~is_unseen], before.apply(evidence)[:, ~is_unseen])
    added = after.log_odds(evidence, is_unseen) - before.log_odds(evidence)
    assert_allclose(added[:, is_unseen], after.unseen_shift, rtol=1e-4)
    assert (after.weights, after.intercept) == (before.weights, before.intercept)


def test_several_labels_a_text_expect_more_unseen_ones():
    Y_train, evidence, is_unseen = make_unseen()
    Y_train = Y_train.toarray()
    Y_train[:, 1] = Y_train[:, 2] = 1
    combination = with_unseen_shift(
        Combination({"retrieval": 1.0}), evidence, sp.csr_matrix(Y_train)
    )
    n_true = Y_train.sum()
    n_expected = (1 + 1) / (2 + n_true) * n_true / 60
    scores = combination.apply(evidence, is_unseen)
    assert scores[:, is_unseen].sum(axis=1).mean() == pytest.approx(n_expected, rel=1e-3)


def test_no_shift_where_nothing_is_known_of_unseen_labels_or_there_are_none():
    Y_train, evidence, is_unseen = make_unseen()
    before = Combination({"retrieval": 1.0})
    same = {name: np.where(is_unseen, -13.8, z) for name, z in evidence.items()}
    assert with_unseen_shift(before, same, Y_train) == before
    seen = {name: z[:, ~is_unseen] for name, z in evidence.items()}
    assert with_unseen_shift(before, seen, Y_train[:, ~is_unseen]) == before
    nothing = {name: z[:0] for name, z in evidence.items()}
    assert with_unseen_shift(before, nothing, Y_train) == before


def test_no_shift_to_more_unseen_labels_than_there_are():
    """Of three texts with two labels each, all seen once: six new ones in three texts, of one."""
    Y_train = sp.csr_matrix(np.eye(7)[[0, 2, 4]] + np.eye(7)[[1, 3, 5]])
    evidence = {"retrieval": np.random.default_rng(0).normal(size=(3, 7))}
    before = Combination({"retrieval": 1.0})
    assert with_unseen_shift(before, evidence, Y_train) == before


@pytest.mark.parametrize(("sure", "shift"), [(30.0, -20.0), (-30.0, 0.0)])
def test_shift_is_bounded(sure, shift):
    """A text that is a label's own is as sure as can be; what is all but impossible is left."""
    Y_train, evidence, is_unseen = make_unseen(n_rows=3)
    evidence["retrieval"][:, is_unseen] = sure + evidence["retrieval"][:, is_unseen]
    found = with_unseen_shift(Combination({"retrieval": 2.0}), evidence, Y_train)
    assert found.unseen_shift == shift


def test_unseen_shift_counts_only_where_labels_are_known_to_be_unseen():
    _, evidence, is_unseen = make_unseen()
    shifted = Combination({"retrieval": 1.0}, 0.5, unseen_shift=2.0)
    plain = Combination({"retrieval": 1.0}, 0.5)
    assert_array_equal(shifted.apply(evidence), plain.apply(evidence))
    assert_array_equal(shifted.base(is_unseen), np.where(is_unseen, 2.5, 0.5))
    found = shifted.apply(evidence, is_unseen)
    expected = 1 / (1 + np.exp(-evidence["retrieval"] - np.where(is_unseen, 2.5, 0.5)))
    assert_allclose(found, expected, rtol=1e-5)
