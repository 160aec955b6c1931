"""Metrics of frequent and rare labels: head / medium / tail report, nDCG of the tail."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from ._f1 import average_f1, f1_per_label, top_1_indicator
from ._inputs import (
    Matrix,
    as_array,
    check_k,
    check_option,
    check_real,
    label_counts,
    warn_undefined,
)
from ._ranking import checked_pair, hits, mean_ndcg
from ._topk import ranked_labels


def label_groups_by_frequency(Y_train: Matrix) -> dict[str, NDArray[np.int64]]:
    """Split labels into head, medium and tail by training frequency, about a third each.

    Parameters
    ----------
    Y_train : ndarray or CSR of shape (n, L), {0, 1}, or array of shape (L,)
        Training truth, or the number of training examples of each label. Labels without examples
        belong to the tail.

    Returns
    -------
    groups : dict of str to ndarray
        Sorted label indices under "head", "medium" and "tail"; together every label once.

    Raises
    ------
    ValueError, TypeError
        If there is no label, a value of the matrix is not 0 or 1, or a count is negative.

    Notes
    -----
    Equally frequent labels stay together: the tail holds the rarest third and all labels as rare
    as its most frequent one, then the head likewise from above. This reproduces the form of the
    published groups of RR2QC (143 / 137 / 147 of 427 labels) and does not depend on the order of
    labels. Where ties are large, sizes differ and a group may be empty.

    Examples
    --------
    >>> from skrr2qc.metrics import label_groups_by_frequency
    >>> groups = label_groups_by_frequency([50, 1, 7, 0, 90, 7])
    >>> {name: labels.tolist() for name, labels in groups.items()}
    {'head': [0, 4], 'medium': [2, 5], 'tail': [1, 3]}
    """
    counts = label_counts(Y_train)
    if counts.size == 0:
        raise ValueError("`Y_train` must have at least one label, got none.")
    ordered, third = np.sort(counts), -(-counts.size // 3)
    tail = counts <= ordered[third - 1]
    head = (counts >= ordered[-third]) & ~tail
    masks = {"head": head, "medium": ~(head | tail), "tail": tail}
    return {name: np.flatnonzero(mask) for name, mask in masks.items()}


def label_group_report(
    Y_true: Matrix,
    scores: Matrix,
    label_groups: Mapping[str, ArrayLike] | Matrix,
    k: int = 5,
) -> dict[str, dict[str, float]]:
    """Evaluate groups of labels, such as head, medium and tail (Table 5 of [1]_).

    Parameters
    ----------
    Y_true : ndarray or CSR of shape (n, L), {0, 1}
        True labels.
    scores : ndarray or CSR of shape (n, L)
        Higher is better; see `top_k` for ties and for labels that were not retrieved.
    label_groups : mapping of str to label indices or boolean mask of shape (L,), or Y_train
        The groups, which may overlap. Alternatively the training truth (n_train, L), or counts
        (L,), to be split by `label_groups_by_frequency`.
    k : int, default=5
        Cut-off, 1 <= k <= L.

    Returns
    -------
    report : dict of str to dict of str to float
        For each group, in the given order:

        - ``n_labels``, and ``n_rows``: rows with at least one true label of the group.
        - ``precision_at_1``, ``precision_at_{k}``, ``ndcg_at_{k}``, ``micro_f1_at_1`` over these
          rows, with all their labels kept: the subsets of [1]_.
        - ``macro_f1_at_1_paper``: the same rows, mean F1 over all L labels with
          ``zero_division=1``, which is what [1]_ prints.
        - ``macro_f1_at_1``: F1 over all rows, mean over the labels of the group that are true
          somewhere. Prefer it: it sees false positives outside the subset.
        - ``group_ndcg_at_{k}``: these rows, truth and ranking restricted to the group's labels.

        Values are nan, without a warning, where a group has no such row.

    Raises
    ------
    ValueError, TypeError
        If shapes differ, values are out of range, or a group names labels that do not exist.

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv 2411.01841.

    Examples
    --------
    >>> from skrr2qc.metrics import label_group_report
    >>> Y, scores = [[1, 0, 1], [0, 1, 0]], [[0.9, 0.8, 0.1], [0.3, 0.2, 0.1]]
    >>> report = label_group_report(Y, scores, {"head": [0], "tail": [1, 2]}, k=2)
    >>> report["tail"]["n_rows"], report["tail"]["precision_at_1"]
    (2, 0.5)
    """
    Y, scores = checked_pair(Y_true, scores)
    k = check_k(k, Y.shape[1])
    groups = _check_groups(label_groups, Y.shape[1])
    ranking, top = ranked_labels(scores, k), top_1_indicator(scores)
    f1 = f1_per_label(Y, top)
    supported = np.bincount(Y.indices, minlength=Y.shape[1]) > 0
    report: dict[str, dict[str, float]] = {}
    for name, columns in groups.items():
        rows = np.flatnonzero(np.diff(Y[:, columns].indptr))
        entry: dict[str, float] = {"n_labels": columns.size, "n_rows": rows.size}
        entry |= _row_metrics(Y[rows], ranking[rows], top[rows])
        f1_of_group = f1[columns[supported[columns]]]
        entry["macro_f1_at_1"] = float(f1_of_group.mean()) if f1_of_group.size else float("nan")
        entry[f"group_ndcg_at_{k}"] = _restricted_ndcg(Y, scores, k, columns)
        report[name] = entry
    return report


def tail_ndcg_at_k(
    Y_true: Matrix, scores: Matrix, k: int, Y_train: Matrix, max_count: int = 5,
    *, ranked: str = "all",
) -> float:  # fmt: skip
    """nDCG@k of rare labels: those with at most `max_count` training examples.

    The truth is restricted to the rare labels; rows without a rare true label are skipped.

    Parameters
    ----------
    Y_true : ndarray or CSR of shape (n, L), {0, 1}
        True labels.
    scores : ndarray or CSR of shape (n, L)
        Higher is better; see `top_k` for ties and for labels that were not retrieved.
    k : int
        Cut-off, 1 <= k <= L.
    Y_train : ndarray or CSR of shape (n_train, L), {0, 1}, or array of shape (L,)
        Training truth, or the number of training examples of each label.
    max_count : int, default=5
        Labels with 0 to `max_count` training examples are rare: those without any are included.
    ranked : {"all", "tail"}, default="all"
        "all": a rare label has to come before frequent ones, too. "tail": only rare labels
        compete, at most `k` of them, so that frequent labels do not push them down.

    Returns
    -------
    ndcg : float in [0, 1]
        nan with a RuntimeWarning if no row has a rare true label.

    Raises
    ------
    ValueError, TypeError
        If shapes differ, values are out of range, or `max_count` < 0.

    Examples
    --------
    >>> from skrr2qc.metrics import tail_ndcg_at_k
    >>> Y, scores = [[1, 0, 1], [0, 1, 0]], [[0.9, 0.8, 0.1], [0.3, 0.2, 0.1]]
    >>> tail_ndcg_at_k(Y, scores, k=1, Y_train=[70, 5, 0])  # label 0 comes first twice
    0.0
    >>> tail_ndcg_at_k(Y, scores, k=1, Y_train=[70, 5, 0], ranked="tail")
    0.5
    """
    Y, scores = checked_pair(Y_true, scores)
    k = check_k(k, Y.shape[1])
    check_real(max_count, "max_count", minimum=0)
    check_option(ranked, "ranked", ("all", "tail"))
    counts = label_counts(Y_train)
    _check_n_labels(counts.size, Y.shape[1], "Y_train")
    is_rare = counts <= max_count
    if ranked == "tail":
        ndcg = _restricted_ndcg(Y, scores, k, np.flatnonzero(is_rare))
    else:
        rare = Y.copy()
        rare.data = rare.data * is_rare[rare.indices]
        rare.eliminate_zeros()
        ndcg = mean_ndcg(rare, ranked_labels(scores, k)) if rare.nnz else float("nan")
    if np.isnan(ndcg):
        reason = f"no row has a true label with at most {max_count} training examples"
        return warn_undefined("tail_ndcg_at_k", reason)
    return ndcg


def _row_metrics(
    Y: sparse.csr_array, ranking: NDArray[np.int64], top: sparse.csr_array
) -> dict[str, float]:
    k = ranking.shape[1]
    names = ["precision_at_1", f"precision_at_{k}", f"ndcg_at_{k}"]
    names += ["micro_f1_at_1", "macro_f1_at_1_paper"]
    if Y.shape[0] == 0:
        return dict.fromkeys(names, float("nan"))
    hit = hits(Y, ranking)
    values = [float(hit[:, 0].mean()), float(hit.mean()), mean_ndcg(Y, ranking)]
    values += [average_f1(Y, top, "micro", 0), average_f1(Y, top, "macro", 1)]
    return dict(zip(names, values, strict=True))


def _restricted_ndcg(
    Y: sparse.csr_array, scores: Matrix, k: int, columns: NDArray[np.int64]
) -> float:
    """nDCG with truth and ranking restricted to some labels; nan without such a true label."""
    restricted = Y[:, columns]
    if restricted.nnz == 0:
        return float("nan")
    return mean_ndcg(restricted, ranked_labels(scores, min(k, columns.size), columns))


def _check_groups(
    label_groups: Mapping[str, ArrayLike] | Matrix, n_labels: int
) -> Mapping[str, NDArray[np.int64]]:
    if not isinstance(label_groups, Mapping):
        groups = label_groups_by_frequency(label_groups)
        _check_n_labels(sum(map(len, groups.values())), n_labels, "label_groups")
        return groups
    return {
        name: _check_columns(labels, f"label_groups[{name!r}]", n_labels)
        for name, labels in label_groups.items()
    }


def _check_columns(group: ArrayLike, name: str, n_labels: int) -> NDArray[np.int64]:
    labels = as_array(group, name)
    if labels.dtype == bool and labels.shape == (n_labels,):
        return np.flatnonzero(labels)
    if labels.ndim != 1 or (labels.size and labels.dtype.kind not in "iu"):
        raise ValueError(
            f"`{name}` must be a list of label indices or a boolean mask of shape ({n_labels},), "
            f"got shape {labels.shape} and dtype {labels.dtype}."
        )
    if labels.size and not (labels.min() >= 0 and labels.max() < n_labels):
        raise ValueError(
            f"`{name}` must hold label indices from 0 to {n_labels - 1}, "
            f"got values between {labels.min()} and {labels.max()}."
        )
    return np.unique(labels).astype(np.int64)


def _check_n_labels(found: int, expected: int, name: str) -> None:
    if found != expected:
        raise ValueError(
            f"`{name}` must have the labels of `Y_true`: expected {expected}, got {found}. "
            "Fit and evaluate with the same label columns."
        )
