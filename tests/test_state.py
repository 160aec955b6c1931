"""Modules as arrays: pickles, copies and hashes of fitted estimators."""

import copy
import pickle

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator

from skrr2qc import ClassCenterHead
from skrr2qc._state import ModuleStateMixin, load_arrays, module_to_arrays


class Owner(ModuleStateMixin, BaseEstimator):
    """Estimator with two modules, of which the second may be missing."""

    _module_names = ("module_", "other_")

    def __init__(self, size=3):
        self.size = size

    def fit(self):
        self.module_, self.other_ = self._build_module("module_", {"size": self.size}), None
        self.note_ = "kept"
        return self

    def _build_module(self, name, init_args):
        module = torch.nn.Linear(init_args["size"], 2)
        module.register_buffer("count", torch.arange(4))
        module.init_args = dict(init_args)
        return module


def arrays_of(owner):
    return {name: t.detach().numpy() for name, t in owner.module_.state_dict().items()}


@pytest.mark.parametrize("copied", [lambda o: pickle.loads(pickle.dumps(o)), copy.deepcopy])
def test_round_trip(copied):
    owner = Owner().fit()
    owner.module_.train()
    other = copied(owner)
    assert other.note_ == "kept"
    assert other.other_ is None
    assert other.size == 3
    assert not other.module_.training
    for name, array in arrays_of(owner).items():
        assert_array_equal(arrays_of(other)[name], array)
    with torch.no_grad():
        other.module_.weight.zero_()
    assert owner.module_.weight.any()  # nothing is shared


def test_pickle_holds_no_tensor():
    assert b"torch" not in pickle.dumps(Owner().fit().__getstate__()["module_"])


def test_getstate_changes_nothing():
    owner = Owner().fit()
    module = owner.module_
    owner.__getstate__()["note_"] = "changed"
    assert owner.module_ is module
    assert owner.note_ == "kept"


def test_unfitted():
    owner = pickle.loads(pickle.dumps(Owner(size=5)))
    assert owner.size == 5
    assert not hasattr(owner, "module_")


def test_hash_follows_the_content():
    owner = Owner().fit()
    assert joblib.hash(pickle.loads(pickle.dumps(owner))) == joblib.hash(owner)
    other = copy.deepcopy(owner)
    with torch.no_grad():
        other.module_.bias[0] += 1
    assert joblib.hash(other) != joblib.hash(owner)


def test_restoring_draws_no_random_numbers():
    """Unpickling built modules with weights from the global generator, which then had moved on."""
    content = pickle.dumps(Owner().fit())
    before = torch.get_rng_state()
    pickle.loads(content)
    assert torch.equal(torch.get_rng_state(), before)


def test_arrays_are_copies():
    module = torch.nn.Linear(2, 2)
    content = module_to_arrays(module)
    with torch.no_grad():
        module.weight.zero_()
    assert content["arrays"]["weight"].any()
    assert content["init_args"] is None


def test_load_arrays():
    module = torch.nn.Linear(2, 1)
    load_arrays(module, {"weight": np.array([[3.0, 4.0]], dtype=np.float32)})
    assert module.weight.tolist() == [[3.0, 4.0]]
    with pytest.raises(ValueError, match=r"without a place in Linear: \['centers'\]"):
        load_arrays(module, {"centers": np.zeros(1)})


@pytest.fixture(scope="module")
def head(tiny_encoder, questions):
    head = ClassCenterHead(FrozenEstimator(tiny_encoder), n_epochs=2, random_state=0)
    return head.fit(questions.texts, questions.Y)


def test_fitted_head(head, questions):
    other = pickle.loads(pickle.dumps(head))
    texts = questions.texts[:9]
    assert_array_equal(other.predict_proba(texts), head.predict_proba(texts))
    assert_array_equal(other.centers_, head.centers_)
    assert joblib.hash(other) == joblib.hash(head)


def test_detached_head_waits_for_its_encoder(head, tiny_encoder, questions):
    expected = head.predict_proba(questions.texts)
    detached = copy.deepcopy(head).detach_encoder()
    assert detached.encoder is None
    assert detached.encoder_ is None
    assert b"RCPTEncoder" in pickle.dumps(head)
    assert b"RCPTEncoder" not in pickle.dumps(detached)
    again = pickle.loads(pickle.dumps(detached)).attach_encoder(FrozenEstimator(tiny_encoder))
    assert_array_equal(again.predict_proba(questions.texts), expected)


def test_head_on_arrays_has_nothing_to_detach():
    X, Y = np.eye(4), np.eye(4)
    head = ClassCenterHead(n_epochs=2, random_state=0).fit(X, Y)
    expected = head.predict_proba(X)
    assert_array_equal(head.detach_encoder().predict_proba(X), expected)
