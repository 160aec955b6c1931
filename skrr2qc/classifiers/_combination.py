"""A small model that weighs the evidence for a text's labels, learned on held-out rows."""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from scipy.optimize import brentq, minimize
from scipy.special import expit, logsumexp

from .._platt import fit_sigmoid
from .._training import sigmoid
from ..metrics import top_k
from ._blend import row_quality, unseen_share

_N_CANDIDATES = 30  # labels of a row that compete: those that retrieval puts first
_RIDGE = 20.0  # held-out rows that it takes to move a weight by one standard deviation's worth
_LEAST_OF_PRIOR = 0.1  # share of its weight of 1 that the first kind of evidence never loses
_PARTS = {  # evidence that is near 0 for all but rare labels, and what it is part of
    "rare_retrieval": "retrieval",
    "rare_neighbors": "neighbors",
}
_LEAST_SPREAD = 1e-4  # of evidence; what varies less is a matter of rounding, and not blown up
_SHARES = (1.0, 0.5, 0.25)  # of the weights of further evidence, tried in turn
_TOLERANCE = 0.5  # standard errors of a loss on held-out rows that is taken for chance
_MAX_ENTRIES = 4_000_000  # held-out scores used
_MOST_SHIFT = 20.0  # log-odds, either way


@dataclass(frozen=True)
class Combination:
    """Weighted sum of evidence, as log-odds.

    Attributes
    ----------
    weights : dict of str to float
        Of each kind of evidence; 0 or more, so that none is ever held against a label.
    intercept : float
    unseen_shift : float
        Added for labels without a training text.
    """

    weights: dict
    intercept: float = 0.0
    unseen_shift: float = 0.0

    def apply(self, evidence, is_unseen=None):
        """Scores in [0, 1] of shape (n, L), float32, from a dict of (n, L) arrays.

        `is_unseen`, a boolean ndarray of shape (L,), tells labels without a training text.
        """
        return sigmoid(self.log_odds(evidence, is_unseen))

    def log_odds(self, evidence, is_unseen=None):
        """Log-odds of the scores."""
        total = self.base(is_unseen)
        for name, weight in self.weights.items():
            if weight:
                total = total + np.float32(weight) * evidence[name]
        return np.asarray(total, dtype=np.float32)

    def base(self, is_unseen=None):
        """What is added to the weighted sum: a number, or one a label."""
        if is_unseen is None or not self.unseen_shift:
            return np.float32(self.intercept)
        return np.float32(self.intercept) + np.float32(self.unseen_shift) * is_unseen


