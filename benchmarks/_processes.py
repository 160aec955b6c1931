"""Runs in processes of their own, and the time that they may take."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context


class OverTime(TimeoutError):
    """A run took longer than it was given."""


def apart(function, *arguments, time_limit=None):
    """Result of a function in a process of its own, so that its peak memory is its own.

    Raises
    ------
    OverTime
        After `time_limit` seconds; the process is gone then.
    """
    others = set(active_children())
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        future = pool.submit(function, *arguments)
        try:
            return future.result(time_limit)
        except TimeoutError:
            if future.done():  # the function's own, or just in time
                return future.result()
            for process in set(active_children()) - others:
                process.terminate()
            raise OverTime(f"stopped after {time_limit:.0f} s") from None
