"""Kills and interrupts of a run that is under way: nothing lost, nothing paid twice, no hang."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from skrr2qc.llm import AnswerCache, OpenAIGenerator
from tests.llm.chat_server import echo, serving, stall

ROOT = Path(__file__).resolve().parents[2]
PROMPTS = [f"prompt {i}" for i in range(6)]
ASK = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
from skrr2qc.llm import OpenAIGenerator
generator = OpenAIGenerator(sys.argv[1], "m", cache=sys.argv[2], n_concurrent=1, timeout=600.0)
generator([f"prompt {i}" for i in range(6)])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_ended_half_way_goes_on_where_it_was(how, tmp_path):
    """The server falls silent at the fourth prompt; the process is ended while it waits."""
    process = None

    def script(request, n):
        if n != 3:
            return echo
        process.send_signal(how)
        return stall

    cache = tmp_path / "answers.sqlite"
    with serving(script) as server:
        command = [sys.executable, "-c", ASK, server.base_url, str(cache)]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        _, said = process.communicate(timeout=120)
        assert process.returncode != 0
        if how == signal.SIGINT:
            assert "KeyboardInterrupt" in said
        assert len(AnswerCache(cache)) == 3
        generator = OpenAIGenerator(server.base_url, "m", cache=cache)
        assert generator(PROMPTS) == [prompt.upper() for prompt in PROMPTS]
    assert sorted(server.asked) == sorted([*PROMPTS, "prompt 3"])  # the one without an answer
    assert generator.usage_.n_cached == 3
