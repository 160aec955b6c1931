"""Parts of scikit-learn that are not on the list: through skops, or refused."""

import importlib.util
import io
import sys
import zipfile

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from skrr2qc import MultilabelThresholdTuner, TfidfLinearClassifier
from skrr2qc.persistence import SavedModelError, load_model, save_model

from .conftest import reseal

TEXTS, Y = ["area of a circle", "mean of a sample"] * 4, np.array([[1, 0], [0, 1]] * 4)
needs_skops = pytest.mark.skipif(
    importlib.util.find_spec("skops") is None, reason="skops is not installed"
)


def fitted(classifier):
    pipeline = make_pipeline(TfidfVectorizer(), classifier)
    return MultilabelThresholdTuner(pipeline, threshold=0.4).fit(TEXTS, Y)


def test_without_skops(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skops", None)
    monkeypatch.setitem(sys.modules, "skops.io", None)
    tuner = fitted(KNeighborsClassifier(1))
    with pytest.raises(
        SavedModelError, match=r"`estimator.steps\[1\]\[1\]` is a KNeighbors.*pip in"
    ):
        save_model(tuner, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@needs_skops
def test_with_skops(tmp_path):
    tuner = fitted(KNeighborsClassifier(1, algorithm="brute"))
    folder = save_model(tuner, tmp_path / "model")
    assert "part.skops" in {path.name for path in folder.iterdir()}
    assert_array_equal(load_model(folder).predict_proba(TEXTS), tuner.predict_proba(TEXTS))


@needs_skops
def test_types_that_skops_does_not_trust(tmp_path):
    tuner = fitted(RandomForestClassifier(3, random_state=0))
    folder = save_model(tuner, tmp_path / "model")
    with pytest.raises(SavedModelError, match=r"trusted=\['sklearn.tree._tree.Tree'\]"):
        load_model(folder)
    loaded = load_model(folder, trusted=["sklearn.tree._tree.Tree"])
    assert_array_equal(loaded.predict_proba(TEXTS), tuner.predict_proba(TEXTS))


@needs_skops
def test_our_parts_inside_of_others(tmp_path):
    """Sharing and checks would be lost within: better to say so."""
    bagging = BaggingClassifier(TfidfLinearClassifier(C=1.0), n_estimators=1)
    bagging.estimators_ = [TfidfLinearClassifier(C=1.0).fit(TEXTS, Y)]
    tuner = fitted(KNeighborsClassifier(1))
    tuner.estimator_.steps[1] = ("bagging", bagging)
    with pytest.raises(SavedModelError, match="it holds skrr2qc.* cannot be saved inside of it"):
        save_model(tuner, tmp_path / "model")


@needs_skops
def test_compressed_parts_are_refused(tmp_path):
    """A small file that becomes a large one."""
    folder = save_model(fitted(KNeighborsClassifier(1)), tmp_path / "model")
    part = folder / "part.skops"
    with zipfile.ZipFile(io.BytesIO(part.read_bytes())) as old:
        contents = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in contents.items():
            new.writestr(name, content)
    reseal(folder)
    with pytest.raises(SavedModelError, match="is compressed"):
        load_model(folder)
