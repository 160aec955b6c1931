"""Meta-labels from what labels are called, without a model."""

import warnings
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any

import numpy as np

from ..label_space import LabelSpace
from ._check import (
    check_label_space,
    check_language,
    check_settings,
    report_on,
    with_meta_labels,
)
from ._reading import is_code, reading_of
from ._rules import (
    MetaMap,
    apply_rules,
    close,
    heads,
    highest_count,
    keep_most_specific,
    n_labels_by_meta,
    rename,
    with_links,
    written,
)
from ._segmentation import segment
from ._units import (
    HEAD_FIRST,
    SOFT_UNITS,
    chunks,
    find_language,
    is_content,
    phrase_units,
    singular_forms,
    stop_words_for,
)

_PARENTS = ("missing", "always", "never")


@dataclass(kw_only=True)
class NameDecomposer:
    """Decompose label names into phrases that several labels share, offline and always alike.

    Names are cut at punctuation and function words; the pieces are split into those phrases with
    which the whole label set is shortest to write down, so that "函数" or "water cycle" is found
    without a dictionary. The experts' rules then decide what stays (:func:`repair_meta_labels`).

    Parameters
    ----------
    language : str, default="auto"
        Of words with blanks around them: "de", "en", "es", "fr", "it", "pt", "zh", "other", or the
        one whose function words are most frequent. It says which words are cut at, whether plurals
        are joined to their singular (English), and which end of a phrase is its head. Chinese
        is recognised by its characters, whatever is set here.
    min_labels : int, default=2
        Phrases in fewer labels are replaced by shared parts, or dropped.
    max_df : float, default=0.10
        Share of the labels, 0 < max_df <= 1; phrases in more are dropped. In small label sets
        `min_labels` labels are always allowed.
    aliases : mapping of str to str, default=None
        Phrases to be replaced, and what by, such as synonyms. Phrases are in small letters.
    hypernyms : mapping of str to (sequence of str, or str), default=None
        Phrases to be added to labels that have another; besides those found by `add_heads`.
    add_heads : bool, default=True
        Whether a phrase brings the longest other phrase that it ends with, if that stays within
        `max_df`: "root crop" brings "crop", "一次函数" brings "函数". In languages that put the
        noun first, the one that it begins with.
    parents : {"missing", "always", "never"}, default="missing"
        Which labels are given the phrases of the nodes above them: those left without any, all
        (what would be in too many labels is dropped), or none. In each case, the texts of inner
        nodes count in finding phrases.

    See Also
    --------
    check_meta_labels : what a map looks like.
    repair_meta_labels : the rules alone, for a map from elsewhere.

    Notes
    -----
    A label of which nothing is shared keeps its most specific phrase, which then is in too few
    labels; the report names it. Labels whose text is a code get phrases from above only.

    The result does not depend on the order of the labels, except for the order of its rows.

    Examples
    --------
    >>> from skrr2qc import LabelSpace
    >>> from skrr2qc.meta_labels import NameDecomposer
    >>> names = ["area of a circle", "area of squares", "circles and angles", "angle in a square"]
    >>> labels = NameDecomposer(max_df=0.5).decompose(LabelSpace(names))
    >>> labels.meta_names
    ('angle', 'area', 'circle', 'square')
    >>> labels.to_dict()["meta_labels"]["circles and angles"]
    ['angle', 'circle']
    """

    language: str = "auto"
    min_labels: int = 2
    max_df: float = 0.10
    aliases: Any = None
    hypernyms: Any = None
    add_heads: bool = True
    parents: str = "missing"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name.

        Parameters
        ----------
        deep : bool, default=True
            Without effect, as no parameter has parameters; there for scikit-learn.

        Returns
        -------
        params : dict
        """
        return {parameter.name: getattr(self, parameter.name) for parameter in fields(self)}

    def set_params(self, **params: Any) -> "NameDecomposer":
        """Set parameters by name.

        Parameters
        ----------
        **params
            See the class.

        Returns
        -------
        self : NameDecomposer

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        for name, value in params.items():
            if name not in self.get_params():
                raise ValueError(
                    f"NameDecomposer has no parameter {name!r}, only {sorted(self.get_params())}."
                )
            setattr(self, name, value)
        return self

    def decompose(self, labels: LabelSpace, *, return_report: bool = False):
        """Give labels the meta-labels that their names, texts and parents suggest.

        Parameters
        ----------
        labels : LabelSpace of L labels
            Meta-labels that it has are not looked at.
        return_report : bool, default=False
            Return the report, too.

        Returns
        -------
        decomposed : LabelSpace
            The same labels with meta-labels; without, if nothing can be read.
        report : MetaLabelReport
            Only with `return_report`; see :func:`check_meta_labels`, and there `merged`, `dropped`
            and `kept`.

        Raises
        ------
        TypeError, ValueError
            If a parameter is out of its range, or `labels` is no LabelSpace.

        Warns
        -----
        UserWarning
            If most labels are codes, and so say nothing.
        """
        aliases, hypernyms = self._check(labels)
        readings = reading_of(labels)
        language = find_language(readings.values()) if self.language == "auto" else self.language
        phrases = rename(_phrases(_without_codes(readings, labels), language), aliases)
        found = {name: phrases[name] for name in labels.names}
        if self.parents == "always":
            found = _with_ancestors(found, labels.parents, phrases)
        if self.add_heads:
            names = set(chain.from_iterable(found.values()))
            hypernyms = with_links(hypernyms, heads(names, is_first=language in HEAD_FIRST))
        result, notes = self._apply_rules(found, aliases, hypernyms, labels.parents, phrases)
        decomposed = with_meta_labels(labels, result)
        if not return_report:
            return decomposed
        words = stop_words_for(language, ())
        settings = (aliases, hypernyms, self.min_labels, self.max_df, words)
        return decomposed, report_on(decomposed, result, notes, *settings)

    def _check(self, labels):
        check_label_space(labels, "labels")
        check_language(self.language)
        if not isinstance(self.parents, str) or self.parents not in _PARENTS:
            raise ValueError(f"parents must be one of {_PARENTS}, got {self.parents!r:.80}.")
        if not isinstance(self.add_heads, bool | np.bool_):
            raise TypeError(f"add_heads must be True or False, got {self.add_heads!r:.80}.")
        return check_settings(self.aliases, self.hypernyms, self.min_labels, self.max_df)

    def _apply_rules(self, found, aliases, hypernyms, parents, phrases):
        canonical, ruled, above, notes = apply_rules(
            found, aliases=aliases, hypernyms=hypernyms, min_labels=self.min_labels,
            max_df=self.max_df,
        )  # fmt: skip
        if self.parents == "missing":
            counts = n_labels_by_meta(canonical)
            common = {name for name in notes.dropped if counts[name] >= self.min_labels}
            highest = highest_count(len(found), self.min_labels, self.max_df)
            allowed = range(self.min_labels, highest + 1)
            ruled = _fill_from_above(ruled, parents, phrases, allowed, common)
            ruled = close(ruled, above, highest, notes)
        return keep_most_specific(canonical, ruled, notes), notes


