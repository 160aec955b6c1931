"""The contract of text estimators as checks that anyone can run, and small data to run them on."""

import inspect
import pickle
import random
import re
import warnings
from functools import cached_property
from importlib.util import find_spec

import joblib
import numpy as np
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state, get_tags

from ._validation import check_label_matrix, check_number, check_texts
from .encoders import RCPTEncoder

__all__ = ["check_text_estimator", "make_tiny_texts", "tiny_encoder"]

_METHODS = ("transform", "decision_function", "predict_proba", "predict")
_TOPICS = (
    "circle radius diameter circumference",
    "triangle angle hypotenuse side",
    "equation root solve unknown",
    "sample mean median variance",
)
_FILLER = ("given", "find", "the", "of", "which", "number", "shown", "is", "with", "what")
_LONG = 200_000  # characters of the longest text that has to be taken


def make_tiny_texts(n_samples=60, *, random_state=0):
    """Short texts on four topics, one or two a text, that a small model learns in a moment.

    Parameters
    ----------
    n_samples : int, default=60
        At least 4, so that every topic occurs.
    random_state : int, RandomState instance or None, default=0

    Returns
    -------
    texts : list of n str
        Of 4 to 24 words, topic words among filler.
    Y : ndarray of shape (n, 4), int64
        Which topics a text is about.

    Examples
    --------
    >>> texts, Y = make_tiny_texts(8)
    >>> len(texts), Y.shape
    (8, (8, 4))
    """
    check_number(n_samples, "n_samples", minimum=len(_TOPICS), integer=True)
    rng = check_random_state(random_state)
    Y = np.zeros((n_samples, len(_TOPICS)), dtype=np.int64)
    texts = []
    for i, row in enumerate(Y):
        topics = {i % len(_TOPICS), rng.randint(len(_TOPICS))}
        row[list(topics)] = 1
        words = [w for t in sorted(topics) for w in rng.choice(_TOPICS[t].split(), 2)]
        words += list(rng.choice(_FILLER, rng.randint(2, 21)))
        texts.append(" ".join(rng.permutation(words)))
    return texts, Y


def tiny_encoder(**params):
    """Unfitted compact `RCPTEncoder` of 16 dimensions, for tests.

    Parameters
    ----------
    **params
        Parameters of `RCPTEncoder` that shall differ.

    Returns
    -------
    encoder : RCPTEncoder

    Examples
    --------
    >>> texts, _ = make_tiny_texts()
    >>> tiny_encoder().fit(texts).transform(texts[:3]).shape
    (3, 16)
    """
    small = {"hidden_size": 16, "vocab_size": 300, "random_state": 0}
    return RCPTEncoder(**small | params)


def check_text_estimator(estimator, *, X=None, Y=None, expected_failures=None):
    """Check that an estimator of texts keeps the promises that all estimators here keep.

    scikit-learn's ``check_estimator`` leaves out what takes texts. This runs, on texts:
    construction (``clone``, nested ``set_params``, ``__init__`` that only assigns), fitting
    (returns self, changes neither parameters nor data, can be repeated), pickling, kinds of
    input (list, tuple, arrays, Series), corner cases (a label without a text, a text without a
    label, one text, an empty and a very long one), outputs (shape, type, range, order of rows),
    targets dense and CSR, the global random state and thread count, and errors for bad input.

    Parameters
    ----------
    estimator : estimator
        Unfitted classifier or transformer of texts. Works on clones, in which each
        `random_state` that is None becomes 0. Make it small: it is fitted some twenty times.
    X : sequence of n str, default=None
        Texts to fit; None takes `make_tiny_texts`.
    Y : indicator of shape (n, L), dense or CSR, default=None
        Their labels; given with `X`, and with at least two labels.
    expected_failures : dict of str to str, default=None
        Names of checks that are known to fail, each with the reason. One that passes is
        reported, so that the list stays true.

    Returns
    -------
    names : list of str
        The checks that passed.

    Raises
    ------
    AssertionError
        With the name and the finding of every check that failed unexpectedly.
    ValueError
        If `expected_failures` names no check, or only one of `X` and `Y` is given.

    Notes
    -----
    An error for bad input counts as helpful if it is a ValueError or TypeError that quotes what
    came and goes on to say what to do, and if no attribute has been set by then. Texts padded
    to another length may change a score by 2 %, which bfloat16 needs.

    Examples
    --------
    >>> from skrr2qc.testing import check_text_estimator, tiny_encoder
    >>> "pickle" in check_text_estimator(tiny_encoder())
    True

    What an estimator is known not to keep is listed with the reason:

    >>> from sklearn.feature_extraction.text import CountVectorizer
    >>> known = {"bad_texts": "decodes bytes, and takes None for no texts"}
    >>> names = check_text_estimator(CountVectorizer(), expected_failures=known)
    """
    expected_failures = dict(expected_failures or {})
    unknown = sorted(set(expected_failures) - set(_CHECKS))
    if unknown:
        raise ValueError(
            f"`expected_failures` names no check: {unknown}. Choose from {sorted(_CHECKS)}."
        )
    if (X is None) != (Y is None):
        raise ValueError("`X` and `Y` belong together: pass both, or neither.")
    X, Y = make_tiny_texts() if X is None else (X, Y)
    subject = _Subject(estimator, X, Y)
    failures = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # tiny data is no ideal data
        _ = subject.fitted  # if this fails there is nothing to check
        for name, check in _CHECKS.items():
            error = _failure(check, subject)
            if name in expected_failures:
                reason = expected_failures[name]
                error = None if error else AssertionError(f"passes; no longer: {reason}")
            if error:
                failures[name] = error
    if failures:
        found = "\n".join(f"- {name}: {_first_lines(error)}" for name, error in failures.items())
        kind = type(estimator).__name__
        message = f"{kind} breaks the contract of text estimators:\n{found}"
        raise AssertionError(message) from next(iter(failures.values()))
    return [name for name in _CHECKS if name not in expected_failures]


