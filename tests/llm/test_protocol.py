"""What every generator gets and gives, checked for those of others."""

import pickle

import pytest

from skrr2qc.llm import CallLimitError, GenerationError, Usage, generate_texts
from skrr2qc.llm._protocol import check_prompts, describe_failures


def shout(prompts, *, seed=0, schema=None):
    return [f"{prompt.upper()}{seed}" for prompt in prompts]


def test_a_plain_function_is_a_generator():
    assert generate_texts(shout, ["area", "mean"], seed=3) == ["AREA3", "MEAN3"]
    assert generate_texts(shout, ()) == []


def test_answers_of_a_function_are_reduced_to_their_json():
    def chatty(prompts, *, seed, schema):
        return [f"Sure: {prompt} Done." for prompt in prompts]

    wanted = {"type": "object"}
    assert generate_texts(chatty, ['{"a": 1}'], schema=wanted) == ['{"a": 1}']
    assert generate_texts(chatty, ["[1]"], schema={"type": "array"}) == ["[1]"]
    with pytest.raises(GenerationError, match="1 of 2 prompts have no answer. prompt 1") as caught:
        generate_texts(chatty, ['{"a": 1}', "none"], schema=wanted)
    assert caught.value.answers == ['{"a": 1}', None]
    assert list(caught.value.failures) == [1]


@pytest.mark.parametrize(
    ("answers", "error", "message"),
    [
        ("text", TypeError, "one str for each prompt"),
        (None, TypeError, "one str for each prompt, got NoneType"),
        (5, TypeError, "one str for each prompt, got int"),
        (iter(["a", "b"]), TypeError, "one str for each prompt, got list_iterator"),
        ([None, "a"], TypeError, "one str for each prompt"),
        (["a"], ValueError, "1 answers to 2 prompts"),
        (["a", "b", "c"], ValueError, "3 answers to 2 prompts"),
    ],
)
def test_what_a_function_must_return(answers, error, message):
    with pytest.raises(error, match=message):
        generate_texts(lambda prompts, **_: answers, ["x", "y"])


def test_a_generator_is_callable():
    with pytest.raises(TypeError, match="must be callable, got str"):
        generate_texts("http://localhost", ["x"])


def test_prompts_become_messages():
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    assert check_prompts(["hi", chat]) == [[{"role": "user", "content": "hi"}], chat]
    assert check_prompts([tuple(chat)]) == [chat]


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ("one", "Wrap a single one"),
        (iter(["one"]), "sequence of prompts"),
        ([{"role": "user", "content": "u"}], r"`prompts\[0\]` is a single message"),
        ([3], r"`prompts\[0\]` must be a str or a sequence"),
        ([b"x"], r"`prompts\[0\]` must be"),
        (["ok", []], r"`prompts\[1\]` must be a str or a sequence of messages, not empty"),
        ([[{"role": "user"}]], r"`prompts\[0\]\[0\]` must be a message"),
        ([[{"role": "user", "content": None}]], "must be a message"),
        ([[{"role": "user", "content": "x", "name": "n"}]], "must be a message"),
    ],
)
def test_what_is_no_prompt(prompts, message):
    with pytest.raises(TypeError, match=message):
        check_prompts(prompts)


def test_prompts_that_no_json_can_carry():
    with pytest.raises(ValueError, match=r"prompts\[0\]\[0\]\['content'\]` is no valid Unicode"):
        check_prompts(["\ud800"])


@pytest.mark.parametrize(
    ("given", "error"),
    [({"seed": -1}, ValueError), ({"seed": 2**31}, ValueError), ({"seed": 0.5}, TypeError),
     ({"seed": None}, TypeError), ({"schema": "object"}, TypeError)],
)  # fmt: skip
def test_seed_and_schema_are_checked(given, error):
    with pytest.raises(error, match=next(iter(given))):
        generate_texts(shout, ["x"], **given)


@pytest.mark.parametrize("kind", [GenerationError, CallLimitError])
def test_errors_survive_processes(kind):
    error = pickle.loads(pickle.dumps(kind("two failed", ["a", None], {1: "why"})))
    assert type(error) is kind
    assert (str(error), error.answers, error.failures) == ("two failed", ["a", None], {1: "why"})


def test_failures_are_counted_by_reason():
    failures = dict.fromkeys(range(5), "down") | {7: "a", 8: "b", 9: "c"}
    text = describe_failures(failures, 10)
    assert text.startswith(
        "8 of 10 prompts have no answer. prompt 0 and 4 more: down | prompt 7: a"
    )
    assert text.endswith("(1 other reasons in `.failures`)")


def test_usage_is_plain_data():
    assert pickle.loads(pickle.dumps(Usage(n_calls=2, cost=0.5))) == Usage(n_calls=2, cost=0.5)
