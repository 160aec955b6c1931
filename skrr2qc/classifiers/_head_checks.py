"""Parameters and data of a label head: checked, and completed by what its backbone likes."""

import numpy as np
import scipy.sparse as sp
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import validate_data

from .._runs import check_checkpoint_dir
from .._training import resolve_device
from .._validation import (
    check_choice,
    check_label_matrix,
    check_number,
    check_part,
    check_seed,
    check_texts,
)
from ..modules import get_backbone
from ._tower_training import LOSSES

# On arrays, where a step costs next to nothing.
_ON_FEATURES = {"loss": "bce", "n_frozen_layers": 0, "n_epochs": 40, "lr": 5e-3}
# With more texts than this, a backbone's own number of epochs shrinks, to the least at most.
_MANY_TEXTS, _LEAST_EPOCHS = 8_000, 4


def check_head(head):
    """Refuse parameters of a `ClassCenterHead` that are not as described.

    Raises
    ------
    TypeError, ValueError
    """
    check_part(head.encoder, "encoder", "transform")
    check_number(head.class_center_weight, "class_center_weight", minimum=0)
    check_choice(head.class_center_form, "class_center_form", ("paper", "released"))
    check_choice(head.center_init, "center_init", ("blend", "means", "texts"))
    if head.loss is not None and not callable(head.loss):
        check_choice(head.loss, "loss", LOSSES)
    check_number(head.ancestor_weight, "ancestor_weight", minimum=0)
    check_number(head.meta_weight, "meta_weight", minimum=0)
    check_number(head.filter_weight, "filter_weight", minimum=0)
    _check_training(head)
    check_seed(head.random_state)
    resolve_device(head.device)
    if head.center_init == "texts" and (head.labels is None or head.encoder is None):
        raise ValueError(
            "`center_init` == 'texts' needs `labels` (a LabelSpace with the names) and an "
            "`encoder` to encode them. Pass both, or center_init='means'."
        )


def check_head_data(head, X, y):
    """Texts or features, and targets.

    Parameters
    ----------
    head : ClassCenterHead
        Keeps the number and names of features.
    X, y : as in its `fit`

    Returns
    -------
    X : list of n str, ndarray or csr_matrix of shape (n, d)
    Y : csr_matrix of shape (n, L)
    classes : ndarray of shape (L,)
    is_multilabel : bool
        Whether `y` was not one-dimensional classes.
    """
    if head.encoder is not None:
        X = check_texts(X)
        Y = check_label_matrix(y, n_samples=len(X), labels=head.labels, name="y")
        return X, Y, np.arange(Y.shape[1]), True
    if y is None:
        raise ValueError(
            f"{type(head).__name__} requires y to be passed, but the target y is None."
        )
    X, y = validate_data(head, X, y, accept_sparse="csr", dtype=np.float32, multi_output=True)
    is_indicator = sp.issparse(y) or type_of_target(y).startswith("multilabel")
    if is_indicator or (y.ndim == 2 and y.shape[1] > 1):
        Y = check_label_matrix(y, n_samples=X.shape[0], labels=head.labels, name="y")
        return X, Y, np.arange(Y.shape[1]), True
    check_classification_targets(y)
    classes, codes = np.unique(column_or_1d(y, warn=True), return_inverse=True)
    shape = (len(codes), len(classes))
    Y = sp.csr_matrix((np.ones(len(codes)), (np.arange(len(codes)), codes)), shape=shape)
    return X, check_label_matrix(Y, name="y"), classes, False


def tunes_backbone(head):
    """Whether a head whose encoder is fitted trains layers of it, rather than a projection."""
    return head.encoder is not None and hasattr(head.encoder_, "backbone_")


def resolve_head(head, n_texts=0):
    """Loss, frozen layers, epochs and learning rate: of the head, or else of its backbone.

    Parameters
    ----------
    head : ClassCenterHead
    n_texts : int, default=0
        To train on; many of them need fewer epochs.

    Returns
    -------
    settings : dict
    """
    likes = dict(_ON_FEATURES)
    if tunes_backbone(head):
        backbone = get_backbone(head.encoder_)
        likes = {name: getattr(backbone, name) for name in likes if name != "loss"}
        likes["loss"] = backbone.label_loss
        likes["n_epochs"] = _epochs_for(n_texts, likes["n_epochs"])
    given = {name: getattr(head, name) for name in likes}
    return {name: likes[name] if value is None else value for name, value in given.items()}


def _epochs_for(n_texts, n_epochs):
    """As many steps as `_MANY_TEXTS` would take, from there on."""
    fewer = round(n_epochs * _MANY_TEXTS / max(n_texts, _MANY_TEXTS))
    return min(n_epochs, max(_LEAST_EPOCHS, fewer))


def _check_training(head):
    check_choice(head.schedule, "schedule", ("linear", "onecycle"))
    check_number(head.layer_decay, "layer_decay", above=0, maximum=1)
    if head.ema_decay is not None:
        check_number(head.ema_decay, "ema_decay", above=0, maximum=0.9999)
    if head.validation_fraction is not None:
        check_number(head.validation_fraction, "validation_fraction", above=0, maximum=0.5)
    check_number(head.patience, "patience", minimum=1, integer=True)
    check_number(head.memory_budget, "memory_budget", minimum=0)
    check_number(head.batch_size, "batch_size", minimum=1, integer=True)
    check_number(head.weight_decay, "weight_decay", minimum=0)
    check_number(head.checkpoint_steps, "checkpoint_steps", minimum=1, integer=True)
    check_checkpoint_dir(head.checkpoint_dir)
    if head.n_frozen_layers is not None:
        check_number(head.n_frozen_layers, "n_frozen_layers", minimum=0, integer=True)
    if head.n_epochs is not None:
        check_number(head.n_epochs, "n_epochs", minimum=1, integer=True)
    if head.lr is not None:
        check_number(head.lr, "lr", above=0)