class _Subject:
    """The estimator under test, its data, and one fit that all checks share."""

    def __init__(self, estimator, X, Y):
        self._texts = tuple(check_texts(X))
        self._targets = check_label_matrix(Y, n_samples=len(X)).toarray().astype(np.int64)
        self.estimator = _with_seeds(estimator)
        self.needs_targets = get_tags(estimator).target_tags.required

    @property
    def X(self):
        """Texts, a new list each time: an estimator that changes it spoils no other check."""
        return list(self._texts)

    @property
    def Y(self):
        """Dense targets, a new array each time."""
        return self._targets.copy()

    def fit(self, X=None, Y=None):
        """Fit of a new clone."""
        return self.new().fit(self.X if X is None else X, self.Y if Y is None else Y)

    def new(self):
        """Unfitted clone."""
        return clone(self.estimator)

    @cached_property
    def fitted(self):
        return self.fit()

    @cached_property
    def outputs(self):
        return _outputs(self.fitted, self.X)


def _with_seeds(estimator):
    estimator = clone(estimator)
    params = estimator.get_params(deep=True)
    seeds = [n for n, v in params.items() if n.split("__")[-1] == "random_state" and v is None]
    return estimator.set_params(**dict.fromkeys(seeds, 0))


def _failure(check, subject):
    try:
        check(subject)
    except Exception as error:
        return error
    return None


def _first_lines(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:6])
    return text if isinstance(error, AssertionError) else f"{type(error).__name__}: {text}"


def _require(is_met, message):
    if not is_met:
        raise AssertionError(message)


def _methods(estimator):
    return [name for name in _METHODS if hasattr(estimator, name)]


def _outputs(fitted, X):
    """Dense output of each method that the estimator has."""
    outputs = {name: getattr(fitted, name)(X) for name in _methods(fitted)}
    return {n: out.toarray() if sp.issparse(out) else np.asarray(out) for n, out in outputs.items()}


def _assert_same(outputs, expected, what):
    for name, values in expected.items():
        message = f"{what}: {name} differs"
        assert_allclose(outputs[name], values, rtol=1e-5, atol=1e-6, err_msg=message)


# ------------------------------------------------------------------------------- construction


def _check_init_only_assigns(subject):
    params = subject.new().get_params(deep=False)  # clone itself refuses changed parameters
    attributes = set(vars(type(subject.estimator)(**params)))
    others = sorted(attributes ^ set(params))
    _require(not others, f"__init__ sets {others}, which are not its parameters.")


def _check_clone(subject):
    copy = clone(subject.fitted)
    _require(
        set(copy.get_params()) == set(subject.estimator.get_params()), "clone loses parameters"
    )
    extra = set(vars(copy)) - set(copy.get_params(deep=False))
    _require(not extra, f"the clone of a fitted estimator keeps {sorted(extra)}.")


def _check_nested_set_params(subject):
    params = subject.estimator.get_params(deep=True)
    for name in params:
        if isinstance(params.get(name.rpartition("__")[0]), FrozenEstimator):
            continue  # clones share what is frozen
        value = object()
        found = subject.new().set_params(**{name: value}).get_params(deep=True).get(name)
        _require(found is value, f"set_params({name}=...) is not what get_params returns.")
    _refused(lambda: subject.new().set_params(no_such_parameter=1), "unknown parameter", [])


