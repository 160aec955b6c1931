"""One run: a set in memory, a model fitted on it, all its figures."""

import re
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from skrr2qc import LabelSpace, metrics
from skrr2qc.datasets import load_set

from ._machine import describe_machine, peak_memory
from ._models import MODELS, parameters_of, set_everywhere
from ._per_text import MAX_TAIL, Ranking, first_label
from ._sets import label_groups

N_CHARACTERS = {"eurlex57k": 3000}  # laws of up to a million characters; models read the beginning
_HELD_OUT = 0.2
_SPLIT_SEED = 0
_WARNING_LENGTH = 300


@dataclass(frozen=True)
class Task:
    """What is fitted: everything a run depends on but the texts."""

    model: str
    seed: int
    encoder: str  # as RCPTEncoder takes it
    shown: str  # the same, as it is recorded
    device: str = "auto"
    verbose: int = 0


@dataclass(frozen=True)
class TextSet:
    """Texts to train and to evaluate on, and what is recorded about them."""

    name: str
    part: str
    labels: LabelSpace
    train: list[str]
    Y_train: sp.csr_matrix
    test: list[str]
    Y_test: sp.csr_matrix
    selection: dict  # subset and n_characters
    groups: dict = field(default_factory=dict)  # of labels that the set itself tells apart: columns

    def describe(self):
        """What identifies these texts in a record."""
        return {
            "set": self.name,
            "part": self.part,
            "n_train": len(self.train),
            "n_test": len(self.test),
            "n_labels": self.Y_train.shape[1],
            **self.selection,
        }


def load(name, *, part="test", n_characters=None, subset=None, limit_train=None):
    """Read a set from the folder named by ``SKRR2QC_DATA``.

    Parameters
    ----------
    name : str
    part : {"test", "val"}, default="test"
        What to evaluate on; the other one is not touched. A set without a validation part lends
        a fifth of its training part, always the same.
    n_characters, subset : as in `skrr2qc.datasets.load_set`; 0 characters for whole texts
    limit_train : int, default=None
        Train on that many rows at most, drawn with a fixed seed.

    Returns
    -------
    texts : TextSet
    """
    n_characters = N_CHARACTERS.get(name) if n_characters is None else n_characters or None
    data = load_set(None, name, n_characters=n_characters, subset=subset)
    train, test = (data.train.texts, data.train.Y), data[part]
    rng = np.random.default_rng(_SPLIT_SEED)
    if test is not None:
        test = (test.texts, test.Y)
    elif part == "val":
        order = rng.permutation(len(train[0]))
        n_test = round(_HELD_OUT * len(order))
        train, test = _rows(train, order[n_test:]), _rows(train, order[:n_test])
    else:
        raise ValueError(f"the set {name!r} has no test part")
    if limit_train is not None and limit_train < len(train[0]):
        train = _rows(train, rng.permutation(len(train[0]))[:limit_train])
    selection = {"subset": subset, "n_characters": n_characters}
    groups = _columns_of_groups(label_groups(name), data.labels.names)
    return TextSet(name, part, data.labels, *train, *test, selection, groups)


def _columns_of_groups(groups, names):
    place = {label: column for column, label in enumerate(names)}
    unknown = [label for known in groups.values() for label in known if label not in place]
    if unknown:
        raise ValueError(f"`groups` of labels.json names {unknown[0]!r}, which is no label")
    return {group: [place[label] for label in known] for group, known in groups.items() if known}


def key_of(task, texts):
    """What a record must agree in for a run to be the same as a new one."""
    from skrr2qc import __version__

    estimator = MODELS[task.model](task.seed, task.encoder, texts.labels)
    has_encoder = estimator.get_params(deep=False).get("encoder") is not None
    return {
        **texts.describe(),
        "model": task.model,
        "encoder": task.shown if has_encoder else None,
        "seed": task.seed,
        "parameters": parameters_of(estimator, task.encoder, task.shown),
        "version": __version__,
    }


def run(task, texts):
    """Fit one model and measure it; a record of JSON types."""
    return measure(task, texts)[0]


def measure(task, texts):
    """Fit one model and measure it.

    Returns
    -------
    record : dict
        Of JSON types.
    ranking : Ranking
        What it made of each text.
    """
    estimator = MODELS[task.model](task.seed, task.encoder, texts.labels)
    set_everywhere(estimator, device=task.device, verbose=task.verbose)
    memory_before = peak_memory()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start, start_processor = time.perf_counter(), time.process_time()
        estimator.fit(texts.train, texts.Y_train)
        fitted, fitted_processor = time.perf_counter(), time.process_time()
        fit_memory = peak_memory()
        scores = estimator.predict_proba(texts.test)
        scored, scored_processor = time.perf_counter(), time.process_time()
        Y_pred = estimator.predict(texts.test)
        memory = peak_memory()
    Y_pred = with_first_label(texts.Y_train, scores, Y_pred)
    figures = evaluate(texts.Y_train, texts.Y_test, scores, Y_pred)
    figures |= evaluate_groups(texts, scores)
    figures |= {
        "fit_seconds": fitted - start,
        "fit_processor_seconds": fitted_processor - start_processor,  # of all threads
        "ms_per_text": 1000 * (scored - fitted) / len(texts.test),
        "processor_ms_per_text": 1000 * (scored_processor - fitted_processor) / len(texts.test),
        "start_memory_mib": memory_before,  # packages and texts
        "fit_memory_mib": fit_memory,
        "memory_mib": memory,
    }
    figures |= _costs_apart(estimator, len(texts.test))
    record = {
        **key_of(task, texts),
        "figures": {name: _number(value) for name, value in figures.items()},
        "fitted": _fitted(estimator),
        "warnings": _summary(caught, task),
        **describe_machine(),
    }
    return record, Ranking.from_scores(texts.Y_train, texts.Y_test, scores, Y_pred)


