"""The fitted composite as three steps of a plain Pipeline: texts, arrays, arrays, scores."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin

from ._lexical import logits_of
from ._parts import label_probabilities


class _FittedStep(BaseEstimator):
    """A step that holds fitted parts: fitting it again changes nothing."""

    def fit(self, X, y=None):
        return self

    def __sklearn_is_fitted__(self):
        return True


class EncodeStep(TransformerMixin, _FittedStep):
    """Texts to the features that the other steps need, side by side.

    Parameters
    ----------
    encoder : fitted encoder
    retriever : LexicalBlend
    reranker : fitted MetaLabelReranker, or None
    """

    def __init__(self, encoder, retriever, reranker=None):
        self.encoder = encoder
        self.retriever = retriever
        self.reranker = reranker

    def transform(self, X):
        """Vectors of the label tower, lexical logits if they count, vectors of the meta tower.

        Returns
        -------
        features : ndarray of shape (n, d), float32
        """
        blocks = []
        if self.retriever.weight < 1:
            blocks.append(_embed(self.retriever.head, X))
        if self.retriever.weight > 0:
            blocks.append(logits_of(self.retriever.lexical, X))
        if self.reranker is not None and self.reranker.classifier_ is not None:
            blocks.append(_embed(self.reranker.classifier_, X))
        return np.hstack(blocks)


class ScoreStep(TransformerMixin, _FittedStep):
    """Features to label scores, followed by the features that are left for the reranker.

    Parameters
    ----------
    retriever : LexicalBlend
    """

    def __init__(self, retriever):
        self.retriever = retriever

    def transform(self, X):
        """Label scores and the meta tower's vectors; ndarray of shape (n, L + d')."""
        head = lexical = None
        if self.retriever.weight < 1:
            head, X = _score(self.retriever.head, X)
        if self.retriever.weight > 0:
            n_labels = len(self.retriever.lexical.classes_)
            lexical, X = X[:, :n_labels], X[:, n_labels:]
        return np.hstack([self.retriever.blend(head, lexical), X])


class RerankStep(ClassifierMixin, _FittedStep):
    """Label scores and the meta tower's vectors to reranked scores.

    Parameters
    ----------
    reranker : fitted MetaLabelReranker, or None
    n_labels : int
    threshold : float
    """

    def __init__(self, reranker, n_labels, threshold):
        self.reranker = reranker
        self.n_labels = n_labels
        self.threshold = threshold

    @property
    def classes_(self):
        """Column numbers."""
        return np.arange(self.n_labels)

    def predict_proba(self, X):
        """Reranked scores; ndarray of shape (n, L)."""
        scores, vectors = X[:, : self.n_labels], X[:, self.n_labels :]
        if self.reranker is None or self.reranker.classifier_ is None or not self.reranker.alpha:
            return scores
        logits, _ = _score(self.reranker.classifier_, vectors)
        meta_scores = 1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0)))
        return self.reranker.combine(scores, meta_scores)

    def predict(self, X):
        """Labels whose score exceeds the threshold; ndarray of shape (n, L)."""
        return (self.predict_proba(X) > self.threshold).astype(np.int8)


def _embed(part, X):
    """Vectors a part scores labels from: its own, or what its pipeline's encoder gives it."""
    if hasattr(part, "embed"):
        return part.embed(X)
    if hasattr(part, "steps"):
        features = part[:-1].transform(X)
        return features.toarray() if hasattr(features, "toarray") else np.asarray(features)
    return label_probabilities(part, X)


def _score(part, X):
    """Logits from the leading columns of `X`, and the columns that are left."""
    if hasattr(part, "score_embeddings"):
        width = part.centers_.shape[1]
        return part.score_embeddings(X[:, :width]), X[:, width:]
    if hasattr(part, "steps"):
        width = part[-1].n_features_in_
        return logits_of(part[-1], X[:, :width]), X[:, width:]
    width = len(part.classes_)
    scores = np.clip(X[:, :width], 1e-7, 1 - 1e-7)
    return np.log(scores / (1 - scores)), X[:, width:]
