"""OpenAIGenerator against a real server that answers, fails and misbehaves by a script."""

import copy
import pickle
import re
import threading
import warnings

import pytest
from sklearn.base import clone

from skrr2qc.llm import AnswerCache, CallLimitError, GenerationError, OpenAIGenerator, _http
from tests.llm.chat_server import (
    cut,
    echo,
    flood,
    raw,
    refuse,
    say,
    serving,
    stall,
    trickle,
)

OBJECT = {"type": "object"}


def make(server, **params):
    return OpenAIGenerator(server.base_url, "tiny", **{"n_concurrent": 1, "timeout": 30.0} | params)


def fails(generator, prompts, match, **asked):
    with pytest.raises(GenerationError, match=match) as caught:
        generator(prompts, **asked)
    return caught.value


# ------------------------------------------------------------------------- what goes well


def test_answers_in_the_order_of_the_prompts():
    """The first prompt is answered only when all others are."""
    others = threading.Barrier(4)

    def script(request, n):
        def act(handler, request):
            others.wait(30)
            echo(handler, request)

        return act

    prompts = [f"prompt {i}" for i in range(8)]
    with serving(script) as server:
        generator = make(server, n_concurrent=4)
        assert generator(prompts) == [prompt.upper() for prompt in prompts]
    assert generator.usage_.n_calls == 8
    assert (generator.usage_.prompt_tokens, generator.usage_.completion_tokens) == (24, 40)


def test_no_more_requests_at_a_time_than_allowed():
    now, most, lock = 0, 0, threading.Lock()

    def act(handler, request):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        echo(handler, request)
        with lock:
            now -= 1

    with serving(lambda request, n: act) as server:
        make(server, n_concurrent=2)([str(i) for i in range(12)])
    assert 1 <= most <= 2


def test_what_is_sent(monkeypatch):
    monkeypatch.setenv("MY_KEY", " sk-12345 \n")
    chat = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "π?"}]
    with serving([]) as server:
        generator = make(
            server, temperature=0, max_tokens=9, api_key_env="MY_KEY",
            extra_body={"top_p": 0.5, "max_tokens": None, "max_completion_tokens": 9},
        )  # fmt: skip
        generator([chat], seed=7, schema=None)
    request = server.requests[0]
    assert request.path == "/v1/chat/completions"
    assert request.headers["Authorization"] == "Bearer sk-12345"
    assert request.payload == {
        "model": "tiny", "messages": chat, "temperature": 0.0, "seed": 7, "top_p": 0.5,
        "max_completion_tokens": 9,
    }  # fmt: skip


def test_without_a_key_none_is_sent(monkeypatch):
    with serving([]) as server:
        make(server)(["x"])
        monkeypatch.setenv("OPENAI_API_KEY", "sk-12345")
        make(server, api_key_env=None)(["x"])
    assert not any("Authorization" in request.headers for request in server.requests)


