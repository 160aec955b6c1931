"""Loss terms over the course of training."""

from numbers import Real

import numpy as np

from ._axes import axes_for, line_style, whole_ticks

_HELD_OUT = "held_out_"
_NO_LOSSES = ("epoch", "step", "steps", "n_steps", "seconds", "texts_per_second", "lr")


class LossCurvesDisplay:
    """Curves of the loss terms of a training, held-out terms dashed.

    Make one with `from_estimator` or `from_history`.

    Parameters
    ----------
    steps : array-like of shape (n,)
        Where the values were taken: numbers of epochs or steps, n >= 1.
    curves : dict of str to array-like of shape (n,)
        Values of each term; nan where a term was not measured. A term named ``held_out_x`` is the
        same quantity as ``x``, on texts that were not trained on.
    step_name : str, default="epoch"
        What `steps` count, for the horizontal axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One a curve: the terms in their order, each followed by its held-out one.

    Raises
    ------
    ValueError
        If there is no curve, or one does not have a value for each step.

    See Also
    --------
    RankOrderDisplay : Similarity at each rank of the hierarchical distance.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from skrr2qc.plotting import LossCurvesDisplay
    >>> history = [{"epoch": 1, "ranking": 2.0}, {"epoch": 2, "ranking": 1.5}]
    >>> display = LossCurvesDisplay.from_history(history, ax=Figure().subplots())
    >>> display.curves["ranking"]
    array([2. , 1.5])
    """

    def __init__(self, steps, curves, *, step_name="epoch"):
        self.steps = np.asarray(steps)
        self.curves = {name: np.asarray(curve, dtype=float) for name, curve in curves.items()}
        self.step_name = step_name
        if self.steps.ndim != 1 or self.steps.size == 0 or not self.curves:
            raise ValueError(
                "LossCurvesDisplay needs at least one curve and one step, "
                f"got {len(self.curves)} curves and `steps` of shape {self.steps.shape}."
            )
        for name, curve in self.curves.items():
            if curve.shape != self.steps.shape:
                raise ValueError(
                    "Every curve must have one value per step: expected shape "
                    f"{self.steps.shape}, got {curve.shape} for {name!r}."
                )

    @classmethod
    def from_estimator(cls, estimator, *, terms=None, step_name="epoch", ax=None, **kwargs):
        """Draw the `history_` of a fitted encoder or head.

        Parameters
        ----------
        estimator : estimator with `history_`
            Fitted, such as an `RCPTEncoder` or a `ClassCenterHead`.
        terms, step_name, ax, **kwargs
            See `from_history`.

        Returns
        -------
        display : LossCurvesDisplay

        Raises
        ------
        ValueError
            If the estimator has no `history_` or an empty one, or as in `from_history`.
        """
        name, history = type(estimator).__name__, getattr(estimator, "history_", None)
        if history is None:
            raise ValueError(
                f"LossCurvesDisplay reads `history_`, which this {name} does not have. Call fit "
                "first; of a composite, pass the part that was trained, such as its `encoder_`."
            )
        if len(history) == 0:
            raise ValueError(
                f"The `history_` of this {name} is empty: it was fitted without any training, "
                "such as with n_epochs=0."
            )
        return cls.from_history(history, terms=terms, step_name=step_name, ax=ax, **kwargs)

    @classmethod
    def from_history(cls, history, *, terms=None, step_name="epoch", ax=None, **kwargs):
        """Draw the rows of a history.

        Parameters
        ----------
        history : list of dict
            One row an epoch, such as ``{"epoch": 1, "seconds": 9.1, "ranking": 0.3,
            "held_out_ranking": 0.4}``. Rows may lack terms or hold None for them.
        terms : list of str, default=None
            Names to draw. None takes all that hold numbers, except `step_name` and what is no
            loss: epoch, step(s), seconds, texts_per_second, lr.
        step_name : str, default="epoch"
            Name of the horizontal axis, which every row has to hold.
        ax : matplotlib Axes, default=None
            None makes a new figure.
        **kwargs
            Passed on to ``ax.plot``.

        Returns
        -------
        display : LossCurvesDisplay

        Raises
        ------
        ValueError
            If the history is empty, a row lacks `step_name`, or a term of `terms` (without
            `terms`: any term at all) is missing in every row.
        """
        if len(history) == 0:
            raise ValueError("`history` must hold at least one row, got none: nothing was trained.")
        for place, row in enumerate(history):
            if not _is_number(row.get(step_name)):
                raise ValueError(
                    f"Every row of `history` must hold a number for {step_name!r}, row {place} has "
                    f"numbers for {_numeric_names([row])}. Choose another `step_name`."
                )
        found = _numeric_names(history)
        if terms is None:
            terms = [name for name in found if name not in (step_name, *_NO_LOSSES)]
        missing = [name for name in terms if name not in found]
        if missing or not terms:
            wanted = f"the terms {missing}" if missing else "any loss term"
            raise ValueError(f"`history` does not hold {wanted}; its numbers are {found}.")
        curves = {name: [_number(row.get(name)) for row in history] for name in terms}
        steps = [row[step_name] for row in history]
        return cls(steps, curves, step_name=step_name).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        **kwargs
            Passed on to ``ax.plot`` for every curve; wins over colours and dashes chosen here.

        Returns
        -------
        display : LossCurvesDisplay
            This object, with the attributes that end in ``_``.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        """
        ax = axes_for(ax, self)
        self.lines_ = []
        for term in dict.fromkeys(name.removeprefix(_HELD_OUT) for name in self.curves):
            color = {}  # the next one of the axes, until the term has one
            for name, dashes in ((term, "-"), (_HELD_OUT + term, "--")):
                if name in self.curves:
                    style = {"marker": ".", "linestyle": dashes, "label": name.replace("_", " ")}
                    style = line_style({**style, **color}, kwargs)
                    self.lines_ += ax.plot(self.steps, self.curves[name], **style)
                    color = {"color": self.lines_[-1].get_color()}
        ax.set(xlabel=self.step_name, ylabel="loss")
        ax.legend()
        if np.array_equal(self.steps, np.round(self.steps)):
            whole_ticks(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _numeric_names(history):
    """Names under which some row holds a number, in the order in which they appear."""
    return list(dict.fromkeys(name for row in history for name in row if _is_number(row[name])))


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool)


def _number(value):
    return float(value) if _is_number(value) else np.nan
