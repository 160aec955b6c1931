"""Answers of language models in one sqlite file, kept from the moment they arrive."""

import hashlib
import json
import sqlite3
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_APPLICATION_ID = 0x51634C4D  # marks the file as ours
_VERSION = 1
_HEADER = b"SQLite format 3\0"
_PATIENCE = 30.0  # seconds to wait for another process that is writing
_CHUNK = 500  # keys of one query; sqlite takes no more than 999 in old versions
_CREATE = """CREATE TABLE answers (
    key TEXT PRIMARY KEY, text TEXT NOT NULL, finish_reason TEXT,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL
) WITHOUT ROWID"""
_COLUMNS = "text, finish_reason, prompt_tokens, completion_tokens"


@dataclass(frozen=True)
class Reply:
    """One answer of a model as it came, and what the server counted."""

    text: str
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


class AnswerCache:
    """Answers by what was asked, in one sqlite file that survives a kill at any moment.

    Each answer is a transaction of its own, so that the file is whole at any time. Threads and
    processes may share it: each look-up opens the file anew, and no handle is kept, which is
    why a cache can be copied and pickled. Neither prompts nor keys of any API are in it.

    Parameters
    ----------
    path : str or path
        Made when it is first used; its folder must exist.

    Raises
    ------
    ValueError
        On use, if the file is something else, or broken.
    OSError
        On use, if the file cannot be read or written.

    Examples
    --------
    >>> import tempfile
    >>> cache = AnswerCache(tempfile.mkdtemp() + "/answers.sqlite")
    >>> len(cache)
    0
    """

    def __init__(self, path):
        self.path = path

    def __repr__(self):
        return f"AnswerCache({str(self.path)!r})"

    def __len__(self):
        with self._connection() as connection:
            return connection.execute("SELECT count(*) FROM answers").fetchone()[0]

    def check(self):
        """Raise now if answers could not be written later."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")

    def get(self, keys):
        """Look up what is known.

        Parameters
        ----------
        keys : sequence of str
            As `request_key` makes them.

        Returns
        -------
        replies : dict of str to Reply
            Keys without an answer are missing.
        """
        keys, found = list(keys), {}
        with self._connection() as connection:
            for start in range(0, len(keys), _CHUNK):
                chunk = keys[start : start + _CHUNK]
                marks = ",".join("?" * len(chunk))
                query = f"SELECT key, {_COLUMNS} FROM answers WHERE key IN ({marks})"
                found.update((key, Reply(*row)) for key, *row in connection.execute(query, chunk))
        return found

    def add(self, key, reply):
        """Keep an answer; return what the cache now holds, which is the answer that came first.

        Parameters
        ----------
        key : str
        reply : Reply

        Returns
        -------
        reply : Reply
        """
        values = (key, reply.text, reply.finish_reason)
        values += (reply.prompt_tokens, reply.completion_tokens)
        with self._connection() as connection:
            connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?)", values)
            query = f"SELECT {_COLUMNS} FROM answers WHERE key = ?"
            return Reply(*connection.execute(query, (key,)).fetchone())

    @contextmanager
    def _connection(self):
        path = Path(self.path).absolute()
        _check_file(path)
        connection = None
        try:
            connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
            _prepare(connection, path)
            yield connection
        except sqlite3.OperationalError as error:
            raise OSError(
                f"The answer cache {path} cannot be used: {error}. Check that the disk is not "
                "full, that the file may be written, and that no other process holds it."
            ) from error
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{_not_ours(path)} ({error})") from error
        finally:
            if connection is not None:
                connection.close()


def _check_file(path):
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"The folder of the answer cache {path} does not exist. Make it first."
        )
    if path.is_dir():
        raise IsADirectoryError(f"The answer cache must be a file, but {path} is a folder.")
    if path.exists():
        with path.open("rb") as file:
            if file.read(len(_HEADER)) not in (b"", _HEADER):
                raise ValueError(_not_ours(path))


def _prepare(connection, path):
    """Make the table in an empty file; refuse a file that another program made."""
    if _marks(connection) == (_APPLICATION_ID, _VERSION):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _marks(connection) == (_APPLICATION_ID, _VERSION):  # another process was faster
            return
        n_tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if _marks(connection) != (0, 0) or n_tables:
            raise ValueError(_not_ours(path))
        connection.execute(_CREATE)
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")


def _marks(connection):
    names = ("application_id", "user_version")
    return tuple(connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names)


def _not_ours(path):
    return (
        f"{path} is no answer cache of this version of skrr2qc, or it is broken. Nothing was "
        "changed in it: choose another path, or move the file away."
    )


class NoCache:
    """Stands for a cache where none is wanted."""

    def check(self):
        """Accept."""

    def get(self, keys):
        """Know nothing."""
        return {}

    def add(self, key, reply):
        """Forget the reply, and return it."""
        return reply


def as_cache(cache):
    """An object with `check`, `get` and `add` for a parameter `cache`: path, cache or None."""
    if cache is None:
        return NoCache()
    if isinstance(cache, (str, Path)):
        return AnswerCache(cache)
    if isinstance(cache, AnswerCache):
        return cache
    raise TypeError(
        f"`cache` must be a path, an AnswerCache or None, got {type(cache).__name__} {cache!r:.60}."
    )


def request_key(**parts):
    """Hash of everything an answer depends on, given as JSON values.

    Parameters
    ----------
    **parts
        Model, kind of adapter, messages, sampling parameters, seed, schema.

    Returns
    -------
    key : str
        64 hexadecimal digits.

    Raises
    ------
    TypeError
        If a part is no JSON value.
    """
    try:
        text = json.dumps(parts, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"`schema` and `extra_body` must be made of JSON values: {error}") from None
    return hashlib.sha256(text.encode()).hexdigest()
