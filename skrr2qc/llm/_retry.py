"""When to ask again, and how long to wait before."""

import random
import time
from email.utils import parsedate_to_datetime

_FIRST_WAIT = 1.0  # seconds


class AskError(Exception):
    """One request failed.

    Parameters
    ----------
    message : str
        Shown to the user: free of keys, short, printable.
    can_retry : bool, default=False
        Whether the same request may succeed later.
    scope : {"prompt", "server", "all"}, default="prompt"
        What is to blame: this prompt; perhaps the server, if the next ones fail as well; or
        something because of which every other request would fail, too.
    retry_after : float, default=None
        Seconds that the server wants to be left alone.
    status : int, default=None
    """

    def __init__(self, message, *, can_retry=False, scope="prompt", retry_after=None, status=None):
        super().__init__(message)
        self.can_retry = can_retry
        self.scope = scope
        self.retry_after = retry_after
        self.status = status


class Stopped(Exception):
    """Nothing more is to be asked in this run."""


def pause(seconds, stop):
    """Wait, or raise `Stopped` as soon as the event `stop` is set. Tests put a fake here."""
    if stop.wait(seconds):
        raise Stopped


def now():
    """Seconds since the epoch."""
    return time.time()


def with_retries(send, *, max_retries, max_wait, seed, stop):
    """Call `send` until it succeeds, with exponential back-off and jitter in between.

    Parameters
    ----------
    send : callable
        ``(attempt) -> result``; raises `AskError`.
    max_retries : int
    max_wait : float
        Longest pause in seconds. A server that asks for more is not waited for.
    seed : str
        For the jitter, so that no global random state is used.
    stop : threading.Event
        Ends a pause, and the attempts.

    Returns
    -------
    result : object
        What `send` returned.
    """
    rng = random.Random(seed)
    for attempt in range(max_retries + 1):
        if stop.is_set():
            raise Stopped
        try:
            return send(attempt)
        except AskError as error:
            if not error.can_retry:
                raise
            if error.retry_after is not None and error.retry_after > max_wait:
                raise AskError(
                    f"{error} The server wants {error.retry_after:.0f} s of rest, more than "
                    f"`max_wait` == {max_wait}: go on later, or allow more.",
                    scope="all",
                ) from None
            if attempt == max_retries:
                tries = f"{max_retries + 1} attempts" if max_retries else "one attempt"
                raise AskError(f"{error} (after {tries})", scope=error.scope) from None
            delay = backoff_seconds(attempt, rng, max_wait, error.retry_after)
        pause(delay, stop)


def backoff_seconds(attempt, rng, max_wait, retry_after=None):
    """Pause after a failed attempt: half of it fixed, half random, doubled each time.

    Parameters
    ----------
    attempt : int
        0 after the first.
    rng : random.Random
    max_wait : float
    retry_after : float, default=None
        Asked for by the server: never less than this, and up to a tenth more.

    Examples
    --------
    >>> rng = random.Random(0)
    >>> 2.0 <= backoff_seconds(2, rng, max_wait=60.0) <= 4.0
    True
    """
    if retry_after is not None:
        return retry_after * (1.0 + 0.1 * rng.random())
    longest = min(max_wait, _FIRST_WAIT * 2.0 ** min(attempt, 30))
    return longest * (0.5 + 0.5 * rng.random())


def retry_after_seconds(header, time_now):
    """Seconds of a Retry-After header, which holds a number or a date; None if neither.

    Examples
    --------
    >>> retry_after_seconds("3", 0.0)
    3.0
    >>> retry_after_seconds("Thu, 01 Jan 1970 00:01:00 GMT", 20.0)
    40.0
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time_now
        except (ValueError, OverflowError, OSError):
            return None
    return max(0.0, seconds) if seconds == seconds else None  # not for "nan"
