"""What the report needs of outcomes text by text: differences with intervals, recall by frequency.

The outcomes hold the true labels of texts and are not published. What is derived from them is: one
line a pair of models or a model, so that the report can be redrawn without the outcomes.
"""

import json
from collections import Counter
from pathlib import Path

import numpy as np

from . import _paper_tables, _per_text
from ._bootstrap import N_RESAMPLES, interval, resampled_figures
from ._paper_tables import derive_top
from ._per_text import MAX_TAIL, read_rankings
from ._records import per_text_file, read_lines
from ._report_data import FIGURES

MIN_PAIRS = 20  # of a test text and a label: fewer say nothing
EDGES = (0, 1, 3, 6, 11, 26, 1_000_000)
BINS = ("0", "1-2", "3-5", "6-10", "11-25", "26+")
_DIGITS = 6  # enough to print, and the same on every machine
_SEED = 0


class Derived:
    """Lines of what was derived, by what they are about.

    Parameters
    ----------
    lines : iterable of dict
    """

    def __init__(self, lines):
        self.lines = {_key(line): line for line in lines if {"of", "runs"} <= line.keys()}

    def difference(self, left, right):
        """Difference, low and high end of its interval, by figure; None if it is not there."""
        line = self.lines.get(("difference", left.runs, right.runs))
        return line and line["figures"]

    def top(self, entry):
        """Line of an entry's figures of the first label, or None."""
        return self.lines.get(("top", entry.runs, ()))

    def recall(self, entry):
        """Line of an entry's recall by training texts, or None."""
        return self.lines.get(("recall", entry.runs, ()))

    def n_tail(self, section):
        """Pairs of a test text and one of its labels in the tail; None if nobody counted them."""
        line = next(filter(None, map(self.recall, section.entries)), None)
        if line is None:
            return None
        ends = line["edges"][1:]
        return sum(n for n, end in zip(line["n_pairs"], ends, strict=True) if end <= MAX_TAIL + 1)


def read_derived(path):
    """What a file holds; nothing if there is no file."""
    return Derived(read_lines(path))


def derive(kept, folder, known, say):
    """Derive what the outcomes in a folder allow, and take the rest from what is known.

    Parameters
    ----------
    kept : Kept
    folder : path
        With ``compare_per_text.jsonl`` and ``ablation_per_text.jsonl``, or one of them, or none.
    known : Derived
    say : callable
        Takes a line about what is missing.

    Returns
    -------
    derived : Derived
    """
    rankings = {}
    for name in ("compare", "ablation"):
        rankings |= read_rankings(per_text_file(Path(folder, f"{name}.jsonl")))
    lines = []
    for section in [*kept.sections, *kept.ablation]:
        pairs = [*section.pairs(same=True), *section.pairs(same=False), *section.steps()]
        lines += _derive_section(section, pairs, rankings, known, say)
    return Derived(lines)


def write_derived(path, derived):
    """Replace a file by these lines."""
    text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in derived.lines.values())
    Path(path).write_text(text, encoding="utf-8")


def _derive_section(section, pairs, rankings, known, say):
    found = _found(section, rankings, say)
    fresh = _resampled(found, [e for e in section.entries if any(e in pair for pair in pairs)])
    lines = []
    for entry in section.entries:
        line = _recall(section, entry, found) or known.recall(entry)
        lines += [line] if line else []
        if section.example["set"] in _paper_tables.SETS:
            is_fresh = entry.runs in found
            top = derive_top(section, entry, found[entry.runs]) if is_fresh else known.top(entry)
            lines += [top] if top else []
    for left, right in pairs:
        if left.runs in fresh and right.runs in fresh:
            lines.append(_difference(section, left, right, fresh))
        elif line := known.lines.get(("difference", left.runs, right.runs)):
            lines.append(line)
        elif left.runs and right.runs:
            say(f"{section.name}: no outcomes of {left.name} and {right.name} text by text")
    return lines


def _found(section, rankings, say):
    """Rankings of the entries that have all of theirs, of the same texts."""
    found = {
        entry.runs: [rankings[run] for run in entry.runs]
        for entry in section.entries
        if entry.runs and all(run in rankings for run in entry.runs)
    }
    truths = Counter(ranking.truth for group in found.values() for ranking in group)
    if len(truths) > 1:
        usual = truths.most_common(1)[0][0]
        other = {runs for runs, group in found.items() if {r.truth for r in group} != {usual}}
        names = [entry.name for entry in section.entries if entry.runs in other]
        say(f"{section.name}: {', '.join(names)} saw other labels than the rest, not compared")
        found = {runs: group for runs, group in found.items() if runs not in other}
    return found


def _resampled(found, entries):
    """Figures of the texts and of resamples of them, by the runs of an entry.

    Those that `paired_bootstrap` draws: a difference is one of two entries of the result.
    """
    wanted = {entry.runs: found[entry.runs] for entry in entries if entry.runs in found}
    if not wanted:
        return {}
    return resampled_figures(wanted, n_resamples=N_RESAMPLES, random_state=_SEED)


def _difference(section, left, right, fresh):
    observed, *resampled = fresh[left.runs] - fresh[right.runs]
    columns = [_per_text.FIGURES.index(name) for name in FIGURES]
    is_defined = ~np.isnan(observed)
    ends = np.full((2, len(observed)), np.nan)
    ends[:, is_defined] = interval(np.array(resampled)[:, is_defined])
    values = np.round(np.vstack([observed, ends]), _DIGITS)[:, columns].T
    return {
        "of": "difference",
        **{"set": section.name, "left": left.name, "right": right.name},
        **{"runs": left.runs, "others": right.runs, "n_resamples": N_RESAMPLES},
        "figures": {
            name: row.tolist()
            for name, row in zip(FIGURES, values, strict=True)
            if not np.isnan(row).any()
        },
    }


def _recall(section, entry, found):
    if entry.runs not in found:
        return None
    by_seed = [ranking.recall_by_count(EDGES) for ranking in found[entry.runs]]
    recalls = np.mean([recalls for recalls, _ in by_seed], axis=0)
    return {
        **{"of": "recall", "set": section.name, "left": entry.name, "runs": entry.runs},
        "edges": EDGES,
        "recall": [None if np.isnan(r) else round(float(r), _DIGITS) for r in recalls],
        "n_pairs": by_seed[0][1],
    }


def _key(line):
    return line["of"], tuple(line["runs"]), tuple(line.get("others", ()))
