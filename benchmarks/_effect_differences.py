"""What RCPT changes against the other pre-trainings: lines to keep, and rows of their table."""

from collections import defaultdict

from ._bootstrap import N_RESAMPLES
from ._differences import cells, difference, mean_cells
from ._machine import describe_machine
from ._table import _group, _texts_of

_TEXTS = ("set", "part", "n_train", "subset", "n_characters", "encoder")
_BASELINES = ("tapt", "none")


def difference_lines(records, rankings, kept=(), n_resamples=N_RESAMPLES):
    """Differences that `kept` does not hold yet.

    Parameters
    ----------
    records : list of dict
        Of one set and setting, those with the parameters of the last one count.
    rankings : dict of str to Ranking
        By the `run` of a record. Runs without one, and of texts whose labels have changed, are
        left out.
    kept : sequence of dict
        Earlier lines.
    n_resamples : int

    Returns
    -------
    lines : list of dict
        Each form of RCPT against each baseline on the same texts with the same encoder, over the
        seeds that both have.
    """
    known, lines = [_identity(line) for line in kept], []
    for left, right in _contrasts(_group(records)[0]):
        sides = [
            {r["seed"]: r["run"] for r in side if r.get("run") in rankings}
            for side in (left, right)
        ]
        seeds = [seed for seed in sides[0] if seed in sides[1]]
        runs, others = ([side[seed] for seed in seeds] for side in sides)
        about = {
            **{"of": "difference", "left": left[0]["model"], "right": right[0]["model"]},
            **{name: left[0][name] for name in _TEXTS},
            **{"seeds": seeds, "runs": runs, "others": others, "n_resamples": n_resamples},
        }
        pair = [[rankings[run] for run in side] for side in (runs, others)]
        are_same = len({ranking.truth for side in pair for ranking in side}) == 1
        if are_same and _identity(about) not in known:
            about["figures"] = difference(*pair, n_resamples)
            lines.append({**about, **describe_machine()})
    return lines


def difference_rows(groups, names, lines):
    """Rows of a table: of each set, then means over several sets of a part.

    Parameters
    ----------
    groups : list of list of dict
        Records, one a seed.
    names : dict of tuple to str
        Of the texts of a group.
    lines : list of dict
        As `difference_lines` gives them; those of other runs are not shown.

    Returns
    -------
    rows : list of list of str
    notes : list of str
        What lines say of themselves.
    """
    rows, shown, of_part = [], [], defaultdict(list)
    for left, right in _contrasts(groups):
        line = _find(lines, left, right)
        if line is not None:
            contrast = f"{left[0]['model']} - {right[0]['model']}"
            name = f"{names[_texts_of(left[0])]} ({left[0]['encoder']})"
            rows.append([name, contrast, str(len(line["runs"])), *cells(line["figures"])])
            of_part[left[0]["part"], contrast].append(line)
            shown.append(line)
    for (part, contrast), found in of_part.items():
        if 1 < len(found) == len({line["set"] for line in found}):  # independent of each other
            means = mean_cells([line["figures"] for line in found])
            rows.append([f"mean of {len(found)} {part}", contrast, "", *means])
    return rows, list(dict.fromkeys(line["note"] for line in shown if "note" in line))


def _contrasts(groups):
    """Each form of RCPT and each of the baselines on the same texts: both groups of runs."""
    for left in groups:
        for right in groups:
            is_same = [left[0][name] for name in _TEXTS] == [right[0][name] for name in _TEXTS]
            if is_same and left[0]["setting"] == "rcpt" and right[0]["setting"] in _BASELINES:
                yield left, right


def _find(lines, left, right):
    """Of the lines of these runs, the one with the most seeds, then the last; or None."""
    runs, others = ({record.get("run") for record in side} for side in (left, right))
    same = [
        line
        for line in lines
        if line.get("runs")
        and runs.issuperset(line["runs"])
        and line.get("others")
        and others.issuperset(line["others"])
    ]
    return max(reversed(same), key=lambda line: len(line["runs"]), default=None)


def _identity(line):
    return [line.get(name) for name in ("runs", "others", "n_resamples")]
