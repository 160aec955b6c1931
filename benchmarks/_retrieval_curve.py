"""Plain fine-tuning beside ours, in one run: what each reaches, in how many seconds."""

import time
import warnings
from functools import partial

from skrr2qc import RCPTEncoder
from skrr2qc.metrics import ndcg_at_k, precision_at_k

from ._command_line import check_least
from ._machine import peak_memory
from ._models import MODELS, find_encoder, parameters_of, set_everywhere
from ._runs import Task, load
from ._sets import check_sets

OURS, PLAIN = "skrr2qc", "fine-tuning"
_DEFAULT = 0  # epochs; stands for the head's own number


def add_options(parser):
    """Options of the job."""
    add = parser.add_argument
    add("--set", default="arc", help="default: arc")
    add("--encoder", default="minilm", help="compact, minilm, folder or hub name")
    add("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="default: 0")
    add("--part", choices=["test", "val"], default="val", help="default: val; test: to publish")
    add("--limit-train", type=int, metavar="N", help="train on N rows at most")
    add(
        *("--epochs",), nargs="+", type=int, default=[_DEFAULT], metavar="N",
        help="of our head, a fit each; 0: as many as it takes by itself; default: 0",
    )  # fmt: skip
    add("--plain-epochs", type=int, metavar="N", help="of plain fine-tuning; default: its own")


def cases(options):
    """What is recorded, and what measures it."""
    check_sets([options.set])
    check_least(options, limit_train=3, plain_epochs=1)
    if min(options.epochs) < 0:
        raise ValueError(f"--epochs must be at least 0, got {min(options.epochs)}")
    shown, backbone = find_encoder(options.encoder)
    texts = load(options.set, part=options.part, limit_train=options.limit_train)
    found = []
    for seed in options.seeds:
        task = Task(OURS, seed, backbone, shown, options.device, int(options.verbose))
        fits = [(PLAIN, options.plain_epochs)] + [(OURS, n or None) for n in options.epochs]
        parameters = [parameters_of(_estimator(fit, task, texts), backbone, shown) for fit in fits]
        about = {"measurement": "curve", **texts.describe(), "encoder": shown, "seed": seed}
        about |= {"device": options.device, "epochs": [n for _, n in fits], "fits": parameters}
        found.append((about, partial(_measure, fits, task, texts)))
    return found


def _measure(fits, task, texts, call):
    return call(measure, fits, task, texts)


def measure(fits, task, texts):
    """Each fit in turn, and how soon ours gets to where plain fine-tuning ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Packages that load at first use are not to count as the first model's time.
        RCPTEncoder(task.encoder, n_epochs=0).fit(texts.train[:64]).transform(texts.test[:2])
        points = [_point(fit, task, texts) for fit in fits]
    return {"points": points, **first_to_reach(points), "memory_mib": peak_memory()}


def first_to_reach(points):
    """Seconds of our shortest fit that ranks at least as well as the first point.

    Parameters
    ----------
    points : list of dict
        Plain fine-tuning's, then ours, with ``fit_seconds`` and ``ndcg_at_5``.

    Returns
    -------
    figures : dict
        ``plain_seconds``, and ``seconds_to_reach`` with its ``share_of_plain``, None where none
        of ours does.
    """
    plain, *ours = points
    enough = [p["fit_seconds"] for p in ours if p["ndcg_at_5"] >= plain["ndcg_at_5"]]
    seconds = min(enough, default=None)
    share = None if seconds is None else seconds / plain["fit_seconds"]
    return {
        "plain_seconds": plain["fit_seconds"],
        "seconds_to_reach": seconds,
        "share_of_plain": share,
    }


def _point(fit, task, texts):
    estimator = _estimator(fit, task, texts)
    start = time.perf_counter()
    estimator.fit(texts.train, texts.Y_train)
    seconds = time.perf_counter() - start
    scores = estimator.predict_proba(texts.test)
    history = estimator.head_.history_
    return {
        "model": fit[0],
        "epochs": len(history),
        "fit_seconds": seconds,
        "epoch_seconds": [row["seconds"] for row in history],
        "precision_at_1": precision_at_k(texts.Y_test, scores, 1),
        "ndcg_at_5": ndcg_at_k(texts.Y_test, scores, min(5, texts.Y_test.shape[1])),
    }


def _estimator(fit, task, texts):
    """Both hold out the same share, and neither trains a second time on all rows."""
    model, n_epochs = fit
    estimator = MODELS[model](task.seed, task.encoder, texts.labels)
    set_everywhere(estimator, device=task.device, verbose=task.verbose)
    estimator.set_params(refit=False)
    return estimator if n_epochs is None else estimator.set_params(head__n_epochs=n_epochs)
