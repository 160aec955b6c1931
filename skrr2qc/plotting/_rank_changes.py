"""Ranks of the true labels from one stage of a classifier to the next."""

import numpy as np

from ..metrics._ranking import checked_pair
from ..metrics._topk import row_blocks
from ._axes import axes_for
from ._names import drawable_names, named_legend

_WIDEST = 5.0  # points, of the line that most labels share
_COLORS = {"better": "tab:blue", "worse": "tab:orange", "same": "tab:gray"}


class RankChangeDisplay:
    """Rank of every true label after each stage, as lines from stage to stage (Fig. 8 of [1]_).

    Lines that fall in rank from the first stage to the last are orange, those that rise blue; the
    more true labels share a line, the wider it is. Below each stage stands the share of the true
    labels at rank 1 and among the first five. Make one with `from_estimator` or
    `from_predictions`.

    Parameters
    ----------
    ranks : array-like of shape (P, S)
        Rank of P true labels after S stages, from 1; inf where a stage did not retrieve one.
    stages : sequence of S str
        Their names.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib LineCollection
        Those of labels that got better, worse, and neither; only what there is.

    Raises
    ------
    ValueError
        If there is no rank, one is below 1, or there are not as many stages as columns.

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv:2411.01841, 2024.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from skrr2qc.plotting import RankChangeDisplay
    >>> Y, head, reranked = [[0, 1, 0]], [[0.9, 0.2, 0.5]], [[0.3, 0.4, 0.1]]
    >>> stages = {"head": head, "reranked": reranked}
    >>> RankChangeDisplay.from_predictions(Y, stages, ax=Figure().subplots()).ranks
    array([[3., 1.]])
    """

    def __init__(self, ranks, stages):
        self.ranks = np.asarray(ranks, dtype=float)
        self.stages = list(stages)
        if self.ranks.ndim != 2 or not self.ranks.size or not self.ranks.min() >= 1:
            raise ValueError(
                "`ranks` must hold ranks from 1, one row a true label and one column a stage, got "
                f"shape {self.ranks.shape}. Where no label is true, there is nothing to draw."
            )
        if len(self.stages) != self.ranks.shape[1]:
            raise ValueError(
                f"`stages` must name the {self.ranks.shape[1]} columns of `ranks`, got "
                f"{len(self.stages)} names."
            )

    @classmethod
    def from_estimator(cls, classifier, X, Y, *, ax=None, **kwargs):
        """Draw the stages of a `RetrievalRerankClassifier`.

        Parameters
        ----------
        classifier : RetrievalRerankClassifier
            Fitted. Its stages are "head", "retrieval" (all channels), and "reranked" if it does.
        X : sequence of n str
        Y : indicator matrix (n, L), dense or CSR
        ax, **kwargs
            See `plot`.

        Returns
        -------
        display : RankChangeDisplay

        Raises
        ------
        TypeError
            If the classifier has no such stages.
        ValueError
            As in `from_predictions`.
        """
        if not (hasattr(classifier, "retriever_") and hasattr(classifier, "reranker_")):
            raise TypeError(
                "RankChangeDisplay reads the stages of a fitted RetrievalRerankClassifier, got "
                f"{type(classifier).__name__}. Use from_predictions for scores of your own."
            )
        stages = {
            "head": _scores_of(classifier.head_, X),
            "retrieval": classifier.retriever_.predict_proba(X),
        }
        if classifier.reranker_ is not None:
            stages["reranked"] = classifier.predict_proba(X)
        return cls.from_predictions(Y, stages, ax=ax, **kwargs)

    @classmethod
    def from_predictions(cls, Y_true, stages, *, ax=None, **kwargs):
        """Draw the ranks that given scores mean.

        Parameters
        ----------
        Y_true : ndarray or CSR of shape (n, L), {0, 1}
        stages : dict of str to (ndarray or CSR of shape (n, L))
            Scores after each stage, first stage first; higher is better, ties as in `top_k`.
        ax, **kwargs
            See `plot`.

        Returns
        -------
        display : RankChangeDisplay

        Raises
        ------
        ValueError, TypeError
            If shapes differ, values are out of range, there is no stage, or no label is true.
        """
        if not stages:
            raise ValueError("`stages` must hold the scores of at least one stage, got none.")
        ranks = [true_ranks(Y_true, scores) for scores in stages.values()]
        return cls(np.column_stack(ranks), stages).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw the lines; rank 1 is at the top, and labels not retrieved are at the bottom.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        **kwargs
            Passed on to ``matplotlib.collections.LineCollection``.

        Returns
        -------
        display : RankChangeDisplay
            This object, with the attributes that end in ``_``.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        """
        is_new = ax is None
        ax = axes_for(ax, self)
        if is_new:
            ax.figure.set_size_inches(1.5 + 2.2 * max(2, len(self.stages)), 5)
            ax.figure.set_layout_engine("constrained")
        last = float(self.ranks[np.isfinite(self.ranks)].max(initial=1.0))
        bottom = max(2.0, 1.4 * last)
        self.lines_, texts = [], []
        for kind, lines, n_labels in self._lines(ax, bottom, kwargs):
            self.lines_.append(lines)
            texts.append(f"{kind} ({n_labels})")
        names, known = drawable_names(self.stages)
        labels = [
            f"{name}\n{100 * np.mean(column == 1):.0f} % first\n"
            f"{100 * np.mean(column <= 5):.0f} % in first five"
            for name, column in zip(names, self.ranks.T, strict=True)
        ]
        ax.set_xticks(range(len(labels)), labels=labels, **known)
        ax.set_xlim(-0.25, len(labels) - 0.75)
        ax.set_yscale("log")
        ax.set_ylim(1.1 * bottom, 0.85)
        ax.yaxis.set_major_locator(_steps_of_rank())
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.set_ylabel("rank of the true label")
        if np.isinf(self.ranks).any():
            ax.text(-0.22, bottom, "not retrieved", va="center", fontsize="small")
        style = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 3}
        for handle in named_legend(ax, self.lines_, texts, **style).get_lines():
            handle.set(linewidth=3.0, alpha=1.0)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _lines(self, ax, bottom, kwargs):
        """Yield kind, collection and number of labels; equal rows of ranks are one line."""
        from matplotlib.collections import LineCollection

        paths, counts = np.unique(self.ranks, axis=0, return_counts=True)
        widths = np.maximum(0.4, _WIDEST * np.sqrt(counts / counts.max()))
        alpha = min(0.6, max(0.3, 60 / len(paths)))
        kinds = np.where(paths[:, 0] > paths[:, -1], "better", "worse")
        kinds[paths[:, 0] == paths[:, -1]] = "same"
        places = np.broadcast_to(np.arange(paths.shape[1]), paths.shape)
        segments = np.stack([places, np.minimum(paths, bottom)], axis=2)
        for kind, color in _COLORS.items():
            chosen = kinds == kind
            if chosen.any():
                style = {"colors": color, "linewidths": widths[chosen], "alpha": alpha, **kwargs}
                lines = ax.add_collection(LineCollection(segments[chosen], **style))
                yield kind, lines, int(counts[chosen].sum())


def _steps_of_rank():
    from matplotlib.ticker import LogLocator

    return LogLocator(subs=(1.0, 2.0, 5.0))


def true_ranks(Y_true, scores):
    """Rank of each true label of each row; (P,), inf where it was not retrieved."""
    Y, scores = checked_pair(Y_true, scores)
    ranks = []
    for part in row_blocks(*scores.shape):
        block, rows = scores[part], np.repeat(np.arange(Y[part].shape[0]), np.diff(Y[part].indptr))
        if not isinstance(block, np.ndarray):
            stored = block.tocoo()
            block = np.full(stored.shape, -np.inf)
            block[stored.row, stored.col] = stored.data
        order = np.argsort(-block, axis=1, kind="stable")
        places = np.empty(block.shape)
        np.put_along_axis(places, order, np.arange(1.0, block.shape[1] + 1)[None, :], axis=1)
        places[block == -np.inf] = np.inf
        ranks.append(places[rows, Y[part].indices])
    return np.concatenate(ranks) if ranks else np.empty(0)


def _scores_of(head, X):
    """Scores that rank as a head does, whichever method it has."""
    if hasattr(head, "decision_function"):
        return head.decision_function(X)
    scores = head.predict_proba(X)
    if isinstance(scores, list):  # one (n, 2) array a label, as forests return them
        return np.column_stack([column[:, -1] for column in scores])
    return scores