def fit_combination(Y, evidence, label_weights=None, first="retrieval"):
    """Weights that tell the labels of held-out texts from the labels that compete with them.

    Among the 30 best labels of each row by the first kind of evidence, each label of the row
    competes with those that are wrong, in a softmax of the weighted sums; not with the row's other
    labels. Minimised is the mean negative log-share of the row's labels, plus a ridge that draws
    the weights to 1 for the first kind and 0 for the others. So evidence that tells nothing, or too
    few rows, leave the order of retrieval as it is, and what says the same of all rows gets no
    weight. The ridge is for evidence in standard deviations; evidence of rare labels has at least
    that of its whole, or few of them among the candidates would set it free. The first kind keeps
    at least a tenth of its weight, so that there is an order at all where everything misleads. What
    is likelier may rank worse: then the weights of the other kinds are halved until the rows are
    ranked, by the mean of P@1 and nDCG@5, no worse than by the first kind alone, but for half a
    standard error. Where nothing is left, all but the evidence of rare labels is tried again.

    Parameters
    ----------
    Y : csr_matrix of shape (n, L)
    evidence : dict of str to ndarray of shape (n, L)
        Of texts that what gave the scores was not trained on.
    label_weights : ndarray of shape (L,), default=None
        How much the log-share of each label counts, in any unit; None: the same for all.
    first : str, default="retrieval"

    Returns
    -------
    combination : Combination
        Its sums are calibrated log-odds (Platt, 1999).

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> rng = np.random.default_rng(0)
    >>> Y = (rng.random((200, 5)) < 0.2).astype(float)
    >>> told = {"retrieval": Y + rng.normal(size=Y.shape), "noise": rng.normal(size=Y.shape)}
    >>> weights = fit_combination(sp.csr_matrix(Y), told).weights
    >>> weights["retrieval"] > 5 * weights["noise"]
    True
    """
    n_rows = max(1, _MAX_ENTRIES // Y.shape[1])
    Y = sp.csr_matrix(Y[:n_rows])
    evidence = {name: values[:n_rows] for name, values in evidence.items()}
    columns = top_k(evidence[first], min(_N_CANDIDATES, Y.shape[1]))
    rows = np.arange(Y.shape[0])[:, None]
    hits = np.asarray(Y[rows, columns].todense(), dtype=np.float64) > 0
    tells = [name == first or _tells_texts_apart(values) for name, values in evidence.items()]
    told = np.stack([values[rows, columns] for values in evidence.values()], axis=2) * tells
    prior = np.array([float(name == first) for name in evidence])
    shares = hits / np.maximum(hits.sum(axis=1, keepdims=True), 1)
    if label_weights is not None:
        shares *= label_weights[columns]
    names = list(evidence)
    wholes = [names.index(_PARTS[n] if _PARTS.get(n) in names else n) for n in names]
    is_whole = np.array([name not in _PARTS for name in names])
    for counted in (told, told * is_whole):
        weights = _fit_softmax(counted.astype(np.float64), shares, prior, wholes)
        weights, total = _held_back(weights, prior, Y, evidence)
        if is_whole.all() or weights[prior == 0].any():
            break
    slope, intercept = fit_sigmoid(Y, total)
    return Combination(dict(zip(evidence, (slope * weights).tolist(), strict=True)), intercept)


def with_unseen_shift(combination, evidence, Y_train):
    """A combination that expects as many labels without a training text as there are.

    Of all labels of new texts, those not seen before are about as many as labels seen once were
    among the labels of the training texts (Good, 1953 [1]_). Other evidence than retrieval knows
    nothing of them, and lifts others above them; or retrieval takes too many for likely. Their
    log-odds are shifted until the expected number of them in held-out texts is that one.

    Parameters
    ----------
    combination : Combination
    evidence : dict of str to ndarray of shape (n, L)
        Of held-out texts, whose labels are not needed.
    Y_train : csr_matrix of shape (N, L)

    Returns
    -------
    combination : Combination
        The same where each label has a training text, or nothing tells their texts apart.

    References
    ----------
    .. [1] I. J. Good. The population frequencies of species and the estimation of population
       parameters. Biometrika, 1953.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> Y_train = sp.csr_matrix(np.tile([1, 0], (50, 1)))  # of 52 labels, 1 may be a new one
    >>> evidence = {"retrieval": np.array([[2.0, -1.0], [1.0, 1.0]])}
    >>> found = with_unseen_shift(Combination({"retrieval": 1.0}), evidence, Y_train)
    >>> round(float(found.apply(evidence, np.array([False, True]))[:, 1].mean()), 4)
    0.0192
    """
    is_unseen = Y_train.getnnz(axis=0) == 0
    of_unseen = {name: values[:, is_unseen] for name, values in evidence.items()}
    first = next(iter(of_unseen.values()))
    if not first.size or not _tells_texts_apart(first):
        return combination
    log_odds = combination.log_odds(of_unseen).astype(np.float64)
    n_expected = unseen_share(Y_train) * Y_train.nnz / Y_train.shape[0] * len(log_odds)

    def surplus(shift):
        return expit(log_odds + shift).sum() - n_expected

    if surplus(_MOST_SHIFT) <= 0:  # more than there are labels
        return combination
    is_within = surplus(-_MOST_SHIFT) < 0
    shift = brentq(surplus, -_MOST_SHIFT, _MOST_SHIFT) if is_within else -_MOST_SHIFT
    return replace(combination, unseen_shift=float(shift))


def _tells_texts_apart(values):
    return np.ptp(values, axis=0).max() > _LEAST_SPREAD


def _held_back(weights, prior, Y, evidence):
    """Weights, and their sums over the evidence (n, L), that do not rank worse than the prior's."""
    first = next(name for name, weight in zip(evidence, prior, strict=True) if weight)
    quality = row_quality(Y, evidence[first])
    for share in (*_SHARES, 0.0):
        shared = np.where(prior, weights, share * weights)
        total = sum(np.float32(w) * evidence[n] for w, n in zip(shared, evidence, strict=True))
        gain = row_quality(Y, total) - quality
        if gain.mean() >= -_TOLERANCE * gain.std() / np.sqrt(len(gain)):
            break
    return shared, total


def _fit_softmax(told, shares, prior, wholes):
    """Weights for evidence (n, R, E) of candidates that are right by their `shares` (n, R).

    `wholes` says for each kind of evidence which one's spread its own is no smaller than.
    """
    is_right = shares > 0
    is_told = is_right.any(axis=1) & ~is_right.all(axis=1)
    told, shares, is_right = told[is_told], shares[is_told], is_right[is_told]
    if not len(told):
        return prior
    shares = shares * (len(shares) / shares.sum())  # the ridge is in rows
    spread = np.maximum(told.std(axis=(0, 1)), _LEAST_SPREAD)
    spread = np.maximum(spread, spread[wholes])
    told, prior = told / spread, prior * spread

    def objective(weights):
        sums = told @ weights  # (n, R)
        wrong = logsumexp(np.where(is_right, -np.inf, sums), axis=1, keepdims=True)
        total = np.logaddexp(sums, wrong)  # of a candidate and all that are wrong
        raised = shares * np.exp(wrong - total)
        lowered = np.where(is_right, 0, np.exp(sums - wrong)) * raised.sum(axis=1, keepdims=True)
        loss = (shares * (total - sums)).sum()
        pull = weights - prior
        gradient = np.einsum("nr,nre->e", lowered - raised, told) + 2 * _RIDGE * pull
        return loss + _RIDGE * pull @ pull, gradient

    bounds = [(_LEAST_OF_PRIOR * weight, None) for weight in prior]
    return minimize(objective, prior, jac=True, method="L-BFGS-B", bounds=bounds).x / spread
