"""What reranking changes: retrieval alone, product and learned combination out of one fit."""

import hashlib
import json
import os
import time
import warnings
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from skrr2qc import ClassCenterHead, LabelSpace, MetaLabelReranker
from skrr2qc.classifiers import rerank_scores
from skrr2qc.meta_labels import NameDecomposer

from ._command_line import attempt, check_least, check_names, here, say
from ._effect import _measured
from ._models import _composite, find_encoder, parameters_of, set_everywhere
from ._per_text import MAX_TAIL
from ._processes import apart
from ._reranking_variants import NETWORK, NO_MAP, Case, make_record
from ._runs import Task, _fitted, load
from ._sets import check_sets

MAPS = ("expert", "auto", NO_MAP)
BASELINE = "retrieval"  # its channels together: head, words, names of labels
_SUBSETS = {"eurlex57k": "subset_train5k"}
_WHOLE = "none"
# Of learned reranking; to be changed with it, so that runs of before do not count as the same.
_EVIDENCE = (
    "retrieval of rare labels, meta-labels, neighbors, those of rare labels (both spread as all), "
    "votes, co-occurrence; rare count more, own do not compete; as many unseen as there are"
)
_MOST_TIMED = 1_000  # texts that predictions are timed on
_ROUNDS = 3
_N_WARM_UP = 64


@dataclass(frozen=True)
class RerankTask(Task):
    """A map of labels to meta-labels, and how many towers score the two."""

    map: str = "expert"
    towers: str = "one"
    memory: str | None = None

    def estimator(self, labels):
        """The unfitted classifier."""
        reranker = MetaLabelReranker(combine="learned")
        if self.towers == "two":
            reranker.set_params(classifier=ClassCenterHead(loss="bce"))
        own = {"reranker": reranker, "meta_labels": None, "memory": self.memory}
        classifier = _composite(self.seed, self.encoder, labels, **own)
        return set_everywhere(classifier, device=self.device, verbose=self.verbose)


