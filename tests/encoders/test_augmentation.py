"""augment_tokens: what each change does, how often, and what stays."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skrr2qc.encoders._augmentation import augment_tokens

CLS, SEP = 1, 2
SPECIAL = (0, CLS, SEP)


class Scripted:
    """Generator whose draws are given beforehand."""

    def __init__(self, chances, turn=0, swapped=(0, 1), kept=()):
        self.draws = {"random": list(chances), "integers": [turn], "choice": [swapped]}
        self.kept = np.array(kept)

    def random(self, size=None):
        return self.draws["random"].pop(0) if size is None else self.kept

    def integers(self, high):
        return self.draws["integers"].pop() % high

    def choice(self, places, size, replace):
        assert size == 2
        assert not replace
        return [places[i] for i in self.draws["choice"].pop()]


def augment(ids, rng):
    return augment_tokens(np.array(ids, dtype=np.int32), special_ids=SPECIAL, rng=rng)


def many(ids, n_views=4000):
    rng = np.random.default_rng(0)
    return [augment(ids, rng) for _ in range(n_views)]


def within(n_hits, n_trials, rate):
    """Five standard deviations of the binomial distribution."""
    return abs(n_hits - n_trials * rate) < 5 * np.sqrt(n_trials * rate * (1 - rate))


@pytest.mark.parametrize(
    ("rng", "expected"),
    [
        (Scripted([0.9, 0.9, 0.9]), [CLS, 10, 11, 12, 13, SEP]),
        (Scripted([0.1, 0.9, 0.9], turn=1), [CLS, 13, 10, 11, 12, SEP]),
        (Scripted([0.9, 0.1, 0.9], swapped=(0, 3)), [CLS, 13, 11, 12, 10, SEP]),
        (Scripted([0.9, 0.9, 0.1], kept=[0.5, 0.05, 0.5, 0.5]), [CLS, 10, 12, 13, SEP]),
        (Scripted([0.9, 0.9, 0.1], kept=[0.05] * 4), [CLS, 10, 11, 12, 13, SEP]),
    ],
    ids=["nothing", "turn", "swap", "leave out", "never all"],
)
def test_each_change_by_hand(rng, expected):
    assert augment([CLS, 10, 11, 12, 13, SEP], rng).tolist() == expected


@pytest.mark.parametrize("ids", [[], [CLS], [CLS, SEP], [CLS, 9, SEP], [9]])
def test_nothing_to_change(ids):
    for view in many(ids, 50):
        assert view.tolist() == ids


def test_special_tokens_stay():
    for view in many([CLS, 5, 6, 7, 8, 9, SEP], 300):
        assert view[0] == CLS
        assert view[-1] == SEP
        assert not np.isin(view[1:-1], SPECIAL).any()


def test_nothing_is_invented():
    ids = [CLS, *range(10, 40)]
    for view in many(ids, 300):
        assert set(view) <= set(ids)
        assert len(set(view)) == len(view)
        assert view.dtype == np.int32


@pytest.mark.parametrize("n_free", [2, 3])
def test_a_token_is_always_left(n_free):
    assert all(len(view) >= 2 for view in many([CLS, *range(10, 10 + n_free)], 2000))


def test_how_often():
    """All kept: 0.3 + 0.7 * 0.9^n (or none left); the first token in place: no turn, no swap."""
    n_free, n_views = 10, 4000
    views = many(range(10, 10 + n_free), n_views)
    n_whole = sum(len(view) == n_free for view in views)
    assert within(n_whole, n_views, 0.3 + 0.7 * (0.9**n_free + 0.1**n_free))
    n_tokens = sum(map(len, views))
    assert within(n_tokens, n_views * n_free, 1 - 0.7 * 0.1)
    is_same = [list(view) == list(range(10, 20)) for view in views if len(view) == n_free]
    untouched = (0.3 + 0.7 / n_free) * 0.3  # a turn by nothing is none; a swap always is one
    assert within(sum(is_same), len(is_same), untouched)


def test_given_ids_stay_as_they_are():
    ids = np.arange(10, 30)
    rng = np.random.default_rng(0)
    for _ in range(20):
        augment_tokens(ids, special_ids=SPECIAL, rng=rng)
    assert_array_equal(ids, np.arange(10, 30))


def test_follows_the_generator():
    def views(seed):
        rng = np.random.default_rng(seed)
        return [augment(range(10, 30), rng).tolist() for _ in range(5)]

    assert views(0) == views(0)
    assert views(0) != views(1)