def _fill_from_above(
    found: MetaMap, parents, phrases: MetaMap, allowed: range, without: Collection[str]
) -> MetaMap:
    """Give labels without phrases those of the nearest nodes above that enough labels share."""
    filled = dict(found)
    above = {name: parents.get(name, ()) for name, metas in found.items() if not metas}
    while any(above.values()):
        offers = {
            name: tuple(dict.fromkeys(p for n in nodes for p in phrases[n] if p not in without))
            for name, nodes in above.items()
        }
        counts = n_labels_by_meta(filled) + n_labels_by_meta(offers)
        for name, metas in offers.items():
            filled[name] = tuple(meta for meta in metas if counts[meta] in allowed)
        above = {
            name: tuple(dict.fromkeys(up for node in nodes for up in parents.get(node, ())))
            for name, nodes in above.items()
            if not filled[name]
        }
    return filled


def _without_codes(readings: dict[str, str], labels: LabelSpace) -> dict[str, str]:
    """Readings with codes blanked, where most labels are codes; then with a warning."""
    codes = [name for name in labels.names if is_code(readings[name])]
    if 2 * len(codes) <= labels.n_labels:
        return readings
    warnings.warn(
        f"{len(codes)} of {labels.n_labels} labels read like codes ({', '.join(codes[:3])}), which "
        "say nothing about them. Pass texts={label: description} to LabelSpace, or meta_labels of "
        "your own. These labels get phrases from the nodes above them only, if these have texts.",
        stacklevel=3,
    )
    return {name: "" if is_code(text) else text for name, text in readings.items()}


def _phrases(readings: dict[str, str], language: str) -> MetaMap:
    """Phrases of each node, found in the texts of all."""
    stop_words = stop_words_for(language, ())
    runs = {name: chunks(text, stop_words) for name, text in readings.items()}
    if language in ("en", "zh"):
        singular = singular_forms({u for parts in runs.values() for run in parts for u in run})
        runs = {
            name: [tuple(singular.get(u, u) for u in run) for run in parts]
            for name, parts in runs.items()
        }
    phrases = segment(Counter(chain.from_iterable(runs.values())), SOFT_UNITS)
    found = {
        name: written(p for run in parts for p in phrases[run] if any(map(is_content, p)))
        for name, parts in runs.items()
    }
    # A label named "other" has nothing but itself, one named "!" has nothing.
    return {
        name: metas or written(filter(None, [phrase_units(readings[name])]))
        for name, metas in found.items()
    }


def _with_ancestors(found: MetaMap, parents, phrases: MetaMap) -> MetaMap:
    """Phrases of each label and of all nodes above it."""
    result = {}
    for name, metas in found.items():
        reached, nodes = dict.fromkeys(metas), parents.get(name, ())
        while nodes:
            reached.update((phrase, None) for node in nodes for phrase in phrases[node])
            nodes = tuple(dict.fromkeys(up for node in nodes for up in parents.get(node, ())))
        result[name] = tuple(reached)
    return result
