"""One run of the pre-training comparison: an encoder, the same head after it, every figure."""

import hashlib
import json
import time
import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skrr2qc import ClassCenterHead, RCPTEncoder, metrics
from skrr2qc.hierarchy import distance_ranks, label_set_distances
from skrr2qc.modules import CompactBackbone, PretrainedBackbone

from ._machine import describe_machine, peak_memory
from ._models import WHOLE_BACKBONE, parameters_of, set_everywhere
from ._per_text import Ranking
from ._runs import Task, _number, _summary, evaluate

SETTINGS = {
    "none": {"n_epochs": 0},
    "tapt": WHOLE_BACKBONE | {"rank_weight": 0},
    "rcpt": {},
    "quesco": WHOLE_BACKBONE
    | {
        "label_sets": "first",
        "views": "augmented",
        "variant": "rince",
        "closeness": "none",
        "rank_weight": 1.0,
        "max_temperature": 0.6,
        "temperature_spacing": "linear",
        "own_key_positive": True,
        "projection_size": 128,
    },
}
_MOST_COMPARED = 2_000  # held-out texts whose pairs are looked at

# Microseconds a token and pass on two cores, measured where a record says no better: of head,
# language model, and ranking beside it.
_RATES = {"compact": (15, 20, 30), "other": (180, 330, 450)}
_MOST_TOKENS = 256
_TOKEN_BYTES = 4  # about, of English and Chinese alike


@dataclass(frozen=True)
class EffectTask(Task):
    """A setting (`model`) and the parameters that were given in place of its own."""

    given: tuple = ()

    @property
    def title(self):
        """How a table calls it."""
        return " ".join([self.model, *(f"{name}={value}" for name, value in self.given)])

    def estimator(self, labels):
        """The unfitted head, and in it the unfitted encoder."""
        own = {"device": self.device, "verbose": self.verbose, "random_state": self.seed}
        parameters = SETTINGS[self.model] | dict(self.given)
        encoder = RCPTEncoder(self.encoder, labels=labels, **parameters)
        return set_everywhere(ClassCenterHead(set_everywhere(encoder, **own), labels=labels), **own)


def key_of(task, texts):
    """What a record must agree in for a run to be the same as a new one."""
    from skrr2qc import __version__

    return {
        **texts.describe(),
        "model": task.title,
        "setting": task.model,
        "encoder": task.shown,
        "seed": task.seed,
        "parameters": parameters_of(task.estimator(texts.labels), task.encoder, task.shown),
        "version": __version__,
    }


def run(task, texts):
    """Fit encoder and head, and measure both.

    Parameters
    ----------
    task : EffectTask
    texts : TextSet

    Returns
    -------
    record : dict of JSON types
        Its `run` names the line of the ranking.
    ranking : Ranking
        What head and encoder made of each text.
    """
    head, costs = task.estimator(texts.labels), {"start_memory_mib": peak_memory()}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        encoder = head.encoder
        with _measured("encoder", costs):
            encoder.fit(texts.train, texts.Y_train)
        head.set_params(encoder=FrozenEstimator(encoder))
        with _measured("head", costs):
            head.fit(texts.train, texts.Y_train)
        with _measured("test", costs):
            scores = head.predict_proba(texts.test)
        Y_pred = head.predict(texts.test)
        unseen = texts.Y_train.getnnz(axis=0) == 0
        scores[:, unseen], Y_pred[:, unseen] = -1.0, 0  # a label without a training text is last
        found = evaluate(texts.Y_train, texts.Y_test, scores, Y_pred)
        found |= {
            "fit_seconds": costs["encoder_seconds"] + costs["head_seconds"],
            "ms_per_text": 1000 * costs.pop("test_seconds") / len(texts.test),
            "memory_mib": costs.pop("test_memory_mib"),
            **costs,
        }
        found |= describe_vectors(encoder, texts)
    record = {
        **key_of(task, texts),
        "figures": {name: _number(value) for name, value in found.items()},
        "fitted": {"encoder": _ends(encoder.history_), "head": _ends(head.history_)},
        "warnings": _summary(caught, task),
        **describe_machine(),
    }
    content = json.dumps(record, sort_keys=True).encode()
    record["run"] = hashlib.sha256(content).hexdigest()[:12]
    return record, Ranking.from_scores(texts.Y_train, texts.Y_test, scores, Y_pred)


