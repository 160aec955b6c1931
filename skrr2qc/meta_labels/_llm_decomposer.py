"""Meta-labels from label names by a language model: demonstrations, several runs, a vote."""

import json
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from sklearn.base import BaseEstimator

from .._validation import check_number, check_texts
from ..label_space import LabelSpace
from ..llm import CallLimitError, GenerationError, generate_texts
from ._check import check_settings, repair_meta_labels, with_meta_labels
from ._prompts import SCHEMA, build_prompt, parse_answer, topic_names
from ._reading import is_code
from ._voting import agreement, canonical_phrases, majority_vote

_MAX_SEED = 2**31 - 1
_SHOWN = 5  # labels named in a message
_QUOTED = 120  # characters of an answer


@dataclass(frozen=True)
class LLMDecompositionReport:
    """What came of asking; made by :meth:`LLMDecomposer.decompose`.

    Attributes
    ----------
    n_labels, n_demonstrated, n_runs : int
        Labels, those of them given as demonstrations, and runs.
    n_prompts, n_failed, n_broken : int
        Prompts sent, those that the generator failed to answer, and answers that are not one
        JSON object, of which whole entries were still used.
    n_repeated : int
        Of the prompts, those that asked again for labels not answered before.
    n_unknown, n_dropped : int
        Topics in answers that were not asked for, and phrases that are no phrases or in another
        script than the labels.
    n_without_majority : int
        Labels for which no phrase had a majority of the runs.
    agreement : float
        Mean share of the runs that propose a phrase that was kept, over labels asked for.
    partly_answered : dict of str to int
        Labels that not all runs answered: by how many they were.
    unanswered : tuple of str
        Labels that no run answered. They have no meta-labels, unless a fallback gave them some.
    from_fallback : tuple of str
        Labels whose meta-labels are the fallback's.
    """

    n_labels: int
    n_demonstrated: int
    n_runs: int
    n_prompts: int
    n_failed: int
    n_broken: int
    n_repeated: int
    n_unknown: int
    n_dropped: int
    n_without_majority: int
    agreement: float
    partly_answered: dict[str, int]
    unanswered: tuple[str, ...]
    from_fallback: tuple[str, ...]

    def to_dict(self):
        """The report in types that JSON has.

        Returns
        -------
        data : dict
        """
        return asdict(self) | {
            "unanswered": list(self.unanswered),
            "from_fallback": list(self.from_fallback),
        }

    def __str__(self):
        """In words, with what to do about labels without an answer."""
        lines = [
            f"{self.n_labels} labels, {self.n_demonstrated} of them demonstrated, "
            f"{self.n_runs} runs.",
            f"{self.n_prompts} prompts ({self.n_repeated} asked again): {self.n_failed} failed, "
            f"{self.n_broken} answers were no JSON object, {self.n_unknown} topics were unknown, "
            f"{self.n_dropped} phrases dropped.",
            f"Runs agree on a phrase that was kept by {self.agreement:.0%}; "
            f"{self.n_without_majority} labels without a majority, {len(self.partly_answered)} "
            "not answered in every run.",
        ]
        if self.unanswered:
            lines.append(_unanswered(self))
        return "\n".join(lines)


