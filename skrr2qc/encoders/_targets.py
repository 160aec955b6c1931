"""Targets of an encoder: what a multi-label classifier takes, or one class a text."""

from numbers import Integral

import numpy as np
import scipy.sparse as sp

from .._validation import check_label_matrix


def check_targets(y, n_samples, labels):
    """CSR indicator of targets.

    Parameters
    ----------
    y : indicator (n, L), n sets of label names, or n classes
        Classes are names or column numbers of `labels`, and anything that can be sorted without.
    n_samples : int
    labels : LabelSpace or None

    Returns
    -------
    label_sets : csr_matrix of shape (n, L), float32
    """
    is_flat = isinstance(y, (list, tuple)) or getattr(y, "ndim", 2) == 1
    items = list(y) if is_flat else []
    if not items or any(
        isinstance(item, (set, frozenset, list, tuple, np.ndarray)) for item in items
    ):
        return check_label_matrix(items or y, n_samples=n_samples, labels=labels, name="y")
    if len(items) != n_samples:
        raise ValueError(
            f"`y` must have one entry per text: expected {n_samples}, got {len(items)}. Check that "
            "texts and targets were selected alike."
        )
    _check_classes(items)
    if labels is not None:
        names = [{name} for name in _names_of(items, labels)]
        return check_label_matrix(names, labels=labels, name="y")
    classes, codes = np.unique(np.asarray(items), return_inverse=True)
    ones = np.ones(n_samples, dtype=np.float32)
    return sp.csr_matrix((ones, (np.arange(n_samples), codes)), shape=(n_samples, len(classes)))


def _check_classes(items):
    """Refuse numbers that are measured and not counted, and what is missing."""
    for item in items:
        is_whole = isinstance(item, (float, np.floating)) and float(item).is_integer()
        if not (is_whole or isinstance(item, (str, bool, np.bool_, Integral))):
            raise ValueError(
                f"`y` must hold classes (str or int), sets of label names, or be an indicator "
                f"matrix, got {item!r}. Leave out texts whose class is missing, or give them as "
                "`unlabeled`."
            )


def _names_of(classes, labels):
    """Names of one class a text: themselves, or column numbers."""
    if all(isinstance(c, str) for c in classes):
        return classes
    n_labels = len(labels)
    for c in classes:
        is_bool = isinstance(c, (bool, np.bool_))
        if is_bool or not isinstance(c, Integral) or not 0 <= c < n_labels:
            raise ValueError(
                f"`y` must hold names of `labels`, or column numbers from 0 to {n_labels - 1}, got "
                f"{c!r}."
            )
    return [labels.names[c] for c in classes]
