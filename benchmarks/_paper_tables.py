"""The tables of the paper's evaluation, drawn from kept runs on public data, beside its figures.

The figures of the paper are those of arXiv 2411.01841: Table 3-4 (all models), 5 (long tail), 6
(who takes labels apart) and 7 (how alike names are); Fig. 5 is the ablation of the report.
"""

import numpy as np

from skrr2qc import metrics

from ._per_text import first_label, is_true
from ._table import _markdown

SETS = ("da20k", "baidu_hs4")
_GROUPS = ("head", "medium", "tail")
_GROUP_COLUMNS = [0, 2, 3]  # of _COLUMNS
_DIGITS = 4
_COLUMNS = ("P@1", "P@2", "micro-F1", "macro-F1")
# P@1, P@2, micro-F1, macro-F1 on DA-20K, trained on 17,933 questions that are not public.
_PUBLISHED = {
    "TextCNN": (60.90, 47.35, 44.22, 32.15),
    "AttentionXML": (60.14, 46.50, 43.67, 30.95),
    "BERT": (60.77, 45.76, 44.12, 31.61),
    "BERT, further pre-trained (TAPT)": (60.49, 46.03, 43.93, 32.12),
    "RR2QC": (62.86, 46.83, 45.65, 35.12),
}
# P@1, micro-F1, macro-F1 on junior mathematics, by group of labels.
_PUBLISHED_GROUPS = {
    "BERT": {
        "head": (79.73, 71.65, 69.58),
        "medium": (65.22, 58.28, 66.56),
        "tail": (40.05, 36.61, 62.18),
    },
    "RR2QC": {
        "head": (81.81, 73.52, 65.92),
        "medium": (72.50, 64.78, 68.56),
        "tail": (53.23, 48.65, 69.04),
    },
}
# P@1, P@2, micro-F1, macro-F1 on junior mathematics.
_PUBLISHED_MAPS = {
    "none": (77.26, 44.03, 73.39, 63.54),
    "expert": (78.36, 45.15, 74.42, 64.03),
    "auto": (77.63, 44.84, 73.73, 62.96),
}
# Mean cosine and share above 0.8 of pairs of label names, then of expert meta-labels.
_PUBLISHED_SIMILARITY = {
    "math_junior": (0.8068, 59.59, 0.6464, 2.02),
    "math_senior": (0.8099, 61.76, 0.6559, 2.42),
    "physics_senior": (0.7549, 29.77, 0.6234, 1.46),
    "da20k": (0.7594, 34.16, 0.6529, 2.34),
}
_MAP_NAMES = {"none": "no meta-labels", "expert": "by experts", "auto": "automatic"}


def format_paper_tables(kept, derived, measurements):
    """Every table, as Markdown with headings; those without runs are left out.

    Parameters
    ----------
    kept : Kept
    derived : Derived
        With a line of `derive_top` for each model that is to be shown.
    measurements : list of dict
        Lines of `benchmarks.reranking`.
    """
    parts = [
        _all_models(kept, derived),
        _long_tail(kept, derived),
        _decompositions(measurements),
        _similarity(measurements),
    ]
    return "\n\n".join(part for part in parts if part)


def derive_top(section, entry, rankings):
    """What the tables need of outcomes text by text, as a line to keep.

    Parameters
    ----------
    section : Section
    entry : Entry
    rankings : list of Ranking
        One a seed.

    Returns
    -------
    line : dict of JSON types
        Means over seeds of `top_figures`: of all labels, and of each third by frequency.
    """
    groups = {"all": None, **metrics.label_groups_by_frequency(rankings[0].counts)}
    figures = {
        group: [None if np.isnan(v) else round(float(v), _DIGITS) for v in _means(rankings, labels)]
        for group, labels in groups.items()
    }
    return {"of": "top", "set": section.name, "left": entry.name, "runs": entry.runs} | figures


def top_figures(ranking, labels=None):
    """P@1, P@2, micro-F1 and macro-F1 of the first label, in percent.

    Parameters
    ----------
    ranking : Ranking
    labels : ndarray of int, default=None
        Only texts with at least one of these labels count, with all of their labels. The macro
        average is that of the paper: over all labels, one without a text or a prediction is 1.
    """
    Y = ranking.Y
    rows = np.arange(Y.shape[0]) if labels is None else np.flatnonzero(Y[:, labels].getnnz(axis=1))
    if not len(rows):
        return [float("nan")] * 4
    Y, top = Y[rows], ranking.top[rows]
    hits, first = is_true(Y, top), first_label(top, Y.shape[1])
    macro = metrics.label_f1(Y, first, average="macro", zero_division=1)
    values = (hits[:, 0].mean(), hits[:, :2].mean(), metrics.label_f1(Y, first), macro)
    return [100 * float(value) for value in values]


