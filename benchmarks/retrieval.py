"""What retrieval is asked for beside its rank in the comparison: speed, unseen labels, memory.

``python -m benchmarks.retrieval speed`` sets a training step and a prediction of the MiniLM tower
against the machine's own matrix products and a bare pass of the encoder; ``zero-shot`` counts how
often labels without a training text are found; ``memory`` fits and predicts with thousands of
labels; ``curve`` runs plain fine-tuning beside ours. ``--report`` draws the tables of kept runs.
"""

import os
import sys
from pathlib import Path

from . import _retrieval_curve as curve
from . import _retrieval_memory as memory
from . import _retrieval_speed as speed
from . import _retrieval_zero_shot as zero_shot
from ._command_line import attempt, here, make_jobs_parser, read_reported, say, when
from ._machine import describe_machine
from ._processes import apart
from ._records import append_record, check_writable, read_lines
from ._retrieval_table import format_retrieval

_OUT = Path(__file__).parent / "results" / "retrieval.jsonl"
_JOBS = {
    "speed": (speed, "a training step and a prediction against what the machine can do"),
    "zero-shot": (zero_shot, "labels that no training text has"),
    "memory": (memory, "peak memory of a fit and of predictions"),
    "curve": (curve, "plain fine-tuning beside ours"),
}


def main(arguments=None):
    """Run the command line; the exit status is 1 if a measurement failed."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    try:
        if options.report is not None:
            return _report(options.report or [_OUT])
        if options.job is None:
            raise ValueError(f"nothing to do: choose of {', '.join(_JOBS)}, or draw a --report")
        check_writable(options.out)
        cases = _JOBS[options.job][0].cases(options)
    except ValueError as error:
        parser.error(str(error))
    return _measure_all(cases, options)


def _make_parser():
    parser, jobs = make_jobs_parser("python -m benchmarks.retrieval", __doc__)
    for name, (job, what) in _JOBS.items():
        sub = jobs.add_parser(name, help=what)
        job.add_options(sub)
        add = sub.add_argument
        add("--device", default="auto")
        add("--out", type=Path, default=_OUT, metavar="FILE", help="JSON lines are appended here")
        add("--force", action="store_true", help="repeat measurements that are in --out")
        add("--in-process", action="store_true", help="no process of its own; spoils the memory")
        add("--verbose", action="store_true", help="progress bars, and where an error came from")
    return parser


def _measure_all(cases, options):
    from skrr2qc import __version__

    shown, n_failed = [], 0
    for about, measure in cases:
        about = {**about, "version": __version__, "in_process": options.in_process}
        same = (line for line in read_lines(options.out) if about.items() <= line.items())
        record = None if options.force else next(same, None)
        if record is not None:
            say(f"{_title(about)}: kept from {when(record)}")
        else:
            record = _measure(about, measure, options)
        n_failed += record is None
        shown += [] if record is None else [record]
    if shown:
        print(format_retrieval(shown))
    return int(n_failed > 0)


def _measure(about, measure, options):
    """Run, keep and return a record; None, and a message, if it failed."""
    say(f"{_title(about)} ...")
    place = here if options.in_process else apart
    figures = attempt(_title(about), lambda: measure(place), verbose=options.verbose)
    if figures is None:
        return None
    record = {**about, "figures": figures, **describe_machine()}
    append_record(options.out, record)
    return record


def _title(about):
    return f"{about['measurement']}, {about['set']}, {about['encoder']}, seed {about['seed']}"


def _measurements(file):
    return [line for line in read_lines(file) if line.get("measurement") in _JOBS]


def _report(files):
    print(format_retrieval(read_reported(files, _measurements, "measurement")))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # of loading; before its import
    sys.exit(main())
