"""Texts as runs of units: a Chinese character or a word, cut where no phrase may reach across."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from ._words import HARD_ZH, KEPT_ZH, SOFT_ZH, WORD_LANGUAGES

Units = tuple[str, ...]

_HAN = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # and kana
_HAN_UNIT = re.compile(f"[{_HAN}]")
_TOKENS = re.compile(rf"[{_HAN}]|[^\W_{_HAN}]+|\s+|.", re.DOTALL)
_CUTS_ZH = re.compile("|".join(sorted(map(re.escape, HARD_ZH.split()), key=lambda w: (-len(w), w))))
_KEPT_ZH = re.compile("|".join(map(re.escape, KEPT_ZH.split())))
_JOINERS = frozenset("-'\u2019\u2010\u2011")  # between two words they do not end a phrase
_POSSESSIVE = re.compile(r"['\u2019]s\b")

SOFT_UNITS = frozenset(SOFT_ZH.split())
HEAD_FIRST = ("es", "fr", "it", "pt")  # "aceite vegetal" is a kind of "aceite"
_STOP_WORDS = {name: frozenset(words.split()) for name, words in WORD_LANGUAGES.items()}


def is_han(unit: str) -> bool:
    """Whether a unit is written without spaces around it."""
    return _HAN_UNIT.match(unit) is not None


def is_content(unit: str) -> bool:
    """Whether a unit can say something by itself: no digits, no single letter, no function word."""
    if is_han(unit):
        return unit not in SOFT_UNITS
    return len(unit) > 1 and unit.isalpha()


def normalize(text: str) -> str:
    """One form for full and half width, capitals and small letters, with and without "'s"."""
    return _POSSESSIVE.sub("", unicodedata.normalize("NFKC", text).casefold())


def join_units(units: Units) -> str:
    """Phrase as it is written: blanks between words, none beside Chinese characters."""
    parts: list[str] = []
    for unit in units:
        if parts and not is_han(unit) and not is_han(parts[-1][-1]):
            parts.append(" ")
        parts.append(unit)
    return "".join(parts)


def phrase_units(phrase: str) -> Units:
    """Units of one phrase, function words included, punctuation left out."""
    tokens = _TOKENS.findall(normalize(phrase))
    return tuple(token for token in tokens if token[0].isalnum())


def chunks(text: str, stop_words: frozenset[str]) -> list[Units]:
    """Runs of units between punctuation and function words.

    Parameters
    ----------
    text : str
    stop_words : frozenset of str
        Words that end a run. Chinese ones are always among them.

    Returns
    -------
    runs : list of tuples of str
        Not empty; words in small letters.
    """
    runs: list[list[str]] = [[]]
    for token in _TOKENS.findall(_mark_cuts(normalize(text))):
        last = runs[-1][-1] if runs[-1] else ""
        if token.isspace() or token in _JOINERS:
            is_cut = bool(last) and is_han(last)
        else:
            is_cut = not token[0].isalnum() or token in stop_words
            if not is_cut:
                runs[-1].append(token)
        if is_cut and last:
            runs.append([])
    return [tuple(run) for run in runs if run]


def _mark_cuts(text: str) -> str:
    """Put a bar in place of Chinese function words, unless they are part of a kept word."""
    parts, start = [], 0
    for kept in _KEPT_ZH.finditer(text):
        parts += [_CUTS_ZH.sub("|", text[start : kept.start()]), kept.group()]
        start = kept.end()
    return "".join([*parts, _CUTS_ZH.sub("|", text[start:])])


def languages() -> tuple[str, ...]:
    """Names of the languages that have a list of function words."""
    return (*sorted(_STOP_WORDS), "zh")


def stop_words_for(language: str, texts: Iterable[str]) -> frozenset[str]:
    """Function words of a language with blanks; "auto" finds it in the texts."""
    if language == "auto":
        language = find_language(texts)
    return _STOP_WORDS.get("en" if language == "zh" else language, frozenset())


def find_language(texts: Iterable[str]) -> str:
    """Language with blanks whose function words the texts use most; English if they use none."""
    counts = Counter(unit for text in texts for unit in phrase_units(text) if not is_han(unit))
    found = {name: sum(counts[word] for word in words) for name, words in _STOP_WORDS.items()}
    return max(sorted(found), key=lambda name: (found[name], name == "en"))


def singular_forms(words: Iterable[str]) -> dict[str, str]:
    """English plurals whose singular is among the words, too: {plural: singular}.

    A form that stands alone is left as it is, so that no rule makes "len" of "lens".
    """
    known = set(words)
    return {
        word: form
        for word in known
        for form in [next((f for f in _singulars(word) if f in known), word)]
        if form != word
    }


def _singulars(word: str) -> list[str]:
    if len(word) < 4 or not word.isascii() or not word.endswith("s") or word.endswith("ss"):
        return []
    forms = [word[:-1]]
    if word.endswith("ies"):
        forms.append(word[:-3] + "y")
    if word.endswith("ves"):
        forms += [word[:-3] + "f", word[:-3] + "fe"]
    if word.endswith("es"):
        forms += [word[:-2], word[:-2] + "is"]
    return forms
