"""Splitters that keep the frequency of every label alike in all parts of a multi-label set."""

import heapq
from math import ceil, floor
from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.model_selection import BaseCrossValidator, BaseShuffleSplit
from sklearn.utils import check_random_state

__all__ = [
    "MultilabelStratifiedKFold",
    "MultilabelStratifiedShuffleSplit",
    "train_holdout_split",
]
# Weight of a fold's lag in size against its lack of a label: small enough that labels decide, large
# enough that no fold is full long before the others, which would starve it of the last labels.
_PROGRESS_WEIGHT = 0.1


class MultilabelStratifiedKFold(BaseCrossValidator):
    """K-fold cross-validation by iterative stratification [1]_.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2 and at most the number of rows.
    shuffle : bool, default=False
        Visit the rows in random order and break ties between folds at random.
    random_state : int, RandomState instance or None, default=None
        Seed for `shuffle`; must be None without it.

    See Also
    --------
    MultilabelStratifiedShuffleSplit : repeated random splits of chosen sizes.
    train_holdout_split : one split that leaves every label in training.

    Notes
    -----
    Labels are taken in order of their number of unassigned rows, rarest first, and each of these
    rows goes to the fold that lacks most of that label. Counts are updated along the entries of a
    row, so that Y stays sparse and a split costs O(entries * log(labels)).

    Deviations from [1]_: folds are closed when they are full, so their sizes differ by at most
    one. To a fold's lack of the label, a tenth of the rows is added by which its size lags behind
    its share of the rows assigned so far; [1]_ looks at sizes only to break ties, by which small
    folds get no rare labels at all, and too many frequent ones in the end. Remaining ties go to
    the first fold without `shuffle`, to a random one with it. Rows without labels come last.

    References
    ----------
    .. [1] K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the Stratification of Multi-Label Data",
       ECML PKDD 2011.

    Examples
    --------
    >>> Y = np.array([[1, 0], [1, 0], [1, 1], [1, 1], [0, 0], [0, 0]])
    >>> for train, test in MultilabelStratifiedKFold(n_splits=2).split(Y, Y):
    ...     print(test, Y[test].sum(axis=0))
    [0 2 4] [2 1]
    [1 3 5] [2 1]
    """

    def __init__(self, n_splits=5, *, shuffle=False, random_state=None):
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def get_n_splits(self, X=None, y=None, groups=None):
        """Number of folds.

        Parameters
        ----------
        X, y, groups : object
            Ignored.

        Returns
        -------
        n_splits : int
        """
        return self.n_splits

    def split(self, X, y, groups=None):
        """Generate the rows of training and test for each fold.

        Parameters
        ----------
        X : sequence of n samples
            Only its length is used.
        y : {array-like, sparse matrix} of shape (n, L), {0, 1}, or array-like of shape (n,)
            Label sets; a one-dimensional `y` holds one class per row.
        groups : object
            Ignored.

        Yields
        ------
        train : ndarray of int
        test : ndarray of int

        Raises
        ------
        TypeError, ValueError
            If `y` is not one of the above or a parameter is out of range.
        """
        yield from super().split(X, _check_targets(y), groups)

    def _iter_test_masks(self, X=None, y=None, groups=None):
        n_rows = y.shape[0]
        if not isinstance(self.shuffle, bool | np.bool_):
            raise TypeError(f"shuffle must be True or False, got {self.shuffle!r:.80}.")
        _check_count(self.n_splits, "n_splits", minimum=2)
        if self.n_splits > n_rows:
            raise ValueError(
                f"n_splits must be at most the number of rows, got n_splits={self.n_splits!r:.80} "
                f"for {n_rows} rows."
            )
        if not self.shuffle and self.random_state is not None:
            raise ValueError(
                "random_state has no effect without shuffle: got "
                f"random_state={self.random_state!r}. Set shuffle=True or random_state=None."
            )
        rng = check_random_state(self.random_state) if self.shuffle else None
        sizes = np.full(self.n_splits, n_rows // self.n_splits)
        sizes[: n_rows % self.n_splits] += 1
        folds = _assign_rows(y, sizes, rng)
        for fold in range(self.n_splits):
            yield folds == fold


class MultilabelStratifiedShuffleSplit(BaseShuffleSplit):
    """Random splits into training and test by iterative stratification.

    Parameters
    ----------
    n_splits : int, default=10
        Number of splits, drawn independently of each other.
    test_size : float, int or None, default=None
        Share in (0, 1), rounded up, or number of rows. None takes what `train_size` leaves, 0.1
        when both are None.
    train_size : float, int or None, default=None
        Share in (0, 1), rounded down, or number of rows. None takes what `test_size` leaves.
    random_state : int, RandomState instance or None, default=None
        Seed; an int gives the same splits in every call.

    See Also
    --------
    MultilabelStratifiedKFold : the algorithm and its reference.

    Notes
    -----
    Rows in neither part, when the sizes do not add up to all rows, are stratified like the two.

    Examples
    --------
    >>> Y = np.repeat([[1, 0], [0, 1]], [8, 4], axis=0)
    >>> splitter = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=0.25, random_state=0)
    >>> train, test = next(splitter.split(Y, Y))
    >>> Y[train].sum(axis=0), Y[test].sum(axis=0)
    (array([6, 3]), array([2, 1]))
    """

    def __init__(self, n_splits=10, *, test_size=None, train_size=None, random_state=None):
        super().__init__(
            n_splits, test_size=test_size, train_size=train_size, random_state=random_state
        )

    def split(self, X, y, groups=None):
        """Generate the rows of training and test for each split.

        Parameters
        ----------
        X : sequence of n samples
            Only its length is used.
        y : {array-like, sparse matrix} of shape (n, L), {0, 1}, or array-like of shape (n,)
            Label sets; a one-dimensional `y` holds one class per row.
        groups : object
            Ignored.

        Yields
        ------
        train : ndarray of int
        test : ndarray of int

        Raises
        ------
        TypeError, ValueError
            If `y` is not one of the above or a parameter is out of range.
        """
        yield from super().split(X, _check_targets(y), groups)

    def _iter_indices(self, X, y=None, groups=None):
        _check_count(self.n_splits, "n_splits", minimum=1)
        n_train, n_test = _split_sizes(y.shape[0], self.train_size, self.test_size)
        sizes = np.array([n_train, n_test, y.shape[0] - n_train - n_test])
        rng = check_random_state(self.random_state)
        for _ in range(self.n_splits):
            folds = _assign_rows(y, sizes, rng)
            yield tuple(rng.permutation(np.flatnonzero(folds == part)) for part in (0, 1))


def train_holdout_split(Y, holdout_fraction, random_state=None):
    """Set rows aside so that no label disappears from training.

    Parameters
    ----------
    Y : {array-like, sparse matrix} of shape (n, L), {0, 1}, or array-like of shape (n,)
        Label sets; a one-dimensional `Y` holds one class per row.
    holdout_fraction : float in (0, 1)
        Share of the rows to set aside, rounded to a whole number of rows.
    random_state : int, RandomState instance or None, default=None
        Seed.

    Returns
    -------
    train_idx : ndarray of int, sorted
        Holds at least one row of every label that has a row.
    holdout_idx : ndarray of int, sorted
        The others, stratified. Fewer rows than asked for, down to none, where too many labels
        have a single row: check its size before choosing thresholds on it.

    Raises
    ------
    TypeError, ValueError
        If `Y` is not one of the above or `holdout_fraction` is out of range.

    Examples
    --------
    >>> Y = [[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1]]
    >>> train_idx, holdout_idx = train_holdout_split(Y, 0.25, random_state=0)
    >>> train_idx.size, bool(np.isin([2, 3], train_idx).all())  # the only rows of two labels
    (3, True)
    """
    Y = _check_targets(Y)
    if not isinstance(holdout_fraction, Real) or not 0 < holdout_fraction < 1:
        raise ValueError(
            f"holdout_fraction must be a number between 0 and 1, got {holdout_fraction!r}."
        )
    rng = check_random_state(random_state)
    n_rows = Y.shape[0]
    kept = _covering_rows(Y, rng)
    n_holdout = min(round(holdout_fraction * n_rows), n_rows - len(kept))
    folds = _assign_rows(Y, np.array([n_rows - n_holdout, n_holdout]), rng, first_fold=kept)
    return np.flatnonzero(folds == 0), np.flatnonzero(folds == 1)


def _check_targets(y):
    """Label sets or classes as 0/1 CSR with sorted indices; never makes a sparse `y` dense."""
    if y is None:
        raise ValueError("y is needed to stratify: expected label sets of shape (n, L), got None.")
    if not sp.issparse(y):
        try:
            y = np.asarray(y)
        except ValueError:  # lists of unequal length
            y = np.empty((0, 0), dtype=object)
        if y.ndim == 1 and _is_class_column(y):
            return _one_hot(y)
        if y.ndim != 2 or y.dtype.kind not in "biuf":
            raise ValueError(
                "y must be an indicator matrix of shape (n, L), or hold one class (str or number) "
                "per row without missing values. Encode label sets with LabelSpace.encode."
            )
    if y.ndim != 2 or y.shape[0] == 0:
        raise ValueError(f"y must have shape (n, L) with at least one row, got {y.shape}.")
    if y.dtype.kind not in "biuf":
        raise ValueError(f"y must hold only 0 and 1, got dtype {y.dtype}.")
    if hasattr(y, "check_format"):
        try:  # scipy reads blindly where indices point outside of the matrix
            y.check_format(full_check=True)
        except ValueError as error:
            raise ValueError(f"y is a broken {type(y).__name__}: {error}.") from None
    Y = sp.csr_matrix(y, dtype=np.float64, copy=True)  # float16 has no sparse matrix
    Y.sum_duplicates()
    Y.eliminate_zeros()
    if not (Y.data == 1).all():
        raise ValueError(f"y must hold only 0 and 1, got {Y.data[Y.data != 1][0]}.")
    return Y


def _is_class_column(y):
    if y.dtype.kind == "O":
        return all(isinstance(value, str | Real) and value == value for value in y)
    return y.size > 0 and not (y.dtype.kind == "f" and np.isnan(y).any())


def _one_hot(y):
    classes, codes = np.unique(y.astype(str) if y.dtype.kind == "O" else y, return_inverse=True)
    row_ends = np.arange(y.size + 1)
    return sp.csr_matrix((np.ones(y.size), codes, row_ends), shape=(y.size, classes.size))


def _check_count(value, name, minimum):
    if not isinstance(value, Integral) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"{name} must be an integer >= {minimum}, got {value!r:.80}.")


