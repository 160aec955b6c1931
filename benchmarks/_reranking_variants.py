"""Several score matrices of one fit on the same texts: figures, outcomes, differences."""

import hashlib
import json
from collections import namedtuple
from dataclasses import replace

import numpy as np

from . import _bootstrap
from ._bootstrap import N_RESAMPLES, Outcome, append_outcome, interval, paired_bootstrap
from ._machine import describe_machine
from ._per_text import MAX_TAIL
from ._runs import _number, _summary, evaluate
from ._table import _group, _texts_of

TAIL = "tail_ndcg_at_5"
FIGURES = (*_bootstrap.FIGURES, TAIL)
NO_MAP = "none"
_THRESHOLDED = ("micro_f1", "macro_f1")  # variants have scores, no thresholds of their own
_TEXTS = ("set", "part", "n_train", "n_test", "n_labels", "subset", "n_characters")

Case = namedtuple("Case", "title about call")  # call gives records, and outcomes to keep
Outcomes = namedtuple("Outcomes", "all tail")  # of all labels, and nDCG of rare ones


def describe_variants(texts, scores):
    """Figures of each variant as `evaluate` computes them, those of thresholds left out.

    Parameters
    ----------
    texts : TextSet
    scores : dict of str to ndarray of shape (n, L)

    Returns
    -------
    figures : dict of str to dict
    """
    nothing = np.zeros(texts.Y_test.shape, dtype=np.int8)
    found = {}
    for name, values in scores.items():
        figures = evaluate(texts.Y_train, texts.Y_test, values, nothing)
        found[name] = {k: _number(v) for k, v in figures.items() if k not in _THRESHOLDED}
    return found


def outcomes_of(texts, scores):
    """What each variant made of each test text; a dict of `Outcomes`."""
    is_rare = texts.Y_train.getnnz(axis=0) <= MAX_TAIL
    rare = texts.Y_test.multiply(is_rare[None, :]).tocsr()
    rare.eliminate_zeros()
    found = {}
    for name, values in scores.items():
        outcome = Outcome.from_scores(texts.Y_test, values)
        tail = replace(outcome, ndcg=Outcome.from_scores(rare, values).ndcg)
        found[name] = Outcomes(outcome, tail)
    return found


def make_record(about, baseline, scores, texts, task, found):
    """A record of JSON types, and the outcomes by the name they are kept under.

    Parameters
    ----------
    about : dict
        What identifies the run.
    baseline : str
        The variant that the others are compared with.
    scores : dict of str to ndarray of shape (n, L)
    texts : TextSet
    task : Task
    found : dict
        ``figures`` (costs), ``fitted`` and ``caught`` warnings.

    Returns
    -------
    record : dict
        Its `run` names the outcomes.
    outcomes : dict of str to Outcome
    """
    record = {
        **about,
        "baseline": baseline,
        "figures": {name: _number(value) for name, value in found["figures"].items()},
        "variants": describe_variants(texts, scores),
        "fitted": found["fitted"],
        "warnings": _summary(found["caught"], task),
        **describe_machine(),
    }
    content = json.dumps(record, sort_keys=True).encode()
    record["run"] = hashlib.sha256(content).hexdigest()[:12]
    outcomes = {
        _outcome_name(record["run"], variant, kind): outcome
        for variant, both in outcomes_of(texts, scores).items()
        for kind, outcome in both._asdict().items()
    }
    return record, outcomes


def keep_outcomes(path, outcomes):
    """Append outcomes to a file, the labels of their texts once."""
    for name, outcome in outcomes.items():
        append_outcome(path, name, outcome)


