"""Decision rules: which of the scored labels a text is given, chosen on held-out rows."""

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from .metrics import top_k

THRESHOLD_RULES = ("global", "per_label", "top_k", "cardinality")
SHRINKAGE = 10.0  # positives at which a label's own threshold weighs as much as the common one
_MOST = float(np.finfo(np.float64).max)
_REACH = 20  # accepted entries for each positive; beyond, F1 is below 2 / 21


@dataclass(frozen=True, eq=False)
class Decision:
    """A label is predicted where its score exceeds `threshold` and is among the `k` best.

    Parameters
    ----------
    rule : str
        What it was chosen by: one of `THRESHOLD_RULES`, or "fixed".
    threshold : float or ndarray of shape (L,), float64
        One for all labels or one for each. -inf where the rank alone decides.
    k : int, default=None
        Labels a text is given at most; None sets no limit.
    at_least_one : bool, default=False
        Whether a text that would get no label is given the one that ranks first.

    Notes
    -----
    Holds nothing but a word and numbers: ``Decision(**vars(decision))`` is its copy.

    Examples
    --------
    >>> import numpy as np
    >>> Decision("fixed", 0.5).apply(np.array([[0.6, 0.4], [0.9, 0.7]]))
    array([[1, 0],
           [1, 1]], dtype=int8)
    """

    rule: str
    threshold: float | NDArray[np.float64]
    k: int | None = None
    at_least_one: bool = False

    def apply(self, scores: ArrayLike) -> NDArray[np.int8]:
        """Labels that scores of shape (n, L) stand for; ndarray (n, L), {0, 1}.

        Equal scores are ranked as `skrr2qc.metrics.top_k` does. Rows may be empty, with
        `at_least_one` only those whose scores are all -inf.
        """
        scores = np.asarray(scores)
        thresholds = np.atleast_1d(self.threshold)  # float64, so that float32 scores are not cut
        if scores.ndim != 2 or thresholds.size not in (1, scores.shape[1]):
            raise ValueError(
                f"`scores` must have one column per threshold, got shape {scores.shape} for "
                f"{thresholds.size} thresholds. Score all labels that the rule was chosen on."
            )
        predicted = scores > thresholds
        if self.k is not None and self.k < scores.shape[1]:
            best = top_k(scores, self.k)
            rows = np.nonzero(best >= 0)[0]
            among_best = np.zeros(scores.shape, dtype=bool)
            among_best[rows, best[best >= 0]] = True
            predicted &= among_best
        if self.at_least_one:
            rows = np.flatnonzero(~predicted.any(axis=1))
            best = top_k(scores[rows], 1)[:, 0] if rows.size else rows
            predicted[rows[best >= 0], best[best >= 0]] = True
        return predicted.view(np.int8)

    def __repr__(self) -> str:
        if self.k is not None:
            return f"Decision({self.rule!r}, k={self.k})"
        thresholds = np.atleast_1d(self.threshold)
        low, high = float(thresholds.min()), float(thresholds.max())
        if np.ndim(self.threshold) == 0:
            return f"Decision({self.rule!r}, threshold={low:.4g})"
        return f"Decision({self.rule!r}, {thresholds.size} thresholds, {low:.4g} to {high:.4g})"


def check_rule(rule: Any, name: str = "threshold") -> str | float:
    """Return a decision rule, or say which there are.

    Parameters
    ----------
    rule : str or float
        One of `THRESHOLD_RULES`, or the threshold itself.
    name : str, default="threshold"
        How messages call the parameter.
    """
    if isinstance(rule, str) and rule in THRESHOLD_RULES:
        return rule
    is_number = isinstance(rule, Real) and not isinstance(rule, (bool, np.bool_))
    is_large = isinstance(rule, int) and abs(rule) > _MOST  # for a float
    if is_number and not is_large and np.isfinite(float(rule)):
        return float(rule)
    raise ValueError(
        f"`{name}` must be one of {', '.join(map(repr, THRESHOLD_RULES))} or a finite number, "
        f"got {rule!r:.80}. A number is the score above which every label is predicted."
    )


