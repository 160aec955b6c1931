"""What the command lines of the benchmarks have in common: checks, messages, runs that may fail."""

import argparse
import sys
import traceback
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from ._processes import OverTime, apart


def make_jobs_parser(prog, description):
    """A parser with ``--report``, and the group that its jobs are added to."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--report", nargs="*", metavar="FILE", help="only draw the tables of kept runs"
    )
    return parser, parser.add_subparsers(dest="job")


def check_names(kind, names, known):
    """Raise a ValueError that says what is known, unless all names are."""
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"unknown {kind} {', '.join(unknown)}; choose from {', '.join(known) or 'none'}"
        )


def check_least(options, **least):
    """Raise a ValueError where a number among the options is too small; None is none."""
    for name, low in least.items():
        value = getattr(options, name)
        if value is not None and value < low:
            raise ValueError(f"--{name.replace('_', '-')} must be at least {low}, got {value}")


def read_reported(files, read, what="record"):
    """What `read` finds in the files of ``--report``; a ValueError where there is nothing."""
    found = []
    for file in map(Path, files):
        if not file.is_file():
            raise ValueError(f"--report: there is no file {file}")
        found += read(file)
    if not found:
        raise ValueError(f"--report: no {what} in {', '.join(map(str, files))}")
    return found


def attempt(title, call, *, verbose=False):
    """What a call gives; None, and a message, if it failed."""
    try:
        return call()
    except OverTime:
        raise  # no failure: whoever set the limit records it
    except BrokenProcessPool:
        say(f"{title}: FAILED, its process was killed; was there enough memory?")
    except Exception as error:  # one run must not take the others with it
        say(f"{title}: FAILED, {type(error).__name__}: {error}")
        if verbose:
            traceback.print_exception(error)
    return None


def attempt_fit(title, run, task, texts, options, **limits):
    """What a run on a set gives, in a process of its own if so wanted; None if it failed."""
    say(f"{title}: fitting {len(texts.train):,} texts ...")
    place = here if options.in_process else apart
    return attempt(title, lambda: place(run, task, texts, **limits), verbose=options.verbose)


def here(function, *arguments, time_limit=None):
    """Result of a function in this process, which has no limit; `apart` gives it its own."""
    return function(*arguments)


def when(record):
    """Date and commit: defaults hidden in the code may have changed since without a version."""
    commit = f" (commit {record['commit']})" if record.get("commit") else ""
    return f"{record['date']}{commit}; --force repeats it"


def say(message):
    """A line for who waits, apart from the tables."""
    print(message, file=sys.stderr, flush=True)
