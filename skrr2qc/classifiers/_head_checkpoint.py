"""What the training of a label head depends on, by which its checkpoint is known."""

import pickle
from contextlib import suppress
from functools import partial
from numbers import Integral

import joblib
import numpy as np
import scipy.sparse as sp
import torch
from sklearn.frozen import FrozenEstimator

from .. import __version__
from .._runs import open_run
from .._state import module_to_arrays
from .._training import draw_seed
from ..persistence._classes import SavedModelError, network_config
from ._head_checks import resolve_head

# Parameters that change no weight, and those that the fingerprint describes in another way.
_LEFT_OUT = (
    "checkpoint_dir", "checkpoint_steps", "device", "encoder", "labels", "memory_budget",
    "passthrough", "random_state", "verbose",
)  # fmt: skip


def open_head_run(head, X, Y):
    """Checkpoint of a fit, and the seed that it began with; as `open_run`.

    Parameters
    ----------
    head : ClassCenterHead
        Its encoder, if any, is fitted.
    X : list of str, ndarray or csr_matrix
    Y : csr_matrix of shape (n, L)

    Raises
    ------
    TypeError
        If encoder or loss cannot be told by their content.
    ValueError
        As `open_run`.
    """
    fingerprint = partial(_fingerprint, head, X, Y)
    return open_run(head, "head", fingerprint, partial(draw_seed, head.random_state))


def _fingerprint(head, X, Y):
    params = head.get_params(deep=False)
    known = {name: params[name] for name in params if name not in _LEFT_OUT}
    if head.validation_fraction is None:
        del known["patience"]
    known |= resolve_head(head, Y.shape[0])
    if callable(known["loss"]):
        known["loss"] = _content_hash("loss", known["loss"])
    seed = head.random_state
    return known | {
        "random_state": seed if isinstance(seed, Integral) else None,
        "encoder": None
        if head.encoder is None
        else _content_hash("encoder", _content(head.encoder_)),
        "labels": None if head.labels is None else joblib.hash(head.labels),
        "number of rows": Y.shape[0],
        "X": joblib.hash(_arrays(X)),
        "y": joblib.hash((_arrays(Y), head._is_multilabel)),
        "version of skrr2qc": __version__,
    }


def _content(encoder):
    """What a head reads of an encoder: of a backbone encoder, not how long its training took."""
    while isinstance(encoder, FrozenEstimator):
        encoder = encoder.estimator
    if not hasattr(encoder, "backbone_"):
        return encoder
    fitted = {k: v for k, v in vars(encoder).items() if k.endswith("_") and k != "history_"}
    for name, value in fitted.items():
        if isinstance(value, torch.nn.Module):
            fitted[name] = _network(value)
    return fitted, getattr(encoder, "labels", None)


def _network(module):
    """Weights and layout of a module; not the folder that it was read from."""
    state = module_to_arrays(module)
    config = (state["init_args"] or {}).get("config")
    if isinstance(config, dict):
        with suppress(SavedModelError):  # of a type that is not known: all of it
            config = network_config(config, is_read=False)
        state["init_args"] = state["init_args"] | {"config": config}
    return state


def _content_hash(name, value):
    try:
        return joblib.hash(value)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"`checkpoint_dir` knows a fit by the content of its parameters, and `{name}` cannot "
            f"be pickled ({error}). Define functions with def at the top level of a module, or set "
            "checkpoint_dir=None."
        ) from error


def _arrays(X):
    if sp.issparse(X):
        return X.shape, X.indptr, X.indices, X.data
    return np.ascontiguousarray(X) if isinstance(X, np.ndarray) else X