def choose_decision(
    Y_true: Any, scores: ArrayLike, rule: str | float = "global", *, at_least_one: bool = False
) -> Decision:
    """Choose how scores become labels, on rows that trained nothing.

    Parameters
    ----------
    Y_true : sparse matrix or ndarray of shape (n, L), {0, 1}
        Held-out targets.
    scores : ndarray of shape (n, L)
        Held-out scores; larger means more likely. -inf marks what is never to be predicted: a
        positive there is a miss whatever the threshold, and no label that is to be made up for.
    rule : {"global", "per_label", "top_k", "cardinality"} or float, default="global"
        "global": one threshold, the best for micro-F1 (`best_global_threshold`).
        "per_label": for macro-F1, one a label, the best for its F1 (SCut of [1]_), drawn to a
        common one the more, the fewer positives it has (`per_label_thresholds`); the common one
        lies midway between those of `best_macro_threshold` and of "cardinality". "top_k":
        every text gets as many labels as texts have on average, rounded, at least one (RCut).
        "cardinality": one threshold at
        which as many labels are predicted as there are (`cardinality_threshold`; after PCut). A
        float is the threshold itself.
    at_least_one : bool, default=False
        Whether every text is given a label, as befits texts that all have some. Thresholds stay
        the same; a number is a threshold and no more.

    Returns
    -------
    decision : Decision

    Raises
    ------
    ValueError
        If the rule is unknown, shapes differ, scores contain NaN, or there is nothing to choose
        on: no row, or no positive.

    References
    ----------
    .. [1] Y. Yang. A study of thresholding strategies for text categorization. SIGIR, 2001.

    Examples
    --------
    >>> import numpy as np
    >>> Y, scores = np.array([[1, 0], [1, 1]]), np.array([[0.9, 0.2], [0.6, 0.5]])
    >>> choose_decision(Y, scores)
    Decision('global', threshold=0.35)
    >>> choose_decision(Y, scores, "top_k")
    Decision('top_k', k=2)
    """
    rule = check_rule(rule, "rule")
    if not isinstance(rule, str):
        return Decision("fixed", rule)
    Y, scores = _checked_pair(Y_true, scores)
    if not Y.nnz:
        raise ValueError(
            f"A threshold cannot be chosen on {Y.shape[0]} held-out rows without any positive. "
            "Hold out more rows, or give the threshold as a number."
        )
    n_reachable = _reachable(Y, scores).nnz
    if not n_reachable:
        raise ValueError(
            f"A threshold cannot be chosen where all {Y.nnz} positives of {Y.shape[0]} held-out "
            "rows have the score -inf. Hold out more rows, or give the threshold as a number."
        )
    if rule == "top_k":
        k = int(np.floor(n_reachable / Y.shape[0] + 0.5))
        return Decision(rule, -np.inf, min(max(k, 1), Y.shape[1]))
    threshold: float | NDArray[np.float64]
    if rule == "cardinality":
        threshold = cardinality_threshold(Y, scores)
    elif rule == "global":
        threshold = best_global_threshold(Y, scores)
    else:
        threshold = per_label_thresholds(Y, scores, _common_threshold(Y, scores))
    return Decision(rule, threshold, at_least_one=at_least_one)


def _common_threshold(Y: sp.csr_matrix, scores: NDArray) -> float:
    """Midway between the best for macro-F1 and that of as many labels as there are.

    The first alone is too low: labels without a held-out positive do not vote, and are predicted
    for nothing.
    """
    macro, cardinality = best_macro_threshold(Y, scores), cardinality_threshold(Y, scores)
    return float(_average(macro, cardinality, 0.5, scores))


def best_global_threshold(Y_true: Any, scores: ArrayLike) -> float:
    """Threshold that maximises micro-averaged F1 when every label uses the same one.

    Parameters
    ----------
    Y_true : sparse matrix or ndarray of shape (n, L), {0, 1}
        Held-out targets.
    scores : ndarray of shape (n, L)
        Held-out scores; larger means more likely.

    Returns
    -------
    threshold : float
        Midway between the last accepted and the first rejected score, so that a label is
        predicted where its score is larger. Without any positive, above every score.

    Notes
    -----
    Only the ``20 * nnz + n`` largest entries are sorted: with more of them accepted, F1 is
    below 0.1 whatever the scores. Cost O(n L + nnz log nnz).

    Examples
    --------
    >>> import numpy as np
    >>> best_global_threshold(np.array([[1, 0], [1, 1]]), np.array([[0.9, 0.2], [0.6, 0.5]]))
    0.35
    """
    Y_true = sp.csr_matrix(Y_true)
    scores = np.asarray(scores)
    reachable = _reachable(Y_true, scores)
    if reachable.nnz == 0:
        return float(np.nextafter(scores.max(), np.inf)) if scores.size else 1.0
    values, hits, _ = _largest_entries(reachable, scores)
    f1 = 2 * np.cumsum(hits) / (np.arange(1, hits.size + 1) + Y_true.nnz)
    return _cut_of_largest(values, f1)


