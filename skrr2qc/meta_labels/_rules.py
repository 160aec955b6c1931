"""The experts' rules 2 to 5 as steps on a map from labels to meta-labels."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ._units import Units, is_han, join_units, phrase_units, singular_forms

MetaMap = dict[str, tuple[str, ...]]

_N_SHOWN = 5  # names at the start of a circle in a message


@dataclass
class Notes:
    """What was done to a map beside what the map itself shows."""

    merged: dict[str, tuple[str, ...]] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)


def n_labels_by_meta(found: Mapping[str, Iterable[str]]) -> Counter[str]:
    """In how many labels each meta-label is."""
    return Counter(meta for metas in found.values() for meta in set(metas))


def highest_count(n_labels: int, min_labels: int, max_df: float) -> int:
    """Number of labels that a meta-label may be in; in small label sets at least `min_labels`."""
    return max(int(max_df * n_labels + 1e-9), min_labels)


def resolve_aliases(aliases: Mapping[str, str]) -> dict[str, str]:
    """Follow chains of aliases to their end.

    Raises
    ------
    ValueError
        If a chain is a circle.
    """
    ends: dict[str, str] = {}
    for name in aliases:
        chain = {name: None}  # in order
        last = name
        while last not in ends and aliases.get(last, last) != last:
            last = aliases[last]
            if last in chain:
                shown = [f"{name!r:.60}" for name in [*chain, last]]
                shown = shown if len(shown) <= 2 * _N_SHOWN else [*shown[:_N_SHOWN], "...", last]
                raise ValueError(
                    f"aliases must lead to one canonical form, got the circle "
                    f"{' -> '.join(shown)}. Remove one of these entries."
                )
            chain[last] = None
        ends.update(dict.fromkeys(chain, ends.get(last, last)))
    return {name: ends[name] for name in aliases}


def canonical_forms(counts: Mapping[str, int]) -> dict[str, str]:
    """Names that differ in case, width, blanks, hyphens or the plural: {name: name used most}."""
    units = {name: phrase_units(name) for name in counts}
    singular = singular_forms({unit for phrase in units.values() for unit in phrase})
    groups: dict[Units, list[str]] = {}
    for name, phrase in units.items():
        key = tuple(singular.get(unit, unit) for unit in phrase) or (name,)
        groups.setdefault(key, []).append(name)
    forms: dict[str, str] = {}
    for names in groups.values():
        best = min(names, key=lambda name: (-counts[name], len(name), name))
        forms.update((name, best) for name in names if name != best)
    return forms


def rename(found: MetaMap, forms: Mapping[str, str]) -> MetaMap:
    """Rule 2: one name for each concept; what falls together counts once."""
    return {
        label: tuple(dict.fromkeys(forms.get(meta, meta) for meta in metas))
        for label, metas in found.items()
    }


def all_above(hypernyms: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Everything above each meta-label, nearest first.

    Raises
    ------
    ValueError
        If a meta-label is above itself.
    """
    above = {}
    for name in hypernyms:
        reached: dict[str, None] = {}
        waiting = list(hypernyms[name])
        while waiting:
            reached.update(dict.fromkeys(waiting))
            uppers = (upper for lower in waiting for upper in hypernyms.get(lower, ()))
            # Each once: many ways up, two at each step, would be gone through one by one.
            waiting = [upper for upper in dict.fromkeys(uppers) if upper not in reached]
        if name in reached:
            raise ValueError(
                f"hypernyms must not contain a circle, but {name!r:.60} is above itself. Remove "
                "one of the entries on the way, or make the two names aliases."
            )
        above[name] = tuple(reached)
    return above


def with_links(
    links: Mapping[str, tuple[str, ...]], more: Mapping[str, Iterable[str]]
) -> dict[str, tuple[str, ...]]:
    """Hypernyms and further ones, without those that would close a circle."""
    joined = dict(links)
    for lower, uppers in more.items():
        for upper in uppers:
            waiting, seen = [upper], {upper}
            while waiting and lower not in seen:
                above = [up for name in waiting for up in joined.get(name, ()) if up not in seen]
                seen.update(above)
                waiting = above
            if lower not in seen:
                joined[lower] = tuple(dict.fromkeys([*joined.get(lower, ()), upper]))
    return joined


def close(
    found: MetaMap, above: Mapping[str, tuple[str, ...]], highest: int, notes: Notes
) -> MetaMap:
    """Rule 4: add the hypernyms that stay within `highest` labels.

    One that would not is left out, so that rule 5 does not take it from labels that name it.
    """
    closed = _with_hypernyms(found, above, frozenset())
    counts = n_labels_by_meta(closed)
    uppers = {upper for names in above.values() for upper in names}
    too_many = frozenset(upper for upper in uppers if counts[upper] > highest)
    for upper in sorted(too_many):
        notes.left_out[upper] = f"would be in {counts[upper]} labels with all below it"
    return _with_hypernyms(found, above, too_many) if too_many else closed


def _with_hypernyms(found, above, without: frozenset[str]) -> MetaMap:
    return {
        label: tuple(
            dict.fromkeys(
                [
                    *metas,
                    *(up for meta in metas for up in above.get(meta, ()) if up not in without),
                ]
            )
        )
        for label, metas in found.items()
    }


