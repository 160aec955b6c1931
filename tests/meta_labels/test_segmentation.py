"""Runs of units into phrases."""

import math
from collections import Counter
from itertools import product

import pytest

from skrr2qc.meta_labels import _segmentation
from skrr2qc.meta_labels._segmentation import segment

NAMES = (
    "函数单调性 导数单调性 函数图象 导数图象 函数最值 导数最值 数列最值 数列图象 "
    "数列单调性 函数 导数 数列 圆 圆面积 球面积 球 函数面积"
)
RUNS = Counter(map(tuple, NAMES.split()))


def joined(found):
    return {"".join(run): ["".join(phrase) for phrase in found[run]] for run in found}


def test_words_without_a_dictionary():
    found = joined(segment(RUNS))
    assert found["函数单调性"] == ["函数", "单调性"]
    assert found["导数最值"] == ["导数", "最值"]
    assert found["球面积"] == ["球", "面积"]


def test_phrases_make_up_their_run():
    for run, phrases in segment(RUNS, {"面"}).items():
        assert sum(phrases, ()) == run


def test_order_of_runs_does_not_matter():
    backwards = dict(reversed(list(RUNS.items())))
    assert segment(backwards) == segment(RUNS)


def test_words_with_blanks():
    names = ["water cycle", "water cycle model", "water cycle in nature", "model", "cycle of rock"]
    names += ["rock model", "nature", "rock", "water cycle rock", "nature water cycle"]
    runs = Counter(tuple(name.split()) for name in names)
    assert segment(runs)["water", "cycle", "model"] == [("water", "cycle"), ("model",)]


def test_a_run_is_split_at_least_cost():
    """The dynamic program against all ways to cut."""
    model = _segmentation._PhraseModel(RUNS, ())
    model.set_counts(_segmentation._accessible(RUNS))

    def cost(phrases, times):
        each = math.lgamma(model.total + times) - math.lgamma(model.total)
        return sum(each + model._cost(phrase, times) for phrase in phrases)

    for run, times in RUNS.items():
        ways = []
        for cuts in product([False, True], repeat=len(run) - 1):
            ends = [i + 1 for i, is_cut in enumerate(cuts) if is_cut] + [len(run)]
            ways.append([run[a:b] for a, b in zip([0, *ends], ends, strict=False)])
        best = min(cost(way, times) for way in ways)
        assert cost(model.split(run, times), times) == pytest.approx(best, rel=1e-12)


def test_accessible_parts_by_hand():
    runs = {("a", "b"): 1, ("a", "c"): 2, ("a", "d"): 1, ("b",): 1}
    # "a" stands at three beginnings and before b, c and d; "b" ends two runs only.
    assert _segmentation._accessible(runs) == {("a",): 4}


def test_pieces_of_words_do_not_stand_alone():
    found = segment({tuple("减法"): 1, tuple("加法"): 1, tuple("乘法"): 1, tuple("除法"): 1})
    assert all(len(phrase) == 2 for phrases in found.values() for phrase in phrases)


def test_long_runs_and_none():
    run = tuple("甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳午未申酉戌亥")
    assert sum(segment({run: 1})[run], ()) == run
    assert segment({}) == {}
