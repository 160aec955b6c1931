"""What a head takes from its backbone; refused parameters and data are in test_class_center."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.frozen import FrozenEstimator

from skrr2qc import ClassCenterHead, RCPTEncoder
from skrr2qc.classifiers._head_checks import check_head, check_head_data, resolve_head
from tests.reference.tiny_bert import save_tiny_bert

X = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0]])


def resolved(head, n_texts=0):
    if head.encoder is not None:
        head.encoder_ = head.encoder
    return resolve_head(head, n_texts)


def test_on_features():
    expected = {"loss": "bce", "n_frozen_layers": 0, "n_epochs": 40, "lr": 5e-3}
    assert resolved(ClassCenterHead()) == expected


def test_on_a_backbone(tiny_encoder, tmp_path):
    compact = {"loss": "class_balanced", "n_frozen_layers": 0, "n_epochs": 12, "lr": 1e-3}
    assert resolved(ClassCenterHead(FrozenEstimator(tiny_encoder))) == compact
    save_tiny_bert(tmp_path)
    bert = RCPTEncoder(str(tmp_path), n_epochs=0).fit(["a text"])
    n_layers = bert.backbone_.n_layers
    pretrained = {"loss": "bce", "n_frozen_layers": n_layers // 2, "n_epochs": 3, "lr": 3e-4}
    assert resolved(ClassCenterHead(FrozenEstimator(bert))) == pretrained


def test_what_is_given_holds(tiny_encoder):
    given = {"loss": "focal", "n_frozen_layers": 0, "n_epochs": 1, "lr": 0.5}
    assert resolved(ClassCenterHead(FrozenEstimator(tiny_encoder), **given)) == given


@pytest.mark.parametrize(
    ("n_texts", "n_epochs"), [(8_000, 12), (9_600, 10), (12_000, 8), (20_000, 5), (10**6, 4)]
)
def test_many_texts_take_fewer_epochs(tiny_encoder, n_texts, n_epochs):
    head = ClassCenterHead(FrozenEstimator(tiny_encoder))
    assert resolved(head, n_texts)["n_epochs"] == n_epochs
    assert resolved(head.set_params(n_epochs=10), n_texts)["n_epochs"] == 10
    assert resolved(ClassCenterHead(), n_texts)["n_epochs"] == 40


def test_few_epochs_stay(tmp_path):
    save_tiny_bert(tmp_path)
    bert = RCPTEncoder(str(tmp_path), n_epochs=0).fit(["a text"])
    assert resolved(ClassCenterHead(FrozenEstimator(bert)), 10**6)["n_epochs"] == 3


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"checkpoint_steps": 0}, ValueError),
        ({"checkpoint_steps": 1.5}, TypeError),
        ({"checkpoint_dir": ""}, TypeError),
        ({"checkpoint_dir": 3}, TypeError),
    ],
)
def test_parameters_of_checkpoints(params, error):
    with pytest.raises(error, match=f"`{next(iter(params))}`"):
        check_head(ClassCenterHead(**params))


@pytest.mark.parametrize(
    ("y", "is_multilabel", "classes"),
    [
        (["b", "a", "b"], False, ["a", "b"]),
        (np.array([[1, 0], [0, 1], [1, 1]]), True, [0, 1]),
        (sp.csr_matrix([[1, 0], [0, 1], [1, 1]]), True, [0, 1]),
        (np.array([[1], [0], [1]]), False, [0, 1]),
    ],
)
@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
def test_kinds_of_targets(y, is_multilabel, classes):
    _, Y, found, is_indicator = check_head_data(ClassCenterHead(), X, y)
    assert_array_equal(found, classes)
    assert is_indicator == is_multilabel
    columns = np.asarray(y.todense() if sp.issparse(y) else y)
    if not is_multilabel:
        columns = columns.reshape(3, 1) == np.asarray(classes)
    assert_array_equal(Y.toarray(), columns)
