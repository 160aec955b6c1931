"""Label sets of texts as ranks: what the ranking contrastive loss is to know of a hierarchy."""

import warnings

import numpy as np
import scipy.sparse as sp

from ..hierarchy import label_set_distances
from ..modules import LabelGeometry

_MOST_BYTES = 2**31  # of a table of label distances
_MOST_SETS = 2000  # label sets between which distinct distances are looked for


def label_geometry(settings, label_sets, labels, label_vectors):
    """Ranks and closeness of the texts' label sets, as the settings say.

    Parameters
    ----------
    settings : SimpleNamespace
        From `resolve_settings`.
    label_sets : csr_matrix of shape (n, L)
    labels : LabelSpace or None
        None: flat labels, two of them always two steps apart.
    label_vectors : ndarray of shape (L, D)

    Returns
    -------
    geometry : LabelGeometry
    """
    if settings.label_sets == "first":
        label_sets = first_labels(label_sets)
    is_flat = labels is None or not labels.parents
    distances, depth = (None, 1) if is_flat else (labels.distances(), labels.max_depth)
    max_rank, levels = 2 * depth, None
    if settings.ranks == "unique":
        levels = distinct_distances(label_sets, distances, depth, settings.set_distance)
        max_rank = len(levels) - 1
    cut = max(1, int(np.ceil(settings.positive_share * (max_rank + 1))) - 1)
    return LabelGeometry(
        label_sets,
        distances,
        min(cut, max(1, max_rank)),
        closeness=settings.closeness,
        label_vectors=label_vectors,
        reduction=settings.set_distance,
        levels=levels,
    )


def check_table(labels):
    """Refuse hierarchies whose table of label distances would not fit into memory."""
    if labels is None or not labels.parents:
        return
    n_bytes = 2 * len(labels) * labels.n_nodes
    if n_bytes > _MOST_BYTES:
        raise ValueError(
            f"The distances of {len(labels)} labels among {labels.n_nodes} nodes of a hierarchy "
            f"would take {n_bytes / 2**30:.1f} GiB, {_MOST_BYTES / 2**30:.1f} at most are used. "
            "Set rank_weight=0, or give a LabelSpace without parents."
        )


def can_be_ranked(label_sets):
    """Whether some text is nearer to another than a third is; a warning says why not.

    Parameters
    ----------
    label_sets : csr_matrix of shape (n, L), or None

    Returns
    -------
    can_be_ranked : bool
    """
    if label_sets is None:
        return False
    labelled = label_sets[np.flatnonzero(np.diff(label_sets.indptr))]
    n_labels = int((labelled.getnnz(axis=0) > 0).sum())
    if n_labels > 1 and not (labelled.getnnz(axis=0) == labelled.shape[0]).any():
        return True
    reason = "no text has a label" if not n_labels else "all labelled texts share one label"
    warn_not_ranked(reason)
    return False


def warn_not_ranked(reason):
    """Say that the language model alone was trained, and why."""
    warnings.warn(
        f"Texts cannot be ranked by their labels: {reason}. Only the language model is trained; "
        "set rank_weight=0 to say so.",
        UserWarning,
        stacklevel=5,
    )


def first_labels(label_sets):
    """Label sets cut to the first label of each."""
    counts = np.minimum(np.diff(label_sets.indptr), 1)
    firsts = label_sets.indices[label_sets.indptr[:-1][counts > 0]]
    indptr = np.concatenate([[0], np.cumsum(counts)])
    ones = np.ones(len(firsts), dtype=np.float32)
    return sp.csr_matrix((ones, firsts, indptr), shape=label_sets.shape)


def distinct_distances(label_sets, distances, depth, reduction):
    """Sorted distances that occur between the label sets of texts, 0 first."""
    sets = label_sets[np.flatnonzero(np.diff(label_sets.indptr))]
    if sets.shape[0] > _MOST_SETS:
        spread = np.linspace(0, sets.shape[0] - 1, _MOST_SETS).astype(np.int64)
        sets = sets[spread]  # not drawn: a run that goes on from a checkpoint must find the same
    used = np.unique(sets.indices)
    sets = sets[:, used]
    if distances is None:
        distances = 2 * (1 - np.eye(sets.shape[1], dtype=np.int16))
    else:
        distances = distances[np.ix_(used, used)]
    khd = label_set_distances(sets, sets, distances, depth)
    if reduction == "sum":
        counts = np.diff(sets.indptr)
        khd = khd * counts[:, None] * counts
    return np.unique(np.round(np.append(khd, 0.0), 4))