def test_proxies_are_for_other_machines(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving([]) as server:
        assert make(server)(["x"]) == ["X"]


def test_no_prompts_no_requests():
    with serving([]) as server:
        assert make(server)([]) == []
    assert server.requests == []


def test_equal_prompts_are_asked_once():
    with serving([]) as server:
        answers = make(server)(["a", "b", "a", [{"role": "user", "content": "a"}]])
    assert answers == ["A", "B", "A", "A"]
    assert server.asked == ["a", "b"]


def test_cost_where_prices_are_known():
    with serving([]) as server:
        generator = make(server, prompt_price=2.0, completion_price=10.0)
        generator(["a", "b"])
        assert generator.usage_.cost == pytest.approx((6 * 2.0 + 10 * 10.0) / 1e6)
        free = make(server)
        free(["a"])
        assert free.usage_.cost is None


@pytest.mark.parametrize("usage", [None, "many", {"prompt_tokens": "3"}, {"prompt_tokens": -1}])
def test_counts_that_a_server_does_not_give(usage):
    body = say("x")
    with serving([raw('{"choices": [{"message": {"content": "x"}}]}'), body]) as server:
        generator = make(server)
        assert generator(["a"]) == ["x"]
        assert generator.usage_.prompt_tokens == 0


def test_progress_is_shown_if_wanted(capsys):
    with serving([]) as server:
        make(server)(["a"])
        assert capsys.readouterr().err == ""
        make(server, verbose=1)(["a", "b"])
    assert "2/2" in capsys.readouterr().err


def test_halves_of_characters_are_mended(tmp_path):
    """JSON can spell lone surrogates, which neither sqlite nor a file takes."""
    body = '{"choices": [{"message": {"content": "a\\ud800b"}}]}'
    with serving([raw(body)]) as server:
        assert make(server, cache=tmp_path / "c.sqlite")(["x"]) == ["a\ufffdb"]


# --------------------------------------------------------------------------- what is retried


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
def test_failures_that_pass(status, pauses):
    with serving([refuse(status), refuse(status)]) as server:
        generator = make(server)
        assert generator(["a"]) == ["A"]
    assert (generator.usage_.n_calls, generator.usage_.n_retries) == (3, 2)
    assert len(pauses) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(status, pauses):
    with serving([refuse(status, Retry_After="7")]) as server:
        assert make(server)(["a"]) == ["A"]
    assert 7.0 <= pauses[0] <= 7.7


def test_a_wait_that_is_too_long_ends_the_call(pauses):
    with serving([refuse(429, "quota", Retry_After="86400")]) as server:
        error = fails(make(server), ["a", "b"], "quota The server wants 86400 s of rest")
    assert error.answers == [None, None]
    assert server.asked == ["a"]


@pytest.mark.parametrize("misbehave", [cut, raw(""), raw("<html>"), raw("[]"), raw('{"a": 1}'),
                                       raw('{"choices": []}'), raw("[" * 100_000)])  # fmt: skip
def test_broken_answers_are_asked_again(misbehave, pauses):
    with serving([misbehave]) as server:
        generator = make(server)
        assert generator(["a"]) == ["A"]
    assert generator.usage_.n_retries == 1


@pytest.mark.parametrize("misbehave", [stall, trickle])
def test_a_slow_server_is_given_up(misbehave, pauses):
    with serving(lambda request, n: misbehave) as server:
        generator = make(server, timeout=0.3, max_retries=1)
        error = fails(generator, ["a"], r"no complete answer within `timeout` == 0.3 s")
    assert "after 2 attempts" in str(error)
    assert generator.usage_.n_calls == 2


def test_a_server_that_is_down(pauses):
    with serving([]) as server:
        generator = make(server, max_retries=2)
    prompts = [str(i) for i in range(50)]
    error = fails(generator, prompts, r"no connection to http.* Is the server up\?")
    assert generator.usage_.n_calls == 3  # not three for each of the fifty
    assert len(error.failures) == 50


def test_a_server_that_fails_again_and_again_is_taken_to_be_down(pauses):
    with serving(lambda request, n: refuse(500, "boom")) as server:
        error = fails(make(server, max_retries=0), [str(i) for i in range(50)], "server fails")
    assert len(server.requests) == 5
    assert sum("boom" in reason for reason in error.failures.values()) == 5


# ------------------------------------------------------------------------- what fails for good


@pytest.mark.parametrize("status", [400, 413, 422])
def test_one_prompt_that_fails_does_not_lose_the_others(status, pauses):
    def script(request, n):
        return refuse(status, "too long") if request.said == "bad" else echo

    with serving(script) as server:
        generator = make(server)
        error = fails(generator, ["a", "bad", "b"], f"prompt 1: the server answered {status}: too")
    assert error.answers == ["A", None, "B"]
    assert list(error.failures) == [1]
    assert generator.usage_.n_calls == 3


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, "variable OPENAI_API_KEY"), (403, "OPENAI_API_KEY"), (404, "/v1"), (405, "/v1")],
)
def test_what_would_fail_for_every_prompt_ends_the_call(status, hint, pauses):
    with serving(lambda request, n: refuse(status, "no.")) as server:
        error = fails(make(server), ["a", "b", "c"], f"{status}: no. .*{hint}")
    assert server.asked == ["a"]
    assert list(error.failures) == [0, 1, 2]


def test_redirects_are_not_followed():
    with serving([]) as other:
        target = f"{other.base_url}/chat/completions"
        with serving([raw("", 307, Location=target)]) as server:
            fails(make(server), ["a"], "answered 307 and points to .* redirects are not followed")
    assert other.requests == []


def test_a_body_without_end_is_dropped(monkeypatch):
    monkeypatch.setattr(_http, "_MAX_BODY", 10**6)
    with serving([flood]) as server:
        fails(make(server), ["a"], "more than 1000000 bytes")
    assert len(server.requests) == 1


def test_compressed_answers_are_refused():
    with serving([raw(b"\x1f\x8b", Content_Encoding="gzip")]) as server:
        fails(make(server), ["a"], "compresses answers")
    assert server.requests[0].headers["Accept-Encoding"] == "identity"


