"""Tables of the kept measurements of meta-labels and solutions, in Markdown."""

from ._bootstrap import N_RESAMPLES
from ._differences import FIGURES, cells
from ._reranking_means import mean_rows
from ._table import _cell, _group, _markdown, _origin, _set_names, _set_notes, _texts_of

MEASUREMENTS = ("maps", "effect", "differences", "arithmetic", "solutions", "leaks")
_SCORES = FIGURES | {"psprecision_at_5": "PSP@5"}
_CHANNELS = ("head", "lexical", "label_texts")
_EVIDENCE = (
    "retrieval", "rare_retrieval", "meta_labels", "neighbors", "rare_neighbors", "votes",
    "co_occurrence",
)  # fmt: skip
_MOST_SECONDS, _MOST_MIB = 2, 1024  # asked of Eq. 15

_LEGENDS = {
    "maps": (
        "Hierarchy: whether one was given. Without: labels without a meta-label; alone: labels "
        "that keep a phrase against the rules; coverage, precision, recall, F1: percent; of pairs "
        "of labels that share a meta-label, against the experts. Asked: F1 of 60 on da20k and "
        "math_junior. Rules: what breaks each of the five. "
    ),
    "similarity": (
        "Cosines between the labels of a set -> between its meta-labels: mean, variance, and "
        "percent of the pairs above 0.8. characters: latent semantic analysis of runs of "
        "characters."
    ),
    "effect": (
        "Percent, means over seeds; ± is half the distance between the best and the worst seed. "
        "All variants of a row's map are of one fit: network is its head alone, retrieval all of "
        "its channels before reranking, product Eq. 15 with an exponent of 1, learned the "
        "combination of all evidence. auto: a "
        "NameDecomposer, without the experts' map. macro-F1@1: of the first label, over labels "
        "that have a test text; tail: labels with at most five training texts."
    ),
    "differences": (
        f"Points, with 95 % intervals of a paired bootstrap over test texts ({N_RESAMPLES:,} "
        "resamples, means over seeds: how seeds vary is not in them); the tail's over texts with "
        "a rare label. * the interval does not hold 0. network: the head alone, without the "
        "channels of words and label names. no map: retrieval of another fit, which has no "
        "meta-labels to learn from."
    ),
    "means": (
        "Means weigh all sets the same; their intervals are 1.96 standard errors. The better is "
        "for each set the variant with the higher nDCG@5, product or learned, chosen on the same "
        "texts that it is shown for: this flatters it, and intervals do not know of it. Asked of "
        "the better, on average: nDCG@5 +1.0, macro-F1@1 +1.5, tail nDCG@5 +3."
    ),
    "weights": (
        "Means over seeds. Of log-odds of retrieval, log of the mean meta-label score, likeness to "
        "the nearest training text of a label, the same for rare labels, the votes of near "
        "training texts, and what a text's best labels let expect of others; then the shares of "
        "the channels that retrieval is made of."
    ),
    "costs": (
        "Means over seeds. (m): a folder of fitted parts was given, so that a fit may have been "
        "fetched. head s, meta s: of the last training of the head, and of a classifier of "
        "meta-labels alone. retrieval s: of scoring the timed texts; product, learned: how many "
        "times as long, median of alternating rounds. Asked: 1.1 with one tower, 2 with two. "
        "MiB: peak memory of the process."
    ),
    "arithmetic": (
        "Eq. 15 on random scores; each label has one to five meta-labels. Peak with the input, and "
        f"growth above it, in MiB. Asked: {_MOST_SECONDS} seconds, {_MOST_MIB} MiB."
    ),
    "solutions": (
        "Percent. texts and solutions: a SolutionAugmenter (strip='labels') before the same "
        "model, in fit and prediction. Of da20k only the test part has solutions: four fifths of "
        "it train, one fifth is evaluated."
    ),
    "leaks": (
        "Percent. Text, solution, stripped: of texts, of solutions, and of solutions without "
        "sentences that name a label, those that name a label of the text; added: of solutions, "
        "those that do where the text does not. Kept: tokens that stripping leaves."
    ),
}


