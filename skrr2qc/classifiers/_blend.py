"""Retrieval channels: several classifiers' logits, weighed against each other on held-out rows."""

from itertools import product

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin

from .._platt import fit_sigmoid
from .._training import sigmoid
from ..baselines import TfidfLinearClassifier
from ..metrics import top_k
from ._label_texts import LabelTextSimilarity
from ._parts import logits_of

_STEPS = 10  # weights are multiples of 1 / 10
_TOLERANCE = 1.0  # standard errors of the held-out quality: what is as good as the best
_LEAST_WEIGHT = 0.05  # of a channel that is worth its time; any, if it is likeness to label texts
_LEAST_SPREAD = 1 / 100  # of logits, as a share of their mean: what hardly varies is not blown up
_DEPTH = 5  # labels a row is judged by
_UNSEEN_SHARE = 0.5  # of the score of a label without training texts: its own text alone
_UNSEEN_TRUST = 0.5  # in the estimate of how much rarer such labels are than others
_MAX_ENTRIES = 4_000_000  # held-out scores used to weigh channels and to fit a curve
_OFF = -30.0  # log-odds of what is never to be proposed


class ChannelBlend(ClassifierMixin, BaseEstimator):
    """Weighted sum of fitted classifiers' logits, each standardised.

    Parameters
    ----------
    channels : dict of str to fitted classifier of texts
    weights : dict of str to float
        Shares, > 0, that sum to 1; a channel without one is not asked.
    scales : dict of str to (float, float)
        Mean and spread of a channel's held-out logits.
    curve : pair of (slope, intercept)
        What makes the sum calibrated log-odds.
    unseen_curve : pair of (slope, intercept), default=None
        The same for the sum that labels without a training text get; None: `curve`.
    unseen : sequence of int
        Labels without a training text. Half of their score is that of the channel "label_texts",
        whatever its weight; without that channel nothing is known of them, and they rank last.
    unseen_shift : float, default=0.0
        Added to the log-odds of these labels: see `unseen_log_odds`.
    n_labels : int, default=None
        1 lets a binary classifier's scores count as one column.

    Attributes
    ----------
    names : list of str
        Channels whose logits are needed.
    """

    def __init__(
        self,
        channels,
        weights,
        scales,
        curve=(1.0, 0.0),
        unseen_curve=None,
        unseen=(),
        unseen_shift=0.0,
        n_labels=None,
    ):
        self.channels = channels
        self.weights = weights
        self.scales = scales
        self.curve = curve
        self.unseen_curve = unseen_curve
        self.unseen = unseen
        self.unseen_shift = unseen_shift
        self.n_labels = n_labels

    @property
    def names(self):
        return [name for name in self.channels if name in self.weights or self._serves_unseen(name)]

    def predict_proba(self, X, vectors=None):
        """Blended label scores, (n, L) float32.

        `vectors`, if the head gave them for `X` already, spare a pass through it.
        """
        channels = {name: self.channels[name] for name in self.names}
        return self.blend(channel_logits(channels, X, self.n_labels, vectors))

    def blend(self, logits):
        """Scores from the logits of each channel, a dict of (n, L) arrays."""
        unseen = np.asarray(self.unseen, dtype=np.int64)
        total = weighted_sum(logits, self.weights, self.scales)
        lone = _OFF
        if unseen.size and "label_texts" in logits:
            own = {"label_texts": logits["label_texts"][:, unseen]}
            slope, intercept = np.float32(self.unseen_curve or self.curve)
            lone = _unseen_sum(total[:, unseen], own, self.scales) * slope + intercept
            lone += np.float32(self.unseen_shift)
        slope, intercept = np.float32(self.curve)
        total = total * slope + intercept
        total[:, unseen] = lone
        return sigmoid(total)

    def _serves_unseen(self, name):
        return name == "label_texts" and len(self.unseen) > 0

    def __repr__(self, *args):
        return f"ChannelBlend(weights={self.weights})"  # fitted channels take seconds to print

    def __sklearn_is_fitted__(self):
        return True


def channel_logits(channels, X, n_labels=None, vectors=None):
    """Logits of each channel, a dict of (n, L) arrays.

    `vectors`, if the head gave them for `X` already, spare a pass through it. Features that two
    channels score are computed once.
    """
    shared = _sharing_features(channels)
    features = shared[0].vectorizer_.transform(X) if shared else None
    logits = {}
    for name, channel in channels.items():
        if name == "head" and vectors is not None:
            logits[name] = channel.score_embeddings(vectors)
        elif any(channel is other for other in shared):
            logits[name] = channel._score_features(features)
        else:
            logits[name] = logits_of(channel, X, n_labels)
    return logits


def _sharing_features(channels):
    """The lexical channel and that of label texts, where both read with one vectorizer."""
    pair = [channels.get(name) for name in ("lexical", "label_texts")]
    # Not of a subclass, whose own decision function would be passed over.
    is_known = [type(channel) for channel in pair] == [TfidfLinearClassifier, LabelTextSimilarity]
    return pair if is_known and pair[0].vectorizer_ is pair[1].vectorizer_ else []