def _split_sizes(n_rows, train_size, test_size):
    """Numbers of rows, with scikit-learn's rounding: test up, training down."""
    if train_size is None and test_size is None:
        test_size = 0.1
    counts = {}
    for name, size, rounding in (("train", train_size, floor), ("test", test_size, ceil)):
        if size is None:
            continue
        if isinstance(size, Integral) and not isinstance(size, bool) and 0 < size < n_rows:
            counts[name] = int(size)
        elif isinstance(size, Real) and not isinstance(size, Integral) and 0 < size < 1:
            counts[name] = rounding(size * n_rows)
        else:
            raise ValueError(
                f"{name}_size must be a share between 0 and 1 or a number of rows between 0 and "
                f"{n_rows}, both exclusive, got {size!r}."
            )
    n_train = counts.get("train", n_rows - counts.get("test", 0))
    n_test = counts.get("test", n_rows - n_train)
    if n_train + n_test > n_rows or min(n_train, n_test) < 1:
        raise ValueError(
            "train_size and test_size must leave at least one row for each part and use no row "
            f"twice, got {n_train} training and {n_test} test rows out of {n_rows}."
        )
    return n_train, n_test


def _covering_rows(Y, rng):
    """A small set of rows in which every label with a row occurs, rarest labels first."""
    by_label = Y.tocsc()
    counts = np.diff(by_label.indptr)
    covered = counts == 0
    rows = []
    for label in np.argsort(counts, kind="stable"):
        if not covered[label]:
            row = rng.choice(by_label.indices[by_label.indptr[label] : by_label.indptr[label + 1]])
            rows.append(row)
            covered[Y.indices[Y.indptr[row] : Y.indptr[row + 1]]] = True
    return np.array(rows, dtype=np.intp)


