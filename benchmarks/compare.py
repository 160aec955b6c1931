"""Compare models on real sets: ``python -m benchmarks.compare --sets arc --models skrr2qc ...``.

Reads the sets from the folder named by the environment variable ``SKRR2QC_DATA``, fits every model
on the training part alone, prints one table and appends one JSON line a run to a file, and what the
run made of each text to the file beside it. A run whose line is already there is not repeated.
Peers that cannot live in one environment get their own on first use.
"""

import argparse
import os
import sys
from itertools import product
from pathlib import Path
from threading import TIMEOUT_MAX
from uuid import uuid4

from ._command_line import attempt, attempt_fit, check_least, check_names, read_reported, say, when
from ._models import MODELS, check_models, find_encoder
from ._peers import PEERS, make_environment
from ._per_text import append_ranking
from ._processes import OverTime
from ._records import append_record, check_writable, find_record, per_text_file, read_records
from ._runs import Task, key_of, load, measure, stopped
from ._sets import known_sets
from ._table import format_report

_VARIABLE = "SKRR2QC_DATA"


def main(arguments=None):
    """Run the command line; the exit status is 1 if a run failed."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    try:
        if options.report:
            return _report(options.report)
        backbone = _check(options)
    except ValueError as error:
        parser.error(str(error))
    return _compare(options, *backbone)


def _make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description=f"Compare models on the sets in the folder named by {_VARIABLE}.",
    )
    add = parser.add_argument
    add("--sets", nargs="+", default=["arc", "da20k"], metavar="SET", help="default: arc da20k")
    add(
        *("--models",), nargs="+", default=["skrr2qc", "tfidf-linear", "textcnn"], metavar="MODEL",
        help=f"of {', '.join(MODELS)}; default: skrr2qc tfidf-linear textcnn",
    )  # fmt: skip
    add(
        *("--encoder",), default="compact",
        help="compact, minilm (needs the bench extra), the folder or hub name of an encoder",
    )  # fmt: skip
    add("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="default: 0")
    add("--out", metavar="FILE", help="JSON lines, one a run, are appended here")
    add("--part", choices=["test", "val"], default="test", help="val: for choosing parameters")
    add("--n-characters", type=int, metavar="N", help="cut texts after N; 0: never")
    add("--subset", help="JSON file of ids in the folder of the set, such as subset_train5k")
    add("--limit-train", type=int, metavar="N", help="train on N rows at most")
    add(
        *("--time-limit",), type=float, metavar="SECONDS",
        help="stop a run after that; it is recorded as stopped, and repeated with a larger limit",
    )  # fmt: skip
    add("--device", default="auto")
    add("--force", action="store_true", help="repeat runs that are in --out")
    add("--in-process", action="store_true", help="no process of its own for each run")
    add("--verbose", action="store_true", help="progress bars of the estimators")
    add("--report", nargs="+", metavar="FILE", help="only draw the table of kept lines")
    return parser


def _check(options):
    """Find every mistake before work starts; return the encoder's name and backbone."""
    if options.out is None:
        raise ValueError("--out FILE is required: a run that took hours should be kept")
    check_writable(options.out)
    check_writable(per_text_file(options.out))
    check_names("model", options.models, list(MODELS))
    folder = os.environ.get(_VARIABLE)
    if not folder:
        raise ValueError(f"{_VARIABLE} is not set: it must name the folder that holds the sets")
    if not Path(folder).is_dir():
        raise ValueError(f"{_VARIABLE} names no folder: {folder}")
    check_names("set", options.sets, known_sets(folder))
    for name in options.sets if options.subset else ():
        file = f"{options.subset.removesuffix('.json')}.json"
        if not Path(folder, name, file).is_file():
            raise ValueError(f"--subset: the set {name} has no file {file}")
    check_least(options, limit_train=3, n_characters=0, time_limit=1)
    if options.time_limit is not None and not options.time_limit <= TIMEOUT_MAX:
        raise ValueError(f"--time-limit must be at most {TIMEOUT_MAX:.0f}; leave it out for none")
    if options.time_limit and options.in_process:
        raise ValueError("--time-limit stops processes: leave out --in-process")
    check_models(options.models, options.encoder)
    return find_encoder(options.encoder)


def _compare(options, shown, backbone):
    records, wanted = [], list(dict.fromkeys(options.models))
    models = [model for model in wanted if _has_environment(model, options)]
    n_failed = len(wanted) - len(models)
    for name in dict.fromkeys(options.sets):
        texts = _load(name, options)
        for model, seed in product(models, dict.fromkeys(options.seeds)):
            record = None
            if texts is not None:
                task = Task(model, seed, backbone, shown, options.device, int(options.verbose))
                record = _kept(key_of(task, texts), options)
                if record is not None:
                    say(f"{name} {model} seed {seed}: kept from {when(record)}")
                else:
                    record = _measure(task, texts, options)
            if record is None:
                n_failed += 1
            else:
                records.append(record)
    if records:
        print(format_report(records))
    return int(n_failed > 0)


def _has_environment(model, options):
    """Whether a model can run here; a peer's environment is made now, before any clock starts."""
    if model not in PEERS:
        return True
    made = attempt(model, lambda: make_environment(model), verbose=options.verbose)
    return made is not None


def _load(name, options):
    """The texts of a set; None, and a message, if its files are not as they should be."""
    wanted = ("part", "n_characters", "subset", "limit_train")
    try:
        return load(name, **{option: getattr(options, option) for option in wanted})
    except ValueError as error:
        say(f"{name}: FAILED, {error}")
        return None


def _kept(key, options):
    """The record of the same run; None if there is none as good as a new one would be."""
    record = None if options.force else find_record(read_records(options.out), key)
    if record is None:
        return None
    limit = record["figures"].get("stopped_after_seconds")
    if limit is None:
        return record if "run" in record else None  # of before outcomes were kept
    is_longer = options.time_limit is None or options.time_limit > limit
    return None if is_longer else record


def _measure(task, texts, options):
    """Run, keep and return a record; None, and a message, if it failed."""
    title = f"{texts.name} {task.model} seed {task.seed}"
    limit = options.time_limit
    try:
        found = attempt_fit(title, measure, task, texts, options, time_limit=limit)
    except OverTime:
        say(f"{title}: stopped after {limit:.0f} s")
        found = stopped(task, texts, limit), None
    if found is None:
        return None
    record, ranking = found
    if ranking is not None:
        record["run"] = uuid4().hex[:12]
        append_ranking(per_text_file(options.out), record["run"], ranking)  # a record promises it
    append_record(options.out, record)
    if ranking is not None:
        _tell(title, record)
    return record


def _tell(title, record):
    figures = record["figures"]
    for warning in record["warnings"]:
        say(f"  warned: {warning}")
    say(
        f"{title}: P@1 {100 * figures['precision_at_1']:.1f}, nDCG@5 "
        f"{100 * figures['ndcg_at_5']:.1f}, {figures['fit_seconds']:.0f} s"
    )


def _report(files):
    print(format_report(read_reported(files, read_records)))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # of loading; before its import
    sys.exit(main())
