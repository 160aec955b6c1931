"""What a hostile file asks for is refused; digests that fit do not make it harmless."""

import json

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline

from skrr2qc import ClassCenterHead, TfidfLinearClassifier
from skrr2qc.baselines._features import CJK_TOKEN_PATTERN, TOKEN_PATTERN
from skrr2qc.persistence import SavedModelError, load_model, save_model
from skrr2qc.persistence._classes import ADDED_SINCE, CLASSES, KNOWN_PATTERNS, find_class, name_of

from .conftest import reseal

TEXTS, Y = ["area of a circle", "mean of a sample"] * 4, [[1, 0], [0, 1]] * 4


def first(config, name):
    return next(entry for entry in config["objects"] if entry["class"] == name)["attributes"]


def nodes(value, kind):
    """Every node of a kind within JSON."""
    if isinstance(value, dict):
        if value.get("$") == kind:
            yield value
        for item in value.values():
            yield from nodes(item, kind)
    elif isinstance(value, list):
        for item in value:
            yield from nodes(item, kind)


def set_class(name):
    return lambda config: config["objects"][0].update({"class": name})


def attribute(name, key, value):
    return lambda config: first(config, name).update({key: value})


def sparse_indices(config):
    """Column numbers taken from an array of other values."""
    node = next(nodes(config, "sparse"))
    node["shape"] = [node["shape"][0], 1]


def cut_texts(config):
    node = next(nodes(config, "numbering"))
    node["utf8"], node["ends"] = node["ends"], node["utf8"]


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_of_the_list_is_there(name):
    assert name_of(find_class(name)) == name


def test_patterns_of_our_own_are_known():
    assert {TOKEN_PATTERN, CJK_TOKEN_PATTERN} <= KNOWN_PATTERNS
    assert TfidfVectorizer().token_pattern in KNOWN_PATTERNS


@pytest.mark.parametrize(
    "name",
    [
        *("os.system", "builtins.eval", "subprocess.Popen", "sklearn.RandomForestClassifier"),
        *("skrr2qc.RCPTEncoder", "persistence._disk.replacing", "", None, 3, ["RCPTEncoder"]),
    ],
)
def test_other_classes(sample, name):
    reseal(sample, set_class(name))
    with pytest.raises(SavedModelError, match="cannot be loaded"):
        load_model(sample)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (attribute("RCPTEncoder", "fit", 1), "has no attributes"),
        (attribute("RCPTEncoder", "_build_module", 1), "has no attributes"),
        (attribute("RCPTEncoder", "_module_names", ["__class__"]), "has no attributes"),
        (attribute("RCPTEncoder", "__class__", "x"), "has no attributes"),
        (attribute("RCPTEncoder", "strange", 1), "has no attributes"),
        (attribute("RCPTEncoder", "lr", {"$": "eval"}), "kind 'eval'"),
        (attribute("RCPTEncoder", "lr", {"$": ["eval"]}), "makes no sense"),
        (attribute("RCPTEncoder", "lr", {"$": "object", "index": 10**9}), "makes no sense"),
        (attribute("RCPTEncoder", "lr", {"$": "object", "index": -1}), "no number of a part"),
        (attribute("RCPTEncoder", "lr", {"$": "file", "name": "../x"}), "makes no sense"),
        (attribute("RCPTEncoder", "lr", {"$": "type", "name": "object"}), "makes no sense"),
        (attribute("Decision", "extra", 1), "has no fields"),
        (attribute("sklearn.TfidfVectorizer", "input", "filename"), "read files"),
        (attribute("sklearn.TfidfVectorizer", "token_pattern", "(a+)+$"), "hostile pattern"),
        (sparse_indices, "makes no sense"),
        (cut_texts, "do not end where they should"),
        (lambda config: config["objects"].clear(), "Nothing refers"),
        (lambda config: config["objects"].pop(), "Nothing refers|not that of the last"),
        (lambda config: config.pop("objects"), "makes no sense"),
        (
            lambda config: config["label_spaces"][0].update(names=["a", "a"]),
            "must not repeat|makes no",
        ),
        (lambda config: config.update({"class": "RCPTEncoder"}), "not that of the last"),
    ],
)
def test_hostile_content(sample, change, message):
    reseal(sample, change)
    with pytest.raises(SavedModelError, match=message):
        load_model(sample)


def test_a_vectorizer_that_reads_files_is_not_saved(tmp_path):
    path = tmp_path / "secret"
    path.write_text("area circle")
    vectorizer = TfidfVectorizer(input="filename").fit([path])
    with pytest.raises(SavedModelError, match="`steps.* let texts name files"):
        save_model(Pipeline([("vectorizer", vectorizer)]), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_unknown_pattern_has_to_be_trusted(tmp_path):
    """Word for word as the error says it."""
    vectorizer = TfidfVectorizer(token_pattern="[a-z]+")
    classifier = TfidfLinearClassifier(analyzer=vectorizer, C=1.0, random_state=0).fit(TEXTS, Y)
    folder = save_model(classifier, tmp_path / "model")
    with pytest.raises(SavedModelError) as error:
        TfidfLinearClassifier.load(folder)
    trusted = str(error.value).split("trusted=")[1].rstrip(".")
    loaded = TfidfLinearClassifier.load(folder, trusted=json.loads(trusted.replace("'", '"')))
    assert (loaded.predict_proba(TEXTS) == classifier.predict_proba(TEXTS)).all()
    with pytest.raises(TypeError, match="must be a sequence of str"):
        load_model(folder, trusted="[a-z]+")


def test_tokenizer_that_is_none(sample):
    (sample / "tokenizer.json").write_text('{"model": {"type": "BPE", "vocab": 3}}')
    reseal(sample)
    with pytest.raises(SavedModelError, match="A tokenizer cannot be read"):
        load_model(sample)


def test_attributes_that_a_class_has_got_since(sample, monkeypatch):
    """A model of an earlier version lacks parameters and fitted attributes that came after it."""

    def change(config):
        for entry in config["objects"]:
            if entry["class"] == "ClassCenterHead":
                entry["attributes"].pop("ema_decay")
            if entry["class"] == "Decision":
                entry["attributes"].pop("at_least_one", None)
            if entry["class"] == "MetaLabelReranker":
                entry["attributes"].pop("cooccurrence_", None)
        config["objects"][-1]["attributes"].pop("n_validation_")

    reseal(sample, change)
    added = ADDED_SINCE | {"RetrievalRerankClassifier": {"n_validation_": -1}}
    monkeypatch.setattr("skrr2qc.persistence._unpack.ADDED_SINCE", added)
    loaded = load_model(sample)
    assert loaded.head_.get_params()["ema_decay"] == ClassCenterHead().ema_decay
    assert loaded.n_validation_ == -1
    assert loaded.decision_.at_least_one is False
    assert loaded.reranker_.cooccurrence_ is None


@pytest.mark.parametrize(("device", "expected"), [("auto", "auto"), (None, "cpu"), ("cpu", "cpu")])
def test_device(tmp_path, device, expected):
    head = ClassCenterHead(n_epochs=1, device="cpu", random_state=0)
    folder = head.fit([[0.0], [1.0]], [[1, 0], [0, 1]]).save(tmp_path / "model")
    assert ClassCenterHead.load(folder, device=device).device == expected
