"""Locks on files between processes, held by the operating system."""

from contextlib import contextmanager, suppress

from filelock import FileLock, SoftFileLock, Timeout

_ATTEMPTS = 5  # at making a lock file in a folder that others may clear


@contextmanager
def locked(path, *, on_wait=None, on_failure=None):
    """Hold a lock that its owner's death sets free; none where files cannot be locked.

    Parameters
    ----------
    path : Path
        File of the lock; it and its folder are made if need be.
    on_wait : callable, default=None
        Called without arguments where another one holds the lock, before waiting for it.
    on_failure : callable, default=None
        ``(error) -> None``, called where there are no locks, before going on without.
    """
    lock = None
    try:
        lock = _acquire(path, on_wait)
    except (OSError, NotImplementedError) as error:
        if on_failure is not None:
            on_failure(error)
    try:
        yield
    finally:
        if lock is not None:
            with suppress(OSError):  # what it was held for is done
                lock.release()


def _acquire(path, on_wait):
    for attempt in range(_ATTEMPTS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return _wait_for(FileLock(path), on_wait)
        except FileNotFoundError:  # somebody cleared the folder
            if attempt == _ATTEMPTS - 1:
                raise


def _wait_for(lock, on_wait):
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not isinstance(lock, SoftFileLock):
            if on_wait is not None:
                on_wait()
            lock.acquire()
    if isinstance(lock, SoftFileLock):  # its marker would outlive a killed owner
        lock.release(force=True)
        raise NotImplementedError("the file system has no locks")
    return lock
