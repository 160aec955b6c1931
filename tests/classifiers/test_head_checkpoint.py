"""ClassCenterHead stopped and taken up again; kills at random moments are in test_interrupted."""

import json
import os
import pickle
import re

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.utils.fixes import parse_version

from skrr2qc import ClassCenterHead, LabelSpace, RCPTEncoder
from skrr2qc._training import TextNet
from skrr2qc.classifiers._head_checkpoint import _content, _content_hash
from skrr2qc.losses import multilabel_cross_entropy
from skrr2qc.testing import make_tiny_texts, tiny_encoder
from tests.reference.tiny_bert import WORDS, save_tiny_bert

NAMES = ["circle", "triangle", "equation", "sample"]
PARENTS = {"circle": "geometry", "triangle": "geometry", "equation": "algebra", "geometry": "x"}
META = {"circle": ["round"], "triangle": ["angular", "flat"], "sample": ["flat"]}
LABELS = LabelSpace(NAMES, parents=PARENTS, meta_labels=META)
TEXTS, Y = make_tiny_texts(40)
FEATURES = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
WIDE = sp.random(40, 600, density=0.05, format="csr", dtype=np.float32, random_state=0)
CLASSES = np.array(["a", "b", "c"])[np.arange(40) % 3]
SMALL = {"n_epochs": 3, "batch_size": 8, "checkpoint_steps": 3, "random_state": 0}
EARLY = {"validation_fraction": 0.2, "patience": 1, "lr": 0.3, "n_epochs": 8}


