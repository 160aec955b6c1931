"""Fits remembered on disk by what goes into them, each done once by whoever comes first."""

import logging
import pickle
import sys
import warnings
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import joblib
from joblib.func_inspect import filter_args
from joblib.memory import MemorizedFunc
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_memory

from . import __version__
from ._locks import locked
from ._vectors import RememberingEncoder, gives_vectors

_LOCKS = "skrr2qc-locks"  # folder beside joblib's own, of one empty file a fit

_log = logging.getLogger(__name__)


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

    Warns
    -----
    UserWarning
        If files cannot be locked where `memory` is.

    Notes
    -----
    Of several processes and threads that need the same fit, one does it, the others wait and
    read its result; fits that differ do not wait for each other. The operating system holds the
    locks, so that one whose owner was killed is free. A `Pipeline` that begins with a
    ``FrozenEstimator`` is stored without it, as if that were its `encoder`. Vectors of a frozen
    encoder are remembered text by text, before and after the fit, even where the fit is not.
    """
    check_cacheable(memory, estimator)
    is_repeatable, outside = _is_repeatable(estimator), _outside_of(estimator)
    estimator = clone(estimator)
    if encoder is None and _begins_frozen(estimator):
        encoder = estimator.steps[0][1]
        _set_first_step(estimator, "passthrough")
    if memory is None:
        return _fit(estimator, X, Y, None, encoder, unlabeled)
    fit = check_memory(memory).cache(_fit_detached, ignore=["encoder"])
    remembers = gives_vectors(encoder) and isinstance(fit, MemorizedFunc)
    is_known = encoder is not None and (is_repeatable or remembers)
    fingerprint = joblib.hash(encoder) if is_known else None
    if remembers:
        encoder = RememberingEncoder.over(encoder, fit.store_backend.location, fingerprint)
    if not is_repeatable:
        return _fit(estimator, X, Y, None, encoder, unlabeled)
    key = (fingerprint, outside, __version__)
    fitted = _once(fit, estimator, X, Y, key, encoder, unlabeled)
    if encoder is not None:
        _attach(fitted, encoder)
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
    if isinstance(estimator, Pipeline) and encoder is not None:
        _set_first_step(estimator, encoder)
    elif encoder is not None:
        estimator.set_params(encoder=encoder)
    more = {} if unlabeled is None else {"unlabeled": unlabeled}
    return estimator.fit(X, Y, **more)


def _fit_detached(estimator, X, Y, key, encoder, unlabeled):
    fitted = _fit(estimator, X, Y, key, encoder, unlabeled)
    if isinstance(fitted, Pipeline) and encoder is not None:
        _set_first_step(fitted, "passthrough")
    elif encoder is not None:
        fitted.detach_encoder()
    return fitted


def _attach(fitted, encoder):
    if isinstance(fitted, Pipeline):
        _set_first_step(fitted, encoder)
    else:
        fitted.attach_encoder(encoder)


def _begins_frozen(estimator):
    return isinstance(estimator, Pipeline) and isinstance(estimator.steps[0][1], FrozenEstimator)


def _set_first_step(pipeline, step):
    pipeline.steps[0] = (pipeline.steps[0][0], step)


def _once(fit, *args):
    """Result of a remembered function, which one process computes and the others wait for."""
    if not isinstance(fit, MemorizedFunc):  # a memory of another kind, or one without a place
        return fit(*args)
    folder = Path(str(fit.store_backend.location), _LOCKS)
    # Before 1.6, joblib could read its record of the function while another process wrote it,
    # and clear all results as those of another function.
    with locked(folder / "function.lock"):
        fit.check_call_in_cache(*[None] * len(args))
    stored = _stored(fit, args)
    if stored is not None:
        return stored
    key = joblib.hash(filter_args(fit.func, fit.ignore, args), coerce_mmap=bool(fit.mmap_mode))
    lock = locked(
        folder / f"{key}.lock",
        on_wait=partial(_tell_waiting, args[0]),
        on_failure=partial(_tell_unlocked, folder),
    )
    with lock, _without_further_tasks():
        return fit(*args)  # looks again


def _stored(fit, args):
    """What is stored already; None if there is nothing that can be read."""
    if not fit.check_call_in_cache(*args):
        return None
    try:
        return fit.call_and_shelve(*args).get()
    except Exception:  # whatever half a pickle raises; with the lock, joblib tells and fits again
        return None


def _tell_waiting(estimator):
    level = logging.WARNING if getattr(estimator, "verbose", 0) else logging.INFO
    _log.log(level, "%s is being fitted elsewhere; waiting for it", type(estimator).__name__)


def _tell_unlocked(folder, error):
    warnings.warn(
        f"Files in {folder} cannot be locked ({error}): processes that need the same fit at the "
        "same time each train it. Put `memory` on a local disk.",
        UserWarning,
        stacklevel=7,
    )


def _without_further_tasks():
    """Within a task of Dask: those would wait for workers that wait for what is locked."""
    state = getattr(sys.modules.get("distributed.worker"), "thread_state", None)
    if hasattr(state, "execution_state"):
        return joblib.parallel_config(backend="threading", n_jobs=1)
    return nullcontext()
