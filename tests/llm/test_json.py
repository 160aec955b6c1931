"""The JSON of an answer: found wherever it is, never guessed, never a part of a broken one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skrr2qc.llm import extract_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12) | st.sampled_from(["}", '"', "\\", "```", "{", "</think>"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
OBJECTS = st.dictionaries(st.text(max_size=5), VALUES, max_size=4)
PROSE = st.text(st.characters(exclude_characters="{`<"), max_size=40)


@given(OBJECTS, PROSE, PROSE, st.booleans(), st.sampled_from([None, 2]), st.booleans())
def test_an_object_is_found_in_prose(value, before, after, is_fenced, indent, is_ascii):
    text = json.dumps(value, indent=indent, ensure_ascii=is_ascii)
    if is_fenced:
        text = f"\n```json\n{text}\n```\n"
    assert json.loads(extract_json(f"{before}{text}{after}")) == value


@given(OBJECTS, st.data())
def test_what_breaks_off_is_refused_whole(value, data):
    text = json.dumps(value)
    broken = text[: data.draw(st.integers(0, len(text) - 1))]
    with pytest.raises(ValueError, match="breaks off|no JSON"):
        extract_json(broken)


@given(st.text(st.sampled_from('{}[]":,a1\\ `\n<think>/')), st.sampled_from([dict, list]))
def test_any_text_gives_json_or_an_error(text, kind):
    try:
        found = extract_json(text, kind)
    except ValueError:
        return
    assert isinstance(json.loads(found), kind)
    assert found in text


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ('  \ufeff{"a": 1}\n', '{"a": 1}'),
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ('Example: {"x": 0}. Answer:\n```\n{"a": 1}\n```', '{"a": 1}'),  # the fence decides
        ('```\n{"a": 1}', '{"a": 1}'),  # a fence that is never closed
        ('<think>Perhaps {"x": 0}?</think>{"a": 1}', '{"a": 1}'),
        ('Perhaps {"x": 0}?</think>\n\n{"a": 1}', '{"a": 1}'),  # the template opened the tag
        ('{"a": "</think>{}"}', '{"a": "</think>{}"}'),
        ('In the form {"topic": [...]}: {"a": 1}', '{"a": 1}'),
        ("Let \\frac{1}{2} of {x} be: {\"a\": 1}", '{"a": 1}'),
        ('Use { to open. {"a": 1}', '{"a": 1}'),
        ('{"a": 1} That is, {"a": 1}.', '{"a": 1}'),  # twice the same
        ('{"a": {"b": "}"}} and so on', '{"a": {"b": "}"}}'),
    ],
)  # fmt: skip
def test_forms_of_answers(answer, expected):
    assert extract_json(answer) == expected


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("", "no JSON object"),
        ("I cannot do that.", "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ('"a"', "no JSON object"),
        ("{'a': 1}", "no JSON object"),
        ('{"a": NaN}', "no JSON object"),
        ('{"a": 1,}', "no JSON object"),
        ('{"a": {"b": 1}, "c": [', "character 0 breaks off"),
        ('So: {"a": {"b": 1}, "c": "x', "character 4 breaks off"),
        ('{"a": 1}\n{"a": 2}', "2 JSON objects were found"),
        ('<think>It might be {"a": 1}', "middle of its reasoning"),
        ('<think>It might be {"a": 1}</think>No.', "no JSON object"),
    ],
)
def test_what_is_refused(answer, message):
    with pytest.raises(ValueError, match=message):
        extract_json(answer)


def test_arrays_are_found_where_they_are_wanted():
    assert extract_json('Here: [{"a": 1}, [2]] ok?', list) == '[{"a": 1}, [2]]'
    with pytest.raises(ValueError, match="JSON array that begins at character 0 breaks off"):
        extract_json("[-1, [2], ", list)


@pytest.mark.parametrize(
    "answer",
    ["{" * 50_000, '{"a":' * 50_000, "{x" * 50_000, "[" * 50_000, '{"' + '\\"' * 50_000,
     '{"a": [' + '{"b": 1},' * 20_000],
)  # fmt: skip
def test_hostile_answers_end(answer):
    """Nesting without end once met the recursion limit, and retries at each brace a square."""
    with pytest.raises(ValueError, match="breaks off|no JSON"):
        extract_json(answer)
