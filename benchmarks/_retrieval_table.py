"""Tables of the kept measurements of retrieval, in Markdown."""

from ._table import _markdown, _origin

_MAX_RATIO, _LEAST_SHARE = 1.1, 50  # asked of prediction, and, in percent, of a training step

_LEGENDS = {
    "speed": (
        "Rate: multiply-adds a second of matrix products in the shapes of the tower's layers, in "
        "billions; needed: those of a training step that no padding takes part in, a second. "
        f"Share: needed by rate, percent; asked: {_LEAST_SHARE}. ms: of a step, then of its "
        "batching, forward pass, backward pass, and update. Ratio: prediction without tokenising "
        f"by a bare pass of the encoder over the same batches; asked: {_MAX_RATIO}. Medians of "
        "rounds in one run, with the least and largest in brackets."
    ),
    "zero-shot": (
        "Percent of a text's labels without training text that are among the ten best: of those "
        "labels alone, and of all. Similarity: cosine of the TF-IDF vectors of text and label "
        "text; chance: ten by the number of labels ranked. zero: the set's own group, which the "
        "whole training part lacks."
    ),
    "memory": (
        "MiB, peak resident memory of a process of its own; above model: what predicting for all "
        "training texts adds to it once the classifier is loaded and has predicted once."
    ),
    "curve": (
        "Percent; plain fine-tuning and ours hold out the same share of rows, and train once. "
        "Of plain: fit seconds by those of plain fine-tuning in the same run."
    ),
}


def format_retrieval(records):
    """Tables and notes; of equal measurements, the last one counts.

    Parameters
    ----------
    records : list of dict

    Returns
    -------
    text : str
    """
    parts = []
    for name, rows_of in _ROWS.items():
        latest = {_identity(r): r for r in records if r["measurement"] == name}
        if latest:
            rows = [row for record in latest.values() for row in rows_of(record)]
            origin = _origin([list(latest.values())])
            parts += [*_markdown(_HEADERS[name], rows), "", _LEGENDS[name], *origin, ""]
    return "\n".join(parts[:-1])


def _identity(record):
    left_out = ("figures", "versions", "machine", "date", "commit", "version", "parameters", "fits")
    named = {k: v for k, v in record.items() if k not in left_out}
    return repr((sorted(named.items()), record["machine"]["cpu"], record["machine"]["gpu"]))


def _speed(record):
    f = record["figures"]
    parts = ("step", "batching", "forward", "backward", "optimizer")
    shares = [100 * share for share in f["share_of_rates"]]
    return [[
        _data(record), f"{record['encoder']} {f['dtype']}",
        *(f"{f[name] / 1e9:.0f}" for name in ("product_rate", "needed_rate")),
        _with_range(100 * f["share_of_rate"], shares, 0),
        *(f"{1000 * f[f'{name}_seconds']:.1f}" for name in parts),
        _with_range(f["prediction_ratio"], f["prediction_ratios"], 2),
        f"{f['prediction_seconds']:.2f}", f"{f['tokenising_seconds']:.2f}",
    ]]  # fmt: skip


def _zero_shot(record):
    rows, f = [], record["figures"]
    for name, group in f["groups"].items():
        about = f"{record['set']} {record['part']}, seed {record['seed']}: {name}, "
        about += f"{group['n_labels']:,} labels, {group['n_texts']:,} texts"
        for method, (alone, among_all) in group["recall_at_10"].items():
            shown = f"{method} ({record['encoder']})" if method == record["model"] else method
            seconds = f"{f['fit_seconds']:.0f}" if method == record["model"] else ""
            rows.append([about, shown, f"{100 * alone:.1f}", f"{100 * among_all:.1f}", seconds])
            about = ""
    return rows


def _memory(record):
    f = record["figures"]
    about = f"{record['set']}: {f['n_train']:,} texts, {f['labels']:,} labels"
    cells = [about, record["encoder"]]
    for name in ("fit_peak_mib", "topk_peak_mib", "proba_peak_mib"):
        cells.append(_whole(f[name]))
    cells += [_bound(f, method) for method in ("topk", "proba")]
    return [[*cells, *(_whole(f[f"{name}_seconds"]) for name in ("fit", "topk", "proba"))]]


def _curve(record):
    about, rows = f"{record['set']} {record['part']}, seed {record['seed']}", []
    plain = record["figures"]["plain_seconds"]
    for point in record["figures"]["points"]:
        cells = [about, f"{point['model']} ({record['encoder']})", str(point["epochs"])]
        cells += [f"{100 * point[name]:.1f}" for name in ("precision_at_1", "ndcg_at_5")]
        seconds = point["fit_seconds"]
        rows.append([*cells, f"{seconds:.0f}", f"{100 * seconds / plain:.0f} %"])
        about = ""
    return rows


def _data(record):
    return f"{record['set']}: {record['n_texts']:,} texts"


def _with_range(value, values, digits):
    return f"{value:.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def _whole(value):
    return "-" if value is None else f"{value:.0f}"


def _bound(figures, method):
    value = _whole(figures[f"{method}_above_model_mib"])
    return value if figures[f"{method}_is_exact"] or value == "-" else f"<= {value}"


_ROWS = {"speed": _speed, "zero-shot": _zero_shot, "memory": _memory, "curve": _curve}
_HEADERS = {
    "speed": [
        *("data", "encoder", "rate", "needed", "share", "step ms", "batching", "forward"),
        *("backward", "update", "ratio", "prediction s", "tokenising s"),
    ],
    "zero-shot": ["labels", "method", "among these", "among all", "fit s"],
    "memory": [
        *("data", "encoder", "fit", "predict_topk", "predict_proba", "topk above model"),
        *("proba above model", "fit s", "topk s", "proba s"),
    ],
    "curve": ["set", "model", "epochs", "P@1", "nDCG@5", "fit s", "of plain"],
}
