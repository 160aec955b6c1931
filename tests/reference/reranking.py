"""Reranking as it is printed: one text, one label, one meta-label at a time."""

import numpy as np

_LEAST = 1e-6  # of a score, before its logarithm is taken


def slow_rerank(scores, meta_scores, meta_of, alpha=1.0, mean="arithmetic", top_r=None):
    """Eq. 15, with the options of `rerank_scores`; `meta_of` lists each label's meta-labels."""
    reranked = np.array(scores, dtype=np.float64)
    for i, row in enumerate(np.asarray(scores)):
        factors = [slow_mean(meta_scores[i], metas, mean) ** alpha for metas in meta_of]
        if top_r is not None:
            top = np.argsort(-row, kind="stable")[:top_r]
            lowest = min(factors[j] for j in top)
            factors = [f if j in top else lowest for j, f in enumerate(factors)]
        for j, factor in enumerate(factors):
            reranked[i, j] *= factor
    return reranked


def slow_mean(meta_scores, metas, mean="arithmetic"):
    """Mean score of a label's meta-labels; 1 without any."""
    values = [float(meta_scores[m]) for m in metas]
    if not values:
        return 1.0
    if mean == "arithmetic":
        return sum(values) / len(values)
    product = 1.0
    for value in values:
        product *= max(value, _LEAST)
    return product ** (1 / len(values))
