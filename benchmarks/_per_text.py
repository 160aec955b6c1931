"""What a run made of each test text, kept so that every claim "better" can be tested in pairs."""

import base64
import hashlib
import json
import sys
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from skrr2qc import metrics

from ._records import append_record, read_lines

FIGURES = (
    "precision_at_1",
    "ndcg_at_5",
    "psprecision_at_5",
    "macro_f1",
    "macro_f1_at_1",
    "tail_ndcg_at_5",
)
MAX_TAIL = 5  # training texts of a label in the tail
_N_TOP = 5
_TRUTH = {"truth", "n_texts", "n_labels", "n_train", "labels", "counts"}  # keys of a line
_RUN = {"run", "truth", "top", "predicted"}


@dataclass(frozen=True)
class Ranking:
    """Enough for every figure of `FIGURES`, on the texts themselves and on resamples of them.

    Attributes
    ----------
    top : ndarray of shape (n, min(5, L)), int64
        The labels that rank first, best first; -1 where nothing was retrieved.
    predicted, Y : csr_matrix of shape (n, L), {0, 1}
    counts : ndarray of shape (L,), int64
        Training texts of each label.
    n_train : int
    """

    top: np.ndarray
    predicted: sp.csr_matrix
    Y: sp.csr_matrix
    counts: np.ndarray
    n_train: int

    @classmethod
    def from_scores(cls, Y_train, Y, scores, predicted):
        """Ranking of a score matrix (n, L) and a prediction (n, L)."""
        Y = _canonical(Y)
        counts = np.asarray(sp.csr_matrix(Y_train).astype(bool).sum(axis=0)).ravel()
        top = metrics.top_k(scores, min(_N_TOP, Y.shape[1]))
        return cls(top, _canonical(predicted), Y, counts.astype(np.int64), Y_train.shape[0])

    @cached_property
    def truth(self):
        """Fingerprint of the labels of both parts: only runs that share it can be paired."""
        return _fingerprint(json.dumps(_pack_truth(self), sort_keys=True))

    def figures(self, weights):
        """Figures of resampled texts.

        Parameters
        ----------
        weights : ndarray of shape (r, n)
            How often each text was drawn.

        Returns
        -------
        values : ndarray of shape (r, 6)
            In the order of `FIGURES`; nan where nothing is left to average over.
        """
        first, ndcg, gains, best_gains, tail = self._of_texts
        with np.errstate(invalid="ignore"):
            columns = [
                weights @ first / weights.sum(axis=1),
                _mean_defined(weights, ndcg),
                (weights @ gains) / (weights @ best_gains),
                self._macro_f1(weights, self.predicted),
                self._macro_f1(weights, self._first_label),
                _mean_defined(weights, tail),
            ]
        return np.column_stack(columns)

    def recall_by_count(self, edges):
        """Recall among the five best labels, of labels grouped by their training texts.

        Parameters
        ----------
        edges : sequence of int
            Group i holds labels with edges[i] <= count < edges[i + 1].

        Returns
        -------
        recalls : list of float
            nan for a group without a test text.
        n_pairs : list of int
            Pairs of a test text and one of its labels.
        """
        rows, columns = self.Y.nonzero()
        is_found = (self.top[rows] == columns[:, None]).any(axis=1)
        group = np.digitize(self.counts[columns], edges) - 1
        n_pairs = [int((group == i).sum()) for i in range(len(edges) - 1)]
        recalls = [
            float(is_found[group == i].mean()) if n else float("nan") for i, n in enumerate(n_pairs)
        ]
        return recalls, n_pairs

    @cached_property
    def _of_texts(self):
        weights = 1 / metrics.jain_propensities(_with_counts(self.counts, self.n_train))
        hits = is_true(self.Y, self.top)
        weighted = self.Y.multiply(weights).tocsr()
        best = metrics.top_k(weighted, self.top.shape[1])
        gains = (hits * weights[self.top]).sum(axis=1)
        best_gains = (is_true(self.Y, best) * weights[best]).sum(axis=1)
        is_tail = sp.diags_array((self.counts <= MAX_TAIL).astype(float))
        tail = _canonical(self.Y @ is_tail)
        ndcg = (_ndcg_of_ranked(Y, self.top) for Y in (self.Y, tail))
        return hits[:, 0].astype(float), next(ndcg), gains, best_gains, next(ndcg)

    @cached_property
    def _first_label(self):
        return first_label(self.top, self.Y.shape[1])

    def _macro_f1(self, weights, predicted):
        """Mean over labels that have a text among those drawn."""
        n_true, n_predicted = weights @ self.Y, weights @ predicted
        n_hits = weights @ predicted.multiply(self.Y).tocsr()
        f1 = 2 * n_hits / np.maximum(n_true + n_predicted, 1)
        return (f1 * (n_true > 0)).sum(axis=1) / (n_true > 0).sum(axis=1)


