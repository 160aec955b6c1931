"""What all displays need of matplotlib, which is imported only when something is drawn."""


def axes_for(ax, display):
    """Axes to draw on: the caller's, or those of a new figure.

    Parameters
    ----------
    ax : matplotlib Axes or None
    display : object
        The display that draws, named by the error.

    Returns
    -------
    ax : matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is missing.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            f"{type(display).__name__} draws with matplotlib, which is not installed: "
            'pip install "skrr2qc[plot]".'
        ) from error
    return pyplot.subplots()[1]


def line_style(defaults, given):
    """Properties of a line: defaults, then what the caller gave, short names written out."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    return {**defaults, **normalize_kwargs(given, Line2D)}


def whole_ticks(ax):
    """Put ticks of the horizontal axis at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
