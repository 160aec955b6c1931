"""Where runs have their checkpoints; what is in them is in test_checkpoint."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock, SoftFileLock

from skrr2qc._runs import check_checkpoint_dir, checkpoints_in, noting_interrupt, open_run

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def fsync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Part(SimpleNamespace):
    """All that a run needs of an estimator."""


def run_of(folder=None, *, lr=0.1, seed=7):
    part = Part(checkpoint_dir=folder, checkpoint_steps=5)
    return open_run(part, "part", lambda: {"lr": lr}, lambda: seed)


def train(run, step):
    """Save a step; return folder and seed."""
    with run as (checkpoint, seed):
        checkpoint.save({}, {"step": step})
        return checkpoint.folder, seed


def test_no_folder_no_checkpoint():
    with run_of() as run:
        assert run == (None, None)


def test_folder_of_its_own(tmp_path):
    assert train(run_of(str(tmp_path), seed=1), 3) == (tmp_path, 1)
    with run_of(tmp_path, seed=2) as (checkpoint, seed):
        assert (checkpoint.last, checkpoint.every, seed) == (3, 5, 1)
    with pytest.raises(ValueError, match="`lr`: checkpoint 0.1, now 0.2"):
        train(run_of(tmp_path, lr=0.2), 3)


def test_folder_for_all_has_one_subfolder_for_each_fit(tmp_path):
    with checkpoints_in(str(tmp_path)):
        first, _ = train(run_of(), 1)
        second, _ = train(run_of(lr=0.2), 1)
        again, seed = train(run_of(seed=8), 2)
        own, _ = train(run_of(tmp_path / "own"), 1)
    assert first == again != second
    assert seed == 7  # that of the run that began
    assert own == tmp_path / "own"
    assert first.parent == second.parent == tmp_path
    assert first.name.startswith("part-")
    assert len(first.name) == len("part-") + 16


def test_folder_for_all_ends_with_the_block(tmp_path):
    with checkpoints_in(tmp_path), checkpoints_in(None), run_of() as (checkpoint, _):
        assert checkpoint.folder.parent == tmp_path  # None changes nothing
    with pytest.raises(RuntimeError), checkpoints_in(tmp_path):
        raise RuntimeError
    with run_of() as run:
        assert run == (None, None)


def test_folder_for_all_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ValueError, match="`checkpoint_dir` must be a folder, but .*file is a file"),
        checkpoints_in(tmp_path / "file"),
    ):
        pass


def test_equal_fingerprints_have_one_folder(tmp_path):
    """Tuple or list, numpy's numbers or Python's, in whatever order."""
    folders = set()
    for known in ({"a": (1, 2), "b": 0.5}, {"b": 0.5, "a": [1, 2]}):
        part = Part(checkpoint_dir=None, checkpoint_steps=5)
        with checkpoints_in(tmp_path):
            folders.add(train(open_run(part, "part", lambda k=known: k, lambda: 0), 1)[0])
    assert len(folders) == 1


def test_second_run_of_the_same_fit_waits_for_the_first(tmp_path):
    order = []

    def second():
        with checkpoints_in(tmp_path), run_of(seed=9) as (checkpoint, seed):
            order.append(("second", checkpoint.last, seed))

    thread = threading.Thread(target=second)
    with checkpoints_in(tmp_path), run_of() as (checkpoint, _):
        thread.start()
        thread.join(timeout=0.3)
        checkpoint.save({}, {"step": 4})
        order.append("first")
    thread.join()
    assert order == ["first", ("second", 4, 7)]


def test_owner_that_was_killed_leaves_no_lock(tmp_path):
    code = (
        "import sys\nfrom tests.test_runs import *\n"
        f"with checkpoints_in({str(tmp_path)!r}), run_of() as (checkpoint, _):\n"
        "    checkpoint.save({}, {'step': 2})\n    print('ready', flush=True)\n    sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        line = process.stdout.readline()
        process.kill()
    assert line == "ready\n"
    with checkpoints_in(tmp_path), run_of() as (checkpoint, _):
        assert checkpoint.last == 2


@pytest.mark.parametrize("error", [OSError(37, "No locks available"), NotImplementedError])
def test_file_system_without_locks(tmp_path, monkeypatch, error):
    def refuse(self, *args, **kwargs):
        raise error

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with checkpoints_in(tmp_path):
        train(run_of(), 1)
        assert train(run_of(seed=8), 2)[1] == 7


def test_marker_in_place_of_a_lock_is_not_waited_for(tmp_path, monkeypatch):
    """Its owner may have been killed."""
    monkeypatch.setattr("skrr2qc._locks.FileLock", SoftFileLock)
    with checkpoints_in(tmp_path):
        folder, _ = train(run_of(), 1)
        folder.with_suffix(".lock").touch()
        train(run_of(), 2)


@pytest.mark.parametrize("folder", ["", 3, True, b"runs", ["runs"]])
def test_folder_that_is_no_path(folder):
    with pytest.raises(TypeError, match="`checkpoint_dir` must be the path of a folder or None"):
        check_checkpoint_dir(folder)


@pytest.mark.parametrize("folder", [None, "runs", Path("runs")])
def test_folder_that_is_a_path(folder):
    check_checkpoint_dir(folder)
    assert not Path("runs").exists()


def interrupted(run, save):
    with run as (checkpoint, _):
        if save is not None:
            checkpoint.save({}, {"step": save})
        signal.default_int_handler(signal.SIGINT, None)


def notes_of(run, save=None):
    with pytest.raises(KeyboardInterrupt) as raised:
        interrupted(run, save)
    return raised.value.__notes__


def test_notes_of_an_interrupt(tmp_path):
    hint = "With `checkpoint_dir` set, the same fit would go on where it was interrupted."
    assert notes_of(run_of()) == [f"Part: nothing of this fit is kept. {hint}"]
    nothing = f"Part: nothing was to be kept yet in {tmp_path}; the same fit begins anew."
    assert notes_of(run_of(tmp_path)) == [nothing]
    kept = f"Part: the state after step 3 is kept in {tmp_path}; the same fit goes on from it."
    assert notes_of(run_of(tmp_path), save=3) == [kept]


def test_other_exceptions_have_no_notes():
    with pytest.raises(ValueError, match="other") as raised, noting_interrupt("note"):
        raise ValueError("other")
    assert not hasattr(raised.value, "__notes__")
