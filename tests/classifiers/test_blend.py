"""Retrieval channels: blending by hand, weights by brute force, calibration by an optimizer."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier

from skrr2qc._platt import fit_sigmoid
from skrr2qc.classifiers._blend import (
    ChannelBlend,
    choose_blend,
    logits_of,
    unseen_log_odds,
    weighted_sum,
)
from skrr2qc.metrics import ndcg_at_k, precision_at_k


class Fixed:
    """A channel whose logits are known; None says that it must not be asked."""

    def __init__(self, logits):
        self.logits = logits

    def decision_function(self, X):
        assert self.logits is not None, "asked for scores that count for nothing"
        return np.tile(np.float32(self.logits), (len(X), 1))


def make_channels(n_rows=120, n_labels=8, seed=0):
    """Targets, and logits of three channels that err independently, the last one the most."""
    rng = np.random.default_rng(seed)
    Y = rng.random((n_rows, n_labels)) < 0.2
    Y[np.arange(n_rows), rng.integers(n_labels, size=n_rows)] = True
    names = {"head": (4.0, 3.0), "lexical": (0.5, 0.3), "label_texts": (0.2, 0.3)}
    logits = {
        name: (signal * Y - 5 + rng.normal(scale=noise, size=Y.shape)).astype(np.float32)
        for name, (signal, noise) in names.items()
    }
    return sp.csr_matrix(Y.astype(np.float32)), logits


# --- blending ---------------------------------------------------------------------------------

SCALES = {"a": (0.0, 2.0), "b": (1.0, 0.5)}


def test_blend_by_hand():
    blend = ChannelBlend(None, {"a": 0.25, "b": 0.75}, SCALES, curve=(3.0, 1.0))
    logits = {"a": np.array([[4.0, -8.0]]), "b": np.array([[0.0, 2.0]])}
    total = [[0.25 * 2 + 0.75 * -2, 0.25 * -4 + 0.75 * 2]]
    assert_allclose(weighted_sum(logits, blend.weights, blend.scales), total)
    assert_allclose(blend.blend(logits), expit(3 * np.array(total) + 1), rtol=1e-6)


def test_blend_asks_its_channels_and_leaves_their_logits():
    channels = {"a": Fixed([4.0, -8.0]), "b": Fixed([0.0, 2.0])}
    blend = ChannelBlend(channels, {"a": 0.25, "b": 0.75}, SCALES, unseen=[0])
    scores = blend.predict_proba(["one", "two", "three"])
    assert_allclose(scores[:, 1], np.full(3, expit(0.5)), rtol=1e-6)
    assert scores.dtype == np.float32
    for name in ("a", "label_texts"):
        logits = {name: np.ones((1, 2), dtype=np.float32)}
        ChannelBlend(None, {name: 1.0}, {name: (0.0, 1.0)}, unseen=[0]).blend(logits)
        assert_array_equal(logits[name], np.ones((1, 2)))


def test_channel_without_weight_is_not_asked():
    channels = {"head": Fixed([1.0, 2.0]), "lexical": Fixed(None), "label_texts": Fixed(None)}
    scales = dict.fromkeys(channels, (0.0, 1.0))
    scores = ChannelBlend(channels, {"head": 1.0}, scales).predict_proba(["a", "b"])
    assert_allclose(scores, [expit([1.0, 2.0])] * 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("channels", "weighed", "unseen", "names"),
    [
        ("head lexical label_texts", "head", [], "head"),
        ("head lexical label_texts", "head", [3], "head label_texts"),
        ("head lexical label_texts", "head", np.array([], dtype=int), "head"),
        ("head lexical label_texts", "head", np.array([0]), "head label_texts"),
        ("head lexical label_texts", "label_texts lexical", [0], "lexical label_texts"),
        ("label_texts head", "label_texts", [0, 1], "label_texts"),
        ("label_texts head", "head", [0, 1], "label_texts head"),
        ("head lexical", "lexical head", [0], "head lexical"),
        ("head lexical", "lexical", [0], "lexical"),
    ],
)
def test_names_of_the_channels_that_are_needed(channels, weighed, unseen, names):
    """In the order of the channels: those with weight, and the one that unseen labels live on."""
    channels = {name: Fixed([0.0] * 4) for name in channels.split()}
    weights = dict.fromkeys(weighed.split(), 0.5)
    blend = ChannelBlend(channels, weights, dict.fromkeys(channels, (0.0, 1.0)), unseen=unseen)
    assert blend.names == names.split()
    for name in set(channels) - set(blend.names):
        channels[name].logits = None
    assert blend.predict_proba(["a"]).shape == (1, 4)


def test_repr_is_short():
    """With the fitted channels in it, a page that shows the pipeline took ten seconds."""
    blend = ChannelBlend({"head": Fixed([0.0])}, {"head": 1.0}, {"head": (0.0, 1.0)})
    assert repr(blend) == str(blend) == "ChannelBlend(weights={'head': 1.0})"


@pytest.mark.parametrize("extreme", [0.0, 1e-30, 40.0, 1e30, np.inf])
@pytest.mark.parametrize("name", ["b", "label_texts"])
def test_scores_stay_between_zero_and_one(extreme, name):
    scales = {"a": (0.0, 1e-6), name: (1.0, 1e-6)}
    blend = ChannelBlend(None, {"a": 0.5, name: 0.5}, scales, curve=(0.05, -700.0), unseen=[2])
    logits = np.array([[extreme, -extreme, extreme]], dtype=np.float32)
    with np.errstate(over="ignore"):
        scores = blend.blend({"a": logits, name: logits})
    assert np.isfinite(scores).all()
    assert ((scores >= 0) & (scores <= 1)).all()
    assert scores.dtype == np.float32


# --- labels without training texts ------------------------------------------------------------


def test_unseen_labels_rank_last_whatever_a_channel_says():
    logits = {"head": np.float32([[50.0, -20.0, 3.0], [-25.0, -29.0, 90.0]])}
    blend = ChannelBlend(None, {"head": 1.0}, {"head": (0.0, 1.0)}, unseen=[0, 2])
    scores = blend.blend(logits)
    assert (scores[:, [0, 2]] < scores[:, [1]]).all()
    assert (scores[:, [0, 2]] > 0).all()


@pytest.mark.parametrize(
    ("weights", "totals"),
    [
        # Standardised: head 1, -1, 3; label_texts -2, 4, 6.
        ({"head": 1.0}, [1.0, 0.5 * -1 + 0.5 * 4, 0.5 * 3 + 0.5 * 6]),
        ({"label_texts": 1.0}, [-2.0, 4.0, 6.0]),
        ({"head": 0.75, "label_texts": 0.25}, [0.25, 0.5 * 0.25 + 0.5 * 4, 0.5 * 3.75 + 0.5 * 6]),
    ],
)
def test_half_of_an_unseen_label_is_its_text(weights, totals):
    logits = {"head": np.float32([[5.0, 1.0, 9.0]]), "label_texts": np.float32([[0.1, 0.7, 0.9]])}
    scales = {"head": (3.0, 2.0), "label_texts": (0.3, 0.1)}
    blend = ChannelBlend(None, weights, scales, curve=(0.5, -1.0), unseen=[1, 2])
    expected = expit(0.5 * np.array([totals]) - 1.0)
    assert_allclose(blend.blend(logits), expected, rtol=1e-5)
    channels = {name: Fixed(z[0]) for name, z in logits.items()}
    assert_allclose(blend.set_params(channels=channels).predict_proba(["a"]), expected, rtol=1e-5)


def test_without_unseen_labels_the_channel_counts_by_its_weight_alone():
    Y, logits = make_channels()
    settings = choose_blend(Y, logits) | {"weights": {"head": 0.5, "lexical": 0.5}}
    expected = ChannelBlend(None, **settings).blend({n: logits[n] for n in ("head", "lexical")})
    assert_array_equal(ChannelBlend(None, **settings).blend(logits), expected)


@pytest.mark.parametrize("weights", [{"head": 1.0}, {"head": 0.6, "label_texts": 0.4}])
def test_scores_of_other_labels_do_not_depend_on_unseen_ones(weights):
    Y, logits = make_channels()
    settings = choose_blend(Y, logits) | {"weights": weights}
    expected = ChannelBlend(None, **settings).blend(logits)
    with_channel = ChannelBlend(None, **settings, unseen=[2, 5]).blend(logits)
    seen = [0, 1, 3, 4, 6, 7]
    assert_array_equal(with_channel[:, seen], expected[:, seen])
    assert (with_channel[:, [2, 5]] != expected[:, [2, 5]]).any()
    if "label_texts" not in weights:
        without = ChannelBlend(None, **settings, unseen=[2, 5]).blend({"head": logits["head"]})
        assert_array_equal(without[:, seen], expected[:, seen])
        assert (without[:, [2, 5]].max(axis=1) < without[:, seen].min(axis=1)).all()


def test_unseen_label_that_matches_best_comes_first():
    """The head knows nothing of it and puts it where it puts most labels: below its mean."""
    head = np.float32([[2.0, 4.0, -6.0, 1.0]])
    own = np.float32([[0.1, 0.0, 0.9, 0.0]])
    scales = {"head": (0.0, 4.0), "label_texts": (0.1, 0.1)}
    blend = ChannelBlend(None, {"head": 1.0}, scales, unseen=[2])
    assert blend.blend({"head": head, "label_texts": own}).argmax() == 2
    unlike = np.where(own == np.float32(0.9), np.float32(0.0), own)
    assert blend.blend({"head": head, "label_texts": unlike}).argmin() == 2


def test_every_label_may_be_unseen():
    own = np.float32([[0.1, 0.5, 0.3]])
    blend = ChannelBlend(None, {"a": 1.0}, {"a": (0, 1), "label_texts": (0, 1)}, unseen=range(3))
    logits = {"a": np.zeros((1, 3), dtype=np.float32), "label_texts": own}
    assert_allclose(blend.blend(logits), expit(0.5 * own), rtol=1e-6)


def test_shift_moves_unseen_labels_alone():
    Y, logits = make_channels()
    settings = choose_blend(Y, logits)
    blend = ChannelBlend(None, **settings, unseen=[2, 5], unseen_shift=-1.5)
    shifted, plain = blend.blend(logits), blend.set_params(unseen_shift=0.0).blend(logits)
    seen = [0, 1, 3, 4, 6, 7]
    assert_array_equal(shifted[:, seen], plain[:, seen])
    unseen = [2, 5]
    assert_allclose(logit(shifted[:, unseen]), logit(plain[:, unseen]) - 1.5, rtol=1e-4, atol=1e-4)


def test_unseen_labels_have_a_curve_of_their_own():
    logits = {"head": np.float32([[5.0, 1.0]]), "label_texts": np.float32([[0.1, 0.7]])}
    scales = {"head": (3.0, 2.0), "label_texts": (0.3, 0.1)}
    blend = ChannelBlend(
        None, {"head": 1.0}, scales, (0.5, -1.0), unseen_curve=(2.0, -3.0), unseen=[1],
        unseen_shift=0.25,
    )  # fmt: skip
    own = 0.5 * -1 + 0.5 * 4
    expected = expit([[0.5 * 1 - 1, 2 * own - 3 + 0.25]])
    assert_allclose(blend.blend(logits), expected, rtol=1e-5)


def test_without_a_label_text_no_shift_lifts_an_unseen_label():
    logits = {"head": np.float32([[5.0, 9.0]])}
    blend = ChannelBlend(
        None, {"head": 1.0}, {"head": (0.0, 1.0)}, unseen_curve=(1.0, 50.0), unseen=[1],
        unseen_shift=40.0,
    )  # fmt: skip
    assert blend.blend(logits)[0, 1] < 1e-12


def test_curve_of_unseen_labels_is_tried_on_seen_ones():
    """It is that of the sum that they would get, were they unseen: half of it their own text."""
    Y, logits = make_channels(400)
    settings = choose_blend(Y, logits)
    standard = weighted_sum(logits, settings["weights"], settings["scales"])
    own = weighted_sum(logits, {"label_texts": 1.0}, settings["scales"])
    expected = fit_sigmoid(Y, 0.5 * standard + 0.5 * own)
    assert settings["unseen_curve"] == pytest.approx(expected, rel=1e-3)
    assert settings["unseen_curve"] != pytest.approx(settings["curve"], rel=0.05)
    del logits["label_texts"]
    assert choose_blend(Y, logits)["unseen_curve"] is None


def test_unseen_scores_are_calibrated_on_seen_labels():
    """Were all labels unseen, and as frequent as seen ones, the scores would be probabilities."""
    Y, logits = make_channels(2000)
    blend = ChannelBlend(None, **choose_blend(Y, logits), unseen=range(8))
    assert blend.blend(logits).mean() == pytest.approx(Y.mean(), abs=0.01)


@pytest.mark.parametrize(
    ("counts", "share"),
    [
        ([5, 3, 1, 1, 0], 3 / 12),  # (1 + 2) / (2 + 10)
        ([5, 3, 2, 0, 0, 0], 1 / 12),
        ([1, 0], 2 / 3),
        ([1, 1, 1, 1, 0], 5 / 6),
        ([1000, 0], 1 / 1002),
    ],
)
def test_how_rare_unseen_labels_are_by_hand(counts, share):
    """Half the logarithm of the odds of an occurrence, shared among the labels of each kind."""
    rows = np.repeat(np.arange(len(counts)), counts)
    Y = sp.csr_matrix(np.eye(len(counts))[rows])
    n_unseen = counts.count(0)
    odds = share / (1 - share) * (len(counts) - n_unseen) / n_unseen
    assert unseen_log_odds(Y) == pytest.approx(0.5 * np.log(odds), rel=1e-12)
    assert type(unseen_log_odds(Y)) is float


def test_rarer_the_more_there_are_and_the_fewer_occur_once():
    def shift(n_once, n_often, n_unseen):
        counts = [1] * n_once + [9] * n_often + [0] * n_unseen
        return unseen_log_odds(sp.csr_matrix(np.repeat(np.eye(len(counts)), counts, axis=0)))

    assert shift(2, 8, 20) < shift(2, 8, 5) < shift(6, 4, 5)
    assert shift(0, 10, 5) < 0


@pytest.mark.parametrize("Y", [np.eye(3), np.ones((2, 1)), np.zeros((4, 3))])
def test_no_shift_where_all_labels_are_alike(Y):
    assert unseen_log_odds(sp.csr_matrix(Y)) == 0.0


# --- vectors at hand --------------------------------------------------------------------------


class Head(Fixed):
    """Scores vectors that it made itself, and counts how often it makes some."""

    n_times = 0

    def embed(self, X):
        self.n_times += 1
        return np.float32([[len(text), 1.0] for text in X])

    def score_embeddings(self, vectors):
        return vectors @ np.float32([self.logits, np.ones(len(self.logits))])

    def decision_function(self, X):
        return self.score_embeddings(self.embed(X))


def test_vectors_at_hand_spare_the_head():
    head, X = Head([0.5, -1.0]), ["one", "three"]
    channels = {"head": head, "lexical": Fixed([2.0, 0.0])}
    weights = {"head": 0.5, "lexical": 0.5}
    blend = ChannelBlend(channels, weights, dict.fromkeys(weights, (0.0, 1.0)))
    expected = blend.predict_proba(X)
    assert head.n_times == 1
    assert_allclose(expected[0], expit([0.5 * 2.5 + 1, 0.5 * -2]), rtol=1e-6)
    assert_array_equal(blend.predict_proba(X, head.embed(X)), expected)
    assert head.n_times == 2


def test_vectors_are_no_use_where_the_head_is_not_asked():
    blend = ChannelBlend({"lexical": Fixed([2.0, 0.0])}, {"lexical": 1.0}, {"lexical": (0.0, 1.0)})
    expected = blend.predict_proba(["a"])
    assert_array_equal(blend.predict_proba(["a"], np.ones((1, 7))), expected)


# --- choosing the weights ---------------------------------------------------------------------


def brute_force_weights(Y, logits, least=0.05):
    """Mean of the near-best grid points, from the metrics of one row at a time."""
    names = list(logits)
    k = min(5, Y.shape[1])
    points, qualities, errors = [], [], []
    for code in range(11 ** len(names)):
        parts = [code // 11**i % 11 for i in range(len(names))]
        if sum(parts) != 10:
            continue
        standard = {n: (z - z.mean()) / z.std() for n, z in logits.items()}
        total = sum(w / 10 * standard[n] for w, n in zip(parts, names, strict=True))
        rows = []
        for i in range(Y.shape[0]):
            row, scores = Y[[i]].toarray(), total[[i]]
            has_label = row.any()
            ndcg = ndcg_at_k(row, scores, k) if has_label else 0.0
            rows.append((precision_at_k(row, scores, 1) + ndcg) / 2)
        points.append([part / 10 for part in parts])
        qualities.append(np.mean(rows))
        errors.append(np.std(rows) / np.sqrt(len(rows)))
    best = int(np.argmax(qualities))
    good = np.array(qualities) >= qualities[best] - errors[best]
    mean = np.array(points)[good].mean(axis=0)
    mean = np.where((mean < least) & (np.array(names) != "label_texts"), 0.0, mean)
    mean /= mean.sum()
    return {n: w for n, w in zip(names, mean, strict=True) if w > 0}, good.sum()


@pytest.mark.parametrize(
    ("names", "n_labels"),
    [
        (("head", "lexical"), 8),
        (("head", "lexical", "label_texts"), 8),
        (("lexical", "label_texts"), 3),
    ],
)
def test_weights_average_the_near_best_of_the_grid(names, n_labels):
    Y, logits = make_channels(40, n_labels)
    Y = sp.vstack([Y[:38], sp.csr_matrix((2, n_labels), dtype=np.float32)], format="csr")
    logits = {name: logits[name] for name in names}
    expected, n_good = brute_force_weights(Y, logits)
    assert n_good > 1
    found = choose_blend(Y, logits)["weights"]
    assert list(found) == list(expected)
    assert_allclose(list(found.values()), list(expected.values()), rtol=1e-9)


def test_a_small_weight_is_kept_for_label_texts_alone():
    """Rare labels need them, held-out rows have few of these, and they cost next to nothing."""
    Y, logits = make_channels(400)
    logits = {name: logits[name] for name in ("head", "lexical")}
    noise = np.random.default_rng(0).normal(size=Y.shape).astype(np.float32)
    weights = choose_blend(Y, {**logits, "label_texts": noise})["weights"]
    assert 0 < weights["label_texts"] < 0.05
    assert choose_blend(Y, {**logits, "other": noise})["weights"].keys() == logits.keys()


def test_weights_are_better_than_each_channel_alone():
    Y, logits = make_channels(400)
    settings = choose_blend(Y, logits)
    assert sum(settings["weights"].values()) == pytest.approx(1.0)
    assert set(settings["scales"]) == set(logits)

    def quality(scores):
        return precision_at_k(Y, scores, 1) + ndcg_at_k(Y, scores, 5)

    blended = quality(ChannelBlend(None, **settings).blend(logits))
    assert blended > max(quality(z) for z in logits.values()) + 0.02


@pytest.mark.parametrize("order", [("head", "noise"), ("noise", "head")])
def test_noise_gets_no_weight(order):
    """Even a tenth of it ranks worse: the margins are small beside one large logit."""
    rng = np.random.default_rng(0)
    Y = np.eye(6)[rng.integers(6, size=100)]
    truth = Y.copy()
    truth[0] *= 1000.0
    logits = {"head": truth, "noise": rng.normal(size=Y.shape)}
    settings = choose_blend(sp.csr_matrix(Y), {name: logits[name] for name in order})
    assert settings["weights"] == {"head": 1.0}


def test_noise_that_does_no_harm_gets_little_weight():
    Y, _ = make_channels(400)
    noise = np.random.default_rng(1).normal(size=(2, *Y.shape)).astype(np.float32)
    truth = (3 * Y.toarray() + 0.5 * noise[0]).astype(np.float32)
    weights = choose_blend(Y, {"noise": noise[1], "head": truth})["weights"]
    assert weights["head"] > 0.6


def test_channel_that_says_nothing():
    Y, logits = make_channels()
    silent = np.zeros(Y.shape, dtype=np.float32)
    settings = choose_blend(Y, {"head": logits["head"], "silent": silent})
    order = ChannelBlend(None, **settings).blend({"head": logits["head"], "silent": silent})
    assert_array_equal(order.argmax(axis=1), logits["head"].argmax(axis=1))
    only = choose_blend(Y, {"silent": silent})
    scores = ChannelBlend(None, **only).blend({"silent": silent})
    assert_allclose(scores, np.full(Y.shape, Y.mean()), atol=0.01)


def test_channel_below_a_twentieth_is_dropped():
    """A tenth of one noise changes no first label, more of it does: each gets a thirtieth."""
    rng = np.random.default_rng(0)
    Y = np.eye(2)[rng.integers(2, size=60)]
    truth = 2 * Y - 1
    truth[0] *= 61.0  # makes the spread about 8 and the other margins small beside it
    noise = {name: rng.choice([-1.0, 1.0], size=Y.shape) for name in ("one", "other")}
    weights, _ = brute_force_weights(sp.csr_matrix(Y), {"head": truth, **noise}, least=0.0)
    assert_allclose(list(weights.values()), [28 / 30, 1 / 30, 1 / 30])
    settings = choose_blend(sp.csr_matrix(Y), {"head": truth, **noise})
    assert settings["weights"] == {"head": 1.0}


def test_scale_of_a_channel_does_not_matter():
    Y, logits = make_channels()
    expected = choose_blend(Y, logits)
    scaled = choose_blend(Y, {**logits, "head": 64 * logits["head"]})
    assert scaled["weights"] == expected["weights"]
    assert_allclose(scaled["scales"]["head"], 64 * np.array(expected["scales"]["head"]), rtol=1e-6)
    assert_allclose(scaled["curve"], expected["curve"], rtol=1e-4)


def test_scales_are_mean_and_standard_deviation():
    Y, logits = make_channels()
    scales = choose_blend(Y, logits)["scales"]
    for name, z in logits.items():
        assert scales[name] == pytest.approx((z.mean(), z.std()), rel=1e-5)
        standard = weighted_sum({name: z}, {name: 1.0}, scales)
        assert standard.mean() == pytest.approx(0.0, abs=1e-5)
        assert standard.std() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("unseen", [(), (2, 5)])
@pytest.mark.parametrize("shifted", ["head", "lexical", "label_texts"])
def test_constant_on_a_channel_changes_no_score(shifted, unseen):
    """Uncentred, it went to the head of unseen labels, and into the middle of the curve."""
    Y, logits = make_channels()
    moved = {**logits, shifted: logits[shifted] + np.float32(16.0)}
    before, after = choose_blend(Y, logits), choose_blend(Y, moved)
    assert after["weights"] == pytest.approx(before["weights"], rel=1e-6)
    expected = ChannelBlend(None, **before, unseen=unseen).blend(logits)
    assert_allclose(
        ChannelBlend(None, **after, unseen=unseen).blend(moved), expected, rtol=1e-3, atol=1e-6
    )
    stale = ChannelBlend(None, **before, unseen=unseen).blend(moved)
    assert not np.allclose(stale, expected, atol=0.01)


@pytest.mark.parametrize("alone", ["head", "label_texts"])
def test_alone_takes_all_the_weight(alone):
    """The others keep their scales: unseen labels are scored by one of them."""
    Y, logits = make_channels()
    freely = choose_blend(Y, logits)
    settings = choose_blend(Y, logits, alone)
    assert settings["weights"] == {alone: 1.0} != freely["weights"]
    assert settings["scales"] == freely["scales"]
    mean, spread = settings["scales"][alone]
    curve = fit_sigmoid(Y, (logits[alone] - mean) / spread)
    assert_allclose(settings["curve"], curve, rtol=1e-4)


@pytest.mark.parametrize("name", ["head", "lexical"])
def test_one_channel_alone(name):
    Y, logits = make_channels()
    settings = choose_blend(Y, {name: logits[name]})
    assert settings["weights"] == {name: 1.0}
    order = np.argsort(ChannelBlend(None, **settings).blend({name: logits[name]}), axis=1)
    assert_array_equal(order, np.argsort(logits[name], axis=1))


@pytest.mark.parametrize("n_labels", [1, 2, 4])
@pytest.mark.parametrize("n_rows", [1, 30])
def test_fewer_labels_than_the_cut_off(n_labels, n_rows):
    rng = np.random.default_rng(0)
    Y = sp.csr_matrix((rng.random((n_rows, n_labels)) < 0.5).astype(np.float32))
    logits = {name: rng.normal(size=Y.shape).astype(np.float32) for name in "abc"}
    settings = choose_blend(Y, logits)
    assert sum(settings["weights"].values()) == pytest.approx(1.0)
    scores = ChannelBlend(None, **settings).blend(logits)
    assert ((scores > 0) & (scores < 1)).all()


def test_blend_is_calibrated():
    Y, logits = make_channels(2000)
    scores = ChannelBlend(None, **choose_blend(Y, logits)).blend(logits)
    truth = Y.toarray()
    edges = np.quantile(scores, np.linspace(0, 1, 6))
    for low, high in pairwise(edges):
        inside = (scores >= low) & (scores <= high)
        assert scores[inside].mean() == pytest.approx(truth[inside].mean(), abs=0.05)


@pytest.mark.parametrize("middle", [10.0, -10.0, 1e4])
def test_logits_that_hardly_vary_keep_their_order(middle):
    """Divided by a tiny spread they were all beyond the ends of the sigmoid, and tied at 1."""
    rng = np.random.default_rng(0)
    Y = sp.csr_matrix((rng.random((50, 6)) < 0.2).astype(np.float32))
    logits = (middle + middle * 1e-4 * rng.normal(size=Y.shape)).astype(np.float32)
    settings = choose_blend(Y, {"head": logits})
    slope, _ = settings["curve"]
    for shift in (0.0, 0.01):  # of another training, as a share: a spread at most
        z = logits * np.float32(1 + shift)
        scores = ChannelBlend(None, **settings).blend({"head": z})
        assert_array_equal(scores.argmax(axis=1), z.argmax(axis=1))
        assert len(np.unique(scores)) > 20
        expected = expit(logit(Y.mean()) + slope * shift * 100 * np.sign(middle))
        assert scores.mean() == pytest.approx(expected, abs=0.02)
    assert slope < 1.5


def test_only_so_many_rows_are_looked_at(monkeypatch):
    Y, logits = make_channels(60)
    monkeypatch.setattr("skrr2qc.classifiers._blend._MAX_ENTRIES", 30 * 8)
    few = choose_blend(Y, logits)
    expected = choose_blend(Y[:30], {name: z[:30] for name, z in logits.items()})
    assert few["weights"].keys() == expected["weights"].keys()
    for name, z in logits.items():
        assert few["scales"][name] == pytest.approx((z.mean(), z.std()), rel=1e-5)


# --- calibration ------------------------------------------------------------------------------


def penalised(parameters, logits, targets):
    z = parameters[0] * logits + parameters[1]
    nll = np.logaddexp(0, z) - targets * z
    return nll.sum() + 0.5 * ((parameters[0] - 1) ** 2 + parameters[1] ** 2)


@pytest.mark.parametrize("slope, intercept", [(1.0, 0.0), (0.3, -1.0), (3.0, 2.0)])
def test_curve_minimises_the_penalised_likelihood(slope, intercept):
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(300, 5))
    Y = rng.random(logits.shape) < expit(slope * logits + intercept)
    found = fit_sigmoid(sp.csr_matrix(Y.astype(np.float32)), logits)
    best = minimize(penalised, [1.0, 0.0], args=(logits, Y), tol=1e-10)
    assert_allclose(found, best.x, atol=1e-4)
    assert_allclose(found, (slope, intercept), rtol=0.2, atol=0.2)


def test_curve_agrees_with_logistic_regression_on_many_rows():
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(4000, 5))
    Y = (rng.random(logits.shape) < expit(0.5 * logits - 1)).astype(np.float32)
    model = LogisticRegression(C=1e9).fit(logits.reshape(-1, 1), Y.ravel())
    found = fit_sigmoid(sp.csr_matrix(Y), logits)
    assert_allclose(found, [model.coef_[0, 0], model.intercept_[0]], rtol=1e-2)


def test_ranking_is_never_turned_round():
    Y, logits = make_channels()
    slope, _ = fit_sigmoid(Y, -logits["head"])
    assert slope > 0


@pytest.mark.parametrize("scale", [0.0, 1e-8, 1e8, np.inf])
def test_curve_is_finite_at_the_extremes(scale):
    sign = np.array([[1.0, -1.0], [-1.0, 1.0]])
    logits = np.nan_to_num(sign * scale, nan=0.0)
    for Y in (np.eye(2), np.zeros((2, 2)), np.ones((2, 2))):
        found = fit_sigmoid(sp.csr_matrix(Y), logits)
        assert np.isfinite(found).all()
        assert found[0] > 0


# --- logits of anything -----------------------------------------------------------------------


def test_logits_are_the_decision_function_or_log_odds():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 3)), (rng.random((40, 4)) < 0.4).astype(int)
    linear = OneVsRestClassifier(LogisticRegression()).fit(X, Y)
    assert_allclose(logits_of(linear, X), linear.decision_function(X), rtol=1e-5)
    neighbours = KNeighborsClassifier(4).fit(X, Y)
    probabilities = np.column_stack([column[:, 1] for column in neighbours.predict_proba(X)])
    logits = logits_of(neighbours, X)
    inside = (probabilities > 0) & (probabilities < 1)
    assert_allclose(logits[inside], logit(probabilities[inside]), rtol=1e-4, atol=1e-6)
    assert (logits[probabilities == 0] < -15).all()
    assert (logits[probabilities == 1] > 15).all()
    assert np.isfinite(logits).all()


def test_blend_of_two_real_classifiers():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 3)), (rng.random((40, 4)) < 0.4).astype(int)
    channels = {
        "linear": OneVsRestClassifier(LogisticRegression()).fit(X, Y),
        "neighbours": KNeighborsClassifier(4).fit(X, Y),
    }
    weights = {"linear": 0.3, "neighbours": 0.7}
    scales = {"linear": (-0.5, 1.5), "neighbours": (-7.0, 8.0)}
    blend = ChannelBlend(channels, weights, scales, (2.0, 0.5))
    expected = blend.blend({name: logits_of(part, X) for name, part in channels.items()})
    assert_array_equal(blend.predict_proba(X), expected)
