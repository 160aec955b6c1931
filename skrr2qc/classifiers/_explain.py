"""Why a label was proposed: scores of its meta-labels and the nearest training texts."""

from dataclasses import dataclass

import numpy as np
from sklearn.preprocessing import normalize
from sklearn.utils.extmath import safe_sparse_dot

from ..metrics import top_k

_N_NEAREST = 2
_SHOWN_CHARACTERS = 90


@dataclass(frozen=True)
class LabelReason:
    """One proposed label.

    Attributes
    ----------
    label : str or int
    score : float
        After reranking and calibration; `retrieval_score` is before both.
    retrieval_score : float
    retrieval_rank : int
        1 for the label that retrieval put first.
    meta_scores : dict
        Score of each of the label's meta-labels.
    nearest : list of (text, similarity)
        Training texts with this label.
    """

    label: object
    score: float
    retrieval_score: float
    retrieval_rank: int
    meta_scores: dict
    nearest: list


@dataclass(frozen=True)
class Explanation:
    """Proposed labels of one text, best first; ``print`` it to read it.

    Attributes
    ----------
    text : str
    reasons : list of LabelReason
    """

    text: str
    reasons: list

    def __str__(self):
        lines = [f"“{_cut(self.text)}”"]
        for place, reason in enumerate(self.reasons, start=1):
            lines.append(f"  {place}. {reason.label}  (score {reason.score:.3f})")
            retrieved = f"retrieved at rank {reason.retrieval_rank}"
            lines.append(f"     {retrieved} with score {reason.retrieval_score:.3f}")
            if reason.meta_scores:
                parts = ", ".join(f"{name} {s:.2f}" for name, s in reason.meta_scores.items())
                lines.append(f"     its concepts in this text: {parts}")
            for text, similarity in reason.nearest:
                lines.append(f"     like “{_cut(text)}” ({similarity:.2f})")
        return "\n".join(lines)


def explain_texts(classifier, X, k):
    """One `Explanation` a text; `classifier` is a fitted RetrievalRerankClassifier."""
    k = min(k, len(classifier.classes_))
    retrieval = classifier.retriever_.predict_proba(X)
    reranker = classifier.reranker_
    meta = None if reranker is None else reranker.meta_scores(X)
    scores = retrieval if meta is None else reranker.combine(retrieval, meta)
    scores = classifier.calibration_(scores)
    ranks = np.argsort(np.argsort(-retrieval, axis=1, kind="stable"), axis=1) + 1
    embed = getattr(classifier.head_, "embed", classifier.encoder_.transform)
    near = _Nearest(embed, classifier.train_texts_, classifier.train_labels_)
    vectors = normalize(embed(X))  # (n, d), CSR where a vectorizer is the encoder
    explanations = []
    for i, text in enumerate(X):
        reasons = [
            LabelReason(
                label=_name(classifier.labels_, j),
                score=float(scores[i, j]),
                retrieval_score=float(retrieval[i, j]),
                retrieval_rank=int(ranks[i, j]),
                meta_scores={} if meta is None else _meta_scores(classifier, j, meta[i]),
                nearest=near.find(vectors[i : i + 1], j),
            )
            for j in top_k(scores[i : i + 1], k)[0]
        ]
        explanations.append(Explanation(text, reasons))
    return explanations


class _Nearest:
    """Training texts of a label, nearest first; only texts of labels asked for are encoded."""

    def __init__(self, embed, texts, Y):
        self.embed = embed
        self.texts = texts
        self.Y = Y.tocsc()
        self._vectors = {}

    def find(self, vector, label):
        rows = self.Y.indices[self.Y.indptr[label] : self.Y.indptr[label + 1]]
        if not len(rows):
            return []
        if label not in self._vectors:
            self._vectors[label] = normalize(self.embed([self.texts[i] for i in rows]))
        vectors = self._vectors[label]
        similarities = safe_sparse_dot(vectors, vector.T, dense_output=True).ravel()
        best = np.argsort(-similarities, kind="stable")[:_N_NEAREST]
        return [(self.texts[rows[i]], float(similarities[i])) for i in best]


def _meta_scores(classifier, label, meta_scores):
    label_to_meta = classifier.reranker_.label_to_meta_
    columns = label_to_meta.indices[label_to_meta.indptr[label] : label_to_meta.indptr[label + 1]]
    names = None if classifier.labels_ is None else classifier.labels_.meta_names
    return {(names[m] if names else int(m)): float(meta_scores[m]) for m in columns}


def _name(labels, column):
    return int(column) if labels is None else labels.names[column]


def _cut(text):
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
