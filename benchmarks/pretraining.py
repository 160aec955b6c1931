"""What pre-training brings and costs.

``python -m benchmarks.pretraining effect`` compares no pre-training, masked language model (TAPT),
ranking contrastive pre-training (RCPT) and its single-label form (after QuesCo), each followed by
the same head; ``--report`` draws the tables of kept runs; ``costs`` measures the steps.
"""

import ast
import os
import sys
from contextlib import suppress
from pathlib import Path

from skrr2qc import RCPTEncoder

from . import _pretraining_costs as costs
from ._command_line import (
    attempt_fit,
    check_least,
    check_names,
    make_jobs_parser,
    read_reported,
    say,
    when,
)
from ._effect import SETTINGS, EffectTask, estimated_seconds, key_of, run
from ._effect_differences import difference_lines
from ._effect_table import format_effect
from ._models import find_encoder
from ._per_text import append_ranking, read_rankings
from ._records import (
    append_record,
    check_writable,
    differences_file,
    find_record,
    per_text_file,
    read_lines,
    read_records,
)
from ._runs import load
from ._sets import check_sets
from ._table import _markdown

_RESULTS = Path(__file__).parent / "results"
_OUT = _RESULTS / "pretraining.jsonl"
_MOST_MINUTES = 10


def _seeds(n_seeds):
    return dict.fromkeys(["none", "tapt", "rcpt"], list(range(n_seeds))) | {"quesco": [0]}


# Of each set: its encoder, and the seeds of each setting. The smallest differs most between seeds.
PLAN = {
    "da20k": ("compact", _seeds(2)),
    "hoc": ("compact", _seeds(5)),
    "arc": ("minilm", _seeds(2)),
    "baidu_hs4": ("compact", _seeds(1)),
}
_FIXED = ("backbone", "labels", "device", "random_state", "verbose", "checkpoint_dir")


