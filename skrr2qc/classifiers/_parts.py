"""Dealing with any multi-label classifier: its targets, its probabilities, its encoder."""

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.utils import check_random_state

_INHERITED = {"device": "auto", "random_state": None, "verbose": 0}


def fit_multilabel(estimator, X, Y):
    """Fit on CSR targets, made dense for estimators from elsewhere, which seldom take CSR."""
    return estimator.fit(X, targets_for(estimator, Y))


def targets_for(estimator, Y):
    """CSR targets in the form that an estimator takes."""
    if isinstance(estimator, FrozenEstimator) or _module_of(estimator).startswith("skrr2qc"):
        return Y
    # Not int8: scikit-learn 1.9's LabelBinarizer permutes its columns from the 129th on.
    return Y.astype(np.int32).toarray()


def label_probabilities(estimator, X, n_labels=None):
    """Scores of shape (n, L), float32, whatever form an estimator's ``predict_proba`` has.

    With `n_labels` 1, the two columns of a binary problem are told from two labels.
    """
    scores = estimator.predict_proba(X)
    if isinstance(scores, list):  # one (n, 2) array a label, as forests and MultiOutput return
        pairs = zip(scores, estimator.classes_, strict=True)
        scores = np.column_stack([_positive_column(column, known) for column, known in pairs])
    elif n_labels == 1 and scores.shape[1] == 2:
        scores = _positive_column(scores, estimator.classes_)[:, None]
    scores = scores.toarray() if sp.issparse(scores) else np.asarray(scores)
    return scores.astype(np.float32, copy=False)


def logits_of(classifier, X, n_labels=None):
    """Logits of a multi-label classifier: its decision function, or log-odds of its scores.

    Returns
    -------
    logits : ndarray of shape (n, L), float32
        One column from a binary classifier, if `n_labels` is 1.
    """
    if hasattr(classifier, "decision_function"):
        logits = np.asarray(classifier.decision_function(X), dtype=np.float32)
        if logits.ndim == 1 and n_labels == 1:
            logits = logits[:, None]
        if logits.ndim == 2:
            return logits
    scores = np.clip(label_probabilities(classifier, X, n_labels), 1e-7, 1 - 1e-7)
    return np.log(scores / (1 - scores))


def with_encoder(part, encoder):
    """A part that takes texts: given the encoder, or behind it in a pipeline."""
    part = clone(part)
    if encoder is None:
        return part
    if "encoder" in part.get_params(deep=False):
        return part.set_params(encoder=encoder)
    return make_pipeline(encoder, part)


def inherit(part, parent, seed_offset=0):
    """Clone of a part whose device, random state and verbosity, left at default, follow the parent.

    Parts get seeds of their own, so that a change in one does not move the numbers of another.
    """
    part = clone(part)
    known = part.get_params(deep=False)
    for name, default in _INHERITED.items():
        value = getattr(parent, name)
        if name not in known or known[name] != default or value == default:
            continue
        if name == "random_state":
            seeds = check_random_state(value).randint(np.iinfo(np.int32).max, size=8)
            value = int(seeds[seed_offset])
        part.set_params(**{name: value})
    return part


def _positive_column(scores, classes):
    """Score of class 1 among `classes`, of which training may have met only one."""
    where = np.flatnonzero(np.asarray(classes) == 1)
    return scores[:, where[0]] if where.size else np.zeros(len(scores))


def _module_of(estimator):
    """Module of an estimator's class, or of the last step's of a pipeline."""
    while getattr(estimator, "steps", None):
        estimator = estimator.steps[-1][1]
    return type(estimator).__module__
