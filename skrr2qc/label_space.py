"""LabelSpace: names, texts, hierarchy and meta-labels of a label set; label sets <-> CSR."""

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from .hierarchy import (
    ancestor_closure,
    ancestor_matrix,
    check_indicator,
    find_cycle,
    indicator_product,
    is_iterable,
    label_distances,
    node_depths,
)

__all__ = ["LabelSpace"]

_N_EXAMPLES = 5  # values named in an error message
_LONGEST_COMPARED = 200  # characters of a name; the time to find a similar one grows as a square


class LabelSpace:
    """What is known about the labels: names, texts, hierarchy, meta-labels. Immutable.

    Parameters
    ----------
    names : sequence of L str
        Distinct names of the labels, in column order.
    texts : mapping of str to str, or sequence of L str, default=None
        What to read for a label where its name is a code. A mapping may leave labels out and may
        cover inner nodes of the hierarchy; a node without a text is read by its name.
    parents : mapping of str to (sequence of str, or str), default=None
        The nodes right above a node. Several parents are allowed. Every name found here, as a key
        or as a parent, that is not a label is an *inner node*; a node without an entry, or with an
        empty one, lies at the top level. As soon as one inner node is declared with an empty
        entry, all others must have an entry, too, so that a misspelt parent is found.
    meta_labels : mapping of str to sequence of str, or {ndarray, sparse matrix} of shape (L, M), \
default=None
        The meta-labels of each label, by name, or as a 0/1 matrix whose columns are then named
        ``meta_0``, ``meta_1``... Labels left out of a mapping have none.

    Attributes
    ----------
    names : tuple of L str
    texts : tuple of L str
    nodes : tuple of V str
        The labels, then the inner nodes in alphabetical order.
    node_texts : tuple of V str
    parents : dict of str to tuple of str
        For labels below others, and for all inner nodes. Changing it changes nothing here.
    meta_names : tuple of M str
        Alphabetical for a mapping, in column order for a matrix.
    n_labels, n_nodes, n_meta_labels : int
        L, V and M.
    max_depth : int
        Depth of the deepest label by its shortest way up; 1 for flat labels.
    is_tree : bool
        Whether no node has two parents.
    label_to_meta : csr_matrix of shape (L, M), float32, {0, 1}; or None
        None when no label has a meta-label. Read-only, like `ancestors`.
    ancestors : csr_matrix of shape (L, V), float32, {0, 1}
        Which nodes are the label itself or lie above it.

    Raises
    ------
    TypeError
        If a name or text is not a `str`, or a parameter has none of the forms above.
    ValueError
        If names repeat or are blank, the hierarchy has a cycle or an undeclared parent, `texts`
        or `meta_labels` speak of unknown names, or sizes do not fit.

    See Also
    --------
    skrr2qc.hierarchy : the functions behind distances and closures.

    Notes
    -----
    Two spaces are equal, hash alike and have the same `joblib.hash` when their contents are the
    same. The order of names, of the columns of a matrix and of the parents of a node counts; the
    order of the entries of mappings does not.

    Examples
    --------
    >>> labels = LabelSpace(
    ...     ["linear equation", "quadratic equation", "mean"],
    ...     parents={"linear equation": "algebra", "quadratic equation": "algebra"},
    ...     meta_labels={"linear equation": ["equation"], "quadratic equation": ["equation"]},
    ... )
    >>> labels
    LabelSpace(3 labels, 1 inner node, max_depth=2, 1 meta-label)
    >>> Y = labels.encode([["mean", "linear equation"], []])
    >>> Y.toarray().astype(int)
    array([[1, 0, 1],
           [0, 0, 0]])
    >>> labels.decode(Y)
    [('linear equation', 'mean'), ()]
    >>> labels.path_text("linear equation")
    'algebra > linear equation'
    """

    names: tuple[str, ...]
    nodes: tuple[str, ...]
    node_texts: tuple[str, ...]
    meta_names: tuple[str, ...]
    _links: tuple[tuple[str, ...], ...]  # parents by node
    _meta_of: tuple[tuple[int, ...], ...]  # positions in meta_names by label, ascending

    def __init__(
        self,
        names: Iterable[str],
        texts: Mapping[str, str] | Iterable[str] | None = None,
        parents: Mapping[str, Iterable[str]] | None = None,
        meta_labels: Mapping[str, Iterable[str]] | Any = None,
    ) -> None:
        label_names = _check_names(names)
        links = _check_parents(parents, label_names)
        nodes = (*label_names, *sorted(_all_names(links) - set(label_names)))
        _check_acyclic(links, nodes)
        texts_of = _check_texts(texts, label_names, nodes)
        meta_names, meta_of = _check_meta_labels(meta_labels, label_names)
        vars(self).update(
            names=label_names,
            nodes=nodes,
            node_texts=tuple(texts_of.get(node, node) for node in nodes),
            meta_names=meta_names,
            _links=tuple(links.get(node, ()) for node in nodes),
            _meta_of=meta_of,
        )

    @classmethod
    def from_targets(cls, label_sets: Iterable[Iterable[str]]) -> "LabelSpace":
        """Flat space of the names that occur, in alphabetical order.

        Parameters
        ----------
        label_sets : iterable of n iterables of str
            Label names of each text.

        Returns
        -------
        labels : LabelSpace

        Raises
        ------
        TypeError
            If an item is not a collection of `str`.
        ValueError
            If a name is blank or there is none.

        Examples
        --------
        >>> LabelSpace.from_targets([["b", "a"], [], ["b"]]).names
        ('a', 'b')
        """
        names = set().union(*_check_label_sets(label_sets))
        if not names:
            raise ValueError("label_sets must hold at least one label name, got none.")
        return cls(sorted(names))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "LabelSpace":
        """Rebuild a space from :meth:`to_dict`.

        Parameters
        ----------
        data : mapping
            ``names`` is required; ``texts``, ``parents``, ``meta_names`` and ``meta_labels`` are
            not.

        Returns
        -------
        labels : LabelSpace

        Raises
        ------
        TypeError, ValueError
            If `data` is not a mapping, ``names`` is missing, there are other keys, or as in the
            constructor.

        Examples
        --------
        >>> labels = LabelSpace(["a", "b"], parents={"a": "c"})
        >>> LabelSpace.from_dict(labels.to_dict()) == labels
        True
        """
        keys = ("names", "texts", "parents", "meta_names", "meta_labels")
        if not isinstance(data, Mapping):
            raise TypeError(f"data must be a mapping as to_dict() returns, got {data!r:.80}.")
        if "names" not in data or not set(data) <= set(keys):
            raise ValueError(
                f"data must have the key 'names' and otherwise only {keys[1:]}, got {list(data)}."
            )
        space = cls(data["names"], texts=data.get("texts"), parents=data.get("parents"))
        meta_names, meta_of = _check_meta_labels(
            data.get("meta_labels"), space.names, data.get("meta_names")
        )
        vars(space).update(meta_names=meta_names, _meta_of=meta_of)
        return space

    def to_dict(self) -> dict[str, Any]:
        """Everything the space knows, in types that JSON has.

        Returns
        -------
        data : dict
            ``names``, ``texts`` (of nodes whose text is not the name), ``parents``,
            ``meta_names``, ``meta_labels``.

        Examples
        --------
        >>> LabelSpace(["a"], texts={"a": "angle"}).to_dict()["texts"]
        {'a': 'angle'}
        """
        texts = zip(self.nodes, self.node_texts, strict=True)
        meta_labels = zip(self.names, self._meta_of, strict=True)
        return {
            "names": list(self.names),
            "texts": {node: text for node, text in texts if text != node},
            "parents": {node: list(above) for node, above in self.parents.items()},
            "meta_names": list(self.meta_names),
            "meta_labels": {
                name: [self.meta_names[i] for i in meta] for name, meta in meta_labels if meta
            },
        }

    @property
    def texts(self) -> tuple[str, ...]:
        """One text a label: its description, or else its name."""
        return self.node_texts[: self.n_labels]

    @property
    def parents(self) -> dict[str, tuple[str, ...]]:
        """Parents of each node that has any, and of each inner node."""
        links = zip(self.nodes, self._links, strict=True)
        return {node: above for i, (node, above) in enumerate(links) if above or i >= len(self)}

    @property
    def n_labels(self) -> int:
        """Number of labels, L."""
        return len(self.names)

    @property
    def n_nodes(self) -> int:
        """Number of labels and inner nodes, V."""
        return len(self.nodes)

    @property
    def n_meta_labels(self) -> int:
        """Number of meta-labels, M."""
        return len(self.meta_names)

    @property
    def is_tree(self) -> bool:
        """Whether no node has two parents."""
        return all(len(above) <= 1 for above in self._links)

    @cached_property
    def max_depth(self) -> int:
        """Shortest depth of the deepest label; 1 without a hierarchy."""
        return int(node_depths(self._parent_positions)[: self.n_labels].max())

    @cached_property
    def label_to_meta(self) -> sp.csr_matrix | None:
        """Which meta-labels each label has, (L, M), {0, 1}; None if there are none."""
        return _indicator(self._meta_of, self.n_meta_labels) if any(self._meta_of) else None

    @cached_property
    def ancestors(self) -> sp.csr_matrix:
        """Which nodes are a label or above it, (L, V), {0, 1}."""
        return _read_only(ancestor_matrix(self._parent_positions)[: self.n_labels])

    def distances(self) -> np.ndarray:
        """Steps between any two labels over a common ancestor.

        Returns
        -------
        distances : ndarray of shape (L, L), int16
            See :func:`skrr2qc.hierarchy.label_distances`. Computed anew in each call.

        Examples
        --------
        >>> LabelSpace(["a", "b", "c"], parents={"a": "x", "b": "x"}).distances()
        array([[0, 2, 3],
               [2, 0, 3],
               [3, 3, 0]], dtype=int16)
        """
        return label_distances(self._parent_positions, nodes=range(self.n_labels))

    def path_text(self, name: str, separator: str = " > ") -> str:
        """Texts from the top level down to a node.

        Parameters
        ----------
        name : str
            A label or an inner node.
        separator : str, default=" > "
            Put between the texts.

        Returns
        -------
        text : str
            Where a node has several parents, the way over the first one.

        Raises
        ------
        ValueError
            If there is no such node.

        Examples
        --------
        >>> LabelSpace(["c"], parents={"c": "b", "b": "a"}).path_text("c")
        'a > b > c'
        """
        if not isinstance(separator, str):
            raise TypeError(f"separator must be a str such as ' > ', got {separator!r:.80}.")
        if not isinstance(name, str) or name not in self._position:
            shown = _with_matches([name], self.nodes) if isinstance(name, str) else f"{name!r:.80}"
            raise ValueError(f"No such node: {shown}.")
        path = [self._position[name]]
        while self._parent_positions[path[-1]]:
            path.append(self._parent_positions[path[-1]][0])
        return separator.join(self.node_texts[node] for node in reversed(path))

    def encode(self, label_sets: Iterable[Iterable[str]]) -> sp.csr_matrix:
        """Label sets as an indicator matrix.

        Parameters
        ----------
        label_sets : iterable of n iterables of str
            Label names of each text; an empty one for no label. Repeated names count once.

        Returns
        -------
        Y : csr_matrix of shape (n, L), float32, {0, 1}

        Raises
        ------
        TypeError
            If an item is not a collection of `str`.
        ValueError
            If a name is not a label; the message proposes similar ones.

        Examples
        --------
        >>> LabelSpace(["a", "b"]).encode([["b"], [], ["b", "a"]]).toarray().astype(int)
        array([[0, 1],
               [0, 0],
               [1, 1]])
        """
        checked = _check_label_sets(label_sets)
        position, n_labels = self._position, self.n_labels
        unknown: dict[str, None] = {}
        rows = []
        for names in checked:
            row = {position.get(name, n_labels) for name in names}
            if row and max(row) >= n_labels:  # an inner node is no label either
                unknown.update((n, None) for n in names if position.get(n, n_labels) >= n_labels)
            rows.append(sorted(row))
        if unknown:
            raise ValueError(
                f"label_sets must hold names of this label space only, got {len(unknown)} "
                f"unknown: {_with_matches(unknown, self.names)}. Correct them, or build the "
                "LabelSpace with these names."
            )
        return _indicator(rows, n_labels, read_only=False)

    def decode(self, Y: np.ndarray | sp.spmatrix | sp.sparray) -> list[tuple[str, ...]]:
        """Label names of each row of an indicator matrix.

        Parameters
        ----------
        Y : {ndarray, sparse matrix} of shape (n, L), {0, 1}

        Returns
        -------
        label_sets : list of n tuples of str
            In column order.

        Raises
        ------
        ValueError
            If `Y` does not have L columns or holds other values than 0 and 1.

        Examples
        --------
        >>> LabelSpace(["a", "b"]).decode([[1, 1], [0, 0]])
        [('a', 'b'), ()]
        """
        matrix = self._check_columns(Y)
        rows = np.split(matrix.indices, matrix.indptr[1:-1]) if matrix.shape[0] else []
        return [tuple(self.names[label] for label in row) for row in rows]

    def meta_targets(self, Y: np.ndarray | sp.spmatrix | sp.sparray) -> sp.csr_matrix:
        """Meta-labels of each label set: where ``Y @ label_to_meta`` is positive.

        Parameters
        ----------
        Y : {ndarray, sparse matrix} of shape (n, L), {0, 1}

        Returns
        -------
        Y_meta : csr_matrix of shape (n, M), float32, {0, 1}

        Raises
        ------
        ValueError
            If there are no meta-labels, or as in :meth:`decode`.

        Examples
        --------
        >>> labels = LabelSpace(["a", "b"], meta_labels={"a": ["p", "q"], "b": ["q"]})
        >>> labels.meta_targets([[0, 1], [1, 1]]).toarray().astype(int)
        array([[0, 1],
               [1, 1]])
        """
        if self.label_to_meta is None:
            raise ValueError(
                "No label has a meta-label. Pass meta_labels={label: [meta-label, ...]}."
            )
        return indicator_product(self._check_columns(Y), self.label_to_meta)

    def closure(self, Y: np.ndarray | sp.spmatrix | sp.sparray) -> sp.csr_matrix:
        """Label sets together with everything above their labels.

        Parameters
        ----------
        Y : {ndarray, sparse matrix} of shape (n, L), {0, 1}

        Returns
        -------
        Y_nodes : csr_matrix of shape (n, V), float32, {0, 1}
            Columns as in `nodes`.

        Raises
        ------
        ValueError
            As in :meth:`decode`.

        Examples
        --------
        >>> LabelSpace(["a", "b"], parents={"b": "x"}).closure([[0, 1]]).toarray().astype(int)
        array([[0, 1, 1]])
        """
        return ancestor_closure(self._check_columns(Y), self.ancestors)

    @cached_property
    def _position(self) -> dict[str, int]:
        return {node: i for i, node in enumerate(self.nodes)}

    @cached_property
    def _parent_positions(self) -> list[list[int]]:
        return [[self._position[parent] for parent in above] for above in self._links]

    @cached_property
    def _content(self) -> str:
        # One string instead of nested tuples: pickle remembers objects by identity, so that
        # joblib.hash would tell equal tuples apart that do or do not share their items.
        return json.dumps(self.to_dict())

    def _check_columns(self, Y) -> sp.csr_matrix:
        matrix = check_indicator(Y, "Y")
        if matrix.shape[1] != self.n_labels:
            raise ValueError(
                f"Y must have one column per label: expected {self.n_labels} columns, got shape "
                f"{matrix.shape}. Build it with encode()."
            )
        return matrix

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"LabelSpace is immutable, {name!r} cannot be set. Build a new one with "
            "from_dict(), from a changed to_dict()."
        )

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"LabelSpace is immutable, {name!r} cannot be deleted.")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LabelSpace):
            return NotImplemented
        return self is other or self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        parts = [_count(self.n_labels, "label")]
        if any(self._links):
            parts += [_count(self.n_nodes - self.n_labels, "inner node")]
            parts += [f"max_depth={self.max_depth}"]
        if self.meta_names:
            parts += [_count(self.n_meta_labels, "meta-label")]
        return f"LabelSpace({', '.join(parts)})"

    def __copy__(self) -> "LabelSpace":
        return self

    def __deepcopy__(self, memo: dict) -> "LabelSpace":
        return self

    def __reduce__(self) -> tuple:
        return _restore, (self._content,)


