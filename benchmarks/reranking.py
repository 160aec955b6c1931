"""Meta-labels measured: maps without a model, what reranking changes and costs, solutions.

``python -m benchmarks.reranking maps`` decomposes label names and compares with the experts;
``effect`` fits once a set, map and seed, and sets Eq. 15 and the learned combination beside
retrieval alone; ``arithmetic`` times Eq. 15; ``solutions`` counts leaks and fits with and without
solutions; ``table`` draws the tables of kept records.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

from . import _reranking_arithmetic as arithmetic
from . import _reranking_effect as effect
from . import _reranking_solutions as solutions
from ._command_line import attempt, read_reported, say, when
from ._decomposition import decomposition_records
from ._machine import describe_machine
from ._per_text import read_rankings
from ._records import append_record, check_writable, per_text_file, read_lines
from ._reranking_table import MEASUREMENTS, format_reranking
from ._reranking_variants import Case, difference_records, keep_rankings
from ._sets import check_sets

_OUT = Path(__file__).parent / "results" / "reranking.jsonl"
_COMPARED = ("effect", "solutions")  # measurements with rankings text by text


def main(arguments=None):
    """Run the command line; the exit status is 1 if a measurement failed."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    try:
        if options.job is None:
            raise ValueError(f"nothing to do: choose of {', '.join(_JOBS)}, table")
        if options.job == "table":
            print(format_reranking(read_reported(options.files, _measurements, "measurement")))
            return 0
        check_writable(options.out)
        check_writable(per_text_file(options.out))
        cases = _JOBS[options.job][1](options)
    except ValueError as error:
        parser.error(str(error))
    return _measure_all(cases, options)


def map_cases(options):
    """Decomposition of the sets at hand, as one case."""
    from skrr2qc import __version__

    check_sets([])
    call = partial(_decompose, os.environ["SKRR2QC_DATA"], __version__)
    return [Case("maps", {"measurement": "maps", "version": __version__}, call)]


def _decompose(folder, version):
    found = decomposition_records(folder)
    if not found:
        raise ValueError("the folder of the sets holds neither a known set nor an expert map")
    own = {"measurement": "maps", "version": version, **describe_machine()}
    return [{**record, **own} for record in found], {}


_JOBS = {
    "maps": (lambda parser: None, map_cases, "label names decomposed, beside the experts' maps"),
    "effect": (effect.add_options, effect.cases, "what reranking changes, and what it costs"),
    "arithmetic": (arithmetic.add_options, arithmetic.cases, "seconds and memory of Eq. 15"),
    "solutions": (solutions.add_options, solutions.cases, "leaks, and accuracy with solutions"),
}


def _make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reranking",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    jobs = parser.add_subparsers(dest="job")
    for name, (add_options, _, what) in _JOBS.items():
        sub = jobs.add_parser(name, help=what)
        add_options(sub)
        add = sub.add_argument
        add("--out", type=Path, default=_OUT, metavar="FILE", help="JSON lines are appended here")
        add("--force", action="store_true", help="repeat measurements that are in --out")
        add("--in-process", action="store_true", help="no process of its own; spoils the memory")
        add("--verbose", action="store_true", help="progress bars, and where an error came from")
    table = jobs.add_parser("table", help="draw the tables of kept records")
    table.add_argument("files", nargs="*", default=[_OUT], metavar="FILE")
    return parser


def _measure_all(cases, options):
    n_failed = 0
    for case in cases:
        if case is None:  # a set that could not be read, which was told
            n_failed += 1
            continue
        same = (line for line in read_lines(options.out) if case.about.items() <= line.items())
        record = None if options.force else next(same, None)
        if record is not None:
            say(f"{case.title}: kept from {when(record)}")
        else:
            n_failed += not _measure(case, options)
    if options.job in _COMPARED:
        _keep_differences(options)
    shown = ("differences", options.job, *(["leaks"] if options.job == "solutions" else []))
    lines = [line for line in _measurements(options.out) if line["measurement"] in shown]
    of_job = [line for line in lines if line.get("of", options.job) == options.job]
    if of_job:
        print(format_reranking(of_job))
    return int(n_failed > 0)


def _measure(case, options):
    """Run and keep; False, and a message, if that failed."""
    say(f"{case.title} ...")
    found = attempt(case.title, case.call, verbose=options.verbose)
    if found is None:
        return False
    records, rankings = found
    keep_rankings(per_text_file(options.out), rankings)  # a record promises them
    for record in records:
        append_record(options.out, record)
        say(f"{case.title}: {_summary(record)}")
    return True


def _keep_differences(options):
    """Draw and keep the intervals of what was measured, over all seeds at hand."""
    lines, rankings = _measurements(options.out), read_rankings(per_text_file(options.out))
    kept = [line for line in lines if line["measurement"] == "differences"]
    records = [line for line in lines if line["measurement"] == options.job]
    for record in difference_records(records, rankings, kept):
        append_record(options.out, record)


def _summary(record):
    """What is said once a record is there."""
    variants = record.get("variants")
    if variants is None:
        return "kept"
    shown = [f"{name} {100 * f['ndcg_at_5']:.1f}" for name, f in variants.items()]
    return f"nDCG@5 {', '.join(shown)}"


def _measurements(file):
    return [line for line in read_lines(file) if line.get("measurement") in MEASUREMENTS]


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # of loading; before its import
    sys.exit(main())
