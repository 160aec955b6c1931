"""When a request is sent again, after which pause, on a clock that is not real."""

import random
import threading

import pytest

from skrr2qc.llm._retry import (
    AskError,
    Stopped,
    backoff_seconds,
    pause,
    retry_after_seconds,
    with_retries,
)


def attempt(failures, **settings):
    """Result and number of calls of something that fails with these errors, then succeeds."""
    calls = []

    def send(n):
        calls.append(n)
        if n < len(failures):
            raise failures[n]
        return "done"

    given = {"max_retries": 4, "max_wait": 60.0, "seed": "s", "stop": threading.Event()} | settings
    return with_retries(send, **given), len(calls)


def test_pauses_double_and_are_spread(pauses):
    assert attempt([AskError("x", can_retry=True)] * 4) == ("done", 5)
    for n, seconds in enumerate(pauses):
        assert 0.5 * 2**n <= seconds <= 2**n
    assert len({seconds / 2**n for n, seconds in enumerate(pauses)}) == 4


def test_jitter_depends_on_the_seed_alone(pauses):
    state = random.getstate()
    for seed in ("a", "a", "b"):
        attempt([AskError("x", can_retry=True)] * 2, seed=seed)
    assert pauses[:2] == pauses[2:4] != pauses[4:]
    assert random.getstate() == state


def test_pauses_are_bounded(pauses):
    attempt([AskError("x", can_retry=True)] * 4, max_wait=1.5)
    assert max(pauses) <= 1.5
    assert backoff_seconds(10_000, random.Random(0), 60.0) <= 60.0  # 2.0**10000 overflows


def test_what_the_server_asks_for_is_kept_to(pauses):
    attempt([AskError("x", can_retry=True, retry_after=7.0)])
    assert 7.0 <= pauses[0] <= 7.7


def test_a_server_that_wants_a_day_ends_the_run(pauses):
    with pytest.raises(AskError, match=r"x The server wants 86400 s of rest, more than") as caught:
        attempt([AskError("x", can_retry=True, retry_after=86400.0)])
    assert caught.value.scope == "all"
    assert pauses == []


def test_the_last_failure_is_told(pauses):
    with pytest.raises(AskError, match=r"y \(after 2 attempts\)") as caught:
        attempt([AskError("x", can_retry=True), AskError("y", can_retry=True, scope="server")],
                max_retries=1)  # fmt: skip
    assert caught.value.scope == "server"
    with pytest.raises(AskError, match=r"x \(after one attempt\)"):
        attempt([AskError("x", can_retry=True)], max_retries=0)


def test_what_cannot_succeed_is_not_tried_again(pauses):
    with pytest.raises(AskError, match="^x$"):
        attempt([AskError("x")])
    assert pauses == []


def test_a_stop_ends_attempts_and_pauses():
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        attempt([], stop=stop)
    with pytest.raises(Stopped):
        pause(600.0, stop)
    pause(0.0, threading.Event())


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None), ("", None), ("soon", None), ("nan", None), ("12", 12.0), ("0.5", 0.5),
        ("-3", 0.0), ("inf", float("inf")),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0), ("Wed, 31 Dec 1969 23:59:59 GMT", 0.0),
        ("Thu, 99 Jan 1970 00:02:00 GMT", None),
    ],
)  # fmt: skip
def test_forms_of_retry_after(header, seconds):
    assert retry_after_seconds(header, 100.0) == seconds
