"""Locks between processes; what a fit makes of them is in test_memory.py and test_runs.py."""

import errno
import threading

import pytest
from filelock import FileLock, SoftFileLock

from skrr2qc._locks import locked


def test_others_wait_and_say_so(tmp_path):
    path, order = tmp_path / "some" / "folder" / "a.lock", []
    waits, is_free = threading.Event(), threading.Event()

    def second():
        with locked(path, on_wait=waits.set):
            order.append("second")
        is_free.set()

    with locked(path):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(30)
        order.append("first")
    assert is_free.wait(30)
    thread.join()
    assert order == ["first", "second"]


def test_free_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(ArithmeticError), locked(tmp_path / "a.lock", on_wait=pytest.fail):
            raise ArithmeticError


class NoLock(FileLock):
    def acquire(self, *args, **kwargs):
        raise OSError(errno.ENOLCK, "No locks available")


@pytest.mark.parametrize("kind", [NoLock, SoftFileLock])
def test_file_system_without_locks(tmp_path, monkeypatch, kind):
    """A marker file in the place of a lock is none: nobody removes it for the dead."""
    monkeypatch.setattr("skrr2qc._locks.FileLock", kind)
    errors = []
    with locked(tmp_path / "a.lock", on_failure=errors.append):
        pass
    with locked(tmp_path / "a.lock"):  # goes on without a word
        pass
    assert len(errors) == 1
    assert not list(tmp_path.iterdir())
