"""Metrics of rankings, label sets and embeddings: arrays in, floats out; dense or CSR."""

from . import scorers
from ._calibration import expected_calibration_error
from ._embeddings import (
    alignment,
    rank_order_accuracy,
    rank_similarity_profile,
    uniformity,
)
from ._f1 import f1_at_1, f1_per_label, hierarchical_f1, label_f1
from ._groups import label_group_report, label_groups_by_frequency, tail_ndcg_at_k
from ._ranking import (
    jain_propensities,
    mean_reciprocal_rank,
    ndcg_at_k,
    precision_at_k,
    psprecision_at_k,
    r_precision_at_k,
    recall_at_k,
)
from ._similarity import label_similarity_report
from ._topk import top_k

__all__ = [
    "alignment",
    "expected_calibration_error",
    "f1_at_1",
    "f1_per_label",
    "hierarchical_f1",
    "jain_propensities",
    "label_f1",
    "label_group_report",
    "label_groups_by_frequency",
    "label_similarity_report",
    "mean_reciprocal_rank",
    "ndcg_at_k",
    "precision_at_k",
    "psprecision_at_k",
    "r_precision_at_k",
    "rank_order_accuracy",
    "rank_similarity_profile",
    "recall_at_k",
    "scorers",
    "tail_ndcg_at_k",
    "top_k",
    "uniformity",
]
