"""Cross-entropies: golden numbers, the equations in loops, corner cases, gradients."""

import math

import pytest
import torch
from numpy.testing import assert_allclose

from skrr2qc.losses import masked_language_model_loss, multilabel_cross_entropy
from tests.reference import losses as reference
from tests.reference.golden import golden_cases


def random_case(seed, n_texts=6, n_labels=5):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n_texts, n_labels, generator=generator, dtype=torch.float64)
    Y = (torch.rand(n_texts, n_labels, generator=generator) < 0.4).to(torch.int64)
    return logits, Y


@pytest.mark.parametrize("case", golden_cases("bce_with_logits"), ids=lambda case: case["id"])
def test_bce_golden(case):
    logits = torch.tensor(case["inputs"]["logits"], dtype=torch.float64)
    loss = multilabel_cross_entropy(logits, torch.tensor(case["inputs"]["targets"]))
    assert_allclose(float(loss), case["expected"]["mean"], rtol=1e-8)


def test_bce_by_hand():
    logits = torch.tensor([[math.log(3.0), 0.0]], dtype=torch.float64)  # probabilities 3/4, 1/2
    loss = multilabel_cross_entropy(logits, torch.tensor([[1, 0]]))
    assert_allclose(float(loss), (math.log(4 / 3) + math.log(2)) / 2, rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_bce_equals_the_equation(seed):
    logits, Y = random_case(seed)
    loss = multilabel_cross_entropy(logits, Y)
    assert_allclose(float(loss), reference.bce(logits.tolist(), Y.tolist()), rtol=1e-12)


def test_bce_keeps_to_the_type_of_the_logits():
    logits, Y = random_case(0)
    assert multilabel_cross_entropy(logits.float(), Y).dtype == torch.float32
    assert multilabel_cross_entropy(logits, Y.bool()).dtype == torch.float64


@pytest.mark.parametrize("value", [0, 1])
def test_bce_of_no_and_of_all_positives(value):
    logits, Y = random_case(1)
    loss = multilabel_cross_entropy(logits, torch.full_like(Y, value))
    sign = 1 - 2 * value  # softplus(z) where absent, softplus(-z) where present
    assert_allclose(float(loss), float(torch.nn.functional.softplus(sign * logits).mean()))


def test_bce_does_not_overflow():
    logits = torch.tensor([[1e4, -1e4]])
    right = multilabel_cross_entropy(logits, torch.tensor([[1, 0]]))
    wrong = multilabel_cross_entropy(logits, torch.tensor([[0, 1]]))
    assert_allclose([float(right), float(wrong)], [0.0, 1e4], rtol=1e-6)


def test_bce_does_not_depend_on_the_order_of_the_batch():
    logits, Y = random_case(2)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    loss = multilabel_cross_entropy(logits, Y)
    assert_allclose(float(multilabel_cross_entropy(logits[order], Y[order])), float(loss))


def test_bce_gradients():
    logits, Y = random_case(3)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: multilabel_cross_entropy(z, Y), logits)
    multilabel_cross_entropy(logits, Y).backward()
    assert (logits.grad != 0).all()
    assert ((logits.grad < 0) == Y.bool()).all()  # only true labels are pushed up


@pytest.mark.parametrize("seed", range(3))
def test_language_model_equals_the_equation(seed):
    logits, _ = random_case(seed, n_texts=4, n_labels=7)
    targets = torch.tensor([6, 0, 3, 3])
    expected = reference.masked_language_model(logits.tolist(), targets.tolist())
    assert_allclose(float(masked_language_model_loss(logits, targets)), expected, rtol=1e-12)


def test_language_model_by_hand():
    loss = masked_language_model_loss(torch.zeros(3, 8), torch.tensor([0, 5, 7]))
    assert_allclose(float(loss), math.log(8), rtol=1e-6)


def test_language_model_does_not_depend_on_the_order():
    logits, _ = random_case(4)
    targets, order = torch.tensor([0, 1, 2, 3, 4, 0]), torch.tensor([5, 3, 1, 0, 2, 4])
    loss = masked_language_model_loss(logits, targets)
    shuffled = masked_language_model_loss(logits[order], targets[order])
    assert_allclose(float(shuffled), float(loss), rtol=1e-12)


def test_language_model_without_a_chosen_token():
    logits = torch.zeros(0, 5, requires_grad=True)
    loss = masked_language_model_loss(logits, torch.zeros(0, dtype=torch.int64))
    assert loss.shape == ()
    assert loss.item() == 0.0
    loss.backward()  # a batch without a chosen token must not stop training


def test_language_model_gradients():
    logits, _ = random_case(5, n_texts=3)
    logits.requires_grad_()
    targets = torch.tensor([0, 4, 2])
    assert torch.autograd.gradcheck(lambda z: masked_language_model_loss(z, targets), logits)
    masked_language_model_loss(logits, targets).backward()
    assert (logits.grad != 0).all()
