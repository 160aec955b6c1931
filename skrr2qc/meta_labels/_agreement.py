"""How far two meta-label maps agree."""

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from ..label_space import LabelSpace
from ._check import check_label_space

_BLOCK = 512  # labels whose pairs are held at a time


def meta_label_pair_scores(labels: LabelSpace, reference: LabelSpace) -> dict[str, float]:
    """Agreement of two maps over the pairs of labels that share a meta-label.

    What meta-labels are called does not matter, only which labels they bring together.

    Parameters
    ----------
    labels : LabelSpace of L labels
        The map that is judged.
    reference : LabelSpace of the same L labels, in any order
        The map taken for right, such as that of experts.

    Returns
    -------
    scores : dict of str to float
        ``precision``: share of the pairs that share a meta-label in `labels` and do so in
        `reference`, too; ``recall``: the converse; ``f1``: their harmonic mean, all in [0, 1] and 0
        where there is no pair; ``n_pairs``, ``n_reference_pairs``.

    Raises
    ------
    TypeError, ValueError
        If one of them is no LabelSpace, or the labels differ.

    Notes
    -----
    A meta-label of n labels makes n (n - 1) / 2 pairs: frequent ones decide.

    Examples
    --------
    >>> from skrr2qc import LabelSpace
    >>> from skrr2qc.meta_labels import meta_label_pair_scores
    >>> ours = LabelSpace(list("abc"), meta_labels={"a": ["x"], "b": ["x"], "c": ["x"]})
    >>> theirs = LabelSpace(list("abc"), meta_labels={"a": ["y"], "b": ["y", "z"]})
    >>> scores = meta_label_pair_scores(ours, theirs)
    >>> scores["precision"], scores["recall"], scores["f1"]
    (0.3333333333333333, 1.0, 0.5)
    """
    check_label_space(labels, "labels")
    check_label_space(reference, "reference")
    if set(labels.names) != set(reference.names):
        differing = sorted(set(labels.names) ^ set(reference.names))
        raise ValueError(
            f"labels and reference must have the same labels, got {len(differing)} that only one "
            f"of them has, such as {differing[:3]}."
        )
    position = {name: row for row, name in enumerate(reference.names)}
    order = np.array([position[name] for name in labels.names])
    n_ours = n_theirs = n_both = 0
    both = zip(_pairs(_matrix(labels)), _pairs(_matrix(reference)[order]), strict=True)
    for ours, theirs in both:
        n_ours += ours.nnz
        n_theirs += theirs.nnz
        n_both += ours.multiply(theirs).nnz
    total = n_ours + n_theirs
    return {
        "precision": n_both / n_ours if n_ours else 0.0,
        "recall": n_both / n_theirs if n_theirs else 0.0,
        "f1": 2 * n_both / total if total else 0.0,
        "n_pairs": n_ours,
        "n_reference_pairs": n_theirs,
    }


def _matrix(labels: LabelSpace) -> sp.csr_matrix:
    if labels.label_to_meta is None:
        return sp.csr_matrix((labels.n_labels, 1), dtype=np.float32)
    return labels.label_to_meta


def _pairs(label_to_meta: sp.csr_matrix) -> Iterator[sp.csr_matrix]:
    """Blocks of rows of the upper triangle of pairs that share a meta-label."""
    columns = label_to_meta.T.tocsr()
    for start in range(0, label_to_meta.shape[0], _BLOCK):
        yield sp.triu(label_to_meta[start : start + _BLOCK] @ columns, k=start + 1, format="csr")
