"""Losses: tensors of any content and shape; a finite number, or an error before work starts."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skrr2qc import losses

from .strategies import attempt, examples, indicators, odd_values, refused

values = st.one_of(
    st.floats(-80, 80, width=32),
    st.sampled_from([0.0, -0.0, 2.0**100, -(2.0**100), 2.0**-133, 80.0]),
)
OF_LABELS = {
    "multilabel_cross_entropy": losses.multilabel_cross_entropy,
    "asymmetric_loss": losses.asymmetric_loss,
    "zlpr_loss": losses.zlpr_loss,
    "focal_loss": losses.focal_loss,
}


def tensor(shape, elements=values):
    return arrays(np.float32, shape, elements=elements).map(torch.from_numpy)


@st.composite
def logits_and_targets(draw):
    Y = draw(indicators())
    return draw(tensor(Y.shape)), torch.from_numpy(Y)


def assert_loss(value):
    assert isinstance(value, torch.Tensor)
    assert value.ndim == 0
    assert torch.isfinite(value), value


@pytest.mark.parametrize("name", OF_LABELS)
@examples(25)
@given(logits_and_targets())
def test_losses_of_labels_are_finite(name, case):
    logits, Y = case
    expected = OF_LABELS[name](logits, Y)
    assert_loss(expected)
    assert expected >= 0
    for kind in (torch.bool, torch.int64, torch.float64):
        assert OF_LABELS[name](logits, Y.to(kind)) == expected


@pytest.mark.parametrize("name", OF_LABELS)
@examples(15)
@given(logits_and_targets(), st.lists(st.integers(0, 4), max_size=3), odd_values)
def test_shapes_that_do_not_fit_are_refused(name, case, shape, odd):
    logits, Y = case
    other = torch.zeros(shape)
    if other.shape != logits.shape:
        refused(lambda: OF_LABELS[name](logits, other), about=["Y"])
        refused(lambda: OF_LABELS[name](other, Y), about=["logits", "Y"])
    refused(lambda: OF_LABELS[name](logits, odd), about=["Y"])
    refused(lambda: OF_LABELS[name](odd, Y), about=["logits"])
    if other.shape != (logits.shape[1],):
        about = ["positive_weights"]
        refused(lambda: losses.multilabel_cross_entropy(logits, Y, other), about=about)
    if other.ndim and other.shape != logits.shape:
        refused(lambda: losses.focal_loss(logits, Y, weights=other), about=["weights"])


numbers = st.one_of(odd_values, st.floats(), st.integers(-3, 3), st.none())
LOGITS, TARGETS = torch.tensor([[2.0, -1.0], [0.5, 3.0]]), torch.tensor([[1, 0], [0, 0]])
RANKS, TEMPERATURES = torch.tensor([[0, 1], [2, 1]]), torch.tensor([0.1, 0.2, 0.4])
CALLS = {
    "gamma_neg": lambda v: losses.asymmetric_loss(LOGITS, TARGETS, gamma_neg=v),
    "gamma_pos": lambda v: losses.asymmetric_loss(LOGITS, TARGETS, gamma_pos=v),
    "clip": lambda v: losses.asymmetric_loss(LOGITS, TARGETS, clip=v),
    "gamma": lambda v: losses.focal_loss(LOGITS, TARGETS, gamma=v),
    "alpha": lambda v: losses.focal_loss(LOGITS, TARGETS, alpha=v),
    "form": lambda v: losses.class_center_loss(LOGITS, TARGETS, LOGITS, form=v),
    "form without labels": lambda v: losses.class_center_loss(LOGITS, TARGETS * 0, LOGITS, form=v),
    "counts": losses.class_balanced_weights,
    "beta": lambda v: losses.class_balanced_weights([1, 5], v),
    "max_rank": losses.ranking_temperatures,
    "low": lambda v: losses.ranking_temperatures(3, low=v),
    "high": lambda v: losses.ranking_temperatures(3, high=v),
    "spacing": lambda v: losses.ranking_temperatures(3, spacing=v),
    "variant": lambda v: losses.ranking_contrastive_loss(LOGITS, RANKS, TEMPERATURES, variant=v),
    "discount": lambda v: losses.ranking_contrastive_loss(LOGITS, RANKS, TEMPERATURES, discount=v),
    "variant of RINCE": lambda v: losses.rince_loss(LOGITS, RANKS, TEMPERATURES, variant=v),
    "similarities": lambda v: losses.ranking_contrastive_loss(v, RANKS, TEMPERATURES),
    "ranks": lambda v: losses.rince_loss(LOGITS, v, TEMPERATURES),
    "temperatures": lambda v: losses.ranking_contrastive_loss(LOGITS, RANKS, v),
    "features": lambda v: losses.class_center_loss(v, TARGETS, LOGITS),
    "centers": lambda v: losses.class_center_loss(LOGITS, TARGETS, v),
    "targets": lambda v: losses.masked_language_model_loss(LOGITS, v),
}


@pytest.mark.parametrize("name", CALLS)
@examples(25)
@given(numbers)
def test_odd_parameters(name, value):
    found = attempt(lambda: CALLS[name](value), about=[name.split()[0]])
    if found is not None:
        assert torch.isfinite(found).all(), f"{found} for {value!r}"


shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)


@examples(60)
@given(shapes, shapes, shapes, st.data())
def test_any_shapes(one, other, third, data):
    drawn = [data.draw(tensor(shape)) for shape in (one, other, third)]
    whole = data.draw(arrays(np.int64, other, elements=st.integers(-1, 3)).map(torch.from_numpy))
    small = drawn[0].clamp(-1, 1)
    about = ["similarities", "ranks", "temperatures"]
    cases = [
        (lambda: losses.class_center_loss(drawn[0], whole.clamp(0, 1), drawn[2]), None),
        (lambda: losses.masked_language_model_loss(drawn[0], whole), ["logits", "targets"]),
        (lambda: losses.ranking_contrastive_loss(small, whole, drawn[2]), about),
        (lambda: losses.rince_loss(small, whole, drawn[2].abs() + 0.1), about),
        (lambda: losses.ranking_contrastive_loss(small, whole, TEMPERATURES, drawn[2]), None),
        (lambda: losses.ranking_contrastive_loss(small, whole, TEMPERATURES, None, drawn[2]), None),
    ]
    for call, names in cases:
        found = attempt(call, about=names or ())
        if found is not None:
            assert found.ndim == 0
            assert not torch.isnan(found)


@examples(40)
@given(st.data(), st.integers(1, 4), st.integers(1, 5), st.sampled_from(["in", "out", "paper"]))
def test_ranking_losses_are_finite(data, n_anchors, n_items, variant):
    similarities = data.draw(tensor((n_anchors, n_items), st.floats(-1, 1, width=32)))
    ranks = data.draw(arrays(np.int64, (n_anchors, n_items), elements=st.integers(0, 4)))
    closeness = data.draw(tensor((n_anchors, n_items), st.floats(0, 1, width=32)))
    valid = torch.from_numpy(data.draw(arrays(bool, (n_anchors, n_items))))
    temperatures = losses.ranking_temperatures(4, low=0.05, high=0.9)
    arguments = (similarities, torch.from_numpy(ranks), temperatures)
    assert_loss(losses.ranking_contrastive_loss(*arguments, closeness, valid, variant=variant))
    if variant != "paper":
        assert_loss(losses.rince_loss(*arguments, valid, variant=variant))
