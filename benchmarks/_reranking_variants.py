"""Several score matrices of one fit on the same texts: figures, rankings, differences."""

import hashlib
import json
from collections import namedtuple

import numpy as np

from ._bootstrap import N_RESAMPLES
from ._differences import difference
from ._machine import describe_machine
from ._per_text import Ranking, append_ranking
from ._runs import _number, _summary, evaluate
from ._table import _group, _texts_of

NO_MAP = "none"
NETWORK = "network"  # a second baseline, where it is among the variants
_THRESHOLDED = ("micro_f1", "macro_f1")  # variants have scores, no thresholds of their own
_TEXTS = ("set", "part", "n_train", "n_test", "n_labels", "subset", "n_characters")

Case = namedtuple("Case", "title about call")  # call gives records, and rankings to keep


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


def rankings_of(texts, scores):
    """What each variant made of each test text; a dict of `Ranking`, without predictions."""
    nothing = np.zeros(texts.Y_test.shape, dtype=np.int8)
    return {
        name: Ranking.from_scores(texts.Y_train, texts.Y_test, values, nothing)
        for name, values in scores.items()
    }


def make_record(about, baseline, scores, texts, task, found):
    """A record of JSON types, and the rankings by the name they are kept under.

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
        Its `run` names the rankings.
    rankings : dict of str to Ranking
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
    rankings = {
        _ranking_name(record["run"], variant): ranking
        for variant, ranking in rankings_of(texts, scores).items()
    }
    return record, rankings


def keep_rankings(path, rankings):
    """Append rankings to a file, the labels of their texts once."""
    for name, ranking in rankings.items():
        append_ranking(path, name, ranking)


def difference_records(records, rankings, kept=(), n_resamples=N_RESAMPLES):
    """Differences of each group of runs that `kept` does not hold yet.

    Parameters
    ----------
    records : list of dict
        Runs of one measurement; of one set and model, those with the parameters of the last one
        count.
    rankings : dict of str to Ranking
        As `read_rankings` gives them; runs without them are left out.
    kept : sequence of dict
        Earlier differences.
    n_resamples : int

    Returns
    -------
    found : list of dict
        Of each group, each variant but the network against the group's own baseline and, where
        there is one, the network; and, where there are such runs, against the baseline of the
        same texts fitted without a map.
    """
    known = {_identity(record) for record in kept}
    found, groups = [], _group(records)[0]
    for group in groups:
        for against, base, baseline in _baselines(group, groups):
            about = _about(group, base, against, baseline, rankings)
            about |= {"n_resamples": n_resamples}
            if not about["seeds"] or _identity(about) in known:
                continue
            about["differences"] = {
                variant: difference(left, right, n_resamples)
                for variant, left, right in _pairs(about, group, base, baseline, rankings)
            }
            found.append({**about, **describe_machine()})
    return found


def _identity(record):
    return json.dumps([record[n] for n in ("against", "runs", "base_runs", "n_resamples")])


def _baselines(group, groups):
    """What to call a baseline, its runs, and which variant of these it is."""
    first = group[0]
    baseline = first["baseline"]
    yield baseline, group, baseline
    if all(NETWORK in record["variants"] for record in group):
        yield NETWORK, group, NETWORK
    same = (_texts_of(first), first["encoder"])
    for other in groups:
        is_bare = other[0].get("map") == NO_MAP and first.get("map") != NO_MAP
        if is_bare and (_texts_of(other[0]), other[0]["encoder"]) == same:
            yield f"{baseline}, no map", other, baseline


def _about(group, base, against, baseline, rankings):
    first = group[0]
    by_seed = [{r["seed"]: r["run"] for r in side} for side in (group, base)]
    seeds = [
        seed
        for seed in by_seed[0]
        if all(_ranking_name(side.get(seed), baseline) in rankings for side in by_seed)
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


def _pairs(about, group, base, baseline, rankings):
    """Each variant, its rankings, and those it is compared with; one a seed."""
    right = [rankings[_ranking_name(run, baseline)] for run in about["base_runs"]]
    for variant in group[0]["variants"]:
        if variant != NETWORK and (base is not group or variant != baseline):
            left = [rankings[_ranking_name(run, variant)] for run in about["runs"]]
            yield variant, left, right


def _ranking_name(run, variant):
    return f"{run}/{variant}"