@pytest.fixture(autouse=True)
def fsync(monkeypatch):
    """Waiting for the disk is nine tenths of a save here, and no test cuts the power."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """Fitted encoders by kind; leave them as they are."""
    folder = tmp_path_factory.mktemp("bert")
    save_tiny_bert(folder)
    texts = [f"{first} of the {second}" for first in WORDS[:7] for second in WORDS[:7]]
    return {
        "compact": FrozenEstimator(tiny_encoder().fit(TEXTS)),
        "bert": FrozenEstimator(RCPTEncoder(str(folder), n_epochs=0).fit(texts)),
        "tfidf": FrozenEstimator(TfidfVectorizer().fit(TEXTS)),
        "unfitted": tiny_encoder(n_epochs=1),
        None: None,
    }


KINDS = {  # encoder, X, y, parameters: what a run may have
    "texts": ("compact", TEXTS, Y, {}),
    "towers": ("compact", TEXTS, Y, {"labels": LABELS}),
    "frozen layers": ("bert", TEXTS, Y, {"labels": LABELS, "lr": 1e-3}),
    "no memory": ("bert", TEXTS, Y, {"memory_budget": 0, "n_epochs": 2}),
    "held out": ("compact", TEXTS, Y, EARLY | {"labels": LABELS}),
    "averages": ("compact", TEXTS, Y, EARLY | {"ema_decay": 0.7, "layer_decay": 0.5}),
    "unfitted": ("unfitted", TEXTS, Y, {}),
    "vectorizer": ("tfidf", TEXTS, Y, {}),
    "features": (None, FEATURES, Y, {"schedule": "onecycle"}),
    "wide": (None, WIDE, Y, {}),
    "classes": (None, FEATURES, CLASSES, {"loss": "focal"}),
}


def weights(head):
    return {name: tensor.numpy() for name, tensor in head.module_.state_dict().items()}


def assert_same(head, expected):
    assert weights(head).keys() == weights(expected).keys()
    for name, array in weights(expected).items():
        assert_array_equal(weights(head)[name], array, err_msg=name)
    for name in ("centers_", "meta_coef_", "meta_intercept_"):
        assert_array_equal(getattr(head, name), getattr(expected, name), err_msg=name)
    tables = [[row | {"seconds": 0} for row in fitted.history_] for fitted in (head, expected)]
    assert tables[0] == tables[1]


def commit_of(folder):
    return json.loads((folder / "checkpoint.json").read_text())


class Stopped(Exception):
    """What ends a run in these tests."""


def fit_and_stop(head, X, y, number):
    """A fit that ends before one of the updates of this process."""
    step, calls = TextNet.train_step, []

    def counted(self, *args, **kwargs):
        if self.title.endswith(" labels"):
            calls.append(self)
        if len(calls) == number:
            raise Stopped
        return step(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TextNet, "train_step", counted)
        with pytest.raises(Stopped):
            head.fit(X, y)


@pytest.mark.parametrize("kind", KINDS)
def test_stopped_twice(kind, encoders, tmp_path):
    if kind == "averages" and parse_version(torch.__version__) < parse_version("2.7"):
        pytest.skip("moving averages of torch 2.6 differ in the last bit after a restart")
    encoder, X, y, params = KINDS[kind]
    head = ClassCenterHead(encoders[encoder], **SMALL | params)
    whole = clone(head).fit(X, y)
    head.set_params(checkpoint_dir=tmp_path)
    steps = []
    for _ in range(2):
        fit_and_stop(clone(head), X, y, 5)
        steps.append(commit_of(tmp_path)["state"]["step"])
    assert steps in ([3, 6], [4, 8])  # an epoch has five updates, or four; or one more
    assert_same(clone(head).fit(X, y), whole)
    if params.items() >= EARLY.items():
        assert 2 < len(whole.history_) < EARLY["n_epochs"]


def test_finished_run_trains_nothing(encoders, tmp_path, monkeypatch):
    head = ClassCenterHead(
        encoders["compact"], labels=LABELS, ema_decay=0.5, checkpoint_dir=tmp_path, **SMALL
    )
    first = clone(head).fit(TEXTS, Y)
    monkeypatch.setattr(TextNet, "train_step", None)
    again = clone(head).set_params(checkpoint_dir=str(tmp_path)).fit(TEXTS, Y)
    assert_same(again, first)
    assert again.history_ == first.history_
    assert_array_equal(again.predict_proba(TEXTS), first.predict_proba(TEXTS))


@pytest.mark.parametrize("random_state", [None, "object"])
def test_seed_that_nobody_gave_is_kept(random_state, encoders, tmp_path):
    params = SMALL | {"random_state": None, "checkpoint_dir": tmp_path}
    head = ClassCenterHead(encoders["compact"], **params)
    if random_state is not None:
        head.set_params(random_state=np.random.RandomState(5))
    fit_and_stop(head, TEXTS, Y, 5)
    resumed = clone(head).fit(TEXTS, Y)
    again = clone(head).fit(TEXTS, Y)
    assert_same(again, resumed)
    if random_state is not None:
        expected = clone(head).set_params(
            checkpoint_dir=None, random_state=np.random.RandomState(5)
        )
        assert_same(resumed, expected.fit(TEXTS, Y))


# --------------------------------------------------------------------------------- the fingerprint


@pytest.fixture(scope="module")
def stopped(encoders, tmp_path_factory):
    """Folder of a checkpoint of step 3; leave it as it is."""
    folder = tmp_path_factory.mktemp("stopped")
    head = ClassCenterHead(encoders["compact"], labels=LABELS, checkpoint_dir=folder, **SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        fit_and_stop(head, TEXTS, Y, 5)
    return folder


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def squared(logits, Y):
    return (logits - Y).square().sum()


def absolute(logits, Y):
    return (logits - Y).abs().sum()


FLIPPED = Y.copy()
FLIPPED[0] = 1 - FLIPPED[0]
OTHER = LabelSpace(NAMES, parents=PARENTS, meta_labels=META | {"sample": ["round"]})


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"X": ["?", *TEXTS[1:]]}, ["X"]),
        ({"X": TEXTS[:-1], "y": Y[:-1]}, ["number of rows", "X", "y"]),
        ({"y": FLIPPED}, ["y"]),
        ({"labels": OTHER}, ["labels"]),
        ({"labels": LabelSpace(NAMES)}, ["labels"]),
        ({"labels": None}, ["labels"]),
        ({"encoder": "other"}, ["encoder"]),
        ({"class_center_weight": 0.2}, ["class_center_weight"]),
        ({"class_center_form": "released"}, ["class_center_form"]),
        ({"center_init": "means"}, ["center_init"]),
        ({"loss": "bce"}, ["loss"]),
        ({"loss": squared}, ["loss"]),
        ({"ancestor_weight": 0.2}, ["ancestor_weight"]),
        ({"meta_weight": 0.2}, ["meta_weight"]),
        ({"filter_weight": 0.5}, ["filter_weight"]),
        ({"n_frozen_layers": 1}, ["n_frozen_layers"]),
        ({"n_epochs": 4}, ["n_epochs"]),
        ({"lr": 2e-3}, ["lr"]),
        ({"schedule": "onecycle"}, ["schedule"]),
        ({"layer_decay": 0.5}, ["layer_decay"]),
        ({"ema_decay": 0.5}, ["ema_decay"]),
        ({"validation_fraction": 0.2}, ["validation_fraction", "patience"]),
        ({"batch_size": 9}, ["batch_size"]),
        ({"weight_decay": 0.0}, ["weight_decay"]),
        ({"random_state": 1}, ["random_state"]),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, list) else None,
)
def test_checkpoint_of_another_run_is_refused_by_name(
    stopped, encoders, change, names, monkeypatch
):
    monkeypatch.setattr(ClassCenterHead, "_fit_module", None)
    before = content(stopped)
    change = {"encoder": encoders["compact"], "labels": LABELS, "X": TEXTS, "y": Y} | change
    if change["encoder"] == "other":
        change["encoder"] = FrozenEstimator(tiny_encoder(random_state=1).fit(TEXTS))
    X, y = change.pop("X"), change.pop("y")
    head = ClassCenterHead(checkpoint_dir=stopped, **SMALL | change)
    with pytest.raises(ValueError, match=r"belongs to other data or parameters.*Set them") as error:
        head.fit(X, y)
    assert sorted(re.findall(r"`([^:`]+)`: checkpoint", str(error.value))) == sorted(names)
    assert content(stopped) == before


def test_every_parameter_counts_or_is_left_out_for_a_reason(stopped):
    """A new parameter has to be looked at, here and in the cases above."""
    known = commit_of(stopped)["fingerprint"].keys()
    left_out = {
        *("checkpoint_dir", "checkpoint_steps", "device", "verbose"),
        *("memory_budget", "passthrough"),
        "patience",  # without `validation_fraction`
    }
    assert set(ClassCenterHead().get_params()) - known == left_out


def test_what_changes_no_weight_does_not_count(stopped, encoders, tmp_path):
    for path in stopped.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    backbone = encoders["compact"].estimator.backbone_
    by_hand = {"loss": backbone.label_loss, "lr": backbone.lr, "n_frozen_layers": 0}
    head = ClassCenterHead(
        encoders["compact"],
        labels=pickle.loads(pickle.dumps(LABELS)),
        checkpoint_dir=tmp_path,
        **SMALL | by_hand | {"checkpoint_steps": 2, "verbose": 1, "device": "cpu"},
        passthrough=True,
        memory_budget=10**6,
        patience=9,
    )
    fit_and_stop(head, tuple(TEXTS), sp.csc_matrix(Y.astype(bool)), 2)
    assert content(tmp_path) != content(stopped)  # went on, and has saved step 4


def test_loss_of_the_users_own(encoders, tmp_path):
    head = ClassCenterHead(encoders["compact"], loss=squared, checkpoint_dir=tmp_path, **SMALL)
    fit_and_stop(head, TEXTS, Y, 5)
    with pytest.raises(ValueError, match="`loss`: checkpoint"):
        clone(head).set_params(loss=absolute).fit(TEXTS, Y)
    with pytest.raises(TypeError, match="`loss` cannot be pickled .*or set checkpoint_dir=None"):
        clone(head).set_params(loss=lambda z, t: multilabel_cross_entropy(z, t)).fit(TEXTS, Y)


@pytest.mark.parametrize("kind", ["compact", "bert"])
def test_encoder_is_known_by_its_content(kind, encoders, tmp_path):
    """However it came here, how long its training took, and where its folder lies."""
    encoder = encoders[kind].estimator
    expected = _content_hash("encoder", _content(encoder))
    encoder.save(tmp_path / "saved")
    loaded = RCPTEncoder.load(tmp_path / "saved")
    for equal in (pickle.loads(pickle.dumps(encoder)), loaded, FrozenEstimator(encoder)):
        assert _content_hash("encoder", _content(equal)) == expected
    loaded.set_params(verbose=1, device="cpu")
    loaded.history_ = [{"epoch": 1, "seconds": 7.0}]
    assert _content_hash("encoder", _content(loaded)) == expected
    with torch.no_grad():
        next(loaded.backbone_.parameters()).view(-1)[0] += 1e-3
    assert _content_hash("encoder", _content(loaded)) != expected


def test_vectorizer_that_cannot_be_pickled(tmp_path):
    vectorizer = FrozenEstimator(TfidfVectorizer(tokenizer=lambda text: text.split()).fit(TEXTS))
    with pytest.raises(TypeError, match="`encoder` cannot be pickled"):
        ClassCenterHead(vectorizer, checkpoint_dir=tmp_path).fit(TEXTS, Y)


def test_folder_of_no_use_is_told_before_the_encoder_is_trained(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(RCPTEncoder, "fit", None)
    head = ClassCenterHead(tiny_encoder(), checkpoint_dir=tmp_path / "file")
    with pytest.raises(ValueError, match="`checkpoint_dir` must be a folder, but .* is a file"):
        head.fit(TEXTS, Y)
