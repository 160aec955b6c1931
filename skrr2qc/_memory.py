"""Fits remembered on disk by what goes into them."""

import pickle

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

    Raises
    ------
    TypeError
        As `check_cacheable`.
    """
    check_cacheable(memory, estimator)
    if memory is None or not _is_repeatable(estimator):
        return _fit(clone(estimator), X, Y, None, encoder, unlabeled)
    fingerprint = None if encoder is None else joblib.hash(encoder)
    fit = check_memory(memory).cache(_fit_detached, ignore=["encoder"])
    key = (fingerprint, _outside_of(estimator), __version__)
    fitted = fit(clone(estimator), X, Y, key, encoder, unlabeled)
    if encoder is not None:
        fitted.attach_encoder(encoder)
    return fitted


def check_cacheable(memory, estimator):
    """Refuse to remember what cannot be told by its content, before anything is fitted.

    Parameters
    ----------
    memory : None, str or joblib.Memory
    estimator : estimator
        As `fit_cached` will get it. One that would never be remembered may hold anything.

    Raises
    ------
    TypeError
        If a parameter cannot be pickled: a lambda, or a function defined within another.
    ValueError
        If `memory` is none of these.
    """
    check_memory(memory)
    if memory is None or not _is_repeatable(estimator) or _has_content(clone(estimator)):
        return
    params = estimator.get_params(deep=True)
    # Of nested names the longest: the part itself, not the parts that hold it.
    wrong = [name for name in sorted(params, key=len) if not _has_content(params[name])]
    shown = f"`{wrong[-1]}` == {params[wrong[-1]]!r:.80}" if wrong else "an attribute of its class"
    raise TypeError(
        f"`memory` knows a fit by the content of its parameters, and {type(estimator).__name__} "
        f"holds {shown}, which cannot be pickled. Define functions with def at the top level of a "
        "module, or set memory=None."
    )


def _has_content(value):
    try:
        joblib.hash(value)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


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
