"""The table of a list of records: sets and models by figures, in Markdown that reads as text."""

from collections import defaultdict

_PERCENT = (
    *(("precision_at_1", "P@1"), ("precision_at_3", "P@3"), ("precision_at_5", "P@5")),
    *(("ndcg_at_5", "nDCG@5"), ("r_precision_at_5", "RP@5"), ("psprecision_at_5", "PSP@5")),
    *(("micro_f1", "micro-F1"), ("macro_f1", "macro-F1"), ("macro_f1_at_1", "macro-F1@1")),
    ("tail_ndcg_at_5", "tail nDCG@5"),
)
_COSTS = (("fit_seconds", "fit s", 0), ("ms_per_text", "ms/text", 2), ("memory_mib", "MiB", 0))

_LEGEND = (
    "Percent. RP: R-precision; PSP: propensity-scored precision; micro-F1, macro-F1: at the "
    "thresholds chosen in fit; macro-F1@1: of the first label; both macro averages over labels "
    "that have a test text; tail: labels with at most five training texts. "
    "MiB: peak memory of the process."
)


def format_report(records):
    """Table and notes.

    Parameters
    ----------
    records : list of dict
        Of one set and model, those with the parameters and version of the last one count; of
        one seed, the last.

    Returns
    -------
    text : str
        Means over seeds; "±" is half the distance between the best and the worst seed.
    """
    groups, n_left_out = _group(records)
    names = _set_names(groups)
    rows, before = [], None
    for group in groups:
        name = names[_texts_of(group[0])]
        rows.append(["" if name == before else name, _model_name(group[0]), *_cells(group)])
        before = name
    header = ["set", "model", *(title for _, title in _PERCENT), *(title for _, title, _ in _COSTS)]
    notes = [_LEGEND, *_set_notes(groups, names), *_origin(groups)]
    if n_left_out:
        notes.append(
            f"{n_left_out} records of other parameters, versions or earlier runs left out."
        )
    return "\n".join([*_markdown(header, rows), "", *notes])


def _group(records):
    """Lists of records, one a seed, in the order of sets, then of models."""
    found = defaultdict(list)
    for record in records:
        found[_texts_of(record), record["model"], record["encoder"]].append(record)
    groups = []
    for members in found.values():
        wanted = [members[-1][name] for name in ("parameters", "version")]
        same = [r for r in members if [r[n] for n in ("parameters", "version")] == wanted]
        groups.append(list({record["seed"]: record for record in same}.values()))
    order = list(dict.fromkeys(_texts_of(record) for record in records))
    groups.sort(key=lambda group: order.index(_texts_of(group[0])))  # stable: models keep theirs
    return groups, len(records) - sum(map(len, groups))


def _texts_of(record):
    return tuple(record[n] for n in ("set", "part", "n_train", "subset", "n_characters"))


def _set_names(groups):
    """Shortest names that tell apart the texts that occur."""
    keys = list(dict.fromkeys(_texts_of(group[0]) for group in groups))
    names = {}
    for key in keys:
        name, part, n_train, subset, n_characters = key
        alike = [other for other in keys if other[:2] == key[:2]]
        parts = [name, part if part != "test" else "", subset or ""]
        if len({other[2] for other in alike}) > 1:
            parts.append(f"n={n_train}")
        if len({other[4] for other in alike}) > 1:
            parts.append(f"{n_characters} chars" if n_characters else "whole")
        names[key] = " ".join(part for part in parts if part)
    return names


def _model_name(record):
    return record["model"] + (f" ({record['encoder']})" if record["encoder"] else "")


def _cells(group):
    figures = [record["figures"] for record in group]
    cells = [_cell([f.get(name) for f in figures], 1, 100) for name, _ in _PERCENT]
    return cells + [_cell([f.get(name) for f in figures], digits) for name, _, digits in _COSTS]


def _cell(values, digits, factor=1):
    values = [factor * value for value in values if value is not None]
    if not values:
        return "-"
    mean = f"{sum(values) / len(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {(max(values) - min(values)) / 2:.{digits}f}"


def _markdown(header, rows, n_text=2):
    """Lines of a table, of which the first columns are text and the others aligned to the right."""
    widths = [max(3, *map(len, column)) for column in zip(header, *rows, strict=True)]
    is_text = [i < n_text for i in range(len(header))]
    rule = [
        ("-" * w if text else "-" * (w - 1) + ":") for w, text in zip(widths, is_text, strict=True)
    ]
    lines = [header, rule, *rows]
    return [
        "| " + " | ".join(_pad(*c) for c in zip(r, widths, is_text, strict=True)) + " |"
        for r in lines
    ]


def _pad(text, width, is_text):
    return text.ljust(width) if is_text else text.rjust(width)


def _set_notes(groups, names):
    notes = {}
    for record in (group[0] for group in groups):
        notes[names[_texts_of(record)]] = (
            f"{record['n_train']:,} training and {record['n_test']:,} {record['part']} texts, "
            f"{record['n_labels']:,} labels"
        )
    return ["Sets: " + "; ".join(f"{name}: {note}" for name, note in notes.items()) + "."]


def _origin(groups):
    """Seeds, versions and machine, once for each combination that occurs."""
    lines = {}
    for record in (record for group in groups for record in group):
        machine, versions = record["machine"], record["versions"]
        hardware = f"{machine['cores']} cores of {machine['cpu']}"
        hardware += " with bfloat16" if machine["bf16"] else ""
        hardware += f", {machine['gpu']}" if machine["gpu"] else ""
        line = f"{hardware}; {', '.join(f'{name} {v}' for name, v in versions.items())}"
        lines.setdefault(line, []).append(record)
    return [
        f"Seeds {', '.join(map(str, sorted({r['seed'] for r in members})))}; "
        f"{min(r['date'] for r in members)[:10]}; {line}."
        for line, members in lines.items()
    ]
