"""Classifiers: texts or features in, label scores out."""

from ._class_center import ClassCenterHead
from ._reranker import MetaLabelReranker, rerank_scores
from ._retrieval_rerank import RetrievalRerankClassifier

__all__ = [
    "ClassCenterHead",
    "MetaLabelReranker",
    "RetrievalRerankClassifier",
    "rerank_scores",
]