def _all_models(kept, derived):
    rows = [[name, shown, *_percent(line["all"])] for name, shown, line in _lines(kept, derived)]
    if not rows:
        return ""
    rows += [["DA-20K, paper", model, *_percent(values)] for model, values in _PUBLISHED.items()]
    note = (
        "Not comparable: the paper trains on 17,933 questions of DA-20K that are not public; da20k "
        "here trains on the 2,241 of its validation part. The test part is the same, and so are "
        "the figures: F1 of the first label alone, macro averages over all labels, where one "
        "without a test text and without a prediction counts as 1. baidu_hs4 is not in the paper."
    )
    return _section("All models (Tables 3 and 4)", ["set", "model", *_COLUMNS], rows, note)


def _long_tail(kept, derived):
    rows = []
    for name, shown, line in _lines(kept, derived):
        values = [line[group][column] for group in _GROUPS for column in _GROUP_COLUMNS]
        rows.append([name, shown, *_percent(values)])
    if not rows:
        return ""
    for model, groups in _PUBLISHED_GROUPS.items():
        cells = [cell for values in groups.values() for cell in _percent(values)]
        rows.append(["junior mathematics, paper", model, *cells])
    header = [f"{g} {c}" for g in _GROUPS for c in ("P@1", "micro", "macro")]
    note = (
        "Labels in thirds by the number of their training texts; texts with at least one label of "
        "the group, all of their labels kept. The paper's third of rare labels has up to 26 "
        "training texts each, that of da20k up to two: only the order of models can be compared."
    )
    return _section("Long tail (Table 5)", ["set", "model", *header], rows, note)


def _decompositions(measurements):
    rows = []
    runs = [
        m
        for m in measurements
        if (m.get("measurement"), m.get("part")) == ("effect", "test") and "variants" in m
    ]
    for name, encoder in dict.fromkeys((run["set"], run["encoder"]) for run in runs):
        for kind, shown in _MAP_NAMES.items():
            place = (name, encoder, kind)
            seeds = {m["seed"]: m for m in runs if (m["set"], m["encoder"], m["map"]) == place}
            for variant in ("product", "learned"):
                found = [m["variants"][variant] for m in seeds.values() if variant in m["variants"]]
                if found:
                    names = ("precision_at_1", "ndcg_at_5", "macro_f1_at_1_paper")
                    means = [100 * np.mean([f[n] for f in found]) for n in names]
                    rows.append(
                        [f"{name} ({encoder})", shown, variant, str(len(found)), *_percent(means)]
                    )
    if not rows:
        return ""
    published = "; ".join(
        f"{_MAP_NAMES[kind]} {v[0]:.1f} P@1 and {v[3]:.1f} macro-F1"
        for kind, v in _PUBLISHED_MAPS.items()
    )
    note = (
        "product: Eq. 15; learned: the combination that is the default. Without meta-labels "
        "the other evidence is combined; rows may be of several states of the combination "
        f"(decision 0022). Paper, junior mathematics: {published}."
    )
    header = ["set", "meta-labels", "combination", "seeds", "P@1", "nDCG@5", "macro-F1"]
    return _section("Who takes labels apart (Table 6)", header, rows, note)


def _similarity(measurements):
    rows = []
    for line in measurements:
        if line.get("measurement") != "maps" or line["set"] not in _PUBLISHED_SIMILARITY:
            continue
        if line["method"] not in ("experts", "names") or line["hierarchy"]:
            continue
        found = line["similarity"]["characters"]
        cells = [
            f"{found[kind][key] * factor:.{digits}f}"
            for kind in ("labels", "meta_labels")
            for key, factor, digits in (("mean", 1, 3), ("share_above", 100, 2))
        ]
        mean, share, meta_mean, meta_share = _PUBLISHED_SIMILARITY[line["set"]]
        paper = (
            [f"{mean:.3f}", f"{share:.2f}", f"{meta_mean:.3f}", f"{meta_share:.2f}"]
            if line["method"] == "experts"
            else ["", "", "", ""]
        )
        rows.append([line["set"], line["method"], *cells, *paper])
    if not rows:
        return ""
    header = ["set", "meta-labels", "labels", "> 0.8 %", "meta-labels", "> 0.8 %"]
    header += [f"paper: {title}" for title in header[2:]]
    note = (
        "Mean cosine of all pairs of names, and share of pairs above 0.8. Here names are vectors "
        "of their characters (n-grams), as no Chinese encoder is at hand without a download; the "
        "paper takes those of a BERT, in which all names are alike. Only the direction, from "
        "labels to meta-labels, can be compared."
    )
    return _section("How alike names are (Table 7)", header, rows, note)


def _lines(kept, derived):
    """(set, shown model, derived line) of each model on the sets of the paper."""
    for section in kept.sections:
        if section.example["set"] in SETS and not section.example["subset"]:
            for entry in section.entries:
                if line := derived.top(entry):
                    yield section.name, entry.name, line


def _means(rankings, labels):
    return np.mean([top_figures(ranking, labels) for ranking in rankings], axis=0)


def _percent(values):
    return ["-" if value is None else f"{value:.1f}" for value in values]


def _section(title, header, rows, note):
    return "\n".join([f"### {title}", "", *_markdown(header, rows), "", note])
