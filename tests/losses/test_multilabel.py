"""Losses for rare labels: golden numbers, the equations in loops, corner cases, gradients."""

from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skrr2qc.losses import (
    asymmetric_loss,
    class_balanced_weights,
    focal_loss,
    multilabel_cross_entropy,
    zlpr_loss,
)
from tests.reference.golden import golden_cases

LOSSES = {
    "asymmetric": asymmetric_loss,
    "asymmetric, both powers": partial(asymmetric_loss, gamma_neg=2.0, gamma_pos=0.5, clip=0.0),
    "asymmetric, small power": partial(asymmetric_loss, gamma_neg=0.1, clip=0.2),
    "zlpr": zlpr_loss,
    "focal": focal_loss,
    "focal, small power": partial(focal_loss, gamma=0.3, alpha=0.25),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


def random_case(seed, n_texts=6, n_labels=5):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n_texts, n_labels, generator=generator, dtype=torch.float64)
    Y = (torch.rand(n_texts, n_labels, generator=generator) < 0.4).to(torch.int64)
    Y[0] = 0
    return logits, Y


def tensors_of(case):
    logits = torch.tensor(case["inputs"]["logits"], dtype=torch.float64)
    return logits, torch.tensor(case["inputs"]["targets"])


def check_expected(expected, found):
    assert found.keys() == expected.keys()  # no golden number is left out
    for name, value in expected.items():
        assert_allclose(found[name], value, rtol=1e-9, err_msg=name)


# ------------------------------------------------------------------------------- golden cases


@pytest.mark.parametrize("case", golden_cases("asymmetric_loss"), ids=lambda case: case["id"])
def test_asymmetric_golden(case):
    (logits, Y), inputs = tensors_of(case), case["inputs"]
    loss = asymmetric_loss(
        logits,
        Y,
        gamma_neg=inputs["gamma_neg"],
        gamma_pos=inputs["gamma_pos"],
        clip=inputs["margin"],
    )
    unclipped = asymmetric_loss(logits, Y, gamma_neg=1, clip=0)
    found = {
        "sum": len(logits) * float(loss),
        "mean_per_sample": float(loss),
        "sum_gn1_gp0_m0": len(logits) * float(unclipped),
    }
    check_expected(case["expected"], {name: found[name] for name in case["expected"]})


@pytest.mark.parametrize("case", golden_cases("zlpr_loss"), ids=lambda case: case["id"])
def test_zlpr_golden(case):
    logits, Y = tensors_of(case)
    logits.requires_grad_()
    loss = zlpr_loss(logits, Y)
    loss.backward()
    found = {
        "mean": loss.item(),
        "loss": loss.item(),
        "grad": logits.grad.tolist(),
        "per_sample": [zlpr_loss(z[None], y[None]).item() for z, y in zip(logits, Y, strict=True)],
    }
    check_expected(case["expected"], {name: found[name] for name in case["expected"]})


@pytest.mark.parametrize("case", golden_cases("focal_loss"), ids=lambda case: case["id"])
def test_focal_golden(case):
    logits, Y = tensors_of(case)
    weights = torch.tensor(case["inputs"].get("weights", 1.0))
    focal = partial(focal_loss, gamma=case["inputs"]["gamma"])
    entries = [[float(focal(z[None, None], y[None, None])) for z, y in zip(*row, strict=True)]
               for row in zip(logits, Y, strict=True)]  # fmt: skip
    found = {
        "unweighted": float(focal(logits, Y)),
        "elements": entries,
        "weighted": float(focal(logits, Y, weights=weights)),
        "weighted_targets_0.9": float(focal(logits, 0.9 * Y.double(), weights=weights)),
        "gamma0_equals_bce": float(focal_loss(logits, Y, gamma=0)),
        "alpha_balanced_0.25": float(focal(logits, Y, alpha=0.25)),
    }
    check_expected(case["expected"], {name: found[name] for name in case["expected"]})


