"""Folders of the composite; refused parts are in test_retrieval_rerank."""

import os
import pickle

import joblib
import pytest
from numpy.testing import assert_array_equal

from skrr2qc import (
    ClassCenterHead,
    LabelSpace,
    MetaLabelReranker,
    RCPTEncoder,
    RetrievalRerankClassifier,
)
from skrr2qc._training import TextNet
from skrr2qc.testing import make_tiny_texts, tiny_encoder

NAMES = ["circle", "triangle", "equation", "sample"]
X, Y = make_tiny_texts(120)


@pytest.fixture(autouse=True)
def fsync(monkeypatch):
    """Waiting for the disk is nine tenths of a save here, and no test cuts the power."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def make_classifier(**params):
    return RetrievalRerankClassifier(
        tiny_encoder(n_epochs=1, random_state=None),
        ClassCenterHead(n_epochs=1),
        labels=LabelSpace(NAMES),
        validation_fraction=0.2,
        **{"lexical": None, "random_state": 0} | params,
    )


@pytest.mark.parametrize("folder", ["", 3, ["runs"]])
def test_checkpoint_dir_that_is_no_path(folder, monkeypatch):
    monkeypatch.setattr(RCPTEncoder, "fit", None)
    with pytest.raises(TypeError, match="`checkpoint_dir` must be the path of a folder or None"):
        make_classifier(checkpoint_dir=folder).fit(X, Y)


@pytest.mark.parametrize("name", ["head", "reranker__classifier"])
def test_folder_of_a_part_that_is_fitted_more_than_once(name, tmp_path, monkeypatch):
    """The second fit would be refused, once the first is done."""
    monkeypatch.setattr(RCPTEncoder, "fit", None)
    classifier = make_classifier(reranker=MetaLabelReranker(ClassCenterHead()))
    classifier.set_params(**{f"{name}__checkpoint_dir": str(tmp_path)})
    message = f"`{name}__checkpoint_dir` must be None, got .*Give `checkpoint_dir` to the class"
    with pytest.raises(ValueError, match=message):
        classifier.fit(X, Y)


def test_encoder_may_have_a_folder_of_its_own(tmp_path):
    own, shared = tmp_path / "own", tmp_path / "shared"
    classifier = make_classifier(checkpoint_dir=shared).set_params(encoder__checkpoint_dir=own)
    classifier.fit(X, Y)
    assert (own / "checkpoint.json").exists()
    assert {path.name.split("-")[0] for path in shared.iterdir()} == {"head"}


def test_one_folder_for_all_parts(tmp_path, monkeypatch):
    plain = make_classifier().fit(X, Y)
    classifier = make_classifier(checkpoint_dir=tmp_path).fit(X, Y)
    names = sorted(path.name.split("-")[0] for path in tmp_path.iterdir() if path.is_dir())
    assert names == ["encoder", "head", "head"]  # of the rows not held out, and of all
    assert_array_equal(classifier.predict_proba(X), plain.predict_proba(X))
    for part in (classifier.encoder, classifier.encoder_, classifier.head_):
        assert part.checkpoint_dir is None
    assert str(tmp_path).encode() not in pickle.dumps(classifier.encoder_)
    assert str(tmp_path).encode() not in pickle.dumps(classifier.head_)
    monkeypatch.setattr(TextNet, "train_step", None)
    again = make_classifier(checkpoint_dir=str(tmp_path)).fit(X, Y)
    assert_array_equal(again.predict_proba(X), plain.predict_proba(X))
    assert again.encoder_.history_ == classifier.encoder_.history_
    assert joblib.hash(again.encoder_) == joblib.hash(classifier.encoder_)


def test_memory_does_not_know_the_folder(tmp_path, monkeypatch):
    """What was remembered with one folder is found with another one, and without."""
    memory = str(tmp_path / "memory")
    plain = make_classifier(memory=memory, checkpoint_dir=tmp_path / "a").fit(X, Y)
    monkeypatch.setattr(TextNet, "train_step", None)
    for folder in (None, tmp_path / "b"):
        again = make_classifier(memory=memory, checkpoint_dir=folder).fit(X, Y)
        assert_array_equal(again.predict_proba(X), plain.predict_proba(X))
    assert not list((tmp_path / "b").iterdir())
    stored = [path.read_bytes() for path in (tmp_path / "memory").rglob("*.pkl")]
    assert stored
    assert not any(str(tmp_path).encode() in content for content in stored)


def test_folder_is_not_saved_with_the_model(tmp_path):
    classifier = make_classifier(checkpoint_dir=tmp_path / "run").fit(X, Y)
    classifier.save(tmp_path / "model")
    assert str(tmp_path / "run") not in (tmp_path / "model" / "config.json").read_text()
    assert RetrievalRerankClassifier.load(tmp_path / "model").checkpoint_dir is None
