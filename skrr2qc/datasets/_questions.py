"""Mathematics exam questions with fine-grained, overlapping labels, written from templates."""

from collections import Counter
from functools import cache
from importlib import import_module
from numbers import Integral, Real
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..label_space import LabelSpace
from ._question_templates import KnowledgePoint, Template, Values

_TEMPLATE_FILES = (
    *("number", "algebra", "functions", "calculus"),
    *("geometry", "space", "discrete", "data"),
)
_MOST_FREQUENT = "Quadratic equations by factorising"
_RANK_STRIDE = 0.618  # neighbours in the curriculum get far-apart ranks (golden section)
_SHARE_OF_PARTS = (0.74, 0.2, 0.06)  # questions with one, two and three parts
_SHARE_OF_FIGURES = 0.08
_SHARE_OF_HEADINGS = 0.35
_SHARE_OF_REQUESTS = 0.3
_SHARE_CONFUSED = 0.06
_SHARE_FORGOTTEN = 0.12

_HEADINGS = (
    "Worksheet: {0}; {1}.",
    "Revision of {0} and {1}.",
    "After the lessons on {0} and {1}.",
    "Mixed exercises ({0}, {1}).",
    "From the chapters {0} and {1}.",
)
_FIGURES = (
    Template("Look at the [figure|table] on page <page> (<topic>). <Find> the value marked x."),
    Template("<Name>'s notes on <topic> show a [figure|table] with a missing value. <Find> it."),
    Template("<Find> what is asked in the [picture|sketch] for exercise <page> on <topic>."),
)
_LEADS = ("", "Answer all parts. ", "This question has several parts. ", "Mixed problem. ")
_REQUESTS = (
    *("Show your working.", "Give reasons.", "Explain each step.", "Check your answer."),
    *("Write down every step.", "Use a separate sheet.", "Take your time."),
)


def make_questions(
    n_samples: int = 1000,
    *,
    n_labels: int | None = None,
    imbalance: float = 1.0,
    n_meta_per_label: int | None = None,
    random_state: Any = None,
) -> Any:
    """Generate mathematics exam questions with knowledge points as labels.

    The labels are the leaves of a hierarchy of three levels (strand, topic, knowledge point). Their
    names and questions overlap through shared concepts, the meta-labels: "Area of a triangle",
    "Perimeter of a triangle" and "Area of a circle" pairwise share one. A question asks for one
    to three knowledge points, in several parts or in one task that needs all of them.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of questions, at least 1.
    n_labels : int, default=None
        Number of labels, from 2 to the number available, which None stands for. The most
        frequent labels are kept.
    imbalance : float, default=1.0
        Exponent of Zipf's law, at least 0: the r-th label is drawn with probability proportional
        to ``r ** -imbalance``. 0 draws all labels alike.
    n_meta_per_label : int, default=None
        Keep at most that many meta-labels of each label, rare concepts first; at least 1. None
        keeps all (two to four).
    random_state : int, RandomState instance or None, default=None
        Determines the questions. Pass an int for reproducible output.

    Returns
    -------
    questions : Bunch
        - ``texts`` : list of `n_samples` str, partly with LaTeX between dollar signs
        - ``Y`` : csr_matrix of shape (n_samples, n_labels), float32, {0, 1}, as annotated
        - ``Y_clean`` : the same before the annotators' errors
        - ``labels`` : LabelSpace with the path of each label as its text, parents and meta-labels
        - ``solutions`` : list of `n_samples` str, worked solutions

    Raises
    ------
    TypeError
        If a parameter has the wrong type.
    ValueError
        If a parameter is out of range.

    Notes
    -----
    Which labels are frequent is fixed by design, not drawn, so two calls with different seeds and
    equal parameters follow one distribution: one can serve for training, the other for testing. A
    rare label may get no question at all.

    No model can be perfect. Some wordings are ambiguous: "Solve x^2 + 5x + 6 = 0" is asked under
    factorising and, with other numbers, under the quadratic formula. 8 % of the parts refer to a
    figure that is not in the text and name just the topic; their solutions say what was asked. 35 %
    of the questions carry the heading of a worksheet with two knowledge points of the strand,
    whichever is asked. And annotators err: each label is confused, with a probability of 6 %, with
    another one of its topic, and one label in 12 % of the questions with several is forgotten.

    Examples
    --------
    >>> from skrr2qc.datasets import make_questions
    >>> questions = make_questions(200, random_state=0)
    >>> len(questions.texts), questions.Y.shape[0], questions.labels.max_depth
    (200, 200, 3)
    """
    from sklearn.utils import Bunch, check_random_state

    points = _knowledge_points()
    n_labels = len(points) if n_labels is None else n_labels
    _check_whole(n_samples, "n_samples", 1)
    _check_whole(n_labels, "n_labels", 2, len(points))
    if n_meta_per_label is not None:
        _check_whole(n_meta_per_label, "n_meta_per_label", 1)
    if isinstance(imbalance, bool) or not isinstance(imbalance, Real):
        raise TypeError(f"`imbalance` must be a number, got {imbalance!r}.")
    if not 0 <= imbalance < np.inf:
        raise ValueError(
            f"`imbalance` must be at least 0 and finite, got {imbalance!r}. "
            "Use 0 for equally frequent labels and about 1 for a long tail."
        )
    seeds = check_random_state(random_state).randint(np.iinfo(np.int32).max, size=4)
    rng = np.random.default_rng(seeds)
    points, weights = _most_frequent(points, n_labels, float(imbalance))
    rows, cols = _draw_parts(points, weights, n_samples, rng)
    parts, solutions, extra = _write_parts(points, rows, cols, rng)
    rows_all, cols_all = np.append(rows, extra[0]), np.append(cols, extra[1])
    shape = (n_samples, n_labels)
    return Bunch(
        texts=_join_parts(parts, rows, _headings(points, rows, cols, rng), rng),
        Y=_indicator(*_annotate(points, rows_all, cols_all, rng), shape),
        Y_clean=_indicator(rows_all, cols_all, shape),
        labels=_label_space(points, n_meta_per_label),
        solutions=[" ".join(p) for p in _lettered(solutions, rows)],
    )


