"""Estimators that leave a file for each fit, so that fits are counted across processes."""

import os
import time
import uuid
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone

PATIENCE = 60  # seconds until a test that would wait for good fails instead


def leave_mark(folder, kind):
    Path(folder, f"{kind}-{uuid.uuid4().hex}").touch()


def count_marks(folder, kind):
    return len(list(Path(folder).glob(f"{kind}-*")))


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("nothing happened")
        time.sleep(0.01)


class CountedFit(TransformerMixin, BaseEstimator):
    """Learns lengths of texts.

    While `folder` has a file "hold-fit" a fit does not end, while it has "hold-dump" the writing
    of the result does not.
    """

    def __init__(self, folder, *, n=0, random_state=0, verbose=0):
        self.folder = folder
        self.n = n
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y=None):
        leave_mark(self.folder, "fit")
        wait_until(lambda: not Path(self.folder, "hold-fit").exists())
        self.lengths_ = np.array([len(text) for text in X])
        return self

    def transform(self, X):
        return np.array([[len(text), self.lengths_.sum()] for text in X], dtype=np.float32)

    def __getstate__(self):
        if hasattr(self, "lengths_") and Path(self.folder, "hold-dump").exists():
            leave_mark(self.folder, "dump")
            wait_until(lambda: not Path(self.folder, "hold-dump").exists())
        return super().__getstate__()


class Outer(ClassifierMixin, BaseEstimator):
    """Fits another remembered estimator in its own fit, as a composite does."""

    def __init__(self, inner, memory, *, random_state=0):
        self.inner = inner
        self.memory = memory
        self.random_state = random_state

    def fit(self, X, y=None):
        from skrr2qc._memory import fit_cached

        leave_mark(self.inner.folder, "outer")
        self.inner_ = fit_cached(self.memory, self.inner, X, y)
        return self


class FailingFit(BaseEstimator):
    def fit(self, X, y=None):
        raise ArithmeticError("this fit fails")


def fit_in_process(memory, estimator, X):
    from skrr2qc._memory import fit_cached

    return fit_cached(memory, estimator, X, None).lengths_


class CountedEncoder(TransformerMixin, BaseEstimator):
    """An encoder that leaves marks of its fits, and of each text that it is given to encode."""

    def __init__(self, encoder, folder):
        self.encoder = encoder
        self.folder = folder

    def fit(self, X, y=None):
        leave_mark(self.folder, "encoder")
        self.encoder_ = clone(self.encoder).fit(X, y)
        return self

    def transform(self, X):
        for _ in X:
            leave_mark(self.folder, "text")
        return self.encoder_.transform(X)

    @property
    def tokenizer_(self):
        return self.encoder_.tokenizer_

    @property
    def backbone_(self):
        return self.encoder_.backbone_


def mean_best_score(fitted, X, Y):
    """Scorer that tells any two sets of scores apart."""
    return float(fitted.predict_proba(X).max(axis=1).mean(dtype=np.float64))


def torch_threads(fitted, X, Y):
    """Scorer that says on how many threads torch computes where it is called."""
    import torch

    fitted.predict_proba(X)
    return float(torch.get_num_threads())


def setting_left_behind(fitted, X, Y):
    """Scorer that says whether somebody set how tokenizers work, for the whole process."""
    fitted.predict_proba(X)
    return float("TOKENIZERS_PARALLELISM" in os.environ)
