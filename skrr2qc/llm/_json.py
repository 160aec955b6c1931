"""The one JSON value of an answer, out of the prose, fences and reasoning around it."""

import json
import re
from collections.abc import Iterator

_OPENING: dict[type, str] = {dict: "{", list: "["}
_CLOSING = {"{": "}", "[": "]"}
# What comes next in JSON: a bracket that nobody closes is then an answer that breaks off.
_NEXT = {"{": re.compile(r'\s*["}]'), "[": re.compile(r'\s*["\[{\]\d\-tfn]')}
# A string, even one that never ends, is one token: brackets within it close nothing.
_STRING = r'"(?:[^"\\]++|\\.)*+"?'
# Marks count where they end or begin a line: within a string of JSON no line ends.
_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_START_OF_REASONING, _END_OF_REASONING = "<think>", re.compile(r"</think>[ \t]*(?:\n|\Z)")
_MAX_BROKEN = 32  # bracketed stretches that are no JSON, after which the rest is not read


def extract_json(answer: str, kind: type = dict) -> str:
    """Cut the one JSON object out of an answer.

    Parameters
    ----------
    answer : str
        May hold reasoning that ends in ``</think>``, prose, and code fences around the object.
    kind : {dict, list}, default=dict
        Whether an object or an array is looked for.

    Returns
    -------
    text : str
        A part of `answer` that ``json.loads`` turns into a `kind`. What is in it is not judged.

    Raises
    ------
    ValueError
        If there is none, if it breaks off or does not parse, or if several differ, so that one
        would have to be guessed. Parts of a broken object are never taken for the whole.

    Examples
    --------
    >>> extract_json('Sure! Here it is: {"area": ["geometry"]} Anything else?')
    '{"area": ["geometry"]}'
    >>> extract_json('{"area": ["geometry"], "leng')
    Traceback (most recent call last):
    ValueError: the JSON object that begins at character 0 breaks off...
    """
    opening = _OPENING[kind]
    if isinstance(_parse(answer), kind):
        return answer.strip().removeprefix("\ufeff")
    text = answer if answer.lstrip().startswith(opening) else _without_reasoning(answer)
    fenced = [block for block in _FENCE.findall(text) if isinstance(_parse(block), kind)]
    found = [block.strip() for block in fenced] or list(_values(text, opening))
    if not found:
        raise ValueError(f"no JSON {_name(opening)} was found")
    if any(_parse(one) != _parse(found[0]) for one in found[1:]):
        raise ValueError(f"{len(found)} JSON {_name(opening)}s were found where one was expected")
    return found[0]


def _without_reasoning(answer: str) -> str:
    """What comes after the reasoning, whose opening tag may be part of the chat template."""
    if not answer.lstrip().startswith(_START_OF_REASONING):
        return _END_OF_REASONING.split(answer)[-1]
    _, mark, after = answer.partition("</think>")
    if not mark:
        raise ValueError("the answer breaks off in the middle of its reasoning")
    return after


def _values(text: str, opening: str) -> Iterator[str]:
    """Outermost bracketed stretches that are JSON; raise if one breaks off in the middle."""
    start, n_broken = text.find(opening), 0
    while start >= 0 and n_broken < _MAX_BROKEN:
        end = _closing(text, start)
        if end is None and _NEXT[opening].match(text, start + 1):
            raise ValueError(
                f"the JSON {_name(opening)} that begins at character {start} breaks off"
            )
        if end is not None and _parse(text[start:end]) is not None:
            yield text[start:end]
        else:
            n_broken += 1
        start = text.find(opening, start + 1 if end is None else end)


def _closing(text: str, start: int) -> int | None:
    """Position after the bracket that closes the one at `start`; None if none does."""
    opening, closing = text[start], _CLOSING[text[start]]
    tokens = re.compile(f"{_STRING}|[{re.escape(opening + closing)}]", re.DOTALL)
    depth = 0
    for token in tokens.finditer(text, start):
        depth += (token[0] == opening) - (token[0] == closing)
        if depth == 0:
            return token.end()
    return None


def _parse(text: str) -> object:
    """The JSON value that a text is; None if it is none. NaN and Infinity are not JSON."""
    try:
        return json.loads(text.strip().removeprefix("\ufeff"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _name(opening: str) -> str:
    return "object" if opening == "{" else "array"
