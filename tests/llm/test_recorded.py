"""Recorded answers: replayed exactly, told apart, appended whole."""

import json

import pytest
from sklearn.base import clone

from skrr2qc.llm import CallLimitError, GenerationError, RecordedGenerator

CHAT = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "圆的面积?"}]
OBJECT = {"type": "object"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers.jsonl"


class Source:
    """Counts what it is asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, prompts, *, seed=0, schema=None):
        self.asked.extend(prompts)
        return [json.dumps({"n": len(self.asked), "seed": seed}) for _ in prompts]


def write(path, *records, end="\n"):
    path.write_text("\n".join(map(json.dumps, records)) + end, encoding="utf-8")


def test_what_was_recorded_is_replayed(path):
    source = Source()
    prompts = ["a", CHAT, "a\nb"]
    first = RecordedGenerator(path, source=source)(prompts, seed=2, schema=OBJECT)
    assert RecordedGenerator(path)(prompts[::-1], seed=2, schema=OBJECT) == first[::-1]
    assert RecordedGenerator(path, source=source)([*prompts, "new"], seed=2, schema=OBJECT)
    assert source.asked == [*prompts, "new"]


def test_records_can_be_written_by_hand(path):
    write(path, {"prompt": "a", "answer": "A"}, {"prompt": "a", "answer": "seed 1", "seed": 1},
          {"prompt": CHAT, "answer": "{}", "schema": {}})  # fmt: skip
    replay = RecordedGenerator(path)
    assert replay(["a"]) == ["A"]
    assert replay(["a"], seed=1) == ["seed 1"]
    assert replay([CHAT], schema={}) == ["{}"]
    assert replay([[{"role": "user", "content": "a"}]]) == ["A"]
    assert replay([]) == []


def test_an_empty_schema_is_recorded_as_one(path):
    RecordedGenerator(path, source=Source())(["a"], schema={})
    assert RecordedGenerator(path)(["a"], schema={}) == ['{"n": 1, "seed": 0}']


@pytest.mark.parametrize("asked", [{}, {"seed": 1}, {"schema": OBJECT}])
def test_a_prompt_without_record_is_named(path, asked):
    write(path, {"prompt": "a", "answer": "A"})
    with pytest.raises(GenerationError, match=r"prompt 1: no record for 'new' with seed") as caught:
        RecordedGenerator(path)(["a", "new"], **asked)
    assert caught.value.answers == [None if asked else "A", None]
    assert 1 in caught.value.failures


def test_no_file_and_no_source(path):
    with pytest.raises(FileNotFoundError, match="no recorded answers at .* Give a `source`"):
        RecordedGenerator(path)(["a"])


@pytest.mark.parametrize(
    "line",
    ["prose", "[]", "3", '{"prompt": "a"}', '{"prompt": "a", "answer": 1}',
     '{"prompt": 1, "answer": "x"}', '{"prompt": "a", "answer": "x", "seed": -1}',
     '{"prompt": "a", "answer": "x", "sed": 1}'],
)  # fmt: skip
def test_lines_that_are_no_records(path, line):
    path.write_text('{"prompt": "a", "answer": "A"}\n\n' + line + "\n")
    with pytest.raises(ValueError, match=r"answers\.jsonl, line 3 is no record"):
        RecordedGenerator(path)(["a"])


@pytest.mark.parametrize("end", ["", '\n{"prompt": "b", "ans'])
def test_a_last_line_without_end(path, end):
    """A whole one stays, one that a kill cut off goes: neither runs into what is appended."""
    write(path, {"prompt": "a", "answer": "A"}, end=end)
    assert RecordedGenerator(path)(["a"]) == ["A"]
    RecordedGenerator(path, source=Source())(["b"])
    assert RecordedGenerator(path)(["a", "b"]) == ["A", '{"n": 1, "seed": 0}']
    assert len(path.read_text().splitlines()) == 2


def test_a_source_that_fails_in_part_loses_nothing(path):
    def source(prompts, *, seed=0, schema=None):
        raise GenerationError("quota", ["A", None], {1: "quota"})

    with pytest.raises(GenerationError, match="the source failed: quota") as caught:
        RecordedGenerator(path, source=source)(["a", "b"])
    assert caught.value.answers == ["A", None]
    assert RecordedGenerator(path)(["a"]) == ["A"]


def test_what_is_no_answer_is_not_recorded(path):
    with pytest.raises(ValueError, match="0 answers to 1 prompts"):
        RecordedGenerator(path, source=lambda prompts, **_: [])(["a"])
    assert not path.exists()


def test_a_recorder_is_a_parameter_like_any_other(path):
    source = Source()
    copy = clone(RecordedGenerator(path, source=source))
    assert copy(["a"]) == RecordedGenerator(path)(["a"])


def test_a_limit_of_the_source_stays_a_limit(path):
    def limited(prompts, *, seed=0, schema=None):
        raise CallLimitError("no more", ["A", None], {1: "no more"})

    with pytest.raises(CallLimitError, match="no more") as caught:
        RecordedGenerator(path, source=limited)(["a", "b"])
    assert caught.value.answers == ["A", None]
    assert RecordedGenerator(path)(["a"]) == ["A"]


def test_nothing_is_asked_that_could_not_be_recorded(tmp_path):
    source = Source()
    with pytest.raises(FileNotFoundError, match="folder of the recorded answers"):
        RecordedGenerator(tmp_path / "no" / "answers.jsonl", source=source)(["a"])
    assert not source.asked
