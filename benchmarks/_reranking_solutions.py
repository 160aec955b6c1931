"""Solutions behind texts: how often they give a label away, and what they do for accuracy."""

import warnings
from dataclasses import replace
from functools import partial

from sklearn.pipeline import Pipeline

from skrr2qc.augmentation import SolutionAugmenter

from . import _solutions
from ._command_line import attempt, check_least, check_names, here
from ._effect import _measured
from ._models import MODELS, find_encoder, parameters_of, set_everywhere
from ._processes import apart
from ._reranking_variants import Case, make_record
from ._runs import Task, _fitted
from ._sets import check_sets

BASELINE, WITH = "texts", "texts and solutions"
_LINEAR, _COMPOSITE = "tfidf-linear", "skrr2qc"
_ONLY_TEST = ("da20k",)  # where other parts have no solutions
_SHORT = {BASELINE: "texts", WITH: "solutions"}  # of the names of costs
_STRIP = "labels"
_CONTENT = ("solutions", "generator", "labels")  # parameters that are data


def add_options(parser):
    """Options of the job."""
    add = parser.add_argument
    known = " ".join(_solutions.SOLUTION_SETS)
    add("--sets", nargs="+", metavar="SET", help=f"to fit; default: {known}")
    add("--composite", action="store_true", help=f"fit {_COMPOSITE}, too, beside {_LINEAR}")
    add("--encoder", default="compact", help="of the composite: compact, minilm, folder, hub name")
    add("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="default: 0")
    add(
        *("--part",), choices=["test", "val"], default="val",
        help="default: val; of da20k, always a fifth of the test part",
    )  # fmt: skip
    add("--limit-train", type=int, metavar="N", help="train on the first N rows at most")
    add("--device", default="auto")


def cases(options):
    """Check everything, then give leaks and runs one by one; None for a set that fails."""
    known = _solutions.SOLUTION_SETS
    check_names("set with solutions", options.sets or (), known)
    check_sets(known)
    check_least(options, limit_train=3)
    shown, backbone = find_encoder(options.encoder)
    return _runs_of(options.sets or known, backbone, shown, options)


def key_of(task, texts):
    """What a record must agree in for a run to be the same as a new one."""
    from skrr2qc import __version__

    estimator = MODELS[task.model](task.seed, task.encoder, texts.labels)
    augmenter = SolutionAugmenter({}, strip=_STRIP).get_params(deep=False)
    own = {f"solutions__{k}": repr(v) for k, v in augmenter.items() if k not in _CONTENT}
    return {
        "measurement": "solutions",
        **texts.describe(),
        "model": task.model,
        "encoder": task.shown if task.model == _COMPOSITE else None,
        "seed": task.seed,
        "parameters": parameters_of(estimator, task.encoder, task.shown) | own,
        "version": __version__,
    }


def run(task, texts, solutions):
    """Fit on texts and on texts with solutions; score test texts of the same kind.

    Parameters
    ----------
    task : Task
    texts : TextSet
    solutions : dict of str to str

    Returns
    -------
    records : list of one dict of JSON types
    rankings : dict of str to Ranking
    """
    scores, costs, fitted = {}, {}, {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for variant, short in _SHORT.items():
            model = MODELS[task.model](task.seed, task.encoder, texts.labels)
            set_everywhere(model, device=task.device, verbose=task.verbose)
            steps = [("model", model)]
            if variant == WITH:
                augmenter = SolutionAugmenter(solutions, labels=texts.labels, strip=_STRIP)
                steps.insert(0, ("solutions", augmenter))
            estimator = Pipeline(steps)
            with _measured(short, costs):
                estimator.fit(texts.train, texts.Y_train)
            scores[variant] = estimator.predict_proba(texts.test)
            fitted[variant] = _fitted(model)
    costs["n_with_solution"] = sum(text in solutions for text in (*texts.train, *texts.test))
    found = {"figures": costs, "fitted": fitted, "caught": caught}
    record, rankings = make_record(key_of(task, texts), BASELINE, scores, texts, task, found)
    return [record], rankings


def _leaks():
    return _solutions.leak_records(), {}


def _runs_of(names, backbone, shown, options):
    from skrr2qc import __version__

    about = {"measurement": "leaks", "version": __version__}
    yield Case("leaks", about, _leaks)
    place = here if options.in_process else apart
    for name in names:
        part = "test" if name in _ONLY_TEST else options.part
        found = attempt(name, partial(_load, name, part, options.limit_train))
        if found is None:
            yield None
            continue
        for model in (_LINEAR, _COMPOSITE) if options.composite else (_LINEAR,):
            for seed in options.seeds:
                task = Task(model, seed, backbone, shown, options.device, int(options.verbose))
                title = f"solutions, {name}, {model}, seed {seed}"
                call = partial(place, run, task, *found)
                yield Case(title, key_of(task, found[0]), call)


def _load(name, part, limit_train):
    texts, solutions = _solutions.solution_texts(name, part=part)
    kept = slice(None, limit_train)
    return replace(texts, train=texts.train[kept], Y_train=texts.Y_train[kept]), solutions
