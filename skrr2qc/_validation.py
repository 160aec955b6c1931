"""Checks of texts, targets and label maps, shared by every estimator."""

from contextlib import contextmanager
from numbers import Integral

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_random_state

_SHOWN = 3  # offending values quoted in a message
_LARGEST_INT = 2**63  # beyond, neither numpy nor torch can count


def check_texts(X, name="X"):
    """Return `X` as a list of strings, or say what else was found and where.

    Parameters
    ----------
    X : sequence of str
        List, tuple, one-dimensional object or string array, or pandas Series.
    name : str, default="X"
        How messages call the argument.

    Returns
    -------
    texts : list of str

    Raises
    ------
    TypeError
        If `X` is one string, or no sequence, or holds something that is no string.
    ValueError
        If `X` is empty or has more than one dimension.
    """
    if isinstance(X, (str, bytes)):
        raise TypeError(
            f"`{name}` must be a sequence of texts, got one {type(X).__name__} {X[:40]!r}. "
            f"Wrap it in a list: [{name}]."
        )
    is_scalar = getattr(X, "ndim", 1) != 0 and not _can_be_iterated(X)
    if X is None or not hasattr(X, "__len__") or is_scalar:
        raise TypeError(
            f"`{name}` must be a sequence of str (list, tuple, array, Series), "
            f"got {type(X).__name__}. Materialise iterators with list({name})."
        )
    if sp.issparse(X) or getattr(X, "ndim", 1) != 1:
        raise ValueError(
            f"`{name}` must be a one-dimensional sequence of texts, got {type(X).__name__} of "
            f"shape {X.shape}. Pass the column that holds the texts."
        )
    if isinstance(X, (dict, set, frozenset)):
        raise TypeError(
            f"`{name}` must be a sequence of str, got a {type(X).__name__}, whose order is not "
            "that of the targets. Pass a list."
        )
    texts = X.tolist() if hasattr(X, "tolist") else list(X)
    if not texts:
        raise ValueError(
            f"`{name}` is empty: expected at least one text. Check how it was selected."
        )
    wrong = [(i, t) for i, t in enumerate(texts) if not isinstance(t, str)]
    if wrong:
        quoted = [f"{name}[{i}] = {t!r:.40} ({type(t).__name__})" for i, t in wrong[:_SHOWN]]
        raise TypeError(
            f"`{name}` must hold only str, but {len(wrong)} of {len(texts)} items are not: "
            f"{', '.join(quoted)}. Decode bytes, and replace missing texts by ''."
        )
    _check_encodable(texts, name)
    return [str(t) for t in texts]


def check_label_matrix(Y, *, n_samples=None, labels=None, name="Y"):
    """Return targets as a {0, 1} CSR matrix of shape (n, L).

    Parameters
    ----------
    Y : array-like or sparse matrix of shape (n, L), or sequence of n sets of label names
        Indicator targets; sets of names need `labels`.
    n_samples : int, default=None
        Number of texts that the rows must match.
    labels : LabelSpace, default=None
        Turns label names into columns, and fixes the number of columns.
    name : str, default="Y"
        How messages call the argument.

    Returns
    -------
    Y : csr_matrix of shape (n, L), float32

    Raises
    ------
    TypeError
        If `Y` is missing, or holds label names and `labels` is not given.
    ValueError
        If shapes do not agree or a value is neither 0 nor 1.
    """
    if Y is None:
        raise TypeError(
            f"`{name}` is required but got None: pass an indicator matrix (n, L), or label sets."
        )
    if labels is not None and not (hasattr(labels, "encode") and hasattr(labels, "names")):
        raise TypeError(
            f"`labels` must be a LabelSpace or None, got {labels!r:.60} ({type(labels).__name__}). "
            "Build one with LabelSpace(names)."
        )
    holds_rows = getattr(Y, "ndim", 0) == 1 and getattr(Y, "dtype", None) == np.dtype(object)
    if not sp.issparse(Y) and (holds_rows or not hasattr(Y, "shape")):
        Y = _from_sequence(Y, labels, name)
    Y = _to_csr(Y, name)
    if n_samples is not None and Y.shape[0] != n_samples:
        raise ValueError(
            f"`{name}` must have one row per text: expected {n_samples} rows, got {Y.shape[0]}. "
            "Check that texts and targets were selected alike."
        )
    if labels is not None and Y.shape[1] != len(labels):
        raise ValueError(
            f"`{name}` must have one column per label of `labels`: expected {len(labels)} columns, "
            f"got {Y.shape[1]}. Build it with labels.encode(label_sets)."
        )
    return Y


