"""EURLEX57K: the lines that others published beside kept runs on its official test part."""

import numpy as np

from ._table import _markdown

_COLUMNS = {
    "precision_at_1": "P@1",
    "precision_at_5": "P@5",
    "r_precision_at_5": "RP@5",
    "ndcg_at_5": "nDCG@5",
    "micro_f1": "micro-F1",
    "r_precision_at_5_among_frequent": "frequent RP@5",
    "r_precision_at_5_among_few": "few RP@5",
    "r_precision_at_5_among_zero": "zero RP@5",
}
# Trained on all 45,000 documents. BERT-base and BIGRU-LWAN: Chalkidis et al., ACL 2019 (arXiv
# 1906.02192), P@5 as listed by paperswithcode.com. The linear ensemble's source is not at hand.
_PUBLISHED = {
    "linear tree ensemble, published": {"precision_at_1": 91.25, "precision_at_5": 68.34},
    "BERT-base, published": {
        "precision_at_5": 68.7,
        "r_precision_at_5": 79.6,
        "ndcg_at_5": 82.3,
        "micro_f1": 73.2,
    },
    "BIGRU-LWAN, published": {"r_precision_at_5": 76.6, "ndcg_at_5": 79.6, "micro_f1": 69.8},
}
_PUBLISHED_TRAINING = "45,000"
_SET = "eurlex57k"
_N_CHARACTERS = 3000


def format_eurlex(records):
    """The table, as Markdown; empty without runs on the set.

    Parameters
    ----------
    records : list of dict
        Of `benchmarks.compare`; of one model, encoder and number of training texts all seeds.
    """
    found = {}
    for record in filter(_is_shown, records):
        key = (record["n_train"], record["model"], record["encoder"])
        found.setdefault(key, {})[record["seed"]] = record["figures"]
    if not found:
        return ""
    rows = []
    for (n_train, model, encoder), seeds in sorted(found.items(), key=lambda item: item[0][0]):
        shown = f"{model} ({encoder})" if encoder else model
        rows.append([shown, f"{n_train:,}", *_cells(list(seeds.values()))])
    for name, figures in _PUBLISHED.items():
        cells = [f"{figures[c]:.1f}" if c in figures else "-" for c in _COLUMNS]
        rows.append([name, _PUBLISHED_TRAINING, *cells])
    note = (
        "Official test part, 6,000 documents cut after 3,000 characters. RP@5: R-precision. "
        "frequent, few, zero: among the labels of one group alone, which have at least 50, 1 to "
        "49, or none of the 45,000 training documents; a training part of 5,000 has seen fewer. "
        "89 test documents have a label of the group zero. "
        "Published lines are of models trained on all 45,000: BERT-base and BIGRU-LWAN of "
        "[Chalkidis et al., 2019](https://arxiv.org/abs/1906.02192); where the linear tree "
        "ensemble was first reported we could not find again."
    )
    header = ["model", "trained on", *_COLUMNS.values()]
    return "\n".join([*_markdown(header, rows), "", note])


def summarize_eurlex(records):
    """One sentence: our longest training beside BERT-base; empty without such a run."""
    found = [
        r
        for r in filter(_is_shown, records)
        if r["model"].startswith("skrr2qc") and f"{r['n_train']:,}" == _PUBLISHED_TRAINING
    ]
    if not found:
        return ""
    ours, bert = found[-1]["figures"], _PUBLISHED["BERT-base, published"]
    names = ("precision_at_5", "r_precision_at_5", "ndcg_at_5", "micro_f1")
    shown = [f"{_COLUMNS[n]} {100 * ours[n]:.1f} ({bert[n]:.1f})" for n in names]
    minutes = ours["fit_processor_seconds"] / 60
    return (
        f"Trained on all {_PUBLISHED_TRAINING} documents of EURLEX57K, one training of the compact "
        f"backbone in {minutes:.0f} minutes of one thread, beside published figures of a "
        f"fine-tuned BERT-base in brackets: {', '.join(shown)}."
    )


def _is_shown(record):
    place = (record["set"], record["part"], record["n_characters"])
    return place == (_SET, "test", _N_CHARACTERS) and "precision_at_1" in record["figures"]


def _cells(seeds):
    cells = []
    for name in _COLUMNS:
        values = [figures[name] for figures in seeds if figures.get(name) is not None]
        cells.append(f"{100 * np.mean(values):.1f}" if values else "-")
    return cells
