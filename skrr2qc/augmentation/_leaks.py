"""How often a solution gives the answer away: the share of texts that name a label of their own."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import scipy.sparse as sp

from .._validation import check_choice, check_label_matrix, check_number, check_texts
from ..label_space import LabelSpace
from ._cleaning import NameFinder, announces_topic, count_tokens, split_sentences, strip_topics

_SHOWN = 160  # characters of an example


@dataclass(frozen=True)
class LeakExample:
    """A sentence of a solution that names a label of its text.

    Attributes
    ----------
    text : str
        The beginning of the text.
    label : str
        Name of the label.
    sentence : str
        Where it is named.
    """

    text: str
    label: str
    sentence: str


@dataclass(frozen=True)
class LeakReport:
    """How often texts and solutions name a label of the text; made by :func:`leak_report`.

    Attributes
    ----------
    n_texts, n_solutions : int
        Texts, and those of them with a solution.
    in_text : float
        Share of the texts that name one of their labels themselves.
    in_solution : float
        Share of the solutions that do, as they are.
    in_stripped : float
        The same, without the sentences that name a label.
    added : float
        Share of the solutions that name a label which the text does not.
    announced : float
        Share of the solutions with a sentence such as "this question examines ...".
    kept : float
        Share of the tokens of the solutions that stripping leaves.
    emptied : float
        Share of the solutions of which stripping leaves nothing.
    examples : tuple of LeakExample
    """

    n_texts: int
    n_solutions: int
    in_text: float
    in_solution: float
    in_stripped: float
    added: float
    announced: float
    kept: float
    emptied: float
    examples: tuple[LeakExample, ...] = ()

    def to_dict(self):
        """The report in types that JSON has.

        Returns
        -------
        data : dict
        """
        return asdict(self) | {"examples": [asdict(example) for example in self.examples]}

    def __str__(self):
        """One figure a line, then the examples."""
        lines = [
            f"{self.n_solutions} of {self.n_texts} texts have a solution.",
            f"A label of the text is named in {self.in_text:.1%} of the texts,",
            f"  in {self.in_solution:.1%} of the solutions ({self.added:.1%} not in the text), and",
            f"  in {self.in_stripped:.1%} of them without sentences that name a label.",
            f"{self.announced:.1%} of the solutions announce a topic.",
            f"Stripping keeps {self.kept:.1%} of the tokens and empties {self.emptied:.1%}.",
        ]
        lines += [f"- {e.label!r} in {e.sentence!r}" for e in self.examples]
        return "\n".join(lines)


def leak_report(texts, solutions, Y, labels, *, strip="labels", n_examples=5):
    """Share of texts, and of their solutions, that name a label of the text.

    Parameters
    ----------
    texts : sequence of n str
    solutions : sequence of n (str or None), or mapping of str to str
        One for each text, "" or None for none; or from text to solution.
    Y : indicator (n, L), dense or CSR, or list of n sets of label names
        The true labels.
    labels : LabelSpace
        A label is named where its text (its name where it has none) occurs: whatever the case,
        as whole words, with or without a plural -s, and anywhere in Chinese.
    strip : {"labels", "all"}, default="labels"
        What stripping looks for, as in :class:`SolutionAugmenter`.
    n_examples : int, default=5
        Leaks shown, at least 0, spread over the texts.

    Returns
    -------
    report : LeakReport
        Shares are 0 where there is nothing to take a share of.

    Raises
    ------
    TypeError, ValueError
        If the arguments do not fit each other.

    Examples
    --------
    >>> from skrr2qc import LabelSpace
    >>> labels = LabelSpace(["circle", "mean"])
    >>> report = leak_report(
    ...     ["Its radius is 2. Find the area.", "Find the mean of 1, 2, 6."],
    ...     ["This is about a circle. A = 4 pi.", "9 / 3 = 3."],
    ...     [{"circle"}, {"mean"}],
    ...     labels,
    ... )
    >>> report.in_text, report.in_solution, report.in_stripped
    (0.5, 0.5, 0.0)
    >>> report.examples[0].sentence
    'This is about a circle.'
    """
    texts = check_texts(texts, "texts")
    check_label_space(labels)
    Y = check_label_matrix(Y, n_samples=len(texts), labels=labels)
    solutions = check_solutions(solutions, texts)
    check_number(n_examples, "n_examples", minimum=0, integer=True)
    finder, stripper = NameFinder(labels.texts), NameFinder(names_to_strip(labels, strip))
    rows = [i for i, solution in enumerate(solutions) if solution]
    chosen = [solutions[i] for i in rows]
    stripped = [strip_topics(solution, stripper)[0] for solution in chosen]
    in_text = named_labels(texts, finder).multiply(Y).tocsr()
    before = named_labels(chosen, finder).multiply(Y[rows]).tocsr()
    after = named_labels(stripped, finder).multiply(Y[rows])
    new = (before - before.multiply(in_text[rows])).tocsr()
    n_tokens = [sum(map(count_tokens, found)) for found in (stripped, chosen)]
    return LeakReport(
        n_texts=len(texts),
        n_solutions=len(rows),
        in_text=_share(in_text.getnnz(axis=1)),
        in_solution=_share(before.getnnz(axis=1)),
        in_stripped=_share(after.getnnz(axis=1)),
        added=_share(new.sum(axis=1)),
        announced=_share([any(map(announces_topic, split_sentences(s))) for s in chosen]),
        kept=n_tokens[0] / n_tokens[1] if n_tokens[1] else 0.0,
        emptied=_share([not solution for solution in stripped]),
        examples=_examples([texts[i] for i in rows], chosen, before, labels, n_examples),
    )


def named_labels(texts, finder):
    """Which names each text holds, as CSR of shape (n, L), {0, 1}."""
    found = [finder.find(text) for text in texts]
    indptr = np.cumsum([0, *map(len, found)])
    indices = np.fromiter((i for row in found for i in row), dtype=np.int32)
    shape = (len(found), len(finder.names))
    return sp.csr_matrix((np.ones(len(indices), dtype=np.float32), indices, indptr), shape=shape)


def names_to_strip(labels, strip):
    """Names whose sentences are left out: of labels, and of meta-labels where `strip` is "all"."""
    check_choice(strip, "strip", ("labels", "all"))
    return (*labels.texts, *labels.meta_names) if strip == "all" else labels.texts


def check_label_space(labels):
    """Raise a TypeError unless `labels` is a LabelSpace."""
    if not isinstance(labels, LabelSpace):
        raise TypeError(
            f"`labels` must be a LabelSpace, got {labels!r:.60} ({type(labels).__name__}). "
            "Build one with LabelSpace(names)."
        )


def check_solutions(solutions, texts):
    """One str for each text, "" for none."""
    is_sequence = hasattr(solutions, "__len__") and getattr(solutions, "ndim", 1) == 1
    if isinstance(solutions, Mapping):
        solutions = [solutions.get(text) for text in texts]
    elif is_sequence and isinstance(solutions, Iterable) and not isinstance(solutions, (str, set)):
        solutions = list(solutions)  # a Series is one, though it has keys
    else:
        raise TypeError(
            "`solutions` must be a sequence with one str or None per text, or a mapping from text "
            f"to solution, got {type(solutions).__name__}."
        )
    if len(solutions) != len(texts):
        raise ValueError(
            f"`solutions` must have one entry per text: expected {len(texts)}, got "
            f"{len(solutions)}. Write None where there is none, or pass a mapping."
        )
    for i, solution in enumerate(solutions):
        if solution is not None and not isinstance(solution, str):
            raise TypeError(
                f"`solutions` must hold str or None, got {solution!r:.40} "
                f"({type(solution).__name__}) for text {i}. Write None where there is none."
            )
    solutions = [solution or "" for solution in solutions]
    if solutions:
        check_texts(solutions, "solutions")  # no surrogates, which the augmented text would hold
    return [solution.strip() for solution in solutions]


def _share(flags):
    flags = np.asarray(flags).ravel()
    return float(np.mean(flags > 0)) if flags.size else 0.0


def _examples(texts, solutions, leaks, labels, n_examples):
    """Leaks of texts spread evenly, so that they are not all of one chapter."""
    rows = np.flatnonzero(leaks.getnnz(axis=1))
    picked = rows[np.linspace(0, len(rows) - 1, min(n_examples, len(rows))).astype(int)]
    found = []
    for row in picked:
        label = leaks[row].indices[0]
        finder = NameFinder([labels.texts[label]])
        named = [s for s in split_sentences(solutions[row]) if finder.find(s)]
        sentence = (named[0] if named else solutions[row]).strip()
        found.append(LeakExample(texts[row][:_SHOWN], labels.names[label], sentence[:_SHOWN]))
    return tuple(found)