def check_label_to_meta(label_to_meta, n_labels, name="label_to_meta"):
    """Return a label-to-meta-label map as a {0, 1} CSR matrix of shape (L, M)."""
    if not sp.issparse(label_to_meta):
        label_to_meta = _as_array(label_to_meta, name)
    if label_to_meta.ndim != 2 or label_to_meta.shape[0] != n_labels:
        raise ValueError(
            f"`{name}` must have one row per label: expected shape ({n_labels}, M), "
            f"got {label_to_meta.shape}. LabelSpace(..., meta_labels=...).label_to_meta builds it."
        )
    if label_to_meta.shape[1] == 0:
        raise ValueError(
            f"`{name}` has no meta-label (shape {label_to_meta.shape}). Pass None instead."
        )
    return _to_csr(label_to_meta, name)


def check_number(value, name, *, minimum=None, maximum=None, integer=False, above=None):
    """Check that a parameter is a finite number within its bounds.

    Parameters
    ----------
    value : object
        The parameter.
    name : str
        How messages call it.
    minimum, maximum : float, default=None
        Closed bounds.
    integer : bool, default=False
        Whether only whole numbers are right.
    above : float, default=None
        Open lower bound.
    """
    # A Fraction is a number, too, but neither numpy nor torch computes with one.
    kind = Integral if integer else (Integral, float, np.floating)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, kind):
        wanted = "an integer" if integer else "a number"
        raise TypeError(f"`{name}` must be {wanted}, got {value!r:.80} ({type(value).__name__}).")
    if isinstance(value, Integral) and not -_LARGEST_INT <= value < _LARGEST_INT:
        raise ValueError(f"`{name}` must be a number below 2**63 in size, got a larger integer.")
    # numpy compares a float16 in float16, to which it would round the bound.
    number = int(value) if isinstance(value, Integral) else float(value)
    bounds = [
        (above, lambda bound: number > bound, ">"),
        (minimum, lambda bound: number >= bound, ">="),
        (maximum, lambda bound: number <= bound, "<="),
    ]
    for bound, holds, sign in bounds:
        if bound is not None and not holds(bound):
            raise ValueError(f"`{name}` == {value}, must be {sign} {bound}.")
    if not np.isfinite(number):
        raise ValueError(f"`{name}` == {value}, must be finite.")
    return value


def check_seed(value, name="random_state"):
    """Check that a parameter is a random state: before work starts, and without drawing from it."""
    try:
        check_random_state(value)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"`{name}` must be an int from 0 to 2**32 - 1, a RandomState or None, "
            f"got {value!r:.80}."
        ) from None
    return value


def check_flag(value, name):
    """Check that a parameter is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}` must be True or False, got {value!r:.80}.")
    return value


def check_part(value, name, method):
    """Check that a parameter is None, or an estimator (no class of one) with a method."""
    if value is not None and (isinstance(value, (str, type)) or not hasattr(value, method)):
        raise TypeError(
            f"`{name}` must be an estimator with `{method}` or None, got {value!r:.80}."
        )
    return value


def check_choice(value, name, choices):
    """Check that a parameter is one of the named choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"`{name}` must be one of {sorted(choices)}, got {value!r:.80}.")
    return value


def _check_encodable(texts, name):
    for i, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"`{name}[{i}]` is no valid Unicode: {error.reason} at character {error.start}. "
                "Read the file with its own encoding, or drop such characters: "
                "text.encode('utf-8', 'ignore').decode()."
            ) from None


def _can_be_iterated(value):
    try:
        iter(value)
    except TypeError:
        return False
    return True