def best_macro_threshold(Y_true: Any, scores: ArrayLike) -> float:
    """Threshold that maximises macro-averaged F1 when every label uses the same one.

    Parameters
    ----------
    Y_true : sparse matrix or ndarray of shape (n, L), {0, 1}
        Held-out targets. Labels without a positive are left out of the average.
    scores : ndarray of shape (n, L)
        Held-out scores; larger means more likely.

    Returns
    -------
    threshold : float
        Midway between the last accepted and the first rejected score. Without any positive,
        above every score.

    Notes
    -----
    Every further entry changes the F1 of one label only, so the average along all cuts is a
    running sum of changes. As for micro-F1, the ``20 * nnz + n`` largest entries are looked at.
    Cost O(n L + nnz log nnz).

    Examples
    --------
    >>> import numpy as np
    >>> best_macro_threshold(np.array([[1, 0], [0, 1]]), np.array([[0.9, 0.3], [0.1, 0.7]]))
    0.5
    """
    Y, scores = _checked_pair(Y_true, scores)
    reachable = _reachable(Y, scores)
    if not reachable.nnz:
        return best_global_threshold(Y, scores)
    n_positive = np.bincount(Y.indices, minlength=Y.shape[1])
    values, hits, labels = _largest_entries(reachable, scores)
    order = np.argsort(labels, kind="stable")  # within a label still by score
    f1, starts, _ = _f1_along(labels[order], hits[order], n_positive)
    changes = np.diff(f1, prepend=0.0)
    changes[starts] = f1[starts]
    gains = np.empty_like(changes)
    gains[order] = changes
    return _cut_of_largest(values, np.cumsum(gains))


def per_label_thresholds(
    Y_true: Any, scores: ArrayLike, global_threshold: float, shrinkage: float = SHRINKAGE
) -> NDArray[np.float64]:
    """One threshold a label, the best for its F1, drawn to a common one where it is rare.

    Parameters
    ----------
    Y_true : sparse matrix or ndarray of shape (n, L), {0, 1}
        Held-out targets.
    scores : ndarray of shape (n, L)
        Held-out scores; larger means more likely. If all finite ones lie in [0, 1], thresholds
        are averaged as log-odds, otherwise as they are.
    global_threshold : float
        The common threshold. Labels without a positive get it, as do those whose F1 stays below
        2 / 21 wherever the cut: their scores carry no evidence on where to put it.
    shrinkage : float, default=10.0
        Number of positives at which the two thresholds weigh the same; 0 takes each label's own.

    Returns
    -------
    thresholds : ndarray of shape (L,), float64

    Raises
    ------
    ValueError
        If shapes differ, scores contain NaN, or `shrinkage` is negative.

    Notes
    -----
    A cut found among m positives lies between two of them, so the variance of its error falls as
    ``s2 / m``; best cuts of labels differ from the common one with a variance ``t2``. The mean
    squared error is then least with the weight ``m / (m + s2 / t2)`` on the label's own cut:
    `shrinkage` is that ratio. Without it the F1 of rare labels is tuned to chance: a label with
    one positive gets its cut from one score (see [1]_ on what that costs, [2]_ on a remedy that
    knows only two states). On training rows of seven sets, scored by a linear model, macro-F1
    was flat between 3 and 20, and highest at 10.

    A cut is best only right below a positive, and, with more than ``20 m`` entries accepted, F1
    is below 2 / 21. Only the entries above both bounds are sorted, all labels at once: cost
    O(n L + nnz log nnz).

    References
    ----------
    .. [1] Z. C. Lipton, C. Elkan, B. Naryanaswamy. Optimal thresholding of classifiers to
       maximize F1 measure. ECML PKDD, 2014.
    .. [2] R.-E. Fan, C.-J. Lin. A study on threshold selection for multi-label classification.
       National Taiwan University, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> Y = np.array([[1, 0], [1, 0], [0, 0]])
    >>> scores = np.array([[0.4, 0.3], [0.2, 0.1], [0.1, 0.2]])
    >>> per_label_thresholds(Y, scores, 0.5, shrinkage=0).round(2).tolist()
    [0.15, 0.5]
    """
    if not isinstance(shrinkage, Real) or not shrinkage >= 0:
        raise ValueError(f"`shrinkage` must be a number >= 0, got {shrinkage!r}. 0 is none.")
    Y, scores = _checked_pair(Y_true, scores)
    thresholds = np.full(Y.shape[1], float(global_threshold))
    reachable = _reachable(Y, scores)
    if not reachable.nnz:
        return thresholds
    labels, own = _own_thresholds(Y, reachable, scores)
    if shrinkage:
        n_positive = np.bincount(reachable.indices, minlength=Y.shape[1])[labels]
        own = _average(own, global_threshold, n_positive / (n_positive + shrinkage), scores)
    thresholds[labels] = own
    return thresholds


