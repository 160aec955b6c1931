"""A second view of a text: tokens left out, swapped, and a stretch moved."""

import numpy as np

_CHANCE = 0.7  # of each change, as QuesCo has it
_LEFT_OUT = 0.1


def augment_tokens(ids, *, special_ids, rng):
    """Change a text as QuesCo's augmentations of plain text do (Ning et al. [1]_).

    Each with probability 0.7: a tenth of the tokens is left out, two tokens are swapped, and the
    text is turned so that it begins somewhere else.

    Parameters
    ----------
    ids : ndarray of shape (T,), int
    special_ids : sequence of int
        Stay where they are.
    rng : numpy.random.Generator

    Returns
    -------
    changed : ndarray, int
        At least one token, if there was one.

    References
    ----------
    .. [1] Ning et al. Towards a Holistic Understanding of Mathematical Questions with
       Contrastive Pre-training. AAAI 2023.
    """
    is_free = ~np.isin(ids, special_ids)
    places = np.flatnonzero(is_free)
    if len(places) < 2:
        return ids
    ids = ids.copy()
    if rng.random() < _CHANCE:
        turn = int(rng.integers(len(places)))
        ids[places] = np.roll(ids[places], turn)
    if rng.random() < _CHANCE:
        one, two = rng.choice(places, 2, replace=False)
        ids[[one, two]] = ids[[two, one]]
    if rng.random() < _CHANCE:
        left_out = places[rng.random(len(places)) < _LEFT_OUT]
        if len(left_out) < len(places):
            ids = np.delete(ids, left_out)
    return ids