@contextmanager
def in_terms_of(name):
    """Errors of a `LabelSpace` about label sets call them by the argument that they came by."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("label_sets", f"`{name}`", 1)) from None


def _from_sequence(Y, labels, name):
    if isinstance(Y, (str, bytes)):
        raise TypeError(f"`{name}` must hold one label set per text, got the single {Y!r:.40}.")
    if isinstance(Y, (dict, set, frozenset)) or not _can_be_iterated(Y):
        raise TypeError(
            f"`{name}` must be an indicator matrix (n, L), or a list with one label set per text, "
            f"got {Y!r:.40} ({type(Y).__name__})."
        )
    # A row that is an iterator would be used up by looking at it.
    Y = [row if hasattr(row, "__len__") or not _can_be_iterated(row) else list(row) for row in Y]
    if any(isinstance(row, str) for row in Y):
        raise TypeError(
            f"`{name}` must hold one *set* of label names per text, got bare strings such as "
            f"{next(r for r in Y if isinstance(r, str))!r:.40}. Wrap each in a set or list."
        )
    single = [row for row in Y if not _can_be_iterated(row)]
    if len(single) == len(Y):
        return _as_array(Y, name)
    if single:
        raise TypeError(
            f"`{name}` must hold one row or label set per text, got {single[0]!r:.40} "
            f"({type(single[0]).__name__}) beside others. Write [] for a text without a label."
        )
    is_named = any(isinstance(item, str) for row in Y for item in row)
    is_set = any(isinstance(row, (set, frozenset)) for row in Y)
    if not (is_named or is_set):
        is_empty = labels is not None and all(len(row) == 0 for row in Y)
        return labels.encode(Y) if is_empty else _rectangular(Y, name)
    if labels is None:
        raise TypeError(
            f"`{name}` holds label names, which need a label space: pass "
            "labels=LabelSpace(names), or an indicator matrix (n, L)."
        )
    with in_terms_of(name):
        return labels.encode(Y)


def _rectangular(rows, name):
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise ValueError(
            f"`{name}` must be an indicator matrix with rows of one length, got lengths "
            f"{sorted(lengths)[:_SHOWN]}. Label names need labels=LabelSpace(names)."
        )
    return _as_array(rows, name)


def _as_array(values, name):
    try:
        return np.asarray(values)
    except ValueError as error:  # rows within rows, of different lengths
        raise ValueError(
            f"`{name}` must be an indicator matrix with rows of numbers, all of one length, got "
            f"{type(values).__name__}: {str(error):.100}"
        ) from None


def _to_csr(Y, name):
    if not sp.issparse(Y):
        Y = _as_array(Y, name)
    elif hasattr(Y, "check_format"):
        _check_indices(Y, name)
    if Y.ndim != 2:
        raise ValueError(
            f"`{name}` must be an indicator matrix of shape (n, L), got shape {Y.shape}. "
            "For one label per text, one-hot encode it (LabelBinarizer)."
        )
    if Y.shape[1] == 0:
        raise ValueError(f"`{name}` has no label column (shape {Y.shape}): expected at least one.")
    if Y.dtype.kind not in "buif":
        raise TypeError(f"`{name}` must hold 0 and 1, got dtype {Y.dtype}.")
    values = Y.data if sp.issparse(Y) and hasattr(Y, "data") else Y
    if sp.issparse(Y) and Y.format not in ("csr", "csc", "coo"):
        Y = Y.tocsr()
        values = Y.data
    wrong = values[(values != 0) & (values != 1)]
    if wrong.size:
        shown = ", ".join(str(v) for v in np.unique(wrong)[:_SHOWN])
        raise ValueError(
            f"`{name}` must hold only 0 and 1, got {wrong.size} other values such as {shown}. "
            "Binarise counts and probabilities first, e.g. (Y > 0)."
        )
    Y = sp.csr_matrix(Y, dtype=np.float32, copy=True)  # the caller's own stays as it is
    Y.sum_duplicates()
    if Y.nnz and Y.data.max() > 1:
        raise ValueError(f"`{name}` stores an entry more than once, so that its value exceeds 1.")
    Y.eliminate_zeros()
    return Y


def _check_indices(Y, name):
    """Refuse compressed matrices that point outside of themselves, which scipy reads blindly."""
    try:
        Y.check_format(full_check=True)
    except ValueError as error:
        raise ValueError(
            f"`{name}` is a broken {type(Y).__name__} of shape {Y.shape}: {error}. Give the right "
            "shape where it is built from indices."
        ) from None
