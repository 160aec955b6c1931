"""Paired bootstrap over texts: figures of resamples that all runs share."""

import numpy as np

N_RESAMPLES = 10_000
_BLOCK = 500  # resamples at once


def paired_bootstrap(left, right, *, n_resamples=N_RESAMPLES, random_state=0):
    """Differences between two groups of runs on the same texts, each averaged over its runs.

    Parameters
    ----------
    left, right : list of Ranking
        One a seed. All see the same resamples.
    n_resamples : int
    random_state : int or sequence of int

    Returns
    -------
    observed : ndarray of shape (f,)
        Left minus right, in the order of `_per_text.FIGURES`.
    resampled : ndarray of shape (n_resamples, f)

    Raises
    ------
    ValueError
        If the runs are not of the same texts.
    """
    if len({ranking.truth for ranking in (*left, *right)}) != 1:
        raise ValueError("only runs on the same texts can be compared text by text")
    figures = resampled_figures(
        {"left": left, "right": right}, n_resamples=n_resamples, random_state=random_state
    )
    observed, *resampled = figures["left"] - figures["right"]
    return observed, np.array(resampled)


def resampled_figures(groups, *, n_resamples=N_RESAMPLES, random_state=0):
    """Figures of groups of runs, each averaged over its runs, on resamples that all share.

    Parameters
    ----------
    groups : dict of lists of Ranking
        Of the same texts; at least one group.
    n_resamples : int
    random_state : int or sequence of int

    Returns
    -------
    figures : dict of ndarray of shape (1 + n_resamples, f)
        The texts themselves first.
    """
    n_texts = next(iter(groups.values()))[0].Y.shape[0]
    rng = np.random.default_rng(random_state)
    figures = {name: [_means(group, np.ones((1, n_texts)))] for name, group in groups.items()}
    for start in range(0, n_resamples, _BLOCK):
        weights = _draw(n_texts, min(_BLOCK, n_resamples - start), rng)
        for name, group in groups.items():
            figures[name].append(_means(group, weights))
    return {name: np.concatenate(blocks) for name, blocks in figures.items()}


def interval(resampled, level=0.95):
    """Percentile interval of each column; ndarray of shape (2, ...)."""
    tail = (1 - level) / 2
    return np.nanquantile(resampled, [tail, 1 - tail], axis=0)


def _draw(n_texts, n_resamples, rng):
    """How often each text was drawn in each resample; (r, n)."""
    drawn = rng.integers(n_texts, size=(n_resamples, n_texts))
    drawn += n_texts * np.arange(n_resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=n_resamples * n_texts)
    return counts.reshape(n_resamples, n_texts).astype(np.float64)


def _means(group, weights):
    return np.mean([ranking.figures(weights) for ranking in group], axis=0)