def first_label(top, n_labels):
    """Indicator (n, L) of the labels that rank first; an empty row where none was retrieved."""
    rows = np.flatnonzero(top[:, 0] >= 0)
    return sp.csr_matrix((np.ones(len(rows)), (rows, top[rows, 0])), (len(top), n_labels))


def is_true(Y, labels):
    """Whether labels (n, k) are true; -1, which stands for none, never is."""
    hits = np.asarray(Y[np.arange(Y.shape[0])[:, None], labels].todense()) > 0
    return hits & (labels >= 0)


def append_ranking(path, run, ranking):
    """Keep what a run made of each text; the labels of the texts once for all runs."""
    if all(line.get("truth") != ranking.truth or "run" in line for line in read_lines(path)):
        append_record(path, {"truth": ranking.truth, **_pack_truth(ranking)})
    line = {"top": _pack(ranking.top), "predicted": _pack_sets(ranking.predicted)}
    append_record(path, {"run": run, "truth": ranking.truth, **line})


def read_rankings(path):
    """Rankings of a file by run; those whose texts' labels were lost are left out.

    Lines of an earlier form are skipped with a message.
    """
    path = Path(path)
    kept = read_lines(path)
    lines = [line for line in kept if line.keys() >= _RUN or line.keys() >= _TRUTH]
    n_others = len(kept) - len(lines)
    if n_others:
        print(f"{path.name}: {n_others} lines of an earlier form, skipped", file=sys.stderr)
    truths = {line["truth"]: _unpack_truth(line) for line in lines if "run" not in line}
    found = {}
    for line in lines:
        if "run" in line and line["truth"] in truths:
            Y, *trained = truths[line["truth"]]
            top = _unpack(line["top"]).reshape(Y.shape[0], -1)
            found[line["run"]] = Ranking(top, _unpack_sets(line["predicted"], Y.shape), Y, *trained)
    return found


def _ndcg_of_ranked(Y, ranked):
    """nDCG of each row of ranked labels (n, k); nan for a row without a label."""
    k = ranked.shape[1]
    gains = 1 / np.log2(np.arange(2, k + 2))
    n_true = np.diff(Y.indptr)
    ideal = np.concatenate([[np.nan], np.cumsum(gains)])[np.minimum(n_true, k)]
    return is_true(Y, ranked) @ gains / ideal


def _canonical(Y):
    Y = sp.csr_matrix(Y).astype(bool).astype(np.float64)
    Y.eliminate_zeros()
    Y.sort_indices()
    return Y


def _with_counts(counts, n_rows):
    """An indicator matrix (n_rows, L) whose columns have these sums."""
    rows = np.concatenate([np.arange(count) for count in counts])
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return sp.csc_matrix((np.ones(len(rows)), rows, indptr), (n_rows, len(counts))).tocsr()


def _fingerprint(text):
    """Short name of a content."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _mean_defined(weights, values):
    is_defined = ~np.isnan(values)
    return weights @ np.where(is_defined, values, 0.0) / (weights @ is_defined)


def _pack_truth(ranking):
    n_texts, n_labels = ranking.Y.shape
    sets, counts = _pack_sets(ranking.Y), _pack(ranking.counts)
    shape = {"n_texts": n_texts, "n_labels": n_labels, "n_train": ranking.n_train}
    return {**shape, "labels": sets, "counts": counts}


def _unpack_truth(line):
    shape = (line["n_texts"], line["n_labels"])
    return _unpack_sets(line["labels"], shape), _unpack(line["counts"]), line["n_train"]


def _pack_sets(Y):
    return _pack(np.concatenate([np.diff(Y.indptr), Y.indices]))


def _unpack_sets(text, shape):
    values = _unpack(text)
    sizes, indices = np.split(values, [shape[0]])
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    return sp.csr_matrix((np.ones(len(indices)), indices, indptr), shape)


def _pack(values):
    """Integers as text: compressed, since there are tens of thousands of them in a run."""
    raw = np.ascontiguousarray(values, dtype="<i4").tobytes()
    return base64.b64encode(zlib.compress(raw, 9)).decode("ascii")


def _unpack(text):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<i4").astype(np.int64)