def test_an_answer_without_text():
    body = '{"choices": [{"message": {"content": null}, "finish_reason": "length"}]}'
    with serving([raw(body)]) as server:
        fails(make(server), ["a"], "no text .*'length'.* larger `max_tokens`")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"error": {"message": "bad \\u0007 field"}}', "422: bad   field"),
        ('{"error": "model missing"}', "model missing"),
        ('{"detail": [{"loc": ["n"]}]}', r'\[{"loc": \["n"\]}\]'),
        ("plain words", "plain words"),
        ("", "no message"),
        ("x" * 5000, r"x{400}\.\.\."),
    ],
)
def test_what_the_server_says_is_told(body, said):
    with serving([raw(body, 422)]) as server:
        fails(make(server), ["a"], said)


# ---------------------------------------------------------------------------------- JSON


def test_json_is_cut_out_of_prose():
    with serving([say('Sure!\n```json\n{"a": [1]}\n```')]) as server:
        assert make(server)(["x"], schema=OBJECT) == ['{"a": [1]}']
    sent = server.requests[0].payload["response_format"]
    assert sent == {"type": "json_schema", "json_schema": {"name": "answer", "schema": OBJECT}}


def test_prose_instead_of_json_is_asked_again_with_another_seed():
    with serving([say("I would rather talk."), say('{"a": 1}')]) as server:
        generator = make(server)
        assert generator(["x"], seed=5, schema=OBJECT) == ['{"a": 1}']
    seeds = [request.payload["seed"] for request in server.requests]
    assert seeds[0] == 5 != seeds[1]
    assert generator.usage_.n_retries == 1


def test_answers_without_json_are_reported_and_paid_for_once(tmp_path):
    def script(request, n):
        return say('{"a": 1}' if request.said == "good" else '{"a": ')

    cache = tmp_path / "answers.sqlite"
    with serving(script) as server:
        generator = make(server, cache=cache)
        for _ in range(2):
            error = fails(generator, ["bad", "good"], "breaks off .*asked 2 times", schema=OBJECT)
            assert error.answers == [None, '{"a": 1}']
        assert server.asked == ["bad", "bad", "good"]
        fails(make(server, max_json_retries=0), ["bad"], "asked 1 times", schema=OBJECT)


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_without_schemas_is_asked_without(status):
    def script(request, n):
        is_asked = "response_format" in request.payload
        return refuse(status, "Unexpected field: response_format") if is_asked else say('{"a": 1}')

    with serving(script) as server:
        generator = make(server)
        with pytest.warns(UserWarning, match="takes no JSON schema"):
            answers = generator(["x", "y", "z"], schema=OBJECT)
    assert answers == ['{"a": 1}'] * 3
    assert generator.usage_.n_calls == 4  # told once, remembered for the rest of the call


def test_an_empty_schema_asks_for_json_all_the_same():
    with serving([say("no")]) as server:
        fails(make(server, max_json_retries=0), ["x"], "no JSON", schema={})


# ----------------------------------------------------------------------- cache and limits


def test_nothing_is_paid_twice(tmp_path):
    cache = tmp_path / "answers.sqlite"
    with serving([]) as server:
        first = make(server, cache=str(cache))
        assert first(["a", "b"]) == ["A", "B"]
        second = make(server, cache=AnswerCache(cache))
        assert second(["b", "c", "a"]) == ["B", "C", "A"]
        assert server.asked == ["a", "b", "c"]
    assert (second.usage_.n_calls, second.usage_.n_cached) == (1, 2)
    assert second(["c"]) == ["C"]  # with the server gone


@pytest.mark.parametrize(
    ("params", "asked"),
    [({"model": "other"}, {}), ({"temperature": 0.1}, {}), ({"max_tokens": 5}, {}),
     ({"extra_body": {"top_p": 0.1}}, {}), ({}, {"seed": 1})],
)  # fmt: skip
def test_other_requests_have_other_answers(tmp_path, params, asked):
    with serving([]) as server:
        generator = make(server, cache=tmp_path / "answers.sqlite")
        generator(["a"])
        generator.set_params(timeout=99.0, n_concurrent=2, max_retries=0)(["a"])
        assert len(server.requests) == 1
        generator.set_params(**params)(["a"], **asked)
        assert len(server.requests) == 2


def test_answers_before_a_failure_are_kept(tmp_path, pauses):
    def script(request, n):
        return refuse(401) if n == 3 else echo

    prompts = [str(i) for i in range(6)]
    with serving(script) as server:
        generator = make(server, cache=tmp_path / "answers.sqlite")
        error = fails(generator, prompts, r"3 others are in `.answers` and in the cache")
        assert error.answers == ["0", "1", "2", None, None, None]
        assert generator(prompts) == prompts
        assert server.asked == ["0", "1", "2", "3", "3", "4", "5"]


