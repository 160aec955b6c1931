"""Damage of any kind to saved models and checkpoints: a clear error, or the same model."""

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from skrr2qc._checkpoint import Checkpoint
from skrr2qc.persistence import SavedModelError, load_model

from .conftest import SAMPLES, reseal

ROOT = Path(__file__).resolve().parents[2]
CHUNK = 25  # damages a test tries on one copy of the folder


def flip(data, rng):
    data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    return data


def overwrite(data, rng):
    start, stop = _range(data, rng, 16)
    data[start:stop] = rng.bytes(stop - start)
    return data


def cut_end(data, rng):
    return data[: rng.integers(len(data))]


def cut_out(data, rng):
    start, stop = _range(data, rng, 64)
    return data[:start] + data[stop:]


def repeat(data, rng):
    start, stop = _range(data, rng, 64)
    return data[:stop] + data[start:]


def swap(data, rng):
    """Two stretches of equal length change places."""
    n = int(rng.integers(1, 9))
    if len(data) < 2 * n:
        return data[::-1]
    one = int(rng.integers(len(data) - 2 * n + 1))
    other = int(rng.integers(one + n, len(data) - n + 1))
    data[one : one + n], data[other : other + n] = data[other : other + n], data[one : one + n]
    return data


def append(data, rng):
    return data + rng.bytes(rng.integers(1, 40))


DAMAGES = [flip, overwrite, cut_end, cut_out, repeat, swap, append]


def _range(data, rng, longest):
    start = int(rng.integers(len(data)))
    return start, min(len(data), start + int(rng.integers(1, longest + 1)))


def damaged_files(folder, seed, n_damages):
    """Damage one file after the other; each is whole again before the next."""
    rng = np.random.default_rng(seed)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for _ in range(n_damages):
        path, damage = files[rng.integers(len(files))], DAMAGES[rng.integers(len(DAMAGES))]
        whole = path.read_bytes()
        data = bytes(damage(bytearray(whole), rng))
        path.write_bytes(data)
        yield f"{damage.__name__} {path.name} of seed {seed}", path, data == whole
        path.write_bytes(whole)


def attempt(call, error_type):
    """What a call returns, and None; or None, and the message of the one error it may raise."""
    try:
        return call(), None
    except error_type as error:
        return None, str(error)


def load_and_ask(folder):
    """Load a model whose content an attacker chose; the answer may be anything but a crash."""
    loaded, message = attempt(lambda: load_model(folder), SavedModelError)
    if message is None:
        usual = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError)
        attempt(lambda: loaded.predict_proba(["area of a circle"]), usual)


# ------------------------------------------------------------------------------ saved models


def model_fuzz(folder, seeds, n_damages=CHUNK):
    texts = json.loads((SAMPLES / "v1" / "composite.json").read_text("utf-8"))["texts"]
    expected = load_model(folder).predict_proba(texts)
    n_refused = 0
    for seed in seeds:
        for name, path, is_same in damaged_files(folder, seed, n_damages):
            loaded, message = attempt(lambda: load_model(folder), SavedModelError)
            if message:
                assert str(folder) in message, name
                assert path.name != "README.md", name  # for people; nothing is read from it
                assert not is_same, name
                n_refused += 1
            else:
                assert_array_equal(loaded.predict_proba(texts), expected, err_msg=name)
    return n_refused


def test_damaged_models(sample):
    assert model_fuzz(sample, range(6)) > 100  # of 150; a fifth of them hits the model card


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 180, 10))
def test_damaged_models_at_length(sample, first):
    assert model_fuzz(sample, range(first, first + 10)) > 170  # of 250, eight times


def sealed_fuzz(folder, seeds, n_damages=CHUNK):
    """Damage under digests that fit: what an attacker can do, so scores may differ, or fail."""
    for seed in seeds:
        copies = shutil.copytree(folder, folder.parent / f"{folder.name}{seed}")
        config = (folder / "config.json").read_bytes()
        for _, path, _ in damaged_files(copies, seed, n_damages):
            _, message = attempt(partial(reseal, copies), ValueError)
            if message:  # no JSON any more
                continue
            load_and_ask(copies)
            if path.name != "config.json":
                (copies / "config.json").write_bytes(config)


@pytest.mark.filterwarnings("ignore")
def test_damaged_models_with_digests_that_fit(sample):
    sealed_fuzz(sample, range(2))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("first", [100, 120])
def test_damaged_models_with_digests_that_fit_at_length(sample, pretrained_sample, first):
    sealed_fuzz(sample, range(first, first + 20))
    sealed_fuzz(pretrained_sample, range(first + 10, first + 20))


# ------------------------------------------------------------------------------ config of JSON