def main(arguments=None):
    """Run the command line; the exit status is 1 if a run failed."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    try:
        if options.report is not None:
            return _report(options.report or [_OUT])
        if options.job == "costs":
            return costs.measure(options)
        if options.job == "effect":
            plan = _check(options)
    except ValueError as error:
        parser.error(str(error))
    if options.job is None:
        parser.error("nothing to do: choose effect or costs, or draw a --report")
    return _show_plan(plan, options) if options.plan else _effect(plan, options)


def _make_parser():
    parser, jobs = make_jobs_parser("python -m benchmarks.pretraining", __doc__)
    add = jobs.add_parser("effect", help="fit and measure, setting by setting").add_argument
    add("--sets", nargs="+", metavar="SET", help=f"default: {' '.join(PLAN)}")
    add("--settings", nargs="+", metavar="SETTING", help=f"default: {' '.join(SETTINGS)}")
    add("--seeds", nargs="+", type=int, metavar="SEED", help="default: as planned for the set")
    add("--encoder", help="compact, minilm, folder or hub name; default: as planned for the set")
    add("--part", choices=["test", "val"], default="val", help="default: val; test: to publish")
    add("--limit-train", type=int, metavar="N", help="train on N rows at most")
    add(
        *("--set",), nargs="+", dest="given", default=[], metavar="[SETTING:]NAME=VALUE",
        help="a parameter of RCPTEncoder, for the setting rcpt if none is named",
    )  # fmt: skip
    add("--out", type=Path, default=_OUT, metavar="FILE", help="JSON lines are appended here")
    add("--device", default="auto")
    add("--plan", action="store_true", help="only list the runs, with estimated minutes")
    add("--force", action="store_true", help="repeat runs that are in --out")
    add("--in-process", action="store_true", help="no process of its own for each run")
    add("--verbose", action="store_true", help="progress bars of the estimators")
    costs.add_options(jobs.add_parser("costs", help="time the steps and the ranking block"))
    return parser


def _check(options):
    """Find every mistake before work starts; return the plan: (set, tasks) pairs."""
    for path in (options.out, per_text_file(options.out), differences_file(options.out)):
        check_writable(path)
    check_sets(options.sets or PLAN)
    check_names("setting", options.settings or SETTINGS, list(SETTINGS))
    check_least(options, limit_train=3)
    given = parse_given(options.given)
    plan = []
    for name in options.sets or PLAN:
        planned, seeds = PLAN.get(name, ("compact", _seeds(1)))
        shown, backbone = find_encoder(options.encoder or planned)
        tasks = [
            EffectTask(
                setting, seed, backbone, shown, options.device, int(options.verbose),
                given.get(setting, ()),
            )
            for setting in options.settings or SETTINGS
            for seed in options.seeds or seeds[setting]
        ]  # fmt: skip
        plan.append((name, tasks))
    return plan


def parse_given(items):
    """Parameters by setting from ``[SETTING:]NAME=VALUE``; a dict of tuples of pairs."""
    allowed = sorted(set(RCPTEncoder().get_params()) - set(_FIXED))
    given = {}
    for item in items:
        name, is_there, value = item.partition("=")
        setting, _, name = name.rpartition(":")
        if not is_there:
            raise ValueError(f"--set: expected NAME=VALUE, got {item!r}")
        check_names("setting", [setting or "rcpt"], list(SETTINGS))
        check_names("parameter", [name], allowed)
        with suppress(ValueError, SyntaxError):  # of a name, such as jaccard
            value = ast.literal_eval(value)
        given.setdefault(setting or "rcpt", {})[name] = value
    return {setting: tuple(sorted(values.items())) for setting, values in given.items()}


def _effect(plan, options):
    n_failed = 0
    for name, tasks in plan:
        texts = _load(name, options)
        if texts is None:
            n_failed += len(tasks)
            continue
        for task in tasks:
            title = f"{name} {task.title} seed {task.seed}"
            kept = None if options.force else find_record(_kept(options), key_of(task, texts))
            if kept is not None:
                say(f"{title}: kept from {when(kept)}")
            else:
                n_failed += not _measure(title, task, texts, options)
    records = _kept(options)
    if records:
        print(format_effect(records, _differences(records, options.out)))
    return int(n_failed > 0)


def _load(name, options):
    """The texts of a set; None, and a message, if its files are not as they should be."""
    try:
        return load(name, part=options.part, limit_train=options.limit_train)
    except ValueError as error:
        say(f"{name}: FAILED, {error}")
        return None


def _measure(title, task, texts, options):
    """Run and keep; False, and a message, if that failed."""
    found = attempt_fit(title, run, task, texts, options)
    if found is None:
        return False
    record, ranking = found
    append_ranking(per_text_file(options.out), record["run"], ranking)  # a record promises it
    append_record(options.out, record)
    figures = record["figures"]
    say(
        f"{title}: P@1 {100 * figures['precision_at_1']:.1f}, nDCG@5 "
        f"{100 * figures['ndcg_at_5']:.1f}, {figures['encoder_seconds']:.0f} s of encoder and "
        f"{figures['head_seconds']:.0f} s of head"
    )
    return True


def _show_plan(plan, options):
    """Print the runs, and the minutes that they will take."""
    records, rows, total = _kept(options), [], 0.0
    for name, tasks in plan:
        texts = _load(name, options)
        if texts is None:
            return 1
        for task in tasks:
            is_kept = not options.force and find_record(records, key_of(task, texts)) is not None
            minutes = estimated_seconds(task, texts, records) / 60
            total += 0.0 if is_kept else minutes
            note = "kept" if is_kept else "long" if minutes > _MOST_MINUTES else ""
            rows.append([f"{name} {options.part}", f"{task.title} ({task.shown})"])
            rows[-1] += [str(task.seed), f"{len(texts.train):,}", f"{minutes:.1f}", note]
    print(
        "\n".join(_markdown(["set", "setting", "seed", "texts", "estimated minutes", "note"], rows))
    )
    print(f"{total:.0f} minutes for what is not kept; long: above {_MOST_MINUTES} minutes.")
    return 0


def _differences(records, file):
    """Lines of a file of records; those that can be drawn by now are added to the file."""
    path = differences_file(file)
    lines = read_lines(path)
    for line in difference_lines(records, read_rankings(per_text_file(file)), lines):
        append_record(path, line)
        lines.append(line)
    return lines


def _report(files):
    records, rankings, lines = read_reported(files, _effect_records), {}, []
    for file in files:
        rankings |= read_rankings(per_text_file(file))
        lines += read_lines(differences_file(file))
    lines += difference_lines(records, rankings, lines)
    print(format_effect(records, lines))
    return 0


def _kept(options):
    return _effect_records(options.out)


def _effect_records(file):
    return [record for record in read_records(file) if "setting" in record]


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # of loading; before its import
    sys.exit(main())