def _check_whole(value: Any, name: str, low: int, high: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"`{name}` must be an int, got {value!r} ({type(value).__name__}).")
    if int(value) < low or (high is not None and int(value) > high):
        expected = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ValueError(f"`{name}` must be {expected}, got {value}.")


@cache
def _knowledge_points() -> tuple[KnowledgePoint, ...]:
    """All knowledge points, strand by strand."""
    package = __name__.rpartition(".")[0]
    files = [import_module(f"{package}._question_templates_{name}") for name in _TEMPLATE_FILES]
    points = [point for file in files for topic in file.TOPICS for point in topic.points]
    strands = list(dict.fromkeys(point.strand for point in points))
    return tuple(sorted(points, key=lambda point: strands.index(point.strand)))


def _most_frequent(
    points: tuple[KnowledgePoint, ...], n_labels: int, imbalance: float
) -> tuple[list[KnowledgePoint], np.ndarray]:
    """The most frequent points in the order of the curriculum, and their probabilities."""
    first = [point.name for point in points].index(_MOST_FREQUENT)
    ranks = np.argsort(np.argsort((np.arange(len(points)) - first) * _RANK_STRIDE % 1.0))
    kept = np.flatnonzero(ranks < n_labels)
    weights = (1.0 + ranks[kept]) ** -imbalance
    return [points[i] for i in kept], weights / weights.sum()


