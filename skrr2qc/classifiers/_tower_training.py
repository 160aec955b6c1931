"""How a label tower learns: its loss, where it begins, what is held out, who learns how fast."""

import warnings
from functools import partial

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.frozen import FrozenEstimator
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


def check_loss(loss, Y, device):
    """Call a loss of the user's own once, before anything is trained with it.

    Parameters
    ----------
    loss : str or callable
        Names are left alone.
    Y : csr_matrix of shape (n, L)
        Training targets; the texts with the most and with the fewest labels are tried.
    device : str

    Raises
    ------
    TypeError
        If it returns no 0-d tensor.
    ValueError
        If the value is not finite, or no gradient leads from it to the logits.
    """
    if not callable(loss):
        return
    n_labels, counts = Y.shape[1], np.diff(Y.indptr)
    rows = [int(counts.argmax()), int(counts.argmin())]
    logits = torch.linspace(-1, 1, 2 * n_labels, device=device).reshape(2, n_labels)
    logits.requires_grad_()
    targets = torch.from_numpy(Y[rows].toarray().astype(np.float32)).to(device)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        value = loss(logits, targets)
    if not isinstance(value, torch.Tensor) or value.ndim:
        shown = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        raise TypeError(
            "`loss` must return a 0-d tensor for logits and targets of shape (B, L), got "
            f"{shown}, B and L being {tuple(logits.shape)}. Reduce it, for example with .mean()."
        )
    if not torch.isfinite(value):
        raise ValueError(
            f"`loss` is {value.item()} for logits from -1 to 1 and two texts with "
            f"{counts[rows[1]]} to {counts[rows[0]]} of {n_labels} labels. Look at what it does "
            "where a text has none, or all."
        )
    if not value.requires_grad or _gradient(value, logits) is None:
        raise ValueError(
            "`loss` has no gradient with respect to the logits: nothing can be learned from it. "
            "Compute it from the logits with differentiable torch operations, without .detach(), "
            ".item(), numpy or comparisons."
        )


def check_frozen_layers(n_frozen_layers, encoder):
    """Refuse more frozen layers than an encoder has, as far as that is known before its fit.

    Parameters
    ----------
    n_frozen_layers : int or None
    encoder : estimator, fitted or not; or None

    Raises
    ------
    ValueError
    """
    n_layers = None if n_frozen_layers is None else _depth(encoder)
    if n_layers is not None and n_frozen_layers > n_layers:
        raise ValueError(
            f"`n_frozen_layers` == {n_frozen_layers}, but the backbone has {n_layers} "
            f"layer{'s' if n_layers > 1 else ''}. Freeze at most {n_layers}, or pass None to leave "
            "it to the backbone."
        )


def label_loss(loss, Y):
    """Name and function of the loss on label scores; as large for one label as for a thousand.

    Parameters
    ----------
    loss : str or callable
        A key of `LOSSES`, or ``(logits, Y) -> 0-d tensor``.
    Y : csr_matrix of shape (n, L)
        Training targets, whose counts "class_balanced" weighs by.

    Returns
    -------
    name : str
    function : callable
        ``(logits, Y) -> 0-d tensor``.
    """
    n_labels = Y.shape[1]
    if callable(loss):
        return "label_loss", partial(_with_own_targets, loss)
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


def with_further_targets(Y, groups):
    """Targets followed by those of each group of nodes or meta-labels.

    Parameters
    ----------
    Y : csr_matrix of shape (n, L)
    groups : sequence of csr_matrix of shape (L, A), {0, 1}
        Which further targets each label brings.

    Returns
    -------
    Y : csr_matrix of shape (n, L + A + ...)
    """
    columns = [Y]
    for group in groups:
        targets = sp.csr_matrix(Y @ group)
        targets.data = np.ones_like(targets.data)
        columns.append(targets)
    return sp.hstack(columns, format="csr", dtype=np.float32) if groups else Y


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


def _with_own_targets(loss, logits, Y):
    return loss(logits, Y.clone())  # which it may change; others read them, too


def _summed(loss, n_labels, logits, Y):
    return n_labels * loss(logits, Y)


def _gradient(value, logits):
    return torch.autograd.grad(value, logits, allow_unused=True)[0]


def _depth(encoder):
    """Layers of an encoder's backbone, or None where only its fit can tell."""
    while isinstance(encoder, FrozenEstimator):
        encoder = encoder.estimator
    if hasattr(encoder, "backbone_"):
        return encoder.backbone_.n_layers
    name = getattr(encoder, "backbone", None)
    if name == "compact":
        return 1
    if not isinstance(name, str):
        return None
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError):
        return None
    return getattr(config, "num_hidden_layers", None)