def format_reranking(records):
    """Tables and notes; of equal measurements, the last one counts.

    Parameters
    ----------
    records : list of dict

    Returns
    -------
    text : str
    """
    by_kind = {kind: [r for r in records if r["measurement"] == kind] for kind in MEASUREMENTS}
    parts = [*_maps(by_kind["maps"]), *_effect(by_kind["effect"], by_kind["differences"])]
    parts += _arithmetic(by_kind["arithmetic"])
    parts += _solutions(by_kind["solutions"], by_kind["differences"])
    parts += _leaks(by_kind["leaks"])
    return "\n".join(parts[:-1])


def _maps(records):
    latest = _latest(records, "set", "method", "hierarchy")
    if not latest:
        return []
    rows, similarities = [], []
    for record in latest:
        about = [record["set"], record["method"], "yes" if record["hierarchy"] else "no"]
        pairs = (record["method"] != "experts" and record["pairs"]) or {}
        rows.append([
            *about, *(f"{record[n]:,}" for n in ("n_labels", "n_meta_labels")),
            f"{record['mean_per_label']:.2f}", str(record["n_without"]), str(record["n_kept"]),
            _percent(record["coverage"]),
            " ".join(str(n) for _, n in sorted(record["violations"].items())),
            *(_percent(pairs.get(n)) for n in ("precision", "recall", "f1")),
            "-" if record["seconds"] is None else f"{record['seconds']:.2f}",
        ])  # fmt: skip
        similarities += [
            [*about, shown, *_similarity(parts)] for shown, parts in record["similarity"].items()
        ]
    header = [
        *("set", "map", "hierarchy", "labels", "meta-labels", "per label", "without", "alone"),
        *("coverage", "rules 1 2 3 4 5", "precision", "recall", "F1", "s"),
    ]
    of_similarity = ["set", "map", "hierarchy", "embedding", "mean", "variance", "above 0.8"]
    return [
        *_table("maps", header, rows),
        *_table("similarity", of_similarity, similarities, _origins(latest)),
    ]


def _similarity(parts):
    labels, meta = parts["labels"], parts["meta_labels"]
    forms = (("mean", 1, 3), ("variance", 1, 4), ("share_above", 100, 2))
    return [
        f"{factor * labels[name]:.{digits}f} -> {factor * meta[name]:.{digits}f}"
        for name, factor, digits in forms
    ]


def _effect(records, differences):
    groups, n_left_out = _group(records)
    if not groups:
        return []
    names = _set_names(groups)
    found = _of_groups(groups, [d for d in differences if d["of"] == "effect"])
    notes = [*_set_notes(groups, names), *_origin(groups)]
    if n_left_out:
        notes.append(f"{n_left_out} records of other parameters or earlier runs left out.")
    parts = _table("effect", ["set", "map", "variant", "seeds", *_SCORES.values()],
                   _figures(groups, names), notes)  # fmt: skip
    parts += _differences(found, names, "map")
    means = mean_rows(found)
    header = ["sets", "map", "variant", "against", *FIGURES.values()]
    parts += _table("means", header, means) if means else []
    header = ["set", "map", *_EVIDENCE, *(f"channel {name}" for name in _CHANNELS)]
    parts += _table("weights", header, [_weights(group, names) for group in groups])
    header = [
        *("set", "map", "fit s", "head s", "meta s", "texts timed", "retrieval s", "product"),
        *("learned", "MiB"),
    ]
    return parts + _table("costs", header, [_costs(group, names) for group in groups])


def _figures(groups, names):
    """A row for each variant of each group of runs."""
    rows = []
    for group in groups:
        first = group[0]
        about = [f"{names[_texts_of(first)]}{_encoder(first)}", first["model"]]
        for variant in first["variants"]:
            figures = [record["variants"][variant] for record in group]
            cells = [_cell([f[name] for f in figures], 1, 100) for name in _SCORES]
            rows.append([*about, variant, str(len(group)), *cells])
    return rows


def _differences(found, names, model):
    rows = [
        [
            f"{names[_texts_of(record)]}{_encoder(record)}", record["model"], variant,
            record["against"], str(len(record["seeds"])), *cells(figures),
        ]
        for record in found
        for variant, figures in record["differences"].items()
    ]  # fmt: skip
    worse = sorted({
        f"{row[2]} of {row[1]} on {row[0]}"
        for record, row in zip(_by_row(found), rows, strict=True)
        if _is_own(record) and any(c.startswith("-") and c.endswith("*") for c in row[5:])
    })  # fmt: skip
    if not rows:
        return []
    shown = "; ".join(worse) or "none"
    note = f"Significantly worse than the baseline of the same fit, in some figure: {shown}."
    header = ["set", model, "variant", "against", "seeds", *FIGURES.values()]
    return _table("differences", header, rows, [note])


