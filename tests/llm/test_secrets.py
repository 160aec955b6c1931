"""A key is in the header of a request, and nowhere else, whatever the server does with it."""

import html
import io
import json
import logging
import pickle
from urllib.parse import quote

import joblib
import pytest

from skrr2qc.llm import GenerationError, OpenAIGenerator
from skrr2qc.llm._http import Endpoint
from tests.llm.chat_server import cut, raw, refuse, say, serving

KEY = "sk-\\\"'<a&b>%2B+/=~{k}$`1234567890"


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def forms(key):
    return {key, json.dumps(key)[1:-1], repr(key)[1:-1], quote(key, safe=""), html.escape(key)}


def assert_hidden(text):
    content = text if isinstance(text, bytes) else text.encode()
    for form in forms(KEY):
        assert form.encode() not in content
    assert b"1234567890" not in content


def dumps(thing):
    file = io.BytesIO()
    joblib.dump(thing, file)
    return pickle.dumps(thing) + file.getvalue()


@pytest.mark.parametrize(
    "action",
    [
        refuse(401, f"Incorrect API key provided: {KEY}."),
        refuse(400, f"{KEY}{KEY}"),
        refuse(500, f"{'x' * 390}{KEY}"),  # where a message is cut
        raw(f"no such key {KEY!r}", 403),
        raw(json.dumps({"odd": [KEY]}), 422),
        raw(f"<p>{html.escape(KEY)} {quote(KEY, safe='')}</p>", 400),
        raw(json.dumps({"debug": {"authorization": KEY}})),
        raw(f"Bearer {KEY}"),
        cut,
    ],
)
def test_no_error_tells_the_key(action, pauses, caplog, tmp_path):
    cache = tmp_path / "answers.sqlite"
    with serving(lambda request, n: action) as server, caplog.at_level(logging.DEBUG):
        generator = OpenAIGenerator(server.base_url, "m", max_retries=1, cache=cache)
        with pytest.raises(GenerationError) as caught:
            generator(["x"])
    assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    for text in (str(error), repr(error), repr(error.failures), repr(generator), caplog.text):
        assert_hidden(text)
    for content in (dumps(generator), pickle.dumps(error), cache.read_bytes()):
        assert_hidden(content)


def test_a_redirect_tells_no_key():
    """Logs are left out: on the level DEBUG httpcore2 writes headers of answers as they came."""
    with serving([raw("", 302, Location=f"http://127.0.0.1/?key={quote(KEY, safe='')}")]) as server:
        with pytest.raises(GenerationError, match="302") as caught:
            OpenAIGenerator(server.base_url, "m")(["x"])
        assert_hidden(str(caught.value))


def test_an_answer_that_repeats_the_key_is_kept_without_it(tmp_path):
    cache = tmp_path / "answers.sqlite"
    with serving([say(f"Your key is {KEY}, is it not?")]) as server:
        generator = OpenAIGenerator(server.base_url, "m", cache=cache)
        assert generator(["x"]) == ["Your key is [key], is it not?"]
    assert_hidden(cache.read_bytes())
    assert_hidden(dumps(generator))


def test_short_keys_are_words_that_answers_may_hold(monkeypatch):
    """Local servers are given keys such as EMPTY."""
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    with serving([say("The set is EMPTY."), refuse(401, "EMPTY is no key")]) as server:
        generator = OpenAIGenerator(server.base_url, "m")
        assert generator(["x"]) == ["The set is EMPTY."]
        with pytest.raises(GenerationError, match=r"\[key\] is no key"):
            generator(["y"])


@pytest.mark.parametrize("key", ["sk-12345\n67890", "schlüssel-67890", "two words-67890"])
def test_keys_that_no_header_can_hold(monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ValueError, match="characters that no header") as caught:
        OpenAIGenerator("http://127.0.0.1:9", "m")(["x"])
    assert "67890" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_key_in_the_place_of_its_name_is_not_repeated():
    with pytest.raises(ValueError, match="not a key") as caught:
        OpenAIGenerator("http://127.0.0.1:9", "m", api_key_env="sk-67890")(["x"])
    assert "67890" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://me:67890@127.0.0.1/v1", "ftp://me:67890@127.0.0.1/v1"])
def test_a_password_in_the_address_is_not_repeated(url):
    with pytest.raises(ValueError, match="`base_url`") as caught:
        OpenAIGenerator(url, "m")(["x"])
    assert "67890" not in str(caught.value)


def test_what_holds_the_key_cannot_be_pickled():
    endpoint = Endpoint("http://127.0.0.1:9", "OPENAI_API_KEY", 1.0)
    assert_hidden(repr(endpoint))
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(endpoint)