def cardinality_threshold(Y_true: Any, scores: ArrayLike) -> float:
    """Threshold at which as many labels are predicted as there are true ones.

    Parameters
    ----------
    Y_true : sparse matrix or ndarray of shape (n, L), {0, 1}
        Held-out targets.
    scores : ndarray of shape (n, L)
        Held-out scores; larger means more likely.

    Returns
    -------
    threshold : float
        Where equal scores leave no such cut, the one that comes nearest. Cost O(n L).

    Examples
    --------
    >>> import numpy as np
    >>> cardinality_threshold(np.array([[1, 0], [0, 1]]), np.array([[0.9, 0.2], [0.6, 0.5]]))
    0.55
    """
    Y, scores = _checked_pair(Y_true, scores)
    wanted = _reachable(Y, scores).nnz
    if not wanted:
        return best_global_threshold(Y, scores)
    flat = scores.ravel()
    last = np.partition(flat, flat.size - wanted)[flat.size - wanted]
    is_above, is_below = flat > last, flat < last
    n_above, n_with_ties = is_above.sum(), flat.size - is_below.sum()
    if n_with_ties - wanted <= wanted - n_above:
        below = flat[is_below]
        return float(_between(last, below.max() if below.size else -np.inf))
    return float(_between(flat[is_above].min(initial=np.inf), last))


def _checked_pair(Y_true: Any, scores: ArrayLike) -> tuple[sp.csr_matrix, NDArray]:
    """CSR targets without explicit zeros, and scores of the same shape."""
    Y, scores = sp.csr_matrix(Y_true), np.asarray(scores)
    if Y.shape != scores.shape:
        raise ValueError(
            f"`Y_true` and `scores` must have the same shape (n, L), got {Y.shape} and "
            f"{scores.shape}. Score the rows that the targets belong to."
        )
    if scores.size and np.isnan(scores.min()):
        raise ValueError(
            f"`scores` must not contain NaN, got {int(np.isnan(scores).sum())} of {scores.size} "
            "values. Look for a diverged model."
        )
    if Y.nnz and not Y.data.all():
        Y = Y.copy()
        Y.eliminate_zeros()
    return Y, scores


def _reachable(Y: sp.csr_matrix, scores: NDArray) -> sp.csr_matrix:
    """Targets without the positives whose score is -inf, which no threshold predicts."""
    rows = np.repeat(np.arange(Y.shape[0]), np.diff(Y.indptr))
    is_reachable = scores[rows, Y.indices] > -np.inf
    if is_reachable.all():
        return Y
    shape, kept = Y.shape, (rows[is_reachable], Y.indices[is_reachable])
    return sp.csr_matrix((Y.data[is_reachable], kept), shape=shape)


def _are_probabilities(scores: NDArray) -> bool:
    """Whether all finite scores lie in [0, 1]."""
    is_finite = np.isfinite(scores)
    lowest = scores.min(initial=0.0, where=is_finite)
    return bool(lowest >= 0 and scores.max(initial=0.0, where=is_finite) <= 1)


def _average(
    first: ArrayLike, second: float, weight: ArrayLike, scores: NDArray
) -> NDArray[np.float64]:
    """Weighted mean of thresholds, `weight` on the first: of log-odds, if of probabilities."""
    first, weight = np.asarray(first, dtype=np.float64), np.asarray(weight)
    if not _are_probabilities(scores):
        return weight * first + (1 - weight) * second
    odds = [logit(np.clip(t, 1e-30, 1 - 1e-15)) for t in (first, second)]
    return expit(weight * odds[0] + (1 - weight) * odds[1])