def _check_unfitted(subject):
    for name in _methods(subject.estimator):
        try:
            getattr(subject.new(), name)(subject.X)
        except NotFittedError:
            continue
        raise AssertionError(f"{name} before fit does not raise NotFittedError.")


# ------------------------------------------------------------------------------------ fitting


def _check_fit_returns_self(subject):
    estimator = subject.new()
    _require(estimator.fit(subject.X, subject.Y) is estimator, "fit does not return self.")


def _check_fit_keeps_parameters(subject):
    estimator = subject.new()
    before = estimator.get_params(deep=True)
    parts = {name: part for name, part in before.items() if hasattr(part, "get_params")}
    attributes = {name: set(vars(part)) for name, part in parts.items()}
    hashes = {name: joblib.hash(v) for name, v in before.items() if name not in parts}
    after = estimator.fit(subject.X, subject.Y).get_params(deep=True)
    changed = sorted(name for name in before if after.get(name) is not before[name])
    changed += [name for name in hashes if joblib.hash(after[name]) != hashes[name]]
    _require(not changed, f"fit changes the parameters {changed}.")
    fitted = sorted(name for name, part in parts.items() if set(vars(part)) != attributes[name])
    _require(not fitted, f"fit fits its parameters {fitted}: fit clones of them.")


def _check_fit_keeps_data(subject):
    X, Y = subject.X, sp.csr_matrix(subject.Y, dtype=np.float32)
    subject.fit(X, Y)
    is_same = X == subject.X and np.array_equal(Y.toarray(), subject.Y)
    _require(is_same, "fit changes its X or y.")


def _check_refit(subject):
    estimator = subject.fit(subject.X[::-1], subject.Y)  # another task, so that a rest would show
    estimator.fit(subject.X, subject.Y)
    _assert_same(_outputs(estimator, subject.X), subject.outputs, "second fit, same random_state")


def _check_pickle(subject):
    copy = pickle.loads(pickle.dumps(subject.fitted))
    for name, output in _outputs(copy, subject.X).items():
        message = f"{name} differs after a pickle round trip"
        assert_array_equal(output, subject.outputs[name], err_msg=message)


def _check_global_state(subject):
    before = _global_state()
    fitted = pickle.loads(pickle.dumps(subject.fit()))
    _outputs(fitted, subject.X)
    changed = [name for name, state in _global_state().items() if state != before[name]]
    _require(not changed, f"fit, pickle or prediction changes the global state of {changed}.")


def _global_state():
    return {
        "numpy.random": joblib.hash(check_random_state(None).get_state()),
        "random": random.getstate(),
        "torch random numbers": torch.get_rng_state().tolist(),
        "torch threads": torch.get_num_threads(),
        "torch gradients": torch.is_grad_enabled(),
    }


# ------------------------------------------------------------------------------------- inputs


def _check_input_kinds(subject):
    texts = subject.X
    kinds = {
        "tuple": tuple(texts),
        "object array": np.array(texts, dtype=object),
        "str array": np.array(texts),
    }
    if find_spec("pandas"):
        import pandas as pd

        # Any index but 0..n-1: X[i] would pick another row, or none.
        kinds["Series"] = pd.Series(texts, index=np.arange(len(texts))[::-1] + 7)
    for kind, X in kinds.items():
        _assert_same(_outputs(subject.fit(X), X), subject.outputs, f"texts in a {kind}")


def _check_sparse_targets(subject):
    for kind in (sp.csr_matrix, sp.csr_array):
        fitted = subject.fit(Y=kind(subject.Y))
        _assert_same(_outputs(fitted, subject.X), subject.outputs, f"targets as {kind.__name__}")


def _check_empty_label_column(subject):
    Y = subject.Y.copy()
    Y[:, -1] = 0
    _assert_valid(_outputs(subject.fit(Y=Y), subject.X), len(subject.X), Y.shape[1])


def _check_row_without_label(subject):
    Y = subject.Y.copy()
    Y[:2] = 0
    _assert_valid(_outputs(subject.fit(Y=Y), subject.X), len(subject.X), Y.shape[1])


def _check_one_sample(subject):
    row = int(np.argmax(subject.Y.any(axis=1)))
    rows = slice(row, row + 1)
    fitted = subject.fit(subject.X[rows], subject.Y[rows])
    _assert_valid(_outputs(fitted, subject.X[rows]), 1, subject.Y.shape[1])