class LLMDecomposer(BaseEstimator):
    """Split label names into meta-labels with a language model (automatic decomposition of [1]_).

    A task description, labels decomposed by hand and a batch of label names go to the model, in
    several runs with another order and seed each. A phrase stays if more than half of the runs
    propose it for a label. The experts' rules then make the map.

    Parameters
    ----------
    generator : callable
        From prompts to texts: a client of `skrr2qc.llm`, or any function
        ``generator(prompts, *, seed=0, schema=None)`` that returns one str per prompt.
    demonstrations : mapping of str to sequence of str, default=None
        Labels decomposed by hand, about one in a hundred: `suggest_demonstrations` names some.
        They are not asked for, and their phrases are what the others are held to.
    n_runs : int, default=5
        Runs that vote, at least 1.
    batch_size : int, default=25
        Labels in a prompt, at least 1.
    min_labels : int, default=2
        Labels that a meta-label needs (rule 3).
    max_df : float, default=0.10
        Share of the labels, in (0, 1], that a meta-label may be in (rule 5).
    max_attempts : int, default=3
        How often a run asks for a label, at least 1. What is missing in an answer is asked for
        again, in batches half as large and with another seed.
    aliases : mapping of str to str, default=None
        From phrase to canonical form, besides case, width, blanks and plural.
    hypernyms : mapping of str to sequence of str, default=None
        From phrase to broader concepts (rule 4), besides those that the model adds.
    embed : callable, default=None
        From n phrases to vectors (n, d), such as the `transform` of a fitted encoder. Phrases
        whose cosine exceeds 0.9 count as one.
    fallback : decomposer, default=None
        What decomposes labels that the model never answers, such as `NameDecomposer()`.
    task : str, default=None
        What the model is told to do; None for the task of this package. Has to ask for one JSON
        object from topic to list of phrases.
    random_state : int, default=0
        Orders and seeds follow from it: the same prompts again, which a cache answers for
        nothing.
    verbose : int, default=0
        Whether to show a bar of the prompts answered.

    Attributes
    ----------
    report_ : LLMDecompositionReport
        Of the last call of `decompose`.

    See Also
    --------
    NameDecomposer : The same without a model.
    repair_meta_labels : The rules.

    Notes
    -----
    Label names are data: they are sent as JSON, and of an answer nothing is used but phrases for
    labels of its own batch. Sent are `LabelSpace.texts`, or the name where the text is long.

    The first attempt sends a JSON schema along, for servers that hold answers to it. The others
    do not: whole entries of an answer that breaks off can be used then. An answer takes some 40
    tokens a label: give the client a `max_tokens` to match `batch_size`.

    A label in some runs only is voted on by these. Answers of a `decompose` that was interrupted
    are remembered by the object until one succeeds; a client with a cache remembers them beyond
    the process.

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv:2411.01841, 2024.

    Examples
    --------
    Any function is a generator, if only for a test:

    >>> import json
    >>> from skrr2qc import LabelSpace
    >>> from skrr2qc.meta_labels import LLMDecomposer
    >>> def split_at_of(prompts, *, seed=0, schema=None):
    ...     answers = []
    ...     for messages in prompts:
    ...         said = messages[-1]["content"]
    ...         names = [topic["topic"] for topic in json.loads(said[said.index("[") :])]
    ...         answers.append(json.dumps({name: name.split(" of a ") for name in names}))
    ...     return answers
    >>> names = ["area of a circle", "length of a circle", "area of a square"]
    >>> decomposer = LLMDecomposer(split_at_of, n_runs=3, max_df=0.7)
    >>> labels = decomposer.decompose(LabelSpace(names))
    >>> labels.meta_names
    ('area', 'circle')
    >>> decomposer.report_.unanswered
    ()
    """

    def __init__(
        self,
        generator,
        *,
        demonstrations=None,
        n_runs=5,
        batch_size=25,
        min_labels=2,
        max_df=0.10,
        max_attempts=3,
        aliases=None,
        hypernyms=None,
        embed=None,
        fallback=None,
        task=None,
        random_state=0,
        verbose=0,
    ):
        self.generator = generator
        self.demonstrations = demonstrations
        self.n_runs = n_runs
        self.batch_size = batch_size
        self.min_labels = min_labels
        self.max_df = max_df
        self.max_attempts = max_attempts
        self.aliases = aliases
        self.hypernyms = hypernyms
        self.embed = embed
        self.fallback = fallback
        self.task = task
        self.random_state = random_state
        self.verbose = verbose

    def decompose(self, labels):
        """Make the meta-labels of a label space.

        Parameters
        ----------
        labels : LabelSpace
            Meta-labels that it has are replaced.

        Returns
        -------
        labels : LabelSpace
            The same labels with meta-labels.

        Raises
        ------
        TypeError, ValueError
            If a parameter or `labels` is no good, before anything is asked.
        GenerationError
            If the generator answers nothing at all to what it is asked, or meets its limit.
            Answers until then are kept for the next call.
        RuntimeError
            If no label is answered in the first run and there is no fallback.
        """
        self._check(labels)
        demonstrations = _check_demonstrations(self.demonstrations, labels)
        _warn_of_codes(labels)
        asking = _Asking(self, labels, demonstrations)
        runs = asking.runs()
        voted, figures = self._vote(runs, labels, demonstrations)
        unanswered = tuple(n for n in labels.names if not voted[n])
        if unanswered and self.fallback is not None:
            found = self.fallback.decompose(labels).to_dict()["meta_labels"]
            voted |= {name: found.get(name, []) for name in unanswered}
        self.report_ = LLMDecompositionReport(
            n_labels=len(labels),
            n_demonstrated=len(demonstrations),
            n_runs=len(runs),
            **asking.figures(),
            **figures,
            unanswered=unanswered,
            from_fallback=tuple(name for name in unanswered if voted[name]),
        )
        self._tell(asking)
        repaired = repair_meta_labels(
            with_meta_labels(labels, voted),
            aliases=self.aliases,
            hypernyms=self.hypernyms,
            min_labels=self.min_labels,
            max_df=self.max_df,
        )
        self._unfinished = {}  # not before: a mistake found until here must not cost the answers
        return repaired

    def _check(self, labels):
        if not isinstance(labels, LabelSpace):
            raise TypeError(
                f"`labels` must be a LabelSpace, got {labels!r:.60} ({type(labels).__name__}). "
                "Build one with LabelSpace(names)."
            )
        check_texts(labels.node_texts, "labels.node_texts")
        for name in ("generator", "embed"):
            value = getattr(self, name)
            if not callable(value) and (name == "generator" or value is not None):
                raise TypeError(
                    f"`{name}` must be a callable, got {value!r:.60} ({type(value).__name__}). "
                    "See the docstring for what it is called with."
                )
        is_decomposer = hasattr(self.fallback, "decompose") and not isinstance(self.fallback, type)
        if self.fallback is not None and not is_decomposer:
            raise TypeError(
                f"`fallback` must have a method decompose, got {self.fallback!r:.60}. Pass "
                "NameDecomposer()."
            )
        for name in ("n_runs", "batch_size", "max_attempts", "min_labels"):
            check_number(getattr(self, name), name, minimum=1, integer=True)
        check_number(self.max_df, "max_df", above=0, maximum=1)
        check_settings(self.aliases, self.hypernyms, self.min_labels, self.max_df)
        check_number(self.random_state, "random_state", minimum=0, integer=True)
        if self.task is not None and not isinstance(self.task, str):
            raise TypeError(f"`task` must be a str or None, got {self.task!r:.60}.")

    def _vote(self, runs, labels, demonstrations):
        """Phrases by label, and figures of the vote."""
        proposed = {
            name: [demonstrations[name]] * len(runs)
            if name in demonstrations
            else [run[name] for run in runs if name in run]
            for name in labels.names
        }
        counts = Counter(p for lists in proposed.values() for run in lists for p in run)
        forms = canonical_phrases(counts, self.aliases, self.embed)
        voted, shares, n_without = {}, [], 0
        for name, lists in proposed.items():
            formed = [[forms[phrase] for phrase in run] for run in lists]
            voted[name] = majority_vote(formed)
            if lists and name not in demonstrations:
                shares.append(agreement(formed, voted[name]))
                n_without += all(2 * sum(p in r for r in formed) <= len(lists) for p in voted[name])
        partly = {n: len(lists) for n, lists in proposed.items() if 0 < len(lists) < len(runs)}
        return voted, {
            "n_without_majority": n_without,
            "agreement": float(np.mean(shares)) if shares else 0.0,
            "partly_answered": partly,
        }

    def _tell(self, asking):
        report = self.report_
        n_lost = len(report.unanswered) - len(report.from_fallback)
        if len(report.unanswered) == report.n_labels - report.n_demonstrated > 0 and n_lost:
            self._unfinished = {}
            raise RuntimeError(
                f"The model answered for none of the {len(report.unanswered)} labels: "
                f"{report.n_broken} of {report.n_prompts} answers were no JSON object"
                f"{asking.sample()}. Use a larger model, one that follows instructions, a smaller "
                "`batch_size`, or fallback=NameDecomposer()."
            )
        if n_lost:
            warnings.warn(_unanswered(report), UserWarning, stacklevel=3)


