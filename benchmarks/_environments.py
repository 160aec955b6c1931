"""Virtual environments for what cannot be installed beside this package: made once, then kept."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from ._command_line import say

_N_LINES = 15  # of pip's output, shown where it failed
_PIP = ("-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--quiet")


def environment_python(name, requirements, *, options=(), root=None):
    """Interpreter of an environment that holds exactly some pinned requirements.

    Parameters
    ----------
    name : str
        Begins the name of its folder.
    requirements : Path
        File for ``pip install -r``. Another content, another environment.
    options : sequence of str, default=()
        Further options of ``pip install``.
    root : Path, default=None
        Folder that holds the environments; None means `cache_folder`.

    Returns
    -------
    python : Path

    Raises
    ------
    RuntimeError
        If the environment cannot be made; nothing is left of it.

    Notes
    -----
    An environment is made in a folder beside its place and then renamed, under a lock: it is whole
    or absent, however many processes ask for it. It is only used through its interpreter, as its
    other scripts hold the name of the first folder.
    """
    folder = environment_folder(name, requirements, options, root)
    if not _python_in(folder).exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(f"{folder.name}.lock"))
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            say(f"{name}: waiting for another process that makes its environment")
            held = lock.acquire()
        with held:
            if not _python_in(folder).exists():
                _make(name, folder, requirements, options)
    return _python_in(folder)


def environment_folder(name, requirements, options=(), root=None):
    """Where the environment lies, or would: the name tells its requirements and Python apart."""
    parts = (
        Path(requirements).read_text(encoding="utf-8"),
        *options,
        platform.python_implementation(),
        platform.python_version(),
        sysconfig.get_platform(),
    )
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
    return (cache_folder() if root is None else Path(root)) / f"{name}-{digest}"


def cache_folder():
    """Folder for what can be made again, where this system keeps such things of a user."""
    from platformdirs import user_cache_path  # of the bench extra

    return user_cache_path("skrr2qc", appauthor=False) / "benchmarks"


def _make(name, folder, requirements, options):
    """Make an environment in its place; the caller holds its lock."""
    prefix = f".{folder.name}-"
    for left in [folder, *folder.parent.glob(f"{prefix}*")]:  # by processes that were killed
        shutil.rmtree(left, ignore_errors=True)
    say(f"{name}: making its environment, once, in {folder}")
    place = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    try:
        _call(name, requirements, [sys.executable, "-m", "venv", str(place)])
        pip = [str(_python_in(place)), *_PIP, *options, "-r", str(requirements)]
        _call(name, requirements, pip)
        place.rename(folder)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _call(name, requirements, command):
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        last = "\n".join(done.stdout.strip().splitlines()[-_N_LINES:])
        raise RuntimeError(
            f"the environment of {name} could not be made with Python "
            f"{platform.python_version()}: {command[2]} said\n{last}\n"
            f"The versions in {Path(requirements).name} are those of Python 3.11 on Linux. Run "
            f"again with a network and that Python, or leave {name} out."
        )


def _python_in(folder):
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
