"""Evidence from what a label is called: its text as an example of it, and as something to match."""

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.preprocessing import normalize

from ..baselines import TfidfLinearClassifier


class LabelTextSimilarity(ClassifierMixin, BaseEstimator):
    """Score labels by the cosine between the TF-IDF vectors of a text and of the label's text.

    Parameters
    ----------
    labels : LabelSpace
        Its texts are matched.
    vectorizer : fitted vectorizer of texts, default=None
        None fits the one of `TfidfLinearClassifier` on training and label texts.

    Attributes
    ----------
    classes_ : ndarray of shape (L,)
    label_vectors_ : csc_matrix of shape (L, d), float32
        Rows have length 1, or 0 where the vectorizer knows no part of a label's text.
    """

    def __init__(self, labels, vectorizer=None):
        self.labels = labels
        self.vectorizer = vectorizer

    def fit(self, X, y=None):
        """Learn which words are common; `y` is not used."""
        self.vectorizer_ = self.vectorizer
        if self.vectorizer is None:
            texts = [*X, *self.labels.texts]
            self.vectorizer_ = TfidfLinearClassifier().make_vectorizer(texts).fit(texts)
        self.classes_ = np.arange(len(self.labels))
        own = self.vectorizer_.transform(list(self.labels.texts))
        self.label_vectors_ = _unit_rows(own).tocsc()  # by feature, as a text asks for them
        return self

    def decision_function(self, X):
        """Cosines, ndarray of shape (n, L), float32, in [0, 1]."""
        return self._score_features(self.vectorizer_.transform(X))

    def _score_features(self, features):
        return (_unit_rows(features) @ self.label_vectors_.T).toarray()


def _unit_rows(features):
    return normalize(sp.csr_matrix(features, dtype=np.float32))


def add_label_texts(X, Y, labels):
    """Texts and targets with one row more a label: its own text.

    Parameters
    ----------
    X : list of n str
    Y : csr_matrix of shape (n, L)
    labels : LabelSpace

    Returns
    -------
    X : list of n + L str
    Y : csr_matrix of shape (n + L, L)
    """
    own = sp.identity(Y.shape[1], dtype=Y.dtype, format="csr")
    return [*X, *labels.texts], sp.vstack([Y, own], format="csr")
