"""Folders that are whole at any moment, and nothing read from beside them."""

import json
import os
import stat
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from skrr2qc.persistence import SavedModelError, _disk, load_model, save_model

from .conftest import SAMPLES, reseal

ROOT = Path(__file__).resolve().parents[2]


class Stop(BaseException):
    """As Ctrl-C: no Exception."""


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def model():
    return load_model(SAMPLES / "v1" / "pretrained_head")


# ------------------------------------------------------------------------------------- saving


def test_only_a_model_is_replaced_and_only_when_asked(model, tmp_path):
    folder = tmp_path / "deep" / "model"
    assert save_model(model, folder) == folder
    with pytest.raises(FileExistsError, match="overwrite=True"):
        save_model(model, folder)
    save_model(model, folder, overwrite=True)
    assert listing(folder.parent) == ["model"]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"other things than a model \(notes.txt\)"):
        save_model(model, folder, overwrite=True)
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("names", [["config.json"], ["data.csv"], ["model.safetensors"]])
def test_other_folders_are_left_alone(model, tmp_path, names):
    """A config.json is found in folders of many programs."""
    for name in names:
        (tmp_path / name).write_text("{}")
    before = content(tmp_path)
    with pytest.raises(FileExistsError, match="left as it is"):
        save_model(model, tmp_path, overwrite=True)
    assert content(tmp_path) == before


def test_files_and_empty_folders(model, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="is a file"):
        save_model(model, tmp_path / "file", overwrite=True)
    (tmp_path / "empty").mkdir()
    save_model(model, tmp_path / "empty")
    load_model(tmp_path / "empty")


def test_a_damaged_model_can_be_replaced(model, sample):
    (sample / "model.safetensors").write_bytes(b"")
    save_model(model, sample, overwrite=True)
    load_model(sample)


def test_a_link_to_the_folder_is_followed(model, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "model")
    save_model(model, tmp_path / "model")
    save_model(model, tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    load_model(tmp_path / "link")


def test_mode_of_the_folder_is_kept(model, tmp_path):
    save_model(model, tmp_path / "model")
    os.chmod(tmp_path / "model", 0o750)
    save_model(model, tmp_path / "model", overwrite=True)
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o750


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), Stop()])
@pytest.mark.parametrize("n_calls", range(0, 7))
def test_stopped_at_any_file(model, sample, monkeypatch, error, n_calls):
    """Three files and their folder reach the disk, then its parent: the new model counts."""
    before, calls = content(sample), iter(range(100))

    def fsync(descriptor):
        if next(calls) == n_calls:
            raise error

    monkeypatch.setattr("os.fsync", fsync)
    if n_calls < 5 or (n_calls == 5 and isinstance(error, Stop)):
        with pytest.raises(type(error)) as raised:
            save_model(model, sample, overwrite=True)
        if isinstance(error, OSError):
            assert "still whole. Make room" in str(raised.value)
    else:
        save_model(model, sample, overwrite=True)
    assert (content(sample) == before) == (n_calls < 5)
    load_model(sample)
    assert [name for name in listing(sample.parent) if name.endswith(".tmp")] == []


@pytest.mark.parametrize("n_calls", [0, 1])
def test_stopped_between_renames(model, sample, monkeypatch, n_calls):
    """The one moment without a folder: the old one is aside, and is found there."""
    expected = content(sample)
    rename, calls = Path.rename, iter(range(9))

    def stop(path, target):
        if next(calls) == n_calls:
            raise Stop
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", stop)
    with pytest.raises(Stop):
        save_model(model, sample, overwrite=True)
    monkeypatch.undo()
    assert sample.exists() == (n_calls == 0)
    assert content(_disk.existing_folder(sample)) == expected
    load_model(sample)
    save_model(model, sample, overwrite=True)
    assert listing(sample.parent) == ["model"]