def merge_rare(found: MetaMap, min_labels: int, notes: Notes) -> MetaMap:
    """Rule 3: put the shared phrases that it contains in place of a rare one, or drop it."""
    counts = n_labels_by_meta(found)
    shared = {phrase_units(name): name for name in sorted(counts) if counts[name] >= min_labels}
    for name in sorted(counts):
        if counts[name] < min_labels:
            parts = _parts(phrase_units(name), shared)
            if parts:
                notes.merged[name] = parts
            else:
                notes.dropped[name] = f"in {counts[name]} label{'s' * (counts[name] != 1)} only"
    return {
        label: tuple(
            dict.fromkeys(
                part
                for meta in metas
                for part in ((meta,) if counts[meta] >= min_labels else notes.merged.get(meta, ()))
            )
        )
        for label, metas in found.items()
    }


def _parts(phrase: Units, shared: Mapping[Units, str]) -> tuple[str, ...]:
    """Longest shared phrases within one, without overlap; no single Chinese character."""
    start, parts = 0, []
    lengths = sorted({len(other) for other in shared if other}, reverse=True)
    while start < len(phrase):
        for end in (start + n for n in lengths if start + n <= len(phrase)):
            part = phrase[start:end]
            if part in shared and not (len(part) == 1 and is_han(part[0])):
                parts.append(shared[part])
                start = end - 1
                break
        start += 1
    return tuple(dict.fromkeys(parts))


def drop_common(found: MetaMap, highest: int, notes: Notes) -> MetaMap:
    """Rule 5: drop what is in more than `highest` labels."""
    counts = n_labels_by_meta(found)
    for name in sorted(counts):
        if counts[name] > highest:
            notes.dropped[name] = f"in {counts[name]} of {len(found)} labels"
    return {
        label: tuple(meta for meta in metas if counts[meta] <= highest)
        for label, metas in found.items()
    }


def keep_most_specific(before: MetaMap, after: MetaMap, notes: Notes) -> MetaMap:
    """Give back its rarest, then longest phrase to a label that has lost all."""
    counts = n_labels_by_meta(before)
    result = dict(after)
    for label, metas in before.items():
        if metas and not after[label]:
            best = min(metas, key=lambda meta: (counts[meta], -len(meta), meta))
            result[label] = (best,)
            notes.kept[label] = best
    return result


def apply_rules(
    found: MetaMap,
    *,
    aliases: Mapping[str, str],
    hypernyms: Mapping[str, Iterable[str]],
    min_labels: int,
    max_df: float,
) -> tuple[MetaMap, MetaMap, dict[str, tuple[str, ...]], Notes]:
    """Rules 2, 4, 3 and 5 in this order.

    Returns
    -------
    canonical, ruled : dict of str to tuple of str
        The map after rule 2, and after all rules, where labels may be empty.
    above : dict of str to tuple of str
        What is above meta-labels, by canonical names.
    notes : Notes
    """
    notes = Notes()
    ends = resolve_aliases(aliases)
    renamed = rename(found, ends)
    counts = n_labels_by_meta(renamed)
    chosen = {*ends.values(), *hypernyms, *(u for uppers in hypernyms.values() for u in uppers)}
    # Names that the caller writes win over those in use.
    forms = canonical_forms({**counts, **{name: counts[name] + len(found) for name in chosen}})
    canonical = rename(renamed, forms)
    above = all_above(_rename_links(hypernyms, [ends, forms]))
    highest = highest_count(len(found), min_labels, max_df)
    closed = close(canonical, above, highest, notes)
    # What a rare phrase is replaced by may have hypernyms of its own.
    merged = close(merge_rare(closed, min_labels, notes), above, highest, notes)
    return canonical, drop_common(merged, highest, notes), above, notes


def _rename_links(
    links: Mapping[str, Iterable[str]], renamings: Iterable[Mapping[str, str]]
) -> dict[str, tuple[str, ...]]:
    renamed = {lower: tuple(uppers) for lower, uppers in links.items()}
    for forms in renamings:
        merged: dict[str, dict[str, None]] = {}
        for lower, uppers in renamed.items():
            lower = forms.get(lower, lower)
            names = (forms.get(upper, upper) for upper in uppers)
            merged.setdefault(lower, {}).update((name, None) for name in names if name != lower)
        renamed = {lower: tuple(uppers) for lower, uppers in merged.items()}
    return renamed


def heads(names: Iterable[str], *, is_first: bool = False) -> dict[str, tuple[str, ...]]:
    """Longest phrase that each phrase ends with (or begins with): what it is a kind of.

    Single Chinese characters head too many words to be a concept.
    """
    units = {phrase_units(name): name for name in sorted(names)}
    found: dict[str, tuple[str, ...]] = {}
    lengths = sorted({len(phrase) for phrase in units if phrase}, reverse=True)
    for phrase, name in units.items():
        for length in (n for n in lengths if n < len(phrase)):
            head = phrase[:length] if is_first else phrase[-length:]
            if head in units and not (len(head) == 1 and is_han(head[0])):
                found[name] = (units[head],)
                break
    return found


def written(phrases: Iterable[Units]) -> tuple[str, ...]:
    """Phrases as strings, each once."""
    return tuple(dict.fromkeys(map(join_units, phrases)))
