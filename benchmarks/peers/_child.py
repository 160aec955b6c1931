"""What the scripts of this folder share: files in, files out, and what the work cost.

A script runs in an environment of its own, without skrr2qc: ``python run_NAME.py fit FOLDER`` and
``python run_NAME.py predict FOLDER``. In the folder lie ``task.json`` (parameters, seed,
n_threads, encoder) and, for fit, ``train`` and ``labels.npz``, for predict ``input``: features as
sparse ``.npz``, texts as ``.json``. The script keeps its model in ``model`` and leaves
``costs.json`` and, of predict, ``scores.npz``: sparse, a row for a text, a column for a label.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

import scipy.sparse as sp


def main(fit, save, load, score, prepare=None):
    """Do what the command line says with functions of the same `task` and folder `model`.

    Parameters
    ----------
    fit : callable
        ``(X, Y, task, model) -> trained``; what is measured.
    save : callable or None
        ``(trained, model) -> None``; None where fitting itself leaves the model in its folder.
    load : callable
        ``(task, model) -> trained``
    score : callable
        ``(trained, X, task) -> scores`` of shape (n, L), dense or sparse; what is measured.
    prepare : callable, default=None
        ``(X, Y, model) -> X`` before the clock of `fit` starts: another form of the same input.
    """
    _end_with_parent()
    job, folder = sys.argv[1], Path(sys.argv[2])
    task, model = _read_json(folder / "task.json"), folder / "model"
    if job == "fit":
        X, Y = _read(folder, "train"), sp.csr_matrix(sp.load_npz(folder / "labels.npz"))
        X = X if prepare is None else prepare(X, Y, model)
        trained, costs = _measure(fit, X, Y, task, model)
        if save is not None:
            save(trained, model)
    else:
        X, trained = _read(folder, "input"), load(task, model)
        scores, costs = _measure(score, trained, X, task)
        sp.save_npz(folder / "scores.npz", sp.csr_matrix(scores, dtype="float32"))
    (folder / "costs.json").write_text(json.dumps(costs), encoding="utf-8")


def pairs_to_csr(rows, n_labels):
    """Scores of shape (n, L) of lists of (label, score), one a text."""
    lengths = [len(row) for row in rows]
    entries = [pair for row in rows for pair in row]
    labels, values = zip(*entries, strict=True) if entries else ((), ())
    indptr = [0]
    for length in lengths:
        indptr.append(indptr[-1] + length)
    return sp.csr_matrix((values, labels, indptr), shape=(len(rows), n_labels))


def _measure(function, *arguments):
    start, start_processor = time.perf_counter(), time.process_time()
    result = function(*arguments)
    costs = {
        "seconds": time.perf_counter() - start,
        "processor_seconds": time.process_time() - start_processor,  # of all threads
        "memory_mib": _peak_memory(),
    }
    return result, costs


def _read(folder, name):
    features = folder / f"{name}.npz"
    if features.is_file():
        return sp.csr_matrix(sp.load_npz(features))
    return _read_json(folder / f"{name}.json")


def _read_json(file):
    return json.loads(file.read_text(encoding="utf-8"))


def _peak_memory():
    """Largest resident memory of this process so far, in MiB; None where nobody counts it."""
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss would hold what the parent had at the time of the fork
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _end_with_parent():
    """Leave when standard input closes: hours of training outlive nobody who waits for them."""

    def wait():
        while os.read(0, 1):  # no buffer, whose lock would be held at the end
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
