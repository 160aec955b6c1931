"""How a label tower learns: its loss, where it begins, what is held out, who learns how fast."""

import warnings
from functools import partial

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.preprocessing import normalize

from ..losses import (
    asymmetric_loss,
    class_balanced_weights,
    focal_loss,
    multilabel_cross_entropy,
    zlpr_loss,
)
from ..model_selection import train_holdout_split

LOSSES = {  # name in the parameter -> name in the history
    "bce": "cross_entropy",
    "asymmetric": "asymmetric",
    "zlpr": "zlpr",
    "focal": "focal",
    "class_balanced": "cross_entropy",
}


def label_loss(loss, Y, device):
    """Name and function of the loss on label scores; as large for one label as for a thousand.

    Parameters
    ----------
    loss : str or callable
        A key of `LOSSES`, or ``(logits, Y) -> 0-d tensor``.
    Y : csr_matrix of shape (n, L)
        Training targets, whose counts "class_balanced" weighs by.
    device : str
        Where a callable is tried.

    Returns
    -------
    name : str
    function : callable
        ``(logits, Y) -> 0-d tensor``.
    """
    n_labels = Y.shape[1]
    if callable(loss):
        _try(loss, n_labels, device)
        return "label_loss", loss
    # Summed over labels, a text weighs the same whatever their number.
    functions = {
        "bce": partial(_summed, multilabel_cross_entropy, n_labels),
        "asymmetric": asymmetric_loss,
        "zlpr": zlpr_loss,
        "focal": partial(_summed, focal_loss, n_labels),
    }
    if loss == "class_balanced":
        weights = class_balanced_weights(Y.getnnz(axis=0))
        balanced = partial(multilabel_cross_entropy, positive_weights=weights)
        return LOSSES[loss], partial(_summed, balanced, n_labels)
    return LOSSES[loss], functions[loss]


def label_starts(Y, embeddings, rng, names=None, names_alone=False):
    """One unit vector a label: from its texts, its name, or both.

    Parameters
    ----------
    Y : csr_matrix of shape (n, L)
    embeddings : ndarray of shape (n, D)
        Vectors of the texts.
    rng : numpy.random.Generator
        For labels that have neither.
    names : ndarray of shape (L, D), default=None
        Vectors of the names; each counts as one text more.
    names_alone : bool, default=False

    Returns
    -------
    vectors : Tensor of shape (L, D), float32
    """
    sums = np.asarray(Y.T @ embeddings)
    if names is not None:
        sums = np.array(names) if names_alone else sums + names
    is_empty = ~sums.any(axis=1)
    sums[is_empty] = rng.normal(size=(int(is_empty.sum()), sums.shape[1]))
    return torch.from_numpy(normalize(sums).astype(np.float32))


def ancestor_columns(labels, Y):
    """Which nodes above the labels are worth a score of their own.

    Those of two labels or more, but not of all, that have a text; of nodes above the same labels
    only the first.

    Parameters
    ----------
    labels : LabelSpace or None
    Y : csr_matrix of shape (n, L)

    Returns
    -------
    above : csr_matrix of shape (L, A), {0, 1}, or None
        None where there is no such node.
    """
    if labels is None or labels.max_depth == 1:
        return None
    below = labels.ancestors.tocsc()  # labels at or below each node
    has_text = np.asarray(Y.getnnz(axis=0) @ below) > 0
    nodes = {}
    for node in np.flatnonzero(has_text):
        rows = below.indices[below.indptr[node] : below.indptr[node + 1]]
        if 1 < len(rows) < len(labels):
            nodes.setdefault(np.sort(rows).tobytes(), node)
    return labels.ancestors[:, list(nodes.values())] if nodes else None


def with_ancestors(Y, above):
    """Targets followed by those of the ancestors; CSR of shape (n, L + A)."""
    if above is None:
        return Y
    targets = Y @ above
    targets.data = np.ones_like(targets.data)
    return sp.hstack([Y, targets], format="csr", dtype=np.float32)


def hold_out(inputs, Y, fraction, rng):
    """Rows to learn from, and rows to watch.

    Parameters
    ----------
    inputs : list, ndarray or csr_matrix of n rows
    Y : csr_matrix of shape (n, L)
    fraction : float in (0, 1), or None
    rng : numpy.random.Generator

    Returns
    -------
    parts : list of one or two (inputs, Y)
        One, with all rows, where nothing is to be watched, or nothing can be.
    """
    if fraction is None:
        return [(inputs, Y)]
    seed = int(rng.integers(np.iinfo(np.int32).max))
    parts = train_holdout_split(Y, fraction, random_state=seed)
    if all(len(rows) for rows in parts):
        return [(_take(inputs, rows), Y[rows]) for rows in parts]
    warnings.warn(
        f"No row could be held out of {Y.shape[0]}, or none would be left to learn a label from: "
        "training runs through all epochs. Give more rows, or set validation_fraction=None.",
        UserWarning,
        stacklevel=4,
    )
    return [(inputs, Y)]


def layer_groups(module, tower, lr, decay):
    """Name patterns with the learning rate of each layer, which shrinks from the top down.

    Parameters
    ----------
    module : nn.Module
        Whose names the patterns match; holds `tower`.
    tower : TextTower or FeatureTower
    lr : float
        Of the uppermost layer, and of what is no layer.
    decay : float in (0, 1]

    Returns
    -------
    groups : list of (str, dict)
    """
    if decay == 1 or not hasattr(tower, "upper"):
        return []
    parts = [tower.upper.embeddings, *tower.upper.layers]
    names = {id(part): name for name, part in module.named_modules()}
    rates = [lr * decay**depth for depth in range(len(parts))]
    return [
        (f"{names[id(part)]}.*", {"lr": rate})
        for part, rate in zip(reversed(parts), rates, strict=True)
    ]


def _take(inputs, rows):
    return [inputs[row] for row in rows] if isinstance(inputs, list) else inputs[rows]


def _summed(loss, n_labels, logits, Y):
    return n_labels * loss(logits, Y)


def _try(loss, n_labels, device):
    """Call a user's loss once, before anything is trained with it."""
    logits = torch.zeros(2, n_labels, device=device, requires_grad=True)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        value = loss(logits, torch.zeros(2, n_labels, device=device))
    if not isinstance(value, torch.Tensor) or value.ndim:
        shown = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        raise TypeError(
            "`loss` must return a 0-d tensor for logits and targets of shape (B, L), got "
            f"{shown}. Reduce it, for example with .mean()."
        )
