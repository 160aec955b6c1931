"""RCPTEncoder killed by SIGKILL and taken up again: bit-equal weights; refused checkpoints."""

import json
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from safetensors.torch import load_file

import skrr2qc.encoders._rcpt as rcpt
from skrr2qc import LabelSpace, RCPTEncoder
from skrr2qc._checkpoint import Checkpoint
from skrr2qc._training import TextNet
from skrr2qc.encoders import _ranks
from skrr2qc.testing import make_tiny_texts
from tests.reference.forked_server import Server, serve_jobs, wait_for_signal
from tests.reference.tiny_bert import WORDS, save_tiny_bert

EVERY = 3  # updates; an epoch has four to seven
NAMES = ["circle", "triangle", "equation", "sample"]
PARENTS = {"circle": "geometry", "triangle": "geometry", "equation": "algebra", "geometry": "x"}
PARAMS = {
    "hidden_size": 16,
    "vocab_size": 200,
    "n_epochs": 3,
    "batch_size": 8,
    "label_epochs": 2,
    "rank_weight": 1.0,
    "random_state": 0,
    "checkpoint_steps": EVERY,
}
EARLY = {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 2, "lr": 0.05}
KINDS = {  # what a run may have
    "hierarchy": {},
    "early stopping": EARLY | {"n_epochs": 24, "rank_weight": 0.05, "rank_discount": 1.0},
    "released": {"preset": "released", "positive_share": 1.0},
    "augmented": {"views": "augmented", "variant": "rince", "queue_size": 5, "max_steps": 8},
}
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


def data():
    texts, Y = make_tiny_texts(40)
    Y[3:6] = 0  # some without a label
    return texts, Y


def bert_data():
    texts = [f"{first} of the {second}" for first in WORDS[:7] for second in WORDS[:7]]
    return texts, np.eye(4, dtype=int)[np.arange(49) % 4]


def make_encoder(folder, **params):
    labels = LabelSpace(NAMES, parents=PARENTS)
    return RCPTEncoder(checkpoint_dir=folder, **PARAMS | {"labels": labels} | params)


# ------------------------------------------------------------------------------ killed processes


def serve():
    make_encoder(None, n_epochs=1).fit(*data())  # what a first fit loads is loaded once
    serve_jobs({"fit": run}, load_backbone)


def load_backbone(job):
    if "backbone" in job["params"]:
        RCPTEncoder(job["params"]["backbone"], n_epochs=0).fit(["a text"])


def run(folder, out, params, stop=None, seed=None, most_sets=None):
    """Fit, and save vectors and weights; on the way, wait to be killed if `stop` says where."""
    if stop is not None:
        wait_at(*stop)
    if seed is not None:
        rcpt.draw_seed = lambda random_state: seed
    if most_sets is not None:
        _ranks._MOST_SETS = most_sets
    os.fsync = lambda descriptor: None  # no test cuts the power
    X, Y = bert_data() if "backbone" in params else data()
    encoder = make_encoder(folder, **params).fit(X, Y)
    arrays = {f"weight {n}": t.numpy() for n, t in encoder.backbone_.state_dict().items()}
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in encoder.history_]
    arrays["history"] = np.array(json.dumps(rows))
    arrays["labels"] = encoder.label_embeddings_
    np.savez(out, vectors=encoder.transform(X), **arrays)


def wait_at(place, number):
    """Stop for good once something has happened so many times."""
    owner, name = {
        "commit": (Checkpoint, "save"),
        "tensors": (Checkpoint, "_write_tensors"),  # on the disk, not yet committed
        "label text": (TextNet, "train_step"),
    }[place]
    method, calls = getattr(owner, name), []

    def call(self, *args, **kwargs):
        result = method(self, *args, **kwargs)
        calls.append(self)
        if len(calls) == number:
            assert place != "label text" or self.title == "label texts"
            wait_for_signal()
        return result

    setattr(owner, name, call)


class Fits(Server):
    """The server with its one job, a fit."""

    def fit(self, folder, out, params, **job):
        """Results of a fit that runs to its end."""
        return self.do("fit", out, folder=folder, params=params, **job)

    def fit_and_kill(self, folder, out, params, stop, **job):
        """Fit up to a place, and send SIGKILL there."""
        job |= {"folder": folder, "params": params, "stop": stop}
        said, end = self.send(signal.SIGKILL, "fit", out, **job)
        assert said == []
        assert end == f"ended {-signal.SIGKILL}"
        assert not Path(f"{out}.npz").exists()


