"""Lexical channel: word evidence beside the tower, weighed on held-out rows."""

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin

from .._training import sigmoid
from ..metrics import ndcg_at_k, precision_at_k
from ._parts import label_probabilities

_WEIGHTS = np.linspace(0.0, 1.0, 11)
_MAX_ENTRIES = 4_000_000  # held-out scores used to fit a two-parameter curve


class LexicalBlend(ClassifierMixin, BaseEstimator):
    """Weighted sum of two fitted classifiers' logits, each put on one scale first.

    Parameters
    ----------
    head, lexical : fitted classifiers of texts; `lexical` may be None
    weight : float in [0, 1]
        Share of the lexical logits.
    curves : pair of (slope, intercept)
        What makes each one's logits calibrated log-odds.
    unseen : sequence of int
        Labels without a training text: they rank last, whatever a classifier makes of them.
    """

    def __init__(self, head, lexical=None, weight=0.0, curves=((1.0, 0.0), (1.0, 0.0)), unseen=()):
        self.head = head
        self.lexical = lexical
        self.weight = weight
        self.curves = curves
        self.unseen = unseen

    def predict_proba(self, X):
        """Blended label scores, (n, L) float32."""
        head = logits_of(self.head, X) if self.weight < 1 else None
        lexical = logits_of(self.lexical, X) if self.weight > 0 else None
        return self.blend(head, lexical)

    def blend(self, head, lexical):
        """Scores from the two channels' logits; a channel without weight may be None."""
        total = 0.0
        for logits, weight, curve in zip(
            (head, lexical), (1 - self.weight, self.weight), self.curves, strict=True
        ):
            if weight > 0:
                total = total + np.float32(weight) * _on_curve(logits, curve)
        total[:, np.asarray(self.unseen, dtype=np.int64)] = -30.0
        return sigmoid(total)

    def __sklearn_is_fitted__(self):
        return True


def choose_blend(Y, head_logits, lexical_logits):
    """Weight and curves that rank held-out labels best.

    Parameters
    ----------
    Y : csr_matrix of shape (n, L)
    head_logits, lexical_logits : ndarray of shape (n, L); the latter may be None

    Returns
    -------
    weight : float
        Best mean of P@1 and nDCG@5; the smallest of equals.
    curves : pair of (slope, intercept)
    """
    head_curve = calibration_curve(Y, head_logits)
    if lexical_logits is None:
        return 0.0, (head_curve, (1.0, 0.0))
    curves = (head_curve, calibration_curve(Y, lexical_logits))
    k = min(5, Y.shape[1])
    qualities = []
    for weight in _WEIGHTS:
        scores = LexicalBlend(None, weight=weight, curves=curves).blend(head_logits, lexical_logits)
        qualities.append(precision_at_k(Y, scores, 1) + ndcg_at_k(Y, scores, k))
    return float(_WEIGHTS[int(np.argmax(qualities))]), curves


def calibration_curve(Y, logits):
    """Slope and intercept that make logits calibrated log-odds (Platt, 1999), by Newton steps.

    A slight pull towards slope 1 and intercept 0 keeps few positives from tipping it over.
    """
    n_rows = max(1, min(len(logits), _MAX_ENTRIES // logits.shape[1]))
    z = np.clip(logits[:n_rows].ravel().astype(np.float64), -30.0, 30.0)
    t = np.zeros(z.shape)
    Y = sp.csr_matrix(Y[:n_rows])
    t[np.repeat(np.arange(n_rows), np.diff(Y.indptr)) * Y.shape[1] + Y.indices] = 1.0
    parameters = np.array([1.0, 0.0])
    design = np.column_stack([z, np.ones_like(z)])
    for _ in range(25):
        p = 1.0 / (1.0 + np.exp(-design @ parameters))
        gradient = design.T @ (p - t) + (parameters - [1.0, 0.0])
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        parameters = parameters - step / max(1.0, np.abs(step).max())
        if np.abs(step).max() < 1e-8:
            break
    slope = max(parameters[0], 0.05)  # a ranking is never turned round
    return float(slope), float(parameters[1])


def logits_of(classifier, X):
    """Logits of a multi-label classifier: its decision function, or log-odds of its scores."""
    if hasattr(classifier, "decision_function"):
        logits = np.asarray(classifier.decision_function(X), dtype=np.float32)
        if logits.ndim == 2:
            return logits
    scores = np.clip(label_probabilities(classifier, X), 1e-7, 1 - 1e-7)
    return np.log(scores / (1 - scores))


def _on_curve(logits, curve):
    slope, intercept = np.float32(curve)
    return np.clip(logits, -30.0, 30.0) * slope + intercept