def describe_vectors(encoder, texts):
    """Figures of held-out vectors of a fitted encoder, beside those before it was trained.

    Parameters
    ----------
    encoder : RCPTEncoder
        Fitted; a clone with ``n_epochs=0`` is what it began with.
    texts : TextSet

    Returns
    -------
    figures : dict
        None where no two texts can be compared; rank order only for labels with a hierarchy.
    """
    before = encoder
    if encoder.history_:
        before = clone(encoder).set_params(n_epochs=0, verbose=0)
        before.fit(texts.train, texts.Y_train)
    rows = _compared_rows(texts.Y_test)
    held_out, Y = [texts.test[i] for i in rows], texts.Y_test[rows]
    ranks = _ranks(Y, texts.labels) if texts.labels.parents else None
    found = {"class_mean_precision_at_1": class_mean_precision(encoder, texts)}
    for suffix, fitted in (("", encoder), ("_before", before)):
        vectors = fitted.transform(held_out)
        found[f"alignment{suffix}"] = _if_defined(metrics.alignment, vectors, Y)
        found[f"uniformity{suffix}"] = _if_defined(metrics.uniformity, vectors)
        if ranks is not None:
            found[f"rank_order_accuracy{suffix}"] = _if_defined(
                metrics.rank_order_accuracy, vectors @ vectors.T, ranks
            )
    return found


def class_mean_precision(encoder, texts):
    """P@1 of the nearest class mean: what the vectors are worth before any head."""
    vectors = encoder.transform(texts.train)
    means = texts.Y_train.T @ vectors  # (L, D)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    scores = encoder.transform(texts.test) @ (means / np.where(lengths, lengths, 1.0)).T
    scores[:, lengths[:, 0] == 0] = -2.0  # below any cosine
    return metrics.precision_at_k(texts.Y_test, scores, 1)


def estimated_seconds(task, texts, records):
    """Seconds that a run will take: as a kept one did, or from the number of tokens.

    Parameters
    ----------
    task : EffectTask
    texts : TextSet
    records : list of dict
        Kept runs, of any seed and number of texts.
    """
    wanted = (texts.name, task.title, task.shown)
    alike = [r for r in records if (r["set"], r["model"], r["encoder"]) == wanted]
    if alike:
        last = alike[-1]
        return last["figures"]["fit_seconds"] * len(texts.train) / last["n_train"]
    kind = CompactBackbone if task.encoder == "compact" else PretrainedBackbone
    parameters = SETTINGS[task.model] | dict(task.given)
    n_epochs = parameters.get("n_epochs")
    n_epochs = kind.pretraining_epochs if n_epochs is None else n_epochs
    of_head, of_language, of_both = _RATES["compact" if kind is CompactBackbone else "other"]
    of_epoch = of_both if parameters.get("rank_weight") != 0 else of_language
    n_tokens = sum(min(_MOST_TOKENS, len(t.encode()) / _TOKEN_BYTES) for t in texts.train)
    return 1e-6 * n_tokens * (n_epochs * of_epoch + kind.n_epochs * of_head)


class _measured:
    """Seconds of a block, and the peak memory at its end, added to `costs`."""

    def __init__(self, name, costs):
        self.name, self.costs = name, costs

    def __enter__(self):
        self.start = time.perf_counter()

    def __exit__(self, *error):
        self.costs[f"{self.name}_seconds"] = time.perf_counter() - self.start
        self.costs[f"{self.name}_memory_mib"] = peak_memory()


def _compared_rows(Y):
    rows = np.flatnonzero(np.diff(Y.indptr))
    if len(rows) <= _MOST_COMPARED:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, _MOST_COMPARED, replace=False))


def _ranks(Y, labels):
    """Ranks of all pairs of texts; -1 for a text and itself."""
    khd = label_set_distances(Y, Y, labels.distances(), labels.max_depth)
    ranks = distance_ranks(khd)
    np.fill_diagonal(ranks, -1)
    return ranks


def _if_defined(metric, *arguments):
    try:
        return metric(*arguments)
    except ValueError:  # too few texts share a label, or differ in rank
        return None


def _ends(history):
    """First and last epoch of a history, and how many there were."""
    rows = [{name: _number(value) for name, value in row.items()} for row in history]
    return {"n_epochs": len(rows), **({"first": rows[0], "last": rows[-1]} if rows else {})}
