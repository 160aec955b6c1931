"""Parameters of every estimator: of any type and size; fitted, or refused before work starts."""

import warnings
from numbers import Integral

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

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
from skrr2qc.testing import make_tiny_texts

from .strategies import assert_scores, attempt, examples, odd_values, refused

TEXTS, TARGETS = make_tiny_texts(8)
LABELS = LabelSpace(
    ["circle", "triangle", "equation", "sample"],
    parents={"circle": "shape", "triangle": "shape"},
    meta_labels={"circle": ["shape"], "triangle": ["shape", "angle"], "equation": ["angle"]},
)
SMALL = {
    TfidfLinearClassifier: {"C": 1.0, "validation_fraction": 0.2},
    TextCNNClassifier: {"n_filters": 2, "embedding_size": 4, "n_epochs": 1, "vocab_size": 300},
    RCPTEncoder: {"hidden_size": 16, "vocab_size": 300, "n_epochs": 1, "label_epochs": 1},
    ClassCenterHead: {"encoder": TfidfVectorizer(), "n_epochs": 1},
    MetaLabelReranker: {
        "retriever": TfidfLinearClassifier(C=1.0),
        "classifier": TfidfLinearClassifier(C=1.0),
        "labels": LABELS,
    },
    MultilabelThresholdTuner: {"estimator": TfidfLinearClassifier(C=1.0)},
    RetrievalRerankClassifier: {
        "encoder": TfidfVectorizer(),
        "head": ClassCenterHead(n_epochs=1),
        "lexical": None,
        "refit": False,
        "labels": LABELS,
    },
}
# Checked late, or in the words of others, or not at all: what is left to be mended.
KNOWN = {
    ClassCenterHead: {"encoder"},
    MetaLabelReranker: {"encoder"},
    MultilabelThresholdTuner: {"cv"},
    RetrievalRerankClassifier: {"encoder"},
}
FLAGS = {"verbose", "local_files_only", "passthrough"}  # anything that has a truth value
# Where these would go to a folder, to the network, or to other processes.
NOT_TRIED = {"backbone": str, "memory": str, "checkpoint_dir": str, "n_jobs": Integral}
numbers = st.one_of(
    odd_values,
    st.sampled_from([None, True, 0, 0.0, 1, 2, np.int64(2), np.float32(0.5), 1e-300, 5e-324]),
    st.floats(-1, 2),
    st.floats(max_value=0),
    st.floats(min_value=2, exclude_min=True).filter(lambda value: not value.is_integer()),
)


def about(name):
    """Words of which a message has one: the parameter, or what a loss calls it."""
    return [name, {"min_temperature": "low", "max_temperature": "high"}.get(name, name)]


@pytest.mark.parametrize("kind", SMALL, ids=lambda kind: kind.__name__)
@examples(30)
@given(data=st.data())
def test_odd_parameters(kind, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    default = kind(**SMALL[kind])
    tried = set(default.get_params(deep=False)) - KNOWN.get(kind, set()) - FLAGS
    name = data.draw(st.sampled_from(sorted(tried)))
    value = data.draw(numbers)
    if isinstance(value, NOT_TRIED.get(name, ())) or (name == "loss" and callable(value)):
        return
    estimator = kind(**SMALL[kind] | {"random_state": 0} | {name: value})
    before = set(vars(estimator))
    try:
        fitted = attempt(lambda: estimator.fit(TEXTS, TARGETS), about=about(name))
    except FloatingPointError as error:  # rates and weights of 1e300, as documented
        assert "Lower `lr`" in str(error)  # noqa: PT017
        return
    if fitted is None:
        late = set(vars(estimator)) - before
        assert not late, f"{name}={value!r:.80} refused after {late} were set"
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind is RCPTEncoder:
            assert np.isfinite(fitted.transform(TEXTS)).all()
        else:
            assert_scores(fitted.predict_proba(TEXTS), TARGETS.shape)
            assert np.isin(fitted.predict(TEXTS), [0, 1]).all()


@examples(20)
@given(k=odd_values, n=st.integers(-2, 9))
def test_cut_offs(k, n):
    fitted = RetrievalRerankClassifier(**SMALL[RetrievalRerankClassifier] | {"random_state": 0})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not hasattr(test_cut_offs, "fitted"):
            test_cut_offs.fitted = fitted.fit(TEXTS, TARGETS)
    fitted = test_cut_offs.fitted
    for method in (fitted.predict_topk, fitted.explain):
        refused(lambda m=method: m(TEXTS, k=k), about=["k"])
        found = attempt(lambda m=method: m(TEXTS, k=n), about=["k"])
        assert (found is not None) or n < 1 or n > len(LABELS)