def mutated(value, rng):
    """Another JSON value in one place of a structure."""
    others = [None, True, -1, 0, 10**12, 1e308, "", "x", "../x", [], {}, [[]], {"$": "object"}]
    containers = []

    def collect(item):
        if isinstance(item, (dict, list)) and item:
            containers.append(item)
            for inner in item.values() if isinstance(item, dict) else item:
                collect(inner)

    collect(value)
    container = containers[rng.integers(len(containers))]
    keys = list(container) if isinstance(container, dict) else range(len(container))
    key = keys[rng.integers(len(keys))]
    if rng.random() < 0.2:
        del container[key]
    else:
        container[key] = others[rng.integers(len(others))]


def structure_fuzz(folder, seeds):
    path = folder / "config.json"
    whole = path.read_text("utf-8")
    for seed in seeds:
        config = json.loads(whole)
        mutated(config["objects"], np.random.default_rng(seed))
        path.write_text(json.dumps(config), encoding="utf-8")
        reseal(folder)
        load_and_ask(folder)
    path.write_text(whole, encoding="utf-8")


@pytest.mark.filterwarnings("ignore")
def test_any_json_in_any_place(sample, pretrained_sample):
    structure_fuzz(sample, range(20))
    structure_fuzz(pretrained_sample, range(20))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_any_json_in_any_place_at_length(sample, pretrained_sample):
    structure_fuzz(sample, range(100, 900))
    structure_fuzz(pretrained_sample, range(100, 900))


# ------------------------------------------------------------------------------------- memory

MEMORY = """
import resource, shutil, sys
from pathlib import Path
import numpy as np
from skrr2qc.persistence import SavedModelError, load_model

def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

folder, copy = Path(sys.argv[1]), Path(sys.argv[1] + "-copy")
load_model(sys.argv[2])  # what any first load takes
rng, before = np.random.default_rng(0), peak()
for i in range(60):
    shutil.copytree(folder, copy)
    path = copy / ("model.safetensors" if i % 3 else "config.json")
    size = path.stat().st_size
    with path.open("r+b") as file:  # no more than a few bytes are in memory
        file.seek(int(rng.integers(size)) if i % 2 else int(rng.integers(200)))
        file.write(rng.bytes(3)) if i % 5 else file.truncate()
    try:
        load_model(copy if i else folder)
    except SavedModelError:
        pass
    shutil.rmtree(copy)
print(sum(path.stat().st_size for path in folder.iterdir()), peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss differs")
def test_memory_stays_within_twice_the_file(tmp_path):
    """Of whole and of damaged models, in a process of their own."""
    from skrr2qc import RCPTEncoder

    rng = np.random.default_rng(0)
    words = [f"{a}{b}" for a in "bcdfghjklmnp" for b in "aeiouyrst"]
    texts = [" ".join(rng.choice(words, 6)) + str(i) for i in range(400)]
    encoder = RCPTEncoder(hidden_size=4096, vocab_size=2000, n_epochs=0, random_state=0).fit(texts)
    encoder.save(tmp_path / "model")
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "model"), str(SAMPLES / "v1" / "composite")],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    size, used = map(int, run.stdout.split())
    assert size > 15e6
    assert used < 2 * size


# -------------------------------------------------------------------------------- checkpoints


def checkpoint_fuzz(folder, seeds, n_damages=CHUNK):
    fingerprint = {"lr": 0.1, "texts": "abc", "names": ["a", "b"]}
    rng = np.random.default_rng(0)
    tensors = {name: torch.from_numpy(rng.normal(size=(3, 40))) for name in ("weight", "moment")}
    state = {"step": 120, "losses": [0.5, 0.25], "rng": list(range(40)), "is_done": False}
    written = Checkpoint(folder, fingerprint, 10)
    written.extra_state["seed"] = 7
    written.save(tensors, state)
    n_refused = 0
    for seed in seeds:
        for name, path, is_same in damaged_files(folder, seed, n_damages):
            checkpoint = Checkpoint(folder, fingerprint, 10)
            loaded, message = attempt(checkpoint.load, ValueError)
            if message:
                assert str(folder) in message, name
                assert not is_same, name
                n_refused += 1
            else:
                found, found_state = loaded
                assert found_state == state, name
                assert checkpoint.extra_state == {"seed": 7}, name
                assert found.keys() == tensors.keys(), name
                for key, tensor in tensors.items():
                    assert torch.equal(found[key], tensor), name
            assert path.exists(), name
    return n_refused


def test_damaged_checkpoints(tmp_path):
    assert checkpoint_fuzz(tmp_path / "run", range(6)) > 130  # of 150


@pytest.mark.slow
def test_damaged_checkpoints_at_length(tmp_path):
    assert checkpoint_fuzz(tmp_path / "run", range(100, 180)) > 1800  # of 2,000


def test_the_damages_themselves():
    """Each changes something now and then, and none breaks down on a short file."""
    for damage in DAMAGES:
        changed = 0
        for seed in range(20):
            rng = np.random.default_rng(seed)
            data = bytes(rng.bytes(1 + seed))
            changed += bytes(damage(bytearray(data), rng)) != data
        assert changed >= 5, damage.__name__
