"""Check a meta-label map against the experts' rules, and repair it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real

from ..label_space import LabelSpace, is_iterable
from ._reading import reading_of
from ._rules import (
    MetaMap,
    Notes,
    all_above,
    apply_rules,
    canonical_forms,
    highest_count,
    keep_most_specific,
    n_labels_by_meta,
    rename,
    resolve_aliases,
)
from ._units import chunks, is_content, languages, phrase_units, singular_forms, stop_words_for

_N_EXAMPLES = 5
_RULES = {
    1: "words of the label that are in none of its meta-labels",
    2: "several names for one concept",
    3: "in too few labels",
    4: "without what is above it",
    5: "in too many labels",
}


@dataclass(frozen=True)
class MetaLabelReport:
    """What a meta-label map looks like, and where it breaks the experts' rules. Readable by print.

    Attributes
    ----------
    n_labels, n_meta_labels : int
    mean_per_label : float
        Meta-labels of a label on average, labels without any included.
    max_per_label : int
    without : tuple of str
        Labels without a meta-label. Reranking leaves their scores as they are, which favours them.
    coverage : float
        Share of the words of the label texts, or of their characters in Chinese, that are in some
        meta-label of the label, in [0, 1]; function words do not count.
    violations : dict of int to dict of str to str
        For each rule from 1 to 5 what breaks it, and in which way: labels for rule 1, otherwise
        meta-labels. Rules 3 and 5 are advice for maps made by hand.
    merged : dict of str to tuple of str
        Rare phrases that were replaced by these shared ones; empty for a check.
    dropped : dict of str to str
        Phrases that were dropped, with the reason; empty for a check.
    left_out : dict of str to str
        Hypernyms that were not added, with the reason; empty for a check.
    kept : dict of str to str
        Labels that would have lost all phrases, with the one they keep against the rules; empty
        for a check.
    """

    n_labels: int
    n_meta_labels: int
    mean_per_label: float
    max_per_label: int
    without: tuple[str, ...]
    coverage: float
    violations: dict[int, dict[str, str]]
    merged: dict[str, tuple[str, ...]] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [
            f"{self.n_meta_labels} meta-labels of {self.n_labels} labels: "
            f"{self.mean_per_label:.2f} per label, at most {self.max_per_label}; "
            f"{self.coverage:.0%} of the words covered",
            _line("labels without any", dict.fromkeys(self.without, "")),
        ]
        lines += [
            _line(f"rule {rule}, {about}", self.violations[rule]) for rule, about in _RULES.items()
        ]
        merged = {name: " + ".join(parts) for name, parts in self.merged.items()}
        done = {
            "merged": merged,
            "dropped": self.dropped,
            "hypernyms left out": self.left_out,
            "kept against the rules": self.kept,
        }
        lines += [_line(name, items) for name, items in done.items() if items]
        return "\n".join(lines)


def check_meta_labels(
    labels: LabelSpace,
    *,
    aliases: Mapping[str, str] | None = None,
    hypernyms: Mapping[str, Iterable[str]] | None = None,
    min_labels: int = 2,
    max_df: float = 0.10,
    language: str = "auto",
) -> MetaLabelReport:
    """Compare a meta-label map with the five rules of the experts of [1]_.

    1. Phrases come from the label text: every word of it that is no function word is in some
       meta-label of the label.
    2. One name for each concept.
    3. Every meta-label is in `min_labels` labels at least.
    4. A label with a meta-label also has the ones above it.
    5. No meta-label is in more than a share of `max_df` of the labels.

    Parameters
    ----------
    labels : LabelSpace of L labels
        With meta-labels.
    aliases : mapping of str to str, default=None
        Other names of a concept, and the one to use. Without it, only names are found that differ
        in case, width, hyphens or the plural.
    hypernyms : mapping of str to (sequence of str, or str), default=None
        Meta-labels and what is right above them. None: rule 4 is not checked.
    min_labels : int, default=2
        At least 1.
    max_df : float, default=0.10
        Share of the labels, 0 < max_df <= 1. Where it comes to less than `min_labels` labels, that
        many are allowed.
    language : str, default="auto"
        Of the words with blanks around them: "de", "en", "es", "fr", "it", "pt", "zh" (English
        words within Chinese), "other", or the one whose function words are most frequent.

    Returns
    -------
    report : MetaLabelReport

    Raises
    ------
    TypeError, ValueError
        If there are no meta-labels, aliases or hypernyms go round in circles, or a value is out of
        its range.

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv 2411.01841.

    Examples
    --------
    >>> from skrr2qc import LabelSpace
    >>> from skrr2qc.meta_labels import check_meta_labels
    >>> names = ["area of a circle", "area of a square", "length of an arc"]
    >>> labels = LabelSpace(names, meta_labels={names[0]: ["area", "circle"], names[1]: ["areas"]})
    >>> report = check_meta_labels(labels)
    >>> report.violations[2], report.without
    ({'areas': 'area'}, ('length of an arc',))
    """
    found = meta_map(labels)
    check_language(language)
    aliases, links = check_settings(aliases, hypernyms, min_labels, max_df)
    words = stop_words_for(language, labels.texts)
    return report_on(labels, found, Notes(), aliases, links, min_labels, max_df, words)


def repair_meta_labels(
    labels: LabelSpace,
    *,
    aliases: Mapping[str, str] | None = None,
    hypernyms: Mapping[str, Iterable[str]] | None = None,
    min_labels: int = 2,
    max_df: float = 0.10,
    return_report: bool = False,
):
    """Make a meta-label map obey rules 2 to 5, in the order 2, 4, 3, 5.

    A rare meta-label is replaced by the shared ones that it contains, or dropped. A hypernym that
    would be in too many labels is not added. A label that would lose all its meta-labels keeps the
    one in the fewest labels, then the longest.

    Parameters
    ----------
    labels : LabelSpace of L labels
        With meta-labels.
    aliases, hypernyms, min_labels, max_df
        See :func:`check_meta_labels`.
    return_report : bool, default=False
        Return the report on the result, too, with what was done.

    Returns
    -------
    repaired : LabelSpace
        The same labels with the new map. Labels that had no meta-labels have none.
    report : MetaLabelReport
        Only with `return_report`.

    Raises
    ------
    TypeError, ValueError
        As :func:`check_meta_labels`.

    Examples
    --------
    >>> from skrr2qc import LabelSpace
    >>> from skrr2qc.meta_labels import repair_meta_labels
    >>> labels = LabelSpace(
    ...     ["linear equation", "quadratic equation", "mean"],
    ...     meta_labels={
    ...         "linear equation": ["linear equation"],
    ...         "quadratic equation": ["equations", "quadratic"],
    ...         "mean": ["mean"],
    ...     },
    ... )
    >>> repaired, report = repair_meta_labels(
    ...     labels, hypernyms={"linear equation": "equation"}, return_report=True
    ... )
    >>> repaired.to_dict()["meta_labels"]
    {'linear equation': ['equation'], 'quadratic equation': ['equation'], 'mean': ['mean']}
    >>> report.kept
    {'mean': 'mean'}
    """
    found = meta_map(labels)
    aliases, links = check_settings(aliases, hypernyms, min_labels, max_df)
    canonical, ruled, _, notes = apply_rules(
        found, aliases=aliases, hypernyms=links, min_labels=min_labels, max_df=max_df
    )
    result = keep_most_specific(canonical, ruled, notes)
    repaired = with_meta_labels(labels, result)
    if not return_report:
        return repaired
    words = stop_words_for("auto", labels.texts)
    return repaired, report_on(repaired, result, notes, aliases, links, min_labels, max_df, words)


def meta_map(labels: LabelSpace) -> MetaMap:
    """Meta-labels by label; a ValueError if there are none."""
    check_label_space(labels, "labels")
    found = labels.to_dict()["meta_labels"]
    if not found:
        raise ValueError(
            "labels must have meta-labels, got a LabelSpace without any. Pass meta_labels={label: "
            "[meta-label, ...]} to it, or make them with NameDecomposer().decompose(labels)."
        )
    return {name: tuple(found.get(name, ())) for name in labels.names}


def with_meta_labels(labels: LabelSpace, found: MetaMap) -> LabelSpace:
    """The same labels with another map."""
    data = labels.to_dict()
    data.pop("meta_names")
    return LabelSpace.from_dict({**data, "meta_labels": {k: v for k, v in found.items() if v}})


def check_label_space(labels, name: str) -> None:
    """Raise a TypeError unless it is one."""
    if not isinstance(labels, LabelSpace):
        raise TypeError(
            f"{name} must be a LabelSpace, got {type(labels).__name__}. Build one with "
            "LabelSpace(names)."
        )


def check_language(language) -> None:
    """Raise a ValueError unless there is a list of function words, or none is needed."""
    if not isinstance(language, str) or language not in ("auto", "other", *languages()):
        raise ValueError(
            f"language must be 'auto', 'other' or one of {languages()}, got {language!r:.80}."
        )


def check_settings(
    aliases, hypernyms, min_labels, max_df
) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Aliases with chains resolved and hypernyms as tuples; an error if a value is no good."""
    if not isinstance(min_labels, Integral) or isinstance(min_labels, bool) or min_labels < 1:
        raise ValueError(f"min_labels must be an integer of at least 1, got {min_labels!r:.80}.")
    is_number = isinstance(max_df, Real) and not isinstance(max_df, bool)
    if not is_number or not 0 < max_df <= 1:
        raise ValueError(f"max_df must be a share of the labels in (0, 1], got {max_df!r:.80}.")
    for name, value in {"aliases": aliases, "hypernyms": hypernyms}.items():
        if value is not None and not isinstance(value, Mapping):
            raise TypeError(
                f"{name} must be a mapping, got {type(value).__name__}. Write {{name: other name}}."
            )
    aliases, links = dict(aliases or {}), {}
    for lower, uppers in (hypernyms or {}).items():
        if isinstance(uppers, bytes | Mapping) or not is_iterable(uppers):
            raise TypeError(
                f"hypernyms[{lower!r:.80}] must be a str or a sequence of them, got "
                f"{type(uppers).__name__}."
            )
        links[lower] = (uppers,) if isinstance(uppers, str) else tuple(uppers)
    for name in (*aliases, *aliases.values(), *links, *(u for up in links.values() for u in up)):
        if not isinstance(name, str):
            raise TypeError(
                f"aliases and hypernyms must name meta-labels by str, got {name!r:.80}."
            )
        if not name.strip():
            raise ValueError(f"aliases and hypernyms must hold names not blank, got {name!r:.80}.")
        if any("\ud800" <= character <= "\udfff" for character in name):
            raise ValueError(
                f"aliases and hypernyms must hold valid Unicode, got {name!r:.80}: a surrogate."
            )
    all_above(links)
    return resolve_aliases(aliases), links


