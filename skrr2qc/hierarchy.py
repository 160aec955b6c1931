"""Label hierarchies as arrays: ancestors, depths, distances between labels and label sets."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp

__all__ = [
    "ancestor_closure",
    "ancestor_matrix",
    "distance_ranks",
    "find_cycle",
    "is_tree",
    "label_distances",
    "label_set_distances",
    "node_depths",
    "tree_label_set_distances",
]

Parents: TypeAlias = Sequence[Sequence[int]]
LabelMatrix: TypeAlias = np.ndarray | sp.spmatrix | sp.sparray

# Averages of integers carry rounding errors of this order; without it 2.0000000001 gets rank 3.
_RANK_TOLERANCE = 1e-9
_LARGEST_RANK = 2.0**53  # beyond, a float64 does not tell whole numbers apart
_N_SHOWN = 10  # nodes of a cycle in a message


def ancestor_matrix(parents: Parents) -> sp.csr_matrix:
    """Indicator of ancestors, each node counting as its own ancestor.

    Parameters
    ----------
    parents : sequence of V sequences of int
        Indices of the parents of each node; an empty sequence puts a node below the virtual root.
        Several parents are allowed, repeated ones count once.

    Returns
    -------
    ancestors : csr_matrix of shape (V, V), float32, {0, 1}
        Entry (i, a) is 1 where a is i or lies above i. The virtual root has no column.

    Raises
    ------
    TypeError
        If an index is not an integer.
    ValueError
        If an index is out of range, or the nodes form a cycle, which the message names.

    Examples
    --------
    >>> ancestor_matrix([[], [0], [1]]).toarray().astype(int)
    array([[1, 0, 0],
           [1, 1, 0],
           [1, 1, 1]])
    """
    paths = _upward_paths(parents)
    return _csr([sorted(path) for path in paths], n_columns=len(paths))


def node_depths(parents: Parents) -> np.ndarray:
    """Number of steps from each node up to the virtual root, by the shortest way.

    Parameters
    ----------
    parents : sequence of V sequences of int
        As in :func:`ancestor_matrix`.

    Returns
    -------
    depths : ndarray of shape (V,), int64
        1 for nodes without parents, otherwise 1 + the smallest depth among the parents.

    Raises
    ------
    TypeError, ValueError
        As in :func:`ancestor_matrix`.

    Examples
    --------
    >>> node_depths([[], [0], [1, 0]])
    array([1, 2, 2])
    """
    checked = _check_parents(parents)
    depths = np.ones(len(checked), dtype=np.int64)
    for node in _parents_first(checked):
        if checked[node]:
            depths[node] = 1 + min(depths[parent] for parent in checked[node])
    return depths


def is_tree(parents: Parents) -> bool:
    """Whether every node has at most one parent.

    Parameters
    ----------
    parents : sequence of V sequences of int
        As in :func:`ancestor_matrix`.

    Returns
    -------
    tree : bool
        True also for a forest and for flat labels, which the virtual root joins.

    Raises
    ------
    TypeError, ValueError
        As in :func:`ancestor_matrix`.

    Examples
    --------
    >>> is_tree([[], [0], [0]]), is_tree([[], [], [0, 1]])
    (True, False)
    """
    checked = _check_parents(parents)
    _parents_first(checked)
    return all(len(above) <= 1 for above in checked)


def find_cycle(parents: Parents) -> list[int] | None:
    """One cycle of the parent relation, if there is any.

    Parameters
    ----------
    parents : sequence of V sequences of int
        As in :func:`ancestor_matrix`.

    Returns
    -------
    cycle : list of int or None
        Nodes in order, each one a child of the next, first and last equal; None without a cycle.

    Raises
    ------
    TypeError
        If an index is not an integer.
    ValueError
        If an index is out of range.

    Examples
    --------
    >>> find_cycle([[1], [2], [0], []])
    [0, 1, 2, 0]
    >>> find_cycle([[], [0]]) is None
    True
    """
    checked = _check_parents(parents)
    waiting = set(range(len(checked))) - set(_sorted_part(checked))
    if not waiting:
        return None
    # A node that never became ready has a parent that never did: walking up must come back.
    walk = [min(waiting)]
    seen = {walk[0]: 0}
    while True:
        step = next(parent for parent in checked[walk[-1]] if parent in waiting)
        if step in seen:
            return [*walk[seen[step] :], step]
        seen[step] = len(walk)
        walk.append(step)


def label_distances(parents: Parents, nodes: Sequence[int] | None = None) -> np.ndarray:
    """Length of the shortest way between two labels over a common ancestor (Eq. 1 of [1]_).

    Parameters
    ----------
    parents : sequence of V sequences of int
        As in :func:`ancestor_matrix`.
    nodes : sequence of L int, default=None
        The nodes that are labels, in label order; None takes all V nodes.

    Returns
    -------
    distances : ndarray of shape (L, L), int16 (int32 above depth 16,383)
        Symmetric, 0 on the diagonal, at most twice the depth of the deepest label.

    Raises
    ------
    TypeError, ValueError
        As in :func:`ancestor_matrix`, also for `nodes`.

    Notes
    -----
    Eq. 1 speaks of *the* lowest common ancestor, which exists in trees only. Here the distance is
    the minimum of up(i, a) + up(j, a) over all common ancestors a, the virtual root always being
    one; on trees the two agree. On a multi-parent hierarchy the triangle inequality may fail.

    With row i of U holding these minima for node i against all labels, the recursion
    U[i, j] = min(up(j, i), 1 + min over parents p of U[p, j]) visits each link once, hence
    O((V + links) * L) time and O(V * L) memory of two bytes.

    References
    ----------
    .. [1] "Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification", arXiv:2411.01841, 2024.

    Examples
    --------
    >>> label_distances([[], [], [0], [0], [1]], nodes=[2, 3, 4])
    array([[0, 2, 4],
           [2, 0, 4],
           [4, 4, 0]], dtype=int16)
    """
    checked = _check_parents(parents)
    order = _parents_first(checked)
    labels = list(range(len(checked)))
    if nodes is not None:
        if not is_iterable(nodes):
            raise TypeError(f"nodes must be a sequence of node indices (int), got {nodes!r:.80}.")
        labels = _check_nodes(nodes, len(checked))
    paths = _upward_paths(checked)
    depths = node_depths(checked)
    below: list[list[tuple[int, int]]] = [[] for _ in checked]  # node -> (label, steps up to it)
    for position, label in enumerate(labels):
        for node, steps in paths[label].items():
            below[node].append((position, steps))

    dtype = np.int16 if depths.max(initial=0) < 2**14 else np.int32
    from_root = depths[labels].astype(dtype)
    rows = np.empty((len(checked), len(labels)), dtype=dtype)
    for node in order:
        above = rows[checked[node]].min(axis=0) if checked[node] else from_root
        rows[node] = above + 1
        if below[node]:
            columns, steps_up = np.array(below[node], dtype=np.intp).T
            rows[node, columns] = np.minimum(rows[node, columns], steps_up)
    return rows[labels]


def label_set_distances(
    Y_a: LabelMatrix, Y_b: LabelMatrix, distances: np.ndarray, max_depth: float
) -> np.ndarray:
    """Mean label distance between two lists of label sets (Eq. 2 of [1]_).

    Parameters
    ----------
    Y_a : {ndarray, sparse matrix} of shape (n_a, L), {0, 1}
        Label sets, one a row.
    Y_b : {ndarray, sparse matrix} of shape (n_b, L), {0, 1}
        Label sets to compare with.
    distances : ndarray of shape (L, L)
        From :func:`label_distances`.
    max_depth : float
        Depth H of the deepest label, at least 1.

    Returns
    -------
    khd : ndarray of shape (n_a, n_b), float64
        0 where the two sets share a label, else the mean distance over all pairs, in (0, 2H].
        2H where one of the sets is empty, even against itself.

    Raises
    ------
    ValueError, TypeError
        If the shapes do not fit, an entry of `Y_a` or `Y_b` is not 0 or 1, a distance is not a
        finite number >= 0, or `max_depth` < 1.

    See Also
    --------
    tree_label_set_distances : the same on trees, without the (L, L) matrix.

    Notes
    -----
    The official code leaves the division by the number of pairs out, so it measures sums.

    References
    ----------
    .. [1] "Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification", arXiv:2411.01841, 2024.

    Examples
    --------
    >>> distances = label_distances([[], [], [0], [0], [1]], nodes=[2, 3, 4])
    >>> label_set_distances([[1, 0, 0]], [[1, 1, 0], [0, 1, 0], [0, 1, 1]], distances, max_depth=2)
    array([[0., 2., 3.]])
    """
    left, right = check_indicator(Y_a, "Y_a"), check_indicator(Y_b, "Y_b")
    distances = _check_distances(distances, "distances")
    _check_depth(max_depth)
    n_labels = left.shape[1]
    if right.shape[1] != n_labels or distances.shape != (n_labels, n_labels):
        raise ValueError(
            "Y_a, Y_b and distances must describe the same L labels: expected shapes (n_a, L), "
            f"(n_b, L) and (L, L), got {left.shape}, {right.shape} and {distances.shape}."
        )
    # Only labels that occur are looked up: a batch against a queue touches a small block.
    used_left, used_right = np.unique(left.indices), np.unique(right.indices)
    block = distances[np.ix_(used_left, used_right)].astype(np.float64)
    khd = _row_means(left)[:, used_left] @ block  # (n_a, labels of Y_b)
    khd = (_row_means(right)[:, used_right] @ khd.T).T  # (n_a, n_b)
    return _settle(khd, left, right, max_depth)


def tree_label_set_distances(
    Y_a: LabelMatrix, Y_b: LabelMatrix, ancestors: LabelMatrix, max_depth: float
) -> np.ndarray:
    """Mean label distance between label sets of a tree, without a label-by-label matrix.

    Parameters
    ----------
    Y_a : {ndarray, sparse matrix} of shape (n_a, L), {0, 1}
        Label sets, one a row.
    Y_b : {ndarray, sparse matrix} of shape (n_b, L), {0, 1}
        Label sets to compare with.
    ancestors : {ndarray, sparse matrix} of shape (L, V), {0, 1}
        The rows of :func:`ancestor_matrix` that belong to labels. Of a tree: with several parents
        a node the result is wrong, and cannot be recognised as such here.
    max_depth : float
        Depth H of the deepest label, at least 1.

    Returns
    -------
    khd : ndarray of shape (n_a, n_b), float64
        Equal to :func:`label_set_distances`.

    Raises
    ------
    ValueError
        If the shapes do not fit, an entry is not 0 or 1, or `max_depth` < 1.

    Notes
    -----
    On a tree the distance of two labels is the number of nodes that are an ancestor of exactly
    one of them, ``depth(i) + depth(j) - 2 * |common ancestors|``, and its mean over pairs
    factorises.

    Examples
    --------
    >>> ancestors = ancestor_matrix([[], [], [0], [0], [1]])[[2, 3, 4]]
    >>> tree_label_set_distances([[1, 0, 0]], [[0, 1, 1]], ancestors, max_depth=2)
    array([[3.]])
    """
    left, right = check_indicator(Y_a, "Y_a"), check_indicator(Y_b, "Y_b")
    above = check_indicator(ancestors, "ancestors")
    _check_depth(max_depth)
    if not left.shape[1] == right.shape[1] == above.shape[0]:
        raise ValueError(
            "Y_a, Y_b and ancestors must describe the same L labels: expected shapes (n_a, L), "
            f"(n_b, L) and (L, V), got {left.shape}, {right.shape} and {above.shape}."
        )
    mean_left, mean_right = _row_means(left) @ above, _row_means(right) @ above
    depth_left, depth_right = (np.asarray(m.sum(axis=1)).ravel() for m in (mean_left, mean_right))
    khd = depth_left[:, None] + depth_right - 2 * (mean_left @ mean_right.T).toarray()
    return _settle(khd, left, right, max_depth)


def distance_ranks(khd: np.ndarray) -> np.ndarray:
    """Whole-number ranks of label-set distances: the distance, rounded up.

    Parameters
    ----------
    khd : ndarray, values from 0 to 2**53
        From :func:`label_set_distances`, of any shape.

    Returns
    -------
    ranks : ndarray of the same shape, int64
        0 for sets that share a label, at most 2H.

    Raises
    ------
    ValueError, TypeError
        If a value is negative, not finite or above 2**53, or not a number.

    Notes
    -----
    Eqs. 3-5 of the paper select the sets at distance *equal* to an integer, which averages hardly
    ever are. Rounding up gives every pair a rank and agrees with the paper for single labels.

    Examples
    --------
    >>> distance_ranks([0.0, 1.5, 2.0, 2.0 + 1e-12])
    array([0, 2, 2, 2])
    """
    values = _check_distances(khd, "khd")
    if values.max(initial=0) > _LARGEST_RANK:
        raise ValueError(
            f"khd must hold distances up to 2**53, as label_set_distances returns; got "
            f"{values.max()}."
        )
    return np.ceil(values - _RANK_TOLERANCE).astype(np.int64)


def ancestor_closure(Y: LabelMatrix, ancestors: LabelMatrix) -> sp.csr_matrix:
    """Add to each label set everything above its labels.

    Parameters
    ----------
    Y : {ndarray, sparse matrix} of shape (n, L), {0, 1}
        Label sets, one a row.
    ancestors : {ndarray, sparse matrix} of shape (L, V), {0, 1}
        The rows of :func:`ancestor_matrix` that belong to labels.

    Returns
    -------
    closure : csr_matrix of shape (n, V), float32, {0, 1}
        Node sets. Rows without a label stay empty.

    Raises
    ------
    ValueError
        If the shapes do not fit or an entry is not 0 or 1.

    Examples
    --------
    >>> ancestor_closure([[0, 1], [1, 0]], ancestor_matrix([[], [0]])).toarray().astype(int)
    array([[1, 1],
           [1, 0]])
    """
    sets, above = check_indicator(Y, "Y"), check_indicator(ancestors, "ancestors")
    if sets.shape[1] != above.shape[0]:
        raise ValueError(
            f"ancestors must have one row per label: expected {sets.shape[1]} rows (the columns "
            f"of Y), got shape {above.shape}."
        )
    return indicator_product(sets, above)


def indicator_product(left: sp.csr_matrix, right: sp.csr_matrix) -> sp.csr_matrix:
    """Where the product of two indicator matrices is positive, as float32 CSR."""
    product = sp.csr_matrix(left @ right)
    product.sort_indices()
    ones = np.ones(product.nnz, dtype=np.float32)
    return sp.csr_matrix((ones, product.indices, product.indptr), shape=product.shape)


def check_indicator(Y: LabelMatrix, name: str) -> sp.csr_matrix:
    """Copy of a 0/1 matrix as float64 CSR without stored zeros."""
    if not sp.issparse(Y):
        Y = _as_array(Y, name)
    if Y.ndim != 2:
        raise ValueError(f"{name} must have two dimensions, got shape {Y.shape}.")
    if Y.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold the numbers 0 and 1, got dtype {Y.dtype}.")
    if hasattr(Y, "check_format"):
        try:  # scipy reads blindly where indices point outside of the matrix
            Y.check_format(full_check=True)
        except ValueError as error:
            raise ValueError(f"{name} is a broken {type(Y).__name__}: {error}.") from None
    matrix = sp.csr_matrix(Y, dtype=np.float64, copy=True)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    if not (matrix.data == 1).all():
        value = matrix.data[matrix.data != 1][0]
        raise ValueError(
            f"{name} must hold only 0 and 1, got {value}. Binarise scores before, e.g. scores > t."
        )
    return matrix


def _row_means(Y: sp.csr_matrix) -> sp.csr_matrix:
    """Divide each row by its number of labels; empty rows stay empty."""
    counts = np.diff(Y.indptr)
    return sp.csr_matrix((1.0 / np.repeat(counts, counts), Y.indices, Y.indptr), shape=Y.shape)


def _settle(
    khd: np.ndarray, left: sp.csr_matrix, right: sp.csr_matrix, max_depth: float
) -> np.ndarray:
    """Write in place what Eq. 2 fixes beside the mean: shared labels and empty sets."""
    khd[(left @ right.T).nonzero()] = 0.0
    khd[np.diff(left.indptr) == 0] = 2.0 * max_depth
    khd[:, np.diff(right.indptr) == 0] = 2.0 * max_depth
    return khd


def _check_depth(max_depth: float) -> None:
    if not isinstance(max_depth, Real) or not 1 <= max_depth <= _LARGEST_RANK:
        raise ValueError(
            f"max_depth must be a number >= 1, got {max_depth!r:.80}. It is the depth of the "
            "deepest label, such as node_depths(parents).max()."
        )


def _check_distances(values: np.ndarray, name: str) -> np.ndarray:
    values = _as_array(values, name)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold numbers, got dtype {values.dtype}.")
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(
            f"{name} must hold finite distances >= 0, as label_distances and label_set_distances "
            f"return; got values from {values.min()} to {values.max()}."
        )
    return values


def _as_array(values: object, name: str) -> np.ndarray:
    if sp.issparse(values):
        raise TypeError(f"{name} must be a dense array, got a {type(values).__name__}.")
    try:
        return np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name} must be an array of numbers, got {error}") from None


def is_iterable(value: object) -> bool:
    """Whether ``iter`` takes a value: arrays of no dimension only look as if they had items."""
    try:
        iter(value)  # type: ignore[call-overload]
    except TypeError:
        return False
    return True


def _check_parents(parents: Parents) -> list[list[int]]:
    is_sequence = hasattr(parents, "__len__") and not sp.issparse(parents)
    if not is_sequence or not is_iterable(parents):
        raise TypeError(
            "parents must be a sequence with one sequence of node indices per node, got "
            f"{parents!r:.80} ({type(parents).__name__}). Write [] for a node without parents."
        )
    n_nodes = len(parents)
    checked = []
    for node, above in enumerate(parents):
        if isinstance(above, str | bytes) or not is_iterable(above):
            raise TypeError(
                f"parents must hold one sequence of node indices per node, got {above!r:.80} "
                f"for node {node}. Write [{above!r:.80}] for a single parent, [] for none."
            )
        checked.append(list(dict.fromkeys(_check_nodes(above, n_nodes, f"parents[{node}]"))))
    return checked


def _check_nodes(nodes: Sequence[int], n_nodes: int, name: str = "nodes") -> list[int]:
    indices: list[int] = []
    for index in nodes:
        if not isinstance(index, Integral) or isinstance(index, bool | np.bool_):
            raise TypeError(f"{name} must hold node indices (int), got {index!r:.80}.")
        if not 0 <= index < n_nodes:
            raise ValueError(f"{name} must hold indices from 0 to {n_nodes - 1}, got {index}.")
        indices.append(int(index))
    return indices


def _parents_first(parents: list[list[int]]) -> list[int]:
    """All nodes, every node after its parents; ValueError for cycles."""
    order = _sorted_part(parents)
    if len(order) < len(parents):
        cycle = find_cycle(parents) or []
        shown = " -> ".join(map(str, cycle[:_N_SHOWN]))
        more = f" -> ... ({len(cycle) - _N_SHOWN} more)" if len(cycle) > _N_SHOWN else ""
        raise ValueError(
            f"parents must not contain a cycle, got {shown}{more} (each node a child of the next). "
            "Remove one of these links."
        )
    return order


def _sorted_part(parents: list[list[int]]) -> list[int]:
    """Kahn's topological order of the nodes that neither lie on a cycle nor below one."""
    children: list[list[int]] = [[] for _ in parents]
    for node, above in enumerate(parents):
        for parent in above:
            children[parent].append(node)
    missing = [len(above) for above in parents]
    order = [node for node, count in enumerate(missing) if count == 0]
    for node in order:  # grows while it is read
        for child in children[node]:
            missing[child] -= 1
            if missing[child] == 0:
                order.append(child)
    return order


def _upward_paths(parents: Parents) -> list[dict[int, int]]:
    """For each node: ancestor -> length of the shortest upward path, itself at 0."""
    checked = _check_parents(parents)
    paths: list[dict[int, int]] = [{} for _ in checked]
    for node in _parents_first(checked):
        shortest = {node: 0}
        for parent in checked[node]:
            for ancestor, steps in paths[parent].items():
                if steps + 1 < shortest.get(ancestor, len(checked) + 1):
                    shortest[ancestor] = steps + 1
        paths[node] = shortest
    return paths


def _csr(rows: list[list[int]], n_columns: int) -> sp.csr_matrix:
    indptr = np.cumsum([0, *map(len, rows)])
    indices = np.array([column for row in rows for column in row], dtype=np.int32)
    ones = np.ones(len(indices), dtype=np.float32)
    return sp.csr_matrix((ones, indices, indptr), shape=(len(rows), n_columns))
