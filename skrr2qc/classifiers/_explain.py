"""Why a label was proposed: evidence of each stage, and the nearest training texts."""

import numpy as np
import scipy.sparse as sp
from sklearn.preprocessing import normalize
from sklearn.utils.extmath import safe_sparse_dot

from .._validation import check_number
from ..metrics import top_k
from ._blend import _OFF, _UNSEEN_SHARE, channel_logits
from ._explanation import Explanation, LabelReason
from ._sparse_scores import block_rows

_N_NEAREST = 2


def explain_texts(classifier, X, k):
    """Explain the `k` best labels of each text, and those that reranking threw out of them.

    Parameters
    ----------
    classifier : fitted RetrievalRerankClassifier
    X : list of n str
    k : int
        At least 1; more than there are labels means all.

    Returns
    -------
    explanations : list of n Explanation
    """
    k = min(check_number(k, "k", minimum=1, integer=True), len(classifier.classes_))
    step = block_rows(len(classifier.classes_))  # as in predict_proba, and so the same scores
    nearest = _Nearest(_embedding(classifier), classifier.train_texts_, classifier.train_labels_)
    explanations = []
    for start in range(0, len(X), step):
        explanations += _explain_block(classifier, X[start : start + step], k, nearest)
    return explanations


def _explain_block(classifier, X, k, nearest):
    stages = classifier._stages(X)
    reranker, names = classifier.reranker_, _meta_names(classifier)
    is_reranked = stages.reranked is not stages.retrieval
    channels = _Contributions(classifier.retriever_, X)
    before, after = _ranks(stages.retrieval), _ranks(stages.final)
    best = top_k(stages.final, k)
    vectors = normalize(nearest.embed(X))  # (n, d), CSR where a vectorizer is the encoder
    nearest.prepare(np.unique(best))
    added = {} if reranker is None else reranker.contributions(stages.retrieval, stages.meta, X)

    def reason(i, j, texts):
        parts, base = channels.of(i, j)
        return LabelReason(
            label=_label_name(classifier.labels_, j),
            rank=int(after[i, j]),
            score=float(stages.final[i, j]),
            retrieval_rank=int(before[i, j]),
            retrieval_score=float(stages.retrieval[i, j]),
            reranked_score=float(stages.reranked[i, j]),
            channels=parts,
            base=base,
            meta_scores={} if stages.meta is None else _meta_of(reranker, names, j, stages.meta[i]),
            reranking={name: float(values[i, j]) for name, values in added.items()},
            nearest=texts,
        )

    explanations = []
    for i, text in enumerate(X):
        reasons = [reason(i, j, nearest.find(vectors[i : i + 1], j)) for j in best[i]]
        gone = np.flatnonzero((before[i] <= k) & (after[i] > k) & is_reranked)
        dropped = [reason(i, j, []) for j in gone[np.argsort(before[i, gone])]]
        explanations.append(Explanation(text, reasons, dropped))
    return explanations


def _ranks(scores):
    """Rank of every label from 1, ties as in `top_k`; (n, L) ints."""
    order = np.argsort(-scores, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(1, scores.shape[1] + 1)[None, :], axis=1)
    return ranks


def _embedding(classifier):
    """Function from texts to the vectors that nearness is judged by: the head's, if it has any."""
    return getattr(classifier.head_, "embed", classifier.encoder_.transform)


class _Contributions:
    """What each channel of a `ChannelBlend` adds to the log-odds of its score."""

    def __init__(self, blend, X):
        self.blend = blend
        self.unseen = {int(j) for j in blend.unseen}
        channels = {name: blend.channels[name] for name in blend.names}
        self.logits = channel_logits(channels, X, blend.n_labels)

    def of(self, i, j):
        """Contributions of the channels for text `i` and label `j`, and the constant."""
        blend, is_unseen = self.blend, j in self.unseen
        if is_unseen and "label_texts" not in self.logits:
            return {}, _OFF
        slope, base = blend.curve
        if is_unseen:
            slope, base = blend.unseen_curve or blend.curve
            base += blend.unseen_shift
        parts = {}
        for name, logits in self.logits.items():
            mean, spread = blend.scales[name]
            weight = blend.weights.get(name, 0.0)
            if is_unseen:
                own = _UNSEEN_SHARE if name == "label_texts" else 0.0
                weight = (1 - _UNSEEN_SHARE) * weight + own
            if weight:
                parts[name] = float(slope * weight * (float(logits[i, j]) - mean) / spread)
        return parts, float(base)


class _Nearest:
    """Training texts of a label, nearest first; only texts of labels asked for are encoded."""

    def __init__(self, embed, texts, Y):
        self.embed = embed
        self.texts = texts
        self.Y = Y.tocsc()
        self._place = np.full(len(texts), -1)  # of a training text among the encoded ones
        self._vectors = None

    def prepare(self, labels):
        """Encode the texts of some labels together, each once."""
        rows = np.unique(self.Y[:, labels].indices)
        rows = rows[self._place[rows] < 0]
        if rows.size:
            known = [] if self._vectors is None else [self._vectors]
            vectors = normalize(self.embed([self.texts[row] for row in rows]))
            self._place[rows] = np.arange(len(rows)) + (known[0].shape[0] if known else 0)
            stack = sp.vstack if sp.issparse(vectors) else np.vstack
            self._vectors = stack([*known, vectors])

    def find(self, vector, label):
        """The nearest texts of a label that was prepared, with their cosines."""
        rows = self.Y.indices[self.Y.indptr[label] : self.Y.indptr[label + 1]]
        if not rows.size:
            return []
        vectors = self._vectors[self._place[rows]]
        similarities = safe_sparse_dot(vectors, vector.T, dense_output=True).ravel()
        best = np.argsort(-similarities, kind="stable")[:_N_NEAREST]
        return [(self.texts[rows[i]], float(similarities[i])) for i in best]


def _meta_of(reranker, names, label, meta_scores):
    label_to_meta = reranker.label_to_meta_
    columns = label_to_meta.indices[label_to_meta.indptr[label] : label_to_meta.indptr[label + 1]]
    return {(names[m] if names else int(m)): float(meta_scores[m]) for m in columns}


def _meta_names(classifier):
    """Names of the reranker's meta-labels, or None where its map is nobody's who knows names."""
    reranker = classifier.reranker_
    label_to_meta = None if reranker is None else reranker.label_to_meta_
    for labels in (getattr(reranker, "labels", None), classifier.labels_):
        known = None if labels is None else labels.label_to_meta
        if known is None or label_to_meta is None or known.shape != label_to_meta.shape:
            continue
        if abs(known - label_to_meta).sum() == 0:
            return labels.meta_names
    return None


def _label_name(labels, column):
    return int(column) if labels is None else labels.names[column]
