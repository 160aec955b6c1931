"""The answer cache: whole at any moment, shared by threads and processes, never somebody else's."""

import copy
import pickle
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skrr2qc.llm import AnswerCache
from skrr2qc.llm._cache import NoCache, Reply, as_cache, request_key

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cache(tmp_path):
    return AnswerCache(tmp_path / "answers.sqlite")


def start(code, *arguments):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT,
                            stdout=subprocess.PIPE, text=True)  # fmt: skip


def test_answers_come_back_whole(cache):
    reply = Reply("面积 \0 \n '", "stop", 3, 5)
    assert cache.get(["k"]) == {}
    assert cache.add("k", reply) == reply
    assert cache.get(["k", "other"]) == {"k": reply}
    assert len(cache) == 1


def test_the_first_answer_stays(cache):
    """Otherwise two processes could go on with different answers to one prompt."""
    cache.add("k", Reply("first"))
    assert cache.add("k", Reply("second")) == Reply("first")


def test_more_keys_than_a_query_takes(cache):
    for i in range(3):
        cache.add(f"k{i * 600}", Reply(str(i)))
    found = cache.get([f"k{i}" for i in range(1300)])
    assert {key: reply.text for key, reply in found.items()} == {
        "k0": "0",
        "k600": "1",
        "k1200": "2",
    }


def test_threads_share_a_cache(cache):
    def add(i):
        return cache.add(f"k{i % 20}", Reply(f"answer {i % 20}")).text

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(add, range(60))) == [f"answer {i % 20}" for i in range(60)]
    assert len(cache) == 20


WRITER = """
import sys
from skrr2qc.llm._cache import AnswerCache, Reply
cache = AnswerCache(sys.argv[1])
for i in range(int(sys.argv[2]), int(sys.argv[3])):
    cache.add(f"k{i}", Reply(f"answer {i}"))
    print(i, flush=True)
"""


def test_processes_share_a_cache_that_neither_made(cache):
    processes = [start(WRITER, cache.path, first, first + 40) for first in (0, 20)]
    assert [process.wait(120) for process in processes] == [0, 0]
    expected = {f"k{i}": Reply(f"answer {i}") for i in range(60)}
    assert cache.get(expected) == expected


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_kill_loses_no_answer_that_was_added(cache):
    process = start(WRITER, cache.path, 0, 10**6)
    written = [int(process.stdout.readline()) for _ in range(25)]
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert set(cache.get(f"k{i}" for i in written)) == {f"k{i}" for i in written}
    assert cache.add("after", Reply("x")) == Reply("x")


@pytest.mark.parametrize("content", [b"key,answer\n", b"SQLite format 3\0 but not really"])
def test_a_file_of_another_kind_is_left_alone(tmp_path, content):
    path = tmp_path / "answers.sqlite"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no answer cache of this version"):
        AnswerCache(path).check()
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE answers (key, text)")
    content = path.read_bytes()
    with pytest.raises(ValueError, match="no answer cache"):
        AnswerCache(path).get(["k"])
    assert path.read_bytes() == content


def test_a_later_version_is_refused(cache):
    cache.add("k", Reply("x"))
    with sqlite3.connect(cache.path) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(ValueError, match="this version of skrr2qc"):
        cache.get(["k"])


def test_a_broken_file_is_named(cache):
    cache.add("k0", Reply("x" * 20_000))
    content = bytearray(cache.path.read_bytes())
    content[100:] = b"\x07" * (len(content) - 100)
    cache.path.write_bytes(content)
    with pytest.raises(ValueError, match=r"answers\.sqlite is no answer cache .* or it is broken"):
        cache.get(["k0"])


def test_an_empty_file_becomes_a_cache(cache):
    cache.path.touch()
    assert len(cache) == 0


@pytest.mark.parametrize(
    ("place", "error", "message"),
    [
        ("missing/answers.sqlite", FileNotFoundError, "folder of the answer cache"),
        (".", IsADirectoryError, "must be a file"),
    ],
)
def test_places_where_no_cache_can_be(tmp_path, place, error, message):
    with pytest.raises(error, match=message):
        AnswerCache(tmp_path / place).check()


def test_a_locked_cache_is_no_hang(cache, monkeypatch):
    monkeypatch.setattr("skrr2qc.llm._cache._PATIENCE", 0.01)
    cache.check()
    other = sqlite3.connect(cache.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(OSError, match=r"cannot be used: database is locked\. Check"):
        cache.check()
    other.close()
    cache.check()


def test_copies_and_pickles_hold_no_handle(cache):
    cache.add("k", Reply("x"))
    for other in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        assert vars(other) == {"path": cache.path}
        assert other.get(["k"]) == {"k": Reply("x")}
    assert repr(cache) == f"AnswerCache({str(cache.path)!r})"


def test_what_may_be_given_as_a_cache(tmp_path, cache):
    assert as_cache(cache) is cache
    assert as_cache(str(tmp_path / "a")).path == str(tmp_path / "a")
    none = as_cache(None)
    assert isinstance(none, NoCache)
    assert (none.get(["k"]), none.add("k", Reply("x"))) == ({}, Reply("x"))
    with pytest.raises(TypeError, match="`cache` must be a path"):
        as_cache(3)


BASE = {"model": "m", "messages": [{"role": "user", "content": "x"}], "seed": 0, "schema": None}
OTHER = {"model": "n", "messages": [{"role": "system", "content": "x"}], "seed": 1, "schema": {}}


@given(st.dictionaries(st.sampled_from(sorted(BASE)), st.booleans()))
def test_keys_tell_all_requests_apart(changes):
    request = BASE | {name: OTHER[name] for name, changed in changes.items() if changed}
    assert (request_key(**request) == request_key(**BASE)) == (request == BASE)
    assert request_key(**dict(reversed(request.items()))) == request_key(**request)


def test_keys_need_json():
    with pytest.raises(TypeError, match="made of JSON values"):
        request_key(schema={1, 2})
    with pytest.raises(TypeError, match="made of JSON values"):
        request_key(schema=float("nan"))