def difference(left, right, n_resamples=N_RESAMPLES):
    """Paired bootstrap of all figures, over the means of the seeds.

    Parameters
    ----------
    left, right : list of Outcomes
        One a seed.
    n_resamples : int

    Returns
    -------
    found : dict of str to list
        Left minus right, the ends of the 95 % interval, and the standard error. The tail is
        resampled among the texts with a rare label; left out where there is none.
    """
    pairs = [[both.all for both in side] for side in (left, right)]
    found = dict(zip(FIGURES, _summarize(*pairs, n_resamples), strict=False))
    rows = np.flatnonzero(~np.isnan(left[0].tail.ndcg))
    if len(rows):
        tails = [[_only(both.tail, rows) for both in side] for side in (left, right)]
        found[TAIL] = _summarize(*tails, n_resamples)[_bootstrap.FIGURES.index("ndcg_at_5")]
    return found


def difference_records(records, outcomes, kept=(), n_resamples=N_RESAMPLES):
    """Differences of each group of runs that `kept` does not hold yet.

    Parameters
    ----------
    records : list of dict
        Runs of one measurement; of one set and model, those with the parameters of the last one
        count.
    outcomes : dict of str to Outcome
        As `read_outcomes` gives them; runs without outcomes are left out.
    kept : sequence of dict
        Earlier differences.
    n_resamples : int

    Returns
    -------
    found : list of dict
        Of each group, each variant against the group's own baseline, and, where there are such
        runs, against the baseline of the same texts fitted without a map.
    """
    known = {_identity(record) for record in kept}
    found, groups = [], _group(records)[0]
    for group in groups:
        for against, base in _baselines(group, groups):
            about = _about(group, base, against, outcomes) | {"n_resamples": n_resamples}
            if not about["seeds"] or _identity(about) in known:
                continue
            about["differences"] = {
                variant: difference(left, right, n_resamples)
                for variant, left, right in _pairs(about, group, base, outcomes)
            }
            found.append({**about, **describe_machine()})
    return found


def _identity(record):
    return json.dumps([record[n] for n in ("against", "runs", "base_runs", "n_resamples")])


def _baselines(group, groups):
    first = group[0]
    yield first["baseline"], group
    same = (_texts_of(first), first["encoder"])
    for other in groups:
        is_bare = other[0].get("map") == NO_MAP and first.get("map") != NO_MAP
        if is_bare and (_texts_of(other[0]), other[0]["encoder"]) == same:
            yield f"{first['baseline']}, no map", other


def _about(group, base, against, outcomes):
    first = group[0]
    by_seed = [{r["seed"]: r["run"] for r in side} for side in (group, base)]
    seeds = [
        seed
        for seed in by_seed[0]
        if all(_has_outcomes(side.get(seed), first["baseline"], outcomes) for side in by_seed)
    ]
    return {
        "measurement": "differences",
        "of": first["measurement"],
        **{name: first[name] for name in _TEXTS},
        **{name: first.get(name) for name in ("model", "encoder", "map", "towers", "version")},
        "against": against,
        "seeds": seeds,
        "runs": [by_seed[0][seed] for seed in seeds],
        "base_runs": [by_seed[1][seed] for seed in seeds],
    }


def _pairs(about, group, base, outcomes):
    """Each variant, its outcomes, and those it is compared with; one a seed."""
    baseline = base[0]["baseline"]
    right = [_both(run, baseline, outcomes) for run in about["base_runs"]]
    for variant in group[0]["variants"]:
        if base is not group or variant != baseline:
            yield variant, [_both(run, variant, outcomes) for run in about["runs"]], right


def _both(run, variant, outcomes):
    return Outcomes(*(outcomes[_outcome_name(run, variant, k)] for k in Outcomes._fields))


def _has_outcomes(run, variant, outcomes):
    return _outcome_name(run, variant, "tail") in outcomes


def _outcome_name(run, variant, kind):
    return f"{run}/{variant}/{kind}"


def _only(outcome, rows):
    return Outcome(outcome.best[rows], outcome.ndcg[rows], outcome.Y[rows])


def _summarize(left, right, n_resamples):
    """Difference, lower and upper end, standard error; one list a figure of the bootstrap."""
    observed, resampled = paired_bootstrap(left, right, n_resamples=n_resamples)
    columns = np.vstack([observed, interval(resampled), np.nanstd(resampled, axis=0)]).T
    return [[_number(value) for value in column] for column in columns]
