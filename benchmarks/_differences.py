"""Differences between runs on the same texts, with intervals: computed, averaged, shown."""

import numpy as np

from . import _per_text
from ._bootstrap import N_RESAMPLES, interval, paired_bootstrap

FIGURES = {  # in the order of the tables
    "precision_at_1": "P@1",
    "ndcg_at_5": "nDCG@5",
    "macro_f1_at_1": "macro-F1@1",
    "tail_ndcg_at_5": "tail nDCG@5",
}
_TAILS = 1.96  # standard errors to either side


def difference(left, right, n_resamples=N_RESAMPLES):
    """Paired bootstrap of all figures, over the means of the seeds.

    Parameters
    ----------
    left, right : list of Ranking
        One a seed.
    n_resamples : int

    Returns
    -------
    found : dict of str to list
        Left minus right, the ends of the 95 % interval, and the standard error. What has no text
        to average over, as the tail where no label is rare, is left out.
    """
    observed, resampled = paired_bootstrap(left, right, n_resamples=n_resamples)
    found = {}
    for name in FIGURES:
        column = _per_text.FIGURES.index(name)
        if not np.isnan(observed[column]):
            draws = resampled[:, column]
            values = [observed[column], *interval(draws), np.nanstd(draws)]
            found[name] = [float(value) for value in values]
    return found


def mean_difference(found):
    """Mean of independent differences with its interval, from [value, low, high, error] each."""
    value = float(np.mean([f[0] for f in found]))
    error = float(np.sqrt(np.sum([f[3] ** 2 for f in found])) / len(found))
    return [value, value - _TAILS * error, value + _TAILS * error]


def cells(figures):
    """Points and interval of each figure; * where the interval does not hold 0."""
    return [_cell(*figures[name][:3]) if name in figures else "-" for name in FIGURES]


def mean_cells(differences):
    """The same of the mean over several dicts of differences, of figures that all have."""
    common = [name for name in FIGURES if all(name in figures for figures in differences)]
    return cells({n: mean_difference([figures[n] for figures in differences]) for n in common})


def _cell(value, low, high):
    shown = f"{100 * value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
    return shown + "*" * (low > 0 or high < 0)
