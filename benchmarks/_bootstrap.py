"""Paired bootstrap over texts, and the file of per-text outcomes that it is drawn from."""

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from skrr2qc.metrics import top_k

from ._records import append_record

FIGURES = ("precision_at_1", "ndcg_at_5", "macro_f1_at_1")
N_RESAMPLES = 10_000
_BLOCK = 500  # resamples at once
_UNDEFINED = "-"


@dataclass(frozen=True)
class Outcome:
    """What a run made of each test text: enough for every figure of `FIGURES`.

    Attributes
    ----------
    best : ndarray of shape (n,), int64
        The label that ranks first.
    ndcg : ndarray of shape (n,)
        nDCG@5; nan for a text without a label.
    Y : csr_matrix of shape (n, L), {0, 1}
    """

    best: np.ndarray
    ndcg: np.ndarray
    Y: sp.csr_matrix

    @classmethod
    def from_scores(cls, Y, scores):
        """Outcome of a score matrix (n, L)."""
        Y = sp.csr_matrix(Y)
        Y.sort_indices()
        ranked = top_k(scores, min(5, Y.shape[1]))
        return cls(ranked[:, 0], ndcg_of_ranked(Y, ranked), Y)

    @property
    def truth(self):
        """Fingerprint of the texts' labels, in order: only runs that share it can be paired."""
        return fingerprint(_pack_labels(self.Y))

    def figures(self, weights):
        """Figures of resampled texts.

        Parameters
        ----------
        weights : ndarray of shape (r, n)
            How often each text was drawn; a row of ones gives the figures of the texts themselves.

        Returns
        -------
        values : ndarray of shape (r, 3)
            In the order of `FIGURES`; nan where nothing is left to average over.
        """
        n_texts = weights.shape[1]
        rows = np.arange(n_texts)
        ones = np.ones(n_texts)
        predicted = sp.csr_matrix((ones, (rows, self.best)), shape=self.Y.shape)
        hits = predicted.multiply(self.Y).tocsr()
        is_defined = ~np.isnan(self.ndcg)
        n_true, n_hits = weights @ self.Y, weights @ hits  # (r, L)
        f1 = 2 * n_hits / np.maximum(n_true + weights @ predicted, 1)
        with np.errstate(invalid="ignore"):
            ndcg = weights @ np.where(is_defined, self.ndcg, 0.0) / (weights @ is_defined)
            macro_f1 = (f1 * (n_true > 0)).sum(axis=1) / (n_true > 0).sum(axis=1)
        precision = n_hits.sum(axis=1) / weights.sum(axis=1)
        return np.column_stack([precision, ndcg, macro_f1])


def paired_bootstrap(left, right, *, n_resamples=N_RESAMPLES, random_state=0):
    """Differences between two groups of runs on the same texts, each averaged over its runs.

    Parameters
    ----------
    left, right : list of Outcome or Ranking
        One a seed. All see the same resamples.
    n_resamples : int
    random_state : int or sequence of int

    Returns
    -------
    observed : ndarray of shape (f,)
        Left minus right, in the order of the `FIGURES` of their kind.
    resampled : ndarray of shape (n_resamples, f)

    Raises
    ------
    ValueError
        If the runs are not of the same texts.
    """
    if len({outcome.truth for outcome in (*left, *right)}) != 1:
        raise ValueError("only runs on the same texts can be compared text by text")
    figures = resampled_figures(
        {"left": left, "right": right}, n_resamples=n_resamples, random_state=random_state
    )
    observed, *resampled = figures["left"] - figures["right"]
    return observed, np.array(resampled)


def resampled_figures(groups, *, n_resamples=N_RESAMPLES, random_state=0):
    """Figures of groups of runs, each averaged over its runs, on resamples that all share.

    Parameters
    ----------
    groups : dict of lists of Outcome or Ranking
        Of the same texts; at least one group.
    n_resamples : int
    random_state : int or sequence of int

    Returns
    -------
    figures : dict of ndarray of shape (1 + n_resamples, f)
        The texts themselves first.
    """
    n_texts = next(iter(groups.values()))[0].Y.shape[0]
    rng = np.random.default_rng(random_state)
    figures = {name: [_means(group, np.ones((1, n_texts)))] for name, group in groups.items()}
    for start in range(0, n_resamples, _BLOCK):
        weights = _draw(n_texts, min(_BLOCK, n_resamples - start), rng)
        for name, group in groups.items():
            figures[name].append(_means(group, weights))
    return {name: np.concatenate(blocks) for name, blocks in figures.items()}


