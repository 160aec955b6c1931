"""Quality of labels by how often they occur in training."""

import numpy as np

from ..metrics import f1_per_label
from ..metrics._inputs import check_k, check_option, label_counts
from ..metrics._ranking import checked_pair, mean_ndcg
from ..metrics._topk import ranked_labels
from ._axes import axes_for
from ._names import named_legend, short_name

_MEASURES = ("f1", "ndcg")


class LabelFrequencyDisplay:
    """F1 or nDCG of labels in bins of their training frequency, for one model or several.

    Make one with `from_predictions`.

    Parameters
    ----------
    bins : array-like of shape (B, 2)
        Least and greatest number of training texts of the labels in each bin; the greatest may
        be inf.
    values : dict of str to array-like of shape (B,)
        Quality of each model in each bin; nan where there is nothing to measure.
    n_labels : array-like of shape (B,)
        Labels in each bin.
    measure : str, default="F1"
        What is measured, for the axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    bars_ : list of matplotlib BarContainer
        One a model.

    Raises
    ------
    ValueError
        If there is no model or no bin, or shapes differ.

    See Also
    --------
    skrr2qc.metrics.label_group_report : More figures, for groups of labels.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from skrr2qc.plotting import LabelFrequencyDisplay
    >>> Y, Y_pred = [[1, 0, 1], [0, 1, 0]], [[1, 0, 0], [0, 1, 0]]
    >>> display = LabelFrequencyDisplay.from_predictions(
    ...     Y, {"linear": Y_pred}, Y_train=[70, 8, 3], ax=Figure().subplots()
    ... )
    >>> display.bins.tolist(), display.values["linear"]
    ([[1.0, 5.0], [6.0, 20.0], [21.0, 100.0]], array([0., 1., 1.]))
    """

    def __init__(self, bins, values, n_labels, *, measure="F1"):
        self.bins = np.asarray(bins, dtype=float)
        self.values = {name: np.asarray(value, dtype=float) for name, value in values.items()}
        self.n_labels = np.asarray(n_labels)
        self.measure = measure
        if self.bins.ndim != 2 or self.bins.shape[1] != 2 or not self.bins.size:
            raise ValueError(f"`bins` must be of shape (B, 2), B >= 1, got {self.bins.shape}.")
        shapes = [value.shape for value in (*self.values.values(), self.n_labels)]
        if not self.values or set(shapes) != {(len(self.bins),)}:
            raise ValueError(
                f"`values` of each model, at least one, and `n_labels` must be of shape "
                f"({len(self.bins)},), one entry a bin; got {shapes}."
            )

    @classmethod
    def from_predictions(
        cls,
        Y_true,
        predictions,
        Y_train,
        *,
        measure="f1",
        k=5,
        bins=(0, 1, 6, 21, 101),
        ax=None,
        **kwargs,
    ):
        """Measure models and draw them side by side.

        Parameters
        ----------
        Y_true : ndarray or CSR of shape (n, L), {0, 1}
        predictions : dict of str to matrix of shape (n, L), or one such matrix
            Predicted labels, {0, 1}, for "f1"; scores for "ndcg".
        Y_train : ndarray or CSR of shape (n_train, L), {0, 1}, or array of shape (L,)
            Training truth, or the number of training texts of each label.
        measure : {"f1", "ndcg"}, default="f1"
            "f1": mean F1 of the labels of a bin that are true somewhere in `Y_true`. "ndcg":
            nDCG@k with the truth restricted to the bin, over the rows with such a label; all
            labels compete, as in ``tail_ndcg_at_k``.
        k : int, default=5
            Cut-off of "ndcg".
        bins : sequence of int, default=(0, 1, 6, 21, 101)
            Least frequency of each bin, ascending. The last has no upper end; bins without
            labels are left out, labels rarer than the first too.
        ax, **kwargs
            See `plot`.

        Returns
        -------
        display : LabelFrequencyDisplay

        Raises
        ------
        ValueError, TypeError
            If shapes differ, values are out of range, or `measure` is unknown.
        """
        check_option(measure, "measure", _MEASURES)
        if not isinstance(predictions, dict):
            predictions = {"": predictions}
        counts, edges = label_counts(Y_train), np.append(np.asarray(bins, dtype=float), np.inf)
        if np.shape(Y_true)[1:] != counts.shape:
            raise ValueError(
                f"`Y_train` must have the labels of `Y_true`: expected {np.shape(Y_true)[1:]}, "
                f"got {counts.shape}. Fit and evaluate with the same label columns."
            )
        if len(edges) < 2 or not np.all(np.diff(edges) > 0):
            raise ValueError(f"`bins` must hold ascending frequencies, at least one, got {bins}.")
        masks = (counts >= edges[:-1, None]) & (counts < edges[1:, None])  # (B, L)
        is_met = masks.any(axis=1)
        masks, bounds = masks[is_met], np.column_stack([edges[:-1], edges[1:] - 1])[is_met]
        values = {
            name: _f1(Y_true, matrix, masks) if measure == "f1" else _ndcg(Y_true, matrix, masks, k)
            for name, matrix in predictions.items()
        }
        measure = "F1" if measure == "f1" else f"nDCG@{k}"
        return cls(bounds, values, masks.sum(axis=1), measure=measure).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw one group of bars a bin.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        **kwargs
            Passed on to ``ax.bar`` for every model.

        Returns
        -------
        display : LabelFrequencyDisplay
            This object, with the attributes that end in ``_``.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        """
        is_new = ax is None
        ax = axes_for(ax, self)
        if is_new:
            ax.figure.set_size_inches(max(6.4, 1.3 * len(self.bins)), 4.4)
            ax.figure.set_layout_engine("constrained")
        width, places = 0.8 / len(self.values), np.arange(len(self.bins))
        self.bars_ = []
        for i, values in enumerate(self.values.values()):
            shift = (i - (len(self.values) - 1) / 2) * width
            self.bars_.append(ax.bar(places + shift, values, **{"width": 0.92 * width, **kwargs}))
        sizes = [f"{n} label{'s' if n != 1 else ''}" for n in self.n_labels]
        texts = [f"{_range(*pair)}\n{size}" for pair, size in zip(self.bins, sizes, strict=True)]
        ax.set_xticks(places, labels=texts)
        ax.set(xlabel="training texts of a label", ylabel=self.measure)
        ax.set_ylim(bottom=0)
        if list(self.values) != [""]:
            style = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0)}
            is_short = all(short_name(name, 14) == short_name(name) for name in self.values)
            style["ncols"] = 3 if is_short and len(self.values) != 4 else 2
            named_legend(ax, self.bars_, list(self.values), **style)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _f1(Y_true, Y_pred, masks):
    f1 = f1_per_label(Y_true, Y_pred)
    f1[label_counts(Y_true) == 0] = np.nan
    measured = masks & ~np.isnan(f1)
    return np.array([f1[mask].mean() if mask.any() else np.nan for mask in measured])


def _ndcg(Y_true, scores, masks, k):
    Y, scores = checked_pair(Y_true, scores)
    ranking = ranked_labels(scores, check_k(k, Y.shape[1]))
    values = []
    for mask in masks:
        restricted = Y.copy()
        restricted.data = restricted.data * mask[restricted.indices]
        restricted.eliminate_zeros()
        values.append(mean_ndcg(restricted, ranking) if restricted.nnz else np.nan)
    return np.array(values)


def _range(low, high):
    if low == high:
        return f"{low:g}"
    return f"{low:g} and more" if np.isinf(high) else f"{low:g}–{high:g}"
