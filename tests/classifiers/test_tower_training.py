"""Ancestors worth a score, rows held out, learning rates of layers, starts of labels."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator

from skrr2qc import LabelSpace, RCPTEncoder
from skrr2qc.classifiers._tower_training import (
    LOSSES,
    ancestor_columns,
    check_frozen_layers,
    check_loss,
    hold_out,
    label_loss,
    label_starts,
    layer_groups,
    with_further_targets,
)
from skrr2qc.modules import CompactBackbone, FeatureTower, LabelHead, TextTower
from tests.reference.tiny_bert import save_tiny_bert

NAMES = ["a", "b", "c", "d", "e"]


@pytest.fixture
def labels():
    """Root over all but e; `low` over a and b, as does `twin`; `lone` over c; d is above e."""
    parents = {
        "a": "low", "b": "low", "low": "twin", "twin": "root", "c": "lone", "lone": "root",
        "d": "root", "e": "d",
    }  # fmt: skip
    return LabelSpace(NAMES, parents=parents)


def test_ancestors_worth_a_score(labels):
    """Not `lone` (one label), `root` (all), nor `twin` (the labels of `low`); labels count too."""
    above = ancestor_columns(labels, sp.csr_matrix(np.eye(5)))
    columns = {tuple(np.array(NAMES)[column > 0]) for column in above.toarray().T}
    assert columns == {("a", "b"), ("d", "e")}
    assert above.shape == (5, 2)


def test_ancestors_without_a_text_are_left_out(labels):
    Y = sp.csr_matrix(np.eye(5)[:3])
    assert ancestor_columns(labels, Y).T.toarray().tolist() == [[1, 1, 0, 0, 0]]


@pytest.mark.parametrize(
    "labels",
    [None, LabelSpace(["a", "b"]), LabelSpace(["a", "b"], parents={"a": "x", "b": "x"})],
)
def test_no_ancestors(labels):
    assert ancestor_columns(labels, sp.csr_matrix(np.eye(2))) is None


def test_targets_of_ancestors(labels):
    Y = sp.csr_matrix([[1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0.0]])
    above = ancestor_columns(labels, Y)
    targets = with_further_targets(Y, [above, above[:, :1]])
    assert_array_equal(targets[:, :5].toarray(), Y.toarray())
    expected = (Y.toarray() @ above.toarray() > 0).astype(int)
    assert_array_equal(targets[:, 5:7].toarray(), expected)
    assert_array_equal(targets[:, 7:].toarray(), expected[:, :1])
    assert expected.sum() == 2  # `low` for the first text, `d` for the third
    assert with_further_targets(Y, []) is Y


@pytest.mark.parametrize("kind", [list, np.asarray, lambda X: sp.csr_matrix(np.asarray(X))])
def test_held_out_rows(kind):
    rng = np.random.default_rng(0)
    Y = sp.csr_matrix(np.eye(3)[rng.integers(3, size=40)])
    X = kind([[i + 1.0, 0.0] for i in range(40)])
    parts = hold_out(X, Y, 0.25, np.random.default_rng(0))
    assert [targets.shape for _, targets in parts] == [(30, 3), (10, 3)]
    rows = []
    for inputs, targets in parts:
        numbers = np.asarray(inputs.todense() if sp.issparse(inputs) else inputs)[:, 0]
        rows.append(numbers.astype(int) - 1)
        assert_array_equal(targets.toarray(), Y[rows[-1]].toarray())
    assert sorted(np.concatenate(rows)) == list(range(40))
    again = hold_out(X, Y, 0.25, np.random.default_rng(0))
    assert_array_equal(again[1][1].toarray(), parts[1][1].toarray())


def test_nothing_held_out_draws_nothing():
    rng, Y = np.random.default_rng(0), sp.csr_matrix(np.eye(3))
    ((inputs, targets),) = hold_out([1, 2, 3], Y, None, rng)
    assert inputs == [1, 2, 3]
    assert targets is Y
    assert rng.integers(1 << 30) == np.random.default_rng(0).integers(1 << 30)


def test_starts_of_labels():
    Y = sp.csr_matrix([[1, 0, 0], [1, 1, 0.0]])
    embeddings = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    names = np.array([[0.0, 1.0], [3.0, 3.0], [0.6, 0.8]], dtype=np.float32)

    def starts(**params):
        return label_starts(Y, embeddings, np.random.default_rng(0), **params).numpy()

    half = 0.5**0.5
    assert_allclose(starts()[:2], [[half, half], [0, 1]], rtol=1e-6)
    assert_allclose(np.linalg.norm(starts()[2]), 1, rtol=1e-6)
    blend = [[5**-0.5, 2 * 5**-0.5], [0.6, 0.8], [0.6, 0.8]]
    assert_allclose(starts(names=names), blend, rtol=1e-6)
    expected = [[0, 1], [half, half], [0.6, 0.8]]
    assert_allclose(starts(names=names, names_alone=True), expected, rtol=1e-6)


def test_empty_name_is_drawn_and_not_written_back():
    names = np.zeros((1, 2), dtype=np.float32)
    rng = np.random.default_rng(0)
    vectors = label_starts(sp.csr_matrix((1, 1)), np.zeros((1, 2)), rng, names, True)
    assert_allclose(np.linalg.norm(vectors), 1, rtol=1e-6)
    assert not names.any()  # they are the encoder's own


def test_learning_rates_of_the_compact_backbone():
    tower = TextTower(CompactBackbone(15, 16), 0, LabelHead(16, 2))
    groups = layer_groups(tower, tower, 0.1, 0.5)
    assert groups == [("upper.layers.0.*", {"lr": 0.1}), ("upper.embeddings.*", {"lr": 0.05})]
    assert layer_groups(tower, tower, 0.1, 1.0) == []
    assert layer_groups(None, FeatureTower(2, 2, 2), 0.1, 0.5) == []  # has no layers


# --- a loss of the user's own ------------------------------------------------------------------

TARGETS = sp.csr_matrix([[0, 1, 0], [0, 0, 0], [1, 1, 1], [0, 0, 1.0]])


def test_loss_of_a_user_is_tried_on_the_most_and_the_fewest_labels():
    seen = []

    def loss(logits, Y):
        seen.append((tuple(logits.shape), Y.tolist()))
        torch.rand(1)
        return logits.sum()

    before = torch.get_rng_state()
    check_loss(loss, TARGETS, "cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert seen == [((2, 3), [[1, 1, 1], [0, 0, 0]])]
    name, function = label_loss(loss, TARGETS)
    assert (name, len(seen)) == ("label_loss", 1)
    assert function(torch.ones(1, 3), torch.zeros(1, 3)) == 3
    assert seen[1:] == [((1, 3), [[0, 0, 0]])]


def test_targets_stay_as_they_are_whatever_a_loss_of_a_user_does_to_them():
    _, loss = label_loss(lambda logits, Y: (logits - Y.mul_(2)).sum(), TARGETS)
    targets = torch.ones(1, 3)
    assert loss(torch.zeros(1, 3), targets) == -6
    assert targets.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("loss", [*LOSSES, lambda logits, Y: (logits * 0.0).sum()])
def test_losses_that_can_be_trained_with(loss):
    check_loss(loss, TARGETS, "cpu")


def no_positive_is_constant(logits, Y):
    return logits[Y > 0].sum() if Y.any() else torch.tensor(0.0)


def test_loss_may_be_constant_without_positives():
    check_loss(no_positive_is_constant, TARGETS, "cpu")


@pytest.mark.parametrize(
    "loss, error, message",
    [
        (lambda logits, Y: logits.detach().sum(), ValueError, "has no gradient"),
        (lambda logits, Y: torch.tensor(1.0), ValueError, "has no gradient"),
        (lambda logits, Y: torch.ones((), requires_grad=True) * 2, ValueError, "no gradient"),
        (lambda logits, Y: ((logits > 0) == Y).float().mean(), ValueError, "has no gradient"),
        (lambda logits, Y: logits.sum() / 0.0, ValueError, r"is nan .* 0 to 3 of 3 labels"),
        (lambda logits, Y: logits[Y.sum(1) == 0].sum() + torch.inf, ValueError, "is inf"),
        (lambda logits, Y: logits, TypeError, r"0-d tensor .* got \(2, 3\)"),
        (lambda logits, Y: 1.0, TypeError, "0-d tensor .* got float"),
    ],
)
def test_losses_that_cannot_be_trained_with(loss, error, message):
    with pytest.raises(error, match=f"`loss` .*{message}"):
        check_loss(loss, TARGETS, "cpu")


# --- how deep an encoder is --------------------------------------------------------------------


def test_frozen_layers_are_counted_before_an_encoder_is_fitted(tmp_path):
    save_tiny_bert(tmp_path)
    unfitted = RCPTEncoder(str(tmp_path))
    fitted = clone(unfitted).fit(["mean"])
    for encoder in (unfitted, fitted, FrozenEstimator(fitted)):
        check_frozen_layers(4, encoder)
        with pytest.raises(ValueError, match="`n_frozen_layers` == 5, .* has 4 layers.*at most 4"):
            check_frozen_layers(5, encoder)
    with pytest.raises(ValueError, match="`n_frozen_layers` == 2, but .* has 1 layer. "):
        check_frozen_layers(2, RCPTEncoder())


@pytest.mark.parametrize(
    "encoder", [None, TfidfVectorizer(), RCPTEncoder("./no-such-folder"), RCPTEncoder(3)]
)
def test_depth_that_nobody_knows_is_left_to_the_fit(encoder):
    check_frozen_layers(99, encoder)
