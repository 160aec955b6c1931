"""Eq. 15 alone: seconds and memory of reranking many texts with many labels."""

import time
from functools import partial

import numpy as np
import scipy.sparse as sp

from skrr2qc.classifiers import rerank_scores

from ._command_line import check_least, here
from ._machine import describe_machine, peak_memory
from ._processes import apart
from ._reranking_variants import Case
from ._retrieval_memory import restart_peak

_META_PER_LABEL = (1, 5)  # the experts' maps have three a label


def add_options(parser):
    """Options of the job."""
    add = parser.add_argument
    add("--n-texts", type=int, default=10_000, help="default: 10000")
    add("--n-labels", type=int, default=4_271, help="default: 4271")
    add("--n-meta", type=int, default=2_000, help="default: 2000")
    add("--repeats", type=int, default=5, help="default: 5")
    add("--seed", type=int, default=0)


def cases(options):
    """What is recorded, and what measures it."""
    from skrr2qc import __version__

    check_least(options, n_texts=1, n_labels=1, n_meta=_META_PER_LABEL[1], repeats=1)
    sizes = {name: getattr(options, name) for name in ("n_texts", "n_labels", "n_meta", "seed")}
    about = {"measurement": "arithmetic", **sizes, "repeats": options.repeats}
    about |= {"version": __version__, "in_process": options.in_process}
    place = here if options.in_process else apart
    title = f"arithmetic, {options.n_texts:,} x {options.n_labels:,} x {options.n_meta:,}"
    return [Case(title, about, partial(place, run, about))]


def run(about):
    """One record, and no rankings."""
    sizes = [about[name] for name in ("n_texts", "n_labels", "n_meta")]
    figures = measure(*sizes, about["repeats"], about["seed"])
    return [{**about, "figures": figures, **describe_machine()}], {}


def measure(n_texts, n_labels, n_meta, repeats, seed=0):
    """Seconds, and memory with the input and above it."""
    rng = np.random.default_rng(seed)
    scores = rng.random((n_texts, n_labels), dtype=np.float32)
    meta_scores = rng.random((n_texts, n_meta), dtype=np.float32)
    label_to_meta = random_map(n_labels, n_meta, rng)
    before, is_exact = restart_peak()
    seconds, growth = [], None
    for _ in range(repeats):
        start = time.perf_counter()
        rerank_scores(scores, meta_scores, label_to_meta)
        seconds.append(time.perf_counter() - start)
        if growth is None:
            peak = peak_memory()
            growth = None if before is None else peak - before
    return {
        "seconds": float(np.median(seconds)),
        "seconds_of_each": seconds,
        "meta_per_label": label_to_meta.nnz / n_labels,
        "peak_mib": peak,
        "growth_mib": growth,
        "is_exact": is_exact,
    }


def random_map(n_labels, n_meta, rng):
    """Each label gets one to five meta-labels; csr_matrix of shape (L, M), {0, 1}."""
    low, high = _META_PER_LABEL
    sizes = rng.integers(low, high + 1, size=n_labels)
    columns = np.concatenate([rng.choice(n_meta, size, replace=False) for size in sizes])
    rows = np.repeat(np.arange(n_labels), sizes)
    ones = np.ones(len(rows), dtype=np.float32)
    return sp.csr_matrix((ones, (rows, columns)), (n_labels, n_meta))
