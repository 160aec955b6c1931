"""Runs in processes of their own, and the time that they may take."""

import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait


class OverTime(TimeoutError):
    """A run took longer than it was given."""


def apart(function, *arguments, time_limit=None):
    """Result of a function in a process of its own, so that its peak memory is its own.

    Raises
    ------
    OverTime
        After `time_limit` seconds; the process is gone then.
    KeyboardInterrupt
        As Ctrl-C raises it; the process is gone then, too. It also ends with this one.
    """
    others = set(active_children())
    context = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_end_with_parent) as pool:
        future = pool.submit(function, *arguments)
        try:
            return future.result(time_limit)
        except TimeoutError:
            if future.done():  # the function's own, or just in time
                return future.result()
            _end(set(active_children()) - others)
            raise OverTime(f"stopped after {time_limit:.0f} s") from None
        except KeyboardInterrupt:  # leaving the pool would wait for hours
            _end(set(active_children()) - others)
            raise


def _end(processes):
    for process in processes:
        process.terminate()


def _end_with_parent():
    """End this process when its parent is gone, and not hours later."""

    def watch():
        wait([parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
