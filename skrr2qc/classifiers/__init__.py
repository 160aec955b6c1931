"""Classifiers: texts or features in, label scores out."""

from ._class_center import ClassCenterHead
from ._rerank_scores import rerank_scores
from ._reranker import MetaLabelReranker
from ._retrieval_rerank import RetrievalRerankClassifier
from ._threshold_tuner import MultilabelThresholdTuner

__all__ = [
    "ClassCenterHead",
    "MetaLabelReranker",
    "MultilabelThresholdTuner",
    "RetrievalRerankClassifier",
    "rerank_scores",
]
