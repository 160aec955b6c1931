"""Texts and class centers in two dimensions."""

import numpy as np

from ..metrics._inputs import as_indicator
from ._axes import axes_for
from ._names import named_legend

_MAX_PERPLEXITY = 30.0  # the usual one; a third of the points where these are fewer
_MARKERS = "os^DvP"


class ClassCenterDisplay:
    """Texts of some labels around the class centers of these labels, by t-SNE (Fig. 7 of [1]_).

    Texts with one of the labels have its colour, those with several are crosses, centers stars.
    Make one with `from_estimator` or `from_vectors`.

    Parameters
    ----------
    points : array-like of shape (n, 2)
        Where the texts lie.
    centers : array-like of shape (C, 2)
        Where the centers lie.
    members : array-like of shape (n, C), {0, 1}
        Which of these labels a text has.
    names : sequence of C str, default=None
        None numbers them.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    scatters_ : list of matplotlib PathCollection
        Texts of each label, then those of several labels if there are any, then the centers.

    Raises
    ------
    ValueError
        If shapes do not fit.

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv:2411.01841, 2024.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from skrr2qc.plotting import ClassCenterDisplay
    >>> points, members = [[0, 0], [1, 0], [5, 5]], [[1, 0], [1, 0], [0, 1]]
    >>> display = ClassCenterDisplay(points, [[0.5, 0], [5, 4]], members, names=["area", "mean"])
    >>> len(display.plot(Figure().subplots()).scatters_)
    3
    """

    def __init__(self, points, centers, members, *, names=None):
        self.points = _plane(points, "points")
        self.centers = _plane(centers, "centers")
        self.members = np.asarray(members).astype(bool)
        self.names = names
        expected = (len(self.points), len(self.centers))
        if self.members.shape != expected:
            raise ValueError(
                "`members` must have one row a point and one column a center: expected shape "
                f"{expected}, got {self.members.shape}."
            )
        if names is not None and len(names) != len(self.centers):
            raise ValueError(
                f"`names` must have one name a center: expected {len(self.centers)}, got "
                f"{len(names)}."
            )

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        Y,
        *,
        labels=None,
        n_labels=8,
        max_texts=1000,
        perplexity=None,
        random_state=0,
        ax=None,
        **kwargs,
    ):
        """Draw texts as a head embeds them, and the centers it learned.

        Parameters
        ----------
        estimator : ClassCenterHead, or RetrievalRerankClassifier whose head is one
            Fitted.
        X : sequence of n str, or whatever the head embeds
        Y : indicator matrix (n, L), dense or CSR
        labels : sequence of str or of int, default=None
            Names or columns of the labels to draw. None takes the `n_labels` most frequent.
        n_labels, max_texts, perplexity, random_state, ax, **kwargs
            See `from_vectors`.

        Returns
        -------
        display : ClassCenterDisplay

        Raises
        ------
        TypeError
            If the estimator has no class centers.
        ValueError
            If a label is unknown, or as in `from_vectors`.
        """
        head = getattr(estimator, "head_", estimator)
        if not (hasattr(head, "embed") and hasattr(head, "centers_")):
            raise TypeError(
                f"ClassCenterDisplay draws class centers, which a fitted ClassCenterHead has and "
                f"{type(head).__name__} has not. Use from_vectors for centers of your own."
            )
        space = getattr(estimator, "labels_", None) or getattr(head, "labels", None)
        names = None if space is None else list(space.names)
        Y = _checked_targets(Y, len(X) if hasattr(X, "__len__") else X.shape[0], head.centers_)
        columns = _columns(labels, names, Y, n_labels)
        rows = _rows(Y, columns, max_texts, random_state)
        return cls.from_vectors(
            head.embed([X[i] for i in rows] if isinstance(X, (list, tuple)) else _take(X, rows)),
            head.centers_,
            Y[rows],
            labels=columns,
            names=names,
            max_texts=None,
            perplexity=perplexity,
            random_state=random_state,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_vectors(
        cls,
        vectors,
        centers,
        Y,
        *,
        labels=None,
        n_labels=8,
        names=None,
        max_texts=1000,
        perplexity=None,
        random_state=0,
        ax=None,
        **kwargs,
    ):
        """Lay given vectors out in a plane, texts and centers together.

        Parameters
        ----------
        vectors : ndarray of shape (n, d)
        centers : ndarray of shape (L, d)
        Y : indicator matrix (n, L), dense or CSR
        labels : sequence of str or of int, default=None
            Names or columns of the labels to draw. None takes the most frequent in `Y`.
        n_labels : int, default=8
            How many; no effect if `labels` is given.
        names : sequence of L str, default=None
        max_texts : int, default=1000
            Texts drawn, by chance where more have one of the labels; None draws all.
        perplexity : float, default=None
            Neighbours that t-SNE keeps together. None: 30, or a third of the points if fewer.
        random_state : int, default=0
            Of the choice of texts and of t-SNE.
        ax, **kwargs
            See `plot`.

        Returns
        -------
        display : ClassCenterDisplay

        Raises
        ------
        ValueError, TypeError
            If shapes do not fit, a label is unknown, fewer than three texts have one, or vectors
            are not finite or all the same.

        Notes
        -----
        Distances in the plane are not those of the vectors: t-SNE keeps neighbourhoods only.
        """
        vectors, centers = np.asarray(vectors), np.asarray(centers)
        Y = _checked_targets(Y, len(vectors), centers)
        columns = _columns(labels, names, Y, n_labels)
        rows = _rows(Y, columns, max_texts, random_state)
        stacked = np.vstack([vectors[rows], centers[columns]]).astype(np.float64)
        plane = _in_plane(stacked, perplexity, random_state)
        chosen = [str(column) if names is None else names[column] for column in columns]
        members = Y[rows][:, columns].toarray()
        return cls(plane[: len(rows)], plane[len(rows) :], members, names=chosen).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw texts and centers.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        **kwargs
            Passed on to ``ax.scatter`` for the texts.

        Returns
        -------
        display : ClassCenterDisplay
            This object, with the attributes that end in ``_``.

        Raises
        ------
        ImportError
            If matplotlib is missing.

        Warns
        -----
        UserWarning
            If no installed font draws some name; its place in the list takes its place.
        """
        is_new = ax is None
        ax = axes_for(ax, self)
        if is_new:
            ax.figure.set_size_inches(8, 5)
            ax.figure.set_layout_engine("constrained")
        names = range(len(self.centers)) if self.names is None else self.names
        names, several = [str(name) for name in names], self.members.sum(axis=1) > 1
        colors, ink = _colors(len(names)), ax.xaxis.label.get_color()  # black on white, or white
        self.scatters_ = []
        for c, color in enumerate(colors):
            own = self.points[self.members[:, c] & ~several]
            style = {"color": color, "marker": _MARKERS[c % len(_MARKERS)], "s": 18}
            self.scatters_.append(ax.scatter(*own.T, **{**style, "alpha": 0.7, **kwargs}))
        if several.any():
            style = {"color": ink, "marker": "x", "s": 12, "linewidths": 0.8, "alpha": 0.6}
            self.scatters_.append(ax.scatter(*self.points[several].T, **{**style, **kwargs}))
            names.append("several of them")
        self.scatters_.append(ax.scatter(*self.centers.T, c=colors, marker="*", s=220, zorder=3))
        self.scatters_[-1].set_path_effects(_rings(ax.get_facecolor(), ink))
        ax.set(xticks=[], yticks=[])
        handles = self.scatters_[:-1]
        named_legend(ax, handles, names, loc="upper left", bbox_to_anchor=(1.01, 1.0))
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _colors(n_labels):
    """The colours in use while there are enough of them, then any number."""
    from matplotlib import colormaps

    if n_labels <= 10:
        return [f"C{c}" for c in range(n_labels)]
    return list(colormaps["turbo"](np.linspace(0.12, 0.95, n_labels)))


def _rings(inner, outer):
    """Two lines around a marker, so that it is seen among points of its own colour."""
    from matplotlib.patheffects import Normal, Stroke

    return [Stroke(linewidth=5, foreground=outer), Stroke(linewidth=3, foreground=inner), Normal()]


def _in_plane(vectors, perplexity, random_state):
    from sklearn.manifold import TSNE

    if not (np.isfinite(vectors).all() and np.ptp(vectors, axis=0).any()):  # t-SNE would crash
        raise ValueError(
            f"The {len(vectors)} vectors of texts and centers must be finite and not all the same, "
            "or there is nothing to lay out. Look at what gave them."
        )
    if perplexity is None:
        perplexity = min(_MAX_PERPLEXITY, (len(vectors) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=random_state)
    return tsne.fit_transform(vectors)


def _columns(labels, names, Y, n_labels):
    """Columns of the labels to draw."""
    if labels is None:
        counts = np.bincount(Y.indices, minlength=Y.shape[1])
        order = np.argsort(-counts, kind="stable")[:n_labels]
        return order[counts[order] > 0]
    places = {} if names is None else {name: column for column, name in enumerate(names)}
    columns = [places.get(label) if isinstance(label, str) else label for label in labels]
    for label, column in zip(labels, columns, strict=True):
        if column is None or not 0 <= column < Y.shape[1]:
            raise ValueError(
                f"`labels` must hold label names or columns from 0 to {Y.shape[1] - 1}, got "
                f"{label!r}."
            )
    return np.asarray(columns, dtype=np.int64)


def _rows(Y, columns, max_texts, random_state):
    """Rows with one of the labels, `max_texts` of them by chance."""
    rows = np.flatnonzero(np.diff(Y[:, columns].indptr))
    if len(rows) < 3:
        raise ValueError(
            f"At least three texts must have one of the labels drawn, got {len(rows)}. Choose "
            "other `labels`, or give more texts."
        )
    if max_texts is not None and len(rows) > max_texts:
        rows = np.sort(np.random.default_rng(random_state).choice(rows, max_texts, replace=False))
    return rows


def _take(X, rows):
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def _checked_targets(Y, n_rows, centers):
    Y = as_indicator(Y, "Y")
    if Y.shape != (n_rows, len(centers)):
        raise ValueError(
            "`Y` must have one row a text and one column a center: expected shape "
            f"{(n_rows, len(centers))}, got {Y.shape}."
        )
    return Y


def _plane(points, name):
    points = np.asarray(points, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"`{name}` must be of shape (n, 2), n >= 1, got {points.shape}.")
    return points