# ------------------------------------------------------------------- the equations, in numpy


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "gamma_neg, gamma_pos, clip", [(4, 0, 0.05), (2.5, 1, 0.2), (0, 0, 0), (0.5, 0.5, 0)]
)
def test_asymmetric_equals_the_equation(seed, gamma_neg, gamma_pos, clip):
    logits, Y = random_case(seed)
    p, y = sigmoid(logits.numpy()), Y.numpy()
    shifted = np.maximum(p - clip, 0)
    positive = (1 - p) ** gamma_pos * np.log(p)
    negative = shifted**gamma_neg * np.log(1 - shifted)
    expected = -(y * positive + (1 - y) * negative).sum(axis=1).mean()
    loss = asymmetric_loss(logits, Y, gamma_neg=gamma_neg, gamma_pos=gamma_pos, clip=clip)
    assert_allclose(float(loss), expected, rtol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_zlpr_equals_the_equation(seed):
    logits, Y = random_case(seed)
    terms = []
    for z, y in zip(logits.numpy(), Y.numpy() == 1, strict=True):
        terms.append(np.log(1 + np.exp(z[~y]).sum()) + np.log(1 + np.exp(-z[y]).sum()))
    assert_allclose(float(zlpr_loss(logits, Y)), np.mean(terms), rtol=1e-12)


def test_zlpr_of_soft_labels():
    logits, _ = random_case(0)
    Y = torch.rand(logits.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    z, y = logits.numpy(), Y.numpy()
    absent = np.log(1 + ((1 - y) * np.exp(z)).sum(axis=1))
    present = np.log(1 + (y * np.exp(-z)).sum(axis=1))
    assert_allclose(float(zlpr_loss(logits, Y)), (absent + present).mean(), rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("gamma", [0, 0.5, 2, 5])
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_focal_equals_the_equation(seed, gamma, alpha):
    logits, Y = random_case(seed)
    p, y = sigmoid(logits.numpy()), Y.numpy()
    p_right = np.where(y == 1, p, 1 - p)
    weights = 1.0 if alpha is None else np.where(y == 1, alpha, 1 - alpha)
    expected = -(weights * (1 - p_right) ** gamma * np.log(p_right)).mean()
    assert_allclose(float(focal_loss(logits, Y, gamma=gamma, alpha=alpha)), expected, rtol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_two_losses_are_the_cross_entropy_at_their_limits(seed):
    logits, Y = random_case(seed)
    entropy = float(multilabel_cross_entropy(logits, Y))
    asymmetric = asymmetric_loss(logits, Y, gamma_neg=0, gamma_pos=0, clip=0)
    assert_allclose(float(asymmetric), entropy * Y.shape[1], rtol=1e-12)
    assert_allclose(float(focal_loss(logits, Y, gamma=0)), entropy, rtol=1e-12)


# ------------------------------------------------------------------------------- every loss


@every_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_finite_at_extreme_logits(loss, dtype):
    logits = torch.tensor([[1e4, -1e4, 0.0, 90.0, -90.0]] * 2, dtype=dtype, requires_grad=True)
    Y = torch.tensor([[1, 0, 1, 0, 1], [0, 1, 0, 1, 0]])
    value = loss(logits, Y)
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.isfinite(value)
    value.backward()
    assert torch.isfinite(logits.grad).all()
    exact = loss(logits.detach().double(), Y)
    assert_allclose(float(value.detach()), float(exact), rtol=1e-4)


@every_loss
def test_right_answers_cost_nothing_wrong_ones_much(loss):
    logits = torch.tensor([[1e4, -1e4]])
    assert_allclose(float(loss(logits, torch.tensor([[1, 0]]))), 0.0, atol=1e-30)
    assert float(loss(logits, torch.tensor([[0, 1]]))) > 1000


@every_loss
def test_does_not_depend_on_the_order(loss):
    logits, Y = random_case(3)
    texts, labels = torch.tensor([3, 0, 5, 1, 4, 2]), torch.tensor([4, 2, 0, 1, 3])
    shuffled = loss(logits[texts][:, labels], Y[texts][:, labels])
    assert_allclose(float(shuffled), float(loss(logits, Y)), rtol=1e-12)


@every_loss
def test_gradients(loss):
    logits, Y = random_case(4)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss(z, Y), logits)
    loss(logits, Y).backward()
    assert logits.grad.any(dim=1).all()
    assert (logits.grad[Y.bool()] < 0).all()  # true labels are pushed up, the others never
    assert (logits.grad[~Y.bool()] >= 0).all()


@every_loss
@pytest.mark.parametrize("value", [0, 1])
def test_no_and_all_positives(loss, value):
    logits, Y = random_case(5)
    logits.requires_grad_()
    result = loss(logits, torch.full_like(Y, value))
    assert result.shape == ()
    assert float(result.detach()) > 0
    result.backward()
    assert torch.isfinite(logits.grad).all()


def test_negatives_below_the_margin_are_left_alone():
    logits = torch.tensor([[-5.0, -3.5, 3.0]], requires_grad=True)  # p = 0.007, 0.029
    asymmetric_loss(logits, torch.tensor([[0, 0, 1]])).backward()
    assert logits.grad[0, :2].tolist() == [0.0, 0.0]
    assert logits.grad[0, 2] < 0


# ---------------------------------------------------------------------------- class weights


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.999])
def test_class_balanced_weights_equal_the_equation(beta):
    counts = np.array([1, 2, 7, 100, 5000])
    effective = np.array([sum(beta**i for i in range(n)) for n in counts])  # 1 + b + b^2 + ...
    expected = len(counts) * (1 / effective) / (1 / effective).sum()
    weights = class_balanced_weights(counts, beta)
    assert weights.dtype == torch.float32
    assert_allclose(weights, expected, rtol=1e-6)


def test_labels_without_a_text_weigh_as_with_one():
    weights = class_balanced_weights([0, 1, 50])
    assert weights[0] == weights[1] > weights[2]


@pytest.mark.parametrize("beta", [-0.1, 1.0, float("nan")])
def test_beta_out_of_range(beta):
    with pytest.raises(ValueError, match="`beta`"):
        class_balanced_weights([1, 2], beta)


def test_positive_weights_are_factors_on_true_labels():
    logits, Y = random_case(6)
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.5], dtype=torch.float64)
    p, y = sigmoid(logits.numpy()), Y.numpy()
    expected = -(weights.numpy() * y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    assert_allclose(float(multilabel_cross_entropy(logits, Y, weights)), expected, rtol=1e-12)
    alike = multilabel_cross_entropy(logits, Y, torch.ones(5))
    assert_allclose(float(alike), float(multilabel_cross_entropy(logits, Y)), rtol=1e-12)