def test_a_cache_that_breaks_loses_no_answer(tmp_path, monkeypatch):
    cache = AnswerCache(tmp_path / "answers.sqlite")

    def no_space(self, key, reply):
        raise OSError("disk full")

    with serving([]) as server:
        generator = make(server, cache=cache)
        monkeypatch.setattr(AnswerCache, "add", no_space)
        error = fails(generator, ["a", "b"], "disk full")
    assert error.answers == ["A", None]
    assert server.asked == ["a"]  # no more is paid for than can be kept


def test_too_many_prompts_are_refused_before_any_is_asked(tmp_path):
    with serving([]) as server:
        generator = make(server, cache=tmp_path / "answers.sqlite", max_calls=3)
        generator(["a", "b"])
        with pytest.raises(CallLimitError, match="2 prompts are not in the cache") as caught:
            generator(["a", "c", "d"])
        assert caught.value.answers == ["A", None, None]
        assert generator(["a", "b", "c"]) == ["A", "B", "C"]
    assert server.asked == ["a", "b", "c"]


def test_retries_count_towards_the_limit(pauses):
    with serving(lambda request, n: refuse(500)) as server:
        generator = make(server, max_calls=3)
        with pytest.raises(CallLimitError, match="`max_calls` == 3 requests have been made"):
            generator(["a"])
    assert len(server.requests) == 3


def test_threads_together_keep_to_the_limit(pauses):
    """Each second request fails, so that eight threads reach the limit at about one time."""
    with serving(lambda request, n: refuse(500) if n % 2 else echo) as server:
        generator = make(server, n_concurrent=8, max_calls=20)
        with pytest.raises(CallLimitError):
            generator([str(i) for i in range(20)])
    assert len(server.requests) == generator.usage_.n_calls == 20


# ------------------------------------------------------------------------------ parameters


def test_a_generator_is_a_parameter_like_any_other(tmp_path):
    with serving([]) as server:
        generator = make(server, cache=AnswerCache(tmp_path / "answers.sqlite"))
        generator(["a"])
        for other in (clone(generator), copy.deepcopy(generator),
                      pickle.loads(pickle.dumps(generator))):  # fmt: skip
            assert other(["a"]) == ["A"]
            assert other.get_params().keys() == generator.get_params().keys()
    assert len(server.requests) == 1
    assert not hasattr(clone(generator), "usage_")


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"model": ""}, ValueError, "`model` must be"),
        ({"temperature": -1}, ValueError, "`temperature` == -1"),
        ({"max_tokens": 0}, ValueError, "max_tokens"),
        ({"timeout": 0}, ValueError, "timeout"),
        ({"timeout": None}, TypeError, "timeout"),
        ({"max_retries": -1}, ValueError, "max_retries"),
        ({"max_wait": 0}, ValueError, "max_wait"),
        ({"max_json_retries": -1}, ValueError, "max_json_retries"),
        ({"n_concurrent": 0}, ValueError, "n_concurrent"),
        ({"max_calls": -1}, ValueError, "max_calls"),
        ({"prompt_price": -1}, ValueError, "prompt_price"),
        ({"completion_price": "1"}, TypeError, "completion_price"),
        ({"extra_body": "top_p"}, TypeError, "extra_body"),
        ({"extra_body": {"x": {1}}}, TypeError, "JSON values"),
        ({"cache": 5}, TypeError, "`cache` must be"),
        ({"base_url": None}, TypeError, "`base_url` must be a str"),
        ({"base_url": "localhost:8000/v1"}, ValueError, "beginning with http://"),
        ({"base_url": "file:///etc/passwd"}, ValueError, "beginning with http://"),
        ({"base_url": "http:///v1"}, ValueError, "beginning with http://"),
        ({"base_url": "http://host:port/v1"}, ValueError, "beginning with http://"),
        ({"base_url": "http://host/v1\nX: y"}, ValueError, "beginning with http://"),
        ({"base_url": "http://host/v1?key=1"}, ValueError, "must not hold a query"),
    ],
)
def test_parameters_are_checked_before_anything_is_sent(params, error, message):
    with serving([]) as server:
        generator = make(server).set_params(**params)
        with pytest.raises(error, match=message):
            generator(["x"])
    assert server.requests == []


def test_prompts_are_checked_before_anything_is_sent():
    with serving([]) as server:
        with pytest.raises(TypeError, match=re.escape("prompts[1]")):
            make(server)(["x", None])
        with pytest.raises(TypeError, match="schema"):
            make(server)(["x"], schema="object")
    assert server.requests == []


def test_calls_leave_no_warnings():
    with serving([]) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        make(server)(["x"])