def report_on(
    labels, found, notes, aliases, hypernyms, min_labels, max_df, stop_words
) -> MetaLabelReport:
    """Report on a map; see :func:`check_meta_labels`."""
    counts = n_labels_by_meta(found)
    uncovered, coverage = _uncovered(labels, found, stop_words)
    sizes = [len(metas) for metas in found.values()]
    renamed = {name: form for name, form in aliases.items() if name in counts and form != name}
    highest = highest_count(len(found), min_labels, max_df)
    violations = {
        1: uncovered,
        2: {**canonical_forms(n_labels_by_meta(rename(found, aliases))), **renamed},
        3: {name: _labels(counts[name]) for name in sorted(counts) if counts[name] < min_labels},
        4: _lacking(found, all_above(hypernyms), notes),
        5: {
            name: f"{_labels(counts[name])}, {counts[name] / len(found):.1%}"
            for name in sorted(counts, key=lambda name: (-counts[name], name))
            if counts[name] > highest
        },
    }
    return MetaLabelReport(
        n_labels=len(found),
        n_meta_labels=len(counts),
        mean_per_label=sum(sizes) / len(sizes),
        max_per_label=max(sizes),
        without=tuple(label for label, metas in found.items() if not metas),
        coverage=coverage,
        violations=violations,
        **vars(notes),
    )


