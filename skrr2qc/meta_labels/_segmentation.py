"""Runs of units into phrases: the split of the whole label set that takes least to write down."""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping

from ._units import Units, is_han

_HAN_LENGTHS = (0.10, 0.45, 0.25, 0.12, 0.05, 0.03)  # of Chinese terms, in characters
_WORD_LENGTHS = (0.75, 0.2, 0.05)  # of other phrases, in words
_CONCENTRATION = 0.2  # for each unit: how readily a phrase is new
_FUNCTION_SHARE = 0.02  # of all phrases, for each function word
_MAX_UNITS = 8
_MIN_NEIGHBOURS = 3
_MAX_ROUNDS = 20


def segment(
    runs: Mapping[Units, int], function_units: Collection[str] = ()
) -> dict[Units, list[Units]]:
    """Split each run into phrases that the runs have in common.

    The phrases of all runs are taken for draws from one Dirichlet process, whose base spells a
    phrase unit by unit. Runs are split in turn so that, given all others, the description of the
    run is shortest (dynamic programming), until nothing changes.

    Parameters
    ----------
    runs : mapping of tuple of str to int
        Runs of units and how often each occurs.
    function_units : collection of str
        Units that are likely to stand alone.

    Returns
    -------
    phrases : dict of tuple of str to list of tuple of str
        For each run its phrases in order. Independent of the order of `runs`.

    References
    ----------
    .. [1] Goldwater, Griffiths and Johnson. A Bayesian framework for word segmentation. Cognition,
       2009. The unigram model; here its mode is sought, without sampling.
    .. [2] Feng, Chen, Deng and Zheng. Accessor variety criteria for Chinese word extraction.
       Computational Linguistics, 2004. Where the search starts.
    """
    model = _PhraseModel(runs, function_units)
    order = sorted(runs)
    model.set_counts(_accessible(runs))
    found = {run: model.split(run, runs[run]) for run in order}
    model.set_counts(_count(found, runs))
    for _ in range(_MAX_ROUNDS):
        n_changed = 0
        for run in order:
            before, times = found[run], runs[run]
            model.add(before, -times)
            found[run] = model.split(run, times)
            model.add(found[run], times)
            n_changed += before != found[run]
        if not n_changed:
            break
    return found


class _PhraseModel:
    """Counts of phrases, and what a phrase costs given the counts."""

    def __init__(self, runs: Mapping[Units, int], function_units: Collection[str]) -> None:
        counts: Counter[str] = Counter()
        for run, times in runs.items():
            counts.update(dict.fromkeys(run, 0))
            for unit in run:
                counts[unit] += times
        total = sum(counts.values())
        self.concentration = _CONCENTRATION * total
        self.log_share = {unit: math.log(count / total) for unit, count in counts.items()}
        share = _FUNCTION_SHARE * total / 2
        self.function = {(unit,): share for unit in function_units if unit in counts}
        alone = {run for run in runs if len(run) == 1}
        # A character that never stands alone is a piece of a word, not a word.
        self.is_piece = {
            (u,) for u in counts if is_han(u) and (u,) not in alone and (u,) not in self.function
        }
        self.base: dict[Units, float] = {}

    def set_counts(self, counts: Mapping[Units, int]) -> None:
        self.counts: Counter[Units] = Counter(self.function)
        self.counts.update(counts)
        self.total = sum(self.counts.values()) + self.concentration

    def add(self, phrases: list[Units], times: int) -> None:
        for phrase in phrases:
            self.counts[phrase] += times
        self.total += times * len(phrases)

    def split(self, run: Units, times: int) -> list[Units]:
        """Cheapest phrases of a run that occurs `times` times beside what is counted."""
        each = math.lgamma(self.total + times) - math.lgamma(self.total)
        best, back = [0.0], [0]
        for end in range(1, len(run) + 1):
            costs = [
                (best[start] + each + self._cost(run[start:end], times), start)
                for start in range(max(0, end - _MAX_UNITS), end)
            ]
            cost, start = min(costs)
            best.append(cost)
            back.append(start)
        phrases, end = [], len(run)
        while end:
            phrases.append(run[back[end] : end])
            end = back[end]
        return phrases[::-1]

    def _cost(self, phrase: Units, times: int) -> float:
        if phrase in self.is_piece:
            return 1e3 * times  # not infinite: a run longer than any phrase must end somewhere
        weight = self.counts.get(phrase, 0) + self._base(phrase)
        return math.lgamma(weight) - math.lgamma(weight + times)

    def _base(self, phrase: Units) -> float:
        weight = self.base.get(phrase)
        if weight is None:
            lengths = _HAN_LENGTHS if any(map(is_han, phrase)) else _WORD_LENGTHS
            beyond = len(phrase) - len(lengths)
            share = lengths[-1] * 0.5**beyond if beyond > 0 else lengths[len(phrase) - 1]
            spelled = math.exp(sum(self.log_share[unit] for unit in phrase))
            weight = self.base[phrase] = self.concentration * share * spelled
        return weight


def _accessible(runs: Mapping[Units, int]) -> dict[Units, int]:
    """Parts of runs that occur beside several different units on either side, with their counts."""
    counts: Counter[Units] = Counter()
    before, after = defaultdict(set), defaultdict(set)
    for run, times in runs.items():
        for start in range(len(run)):
            for end in range(start + 1, min(len(run), start + _MAX_UNITS) + 1):
                part = run[start:end]
                counts[part] += times
                # The end of a run is as good as a unit that occurs nowhere else.
                before[part].add(run[start - 1] if start else run)
                after[part].add(run[end] if end < len(run) else run)
    return {
        part: count
        for part, count in counts.items()
        if min(len(before[part]), len(after[part])) >= _MIN_NEIGHBOURS
    }


def _count(found: Mapping[Units, list[Units]], runs: Mapping[Units, int]) -> Counter[Units]:
    counts: Counter[Units] = Counter()
    for run, phrases in found.items():
        for phrase in phrases:
            counts[phrase] += runs[run]
    return counts