def add_options(parser):
    """Options of the job."""
    add = parser.add_argument
    add("sets", nargs="+", metavar="SET")
    add("--maps", nargs="+", metavar="MAP", help=f"of {', '.join(MAPS)}; default: all")
    add("--towers", choices=["one", "two"], default="one", help="two: one for meta-labels alone")
    add("--encoder", default="compact", help="compact, minilm, folder or hub name")
    add("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="default: 0")
    add("--part", choices=["test", "val"], default="val", help="default: val; test: to publish")
    add(
        *("--subset",), metavar="NAME",
        help=f"ids to train on; {_WHOLE}: all; default: {_SUBSETS['eurlex57k']} of eurlex57k",
    )  # fmt: skip
    add("--limit-train", type=int, metavar="N", help="train on N rows at most")
    add("--memory", metavar="DIR", help="fitted parts are kept there and fetched again")
    add("--device", default="auto")


def cases(options):
    """Check everything, then give the runs one by one; None for a set that cannot be read."""
    check_sets(options.sets)
    check_names("map", options.maps or MAPS, MAPS)
    check_least(options, limit_train=3)
    shown, backbone = find_encoder(options.encoder)
    _check_memory(options.memory)
    _check_subset(options)
    plan = {name: _maps_of(name, options) for name in options.sets}
    if not any(plan.values()):
        raise ValueError(
            "nothing to do: 'expert' needs a set whose labels.json has meta_labels, and two towers "
            "a map"
        )
    return _runs_of(plan, backbone, shown, options)


def key_of(task, texts):
    """What a record must agree in for a run to be the same as a new one."""
    from skrr2qc import __version__

    parameters = parameters_of(task.estimator(texts.labels), task.encoder, task.shown)
    return {
        "measurement": "effect",
        **texts.describe(),
        **{name: getattr(task, name) for name in ("model", "map", "towers", "seed")},
        "encoder": task.shown,
        "parameters": parameters | {"map": fingerprint(texts.labels), "evidence": _EVIDENCE},
        "version": __version__,
    }


def with_map(labels, name):
    """A label space with the map of that name in place of its own.

    Parameters
    ----------
    labels : LabelSpace
    name : {"expert", "auto", "none"}
        The one it has, the one a `NameDecomposer` makes without a look at that, or none.

    Returns
    -------
    labels : LabelSpace
    """
    if name == "expert":
        return labels
    data = {k: v for k, v in labels.to_dict().items() if not k.startswith("meta_")}
    bare = LabelSpace.from_dict(data)
    return bare if name == NO_MAP else NameDecomposer().decompose(bare)


def fingerprint(labels):
    """Short name of the map of a label space."""
    content = json.dumps(labels.to_dict()["meta_labels"], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def run(task, texts):
    """Fit once, score with each variant, and time each.

    Parameters
    ----------
    task : RerankTask
    texts : TextSet

    Returns
    -------
    records : list of one dict of JSON types
    rankings : dict of str to Ranking
    """
    classifier, costs = task.estimator(texts.labels), {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with _measured("fit", costs):
            classifier.fit(texts.train, texts.Y_train)
        scores = variant_scores(classifier, texts.test)
        with _measured("timing", costs):
            timed = timed_variants(classifier, texts.test[:_MOST_TIMED])
        del costs["timing_seconds"]
    reranker = classifier.reranker_
    costs |= {
        "head_seconds": _seconds_of(classifier.head_),
        "meta_seconds": _seconds_of(reranker.classifier_),
        "memory_mib": costs.pop("timing_memory_mib"),
        **timed,
    }
    fitted = _fitted(classifier)
    if reranker.combination_ is not None:
        fitted["combination"] = {
            **reranker.combination_.weights,
            "intercept": reranker.combination_.intercept,
        }
    about = {
        **key_of(task, texts),
        "n_meta_labels": texts.labels.n_meta_labels,
        "n_tail_labels": int((texts.Y_train.getnnz(axis=0) <= MAX_TAIL).sum()),
        "memory": task.memory is not None,  # fit_seconds may then be those of fetching
    }
    found = {"figures": costs, "fitted": fitted, "caught": caught}
    record, rankings = make_record(about, BASELINE, scores, texts, task, found)
    return [record], rankings


def variant_scores(classifier, texts):
    """Scores (n, L) of retrieval and of its network alone, of Eq. 15, and of what was learned."""
    found = {NETWORK: _network(classifier, texts)}
    found[BASELINE] = classifier.retriever_.predict_proba(texts)
    if classifier.reranker_.label_to_meta_ is not None:
        found["product"] = _product(classifier, texts)
    return found | {"learned": classifier.predict_proba(texts)}


def timed_variants(classifier, texts, rounds=_ROUNDS):
    """Seconds of each variant, and how many times retrieval alone it takes; medians of rounds."""
    calls = {BASELINE: classifier.retriever_.predict_proba}
    if classifier.reranker_.label_to_meta_ is not None:
        calls["product"] = partial(_product, classifier)
    calls["learned"] = classifier.predict_proba
    for call in calls.values():
        call(texts[:_N_WARM_UP])
    seconds = {name: [] for name in calls}
    for _, (name, call) in product(range(rounds), calls.items()):
        start = time.perf_counter()
        call(texts)
        seconds[name].append(time.perf_counter() - start)
    figures = {"n_timed": len(texts)}
    for name, values in seconds.items():
        figures[f"{name}_seconds"] = np.median(values)
        ratios = np.divide(values, seconds[BASELINE])
        if name != BASELINE:
            figures[f"{name}_ratio"] = np.median(ratios)
    return figures


def _network(classifier, texts):
    """Scores of the head without other channels; labels without a training text rank last."""
    scores = classifier.head_.predict_proba(texts)
    scores[:, classifier.unseen_] = 0
    return scores


def _product(classifier, texts):
    """Eq. 15 with an exponent of 1; a tower that scores both reads the texts once."""
    reranker = classifier.reranker_
    vectors = classifier.head_.embed(texts) if reranker.classifier_ is None else None
    retrieval = classifier.retriever_.predict_proba(texts, vectors)
    meta_scores = reranker.meta_scores(texts, vectors)
    return rerank_scores(retrieval, meta_scores, reranker.label_to_meta_)


def _seconds_of(part):
    """Seconds of the last training of a part, wherever it was; None without one."""
    return sum(row["seconds"] for row in part.history_) if hasattr(part, "history_") else None


def _runs_of(plan, backbone, shown, options):
    place = here if options.in_process else apart
    for name, maps in plan.items():
        texts = attempt(name, partial(_load, name, options)) if maps else None
        if maps and texts is None:
            yield None
            continue
        for map_name in maps:
            mapped = replace(texts, labels=with_map(texts.labels, map_name))
            model = map_name + (", two towers" if options.towers == "two" else "")
            for seed in options.seeds:
                task = RerankTask(
                    model, seed, backbone, shown, options.device, int(options.verbose),
                    map_name, options.towers, options.memory,
                )  # fmt: skip
                title = f"effect, {name}, map {model}, seed {seed}"
                yield Case(title, key_of(task, mapped), partial(place, run, task, mapped))


def _load(name, options):
    subset = _subset_of(name, options)
    return load(name, part=options.part, subset=subset, limit_train=options.limit_train)


def _subset_of(name, options):
    subset = _SUBSETS.get(name) if options.subset is None else options.subset
    return None if subset == _WHOLE else subset


def _maps_of(name, options):
    """Maps that a set can be fitted with, of those that are wanted."""
    wanted = list(dict.fromkeys(options.maps or MAPS))
    content = json.loads(_file(name, "labels.json").read_text(encoding="utf-8"))
    if "expert" in wanted and not content.get("meta_labels"):
        wanted.remove("expert")
        say(f"{name}: labels.json has no meta_labels, so there is no expert map")
    if options.towers == "two" and NO_MAP in wanted:
        wanted.remove(NO_MAP)
        say(f"{name}: without a map there is nothing for a second tower")
    return wanted


def _check_memory(folder):
    if folder is None:
        return
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--memory {folder} is a file: name a folder")
    if not folder.parent.is_dir():
        raise ValueError(f"--memory: there is no folder {folder.parent}; make it first")


def _check_subset(options):
    for name in options.sets:
        subset = _subset_of(name, options)
        if subset is None:
            continue
        file = f"{subset.removesuffix('.json')}.json"
        if not _file(name, file).is_file():
            raise ValueError(f"--subset: the set {name} has no file {file}")


def _file(*parts):
    return Path(os.environ["SKRR2QC_DATA"], *parts)