@pytest.fixture(scope="module")
def server():
    with Fits("tests.encoders.test_resume") as server:
        yield server


@pytest.fixture(scope="module")
def whole(server, tmp_path_factory):
    """Function that gives the result of a run that nothing interrupts and nothing saves."""
    path, results = tmp_path_factory.mktemp("whole"), {}

    def result(kind):
        if kind not in results:
            results[kind] = server.fit(None, path / kind, KINDS[kind])
        return results[kind]

    return result


def commit_of(folder):
    return json.loads((folder / "checkpoint.json").read_text())


def step_of(folder):
    return commit_of(folder)["state"]["step"]


def assert_same(result, expected):
    assert result.keys() == expected.keys()
    assert any(name.startswith("weight") for name in expected)
    for name in expected:
        assert_array_equal(result[name], expected[name], err_msg=name)


@needs_fork
@pytest.mark.parametrize("kind", KINDS)
def test_killed_within_an_epoch(server, whole, tmp_path, kind):
    """As soon as the checkpoint of step 3 is there, and again in the second epoch."""
    folder, out, params = tmp_path / "run", tmp_path / "out", KINDS[kind]
    for step in (3, 6):  # each is the second that its process commits
        server.fit_and_kill(folder, out, params, ("commit", 2))
        assert step_of(folder) == step
        assert commit_of(folder)["state"]["position"]["in_epoch"] > 0
    assert_same(server.fit(folder, out, params), whole(kind))


@needs_fork
def test_early_stopping_has_stopped_early(whole):
    """Or the test above would not see what it should."""
    rows = json.loads(str(whole("early stopping")["history"]))
    losses = [row["held_out_loss"] for row in rows]
    assert 2 < len(rows) < 24
    assert np.argmin(losses) < len(losses) - 1


@needs_fork
def test_killed_between_tensors_and_commit(server, whole, tmp_path):
    folder, out = tmp_path / "run", tmp_path / "out"
    server.fit_and_kill(folder, out, {}, ("tensors", 3))
    assert step_of(folder) == 3
    assert len(list(folder.glob("*.safetensors"))) == 2
    assert_same(server.fit(folder, out, {}), whole("hierarchy"))
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".safetensors"]


@needs_fork
def test_killed_while_label_texts_are_learned(server, whole, tmp_path):
    """Nothing is saved by then; the same fit begins anew."""
    folder, out = tmp_path / "run", tmp_path / "out"
    server.fit_and_kill(folder, out, {}, ("label text", 2))
    assert not (folder / "checkpoint.json").exists()
    assert_same(server.fit(folder, out, {}), whole("hierarchy"))


@needs_fork
def test_seed_that_nobody_gave_is_kept(server, tmp_path):
    folder, out, params = tmp_path / "run", tmp_path / "out", {"random_state": None}
    server.fit_and_kill(folder, out, params, ("commit", 2))
    seed = commit_of(folder)["extra_state"]["seed"]
    resumed = server.fit(folder, out, params, seed=seed + 1)  # that it would draw is no matter
    assert_same(resumed, server.fit(tmp_path / "other", out, params, seed=seed))
    another = server.fit(tmp_path / "third", out, params, seed=seed + 1)
    assert not np.array_equal(resumed["vectors"], another["vectors"])


@needs_fork
def test_sample_of_label_sets_is_drawn_anew_alike(server, tmp_path):
    """With label vectors from the checkpoint other random numbers came to the sample of sets."""
    out, params = tmp_path / "out", {"ranks": "unique"}
    expected = server.fit(None, tmp_path / "whole", params, most_sets=8)
    server.fit_and_kill(tmp_path / "run", out, params, ("commit", 2), most_sets=8)
    assert_same(server.fit(tmp_path / "run", out, params, most_sets=8), expected)


@needs_fork
def test_pretrained_backbone(server, tmp_path):
    save_tiny_bert(tmp_path / "bert")
    params = {"backbone": str(tmp_path / "bert"), "n_epochs": 1, "lr": 1e-3}
    expected = server.fit(None, tmp_path / "whole", params)
    server.fit_and_kill(tmp_path / "run", tmp_path / "out", params, ("commit", 2))
    assert step_of(tmp_path / "run") == 3
    kept = {name for file in (tmp_path / "run").glob("*.safetensors") for name in load_file(file)}
    layers = {name.split("layer.")[1][0] for name in kept if "initial." in name}
    assert layers == {"2", "3"}  # those that are trained
    assert_same(server.fit(tmp_path / "run", tmp_path / "out", params), expected)