def _uncovered(labels, found: MetaMap, stop_words) -> tuple[dict[str, str], float]:
    """Words of each label that none of its meta-labels has, and the share of words that one has."""
    readings = reading_of(labels)
    words = {
        label: [u for run in chunks(readings[label], stop_words) for u in run if is_content(u)]
        for label in found
    }
    metas = {meta: phrase_units(meta) for meta in {m for ms in found.values() for m in ms}}
    units = {u for phrase in (*metas.values(), *words.values()) for u in phrase}
    singular = singular_forms(units)
    lacking, n_words, n_lacking = {}, 0, 0
    for label, content in words.items():
        has = {singular.get(u, u) for meta in found[label] for u in metas[meta]}
        missing = [word for word in dict.fromkeys(content) if singular.get(word, word) not in has]
        n_words += len(set(content))
        n_lacking += len(missing)
        if missing:
            lacking[label] = " ".join(missing)
    return lacking, 1.0 - n_lacking / max(n_words, 1)


def _lacking(found: MetaMap, above: Mapping[str, tuple[str, ...]], notes: Notes) -> dict[str, str]:
    counts = Counter(
        (meta, upper)
        for label, metas in found.items()
        for meta in metas
        for upper in above.get(meta, ())
        if upper not in metas and upper not in notes.left_out and label not in notes.kept
    )
    lines: dict[str, str] = {}
    for (meta, upper), count in sorted(counts.items()):
        part = f"{upper} ({_labels(count)})"
        lines[meta] = f"{lines[meta]}, {part}" if meta in lines else part
    return lines


def _labels(count: int) -> str:
    return f"{count} label{'s' * (count != 1)}"


def _line(about: str, items: Mapping[str, str]) -> str:
    examples = [
        f"{name} ({why})" if why else name for name, why in list(items.items())[:_N_EXAMPLES]
    ]
    more = [f"and {len(items) - len(examples)} more"] if len(items) > len(examples) else []
    return f"{about}: {len(items)}" + (" - " + "; ".join([*examples, *more]) if items else "")
