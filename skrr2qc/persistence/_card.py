"""What a reader is told of a saved model: its parameters, how it was trained, a model card."""

from sklearn.base import BaseEstimator

from ._classes import PLACES, TRAINING_TEXTS, default_attributes, name_of

_LONGEST = 80
_HEAD = """\
---
library_name: skrr2qc
pipeline_tag: text-classification
tags:
- multi-label-classification
- scikit-learn
---

# {title}

A multi-label text classifier made with skrr2qc, a library for scikit-learn.
"""
_HOW = """
## How to load it

```python
from skrr2qc.persistence import load_model

model = load_model("path/of/this/folder")
model.predict(["a text"])
```

Nothing in the folder is run when it is loaded: `config.json` names parts from a fixed list, weights
are in `model.safetensors`.
"""


def parameters_of(estimator):
    """Parameters of an estimator and of its parts by name, in words where they are objects."""
    return {
        name: _in_json(value)
        for name, value in sorted(estimator.get_params(deep=True).items())
        if name.split("__")[-1] not in PLACES
    }


def changed_parameters(estimator, prefix=""):
    """Those of `parameters_of` that are not what the constructors of their parts default to."""
    defaults, changed = default_attributes(type(estimator)), {}
    for name, value in sorted(estimator.get_params(deep=False).items()):
        if name in PLACES:
            continue
        if repr(value) != repr(defaults.get(name)):
            changed[prefix + name] = _in_json(value)
        if isinstance(value, BaseEstimator):
            changed |= changed_parameters(value, f"{prefix}{name}__")
    return changed


def training_summary(estimator, has_texts=True):
    """Sizes and training history of a fitted estimator, from its attributes.

    Parameters
    ----------
    estimator : fitted estimator
    has_texts : bool
        Whether its training texts are saved with it.

    Returns
    -------
    summary : dict of JSON values
    """
    attributes = vars(estimator)
    summary = {}
    if "classes_" in attributes:
        summary["labels"] = len(attributes["classes_"])
    texts = attributes.get(TRAINING_TEXTS[0])
    if texts is not None:
        summary |= {"texts": len(texts), "training_texts_included": bool(has_texts)}
    if "n_validation_" in attributes:
        summary["rows_held_out"] = int(attributes["n_validation_"])
    if "channel_weights_" in attributes:
        weights = attributes["channel_weights_"]
        summary["channel_weights"] = {str(name): float(w) for name, w in weights.items()}
    rows = _history(attributes.get("history_"))
    if rows:
        summary["epochs"] = rows
    parts = {
        name.removesuffix("_"): training_summary(part)
        for name, part in attributes.items()
        if name.endswith("_") and isinstance(part, BaseEstimator) and name_of(type(part))
    }
    parts = {name: part for name, part in parts.items() if part}
    return summary | ({"parts": parts} if parts else {})


def model_card(config, parameters):
    """README.md of a model, in Markdown with a head that a hub reads.

    Parameters
    ----------
    config : dict
        Content of config.json.
    parameters : dict
        Those to be shown.
    """
    training = config["training"]
    lines = [_HEAD.format(title=config["class"]), "## What it was trained on\n"]
    labels = training.get("labels", len(config["label_spaces"][0]["names"]) if _has(config) else 0)
    lines.append(f"- Labels: {labels:,}")
    if "texts" in training:
        lines.append(f"- Training texts: {training['texts']:,}")
        kept = "are in this folder" if training["training_texts_included"] else "are left out"
        lines.append(f"- The training texts {kept}; `explain` quotes them.")
    if "rows_held_out" in training:
        lines.append(f"- Held out to choose thresholds and weights: {training['rows_held_out']:,}")
    lines.append(f"- Weights: {config['files']['model.safetensors']['size'] / 1e6:,.1f} MB")
    lines.append(f"- Precision of the weights: {config['dtype']}")
    if config["metrics"]:
        lines += ["\n## What it reached\n", "| metric | value |", "| --- | --- |"]
        lines += [f"| {_cell(name)} | {_cell(v)} |" for name, v in config["metrics"].items()]
    lines.append(_HOW)
    lines.append("## Parameters that are not the default\n")
    lines += ["| parameter | value |", "| --- | --- |"]
    lines += [f"| {_cell(name)} | {_cell(v)} |" for name, v in parameters.items()]
    versions = ", ".join(f"{name} {number}" for name, number in config["versions"].items())
    return "\n".join([*lines, f"\nSaved with {versions}.\n"])


def _has(config):
    return bool(config["label_spaces"])


def _in_json(value):
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, float):
        return float(value) if abs(value) < float("inf") else str(value)
    if isinstance(value, BaseEstimator):
        return type(value).__name__
    if isinstance(value, (list, tuple)) and len(value) <= 8:
        return [_in_json(item) for item in value]
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"{type(value).__name__} of shape {tuple(shape)}"
    if type(value).__repr__ is object.__repr__ or callable(value):  # no addresses in memory
        return f"<{type(value).__name__}>"
    return repr(value)[:_LONGEST]


def _history(rows):
    """Number of epochs, seconds, and losses of the last one."""
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        return None
    last = {str(k): _in_json(v) for k, v in rows[-1].items() if isinstance(v, (int, float))}
    return {"number": len(rows), "last": last}


def _cell(value):
    text = str(value).replace("|", "\\|").replace("`", "'")
    return "`" + " ".join(text.split())[:_LONGEST] + "`"