# ------------------------------------------------------------------------------ refused, damaged


@pytest.fixture(autouse=True)
def fsync(monkeypatch):
    """Waiting for the disk is nine tenths of a save here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Stopped(Exception):
    """What ends a run in these tests."""


def fit_and_stop(folder, **params):
    """A run that is interrupted in its fourth update."""
    step, calls = TextNet.train_step, []

    def counted(self, *args, **kwargs):
        if self.title == "pre-training":
            calls.append(self)
        if len(calls) == 4:
            raise Stopped
        return step(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TextNet, "train_step", counted)
        with pytest.raises(Stopped):
            make_encoder(folder, **params).fit(*data())


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Folder of a checkpoint of step 3; leave it as it is."""
    folder = tmp_path_factory.mktemp("stopped")
    fit_and_stop(folder)
    return folder


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


TEXTS, TARGETS = data()
FLIPPED = TARGETS.copy()
FLIPPED[0] = 1 - FLIPPED[0]
OTHER_SPACES = {
    "hierarchy": LabelSpace(NAMES, parents=PARENTS | {"sample": "x"}),
    "texts": LabelSpace(NAMES, parents=PARENTS, texts={"circle": "round"}),
    "flat": LabelSpace(NAMES),
    "none": None,
}


@pytest.mark.parametrize(
    "change, names",
    [
        ({"X": ["?", *TEXTS[1:]]}, ["X and `unlabeled`"]),
        ({"X": TEXTS[::-1]}, ["X and `unlabeled`"]),
        ({"unlabeled": ["one more"]}, ["number of texts", "X and `unlabeled`", "y"]),
        ({"y": FLIPPED}, ["y"]),
        ({"y": None}, ["y"]),
        *[({"labels": labels}, ["labels"]) for labels in OTHER_SPACES.values()],
        ({"lr": 2e-3}, ["lr"]),
        ({"momentum": 0.9}, ["momentum"]),
        ({"n_epochs": 4}, ["n_epochs"]),
        ({"max_steps": 4}, ["max_steps"]),
        ({"random_state": 1}, ["random_state"]),
        ({"weight_decay": 0.0}, ["weight_decay"]),
        ({"hidden_size": 24}, ["hidden_size"]),
        ({"vocab_size": 201}, ["vocab_size"]),
        ({"max_length": 9}, ["max_length"]),
        (
            {"early_stopping": True},
            ["early_stopping", "n_iter_no_change", "validation_fraction"],
        ),
        ({"preset": "paper"}, ["variant", "momentum", "closeness"]),
        ({"preset": "released"}, ["ranks", "set_distance", "positive_share", "label_sets"]),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, list) else None,
)
@pytest.mark.filterwarnings("ignore:.* texts are longer than")
def test_checkpoint_of_another_run_is_refused_by_name(stopped, change, names, monkeypatch):
    monkeypatch.setattr(rcpt, "train_tokenizer", None)
    before = content(stopped)
    change = dict(change)
    X, y = change.pop("X", TEXTS), change.pop("y", TARGETS)
    unlabeled = change.pop("unlabeled", None)
    message = "belongs to other data or parameters.*Set them as they were.*another `checkpoint_dir`"
    with pytest.raises(ValueError, match=message) as raised:
        make_encoder(stopped, **change).fit(X, y, unlabeled)
    found = re.findall(r"`([^:]+)`: checkpoint", str(raised.value))
    assert set(names) <= set(found)
    if "preset" not in change:
        assert found == names
    assert content(stopped) == before


def test_what_changes_no_weight_does_not_count(stopped, tmp_path):
    for path in stopped.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    by_hand = {"preset": "recommended", "closeness": "cos01", "momentum": 0.95}  # as it was
    encoder = make_encoder(tmp_path, device="cpu", checkpoint_steps=2, verbose=1, **by_hand)
    assert len(encoder.fit(tuple(TEXTS), TARGETS.astype(bool)).history_) == 3


