"""Tables of the pre-training comparison: figures by set and setting, differences with intervals."""

from ._bootstrap import N_RESAMPLES
from ._differences import FIGURES
from ._effect_differences import difference_rows
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
    "* the interval does not hold 0. Means are over sets, each weighing the same; their intervals "
    "are 1.96 standard errors. Tail: labels with at most five training texts."
)


def format_effect(records, differences):
    """Tables and notes.

    Parameters
    ----------
    records : list of dict
        Of one set and setting, those with the parameters of the last one count; of a seed, the
        last.
    differences : list of dict
        As `difference_lines` gives them; runs of none have no place among the differences.

    Returns
    -------
    text : str
    """
    groups, n_left_out = _group(records)
    names = _set_names(groups)
    parts = [*_figures(groups, names, _SCORES), "", *_figures(groups, names, _VECTORS), ""]
    parts += [_LEGEND, *_set_notes(groups, names), *_origin(groups)]
    rows, notes = difference_rows(groups, names, differences)
    if rows:
        table = _markdown(["set", "difference", "seeds", *FIGURES.values()], rows)
        parts += ["", *table, "", _DIFFERENCE_LEGEND, *notes]
    if n_left_out:
        parts.append(f"{n_left_out} records of other parameters or earlier runs left out.")
    return "\n".join(parts)


def _figures(groups, names, columns):
    """Lines of a table of means over seeds."""
    rows = []
    for group in groups:
        figures = [record["figures"] for record in group]
        cells = [_cell([f.get(name) for f in figures], *form) for name, _, *form in columns]
        rows.append([names[_texts_of(group[0])], _model_name(group[0]), str(len(group)), *cells])
    return _markdown(["set", "setting", "seeds", *(column[1] for column in columns)], rows)