def _assign_rows(Y, sizes, rng=None, first_fold=()):
    """Iterative stratification into folds of the given sizes.

    Parameters
    ----------
    Y : csr_matrix of shape (n, L)
        Without stored zeros.
    sizes : ndarray of shape (K,), int
        Rows of each fold; they add up to n.
    rng : RandomState or None
        Order of rows and ties; None is deterministic.
    first_fold : sequence of int
        Rows that stand in fold 0 from the start.

    Returns
    -------
    folds : ndarray of shape (n,), int
    """
    n_rows, n_labels = Y.shape
    order = np.arange(n_rows) if rng is None else rng.permutation(n_rows)
    by_label = Y[order].tocsc()  # rows of a label come in this order
    counts = np.diff(by_label.indptr)
    state = _Folds(Y, counts, sizes, first_fold)
    heap = [(state.waiting[label], label) for label in range(n_labels) if state.waiting[label]]
    heapq.heapify(heap)
    while heap:
        count, label = heapq.heappop(heap)
        if count != state.waiting[label]:
            continue  # an outdated entry; the current count is in the heap, too
        rows = order[by_label.indices[by_label.indptr[label] : by_label.indptr[label + 1]]]
        rows = rows[state.folds[rows] < 0]
        state.place_by_need(rows, label, rng)
        touched = np.unique(Y[rows].indices)
        for other in touched[state.waiting[touched] > 0]:
            heapq.heappush(heap, (state.waiting[other], other))

    unlabelled = order[state.folds[order] < 0]
    state.folds[unlabelled] = np.repeat(np.arange(len(sizes)), state.free)
    return state.folds


