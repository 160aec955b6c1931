"""Tables of the pre-training comparison: figures by set and setting, differences with intervals."""

from collections import defaultdict

import numpy as np

from ._bootstrap import N_RESAMPLES, interval, paired_bootstrap
from ._table import (
    _cell,
    _group,
    _markdown,
    _model_name,
    _origin,
    _set_names,
    _set_notes,
    _texts_of,
)

_SCORES = (
    *(("precision_at_1", "P@1", 1, 100), ("ndcg_at_5", "nDCG@5", 1, 100)),
    *(("macro_f1_at_1", "macro-F1@1", 1, 100), ("macro_f1", "macro-F1", 1, 100)),
    *(("encoder_seconds", "encoder s", 0), ("head_seconds", "head s", 0), ("memory_mib", "MiB", 0)),
)
_VECTORS = (
    ("class_mean_precision_at_1", "class mean P@1", 1, 100),
    *(("rank_order_accuracy_before", "rank order before", 1, 100),),
    *(("rank_order_accuracy", "after", 1, 100), ("alignment_before", "alignment before", 3)),
    *(("alignment", "after", 3), ("uniformity_before", "uniformity before", 2)),
    ("uniformity", "after", 2),
)
_TITLES = ("P@1", "nDCG@5", "macro-F1@1")  # of FIGURES
_BASELINES = ("tapt", "none")
_LEGEND = (
    "Percent, where nothing else is said; ± is half the distance between the best and the worst "
    "seed. macro-F1@1: of the first label, over labels that have a test text; class mean: nearest "
    "class mean, before any head; rank order: how often of two held-out texts the nearer one in "
    "the hierarchy is the more similar one; alignment and uniformity: lower is better. Before: "
    "the encoder that pre-training begins with. MiB: peak memory of the process."
)
_DIFFERENCE_LEGEND = (
    f"Points, with 95 % intervals of a paired bootstrap over test texts ({N_RESAMPLES:,} "
    "resamples, means over the seeds that both have): how seeds vary is not in them. "
    "* the interval does not hold 0. Means are over sets, each weighing the same."
)


def format_effect(records, outcomes, n_resamples=N_RESAMPLES):
    """Tables and notes.

    Parameters
    ----------
    records : list of dict
        Of one set and setting, those with the parameters of the last one count; of a seed, the
        last.
    outcomes : dict of str to Outcome
        By the `run` of a record. Runs without one have no place among the differences.
    n_resamples : int

    Returns
    -------
    text : str
    """
    groups, n_left_out = _group(records)
    names = _set_names(groups)
    parts = [*_figures(groups, names, _SCORES), "", *_figures(groups, names, _VECTORS), ""]
    parts += [_LEGEND, *_set_notes(groups, names), *_origin(groups)]
    differences = format_differences(groups, names, outcomes, n_resamples)
    if differences:
        parts += ["", *differences, "", _DIFFERENCE_LEGEND]
    if n_left_out:
        parts.append(f"{n_left_out} records of other parameters or earlier runs left out.")
    return "\n".join(parts)


def format_differences(groups, names, outcomes, n_resamples):
    """Lines of the table of differences; none if there is nothing to compare."""
    rows, of_part = [], defaultdict(list)
    for place, sides in enumerate(_same_texts(groups).values()):
        for contrast, left, right in _contrasts(sides):
            pairs = _paired(left, right, outcomes)
            if pairs is None:
                continue
            found = paired_bootstrap(*pairs, n_resamples=n_resamples, random_state=[0, place])
            name = f"{names[_texts_of(left[0])]} ({left[0]['encoder']})"
            rows.append([name, contrast, str(len(pairs[0])), *_intervals(*found)])
            of_part[left[0]["part"], contrast].append(found)
    for (part, contrast), found in of_part.items():
        observed, resampled = (np.mean(values, axis=0) for values in zip(*found, strict=True))
        name = f"mean of {len(found)} {part}"
        rows.append([name, contrast, "", *_intervals(observed, resampled)])
    if not rows:
        return []
    return _markdown(["set", "difference", "seeds", *_TITLES], rows)


def _figures(groups, names, columns):
    """Lines of a table of means over seeds."""
    rows = []
    for group in groups:
        figures = [record["figures"] for record in group]
        cells = [_cell([f.get(name) for f in figures], *form) for name, _, *form in columns]
        rows.append([names[_texts_of(group[0])], _model_name(group[0]), str(len(group)), *cells])
    return _markdown(["set", "setting", "seeds", *(column[1] for column in columns)], rows)


def _same_texts(groups):
    """Groups of runs by texts and encoder."""
    found = defaultdict(list)
    for group in groups:
        found[_texts_of(group[0]), group[0]["encoder"]].append(group)
    return found


def _contrasts(sides):
    """Each form of RCPT against each of the baselines: title and both groups of runs."""
    for left in sides:
        for right in sides:
            if left[0]["setting"] == "rcpt" and right[0]["setting"] in _BASELINES:
                yield f"{left[0]['model']} - {right[0]['model']}", left, right


def _paired(left, right, outcomes):
    """Outcomes of the seeds that both sides have; None if there are none."""
    found = [{r["seed"]: outcomes.get(r.get("run")) for r in side} for side in (left, right)]
    seeds = [s for s in found[0] if found[0][s] is not None and found[1].get(s) is not None]
    return [[side[seed] for seed in seeds] for side in found] if seeds else None


def _intervals(observed, resampled):
    low, high = interval(resampled)
    return [
        f"{100 * value:+.1f} [{100 * below:+.1f}, {100 * above:+.1f}]"
        + ("*" if below > 0 or above < 0 else "")
        for value, below, above in zip(observed, low, high, strict=True)
    ]