def _own_thresholds(
    Y: sp.csr_matrix, reachable: sp.csr_matrix, scores: NDArray
) -> tuple[NDArray, NDArray]:
    """Labels whose best F1 is at least 2 / 21, and the threshold midway below their best cut."""
    n_positive = np.bincount(Y.indices, minlength=Y.shape[1])
    floors = _floors(reachable, scores)
    rows, labels = np.nonzero(scores >= floors)
    values = scores[rows, labels]
    order = np.lexsort((-values, labels))
    rows, labels, values = rows[order], labels[order], values[order]
    hits = np.asarray(reachable[rows, labels]).ravel()
    f1, starts, sizes = _f1_along(labels, hits, n_positive)
    is_last = np.append(labels[1:] != labels[:-1], True)
    f1[~is_last & np.append(values[1:] == values[:-1], False)] = -1.0  # within equal scores
    highest = np.maximum.reduceat(f1, starts)
    position = np.where(f1 == np.repeat(highest, sizes), np.arange(len(f1)), len(f1))
    best = np.minimum.reduceat(position, starts)[highest >= 2 / (1 + _REACH)]
    rejected = values[np.minimum(best + 1, len(values) - 1)]
    ends = labels[best[is_last[best]]]  # of these, what comes next is below the floor
    below = np.max(scores[:, ends], axis=0, initial=-np.inf, where=scores[:, ends] < floors[ends])
    rejected[is_last[best]] = below
    return labels[best], _between(values[best], rejected)


def _f1_along(
    labels: NDArray, hits: NDArray, n_positive: NDArray
) -> tuple[NDArray[np.float64], NDArray, NDArray]:
    """F1 of each entry's label once it is accepted; where labels start; how long they are.

    Entries are grouped by label, within it by falling score.
    """
    starts = np.flatnonzero(np.append(True, labels[1:] != labels[:-1]))
    sizes = np.diff(np.append(starts, len(labels)))
    n_hits = np.cumsum(hits, dtype=np.int64)
    n_hits -= np.repeat(np.append(0, n_hits[starts[1:] - 1]), sizes)
    n_accepted = np.arange(1, len(labels) + 1) - np.repeat(starts, sizes)
    return 2 * n_hits / (n_accepted + n_positive[labels]), starts, sizes


def _largest_entries(Y: sp.csr_matrix, scores: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """The ``20 * nnz + n`` largest scores in falling order, whether they are true, their labels."""
    flat = scores.ravel()
    n_kept = min(flat.size, _REACH * Y.nnz + scores.shape[0])
    kept = np.argpartition(-flat, n_kept - 1)[:n_kept]
    kept = kept[np.argsort(-flat[kept], kind="stable")]
    rows, labels = np.divmod(kept, scores.shape[1])
    return flat[kept], np.asarray(Y[rows, labels]).ravel(), labels


def _cut_of_largest(values: NDArray, quality: NDArray) -> float:
    """Threshold right after the falling `values` where quality is highest."""
    is_cut = np.append(values[1:] < values[:-1], True)  # never inside a run of equal scores
    best = int(np.argmax(np.where(is_cut, quality, -1.0)))
    below = values[best + 1] if best + 1 < values.size else -np.inf
    return float(_between(values[best], below))


def _floors(Y: sp.csr_matrix, scores: NDArray) -> NDArray[np.float64]:
    """Score of each label below which no entry can belong to its best cut; inf without positives.

    The larger of its lowest positive and of a score reached by about 20 entries a positive.
    """
    n_rows, n_labels = scores.shape
    n_positive = np.bincount(Y.indices, minlength=n_labels)
    floors = np.full(n_labels, np.inf)
    rows = np.repeat(np.arange(n_rows), np.diff(Y.indptr))
    np.minimum.at(floors, Y.indices, scores[rows, Y.indices])
    # Labels with about as many positives are cut at the same rank: a few partitions for all.
    sizes = np.where(n_positive > 0, np.ceil(np.log2(np.maximum(n_positive, 1))), -1)
    for size in np.unique(sizes[sizes >= 0]):
        labels = np.flatnonzero(sizes == size)
        position = n_rows - _REACH * 2 ** int(size)
        if position > 0:
            reached = np.partition(scores[:, labels], position, axis=0)[position]
            floors[labels] = np.maximum(floors[labels], reached)
    return floors


def _between(accepted: ArrayLike, rejected: ArrayLike) -> NDArray[np.float64]:
    """Midway, in the precision of the scores: never rounded up to what is to be accepted."""
    accepted, rejected = np.asarray(accepted), np.asarray(rejected)
    with np.errstate(invalid="ignore"):  # between infinities
        middle = 0.5 * (accepted.astype(np.float64) + rejected.astype(np.float64))
    middle = middle.astype(np.result_type(accepted, rejected))
    below = np.where(rejected == -np.inf, np.nextafter(accepted, -np.inf), rejected)
    is_between = np.isfinite(middle) & (middle < accepted)
    return np.where(is_between, middle, below).astype(np.float64)
