"""Two predictions worth a look, told in words."""

from dataclasses import dataclass

import numpy as np

N_SHOWN = 3  # labels of a question that are looked at
_LONGEST = 200  # characters of a question that is still quick to read


@dataclass(frozen=True)
class Example:
    """A prediction, the label it was nearly taken for, and what it shows."""

    kind: str  # "reranked", "look-alike" or "plain"
    explanation: object
    truth: tuple  # column numbers
    chosen: object  # LabelReason
    rival: object  # LabelReason, or None


def choose_examples(classifier, texts, Y, n_searched=200):
    """Two right predictions: one that reranking put right, one between labels that look alike.

    Parameters
    ----------
    classifier : fitted RetrievalRerankClassifier
    texts : sequence of n str
    Y : csr_matrix of shape (n, L)
        The right labels, as free of errors as they are known.
    n_searched : int
        Texts that are explained at most; those first that are short and have one label.

    Returns
    -------
    examples : list of two Example
        Where there is none of a kind, another right prediction stands in for it.
    """
    n_labels = np.diff(Y.indptr)
    order = sorted(range(len(texts)), key=lambda i: (n_labels[i] != 1, len(texts[i]) > _LONGEST))
    order = order[:n_searched]
    explanations = classifier.explain([texts[i] for i in order], k=min(N_SHOWN, Y.shape[1]))
    found = {"reranked": [], "look-alike": [], "plain": []}
    for row, explanation in zip(order, explanations, strict=True):
        truth = tuple(Y.indices[Y.indptr[row] : Y.indptr[row + 1]].tolist())
        for example in _readings(explanation, truth, classifier.labels_):
            found[example.kind].append(example)
    chosen = []
    for kind in ("reranked", "look-alike"):
        taken = {example.explanation.text for example in chosen}
        kinds = dict.fromkeys([kind, "look-alike", "plain"])
        candidates = [[e for e in found[k] if e.explanation.text not in taken] for k in kinds]
        best = next((group for group in candidates if group), [])
        chosen += sorted(best, key=_interest)[-1:]
    return chosen


def explain_in_words(example, labels):
    """A few sentences, and what they rest on.

    Parameters
    ----------
    example : Example
    labels : LabelSpace

    Returns
    -------
    text : str
    """
    chosen, rival = example.chosen, example.rival
    lines = [
        f"“{' '.join(example.explanation.text.split())}”",
        f"  Right answer: {', '.join(labels.names[column] for column in example.truth)}.",
    ]
    if example.kind == "reranked":
        lines += [
            f"  Retrieval alone would have answered “{rival.label}” ({rival.retrieval_score:.2f}, "
            f"against {chosen.retrieval_score:.2f}). Then the concepts were asked for:",
            *_concepts(chosen, rival),
            f"  That moved “{chosen.label}” from place {chosen.retrieval_rank} to the first.",
        ]
    elif example.kind == "look-alike":
        shared = " and ".join(f"“{name}”" for name in _shared(chosen, rival))
        lines += [
            f"  “{chosen.label}” and “{rival.label}” share {shared}; the other concepts decide:",
            *_concepts(chosen, rival),
            f"  Hence {chosen.score:.2f} for the one and {rival.score:.2f} for the other.",
        ]
    else:
        lines += [f"  “{chosen.label}” was found at once, with score {chosen.score:.2f}."]
        lines += _concepts(chosen)
    if chosen.nearest:
        text, _ = chosen.nearest[0]
        lines.append(f"  Nearest training question with that label: “{' '.join(text.split())}”")
    return "\n".join(lines)


def _readings(explanation, truth, labels):
    """Every kind that the prediction of one text is an example of; none if it is wrong."""
    reasons = explanation.reasons
    names = {labels.names[column] for column in truth}
    if not reasons or reasons[0].label not in names:
        return
    chosen, wrong = reasons[0], [reason for reason in reasons[1:] if reason.label not in names]
    first = next((reason for reason in wrong if reason.retrieval_rank == 1), None)
    if chosen.retrieval_rank > 1 and first is not None:
        yield Example("reranked", explanation, truth, chosen, first)
    alike = [reason for reason in wrong if _shared(chosen, reason)]
    if chosen.retrieval_rank == 1 and alike:
        yield Example("look-alike", explanation, truth, chosen, alike[0])
    yield Example("plain", explanation, truth, chosen, None)


def _interest(example):
    """How much there is to see: a rival that came close, and concepts that tell the two apart."""
    chosen, rival = example.chosen, example.rival
    if rival is None:
        return chosen.score
    scores = sorted([chosen.retrieval_score, rival.retrieval_score])
    closeness = scores[0] / max(scores[1], 1e-12)
    separation = _mean(chosen.meta_scores) - _mean(rival.meta_scores)
    return closeness * separation * chosen.retrieval_score


def _mean(scores):
    return sum(scores.values()) / max(len(scores), 1)


def _shared(first, second):
    return [name for name in first.meta_scores if name in second.meta_scores]


def _concepts(*reasons):
    width = max(len(str(reason.label)) for reason in reasons)
    return [
        f"    {str(reason.label).ljust(width)}  "
        + ", ".join(f"{name} {score:.2f}" for name, score in reason.meta_scores.items())
        for reason in reasons
        if reason.meta_scores
    ]