def _by_row(found):
    return [record for record in found for _ in record["differences"]]


def _is_own(record):
    return record["runs"] == record["base_runs"]


def _weights(group, names):
    first = group[0]
    weights = [record["fitted"].get("combination", {}) for record in group]
    shares = [record["fitted"] for record in group]
    return [
        f"{names[_texts_of(first)]}{_encoder(first)}", first["model"],
        *(_cell([w.get(name) for w in weights], 2) for name in _EVIDENCE),
        *(_cell([s.get(f"weight_{name}") for s in shares], 2) for name in _CHANNELS),
    ]  # fmt: skip


def _costs(group, names):
    first = group[0]
    forms = (
        *(("fit_seconds", 0), ("head_seconds", 0), ("meta_seconds", 0), ("n_timed", 0)),
        *(("retrieval_seconds", 2), ("product_ratio", 2), ("learned_ratio", 2), ("memory_mib", 0)),
    )
    cells = [_cell([r["figures"].get(name) for r in group], digits) for name, digits in forms]
    cells[0] += " (m)" if any(r["memory"] for r in group) else ""
    cells[3] = str(first["figures"]["n_timed"])
    return [f"{names[_texts_of(first)]}{_encoder(first)}", first["model"], *cells]


def _arithmetic(records):
    latest = _latest(records, "n_texts", "n_labels", "n_meta", "seed", "in_process")
    rows = []
    for record in latest:
        f = record["figures"]
        low, high = min(f["seconds_of_each"]), max(f["seconds_of_each"])
        growth = "-" if f["growth_mib"] is None else f"{f['growth_mib']:.0f}"
        rows.append([
            *(f"{record[name]:,}" for name in ("n_texts", "n_labels", "n_meta")),
            f"{f['meta_per_label']:.1f}", f"{f['seconds']:.2f} ({low:.2f}-{high:.2f})",
            "-" if f["peak_mib"] is None else f"{f['peak_mib']:.0f}",
            growth if f["is_exact"] or growth == "-" else f"<= {growth}",
        ])  # fmt: skip
    header = ["texts", "labels", "meta-labels", "per label", "s", "peak", "growth"]
    return _table("arithmetic", header, rows, _origins(latest)) if rows else []


def _solutions(records, differences):
    groups, _ = _group(records)
    if not groups:
        return []
    names = _set_names(groups)
    found = _of_groups(groups, [d for d in differences if d["of"] == "solutions"])
    notes = [*_set_notes(groups, names), *_origin(groups)]
    header = ["set", "model", "input", "seeds", *_SCORES.values()]
    parts = _table("solutions", header, _figures(groups, names), notes)
    return parts + _differences(found, names, "model")


def _leaks(records):
    latest = _latest(records, "set", "part", "strip")
    shares = ("in_text", "in_solution", "in_stripped", "added", "announced", "kept", "emptied")
    rows = [
        [
            f"{record['set']} {record['part']}", record["strip"], f"{record['n_solutions']:,}",
            *(_percent(record["figures"][name]) for name in (*shares, "loops", "truncated")),
        ]
        for record in latest
    ]  # fmt: skip
    header = [
        *("set", "strip", "solutions", "text", "solution", "stripped", "added", "announced"),
        *("kept", "emptied", "loops", "above 256 tokens"),
    ]
    return _table("leaks", header, rows, _origins(latest)) if rows else []


def _of_groups(groups, differences):
    """The last differences of each group of runs and baseline, in the order of the groups."""
    found = []
    for group in groups:
        runs = {record["run"] for record in group}
        same = {d["against"]: d for d in differences if d["runs"] and runs.issuperset(d["runs"])}
        found += same.values()
    return found


def _table(name, header, rows, notes=()):
    return [*_markdown(header, rows), "", _LEGENDS[name].strip(), *notes, ""]


def _latest(records, *names):
    return list({tuple(record[name] for name in names): record for record in records}.values())


def _origins(records):
    """Versions and machine; a seed of 0 where a measurement has none."""
    return _origin([[{"seed": 0, **record} for record in records]])


def _encoder(record):
    return f" ({record['encoder']})" if record["encoder"] else ""


def _percent(share):
    return "-" if share is None else f"{100 * share:.1f}"
