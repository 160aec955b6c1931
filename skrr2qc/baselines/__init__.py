"""Baselines: classifiers of texts to measure against, under the same estimator contract."""

from ._text_cnn import TextCNNClassifier
from ._tfidf import TfidfLinearClassifier

__all__ = ["TextCNNClassifier", "TfidfLinearClassifier"]
