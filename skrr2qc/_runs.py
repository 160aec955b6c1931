"""Runs that can be taken up again: where each has its checkpoint, and what an interrupt leaves."""

import hashlib
import json
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path

from ._checkpoint import Checkpoint, make_writable, to_json
from ._locks import locked

_SHARED = ContextVar("folder of the runs of all parts", default=None)


def check_checkpoint_dir(folder):
    """Refuse a `checkpoint_dir` that is no path; None is right.

    Raises
    ------
    TypeError
    """
    if folder is not None and not (isinstance(folder, (str, Path)) and str(folder)):
        raise TypeError(f"`checkpoint_dir` must be the path of a folder or None, got {folder!r}.")


@contextmanager
def checkpoints_in(folder):
    """Parts fitted inside, whose own `checkpoint_dir` is None, keep their runs in this folder.

    A composite says so here, rather than in parameters of its parts: these are part of what
    `memory` knows a fit by, and of what is saved. It holds for the thread that it is said in.

    Parameters
    ----------
    folder : str, path or None
        None changes nothing.

    Raises
    ------
    ValueError
        If the folder is a file, or cannot be made or written to.
    """
    if folder is None:
        yield
        return
    make_writable(Path(folder))
    token = _SHARED.set(Path(folder))
    try:
        yield
    finally:
        _SHARED.reset(token)


@contextmanager
def undone_on_failure(estimator):
    """A fit inside that fails, or is stopped, leaves the estimator as it was before.

    Else the names of new labels would stand beside the scores of an old model.
    """
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


@contextmanager
def open_run(estimator, part, fingerprint, draw_seed):
    """Checkpoint of the fit of an estimator, if it is to have one; notes for who interrupts it.

    Its folder is the estimator's `checkpoint_dir`; or else, within `checkpoints_in`, a subfolder
    named by part and fingerprint, in which one process at a time may be: another one with the
    same fit waits, and then takes the result.

    Parameters
    ----------
    estimator : estimator
        With `checkpoint_dir` and `checkpoint_steps`.
    part : str
        Begins the name of a subfolder.
    fingerprint : callable
        Without arguments; returns the fingerprint of `Checkpoint`. Called if it is needed.
    draw_seed : callable
        Without arguments; returns the seed of a run that begins.

    Yields
    ------
    checkpoint, seed : Checkpoint and int, or None and None

    Raises
    ------
    ValueError
        If the checkpoint belongs to another run or is damaged, or the folder is of no use.
    """
    name, folder, shared = type(estimator).__name__, estimator.checkpoint_dir, _SHARED.get()
    if folder is None and shared is None:
        hint = "With `checkpoint_dir` set, the same fit would go on where it was interrupted."
        with noting_interrupt(f"{name}: nothing of this fit is kept. {hint}"):
            yield None, None
        return
    known, lock = fingerprint(), nullcontext()
    if folder is None:
        folder = shared / f"{part}-{_digest(known)}"
        # Where there are no locks, two processes end in an error of the one that saves second.
        lock = locked(folder.with_suffix(".lock"))
    with lock:
        checkpoint = Checkpoint(folder, known, estimator.checkpoint_steps)
        if checkpoint.load() is None:
            checkpoint.extra_state["seed"] = draw_seed()
        with noting_interrupt(lambda: f"{name}: {_what_is_kept(checkpoint)}"):
            yield checkpoint, checkpoint.extra_state["seed"]


@contextmanager
def noting_interrupt(note):
    """Add a note to a KeyboardInterrupt that ends what is inside; it is shown under the traceback.

    Parameters
    ----------
    note : str, or callable without arguments that returns one
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(note() if callable(note) else note)
        raise


def _what_is_kept(checkpoint):
    if checkpoint.last is None:
        return f"nothing was to be kept yet in {checkpoint.folder}; the same fit begins anew."
    return (
        f"the state after step {checkpoint.last} is kept in {checkpoint.folder}; the same fit goes "
        "on from it."
    )


def _digest(fingerprint):
    canonical = json.dumps(json.loads(to_json(fingerprint)), sort_keys=True)
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()