def _check_empty_and_long_texts(subject):
    X = ["", " \n", *subject.X[2:]]
    fitted = subject.fit(X)
    X = ["", "?", (subject.X[0] + " ") * (_LONG // len(subject.X[0])), subject.X[0]]
    _assert_valid(_outputs(fitted, X), len(X), subject.Y.shape[1])


# ------------------------------------------------------------------------------------ outputs


def _check_outputs(subject):
    _require(subject.outputs, f"there is none of the methods {_METHODS}.")
    _assert_valid(subject.outputs, *subject.Y.shape)
    if "predict" in subject.outputs:
        expected = np.arange(subject.Y.shape[1])
        assert_array_equal(subject.fitted.classes_, expected, err_msg="classes_ are column numbers")


def _assert_valid(outputs, n_samples, n_labels):
    for name, output in outputs.items():
        columns = output.shape[1] if name == "transform" and output.ndim == 2 else n_labels
        expected = (n_samples, columns)
        _require(output.shape == expected, f"{name} has shape {output.shape}, expected {expected}.")
        is_number = output.dtype.kind in ("biuf" if name == "predict" else "f")
        is_number |= name == "transform" and output.dtype.kind in "iu"  # counts
        _require(is_number, f"{name} has dtype {output.dtype}.")
        _require(np.isfinite(output).all(), f"{name} is not finite.")
    scores = outputs.get("predict_proba", np.zeros(1))
    _require(((scores >= 0) & (scores <= 1)).all(), "predict_proba leaves [0, 1].")
    _require(np.isin(outputs.get("predict", 0), [0, 1]).all(), "predict holds more than 0 and 1.")


def _check_row_order(subject):
    order = np.random.default_rng(0).permutation(len(subject.X))
    for what, rows in {"in another order": order, "one at a time": order[:1]}.items():
        outputs = _outputs(subject.fitted, [subject.X[i] for i in rows])
        for name in {"transform", "predict_proba"} & set(outputs):
            expected = subject.outputs[name][rows]
            atol = 0.02 * np.abs(expected).max()
            message = f"{name} of texts {what} is another"
            assert_allclose(outputs[name], expected, rtol=0, atol=atol, err_msg=message)


# ------------------------------------------------------------------------------------- errors


def _check_bad_texts(subject):
    X, Y = subject.X, subject.Y
    cases = {
        "X is one str": (X[0], ["str"]),
        "X is None": (None, ["None"]),
        "X holds bytes": ([X[0].encode(), *X[1:]], ["bytes"]),
        "X holds NaN": ([float("nan"), *X[1:]], ["nan"]),
        "X holds None": ([None, *X[1:]], ["None"]),
        "X is empty": ([], ["empty"]),
    }
    for case, (bad, words) in cases.items():
        _refused_fit(subject, bad, Y[: len(bad)] if bad == [] else Y, case, words)
        for name in _methods(subject.fitted):
            method = getattr(subject.fitted, name)
            _refused(lambda method=method, bad=bad: method(bad), f"{name}, {case}", words)


def _check_bad_targets(subject):
    if not subject.needs_targets:
        return
    X, Y = subject.X, subject.Y
    with_two, with_nan = Y.copy(), Y.astype(float)
    with_two[0, 0], with_nan[0, 0] = 2, np.nan
    cases = {
        "y is None": (None, ["None"]),
        "y holds 2": (with_two, ["2"]),
        "y, CSR, holds 2": (sp.csr_matrix(with_two), ["2"]),
        "y holds NaN": (with_nan, ["nan"]),
        "y has a row less": (Y[1:], [str(len(X)), str(len(X) - 1)]),
        "y has no column": (Y[:, :0], [str((len(X), 0))]),
    }
    for case, (bad, words) in cases.items():
        _refused_fit(subject, X, bad, case, words)


def _refused_fit(subject, X, Y, case, words):
    estimator = subject.new()
    before = set(vars(estimator))
    _refused(lambda: estimator.fit(X, Y), f"fit, {case}", words)
    new = sorted(set(vars(estimator)) - before)
    _require(not new, f"fit, {case}: refused too late, {new} are already set.")


def _refused(call, case, words):
    """Assert that a call raises an error that quotes `words` and has a second clause."""
    try:
        call()
    except (TypeError, ValueError) as error:
        message = str(error)
        missing = [word for word in words if word not in message]
        _require(not missing, f"{case}: the message does not quote {missing}: {message}")
        _require(re.search(r"[.:;]\s+\S", message), f"{case}: the message has no remedy: {message}")
    except Exception as error:
        came = f"{type(error).__name__}: {error}"
        raise AssertionError(f"{case}: expected ValueError or TypeError, got {came}") from error
    else:
        raise AssertionError(f"{case}: accepted, but should be refused.")


# In the order in which they are written above.
_CHECKS = {
    name.removeprefix("_check_"): check
    for name, check in list(globals().items())
    if name.startswith("_check_") and inspect.isfunction(check)
}
