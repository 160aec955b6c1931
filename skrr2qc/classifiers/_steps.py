"""The fitted composite as three steps of a plain Pipeline: texts, arrays, arrays, scores."""

from functools import partial

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin

from .._training import sigmoid
from ._parts import label_probabilities, logits_of


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
    retriever : ChannelBlend
    reranker : fitted MetaLabelReranker, or None
    """

    def __init__(self, encoder, retriever, reranker=None):
        self.encoder = encoder
        self.retriever = retriever
        self.reranker = reranker

    def transform(self, X):
        """Vectors of the label tower, logits of other channels, vectors of the meta tower.

        Returns
        -------
        features : ndarray of shape (n, d), or CSR where the encoder gives CSR to other heads
        """
        channels, reranker = self.retriever.channels, self.reranker
        score = partial(logits_of, n_labels=self.retriever.n_labels)
        blocks = [_embed(channels[name], X, score) for name in self.retriever.names]
        if reranker is not None and reranker.reads_vectors and "head" not in self.retriever.names:
            blocks.append(reranker.tower_.embed(X))
        if reranker is not None and reranker.classifier_ is not None:
            blocks.append(_embed(reranker.classifier_, X, label_probabilities))
        if any(sp.issparse(block) for block in blocks):
            return sp.hstack(blocks, format="csr")
        return np.hstack(blocks)


class ScoreStep(TransformerMixin, _FittedStep):
    """Features to label scores, followed by the features that are left for the reranker.

    Parameters
    ----------
    retriever : ChannelBlend
    reranker : fitted MetaLabelReranker, or None
    """

    def __init__(self, retriever, reranker=None):
        self.retriever = retriever
        self.reranker = reranker

    def transform(self, X):
        """Label scores and the vectors reranking needs; ndarray or CSR of shape (n, L + d')."""
        logits, blocks = {}, []
        score = partial(logits_of, n_labels=self.retriever.n_labels)
        for name in self.retriever.names:
            part = self.retriever.channels[name]
            if name == "head" and self.reranker is not None and self.reranker.reads_vectors:
                blocks.append(X[:, : part.centers_.shape[1]])
            logits[name], X = _score(part, X, score)
        blocks = [self.retriever.blend(logits), *blocks, X]
        return sp.hstack(blocks, format="csr") if sp.issparse(X) else np.hstack(blocks)


class RerankStep(ClassifierMixin, _FittedStep):
    """Label scores and the meta tower's vectors to reranked scores.

    Parameters
    ----------
    reranker : fitted MetaLabelReranker, or None
    n_labels : int
    calibration : CalibrationCurve
    decision : Decision
    """

    def __init__(self, reranker, n_labels, calibration, decision):
        self.reranker = reranker
        self.n_labels = n_labels
        self.calibration = calibration
        self.decision = decision

    @property
    def classes_(self):
        """Column numbers."""
        return np.arange(self.n_labels)

    def predict_proba(self, X):
        """Reranked and calibrated scores; ndarray of shape (n, L)."""
        return self.calibration(self._reranked(X))

    def predict(self, X):
        """Labels that the rule accepts; ndarray of shape (n, L)."""
        return self.decision.apply(self.predict_proba(X))

    def _reranked(self, X):
        reranker = self.reranker
        scores, X = _dense(X[:, : self.n_labels]), X[:, self.n_labels :]
        if reranker is None:
            return scores
        vectors = meta_scores = None
        if reranker.reads_vectors:
            width = reranker.tower_.centers_.shape[1]
            vectors, X = _dense(X[:, :width]), X[:, width:]
        if reranker.reads_meta_scores:
            meta_scores = self._meta_scores(vectors, X)
        return reranker.fuse(scores, meta_scores, vectors)

    def _meta_scores(self, vectors, X):
        classifier = self.reranker.classifier_
        if classifier is None:
            return self.reranker.meta_scores(None, vectors)
        meta_scores, _ = _score(classifier, X, label_probabilities)
        if hasattr(classifier, "score_embeddings"):  # whose scores are logits
            meta_scores = sigmoid(meta_scores)
        return meta_scores


def _embed(part, X, score):
    """Vectors a part scores labels from: its own, or what its pipeline's encoder gives it."""
    if hasattr(part, "embed"):
        return part.embed(X)
    if hasattr(part, "steps"):
        return part[:-1].transform(X)
    return score(part, X)


def _score(part, X, score):
    """Scores from the leading columns of `X`, and the columns that are left."""
    if hasattr(part, "score_embeddings"):
        width = part.centers_.shape[1]
        return part.score_embeddings(_dense(X[:, :width])), X[:, width:]
    if hasattr(part, "steps"):
        width = part[-1].n_features_in_
        return score(part[-1], X[:, :width]), X[:, width:]
    width = len(part.classes_)
    return _dense(X[:, :width]), X[:, width:]


def _dense(scores):
    """Scores as they were before features of another type stood beside them."""
    scores = scores.toarray() if sp.issparse(scores) else scores
    return scores.astype(np.float32, copy=False)