class _Folds:
    """Where rows stand, and what each fold still lacks."""

    def __init__(self, Y, counts, sizes, first_fold):
        self.indptr, self.indices = Y.indptr, Y.indices
        self.folds = np.full(Y.shape[0], -1)
        self.free = sizes.copy()
        self.waiting = counts.copy()  # unassigned rows of each label
        self.lacking = np.outer(counts, sizes / sizes.sum())  # (L, K)
        for row in first_fold:
            self.place(row, 0)
        self.shares = self.free / max(self.free.sum(), 1)
        self.behind = np.zeros(self.free.size)  # rows that a fold lags behind its share so far

    def place(self, row, fold):
        labels = self.indices[self.indptr[row] : self.indptr[row + 1]]
        self.folds[row] = fold
        self.free[fold] -= 1
        self.waiting[labels] -= 1
        self.lacking[labels, fold] -= 1

    def place_by_need(self, rows, label, rng):
        """Give each row to the open fold that lacks most of the label."""
        # Chance decides between exact ties only; a full fold is out of the race.
        offset = np.zeros(self.free.size) if rng is None else rng.uniform(0, 1e-9, self.free.size)
        offset[self.free == 0] = -np.inf
        for row in rows:
            need = self.lacking[label] + _PROGRESS_WEIGHT * self.behind + offset
            fold = int(np.argmax(need))
            self.place(row, fold)
            self.behind += self.shares
            self.behind[fold] -= 1
            if self.free[fold] == 0:
                offset[fold] = -np.inf