def interval(resampled, level=0.95):
    """Percentile interval of each column; ndarray of shape (2, ...)."""
    tail = (1 - level) / 2
    return np.nanquantile(resampled, [tail, 1 - tail], axis=0)


def append_outcome(path, run, outcome):
    """Keep what a run made of each text; what the texts' labels are, once for all runs."""
    labels = _pack_labels(outcome.Y)
    truth = fingerprint(labels)
    if truth not in _read_lines(path)[0]:
        append_record(path, {"truth": truth, "n_labels": outcome.Y.shape[1], "labels": labels})
    ndcg = [_UNDEFINED if np.isnan(v) else str(round(1000 * v)) for v in outcome.ndcg]
    line = {"best": " ".join(map(str, outcome.best)), "ndcg_at_5_thousandths": " ".join(ndcg)}
    append_record(path, {"run": run, "truth": truth, **line})


def read_outcomes(path):
    """Outcomes of a file by run; nDCG is rounded to three decimals in it."""
    truths, runs = _read_lines(path)
    parsed = {truth: _unpack_labels(**line) for truth, line in truths.items()}
    return {
        run: Outcome(
            np.array(line["best"].split(), dtype=np.int64),
            np.array(
                [
                    np.nan if v == _UNDEFINED else int(v) / 1000
                    for v in line["ndcg_at_5_thousandths"].split()
                ]
            ),
            parsed[line["truth"]],
        )
        for run, line in runs.items()
        if line["truth"] in parsed
    }


def ndcg_of_ranked(Y, ranked):
    """nDCG of each row of ranked labels (n, k); nan for a row without a label."""
    k = ranked.shape[1]
    gains = 1 / np.log2(np.arange(2, k + 2))
    n_true = np.diff(Y.indptr)
    ideal = np.concatenate([[np.nan], np.cumsum(gains)])[np.minimum(n_true, k)]
    return is_true(Y, ranked) @ gains / ideal


def is_true(Y, labels):
    """Whether labels (n, k) are true; -1, which stands for none, never is."""
    hits = np.asarray(Y[np.arange(Y.shape[0])[:, None], labels].todense()) > 0
    return hits & (labels >= 0)


def _draw(n_texts, n_resamples, rng):
    """How often each text was drawn in each resample; (r, n)."""
    drawn = rng.integers(n_texts, size=(n_resamples, n_texts))
    drawn += n_texts * np.arange(n_resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=n_resamples * n_texts)
    return counts.reshape(n_resamples, n_texts).astype(np.float64)


def _means(group, weights):
    return np.mean([outcome.figures(weights) for outcome in group], axis=0)


def _pack_labels(Y):
    rows = np.split(Y.indices, Y.indptr[1:-1])
    return " ".join(",".join(map(str, row)) or _UNDEFINED for row in rows)


def _unpack_labels(labels, n_labels, **_):
    rows = [[] if s == _UNDEFINED else [int(c) for c in s.split(",")] for s in labels.split()]
    indptr = np.cumsum([0, *map(len, rows)])
    indices = np.array([column for row in rows for column in row], dtype=np.int64)
    return sp.csr_matrix((np.ones(len(indices)), indices, indptr), shape=(len(rows), n_labels))


def fingerprint(text):
    """Short name of a content."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _read_lines(path):
    """Lines of a file by fingerprint and by run; one that an interrupted run tore is skipped."""
    truths, runs, path = {}, {}, Path(path)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            found = json.loads(line)
            if "run" in found:
                runs[found["run"]] = found
            else:
                truths[found["truth"]] = found
        except (ValueError, KeyError, TypeError):
            print(f"{path.name}, line {number}: no outcome of a run, skipped", file=sys.stderr)
    return truths, runs
