"""Whole models: every public estimator, another process, earlier versions, options."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.svm import LinearSVC

import skrr2qc
from skrr2qc import (
    ClassCenterHead,
    LabelSpace,
    MetaLabelReranker,
    MultilabelThresholdTuner,
    RCPTEncoder,
    RetrievalRerankClassifier,
    TextCNNClassifier,
    TfidfLinearClassifier,
)
from skrr2qc.augmentation import SolutionAugmenter
from skrr2qc.meta_labels import LLMDecomposer
from skrr2qc.metrics import precision_at_k
from skrr2qc.persistence import SavedModelError, load_model, save_model
from skrr2qc.persistence._model import FORMAT_VERSION
from skrr2qc.testing import make_tiny_texts, tiny_encoder
from tests.reference.tiny_bert import save_tiny_bert

from .conftest import SAMPLES, reseal

ROOT = Path(__file__).resolve().parents[2]
TEXTS, Y = make_tiny_texts()
LABELS = LabelSpace(
    ["circle", "triangle", "equation", "sample"],
    parents={"circle": "shape", "triangle": "shape"},
    meta_labels={"circle": ["round"], "triangle": ["angle"], "equation": ["angle"]},
)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def small_head(encoder=None, **params):
    return ClassCenterHead(encoder, **{"n_epochs": 1, "random_state": 0} | params)


def frozen(encoder):
    return FrozenEstimator(encoder.fit(TEXTS))


def reranker():
    encoder = frozen(tiny_encoder())
    return MetaLabelReranker(
        small_head(), retriever=small_head(encoder), encoder=encoder, labels=LABELS
    )


def composite(encoder=None, **params):
    parts = {"head": small_head(), "labels": LABELS, "random_state": 0, "validation_fraction": 0.4}
    parts["reranker"] = MetaLabelReranker(small_head())
    return RetrievalRerankClassifier(encoder or tiny_encoder(), **parts | params)


def features():
    words = TfidfVectorizer(dtype=np.float32, ngram_range=(1, 2), stop_words=["the"])
    return FeatureUnion([("words", words), ("hashes", HashingVectorizer(n_features=64))])


def linear(**params):
    return TfidfLinearClassifier(C=1.0, random_state=0, **params)


ESTIMATORS = {
    "encoder": lambda: tiny_encoder(n_epochs=1, labels=LABELS),
    "head": lambda: small_head(frozen(tiny_encoder())),
    "head with its own encoder": lambda: small_head(tiny_encoder(), labels=LABELS),
    "head on features": lambda: small_head(features()),
    "reranker": reranker,
    "composite": composite,
    "composite on a vectorizer": lambda: composite(TfidfVectorizer(), lexical=None),
    "composite without labels": lambda: composite(labels=None, reranker=None, refit=False),
    "composite of others' parts": lambda: composite(
        head=OneVsRestClassifier(LogisticRegression()),
        lexical=make_pipeline(TfidfVectorizer(), OneVsRestClassifier(MultinomialNB())),
    ),
    "linear": linear,
    "linear with a vectorizer": lambda: linear(analyzer=features()),
    "thresholds": lambda: MultilabelThresholdTuner(linear(), threshold="per_label", cv=2),
    "thresholds for scores": lambda: MultilabelThresholdTuner(
        make_pipeline(TfidfVectorizer(), OneVsRestClassifier(LinearSVC())), threshold="top_k"
    ),
    "thresholds in a pipeline": lambda: MultilabelThresholdTuner(
        make_pipeline(tiny_encoder(), RidgeClassifier()), threshold=0.0, refit=True
    ),
    "convolutional": lambda: TextCNNClassifier(
        n_filters=4, embedding_size=8, n_epochs=1, vocab_size=300, random_state=0
    ),
}


def outputs(estimator, X=TEXTS):
    names = ("transform", "decision_function", "predict_proba", "predict")
    found = {name: getattr(estimator, name)(X) for name in names if hasattr(estimator, name)}
    if hasattr(estimator, "predict_topk"):
        found["names"], found["best"] = estimator.predict_topk(X, k=2)
    return found


@pytest.mark.parametrize("name", ESTIMATORS)
def test_round_trip(name, tmp_path):
    estimator = ESTIMATORS[name]().fit(TEXTS, Y)
    folder = save_model(estimator, tmp_path / "model")
    loaded = load_model(folder)
    assert type(loaded) is type(estimator)
    expected, found = outputs(estimator), outputs(loaded)
    assert found.keys() == expected.keys()
    for method, values in expected.items():
        assert_array_equal(found[method], values, err_msg=method)
    assert repr(clone(loaded)) == repr(clone(estimator))
    assert vars(loaded).keys() == vars(estimator).keys()
    again = save_model(loaded, tmp_path / "again")
    for path in (folder / "model.safetensors", folder / "README.md"):
        assert path.read_bytes() == (again / path.name).read_bytes()


def test_every_public_estimator_is_saved():
    public = {getattr(skrr2qc, name) for name in skrr2qc.__all__}
    estimators = {k for k in public if isinstance(k, type) and issubclass(k, BaseEstimator)}
    assert estimators == {type(make()) for make in ESTIMATORS.values()}


@pytest.fixture(scope="module")
def fitted():
    return composite().fit(TEXTS, Y)


def test_parts_are_shared_as_before(fitted, tmp_path):
    loaded = load_model(save_model(fitted, tmp_path / "model"))
    assert loaded.head_.encoder_.estimator is loaded.encoder_
    assert loaded.reranker_.classifier_.encoder_ is loaded.head_.encoder_
    assert loaded.pipeline_[-1].reranker is loaded.reranker_
    assert loaded.labels_ is loaded.labels
    assert loaded.labels == LABELS
    assert_array_equal(loaded.pipeline_.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
    assert str(loaded.explain(TEXTS[0])) == str(fitted.explain(TEXTS[0]))


def test_a_loaded_model_is_trained_on_like_any_other(fitted, tmp_path):
    loaded = load_model(save_model(fitted, tmp_path / "model"))
    assert_array_equal(
        clone(loaded).fit(TEXTS, Y).predict_proba(TEXTS), fitted.predict_proba(TEXTS)
    )
    head = loaded.head_
    head.module_.head.weight.data += 1  # memory of its own
    assert_array_equal(fitted.predict_proba(TEXTS), composite().fit(TEXTS, Y).predict_proba(TEXTS))


def test_another_process_without_a_network(tmp_path):
    """Scores are equal bit by bit, and the folder of the pretrained backbone is gone."""
    save_tiny_bert(tmp_path / "bert")
    encoder = RCPTEncoder(str(tmp_path / "bert"), n_epochs=0, random_state=0)
    classifier = composite(encoder, head=small_head(n_frozen_layers=2)).fit(TEXTS, Y)
    save_model(classifier, tmp_path / "model")
    (tmp_path / "bert").rename(tmp_path / "gone")
    np.save(tmp_path / "expected.npy", classifier.predict_proba(TEXTS))
    code = (
        "import json, socket, sys\n"
        "def refuse(*args, **kwargs): raise SystemExit('asked the network')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "import numpy as np, torch\n"
        f"torch.set_num_threads({_threads()})\n"
        "from skrr2qc.persistence import load_model\n"
        f"texts = json.loads({json.dumps(json.dumps(TEXTS))})\n"
        f"scores = load_model({str(tmp_path / 'model')!r}).predict_proba(texts)\n"
        f"np.save({str(tmp_path / 'found.npy')!r}, scores)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    expected, found = (np.load(tmp_path / f"{name}.npy") for name in ("expected", "found"))
    assert_array_equal(found, expected, strict=True)


def _threads():
    import torch

    return torch.get_num_threads()


# ------------------------------------------------------------------------------------ versions


def samples():
    return sorted(path.with_suffix("") for path in SAMPLES.glob("v*/*.json"))


@pytest.mark.parametrize("folder", samples(), ids=lambda f: f"{f.parent.name}-{f.name}")
def test_every_format_ever_written_is_read(folder):
    expected = json.loads(folder.with_suffix(".json").read_text("utf-8"))
    loaded = load_model(folder)
    scores = loaded.predict_proba(expected["texts"])
    # Written with bfloat16 products; a processor or torch without them is more exact.
    assert_allclose(scores, expected["scores"], rtol=1e-2, atol=1e-5)


def test_there_is_a_sample_of_every_format():
    versions = {path.parent.name for path in samples()}
    assert versions == {f"v{i}" for i in range(1, FORMAT_VERSION + 1)}
    size = sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file())
    assert size < 200_000 * FORMAT_VERSION


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 0, "1", None, True, 1.0])
def test_other_formats(sample, version):
    reseal(sample, lambda config: config.update(format_version=version))
    with pytest.raises(SavedModelError, match="reads versions up to 1. Update skrr2qc"):
        load_model(sample)


def test_parts_fitted_in_another_scikit_learn(tmp_path):
    tuner = ESTIMATORS["thresholds for scores"]().fit(TEXTS, Y)
    save_model(tuner, tmp_path / "model")
    reseal(tmp_path / "model", lambda config: config["versions"].update({"scikit-learn": "0.1"}))
    with pytest.warns(UserWarning, match="sklearn.LinearSVC, .* were fitted in scikit-learn 0.1"):
        load_model(tmp_path / "model")


# ------------------------------------------------------------------------------------- options


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype, questions, tmp_path):
    encoder = tiny_encoder(hidden_size=256, vocab_size=1000)
    head = small_head(encoder, n_epochs=6, labels=questions.labels)
    head.fit(questions.texts, questions.Y)
    whole, half = save_model(head, tmp_path / "whole"), head.save(tmp_path / "half", dtype=dtype)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (whole, half)]
    assert sizes[1] < 0.52 * sizes[0]
    loaded = load_model(half)
    assert loaded.module_.head.weight.dtype == head.module_.head.weight.dtype
    expected, found = (h.predict_proba(questions.texts) for h in (head, loaded))
    assert not np.array_equal(expected, found)
    assert_allclose(found, expected, atol=0.02)
    precision = [precision_at_k(questions.Y, scores, 1) for scores in (expected, found)]
    assert precision[1] == pytest.approx(precision[0], abs=0.02)
    assert json.loads((half / "config.json").read_text())["dtype"] == dtype


def test_training_texts_left_out(tmp_path):
    texts = [*TEXTS, "confidential xylophone"]
    targets = sp.csr_matrix(np.vstack([Y, Y[:1]]))
    vectorizer = TfidfVectorizer(vocabulary=["circle", "triangle", "sample"])
    classifier = composite(vectorizer, lexical=None, label_texts=False).fit(texts, targets)
    with_texts = save_model(classifier, tmp_path / "with")
    assert (
        b"xylophone"
        in (with_texts / "model.safetensors").read_bytes()
        + (with_texts / "config.json").read_bytes()
    )
    without = save_model(classifier, tmp_path / "without", include_training_texts=False)
    for path in without.iterdir():
        assert b"xylophone" not in path.read_bytes(), path
    loaded = load_model(without)
    assert_array_equal(loaded.predict_proba(texts), classifier.predict_proba(texts))
    assert all(reason.nearest == [] for reason in loaded.explain(texts[0]).reasons)


def test_config_says_what_the_issue_of_a_model_is(fitted, tmp_path):
    metrics = {"P@1": np.float32(0.5), "rows": np.int64(20), "set": "held out"}
    folder = save_model(fitted, tmp_path / "model", metrics=metrics)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert config["class"] == "RetrievalRerankClassifier"
    assert config["parameters"]["head__n_epochs"] == 1
    assert config["label_spaces"] == [LABELS.to_dict()]
    assert config["versions"]["skrr2qc"] == skrr2qc.__version__
    assert config["training"]["texts"] == len(TEXTS)
    assert config["training"]["parts"]["head"]["epochs"]["number"] == 1
    assert config["metrics"] == {"P@1": 0.5, "rows": 20, "set": "held out"}
    assert config["files"].keys() == {"model.safetensors", "tokenizer.json"}


def test_places_on_this_machine_are_not_saved(tmp_path):
    memory, checkpoints = str(tmp_path / "memory"), str(tmp_path / "checkpoints")
    encoder = tiny_encoder(n_epochs=1, checkpoint_dir=checkpoints)
    classifier = composite(encoder, memory=memory).fit(TEXTS, Y)
    folder = save_model(classifier, tmp_path / "model")
    loaded = load_model(folder)
    assert loaded.memory is None
    assert loaded.encoder_.checkpoint_dir is None
    for path in folder.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()


# ------------------------------------------------------------------------------------- refusals


def test_unfitted():
    with pytest.raises(NotFittedError, match="not fitted: there is nothing to save yet. Call fit"):
        save_model(TfidfLinearClassifier(), "never made")
    assert not Path("never made").exists()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dtype": "int8"}, ValueError, "`dtype` must be"),
        ({"metrics": [0.5]}, TypeError, "dict of numbers"),
        ({"metrics": {"P@1": float("nan")}}, TypeError, "finite numbers, got 'P@1': nan"),
        ({"metrics": {1: 0.5}}, TypeError, "map names"),
    ],
)
def test_options(fitted, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        save_model(fitted, tmp_path / "model", **options)
    assert list(tmp_path.iterdir()) == []


class Mine(TfidfLinearClassifier):
    """Of a user, who may have changed anything."""


@pytest.mark.parametrize("value", [3, "text", Mine(), RCPTEncoder, LABELS])
def test_what_is_no_model(value, tmp_path):
    with pytest.raises(SavedModelError, match="cannot be saved by itself"):
        save_model(value, tmp_path / "model")


def test_language_models_are_no_part_of_a_model(fitted, tmp_path):
    """A client may hold a key; what it has said is in the label space."""
    classifier = copy.deepcopy(fitted).set_params(meta_labels=LLMDecomposer(print))
    with pytest.raises(SavedModelError, match=r"`meta_labels` is of the type .*LLMDecomposer"):
        save_model(classifier, tmp_path / "model")
    loaded = load_model(save_model(classifier.set_params(meta_labels=None), tmp_path / "model"))
    assert_array_equal(loaded.predict_proba(TEXTS), fitted.predict_proba(TEXTS))


def test_pipeline_with_solutions(tmp_path):
    augmenter = SolutionAugmenter({text: f"Solution {i}." for i, text in enumerate(TEXTS)})
    pipeline = make_pipeline(augmenter, linear()).fit(TEXTS, Y)
    loaded = load_model(save_model(pipeline, tmp_path / "model"))
    assert_array_equal(loaded.predict_proba(TEXTS), pipeline.predict_proba(TEXTS))
    pipeline[0].generator = print
    with pytest.raises(SavedModelError, match=r"`steps\[0\]\[1\].generator` is code"):
        save_model(pipeline, tmp_path / "other")


def test_callable_loss_is_named_with_the_way_out(tmp_path):
    head = small_head(tiny_encoder(), loss=_loss).fit(TEXTS, Y)
    with pytest.raises(SavedModelError, match=r"`loss` is code \(_loss\).* set it to None"):
        save_model(head, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    loaded = load_model(save_model(head.set_params(loss=None), tmp_path / "model"))
    assert_array_equal(loaded.predict_proba(TEXTS), head.predict_proba(TEXTS))


def _loss(logits, Y):
    return ((logits.sigmoid() - Y) ** 2).mean()