def test_a_rename_that_fails_brings_the_old_model_back(model, sample, monkeypatch):
    expected, rename = content(sample), Path.rename

    def refuse(path, target):
        if path.name.endswith(".tmp"):
            raise OSError("no")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="still whole"):
        save_model(model, sample, overwrite=True)
    assert content(sample) == expected
    assert listing(sample.parent) == ["model"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of a process are those of Unix")
def test_full_disk(sample):
    """A real limit of the system: files of a process may have 20 kB, and the weights have 30."""
    code = (
        "import resource, sys\n"
        "from skrr2qc.persistence import load_model, save_model\n"
        f"model = load_model({str(SAMPLES / 'v1' / 'pretrained_head')!r})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        f"try:\n    save_model(model, {str(sample)!r}, overwrite=True)\n"
        "except OSError as error:\n    print(error)\n"
    )
    expected = content(sample)
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "could not be written" in run.stdout, run.stderr
    assert "The model that was there is still whole. Make room" in run.stdout
    assert content(sample) == expected
    assert listing(sample.parent) == ["model"]


def test_folder_that_must_not_be_written_to(model, sample, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(PermissionError, match="must not be written to"):
        save_model(model, sample, overwrite=True)


def test_parent_that_cannot_be_made(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="could not be written"):
        save_model(model, tmp_path / "file" / "model")


def test_leftovers_are_removed_once_they_are_old(model, tmp_path):
    old, young = (tmp_path / f".model.{digit * 32}.tmp" for digit in "01")
    for path in (old, young):
        path.mkdir()
    os.utime(old, (0, 0))
    save_model(model, tmp_path / "model")
    assert listing(tmp_path) == [young.name, "model"]


# ------------------------------------------------------------------------------------ reading


def test_links_are_not_followed(sample, tmp_path):
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        path, outside = sample / name, tmp_path / f"outside-{name}"
        path.rename(outside)
        path.symlink_to(outside)
        with pytest.raises(SavedModelError, match="is a symbolic link"):
            load_model(sample)
        path.unlink()
        outside.rename(path)
    load_model(sample)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_pipe_does_not_hang(sample, name):
    (sample / name).unlink()
    os.mkfifo(sample / name)
    with pytest.raises(SavedModelError, match="no regular file"):
        load_model(sample)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_missing_files_are_named(sample, name):
    (sample / name).unlink()
    with pytest.raises(SavedModelError, match=f"{name} is missing"):
        load_model(sample)
    (sample / name).mkdir()
    with pytest.raises(SavedModelError, match=f"{name} (cannot be read|is no regular file)"):
        load_model(sample)


def test_no_folder(tmp_path):
    with pytest.raises(SavedModelError, match="is no folder"):
        load_model(tmp_path / "nothing")
    with pytest.raises(SavedModelError, match=r"config.json is missing"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        *("../tokenizer.json", "/etc/passwd", "a/b.json", "..", "config.json", "model.pkl"),
        *("README.md", "tokenizer.json\n", "C:tokenizer.json", "Ä.json", ".json", "a..json"),
    ],
)
def test_names_of_files(name):
    assert not _disk.is_file_name(name)


def test_files_out_of_the_folder(sample):
    outside = sample.parent / "outside.json"
    outside.write_text("{}")
    entry = {"size": 2, "sha256": sha256(b"{}").hexdigest()}
    reseal(sample, lambda config: config["files"].update({"../outside.json": entry}))
    with pytest.raises(SavedModelError, match="do not belong to a model"):
        load_model(sample)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "damaged"),
        ("[]", "no object"),
        ('{"a": 1, "a": 2}', "stands twice"),
        ('{"a": NaN}', "no number"),
        ('{"a": "' + "[" * 500 + '"}', "not that of a saved"),  # brackets in a string are text
        ('{"a": ' + "[" * 500 + "]" * 500 + "}", "levels deep"),
        ('{"a": ' + "9" * 10_000 + "}", "damaged"),
        ('{"format": "something else"}', "not that of a saved"),
        ("\ud800".encode("utf-8", "surrogatepass"), "damaged"),
    ],
)
def test_config_that_is_none(tmp_path, text, message):
    data = text if isinstance(text, bytes) else text.encode()
    (tmp_path / "config.json").write_bytes(data)
    with pytest.raises(SavedModelError, match=message):
        load_model(tmp_path)


def test_config_of_absurd_size(tmp_path):
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(2**40)  # takes no room on the disk
    with pytest.raises(SavedModelError, match="is larger than"):
        load_model(tmp_path)


def test_any_change_of_config_is_found(sample):
    config = json.loads((sample / "config.json").read_text())
    config["metrics"]["P@1"] = 0.99
    (sample / "config.json").write_text(json.dumps(config))
    with pytest.raises(SavedModelError, match="does not say what was written"):
        load_model(sample)
