"""Models to save and load: the committed samples, which take a moment to load."""

import json
import shutil
from pathlib import Path

import pytest

SAMPLES = Path(__file__).resolve().parents[1] / "data" / "saved_models"


def reseal(folder, change=lambda config: None, *, files=()):
    """Change config.json, and make every size and digest true again, as an attacker would."""
    from hashlib import sha256

    from skrr2qc.persistence._disk import checksum

    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    for name in files or config["files"]:
        data = (folder / name).read_bytes()
        config["files"][name] = {"size": len(data), "sha256": sha256(data).hexdigest()}
    change(config)
    config["checksum"] = checksum(config)
    path.write_text(json.dumps(config), encoding="utf-8")


@pytest.fixture
def sample(tmp_path):
    """Copy of a committed model, to be damaged."""
    return Path(shutil.copytree(SAMPLES / "v1" / "composite", tmp_path / "model"))


@pytest.fixture
def pretrained_sample(tmp_path):
    """The same of a head on a network of transformers."""
    return Path(shutil.copytree(SAMPLES / "v1" / "pretrained_head", tmp_path / "pretrained"))


@pytest.fixture(autouse=True)
def fsync(request, monkeypatch):
    """Waiting for the disk is most of a save here, and no test cuts the power."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
