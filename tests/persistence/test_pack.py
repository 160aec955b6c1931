"""Values of any kind through JSON and back, and what is refused with its place."""

import io
import json
import math
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline

from skrr2qc import LabelSpace, RCPTEncoder
from skrr2qc.classifiers._calibration import CalibrationCurve
from skrr2qc.persistence import SavedModelError
from skrr2qc.persistence._pack import Packer
from skrr2qc.persistence._tensors import TensorReader
from skrr2qc.persistence._unpack import Unpacker
from skrr2qc.text import train_tokenizer


def round_trip(*values, **options):
    """Values as attributes of one object that is known, through real JSON and bytes."""
    packer = Packer(**options)
    holder = Pipeline([])
    vars(holder).update({f"value{i}_": value for i, value in enumerate(values)})
    packer.pack(holder, "")
    config = {"objects": packer.objects, "label_spaces": packer.label_spaces}
    file = io.BytesIO()
    packer.tensors.write(file)
    file.seek(0)
    tensors = TensorReader(file, len(file.getvalue()))
    found = Unpacker(json.loads(json.dumps(config, allow_nan=False)), tensors, packer.files)
    attributes = vars(found.unpack())
    return [attributes[f"value{i}_"] for i in range(len(values))]


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.text(st.characters(categories=["Cs", "Lo", "Cc"]), max_size=4),  # lone surrogates, too
)
KEYS = st.one_of(st.none(), st.integers(), st.text(max_size=4), st.tuples(st.integers(), st.text()))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
        st.sets(st.one_of(st.integers(), st.text(max_size=3)), max_size=4),
        st.frozensets(st.integers(), max_size=4),
    ),
    max_leaves=12,
)


def same(one, other):
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other) or one != one
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return one == other


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_plain_values(value):
    assert same(round_trip(value)[0], value)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(), max_size=5), min_size=100, max_size=140))
def test_many_strings_become_bytes(texts):
    assert round_trip(texts) == [texts]


def test_vocabulary():
    vocabulary = {f"word {i}": np.int64(i) for i in np.random.default_rng(0).permutation(300)}
    (found,) = round_trip(vocabulary)
    assert found == vocabulary
    holed = vocabulary | {"word 5": 1000}
    assert round_trip(holed) == [holed]  # no numbering, and still a dict


def test_numbers_and_types():
    values = [
        *(np.float32(0.1), np.int8(-3), np.bool_(True), np.float64("nan"), np.float64("-inf")),
        *(np.float32, np.dtype("int16")),
    ]
    for found, value in zip(round_trip(*values), values, strict=True):
        assert type(found) is type(value)
        assert found == value or value != value
    assert round_trip(np.str_("text")) == ["text"]


@pytest.mark.parametrize(
    "array",
    [
        np.array(2.5),
        np.zeros((0, 3), np.int32),
        np.arange(24.0).reshape(2, 3, 4),
        np.arange(6, dtype=np.float16).reshape(2, 3),
        np.arange(6, dtype=">i4"),
        np.arange(20)[::3],
        np.array(["a", "bcd"]),
        np.array([["a", None], [1, 2.5]], dtype=object),
    ],
)
def test_arrays(array):
    (found,) = round_trip(array)
    assert_array_equal(found, array)
    assert found.shape == array.shape
    assert found.dtype == array.dtype.newbyteorder("=")


def test_memory_order_is_kept():
    """A product of a matrix stored by columns is summed in another order."""
    matrix = np.asfortranarray(np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32))
    (found,) = round_trip(matrix)
    assert found.flags.f_contiguous
    assert not found.flags.c_contiguous
    assert_array_equal(found, matrix)


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix, sp.csr_array, sp.csc_array])
def test_sparse(kind):
    matrix = kind(np.array([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]], np.float32))
    (found,) = round_trip(matrix)
    assert type(found) is kind
    assert found.dtype == np.float32
    assert_array_equal(found.toarray(), matrix.toarray())


def test_tensor():
    (found,) = round_trip(torch.arange(3, dtype=torch.float32, requires_grad=True))
    assert found.tolist() == [0.0, 1.0, 2.0]
    assert not found.requires_grad


def test_records_and_tokenizers():
    curve = CalibrationCurve(0.25, (1.0, 2.0), (0.5,))
    tokenizer = train_tokenizer(["area of a circle"] * 3, vocab_size=60, max_length=9)
    found_curve, found = round_trip(curve, tokenizer)
    assert found_curve == curve
    assert isinstance(found_curve, CalibrationCurve)
    assert found.__getstate__() == tokenizer.__getstate__()


def test_shared_objects_stay_shared():
    labels = LabelSpace(["a", "b"], parents={"a": "c"}, meta_labels={"a": ["m"]})
    vectorizer = CountVectorizer()
    found = round_trip(labels, [labels], vectorizer, {"again": vectorizer}, CountVectorizer())
    assert found[0] == labels
    assert found[1][0] is found[0]
    assert found[3]["again"] is found[2]
    assert found[4] is not found[2]


def test_random_state():
    random_state = np.random.RandomState(3)
    random_state.normal()  # leaves a second number behind
    (found,) = round_trip(random_state)
    assert_array_equal(found.normal(size=5), random_state.normal(size=5))


def test_training_texts_can_be_left_out():
    class Holder:
        pass

    packer = Packer(keep_texts=False)
    holder = Pipeline([])
    vars(holder).update(train_texts_=["secret"] * 200, train_labels_=sp.csr_matrix(np.eye(2)))
    packer.pack(holder, "")
    assert packer.objects[-1]["attributes"]["train_texts_"] == []
    assert packer.objects[-1]["attributes"]["train_labels_"]["shape"] == [0, 2]
    assert "secret" not in json.dumps(packer.objects)


class Foreign(BaseEstimator):
    def fit(self, X, y=None):
        return self


def cycle():
    holder = Pipeline([])
    holder.steps.append(("self", holder))
    return holder


def deep():
    value = []
    for _ in range(100):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            Pipeline([("a", CountVectorizer(tokenizer=str.split))]),
            r"steps\[0\]\[1\].tokenizer` is code \(str.split\)",
        ),
        (
            Pipeline([("a", FeatureUnion([("b", Foreign())]))]),
            r"transformer_list\[0\]\[1\]` is of the type",
        ),
        (Pipeline([("a", Foreign)]), r"is code \(Foreign\)"),
        (Pipeline([("a", partial(print))]), "`steps.* is of the type functools.partial"),
        (RCPTEncoder(random_state=np.random.default_rng(0)), "`random_state` is of the type numpy"),
        (RCPTEncoder(preset=b"bytes"), "`preset` is of the type builtins.bytes"),
        (RCPTEncoder(preset=np.array(["2020"], "M8[Y]")), r"array of type datetime64"),
        (RCPTEncoder(preset=sp.eye(2, format="coo")), r"Convert it with .tocsr\(\)"),
        (RCPTEncoder(preset=deep()), "nested too deeply"),
        (CountVectorizer(input="filename"), "let texts name files"),
        (cycle(), "refers back"),
    ],
)
def test_refusals_name_the_place(value, message):
    with pytest.raises(SavedModelError, match=message):
        Packer().pack(value, "")


def test_attributes_that_are_neither_parameters_nor_fitted():
    encoder = RCPTEncoder()
    encoder.note = "mine"
    with pytest.raises(SavedModelError, match="`note` is no parameter and no fitted attribute"):
        Packer().pack(encoder, "")
