"""Memory of fits and predictions with thousands of labels, each in a process of its own."""

import time
import warnings
from functools import partial
from pathlib import Path

from skrr2qc import RetrievalRerankClassifier

from ._command_line import check_least
from ._machine import peak_memory
from ._models import MODELS, find_encoder, parameters_of, set_everywhere
from ._pretraining_costs import GENERATED_WORDS, generated_data
from ._runs import load
from ._sets import check_sets

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_PEAK_TO_CURRENT = "5"  # as the manual page of proc says
_N_WARM_UP = 64
_MODEL = "skrr2qc"


def add_options(parser):
    """Options of the job."""
    add = parser.add_argument
    add("--set", metavar="SET", help="a real set, such as eurlex57k; default: generated texts")
    add("--limit-train", type=int, metavar="N", help="N rows of the set at most")
    add("--n-texts", type=int, default=45_000, help="generated; default: 45000")
    add("--n-labels", type=int, default=4_271, help="generated; default: 4271")
    add("--length", choices=list(GENERATED_WORDS), default="long", help="of generated texts")
    add("--encoder", default="compact", help="compact, minilm, folder or hub name")
    add("--epochs", type=int, metavar="N", help="of the head; fewer take as much memory")
    add("--k", type=int, default=5, help="labels a text of predict_topk; default: 5")
    add("--block", type=int, default=2_048, help="texts a call of predict_proba; default: 2048")
    add("--seed", type=int, default=0)


def cases(options):
    """What is recorded, and what measures it."""
    check_least(options, n_texts=30, n_labels=10, epochs=1, k=1, block=1, limit_train=3)
    shown, backbone = find_encoder(options.encoder)
    if options.set is not None:
        check_sets([options.set])
        source = {"set": options.set, "limit_train": options.limit_train}
    else:
        source = {"set": "generated", "n_texts": options.n_texts, "n_labels": options.n_labels}
        source["length"] = options.length
    case = {name: getattr(options, name) for name in ("seed", "device", "epochs", "k", "block")}
    estimator = _estimator(backbone, None, case)
    about = {"measurement": "memory", **source, "encoder": shown, **case}
    about["parameters"] = parameters_of(estimator, backbone, shown)
    return [(about, partial(measure, source, backbone, case))]


def measure(source, backbone, case, call):
    """A fit, then either way to predict for its texts; `call` runs each, best apart."""
    fitted, estimator = call(measure_fit, source, backbone, case)
    topk = call(measure_prediction, estimator, case, "topk")
    return {**fitted, **topk, **call(measure_prediction, estimator, case, "proba")}


def measure_fit(source, backbone, case):
    """Figures, and the fitted classifier, which holds its texts."""
    labels, texts, Y = _data(source)
    estimator = _estimator(backbone, labels, case)
    start_memory, _ = restart_peak()
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(texts, Y)
    figures = {
        "n_train": len(texts),
        "labels": Y.shape[1],
        "labels_per_text": Y.nnz / len(texts),
        "start_mib": start_memory,  # packages, texts and targets
        "fit_seconds": time.perf_counter() - start,
        "fit_peak_mib": peak_memory(),
    }
    return figures, estimator


def measure_prediction(estimator, case, method):
    """Peak memory of predicting for the training texts, and what it is above the model."""
    texts = estimator.train_texts_
    calls = {"topk": partial(_topk, case["k"]), "proba": partial(_proba, case["block"])}
    predict = calls[method]
    predict(estimator, texts[:_N_WARM_UP])
    before, is_exact = restart_peak()
    start = time.perf_counter()
    predict(estimator, texts)
    seconds, peak = time.perf_counter() - start, peak_memory()
    return {
        f"{method}_seconds": seconds,
        f"{method}_peak_mib": peak,
        f"{method}_above_model_mib": None if before is None else peak - before,
        f"{method}_is_exact": is_exact,  # else an upper bound: the peak of loading counts, too
    }


def restart_peak():
    """Let `peak_memory` begin anew where the system can.

    Returns
    -------
    current : float or None
        Resident memory now, in MiB; None where nobody counts it.
    is_exact : bool
        Whether peaks from now on are those of what comes now.
    """
    try:
        _RESET.write_text(_PEAK_TO_CURRENT)
        is_exact = True
    except OSError:
        is_exact = False
    if not _STATUS.is_file():
        return None, False
    lines = _STATUS.read_text().splitlines()
    current = next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))
    return current, is_exact


def _topk(k, estimator, texts):
    estimator.predict_topk(texts, k=k)


def _proba(block, estimator, texts):
    for start in range(0, len(texts), block):
        estimator.predict_proba(texts[start : start + block])


def _data(source):
    if source["set"] == "generated":
        data = generated_data(source["length"], source["n_labels"], source["n_texts"])
        return data.labels, data.texts, data.Y
    texts = load(source["set"], limit_train=source["limit_train"])
    return texts.labels, texts.train, texts.Y_train


def _estimator(backbone, labels, case) -> RetrievalRerankClassifier:
    estimator = MODELS[_MODEL](case["seed"], backbone, labels)
    set_everywhere(estimator, device=case["device"])
    return estimator.set_params(head__n_epochs=case["epochs"])
