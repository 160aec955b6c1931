"""Shares of a fit that go to tokens, batches and side losses, and the memory of large predictions.

``python -m benchmarks.costs --out FILE`` appends one JSON line a measurement.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.frozen import FrozenEstimator

from skrr2qc import ClassCenterHead, RCPTEncoder, RetrievalRerankClassifier
from skrr2qc.classifiers import rerank_scores
from skrr2qc.datasets import make_questions
from skrr2qc.losses import class_center_loss
from skrr2qc.text import TokenBatches

from ._machine import describe_machine, peak_memory


def measure_batching(data):
    """Seconds of tokenising and batching beside those of the fit that needs them."""
    encoder = RCPTEncoder(random_state=0).fit(data.texts)
    start = time.perf_counter()
    head = ClassCenterHead(FrozenEstimator(encoder), random_state=0).fit(data.texts, data.Y)
    fit_seconds = time.perf_counter() - start
    start = time.perf_counter()
    ids, _ = encoder.tokenizer_.encode(data.texts)
    tokenising = time.perf_counter() - start
    batches = TokenBatches(ids, data.Y, rng=np.random.default_rng(0))
    start = time.perf_counter()
    for _ in head.history_:
        for _ in batches:
            pass
    batching = time.perf_counter() - start
    return {
        "fit_seconds": fit_seconds,
        "tokenising_seconds": tokenising,
        "batching_seconds": batching,
        "share_percent": 100 * (tokenising + batching) / fit_seconds,
        "step_seconds": sum(row["seconds"] for row in head.history_)
        / (len(head.history_) * len(batches)),
    }


def measure_side_arithmetic(step_seconds, n_labels, n_meta):
    """Class-center loss with its gradient, and Eq. 15, beside one training step of 32 texts."""
    rng = np.random.default_rng(0)
    features = torch.randn(32, 1024, requires_grad=True)
    centers = torch.randn(n_labels, 1024, requires_grad=True)
    Y = torch.from_numpy(rng.random((32, n_labels)) < 2 / n_labels)

    def class_centers():
        class_center_loss(features, Y, centers).backward()

    label_to_meta = sp.random(n_labels, n_meta, density=3 / n_meta, format="csr", random_state=0)
    label_to_meta.data[:] = 1
    scores = rng.random((32, n_labels), dtype=np.float32)
    meta_scores = rng.random((32, n_meta), dtype=np.float32)
    class_center_seconds = _seconds(class_centers)
    rerank_seconds = _seconds(lambda: rerank_scores(scores, meta_scores, label_to_meta))
    return {
        "n_labels": n_labels,
        "step_seconds": step_seconds,
        "class_center_percent": 100 * class_center_seconds / step_seconds,
        "reranking_percent": 100 * rerank_seconds / step_seconds,
    }


def measure_memory(n_texts, n_labels):
    """Growth of the process while the ten best of many labels are predicted for many texts."""
    rng = np.random.default_rng(0)
    texts = [f"word{a} word{b} word{c}" for a, b, c in rng.integers(0, 3000, (n_texts, 3))]
    n_train = 2_000
    columns = np.concatenate([np.arange(n_labels), rng.integers(0, n_labels, n_train - n_labels)])
    Y = sp.csr_matrix((np.ones(n_train), (np.arange(n_train), columns)), (n_train, n_labels))
    clf = RetrievalRerankClassifier(
        head=ClassCenterHead(n_epochs=1), lexical=None, refit=False, random_state=0
    )
    clf.fit(texts[:n_train], Y)
    clf.predict_topk(texts[:64], k=10)
    before = peak_memory()
    start = time.perf_counter()
    clf.predict_topk(texts, k=10)
    return {
        "n_texts": n_texts,
        "n_labels": n_labels,
        "seconds": time.perf_counter() - start,
        "peak_mib_before": before,
        "growth_mib": peak_memory() - before,
    }


def _seconds(function, repeats=50):
    function()
    durations = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        durations.append(time.perf_counter() - start)
    return float(np.median(durations))


def main(arguments=None):
    """Measure, print, and append to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n-texts", type=int, default=20_000)
    parser.add_argument("--n-train", type=int, default=2_000)
    options = parser.parse_args(arguments)
    data = make_questions(options.n_train, random_state=0)
    results = {"memory": measure_memory(options.n_texts, 1_000), "batching": measure_batching(data)}
    step_seconds = results["batching"]["step_seconds"]
    results["side_arithmetic"] = measure_side_arithmetic(step_seconds, 1_000, 500)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("a", encoding="utf-8") as file:
        for name, figures in results.items():
            record = {"measurement": name, **figures, **describe_machine()}
            file.write(json.dumps(record) + "\n")
            print(name, json.dumps(figures))


if __name__ == "__main__":
    main()
