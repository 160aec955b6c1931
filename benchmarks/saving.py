"""Seconds and bytes of saved models, whole and in half precision, and of a start from one.

``python -m benchmarks.saving --out FILE`` appends two JSON lines: one of a fitted classifier, and
one of its encoder by itself.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors import safe_open

from skrr2qc.datasets import make_questions
from skrr2qc.metrics import precision_at_k
from skrr2qc.persistence import load_model, save_model

from ._machine import describe_machine
from ._models import find_encoder
from ._records import append_record
from .serving import fit_model

_ROOT = Path(__file__).resolve().parents[1]
_FLOATS = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}  # bytes of a number
_START = """
import json, sys, time
times = [time.perf_counter()]
from skrr2qc.persistence import load_model
times.append(time.perf_counter())
model = load_model(sys.argv[1])
times.append(time.perf_counter())
model.predict_proba(["Solve x^2 = 4."])
times.append(time.perf_counter())
print(json.dumps(times))
"""


def measure_seconds(estimator, folder, n_times):
    """Seconds of saving and of loading, median and least; the model stays in `folder`."""
    save, load = [], []
    for _ in range(n_times):
        times = [time.perf_counter()]
        save_model(estimator, folder, overwrite=True)
        times.append(time.perf_counter())
        load_model(folder)
        times.append(time.perf_counter())
        save.append(times[1] - times[0])
        load.append(times[2] - times[1])
    return _summary("save_seconds", save) | _summary("load_seconds", load)


def measure_bytes(full, half):
    """Bytes of two folders, and of the numbers that one holds, by themselves and to each other.

    Parameters are all floating-point arrays: weights of networks and of linear models, vectors of
    training texts. Words, texts, tokenizers, and where a sparse array has its numbers are not.
    """
    parameters, whole, halved = _parameter_bytes(full), _folder_bytes(full), _folder_bytes(half)
    return {
        "parameter_bytes": parameters,
        "folder_bytes": whole,
        "half_folder_bytes": halved,
        "folder_by_parameters": whole / parameters,
        "half_by_parameters": halved / parameters,
        "half_by_full": halved / whole,
    }


def measure_quality(classifier, half, questions):
    """P@1 of a classifier before and after it was saved in half precision."""
    before = classifier.predict_proba(list(questions.texts))
    after = load_model(half).predict_proba(list(questions.texts))
    return {
        "n_texts": len(before),
        "precision_at_1": precision_at_k(questions.Y, before, 1),
        "half_precision_at_1": precision_at_k(questions.Y, after, 1),
        "half_changed_best": int((before.argmax(axis=1) != after.argmax(axis=1)).sum()),
    }


def measure_start(folder, n_times):
    """Seconds from the first import of a fresh interpreter to the first prediction."""
    command = [sys.executable, "-c", _START, str(folder)]
    starts = []
    for _ in range(n_times):
        said = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True)
        starts.append(json.loads(said.stdout.splitlines()[-1]))
    parts = dict(zip(("import", "load", "predict"), np.diff(starts).T, strict=True))
    parts["all"] = np.ptp(starts, axis=1)
    figures = [_summary(f"start_{name}_seconds", seconds) for name, seconds in parts.items()]
    return {name: value for figure in figures for name, value in figure.items()}


def _summary(name, seconds):
    return {name: float(np.median(seconds)), f"{name}_least": float(np.min(seconds))}


def _folder_bytes(folder):
    return sum(path.stat().st_size for path in Path(folder).iterdir())


def _parameter_bytes(folder):
    total = 0
    with safe_open(Path(folder) / "model.safetensors", "np") as file:
        for name in file.keys():  # noqa: SIM118, it is no dict
            tensor = file.get_slice(name)
            total += _FLOATS.get(tensor.get_dtype(), 0) * int(np.prod(tensor.get_shape()))
    return total


def main(arguments=None):
    """Measure, print, and append to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--backbone", default="compact", help="or minilm, or a folder")
    parser.add_argument("--dtype", default="float16", choices=["float16", "bfloat16"])
    parser.add_argument("--n-times", type=int, default=15, help="of saving and loading")
    parser.add_argument("--n-starts", type=int, default=3, help="of a fresh interpreter")
    parser.add_argument("--n-texts", type=int, default=2_000, help="that P@1 is measured on")
    parser.add_argument("--n-train", type=int, default=1_000)
    parser.add_argument("--n-labels", type=int, default=100)
    parser.add_argument("--n-epochs", type=int, default=2)
    options = parser.parse_args(arguments)
    shown, backbone = find_encoder(options.backbone)
    classifier = fit_model(backbone, options.n_train, options.n_labels, options.n_epochs)
    test = make_questions(options.n_texts, n_labels=options.n_labels, random_state=1)
    about = {"backbone": shown, "n_labels": options.n_labels, "half": options.dtype}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for saved, estimator in {"classifier": classifier, "encoder": classifier.encoder_}.items():
        with tempfile.TemporaryDirectory() as place:
            full, half = Path(place, "full"), Path(place, "half")
            figures = measure_seconds(estimator, full, options.n_times)
            save_model(estimator, half, dtype=options.dtype)
            figures |= measure_bytes(full, half)
            if saved == "classifier":
                figures |= measure_quality(classifier, half, test)
                figures |= measure_start(full, options.n_starts)
        record = {"measurement": "saving", "saved": saved, **about, **figures}
        print(record)
        append_record(options.out, record | describe_machine())


if __name__ == "__main__":
    main()
