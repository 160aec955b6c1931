"""Latency of one text, throughput of many, and of threads that share one model.

``python -m benchmarks.serving --out FILE`` appends one JSON line a backbone.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from skrr2qc import ClassCenterHead, RCPTEncoder, RetrievalRerankClassifier
from skrr2qc.datasets import make_questions

from ._machine import describe_machine, peak_memory
from ._records import append_record

K = 5


def fit_model(backbone, n_train, n_labels, n_epochs):
    """A classifier with every channel and reranking; how well it learned does not matter here."""
    data = make_questions(n_train, n_labels=n_labels, random_state=0)
    classifier = RetrievalRerankClassifier(
        RCPTEncoder(backbone, n_epochs=0),
        ClassCenterHead(n_epochs=n_epochs),
        labels=data.labels,
        refit=False,
        random_state=0,
    )
    return classifier.fit(list(data.texts), data.Y)


def measure_latency(classifier, texts):
    """Milliseconds of a request of one text; the first call, which is slower, left out."""
    classifier.predict_topk(texts[:1], k=K)
    milliseconds = [1000 * _seconds(classifier, [text]) for text in texts]
    median, late = np.percentile(milliseconds, [50, 95])
    return {"one_text_ms": float(median), "one_text_ms_95_percent": float(late)}


def measure_throughput(classifier, texts, n_batch=64):
    """Texts a second: all in one call, and in calls of 64."""
    before = peak_memory()
    whole = _seconds(classifier, texts)
    growth = None if before is None else peak_memory() - before
    calls = [texts[i : i + n_batch] for i in range(0, len(texts), n_batch)]
    in_calls = sum(_seconds(classifier, call) for call in calls)
    return {
        "n_texts": len(texts),
        "texts_per_second": len(texts) / whole,
        "texts_per_second_in_calls_of_64": len(texts) / in_calls,
        "growth_mib": growth,
    }


def measure_threads(classifier, texts, n_threads=8):
    """Requests of one text each a second, from threads at the same time."""
    with ThreadPoolExecutor(n_threads) as pool:
        start = time.perf_counter()
        list(pool.map(lambda text: classifier.predict_topk([text], k=K), texts))
        seconds = time.perf_counter() - start
    return {"n_threads": n_threads, "requests_per_second": len(texts) / seconds}


def _seconds(classifier, texts):
    start = time.perf_counter()
    classifier.predict_topk(texts, k=K)
    return time.perf_counter() - start


def main(arguments=None):
    """Measure, print, and append to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--backbone", default="compact", help="or the folder of an encoder")
    parser.add_argument("--n-texts", type=int, default=10_000)
    parser.add_argument("--n-requests", type=int, default=200)
    parser.add_argument("--n-train", type=int, default=1_000)
    parser.add_argument("--n-labels", type=int, default=100)
    parser.add_argument("--n-epochs", type=int, default=1)
    options = parser.parse_args(arguments)
    classifier = fit_model(options.backbone, options.n_train, options.n_labels, options.n_epochs)
    questions = make_questions(options.n_texts, n_labels=options.n_labels, random_state=1)
    texts = list(questions.texts)
    some = texts[: options.n_requests]
    record = {
        "measurement": "serving",
        "backbone": "compact" if options.backbone == "compact" else Path(options.backbone).name,
        "n_labels": options.n_labels,
        **measure_latency(classifier, some),
        **measure_throughput(classifier, texts),
        **measure_threads(classifier, some),
        **describe_machine(),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    append_record(options.out, record)
    print({name: value for name, value in record.items() if name not in ("versions", "machine")})


if __name__ == "__main__":
    main()
