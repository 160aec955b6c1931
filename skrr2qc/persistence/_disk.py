"""Folders on disk: replaced as a whole, and read without following anything out of them."""

import json
import os
import re
import shutil
import stat
import time
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from ._classes import SavedModelError

CONFIG, CARD = "config.json", "README.md"
FORMAT = "skrr2qc model"
_STALE = 3600.0  # seconds after which a temporary folder is a leftover
_MOST_CONFIG_BYTES = 2**26
_DEEPEST = 100
_CHUNK = 2**22
_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_FILE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}\.(?:safetensors|json|skops)")


class HashedFile:
    """A binary file that is hashed while it is written or read.

    Parameters
    ----------
    file : binary file
    """

    def __init__(self, file):
        self._file, self._hash = file, sha256()
        self.size = 0

    def write(self, data):
        """Write bytes, or an array of them, to the last."""
        view = memoryview(data)
        for start in range(0, len(view), _CHUNK):
            part = view[start : start + _CHUNK]
            self._file.write(part)
            self._count(part)

    def read(self, size):
        """Read `size` bytes, or as many as there are."""
        data = self._file.read(size)
        self._count(data)
        return data

    def readinto(self, view):
        """Fill a memory view; return how many bytes there were."""
        n_read = self._file.readinto(view)
        self._count(view[:n_read])
        return n_read

    @property
    def digest(self):
        """SHA-256 of all that passed, hexadecimal."""
        return self._hash.hexdigest()

    def _count(self, data):
        self._hash.update(data)
        self.size += len(data)


def open_inside(folder, name):
    """Open a regular file of a folder to be read; no link, device or pipe is followed."""
    path = folder / name
    flags = os.O_RDONLY | sum(getattr(os, f, 0) for f in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
    if path.is_symlink():
        raise SavedModelError(f"{path} is a symbolic link. Put the file itself there.")
    try:
        file = os.fdopen(os.open(path, flags), "rb")
    except FileNotFoundError as error:
        raise SavedModelError(f"{path} is missing: the folder holds no whole model.") from error
    except OSError as error:
        raise SavedModelError(f"{path} cannot be read ({error}).") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise SavedModelError(f"{path} is no regular file.")
    return file


def is_file_name(name):
    """Whether a name in a file may be that of a file of a model."""
    return isinstance(name, str) and bool(_FILE_NAME.fullmatch(name)) and name != CONFIG


def read_json(folder):
    """Content of config.json, of limited size and depth, without repeated keys."""
    path = folder / CONFIG
    with open_inside(folder, CONFIG) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _MOST_CONFIG_BYTES:
            raise SavedModelError(f"{path} is larger than {_MOST_CONFIG_BYTES} bytes ({size}).")
        content = _read_all(file, size)
    try:
        text = content.decode()
        depth = 0
        for match in _STRUCTURE.finditer(text):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
            if depth > _DEEPEST:
                raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
        found = json.loads(text, object_pairs_hook=_no_repeats, parse_constant=_no_constant)
        if not isinstance(found, dict):
            raise ValueError("it is no object")
        return found
    except (ValueError, RecursionError) as error:
        raise SavedModelError(f"{path} is damaged: {error}.") from error


def checksum(config):
    """SHA-256 of what config.json says, in whatever layout it says it."""
    content = {key: value for key, value in config.items() if key != "checksum"}
    return sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def existing_folder(folder):
    """The folder of a model; or the one before, if a crash came right between two renames."""
    folder = Path(folder)
    previous = _previous(folder)
    if not folder.exists() and (previous / CONFIG).is_file():
        return previous
    if not folder.is_dir():
        raise SavedModelError(f"{folder} is no folder. Give the one that `save` has written.")
    return folder


@contextmanager
def replacing(folder, overwrite):
    """An empty folder beside `folder`, which takes its place once all is written.

    Raises
    ------
    FileExistsError
        If there is something already, which is no model, or must not be replaced.
    OSError
        If nothing can be written there; what was there is then still whole.
    """
    folder = Path(folder).resolve()
    _check_replaceable(folder, overwrite)
    temporary = folder.parent / f".{folder.name}.{uuid4().hex}.tmp"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        yield temporary
        _sync_folder(temporary)
        _put_in_place(temporary, folder)
    except OSError as error:
        kept = " The model that was there is still whole." if folder.exists() else ""
        raise OSError(
            f"The model could not be written to {folder}: {error}.{kept} Make room on the disk, or "
            "give a folder that can be written to."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _remove_stale(folder)


def write_file(folder, name, write):
    """Write one file to the disk; return its size and digest."""
    with (folder / name).open("xb") as file:
        hashed = HashedFile(file)
        write(hashed)
        file.flush()
        os.fsync(file.fileno())
    return {"size": hashed.size, "sha256": hashed.digest}


def _check_replaceable(folder, overwrite):
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"{folder} is a file. Give the name of a folder.")
    names = {path.name for path in folder.iterdir()}
    if not names:
        return
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} must not be written to, and is left as it is.")
    ours = {name for name in names if is_file_name(name)} | {CONFIG, CARD}
    if CONFIG not in names or not _says_model(folder) or names - ours:
        others = sorted(names - ours) or sorted(names)
        raise FileExistsError(
            f"{folder} holds other things than a model ({', '.join(others[:3])}), and is left as "
            "it is. Give another folder."
        )
    if not overwrite:
        raise FileExistsError(f"{folder} holds a model already. Pass overwrite=True to replace it.")


def _says_model(folder):
    """Whether a folder is a model, be it damaged: one that is must be replaceable."""
    with suppress(SavedModelError), open_inside(folder, CONFIG) as file:
        return FORMAT.encode() in (file.read(1000) or b"")
    return False


def _put_in_place(temporary, folder):
    """Rename; the old folder is moved aside before, and removed only after."""
    previous = _previous(folder)
    if folder.exists():
        shutil.copymode(folder, temporary)
        shutil.rmtree(previous, ignore_errors=True)
        folder.rename(previous)
    try:
        temporary.rename(folder)
    except OSError:
        if previous.exists() and not folder.exists():
            previous.rename(folder)
        raise
    with suppress(OSError):  # the new model counts already
        _sync_folder(folder.parent)
    shutil.rmtree(previous, ignore_errors=True)


def _previous(folder):
    return folder.parent / f".{folder.name}.previous"


def _remove_stale(folder):
    ours = re.compile(re.escape(f".{folder.name}.") + r"[0-9a-f]{32}\.tmp")
    for path in folder.parent.iterdir():
        if ours.fullmatch(path.name):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _STALE:
                    shutil.rmtree(path, ignore_errors=True)


def _sync_folder(folder):
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def _read_all(file, size):
    parts = []
    while size > 0 and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _no_repeats(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_constant(name):
    raise ValueError(f"{name} is no number")
