"""`save` and `load` as methods, and the hub by a stand-in: nothing here is ever uploaded."""

import shutil
from pathlib import Path

import pytest
from numpy.testing import assert_array_equal

from skrr2qc import ClassCenterHead, TfidfLinearClassifier
from skrr2qc.persistence import SavedModelMixin

TEXTS, Y = ["area of a circle", "mean of a sample"] * 4, [[1, 0], [0, 1]] * 4


@pytest.fixture(scope="module")
def fitted():
    return TfidfLinearClassifier(C=1.0, random_state=0).fit(TEXTS, Y)


def test_methods(fitted, tmp_path):
    folder = fitted.save(tmp_path / "model", metrics={"P@1": 1.0})
    loaded = TfidfLinearClassifier.load(folder)
    assert_array_equal(loaded.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
    assert SavedModelMixin.load(folder).C == 1.0
    with pytest.raises(TypeError, match="holds a TfidfLinearClassifier, no ClassCenterHead"):
        ClassCenterHead.load(folder)


class Hub:
    """What is used of huggingface_hub.HfApi, with folders in place of repositories."""

    root = None
    calls = []

    def __init__(self, token=None):
        self.calls.append(("token", token))

    def create_repo(self, repo_id, *, private, exist_ok):
        self.calls.append(("create", repo_id, private, exist_ok))

    def upload_folder(self, *, repo_id, folder_path, commit_message):
        self.calls.append(("upload", repo_id, commit_message))
        shutil.copytree(folder_path, self.root / repo_id)
        return f"https://hub/{repo_id}"

    def snapshot_download(self, repo_id, *, revision, local_dir, allow_patterns):
        self.calls.append(("download", repo_id, revision))
        shutil.copytree(self.root / repo_id, local_dir, dirs_exist_ok=True)
        (Path(local_dir) / ".cache").mkdir()


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    monkeypatch.setattr(Hub, "root", tmp_path)
    monkeypatch.setattr(Hub, "calls", [])
    return Hub


def test_hub(fitted, hub, tmp_path):
    url = fitted.push_to_hub("ann/model", token="t", metrics={"P@1": 1.0})
    assert url == "https://hub/ann/model"
    assert hub.calls[:2] == [("token", "t"), ("create", "ann/model", True, True)]
    assert hub.calls[2] == ("upload", "ann/model", "TfidfLinearClassifier saved by skrr2qc")
    assert sorted(path.name for path in (tmp_path / "ann/model").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    loaded = TfidfLinearClassifier.from_hub("ann/model", revision="abc")
    assert hub.calls[-1] == ("download", "ann/model", "abc")
    assert_array_equal(loaded.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
    with pytest.raises(TypeError, match="ann/model holds a TfidfLinearClassifier"):
        ClassCenterHead.from_hub("ann/model")


def test_what_the_stand_in_has_is_there_in_the_library():
    """Names and parameters of the real class; nothing is called."""
    import inspect

    from huggingface_hub import HfApi

    for name in ("create_repo", "upload_folder", "snapshot_download"):
        real = inspect.signature(getattr(HfApi, name)).parameters
        assert inspect.signature(getattr(Hub, name)).parameters.keys() <= real.keys()