class _Asking:
    """All runs over one label space, with a count of what happened."""

    def __init__(self, decomposer, labels, demonstrations):
        self.settings = decomposer
        self.labels = labels
        self.demonstrations = demonstrations
        self.topics = topic_names(labels)
        self.asked = [name for name in labels.names if name not in demonstrations]
        self.counts = Counter()
        self.broken = None
        self.answers = vars(decomposer).setdefault("_unfinished", {})

    def runs(self):
        """Phrases by label, of each run; one run alone if it has no answer at all."""
        from tqdm import tqdm

        runs = []
        n_batches = -(-len(self.asked) // self.settings.batch_size)
        with tqdm(
            total=n_batches * self.settings.n_runs,
            desc="prompts",
            disable=not self.settings.verbose,
        ) as bar:
            for number in range(self.settings.n_runs if self.asked else 1):
                runs.append(self._run(number, bar))
                if self.asked and not runs[-1] and number == 0:
                    break
        return runs

    def figures(self):
        """What happened, as the report has it."""
        names = ("n_prompts", "n_failed", "n_broken", "n_repeated", "n_unknown", "n_dropped")
        return {name: self.counts[name] for name in names}

    def sample(self):
        """The beginning of an answer that was of no use."""
        return "" if self.broken is None else f", such as {self.broken[:_QUOTED]!r}"

    def _run(self, number, bar):
        found = {}
        for attempt in range(self.settings.max_attempts):
            missing = [name for name in self.asked if name not in found]
            if not missing:
                break
            rng = np.random.default_rng([self.settings.random_state, number, attempt])
            order = [missing[i] for i in rng.permutation(len(missing))]
            size = max(1, self.settings.batch_size >> attempt)
            batches = [order[i : i + size] for i in range(0, len(order), size)]
            answers = self._ask(batches, attempt, seed=int(rng.integers(_MAX_SEED)))
            self.counts["n_repeated"] += len(batches) if attempt else 0
            for batch, answer in zip(batches, answers, strict=True):
                found |= self._read(batch, answer)
            bar.update(0 if attempt else len(batches))
        return found

    def _ask(self, batches, attempt, seed):
        """One answer for each batch, None where the generator failed."""
        settings = self.settings
        task = {} if settings.task is None else {"task": settings.task}
        prompts = [
            build_prompt(batch, self.topics, self.labels, self.demonstrations, **task)
            for batch in batches
        ]
        keys = [json.dumps([seed, prompt]) for prompt in prompts]
        new = [i for i, key in enumerate(keys) if key not in self.answers]
        call = self._call_with_schema if attempt == 0 else settings.generator
        error = None
        try:
            answers = generate_texts(call, [prompts[i] for i in new], seed=seed)
        except GenerationError as raised:
            answers, error = raised.answers or [None] * len(new), raised
        self.answers |= {
            keys[i]: answer for i, answer in zip(new, answers, strict=True) if answer is not None
        }
        is_last_way = attempt > 0 or settings.max_attempts == 1
        is_down = error is not None and is_last_way and all(a is None for a in answers)
        if is_down or isinstance(error, CallLimitError):
            raise error  # more of the same would fail, too
        self.counts["n_prompts"] += len(prompts)
        return [self.answers.get(key) for key in keys]

    def _call_with_schema(self, prompts, *, seed, schema):
        # Around `generate_texts`, which would drop an answer that is not JSON as a whole.
        return self.settings.generator(prompts, seed=seed, schema=SCHEMA)

    def _read(self, batch, answer):
        if answer is None:
            self.counts["n_failed"] += 1
            return {}
        parsed = parse_answer(answer, batch, self.topics)
        self.counts["n_broken"] += not parsed.is_json
        self.counts["n_unknown"] += parsed.n_unknown
        self.counts["n_dropped"] += parsed.n_dropped
        if not parsed.found:
            self.broken = answer
        return parsed.found


def suggest_demonstrations(labels, k=None, *, random_state=0):
    """Labels to decompose by hand, spread over the top-level branches of the hierarchy.

    Parameters
    ----------
    labels : LabelSpace
    k : int, default=None
        How many, from 1 to L; None for one in a hundred, at least one.
    random_state : int, default=0

    Returns
    -------
    names : list of k str
        In column order. The larger branches come first where there are more branches than `k`.

    Examples
    --------
    >>> from skrr2qc import LabelSpace
    >>> labels = LabelSpace(["a1", "a2", "b1"], parents={"a1": "a", "a2": "a", "b1": "b"})
    >>> [name[0] for name in suggest_demonstrations(labels, k=2)]
    ['a', 'b']
    """
    if not isinstance(labels, LabelSpace):
        raise TypeError(f"`labels` must be a LabelSpace, got {type(labels).__name__}: pass one.")
    k = max(1, round(0.01 * len(labels))) if k is None else k
    check_number(k, "k", minimum=1, maximum=len(labels), integer=True)
    check_number(random_state, "random_state", minimum=0, integer=True)
    rng = np.random.default_rng(random_state)
    branches = {}
    for i in rng.permutation(len(labels)):
        branches.setdefault(_top(labels.names[i], labels.parents), []).append(int(i))
    queue = sorted(branches.values(), key=len, reverse=True)
    turns = [(turn, place, i) for place, rows in enumerate(queue) for turn, i in enumerate(rows)]
    return [labels.names[i] for i in sorted(i for _, _, i in sorted(turns)[:k])]


def _top(name, parents):
    """The node at the top level above a label; one branch for all labels without any."""
    node = name
    while parents.get(node):
        node = parents[node][0]
    return None if node == name else node


def _check_demonstrations(demonstrations, labels):
    if demonstrations is None:
        return {}
    if not isinstance(demonstrations, Mapping):
        raise TypeError(
            "`demonstrations` must be a mapping from label to phrases, got "
            f"{type(demonstrations).__name__}. Write {{label: [phrase, ...]}}."
        )
    try:  # names, and lists of distinct phrases, as in any map of meta-labels
        checked = LabelSpace(labels.names, meta_labels=demonstrations)
    except (TypeError, ValueError) as error:
        message = str(error).replace("meta_labels", "demonstrations")
        raise type(error)(message) from None
    empty = sorted(set(demonstrations) - set(checked.to_dict()["meta_labels"]))
    if empty:
        raise ValueError(
            f"`demonstrations` has no phrase for {empty[:_SHOWN]}. Write some, or leave them out."
        )
    return {
        name: tuple(dict.fromkeys([phrases] if isinstance(phrases, str) else phrases))
        for name, phrases in demonstrations.items()
    }


def _warn_of_codes(labels):
    codes = [text for text in topic_names(labels).values() if is_code(text)]
    if 2 * len(codes) > len(labels):
        warnings.warn(
            f"{len(codes)} of {len(labels)} labels read like codes ({', '.join(codes[:3])}), which "
            "say nothing to a model. Pass texts={label: description} to LabelSpace.",
            UserWarning,
            stacklevel=3,
        )


def _unanswered(report):
    shown = ", ".join(map(repr, report.unanswered[:_SHOWN]))
    more = len(report.unanswered) - _SHOWN
    lost = "" if not report.from_fallback else f" ({len(report.from_fallback)} have the fallback's)"
    return (
        f"No run answered for {len(report.unanswered)} of {report.n_labels} labels{lost}: {shown}"
        f"{f' and {more} more' if more > 0 else ''}. Give them as demonstrations, take a smaller "
        f"batch_size, more max_attempts or a larger model, or pass fallback=NameDecomposer()."
    )
