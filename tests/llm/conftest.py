"""No test of a client waits: pauses are recorded instead."""

import pytest

from skrr2qc.llm import _retry


@pytest.fixture
def pauses(monkeypatch):
    """Seconds that would have been waited between attempts, in order."""
    seconds = []

    def pause(duration, stop):
        if stop.is_set():
            raise _retry.Stopped
        seconds.append(duration)

    monkeypatch.setattr(_retry, "pause", pause)
    return seconds


@pytest.fixture(autouse=True)
def _no_key_of_the_developer(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