def weighted_sum(logits, weights, scales):
    """Sum over channels of ``weight * (logits - mean) / spread``; (n, L) float32."""
    total = 0.0
    for name, weight in weights.items():
        if weight:
            mean, spread = scales[name]
            total = total + np.float32(weight / spread) * (logits[name] - np.float32(mean))
    return total


def _unseen_sum(total, own, scales):
    """Half the sum that all labels get, half what the label's own text says."""
    own = weighted_sum(own, {"label_texts": _UNSEEN_SHARE}, scales)
    return (1 - _UNSEEN_SHARE) * total + own


def unseen_log_odds(Y):
    """How much rarer a label without a training text is than one with, as log-odds.

    Half of what their share of the labels of new texts tells is believed: the likeness of text and
    label tells of it, too.

    Parameters
    ----------
    Y : csr_matrix of shape (n, L)
        Training targets.

    Returns
    -------
    shift : float
        0 where every label has a text, or none.
    """
    counts = Y.getnnz(axis=0)
    n_seen = int((counts > 0).sum())
    if n_seen in (0, len(counts)):
        return 0.0
    share = unseen_share(Y)
    odds = share / (1 - share) * n_seen / (len(counts) - n_seen)
    return float(_UNSEEN_TRUST * np.log(odds))


def unseen_share(Y):
    """Share of labels not seen before among all labels of new texts (Good, 1953).

    About as large as that of labels seen once among those of the texts at hand, a csr_matrix.
    """
    counts = Y.getnnz(axis=0)
    return (1 + (counts == 1).sum()) / (2 + counts.sum())


def choose_blend(Y, logits, alone=None):
    """Weights, scales and curve that rank held-out labels well.

    Of all weights in steps of a tenth, those are averaged that are as good as the best within
    one standard error: on a few hundred rows the best alone is partly luck.

    Parameters
    ----------
    Y : csr_matrix of shape (n, L)
    logits : dict of str to ndarray of shape (n, L)
    alone : str, default=None
        Channel that is given all the weight, where rows are no good to choose on.

    Returns
    -------
    settings : dict
        ``weights``, ``scales``, ``curve`` and ``unseen_curve`` of a `ChannelBlend`.
    """
    scales = {name: (float(z.mean()), _spread(z)) for name, z in logits.items()}
    n_rows = max(1, _MAX_ENTRIES // Y.shape[1])
    logits, Y = {name: z[:n_rows] for name, z in logits.items()}, sp.csr_matrix(Y[:n_rows])
    weights = {alone: 1.0} if alone else _choose_weights(Y, logits, scales)
    total = weighted_sum(logits, weights, scales)
    settings = {"weights": weights, "scales": scales, "curve": fit_sigmoid(Y, total)}
    settings["unseen_curve"] = None
    if "label_texts" in logits:  # what the sum of unseen labels is worth, tried on seen ones
        own = {"label_texts": logits["label_texts"]}
        settings["unseen_curve"] = fit_sigmoid(Y, _unseen_sum(total, own, scales))
    return settings


def _spread(logits):
    """Standard deviation, no smaller than the next training would shift logits by itself."""
    return max(float(logits.std()), _LEAST_SPREAD * abs(float(logits.mean())), 1e-6)


def _choose_weights(Y, logits, scales):
    names = list(logits)
    if len(names) == 1:
        return {names[0]: 1.0}
    steps = range(_STEPS + 1)
    grid = [parts for parts in product(steps, repeat=len(names)) if sum(parts) == _STEPS]
    grid = np.array(grid) / _STEPS  # (n_points, n_channels)
    quality, errors = np.empty(len(grid)), np.empty(len(grid))
    for i, point in enumerate(grid):
        rows = row_quality(Y, weighted_sum(logits, dict(zip(names, point, strict=True)), scales))
        quality[i], errors[i] = rows.mean(), rows.std() / np.sqrt(len(rows))
    error = errors[quality == quality.max()][-1]
    is_good = quality >= quality.max() - _TOLERANCE * error
    mean = grid[is_good].mean(axis=0)
    least = [0.0 if name == "label_texts" else _LEAST_WEIGHT for name in names]
    mean[mean < least] = 0.0
    return {n: float(w) for n, w in zip(names, mean / mean.sum(), strict=True) if w > 0}


def row_quality(Y, scores):
    """Mean of P@1 and nDCG@5 of each row; 0 for a row without labels."""
    k = min(_DEPTH, Y.shape[1])
    columns = top_k(scores, k)
    hits = np.asarray(Y[np.arange(Y.shape[0])[:, None], columns].todense(), dtype=np.float64)
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    best = np.append(0.0, np.cumsum(discounts))[np.minimum(np.diff(Y.indptr), k)]
    return 0.5 * (hits[:, 0] + hits @ discounts / np.maximum(best, 1.0))
