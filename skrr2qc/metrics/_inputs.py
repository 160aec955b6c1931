"""Checks shared by all metrics; they fail before any work starts and name the argument."""

import warnings
from numbers import Integral, Number, Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Matrix: TypeAlias = NDArray[Any] | sparse.csr_array | sparse.csr_matrix


def as_indicator(Y: Matrix, name: str) -> sparse.csr_array:
    """Give a 0/1 matrix as canonical int32 CSR without explicit zeros; dense input is scanned once.

    Parameters
    ----------
    Y : ndarray or sparse matrix of shape (n, L), {0, 1}
        Never changed, never densified.
    name : str
        Name of the argument, for the messages.

    Returns
    -------
    Y : csr_array of shape (n, L), int32
        Column indices sorted within each row, every stored value 1.
    """
    if sparse.issparse(Y):
        result = _canonical(Y, name)
        values = result.data
    else:
        dense = as_array(Y, name)
        _check_kind(dense, name, "biuf", "numbers 0 and 1")
        _check_two_dimensional(dense, name)
        rows, columns = np.nonzero(dense)
        values = dense[rows, columns]
    wrong = values[(values != 0) & (values != 1)]
    if wrong.size:
        raise ValueError(
            f"`{name}` must hold only 0 and 1, got the value {wrong[0]!s}. "
            "Pass an indicator matrix with one column per label."
        )
    if sparse.issparse(Y):
        if not values.all():
            result = result.copy()
            result.eliminate_zeros()
        ones = np.ones(result.nnz, dtype=np.int32)
        return sparse.csr_array((ones, result.indices, result.indptr), shape=result.shape)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=dense.shape[0]))])
    ones = np.ones(rows.size, dtype=np.int32)
    return sparse.csr_array((ones, columns, indptr), shape=dense.shape)


def as_scores(scores: Matrix, name: str = "scores") -> Matrix:
    """Give scores as a floating ndarray or canonical CSR; a floating ndarray is not copied.

    Parameters
    ----------
    scores : ndarray or sparse matrix of shape (n, L)
        Real numbers without NaN; infinities are allowed.
    name : str, default="scores"
        Name of the argument, for the messages.

    Returns
    -------
    scores : ndarray or csr_array of shape (n, L)
    """
    if sparse.issparse(scores):
        result = _canonical(scores, name)
        if result.data.dtype.kind != "f":
            result = result.astype(np.float64)
        values = result.data
    else:
        values = as_array(scores, name)
        _check_kind(values, name, "biuf", "real numbers")
        _check_two_dimensional(values, name)
        if values.dtype.kind != "f":
            values = values.astype(np.float64)
        result = values
    # The minimum is NaN as soon as one entry is, and needs no (n, L) temporary.
    if values.size and np.isnan(values.min()):
        raise ValueError(
            f"`{name}` must not contain NaN, got {int(np.isnan(values).sum())} of {values.size} "
            "values. Look for a diverged model; a score of -inf marks labels never to be ranked."
        )
    return result


def check_same_shape(first: Matrix, second: Matrix, first_name: str, second_name: str) -> None:
    """Raise a ValueError unless both matrices have the same number of rows and columns."""
    if first.shape != second.shape:
        raise ValueError(
            f"`{first_name}` and `{second_name}` must have the same shape (n_samples, n_labels), "
            f"got {first.shape} and {second.shape}."
        )


def check_k(k: int, n_labels: int) -> int:
    """Return the cut-off `k` as an int after checking that it lies in 1..n_labels."""
    if isinstance(k, bool) or not isinstance(k, Integral):
        raise TypeError(f"`k` must be an integer, got {k!r:.80}.")
    if not 1 <= k <= n_labels:
        raise ValueError(
            f"`k` must lie between 1 and the number of labels ({n_labels}), got k == {k!r:.80}."
        )
    return int(k)


