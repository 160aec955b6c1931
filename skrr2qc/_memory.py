"""Fits remembered on disk by what goes into them."""

import joblib
from sklearn.base import clone
from sklearn.utils.validation import check_memory

from . import __version__


def fit_cached(memory, estimator, X, Y, *, encoder=None, unlabeled=None):
    """Fit a clone of an estimator, or fetch the fit of the same estimator on the same data.

    Parameters
    ----------
    memory : None, str or joblib.Memory
    estimator : estimator
        Unfitted. With ``random_state=None`` it is never remembered: two fits would differ.
    X, Y : texts and targets
    encoder : FrozenEstimator, default=None
        Given to a clone that has ``attach_encoder``; enters the key by its content, and is not
        stored with the result.
    unlabeled : sequence of str, default=None
        Handed to ``fit`` if it is given.

    Returns
    -------
    fitted : estimator
    """
    if memory is None or not _is_repeatable(estimator):
        return _fit(clone(estimator), X, Y, None, encoder, unlabeled)
    fingerprint = None if encoder is None else joblib.hash(encoder)
    fit = check_memory(memory).cache(_fit_detached, ignore=["encoder"])
    key = (fingerprint, _outside_of(estimator), __version__)
    fitted = fit(clone(estimator), X, Y, key, encoder, unlabeled)
    if encoder is not None:
        fitted.attach_encoder(encoder)
    return fitted


def _outside_of(estimator):
    """What a fit reads beside its parameters and data, such as the files of an encoder's folder."""
    return estimator._cache_key() if hasattr(estimator, "_cache_key") else None


def _is_repeatable(estimator):
    """Whether a seed is set: by the estimator, or else by all the parts that take one."""
    params = estimator.get_params(deep=False)
    if "random_state" not in params:
        params = estimator.get_params(deep=True)
    seeds = [value for name, value in params.items() if name.split("__")[-1] == "random_state"]
    return all(seed is not None for seed in seeds)


def _fit(estimator, X, Y, key, encoder, unlabeled):
    if encoder is not None:
        estimator.set_params(encoder=encoder)
    more = {} if unlabeled is None else {"unlabeled": unlabeled}
    return estimator.fit(X, Y, **more)


def _fit_detached(estimator, X, Y, key, encoder, unlabeled):
    fitted = _fit(estimator, X, Y, key, encoder, unlabeled)
    if encoder is not None:
        fitted.detach_encoder()
    return fitted
