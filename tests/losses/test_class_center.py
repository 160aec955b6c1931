"""Class-center loss in both forms: golden numbers, loops, corner cases, gradients."""

import pytest
import torch
from numpy.testing import assert_allclose

from skrr2qc.losses import class_center_loss
from tests.reference import losses as reference
from tests.reference.golden import golden_cases

FORMS = ["paper", "released"]
GOLDEN_NAMES = {"paper": "paper_squared_to_mean", "released": "released_code_mean_of_distances"}


def random_case(seed, n_texts=6, n_labels=5, n_features=3):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n_texts, n_features, generator=generator, dtype=torch.float64)
    centers = torch.randn(n_labels, n_features, generator=generator, dtype=torch.float64)
    Y = (torch.rand(n_texts, n_labels, generator=generator) < 0.4).to(torch.int64)
    Y[0], Y[1, 0] = 0, 1  # one text without a label, and one that surely has one
    return features, Y, centers


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", golden_cases("class_center_loss"), ids=lambda case: case["id"])
def test_golden(case, form):
    features, Y, centers = (
        torch.tensor(case["inputs"][name], dtype=torch.float64)
        for name in ("features", "Y", "centers")
    )
    loss = class_center_loss(features, Y, centers, form=form)
    assert_allclose(float(loss), case["expected"][GOLDEN_NAMES[form]], rtol=1e-8)


def test_by_hand():
    features, centers = torch.zeros(1, 2), torch.tensor([[3.0, 4.0], [0.0, 1.0], [9.0, 9.0]])
    Y = torch.tensor([[1, 1, 0]])
    assert_allclose(float(class_center_loss(features, Y, centers)), 1.5**2 + 2.5**2)
    assert_allclose(float(class_center_loss(features, Y, centers, form="released")), (5 + 1) / 2)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(5))
def test_equals_the_equation(seed, form):
    features, Y, centers = random_case(seed)
    expected = reference.class_center(features.tolist(), Y.tolist(), centers.tolist(), form)
    loss = class_center_loss(features, Y, centers, form=form)
    assert_allclose(float(loss), expected, rtol=1e-10)  # 1e-12 under the root of "released"


def test_forms_differ_by_the_variance_of_the_centers():
    """Mean of squared distances = squared distance to the mean + variance (spec, section 9)."""
    features, _, centers = random_case(0)
    features, Y = features[:1], torch.ones(1, len(centers))
    mean_of_squares = (features - centers).square().sum(dim=1).mean()
    variance = (centers - centers.mean(dim=0)).square().sum(dim=1).mean()
    loss = class_center_loss(features, Y, centers)
    assert_allclose(float(loss), float(mean_of_squares - variance), rtol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_does_not_depend_on_the_order_of_the_batch(form):
    features, Y, centers = random_case(1)
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    loss = class_center_loss(features, Y, centers, form=form)
    shuffled = class_center_loss(features[order], Y[order], centers, form=form)
    assert_allclose(float(shuffled), float(loss), rtol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_without_a_label_is_zero_and_can_be_trained(form):
    features, Y, centers = random_case(2)
    features.requires_grad_()
    centers.requires_grad_()
    loss = class_center_loss(features, torch.zeros_like(Y), centers, form=form)
    assert loss.shape == ()
    assert loss.item() == 0.0
    loss.backward()
    assert not features.grad.any()
    assert not centers.grad.any()


def test_with_all_labels():
    features, Y, centers = random_case(3)
    loss = class_center_loss(features, torch.ones_like(Y), centers)
    expected = (features - centers.mean(dim=0)).square().sum(dim=1).mean()
    assert_allclose(float(loss), float(expected), rtol=1e-12)


def test_rows_without_a_label_are_left_out_of_the_mean():
    features, Y, centers = random_case(4)
    loss = class_center_loss(features, Y, centers)
    is_labelled = Y.any(dim=1)
    assert not is_labelled.all()
    alone = class_center_loss(features[is_labelled], Y[is_labelled], centers)
    assert_allclose(float(loss), float(alone), rtol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_gradients(form):
    features, Y, centers = random_case(5)
    features.requires_grad_()
    centers.requires_grad_()

    def loss(features, centers):
        return class_center_loss(features, Y, centers, form=form)

    assert torch.autograd.gradcheck(loss, (features, centers))
    loss(features, centers).backward()
    is_labelled, is_used = Y.any(dim=1), Y.any(dim=0)
    assert features.grad[is_labelled].all()
    assert centers.grad[is_used].all()
    assert not features.grad[~is_labelled].any()
    assert not centers.grad[~is_used].any()


def test_gradient_is_finite_where_a_text_sits_on_its_center():
    features = torch.ones(1, 3, requires_grad=True)
    class_center_loss(features, torch.ones(1, 1), torch.ones(1, 3), form="released").backward()
    assert torch.isfinite(features.grad).all()


def test_unknown_form():
    features, Y, centers = random_case(6)
    with pytest.raises(ValueError, match="'paper' or 'released', got 'squared'"):
        class_center_loss(features, Y, centers, form="squared")
