"""Heat maps of how alike labels are, and how alike their meta-labels."""

import numpy as np

from ..metrics import label_similarity_report
from ..metrics._embeddings import unit_rows
from ._axes import axes_for
from ._names import MAX_TICK_NAMES, tick_names


class LabelSimilarityDisplay:
    """Similarities of labels as a heat map, beside those of meta-labels (Fig. 6, Table 7 of [1]_).

    The brighter a map off its diagonal, the harder its labels are to tell apart; meta-labels that
    serve are less alike than labels. Make one with `from_estimator` or `from_vectors`.

    Parameters
    ----------
    similarities : array-like of shape (L, L)
        Cosines of the labels.
    report : dict of str to float
        ``mean``, ``std`` and ``share_above`` of `skrr2qc.metrics.label_similarity_report`.
    meta_similarities : array-like of shape (M, M), default=None
        Cosines of the meta-labels; None draws one map.
    meta_report : dict of str to float, default=None
        The same figures for them.
    names, meta_names : sequence of str, default=None
        Drawn beside maps of at most 40 rows; others, and None, are numbered.
    threshold : float, default=0.8
        What ``share_above`` is above.

    Attributes
    ----------
    axes_ : list of matplotlib Axes
        One a map.
    figure_ : matplotlib Figure
    images_ : list of matplotlib AxesImage
    colorbar_ : matplotlib Colorbar

    Raises
    ------
    ValueError
        If similarities are not square, or there are not as many names as rows.

    See Also
    --------
    skrr2qc.metrics.label_similarity_report : The figures above the maps.

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv:2411.01841, 2024.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from skrr2qc.plotting import LabelSimilarityDisplay
    >>> vectors = [[1.0, 0.0], [3.0, 4.0], [0.0, 1.0]]
    >>> display = LabelSimilarityDisplay.from_vectors(vectors, ax=Figure().subplots())
    >>> display.similarities.round(2).tolist()
    [[1.0, 0.6, 0.0], [0.6, 1.0, 0.8], [0.0, 0.8, 1.0]]
    """

    def __init__(
        self,
        similarities,
        report,
        meta_similarities=None,
        meta_report=None,
        *,
        names=None,
        meta_names=None,
        threshold=0.8,
    ):
        self.similarities = _square(similarities, "similarities", names)
        self.report = report
        self.meta_similarities = meta_similarities
        if meta_similarities is not None:
            self.meta_similarities = _square(meta_similarities, "meta_similarities", meta_names)
        self.meta_report = meta_report
        self.names = names
        self.meta_names = meta_names
        self.threshold = threshold

    @classmethod
    def from_estimator(cls, encoder, labels, *, threshold=0.8, ax=None, **kwargs):
        """Draw the cosines of label texts, and of names of meta-labels, that an encoder embeds.

        Parameters
        ----------
        encoder : fitted transformer
            Texts to embeddings, such as an `RCPTEncoder`, the `encoder_` of a classifier, or a
            scikit-learn vectorizer.
        labels : LabelSpace
            Without meta-labels there is one map.
        threshold, ax, **kwargs
            See `from_vectors`.

        Returns
        -------
        display : LabelSimilarityDisplay

        Raises
        ------
        TypeError
            If `encoder` cannot transform, or `labels` is no LabelSpace.
        ValueError
            As in `from_vectors`: a vectorizer may know no word of a name.
        """
        if not hasattr(encoder, "transform"):
            raise TypeError(
                f"`encoder` must turn texts into vectors, got {type(encoder).__name__}, which has "
                "no `transform`. Of a classifier, pass its `encoder_`."
            )
        if not hasattr(labels, "meta_names"):
            raise TypeError(f"`labels` must be a LabelSpace, got {type(labels).__name__}.")
        meta = encoder.transform(list(labels.meta_names)) if len(labels.meta_names) > 1 else None
        names = {"names": labels.names, "meta_names": None if meta is None else labels.meta_names}
        vectors = encoder.transform(list(labels.texts))
        return cls.from_vectors(vectors, meta, **names, threshold=threshold, ax=ax, **kwargs)

    @classmethod
    def from_vectors(
        cls,
        label_vectors,
        meta_vectors=None,
        *,
        names=None,
        meta_names=None,
        threshold=0.8,
        ax=None,
        **kwargs,
    ):
        """Draw the cosines of given vectors.

        Parameters
        ----------
        label_vectors : ndarray or CSR of shape (L, d)
        meta_vectors : ndarray or CSR of shape (M, d'), default=None
        names, meta_names : sequence of str, default=None
        threshold : float in [-1, 1], default=0.8
            Pairs more similar than this are counted.
        ax, **kwargs
            See `plot`.

        Returns
        -------
        display : LabelSimilarityDisplay

        Raises
        ------
        ValueError, TypeError
            As in `skrr2qc.metrics.label_similarity_report`: fewer than two vectors, or one that
            is zero or not finite.

        Notes
        -----
        Memory O(L^2 + M^2).
        """
        report, meta_report = label_similarity_report(label_vectors, threshold), None
        meta_similarities = None
        if meta_vectors is not None:
            meta_report = label_similarity_report(meta_vectors, threshold)
            meta_similarities = _cosines(meta_vectors)
        display = cls(
            _cosines(label_vectors),
            report,
            meta_similarities,
            meta_report,
            names=names,
            meta_names=meta_names,
            threshold=threshold,
        )
        return display.plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw the maps, on one scale of colours.

        Parameters
        ----------
        ax : matplotlib Axes, or two of them, default=None
            As many as there are maps; None makes a new figure.
        **kwargs
            Passed on to ``ax.imshow``.

        Returns
        -------
        display : LabelSimilarityDisplay
            This object, with the attributes that end in ``_``.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If there are more maps than axes, or fewer.

        Warns
        -----
        UserWarning
            If no installed font draws some name; its column takes its place.
        """
        maps = [(self.similarities, self.report, self.names, "labels")]
        if self.meta_similarities is not None:
            maps.append((self.meta_similarities, self.meta_report, self.meta_names, "meta-labels"))
        self.axes_ = self._axes(ax, len(maps))
        self.figure_ = self.axes_[0].figure
        style = {"vmin": min(float(entry[0].min()) for entry in maps), "vmax": 1.0} | kwargs
        self.images_ = []
        for one, (similarities, report, names, kind) in zip(self.axes_, maps, strict=True):
            self.images_.append(one.imshow(similarities, **style))
            one.set_title(self._title(kind, len(similarities), report), fontsize="medium")
            if names is not None and len(names) <= MAX_TICK_NAMES:
                tick_names(one.xaxis, names, rotation=90, fontsize="small")
                tick_names(one.yaxis, names, fontsize="small")
        self.colorbar_ = self.figure_.colorbar(
            self.images_[0], ax=self.axes_, label="cosine similarity", shrink=0.7
        )
        if ax is None:
            self.figure_.draw_without_rendering()  # lays out, which tells how much room there is
        for one in self.axes_:
            _fit_ticks(one)
        return self

    def _axes(self, ax, n_maps):
        if ax is not None:
            axes = list(np.ravel(ax))
            if len(axes) != n_maps:
                raise ValueError(
                    f"`ax` must hold one Axes for each of the {n_maps} maps, got {len(axes)}. "
                    "Pass figure.subplots(1, 2) for labels and meta-labels."
                )
            return axes
        figure = axes_for(None, self).figure
        figure.clear()
        figure.set_size_inches(7.5 * n_maps, 6.5)
        figure.set_layout_engine("constrained")
        return list(figure.subplots(1, n_maps, squeeze=False)[0])

    def _title(self, kind, n_rows, report):
        figures = f"mean {report['mean']:.3f}, spread {report['std']:.3f}"
        share = f"{100 * report['share_above']:.1f} % above {self.threshold:g}"
        return f"{n_rows} {kind}: {figures},\n{share}"


def _fit_ticks(ax):
    """Make names no higher than the rows that they stand beside."""
    ax.apply_aspect()
    rows = len(ax.images[0].get_array())
    points = 72.0 * ax.get_window_extent().height / ax.figure.dpi / rows
    for tick in (*ax.get_xticklabels(), *ax.get_yticklabels()):
        if len(ax.get_yticks()) == rows:
            tick.set_fontsize(max(1.0, min(tick.get_fontsize(), 0.85 * points)))


def _cosines(vectors):
    unit, _ = unit_rows(vectors)
    cosines = unit @ unit.T
    return cosines if isinstance(cosines, np.ndarray) else cosines.toarray()


def _square(similarities, argument, names):
    array = np.asarray(similarities, dtype=float)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not array.size:
        raise ValueError(
            f"`{argument}` must be square, one row and one column a label, got shape {array.shape}."
        )
    if names is not None and len(names) != len(array):
        raise ValueError(f"There must be {len(array)} names for `{argument}`, got {len(names)}.")
    return array
