"""Dealing with any multi-label classifier: its targets, its probabilities, its encoder."""

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.utils import check_random_state

_INHERITED = {"device": "auto", "random_state": None, "verbose": 0}


def fit_multilabel(estimator, X, Y):
    """Fit on CSR targets, made dense for estimators from elsewhere, which seldom take CSR."""
    if type(estimator).__module__.startswith("skrr2qc") or _is_text_pipeline(estimator):
        return estimator.fit(X, Y)
    return estimator.fit(X, Y.toarray().astype(np.int8))


def label_probabilities(estimator, X):
    """Scores of shape (n, L), float32, whatever form an estimator's ``predict_proba`` has."""
    scores = estimator.predict_proba(X)
    if isinstance(scores, list):  # one (n, 2) array a label, as forests and MultiOutput return
        columns = [
            column[:, 1] if column.shape[1] == 2 else np.zeros(len(column)) for column in scores
        ]
        scores = np.column_stack(columns)
    scores = scores.toarray() if sp.issparse(scores) else np.asarray(scores)
    return scores.astype(np.float32, copy=False)


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


def _is_text_pipeline(estimator):
    steps = getattr(estimator, "steps", None)
    return bool(steps) and type(steps[-1][1]).__module__.startswith("skrr2qc")