def _draw_parts(
    points: list[KnowledgePoint], weights: np.ndarray, n_samples: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Question and label of every part, in the order of the questions.

    The labels of a question differ, and come from one strand where that has enough of them.
    """
    n_parts = rng.choice(len(_SHARE_OF_PARTS), size=n_samples, p=_SHARE_OF_PARTS) + 1
    n_parts = np.minimum(n_parts, len(points))
    drawn = np.zeros((n_samples, len(_SHARE_OF_PARTS)), dtype=np.intp)
    drawn[:, 0] = rng.choice(len(points), size=n_samples, p=weights)
    strands = np.array([point.strand for point in points])
    for label in range(len(points)):
        several = np.flatnonzero((drawn[:, 0] == label) & (n_parts > 1))
        partners = np.flatnonzero(strands == strands[label])
        if len(partners) < 3:
            partners = np.arange(len(points))
        partners = partners[partners != label]
        # The largest of log-weights plus Gumbel noise are a weighted draw without replacement.
        keys = np.log(weights[partners]) + rng.gumbel(size=(len(several), len(partners)))
        best = np.argsort(-keys, axis=1)[:, :2]
        drawn[several, 1 : 1 + best.shape[1]] = partners[best]
    taken = np.arange(drawn.shape[1]) < n_parts[:, None]
    return np.nonzero(taken)[0], drawn[taken]


def _write_parts(
    points: list[KnowledgePoint], rows: np.ndarray, cols: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Text and solution of every part, and the further labels that tasks need."""
    texts, solutions = np.empty(len(rows), dtype=object), np.empty(len(rows), dtype=object)
    position = {point.name: i for i, point in enumerate(points)}
    is_single = np.bincount(rows)[rows] == 1
    extra_rows, extra_cols = [rows[:0]], [cols[:0]]
    for label, point in enumerate(points):
        exercises = [e for e in point.exercises if all(name in position for name in e.also)]
        exercises.sort(key=lambda e: len(e.also))
        n_plain = sum(not e.also for e in exercises)  # a task for several points fills a question
        parts = np.flatnonzero(cols == label)
        chosen = rng.integers(np.where(is_single[parts], len(exercises), n_plain))
        for k, exercise in enumerate(exercises):
            here = parts[chosen == k]
            values = Values(len(here), rng)
            point.draw(values)
            texts[here] = _hide_some(exercise.question.render(values), point.topic, rng)
            solutions[here] = exercise.solution.render(values)
            for name in exercise.also:
                extra_rows.append(rows[here])
                extra_cols.append(np.full(len(here), position[name]))
    return texts, solutions, (np.concatenate(extra_rows), np.concatenate(extra_cols))


def _hide_some(questions: list[str], topic: str, rng: np.random.Generator) -> list[str]:
    """Replace some questions by a reference to a figure that is not part of the text."""
    hidden = np.flatnonzero(rng.random(len(questions)) < _SHARE_OF_FIGURES).tolist()
    values = Values(len(hidden), rng)
    values.page, values.topic = values.whole(2, 250), [topic.lower()] * len(hidden)
    wordings = [figure.render(values) for figure in _FIGURES]
    chosen = rng.integers(len(_FIGURES), size=len(hidden)).tolist()
    for i, (row, wording) in enumerate(zip(hidden, chosen, strict=True)):
        questions[row] = wordings[wording][i]
    return questions


def _headings(
    points: list[KnowledgePoint], rows: np.ndarray, cols: np.ndarray, rng: np.random.Generator
) -> list[str]:
    """A heading for some questions: two knowledge points of the strand, asked or not."""
    first = cols[np.flatnonzero(np.diff(rows, prepend=-1))]
    headings = [""] * len(first)
    strands = np.array([point.strand for point in points])
    with_heading = np.flatnonzero(rng.random(len(first)) < _SHARE_OF_HEADINGS)
    styles = rng.integers(len(_HEADINGS), size=len(with_heading)).tolist()
    draws = rng.random((len(with_heading), 2)).tolist()
    members = {strand: np.flatnonzero(strands == strand).tolist() for strand in set(strands)}
    for row, style, (u, v) in zip(with_heading.tolist(), styles, draws, strict=True):
        candidates = members[strands[first[row]]]
        named = [f'"{points[candidates[int(x * len(candidates))]].name}"' for x in (u, v)]
        headings[row] = _HEADINGS[style].format(*named) + " "
    return headings


def _lettered(parts: np.ndarray, rows: np.ndarray) -> list[list[str]]:
    """The parts of each question; with letters where there are several."""
    counts = np.bincount(rows).tolist()
    questions, remaining = [], iter(parts.tolist())
    for count in counts:
        if count == 1:
            questions.append([next(remaining)])
        else:
            questions.append([f"({'abc'[i]}) {next(remaining)}" for i in range(count)])
    return questions


def _join_parts(
    parts: np.ndarray, rows: np.ndarray, headings: list[str], rng: np.random.Generator
) -> list[str]:
    n = len(headings)
    leads = rng.integers(len(_LEADS), size=n).tolist()
    requests = rng.integers(int(len(_REQUESTS) / _SHARE_OF_REQUESTS), size=n).tolist()
    texts = []
    for i, question in enumerate(_lettered(parts, rows)):
        lead = _LEADS[leads[i]] if len(question) > 1 else ""
        request = " " + _REQUESTS[requests[i]] if requests[i] < len(_REQUESTS) else ""
        texts.append(f"{headings[i]}{lead}{' '.join(question)}{request}")
    return texts


def _annotate(
    points: list[KnowledgePoint], rows: np.ndarray, cols: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The labels as annotators would give them: some confused within a topic, some forgotten."""
    cols = cols.copy()
    topics = np.array([f"{point.strand} > {point.topic}" for point in points])
    confused = rng.random(len(cols)) < _SHARE_CONFUSED
    for label in np.unique(cols[confused]).tolist():
        similar = np.setdiff1d(np.flatnonzero(topics == topics[label]), label)
        here = np.flatnonzero(confused & (cols == label))
        confused[here] = False  # so that nothing is replaced twice
        if len(similar):
            cols[here] = rng.choice(similar, size=len(here))
    order = np.lexsort((rng.random(len(rows)), rows))
    rows, cols = rows[order], cols[order]
    is_first = np.diff(rows, prepend=-1) > 0
    has_several = np.bincount(rows)[rows] > 1
    forgotten = is_first & has_several & (rng.random(len(rows)) < _SHARE_FORGOTTEN)
    return rows[~forgotten], cols[~forgotten]


def _indicator(rows: np.ndarray, cols: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    Y = sp.csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, cols)), shape=shape)
    Y.sum_duplicates()
    Y.data[:] = 1.0
    return Y


def _label_space(points: list[KnowledgePoint], n_meta_per_label: int | None) -> LabelSpace:
    """Labels with paths as texts; the meta-labels that most labels share come last."""
    frequency = Counter(meta for point in _knowledge_points() for meta in point.meta_labels)
    parents: dict[str, list[str]] = {}
    for point in points:
        parents[point.name] = [point.topic]
        parents[point.topic] = [point.strand]
        parents[point.strand] = []
    metas = {p.name: sorted(p.meta_labels, key=lambda m: frequency[m]) for p in points}
    return LabelSpace(
        [point.name for point in points],
        texts={p.name: f"{p.strand} > {p.topic} > {p.name}" for p in points},
        parents=parents,
        meta_labels={name: named[:n_meta_per_label] for name, named in metas.items()},
    )
