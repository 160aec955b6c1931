"""How alike the labels of a label space are."""

from typing import Any

import numpy as np
from scipy import sparse

from ._embeddings import unit_rows
from ._inputs import Matrix, as_scores, check_real
from ._topk import row_blocks


def label_similarity_report(embeddings: Matrix, threshold: float = 0.8) -> dict[str, float]:
    """Cosine similarities between label embeddings, over unordered pairs (Table 7 of [1]_).

    Parameters
    ----------
    embeddings : ndarray or CSR of shape (L, d)
        One vector per label, such as the embedded label names; L >= 2, no zero vector.
    threshold : float, default=0.8
        Pairs more similar than this are counted, -1 <= threshold <= 1.

    Returns
    -------
    report : dict of str to float
        ``mean``, ``std`` and ``variance`` of the cosines (the paper calls its spread variance, its
        values suit a standard deviation; both divide by the number of pairs), ``share_above``: the
        share of pairs above `threshold`, in [0, 1], and ``n_pairs``.

    Raises
    ------
    ValueError, TypeError
        If there are fewer than two vectors, one has length 0, or a value is not finite.

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv 2411.01841.

    Examples
    --------
    >>> from skrr2qc.metrics import label_similarity_report
    >>> report = label_similarity_report([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    >>> {name: round(value, 3) for name, value in report.items()}
    {'mean': 0.333, 'std': 0.471, 'variance': 0.222, 'share_above': 0.333, 'n_pairs': 3}
    """
    check_real(threshold, "threshold", minimum=-1, maximum=1)
    unit = _unit_vectors(embeddings)
    n_labels = unit.shape[0]
    n_pairs = n_labels * (n_labels - 1) // 2
    total = np.asarray(unit.sum(axis=0)).ravel()
    # |sum of unit vectors|^2 = L + 2 * (sum of cosines): the mean needs no L x L matrix.
    mean = (float(total @ total) - n_labels) / (2 * n_pairs)
    squares, n_above = 0.0, 0
    for part in row_blocks(n_labels, n_labels):
        cosines = unit[part] @ unit.T
        block = cosines.toarray() if sparse.issparse(cosines) else cosines
        later = np.arange(n_labels) > np.arange(part.start, part.stop)[:, None]
        pairs = block[later]
        squares += float(np.sum((pairs - mean) ** 2))
        n_above += int(np.count_nonzero(pairs > threshold))
    variance = squares / n_pairs
    return {
        "mean": mean,
        "std": float(np.sqrt(variance)),
        "variance": variance,
        "share_above": n_above / n_pairs,
        "n_pairs": n_pairs,
    }


def _unit_vectors(embeddings: Matrix) -> Any:
    vectors: Any = as_scores(embeddings, "embeddings").astype(np.float64)
    if vectors.shape[0] < 2:
        raise ValueError(
            f"`embeddings` must have at least two rows, one per label, got shape {vectors.shape}."
        )
    unit, nonzero = unit_rows(vectors)
    if not nonzero.all():
        raise ValueError(
            "`embeddings` must be finite and not zero, got length 0.0 in row "
            f"{np.flatnonzero(~nonzero)[0]}. A cosine needs a direction: drop labels without text."
        )
    return unit
