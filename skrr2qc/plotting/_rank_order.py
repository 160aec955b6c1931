"""Similarity of texts at each rank of their distance in the label hierarchy."""

import numpy as np

from ..metrics import rank_order_accuracy, rank_similarity_profile
from ..metrics._embeddings import unit_rows
from ._axes import axes_for, line_style, whole_ticks


class RankOrderDisplay:
    """Mean similarity of texts at each hierarchical rank, with error bars.

    The better an encoder knows the hierarchy, the more steadily the line falls. Make one with
    `from_estimator` or `from_predictions`; draw two on the same `ax` to compare before and after.

    Parameters
    ----------
    ranks : array-like of shape (R,)
        Ranks of the distance, ascending; lower is nearer.
    means : array-like of shape (R,)
        Mean similarity of the pairs of texts with this rank.
    stds : array-like of shape (R,)
        Standard deviation over these pairs.
    counts : array-like of shape (R,)
        Number of these pairs.
    accuracy : float in [0, 1]
        See `skrr2qc.metrics.rank_order_accuracy`.
    name : str, default=None
        What was measured, for the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of one matplotlib Line2D
        The means.
    errorbar_ : matplotlib ErrorbarContainer
        The means with their error bars; it carries the label.

    Raises
    ------
    ValueError
        If the arrays differ in length or are empty.

    See Also
    --------
    skrr2qc.metrics.rank_similarity_profile : The numbers drawn.
    LossCurvesDisplay : Loss terms over the course of training.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from skrr2qc.plotting import RankOrderDisplay
    >>> similarities, ranks = [[1.0, 0.8, 0.3, 0.5]], [[-1, 0, 2, 4]]
    >>> display = RankOrderDisplay.from_predictions(
    ...     similarities, ranks, name="before", ax=Figure().subplots()
    ... )
    >>> display.errorbar_.get_label()
    'before (rank order accuracy 0.667)'
    """

    def __init__(self, ranks, means, stds, counts, accuracy, *, name=None):
        self.ranks = np.asarray(ranks)
        self.means = np.asarray(means, dtype=float)
        self.stds = np.asarray(stds, dtype=float)
        self.counts = np.asarray(counts)
        self.accuracy = accuracy
        self.name = name
        shapes = [array.shape for array in (self.ranks, self.means, self.stds, self.counts)]
        if len(set(shapes)) > 1 or self.ranks.ndim != 1 or self.ranks.size == 0:
            raise ValueError(
                "`ranks`, `means`, `stds` and `counts` must be of one length, at least 1, "
                f"got shapes {', '.join(map(str, shapes))}."
            )

    @classmethod
    def from_estimator(cls, encoder, X, ranks, *, name=None, ax=None, **kwargs):
        """Draw the cosine similarities of the texts that an encoder embeds.

        Parameters
        ----------
        encoder : fitted transformer
            Texts to embeddings (n, d), such as an `RCPTEncoder` or a scikit-learn vectorizer.
        X : sequence of n str
            Texts, best ones that were not trained on.
        ranks : ndarray of int, shape (n, n)
            From `skrr2qc.hierarchy.distance_ranks`; -1 leaves a pair out. The diagonal, a text
            and itself, is left out whatever it holds.
        name : str, default=None
            Name for the legend; None takes the class of the encoder.
        ax, **kwargs
            See `plot`.

        Returns
        -------
        display : RankOrderDisplay

        Raises
        ------
        ValueError, TypeError
            If `ranks` is not of shape (n, n), embeddings are not finite, or as in
            `from_predictions`.

        Notes
        -----
        An embedding of zeros has the similarity 0 to every text. Memory O(n^2).
        """
        ranks, n = np.asarray(ranks), len(X)
        if ranks.shape != (n, n):
            raise ValueError(
                f"`ranks` must have one row and one column per text: expected shape {(n, n)}, "
                f"got {ranks.shape}."
            )
        unit, _ = unit_rows(encoder.transform(X))
        cosines = unit @ unit.T
        cosines = cosines if isinstance(cosines, np.ndarray) else cosines.toarray()
        left_out = np.where(np.eye(n, dtype=bool), np.array(-1, dtype=np.int64), ranks)
        name = type(encoder).__name__ if name is None else name
        return cls.from_predictions(cosines, left_out, name=name, ax=ax, **kwargs)

    @classmethod
    def from_predictions(cls, similarities, ranks, *, name=None, ax=None, **kwargs):
        """Draw given similarities.

        Parameters
        ----------
        similarities : ndarray of shape (n_a, n_b)
            Similarity of anchor a and text b.
        ranks : ndarray of int, shape (n_a, n_b)
            Rank of their distance in the hierarchy, >= 0, or -1 to leave a pair out.
        name : str, default=None
            Name for the legend.
        ax, **kwargs
            See `plot`.

        Returns
        -------
        display : RankOrderDisplay

        Raises
        ------
        ValueError, TypeError
            As in `skrr2qc.metrics.rank_order_accuracy`.
        """
        accuracy = rank_order_accuracy(similarities, ranks)
        profile = rank_similarity_profile(similarities, ranks)
        return cls(*profile, accuracy, name=name).plot(ax, **kwargs)

    def plot(self, ax=None, *, name=None, **kwargs):
        """Draw mean similarities, one standard deviation up and down.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        name : str, default=None
            Name for the legend; None takes that of the display.
        **kwargs
            Passed on to ``ax.errorbar``.

        Returns
        -------
        display : RankOrderDisplay
            This object, with the attributes that end in ``_``.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        """
        ax = axes_for(ax, self)
        name = self.name if name is None else name
        text = f"rank order accuracy {self.accuracy:.3f}"
        style = {"marker": "o", "capsize": 3, "label": text if name is None else f"{name} ({text})"}
        self.errorbar_ = ax.errorbar(
            self.ranks, self.means, yerr=self.stds, **line_style(style, kwargs)
        )
        self.lines_ = [self.errorbar_.lines[0]]
        ax.set(xlabel="rank of the distance in the hierarchy", ylabel="similarity")
        ax.legend()
        whole_ticks(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self