def _costs_apart(estimator, n_texts):
    """Costs of a peer that works in a process of its own; nothing of any other model."""
    costs = getattr(estimator, "costs_", None)
    if costs is None:
        return {}
    shown = {"ms_per_text": 1000 * costs["predict_seconds"] / n_texts}
    return costs | shown | {"memory_mib": costs["fit_memory_mib"]}


def stopped(task, texts, time_limit):
    """The record of a run that was not done in time."""
    figures = {"stopped_after_seconds": time_limit}
    return {**key_of(task, texts), "figures": figures, "warnings": [], **describe_machine()}


def with_first_label(Y_train, scores, Y_pred):
    """Predictions in which each text has a label, its first, if all training texts have some.

    Our own classifier predicts so; no other model should do worse for want of a rule.
    """
    Y_pred = sp.csr_matrix(Y_pred, dtype=np.float64)
    Y_pred.eliminate_zeros()
    has_none = Y_pred.getnnz(axis=1) == 0
    if not has_none.any() or not sp.csr_matrix(Y_train).getnnz(axis=1).all():
        return Y_pred
    first = first_label(metrics.top_k(scores, 1), Y_pred.shape[1])
    return sp.csr_matrix(Y_pred + sp.diags_array(has_none.astype(np.float64)) @ first)


def evaluate(Y_train, Y_test, scores, Y_pred):
    """All quality figures, in [0, 1]; test labels without training texts count as missed."""
    n_labels = Y_test.shape[1]
    five = min(5, n_labels)
    propensities = metrics.jain_propensities(Y_train)
    with warnings.catch_warnings():  # a group without rows is nan, and shown as such
        warnings.simplefilter("ignore", RuntimeWarning)
        figures = {
            f"precision_at_{k}": metrics.precision_at_k(Y_test, scores, min(k, n_labels))
            for k in (1, 3, 5)
        }
        figures |= {
            "ndcg_at_5": metrics.ndcg_at_k(Y_test, scores, five),
            "r_precision_at_5": metrics.r_precision_at_k(Y_test, scores, five),
            "psprecision_at_5": metrics.psprecision_at_k(Y_test, scores, five, propensities),
            "recall_at_5": metrics.recall_at_k(Y_test, scores, five),
            "mean_reciprocal_rank": metrics.mean_reciprocal_rank(Y_test, scores),
            "micro_f1": metrics.label_f1(Y_test, Y_pred),
            "macro_f1": metrics.label_f1(
                Y_test, Y_pred, average="macro", zero_division="supported"
            ),
            "macro_f1_at_1": metrics.f1_at_1(
                Y_test, scores, average="macro", zero_division="supported"
            ),
            "macro_f1_at_1_all": metrics.f1_at_1(Y_test, scores, average="macro"),
            "macro_f1_at_1_paper": metrics.f1_at_1(
                Y_test, scores, average="macro", zero_division=1
            ),
            "tail_ndcg_at_5": metrics.tail_ndcg_at_k(Y_test, scores, five, Y_train, MAX_TAIL),
            "tail_ndcg_at_5_among_tail": metrics.tail_ndcg_at_k(
                Y_test, scores, five, Y_train, MAX_TAIL, ranked="tail"
            ),
        }
        for group, entry in metrics.label_group_report(Y_test, scores, Y_train, five).items():
            figures[f"macro_f1_at_1_{group}"] = entry["macro_f1_at_1"]
    return figures


def evaluate_groups(texts, scores):
    """Figures of each group that the set tells apart, as if there were no other labels."""
    figures = {}
    for group, columns in texts.groups.items():
        Y, among = texts.Y_test[:, columns], scores[:, columns]
        name, k = re.match(r"\w*", group).group(), min(5, len(columns))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            figures[f"ndcg_at_5_among_{name}"] = metrics.ndcg_at_k(Y, among, k)
            figures[f"r_precision_at_5_among_{name}"] = metrics.r_precision_at_k(Y, among, k)
    return figures


def _rows(part, rows):
    texts, Y = part
    rows = np.sort(rows)
    return [texts[i] for i in rows], Y[rows]


def _fitted(estimator):
    """What fitting chose, for those who read the records."""
    names = ("n_validation_", "C_", "version_")
    found = {name: _number(getattr(estimator, name)) for name in names if hasattr(estimator, name)}
    if hasattr(estimator, "threshold_"):
        found["threshold_"] = _number(np.median(estimator.threshold_))
    found |= {f"weight_{n}": w for n, w in getattr(estimator, "channel_weights_", {}).items()}
    history = getattr(getattr(estimator, "head_", estimator), "history_", None)
    if history:
        found["n_epochs"] = len(history)
        found["last_epoch"] = {name: _number(value) for name, value in history[-1].items()}
    return found


def _number(value):
    if value is None or isinstance(value, (str, int)):
        return value
    return float(value) if np.isfinite(value) else None  # JSON has no nan


def _summary(caught, task):
    """Each warning once, with how often it came; paths of the encoder replaced."""
    counts = Counter(
        f"{item.category.__name__}: {str(item.message).replace(task.encoder, task.shown)}"
        for item in caught
    )
    return [
        f"{text[:_WARNING_LENGTH]}{f' ({n} times)' if n > 1 else ''}" for text, n in counts.items()
    ]