def test_folder_may_move_but_a_hub_name_may_not_change(tmp_path, monkeypatch):
    """Models of one name, of two owners on the hub, were taken for the same."""
    save_tiny_bert(tmp_path / "one" / "bert")
    (tmp_path / "two").mkdir()
    load = rcpt.load_pretrained

    def hub(name, *args):
        return load(str(next(tmp_path.glob("*/bert"))), *args)

    monkeypatch.setattr(rcpt, "load_pretrained", hub)
    params = {"n_epochs": 1, "max_steps": 1, "labels": None}
    make_encoder(tmp_path / "a", backbone="one/bert", **params).fit(*bert_data())
    make_encoder(tmp_path / "a", backbone="one/bert", **params).fit(*bert_data())
    with pytest.raises(ValueError, match="`backbone`: checkpoint .*one/bert.*, now .*two/bert"):
        make_encoder(tmp_path / "a", backbone="two/bert", **params).fit(*bert_data())
    backbone = str(tmp_path / "one" / "bert")
    make_encoder(tmp_path / "b", backbone=backbone, **params).fit(*bert_data())
    (tmp_path / "one" / "bert").rename(tmp_path / "two" / "bert")
    monkeypatch.setattr(TextNet, "train_step", None)  # it has finished
    backbone = str(tmp_path / "two" / "bert")
    make_encoder(tmp_path / "b", backbone=backbone, **params).fit(*bert_data())


@pytest.mark.parametrize("file", ["*.safetensors", "checkpoint.json"])
@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:5], lambda b: b""])
def test_half_written_checkpoint(stopped, tmp_path, file, damage, monkeypatch):
    monkeypatch.setattr(rcpt, "train_tokenizer", None)
    for path in stopped.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (path,) = tmp_path.glob(file)
    path.write_bytes(damage(path.read_bytes()))
    before = content(tmp_path)
    with pytest.raises(ValueError, match=rf"checkpoint is damaged: .*{path.name}.*delete the fol"):
        make_encoder(tmp_path).fit(*data())
    assert content(tmp_path) == before


def test_tensors_of_the_checkpoint_are_gone(stopped, tmp_path):
    (tmp_path / "checkpoint.json").write_bytes((stopped / "checkpoint.json").read_bytes())
    with pytest.raises(ValueError, match=r"damaged.*safetensors cannot be read"):
        make_encoder(tmp_path).fit(*data())


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    (tmp_path / "mine.safetensors").write_text("mine")
    make_encoder(tmp_path, max_steps=1).fit(*data())
    assert (tmp_path / "mine.safetensors").read_text() == "mine"


# ------------------------------------------------------------------------------ finished, resumed


def test_initial_weights_are_those_of_the_run_that_began(tmp_path, monkeypatch):
    """The start of the compact backbone may come out with other signs on another processor."""
    make = rcpt.word_vectors
    expected = make_encoder(None).fit(*data())
    fit_and_stop(tmp_path)
    monkeypatch.setattr(rcpt, "word_vectors", lambda *args: -make(*args))
    resumed = make_encoder(tmp_path).fit(*data())
    assert resumed.history_[-1]["epoch"] == expected.history_[-1]["epoch"]
    assert_array_equal(resumed.transform(TEXTS), expected.transform(TEXTS))
    monkeypatch.setattr(TextNet, "train_step", None)
    again = make_encoder(tmp_path).fit(*data())
    assert_array_equal(again.transform(TEXTS), expected.transform(TEXTS))


def test_finished_run_trains_nothing(tmp_path, monkeypatch):
    first = make_encoder(tmp_path).fit(*data())
    monkeypatch.setattr(TextNet, "train_step", None)
    again = make_encoder(str(tmp_path)).fit(*data())  # a Path or a str
    assert_array_equal(again.transform(TEXTS), first.transform(TEXTS))
    assert_array_equal(again.label_embeddings_, first.label_embeddings_)
    assert again.history_ == first.history_


def test_label_texts_are_learned_once(stopped, tmp_path, monkeypatch):
    for path in stopped.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(rcpt, "train_label_vectors", None)
    make_encoder(tmp_path).fit(*data())


def test_no_pretraining_no_checkpoint(tmp_path):
    make_encoder(tmp_path / "none", n_epochs=0).fit(*data())
    assert not (tmp_path / "none").exists()


def test_random_state_object_goes_on_from_the_seed_it_gave(tmp_path):
    state = np.random.RandomState(5)
    expected = make_encoder(None, random_state=np.random.RandomState(5)).fit(*data())
    fit_and_stop(tmp_path, random_state=state)
    resumed = make_encoder(tmp_path, random_state=state).fit(*data())
    assert_array_equal(resumed.transform(TEXTS), expected.transform(TEXTS))