def check_labels(labels: object) -> None:
    """Raise a TypeError unless the parameter `labels` of an estimator is a LabelSpace or None."""
    if labels is not None and not isinstance(labels, LabelSpace):
        raise TypeError(
            f"`labels` must be a LabelSpace or None, got {type(labels).__name__}. "
            "Build one with LabelSpace(names)."
        )


def _restore(content: str) -> LabelSpace:
    return LabelSpace.from_dict(json.loads(content))


def _check_names(names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str | bytes | Mapping | set | frozenset) or not is_iterable(names):
        raise TypeError(
            f"names must be a sequence of str, got {names!r:.80} ({type(names).__name__}). Pass a "
            "list, whose order is the order of the columns."
        )
    checked = tuple(_check_text(name, "names") for name in names)
    if not checked:
        raise ValueError("names must hold at least one label, got none.")
    repeated = [name for name, count in Counter(checked).items() if count > 1]
    if repeated:
        raise ValueError(
            f"names must be distinct, got {_with_matches(repeated, ())} more than once. Remove "
            "the repetitions, or tell the labels apart, e.g. by their parent's name."
        )
    return checked


def _check_texts(texts, names: tuple[str, ...], nodes: tuple[str, ...]) -> dict[str, str]:
    if texts is None:
        return {}
    if isinstance(texts, Mapping):
        unknown = {_check_text(node, "keys of texts"): None for node in texts}
        for node in nodes:
            unknown.pop(node, None)
        if unknown:
            raise ValueError(
                "texts must describe labels or nodes named in parents, got unknown "
                f"{_with_matches(unknown, nodes)}. Remove them or correct the names."
            )
        return {str(node): _check_text(text, f"texts[{node!r}]") for node, text in texts.items()}
    if isinstance(texts, str | bytes | set | frozenset) or not is_iterable(texts):
        raise TypeError(
            "texts must be a mapping from name to text, or a sequence with one text per label, "
            f"got {texts!r:.80}."
        )
    checked = [_check_text(text, "texts") for text in texts]
    if len(checked) != len(names):
        raise ValueError(
            f"texts must have one text per label: expected {len(names)}, got {len(checked)}. "
            "Pass a mapping to describe only some labels."
        )
    return dict(zip(names, checked, strict=True))