def check_option(value: object, name: str, options: tuple[object, ...]) -> None:
    """Raise a ValueError unless `value` is one of `options`."""
    if not isinstance(value, str | Number) or value not in options:
        raise ValueError(f"`{name}` must be one of {options}, got {value!r:.80}.")


def check_real(
    value: Any,
    name: str,
    *,
    minimum: float = -np.inf,
    maximum: float = np.inf,
    above: float = -np.inf,
) -> float:
    """Return a finite number as a float after checking that it lies within its bounds."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"`{name}` must be a number, got {value!r:.80}.")
    is_large = isinstance(value, int) and abs(value) > 10**300  # for a float
    number = float("inf") if is_large else float(value)
    if not (np.isfinite(number) and number > above and minimum <= number <= maximum):
        bounds = [(">", above), (">=", minimum), ("<=", maximum)]
        wanted = " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if np.isfinite(bound))
        raise ValueError(f"`{name}` must be a finite number {wanted}, got {value!r:.80}.")
    return number


def as_array(values: Any, name: str) -> NDArray[Any]:
    """Give what is not sparse as an array; an error that names it if rows differ in length."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"`{name}` must be a matrix with rows of one length, got {type(values).__name__}: "
            f"{error}"
        ) from None


def label_counts(Y_train: Matrix, name: str = "Y_train") -> NDArray[np.int64]:
    """Count the examples of each label, from an indicator matrix or from counts themselves.

    Parameters
    ----------
    Y_train : ndarray or sparse matrix of shape (n, L), {0, 1}, or array of shape (L,)
        Training truth, or the number of training examples of each label.
    name : str, default="Y_train"
        Name of the argument, for the messages.

    Returns
    -------
    counts : ndarray of shape (L,), int64
    """
    if not sparse.issparse(Y_train):
        Y_train = as_array(Y_train, name)
    if not sparse.issparse(Y_train) and Y_train.ndim == 1:
        counts = Y_train
        _check_kind(counts, name, "iuf", "counts")
        if counts.size and not (counts.min() >= 0 and np.all(counts == np.floor(counts))):
            raise ValueError(
                f"`{name}` holds one count per label, which must be whole numbers >= 0, "
                f"got values between {counts.min()} and {counts.max()}."
            )
        return counts.astype(np.int64)
    Y = as_indicator(Y_train, name)
    return np.bincount(Y.indices, minlength=Y.shape[1]).astype(np.int64)


def warn_undefined(metric: str, reason: str, stacklevel: int = 3) -> float:
    """Warn that an average has nothing to average over, and return nan.

    With the default `stacklevel`, the warning points at the caller of the function that calls this.
    """
    message = f"{metric} is undefined and set to nan: {reason}."
    warnings.warn(message, RuntimeWarning, stacklevel=stacklevel)
    return float("nan")


def _canonical(matrix: Any, name: str) -> sparse.csr_array:
    """Give sorted CSR without duplicates; the caller's matrix is copied before it is changed."""
    _check_two_dimensional(matrix, name)
    _check_kind(matrix, name, "biuf", "numbers")
    if hasattr(matrix, "check_format"):
        try:  # scipy reads blindly where indices point outside of the matrix
            matrix.check_format(full_check=True)
        except ValueError as error:
            kind = type(matrix).__name__
            raise ValueError(f"`{name}` is a broken {kind}: {error}.") from None
    result = sparse.csr_array(matrix)
    if not result.has_canonical_format:
        result = result.copy()
        result.sum_duplicates()
    return result


def _check_two_dimensional(matrix: Any, name: str) -> None:
    if matrix.ndim != 2:
        raise ValueError(
            f"`{name}` must have two dimensions (n_samples, n_labels), got shape {matrix.shape}. "
            "Use one row per sample and one column per label."
        )


def _check_kind(array: Any, name: str, kinds: str, expected: str) -> None:
    if array.dtype.kind not in kinds:
        raise TypeError(f"`{name}` must hold {expected}, got dtype {array.dtype}.")
