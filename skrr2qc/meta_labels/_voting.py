"""What several runs agree on: one form for each concept, then the majority."""

from collections import Counter
from numbers import Real

import numpy as np
import scipy.sparse as sp

from ._prompts import normal_form
from ._rules import canonical_forms, resolve_aliases


def majority_vote(runs, threshold=0.5):
    """Phrases that more than a share of the runs proposes.

    Parameters
    ----------
    runs : sequence of R sequences of str
        What each run proposes for one label; repetitions within a run count once.
    threshold : float, default=0.5
        Share of the runs, in [0, 1), that a phrase has to exceed.

    Returns
    -------
    kept : list of str
        In order of first appearance. If no phrase has a majority, those with the most votes.

    Raises
    ------
    TypeError, ValueError
        If `runs` are not sequences of str, or `threshold` is out of range.

    Examples
    --------
    >>> majority_vote([["area", "circle"], ["circle"], ["circle", "shape"]])
    ['circle']
    >>> majority_vote([["area"], ["circle"]])
    ['area', 'circle']
    """
    _check_vote(runs, threshold)
    votes = Counter(phrase for run in runs for phrase in dict.fromkeys(run))
    kept = [phrase for phrase, count in votes.items() if count > threshold * len(runs)]
    if kept or not votes:
        return kept
    most = max(votes.values())
    return [phrase for phrase, count in votes.items() if count == most]


def _check_vote(runs, threshold):
    is_number = isinstance(threshold, Real) and not isinstance(threshold, bool | np.bool_)
    if not is_number or not 0 <= threshold < 1:
        raise ValueError(
            f"`threshold` must be a share of the runs in [0, 1), got {threshold!r:.80}. A majority "
            "is 0.5."
        )
    kinds = (list, tuple)
    is_right = isinstance(runs, kinds) and all(isinstance(run, kinds) for run in runs)
    if not is_right or not all(isinstance(phrase, str) for run in runs for phrase in run):
        raise TypeError(
            f"`runs` must be a list with one list of phrases (str) per run, got {runs!r:.80}."
        )


def agreement(runs, kept):
    """Mean share of the runs that propose a phrase that was kept; 0 where none was.

    Parameters
    ----------
    runs : sequence of R sequences of str
    kept : sequence of str

    Returns
    -------
    share : float
        In [0, 1].
    """
    shares = [sum(phrase in run for run in runs) / len(runs) for phrase in kept]
    return float(np.mean(shares)) if shares else 0.0


def canonical_phrases(counts, aliases=None, embed=None, min_similarity=0.9):
    """One form for phrases that mean the same.

    Parameters
    ----------
    counts : mapping of str to int
        How often each phrase was proposed. The form in use most stands for the others.
    aliases : mapping of str to str, default=None
        From phrase to canonical form, whatever the case; chains are followed.
    embed : callable, default=None
        From n phrases to vectors, (n, d); phrases of a cosine above `min_similarity` are one.
    min_similarity : float, default=0.9

    Returns
    -------
    forms : dict of str to str
        One entry for each phrase of `counts`.

    Raises
    ------
    ValueError
        If aliases go in a circle, or `embed` does not give one finite vector for each phrase.

    Notes
    -----
    A phrase joins the most frequent form that is near enough to it, not a chain of neighbours,
    so that likeness is never passed on to phrases that are unlike.

    Examples
    --------
    >>> forms = canonical_phrases({"Circle": 1, "circles": 2, "circle": 4, "disc": 1},
    ...                           aliases={"disc": "circle"})
    >>> sorted(set(forms.values()))
    ['circle']
    """
    ends = resolve_aliases(
        {normal_form(name): normal_form(form) for name, form in (aliases or {}).items()}
    )
    written = {normal_form(form): form for form in (aliases or {}).values()}
    forms = {}
    for phrase in counts:
        end = ends.get(normal_form(phrase))
        forms[phrase] = phrase if end is None else written[end]
    forms = _then(forms, canonical_forms(_count(forms, counts)))
    if embed is not None:
        forms = _then(forms, _similar_forms(_count(forms, counts), embed, min_similarity))
    return forms


def _then(forms, more):
    return {phrase: more.get(form, form) for phrase, form in forms.items()}


def _count(forms, counts):
    total = Counter()
    for phrase, form in forms.items():
        total[form] += counts[phrase]
    return total


def _similar_forms(counts, embed, min_similarity):
    """Phrases whose vectors point almost the same way: {phrase: the one used most}."""
    phrases = sorted(counts, key=lambda phrase: (-counts[phrase], len(phrase), phrase))
    vectors = embed(phrases)
    vectors = vectors.toarray() if sp.issparse(vectors) else np.asarray(vectors)
    if vectors.ndim != 2 or len(vectors) != len(phrases) or not np.isfinite(vectors).all():
        raise ValueError(
            "`embed` must return one finite vector for each phrase: expected shape "
            f"({len(phrases)}, d), got {vectors.shape}. The transform of a fitted encoder will do."
        )
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors / np.where(norms > 0, norms, 1)
    leaders, forms = [], {}
    for i, phrase in enumerate(phrases):
        near = np.flatnonzero(vectors[leaders] @ vectors[i] > min_similarity) if leaders else []
        if len(near):
            forms[phrase] = phrases[leaders[near[0]]]
        else:
            leaders.append(i)
    return forms
