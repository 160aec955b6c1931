"""Checkpoints on disk: whole at any moment, and bound to the run that they belong to."""

import hashlib
import json
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from safetensors import SafetensorError
from safetensors.torch import load, save_file

_COMMIT = "checkpoint.json"
_FORMAT = "skrr2qc checkpoint 2"
_STALE = 600.0  # seconds after which a file without a commit is a leftover
_KEYS = {"fingerprint", "tensors", "state", "extra_state", "checksum"}
_EXTRA = "extra."  # begins the names of tensors that are the caller's
_OURS = re.compile(r"\.checkpoint-[0-9a-f]{32}\.tmp|checkpoint-\d+-[0-9a-f]{16}\.safetensors")


class Checkpoint:
    """Last state of a long run in a folder, as safetensors and JSON.

    A save writes the tensors under a new name, then replaces ``checkpoint.json``, which names
    them with their size and digest, and holds a digest of its own content. A process killed at
    any moment so leaves either the old or the new checkpoint, whole.

    Parameters
    ----------
    folder : str or path
        Made if need be. Other files in it are left alone.
    fingerprint : dict of str to JSON values
        Everything that the result depends on: data, parameters, seed. A checkpoint with another
        fingerprint is refused.
    every : int
        Updates between two saves, at least 1.

    Attributes
    ----------
    last : int or None
        Step of the last good checkpoint; None before there is one.
    extra_tensors, extra_state : dict
        What the caller wants kept beside the run: part of every save, given back by `load`.

    Raises
    ------
    ValueError
        If the folder is a file, or cannot be made or written to.

    Examples
    --------
    >>> import tempfile, torch
    >>> folder = tempfile.mkdtemp()
    >>> Checkpoint(folder, {"lr": 0.1}, every=100).load() is None
    True
    >>> checkpoint = Checkpoint(folder, {"lr": 0.1}, every=100)
    >>> checkpoint.save({"weight": torch.ones(2)}, {"step": 100})
    >>> Checkpoint(folder, {"lr": 0.1}, every=100).load()
    ({'weight': tensor([1., 1.])}, {'step': 100})
    >>> Checkpoint(folder, {"lr": 0.2}, every=100).load()
    Traceback (most recent call last):
    ValueError: ... `lr`: checkpoint 0.1, now 0.2...
    """

    def __init__(self, folder, fingerprint, every):
        self.folder = Path(folder)
        self.fingerprint = json.loads(to_json(fingerprint))
        self.every = every
        self.last = None
        self.extra_tensors = {}
        self.extra_state = {}
        self._seen = None  # the commit that this run wrote or read last
        make_writable(self.folder)

    def load(self):
        """Read the checkpoint, if there is one.

        Returns
        -------
        saved : None or tuple of (dict of str to Tensor, dict)
            Tensors and state, as they were saved.

        Raises
        ------
        ValueError
            If it belongs to another run, or is damaged. Nothing is touched then.
        """
        commit = self._read_commit()
        if commit is None:
            self._remove_all_but(None, _STALE)
            return None
        self._check_fingerprint(commit)
        tensors = self._read_tensors(**commit["tensors"])
        self._remove_all_but(commit["tensors"]["file"], _STALE)
        extra = {name for name in tensors if name.startswith(_EXTRA)}
        self.extra_tensors = {name.removeprefix(_EXTRA): tensors.pop(name) for name in extra}
        self.extra_state = commit["extra_state"]
        self.last = commit["state"].get("step", 0)
        self._seen = self._stamp()
        return tensors, commit["state"]

    def save(self, tensors, state):
        """Replace the checkpoint.

        Parameters
        ----------
        tensors : dict of str to Tensor
        state : dict
            JSON values; ``state["step"]`` names the checkpoint, 0 without one.

        Raises
        ------
        RuntimeError
            If the folder holds a checkpoint that this object has neither loaded nor written.
        OSError
            If the disk is full, say. The checkpoint before is still whole.
        """
        if self._stamp() != self._seen:
            raise RuntimeError(
                f"{self.folder / _COMMIT} was written or removed by someone else since it was "
                "loaded. Give each run a `checkpoint_dir` of its own."
            )
        step = state.get("step", 0)
        extra = {_EXTRA + name: tensor for name, tensor in self.extra_tensors.items()}
        temporary = _temporary(self.folder)
        try:
            entry = self._write_tensors(tensors | extra, step, temporary)
            commit = {"format": _FORMAT, "fingerprint": self.fingerprint, "tensors": entry}
            commit |= {"state": state, "extra_state": self.extra_state}
            commit["checksum"] = _checksum(commit)
            temporary.write_text(to_json(commit), encoding="utf-8")
            self._move(temporary, _COMMIT)
        except KeyboardInterrupt:
            temporary.unlink(missing_ok=True)
            raise
        except (OSError, SafetensorError) as error:
            temporary.unlink(missing_ok=True)
            whole = "" if self.last is None else f" That of step {self.last} is still whole."
            raise OSError(
                f"The checkpoint of step {step} could not be written to {self.folder}: {error}."
                f"{whole} Make room on the disk, and fit again."
            ) from error
        self.last = step
        self._seen = self._stamp()
        self._remove_all_but(entry["file"])

    def _read_commit(self):
        path = self.folder / _COMMIT
        if not path.exists():
            return None
        try:
            commit = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _damaged(path, f"cannot be read ({error})") from error
        is_ours = isinstance(commit, dict) and commit.get("format") == _FORMAT
        if not is_ours or not commit.keys() >= _KEYS:
            raise ValueError(
                f"{path} is no checkpoint of this version of skrr2qc. Give another `checkpoint_dir`"
                ", or delete the folder if it is of no more use."
            )
        if commit["checksum"] != _checksum(commit):
            raise _damaged(path, "does not say what was written to it")
        return commit

    def _check_fingerprint(self, commit):
        then, now = commit["fingerprint"], self.fingerprint
        names = [name for name in {**now, **then} if _shown(name, now) != _shown(name, then)]
        if names:
            differences = "; ".join(
                f"`{name}`: checkpoint {_shown(name, then)}, now {_shown(name, now)}"
                for name in names
            )
            raise ValueError(
                f"The checkpoint in {self.folder} belongs to other data or parameters: "
                f"{differences}. Set them as they were to go on from it, give another "
                "`checkpoint_dir`, or delete the folder to start anew."
            )

    def _read_tensors(self, file, size, blake2b):
        path = self.folder / file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise _damaged(path, f"cannot be read ({error})") from error
        if len(data) != size:
            raise _damaged(path, f"has {len(data)} bytes instead of {size}")
        if hashlib.blake2b(data).hexdigest() != blake2b:
            raise _damaged(path, "does not hold what was written to it")
        return load(data)

    def _write_tensors(self, tensors, step, temporary):
        """Write under a name that holds the digest, so that no other content is overwritten."""
        save_file(_separate(tensors), temporary)
        with temporary.open("rb") as file:
            digest = hashlib.file_digest(file, "blake2b").hexdigest()
        size = temporary.stat().st_size
        name = f"checkpoint-{step:08d}-{digest[:16]}.safetensors"
        self._move(temporary, name)
        return {"file": name, "size": size, "blake2b": digest}

    def _move(self, temporary, name):
        """Bring a file to the disk, then to its name, both lasting through a loss of power."""
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, self.folder / name)
        if os.name == "posix":
            descriptor = os.open(self.folder, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

    def _remove_all_but(self, name, age=0.0):
        """Remove our files but one, if they are as old as that; younger ones may be in the making.

        A folder that was opened twice by mistake must not lose what the first run is saving.
        """
        for path in self.folder.iterdir():
            if path.name == name or not _OURS.fullmatch(path.name):
                continue
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime >= age:
                    path.unlink()

    def _stamp(self):
        try:
            status = (self.folder / _COMMIT).stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size


def _temporary(folder):
    return folder / f".checkpoint-{uuid4().hex}.tmp"


def make_writable(folder):
    """Make a folder if need be; ValueError if nothing can be written to it."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`checkpoint_dir` must be a folder, but {folder} is a file.")
    probe = _temporary(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"`checkpoint_dir` {folder} cannot be written to ({error}). Give another folder, or "
            "None to train without checkpoints."
        ) from error


def _separate(tensors):
    """Tensors as safetensors wants them: on the host, contiguous, with no memory in common."""
    separate, seen = {}, set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        place = tensor.untyped_storage().data_ptr()
        separate[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return separate


def _checksum(commit):
    """Digest of what a commit says, in whatever layout it says it."""
    content = {key: value for key, value in commit.items() if key != "checksum"}
    canonical = json.dumps(json.loads(to_json(content)), sort_keys=True)
    return hashlib.blake2b(canonical.encode()).hexdigest()


def _damaged(path, what):
    return ValueError(
        f"The checkpoint is damaged: {path} {what}. Put back the file, delete the folder to start "
        "anew, or give another `checkpoint_dir`."
    )


def _shown(name, fingerprint):
    return json.dumps(fingerprint[name], sort_keys=True) if name in fingerprint else "not set"


def to_json(value):
    """JSON text; numpy's numbers and arrays become Python's."""
    return json.dumps(value, default=lambda array: array.tolist())