def _check_parents(parents, names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    if parents is None:
        return {}
    if not isinstance(parents, Mapping):
        raise TypeError(
            "parents must be a mapping from a node to the nodes right above it, got "
            f"{parents!r:.80} ({type(parents).__name__})."
        )
    links = {
        _check_text(node, "keys of parents"): _check_name_list(above, f"parents[{node!r}]")
        for node, above in parents.items()
    }
    inner_nodes = _all_names(links) - set(names)
    undeclared = sorted(inner_nodes - set(links))
    if undeclared and any(node in links and not links[node] for node in inner_nodes):
        known = [*names, *links]
        raise ValueError(
            "parents declares top-level nodes by empty entries, so all of them must be there; "
            f"no entry for {_with_matches(undeclared, known)}. Correct the name, or add e.g. "
            f"{undeclared[0]!r}: []."
        )
    return links


def _check_acyclic(links: dict[str, tuple[str, ...]], nodes: tuple[str, ...]) -> None:
    position = {node: i for i, node in enumerate(nodes)}
    cycle = find_cycle([[position[above] for above in links.get(node, ())] for node in nodes])
    if cycle is not None:
        raise ValueError(
            "parents must not contain a cycle, got "
            f"{_path(nodes[i] for i in cycle)} (each below the next). Remove one of these links."
        )


def _check_meta_labels(
    meta_labels, names: tuple[str, ...], meta_names: Iterable[str] | None = None
) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Names of the meta-labels, and their positions for each label."""
    if sp.issparse(meta_labels) or isinstance(meta_labels, np.ndarray):
        return _check_meta_matrix(meta_labels, len(names))
    if meta_labels is None:
        meta_labels = {}
    if not isinstance(meta_labels, Mapping):
        raise TypeError(
            "meta_labels must be a mapping from label to meta-label names, or a 0/1 array or "
            f"sparse matrix of shape (L, M), got {type(meta_labels).__name__}."
        )
    lists = {
        _check_text(name, "keys of meta_labels"): _check_name_list(meta, f"meta_labels[{name!r}]")
        for name, meta in meta_labels.items()
    }
    unknown = sorted(set(lists) - set(names))
    if unknown:
        raise ValueError(
            f"meta_labels must have labels as keys, got unknown {_with_matches(unknown, names)}. "
            "Remove them or correct the names."
        )
    used = sorted(set().union(*lists.values()))
    all_meta = tuple(used) if meta_names is None else _check_name_list(meta_names, "meta_names")
    position = {meta: i for i, meta in enumerate(all_meta)}
    lacking = [meta for meta in used if meta not in position]
    if lacking:
        raise ValueError(f"meta_names lacks {_with_matches(lacking, all_meta)}. Add them.")
    return all_meta, tuple(
        tuple(sorted(position[meta] for meta in lists.get(name, ()))) for name in names
    )


def _check_meta_matrix(
    matrix: np.ndarray | sp.spmatrix | sp.sparray, n_labels: int
) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    checked = check_indicator(matrix, "meta_labels")
    if checked.shape[0] != n_labels or checked.shape[1] == 0:
        raise ValueError(
            f"meta_labels must have one row per label and at least one column: expected "
            f"({n_labels}, M), got {checked.shape}."
        )
    rows = np.split(checked.indices, checked.indptr[1:-1])
    meta_names = tuple(f"meta_{i}" for i in range(checked.shape[1]))
    return meta_names, tuple(tuple(row.tolist()) for row in rows)


def _check_label_sets(label_sets: Iterable[Iterable[str]]) -> list[set[str]]:
    if isinstance(label_sets, str | bytes | Mapping) or not is_iterable(label_sets):
        raise TypeError(
            f"label_sets must be a list of label-name lists, got {label_sets!r:.80}. An indicator "
            "matrix needs no encoding."
        )
    checked = []
    for i, names in enumerate(label_sets):
        if isinstance(names, str | bytes | Mapping) or not is_iterable(names):
            remedy = f"[{names!r:.80}]" if isinstance(names, str) else "a list, [] for no label"
            raise TypeError(
                f"label_sets must hold a collection of label names per text, got {names!r:.80} "
                f"at position {i}. Write {remedy}."
            )
        # Taken apart first: a generator can be read only once.
        items = list(names)
        if not all(type(name) is str and name for name in items):
            items = [_check_text(name, f"label_sets[{i}]") for name in items]
        checked.append(set(items))
    return checked


def _check_name_list(names, where: str) -> tuple[str, ...]:
    """Distinct names in order; a single str stands for a list of one."""
    if isinstance(names, str):
        names = [names]
    elif isinstance(names, set | frozenset):
        names = sorted(names, key=str)  # sets have no order of their own
    elif isinstance(names, bytes | Mapping) or not is_iterable(names):
        raise TypeError(f"{where} must be a sequence of str, got {names!r:.80}. Write [] for none.")
    return tuple(dict.fromkeys(_check_text(name, where) for name in names))


def _check_text(value, where: str) -> str:
    if not isinstance(value, str):
        raise TypeError(
            f"{where} must hold str, got {value!r:.80} ({type(value).__name__}). Decode bytes, "
            "convert numbers by str(), leave missing values out."
        )
    if not value.strip():
        raise ValueError(f"{where} must hold names that are not blank, got {value!r:.80}.")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # no file holds it, and JSON makes another name of two
        raise ValueError(
            f"{where} holds {value!r:.80}, which is no valid Unicode: {error.reason} at character "
            f"{error.start}. Read the file with its own encoding, or drop such characters."
        ) from None
    return str(value)  # numpy.str_ would be pickled, hence hashed, differently


def _all_names(links: dict[str, tuple[str, ...]]) -> set[str]:
    return set(links).union(*links.values())


def _with_matches(unknown: Iterable[str], known: Iterable[str]) -> str:
    """The first unknown names, each with the known one most like it."""
    names, known = list(unknown), [name for name in known if len(name) <= _LONGEST_COMPARED]
    parts = []
    for name in names[:_N_EXAMPLES]:
        is_short = len(name) <= _LONGEST_COMPARED
        match = difflib.get_close_matches(name, known, n=1) if is_short else ()
        parts.append(_short(name) + (f" (did you mean {match[0]!r}?)" if match else ""))
    rest = len(names) - len(parts)
    return ", ".join(parts) + (f" and {rest} more" if rest else "")


def _short(name: str) -> str:
    return repr(name) if len(name) <= _LONGEST_COMPARED else f"{name[:80]!r}..."


def _path(names: Iterable[str]) -> str:
    """Names with arrows between them; of many only the first and the last ones."""
    shown = [_short(name) for name in names]
    if len(shown) > 2 * _N_EXAMPLES:
        left_out = f"({len(shown) - 2 * _N_EXAMPLES} more)"
        shown = [*shown[:_N_EXAMPLES], left_out, *shown[-_N_EXAMPLES:]]
    return " -> ".join(shown)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _indicator(rows, n_columns: int, read_only: bool = True) -> sp.csr_matrix:
    indptr = np.cumsum([0, *map(len, rows)])
    indices = np.fromiter((column for row in rows for column in row), dtype=np.int32)
    ones = np.ones(len(indices), dtype=np.float32)
    matrix = sp.csr_matrix((ones, indices, indptr), shape=(len(rows), n_columns))
    return _read_only(matrix) if read_only else matrix


def _read_only(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Guard what an immutable object hands out: its users share it."""
    for array in (matrix.data, matrix.indices, matrix.indptr):
        array.flags.writeable = False
    return matrix
