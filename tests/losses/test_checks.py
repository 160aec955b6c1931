"""Checks of the losses: what they refuse was broadcast, became NaN, or failed within torch."""

import pytest
import torch

from skrr2qc.losses import (
    asymmetric_loss,
    class_balanced_weights,
    class_center_loss,
    focal_loss,
    masked_language_model_loss,
    multilabel_cross_entropy,
    ranking_contrastive_loss,
    ranking_temperatures,
    rince_loss,
    zlpr_loss,
)

LOGITS, Y = torch.zeros(2, 3), torch.tensor([[1, 0, 0], [0, 1, 1]])
RANKS, TEMPERATURES = torch.tensor([[0, 1, 2]] * 2), torch.tensor([0.1, 0.2, 0.4])


@pytest.mark.parametrize("loss", [asymmetric_loss, zlpr_loss, focal_loss, multilabel_cross_entropy])
@pytest.mark.parametrize("wrong", [Y[0], Y[:, :1], Y[:1], Y[None]])
def test_targets_are_not_broadcast(loss, wrong):
    """One row of targets was taken for all texts by two of them: a wrong loss, silently."""
    with pytest.raises(ValueError, match=r"`Y` must have .*shape \(B, L\), got"):
        loss(LOGITS, wrong)
    with pytest.raises(TypeError, match="`logits` must be a tensor"):
        loss([[0.0]], Y)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: asymmetric_loss(LOGITS, Y, gamma_neg=-1), ValueError, "`gamma_neg` == -1"),
        (lambda: asymmetric_loss(LOGITS, Y, clip=1), ValueError, r"must be in \[0, 1\)"),
        (lambda: focal_loss(LOGITS, Y, gamma=float("nan")), ValueError, "`gamma` == nan"),
        (lambda: focal_loss(LOGITS, Y, alpha="x"), TypeError, "`alpha` must be a number"),
        (lambda: focal_loss(LOGITS, Y, weights=Y[0]), ValueError, "`weights` must have shape"),
        (lambda: multilabel_cross_entropy(LOGITS, Y, Y[0, :1]), ValueError, "one weight per label"),
        (lambda: class_balanced_weights([1, float("nan")]), ValueError, "`counts` must hold"),
        (lambda: class_balanced_weights([]), ValueError, "`counts` must hold one number"),
        (lambda: class_center_loss(LOGITS, Y, LOGITS), ValueError, "must fit each other"),
        (lambda: class_center_loss(LOGITS, Y * 0, torch.eye(3), form="x"), ValueError, "`form`"),
        (lambda: ranking_temperatures(0), ValueError, "`max_rank` must be from 1"),
        (lambda: ranking_temperatures(2, low=0.0), ValueError, "`low` == 0.0"),
        (lambda: ranking_temperatures(2, high=float("inf")), ValueError, "`high` == inf"),
        (lambda: masked_language_model_loss(LOGITS, Y[0]), ValueError, "one row per chosen token"),
        (
            lambda: masked_language_model_loss(LOGITS, -RANKS[0, :2] - 100),
            ValueError,
            "from 0 to 2",
        ),
    ],
)
def test_values_that_made_nan_or_failed_in_torch(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("loss", [ranking_contrastive_loss, rince_loss])
def test_what_rankings_are_made_of(loss):
    with pytest.raises(ValueError, match=r"`similarities` and `ranks` must have the same shape"):
        loss(LOGITS, RANKS[:1], TEMPERATURES)
    with pytest.raises(TypeError, match="`ranks` must hold integers"):
        loss(LOGITS, RANKS.float(), TEMPERATURES)
    with pytest.raises(ValueError, match="`temperatures` must hold at least one number > 0"):
        loss(LOGITS, RANKS, -TEMPERATURES)
    with pytest.raises(ValueError, match="`temperatures` must have shape"):
        loss(LOGITS, RANKS, TEMPERATURES[None])
    with pytest.raises(TypeError, match="`valid` must be a tensor of bool"):
        loss(LOGITS, RANKS, TEMPERATURES, valid=RANKS)
    with pytest.raises(ValueError, match="`valid` must have the shape of `ranks`"):
        loss(LOGITS, RANKS, TEMPERATURES, valid=torch.ones(3, 2, dtype=torch.bool))


def test_ranks_beyond_the_temperatures():
    with pytest.raises(ValueError, match="`ranks` must hold numbers from 0 to 2, got 0 to 3"):
        ranking_contrastive_loss(LOGITS, RANKS.clamp(max=1) * 3, TEMPERATURES)
    expected = ranking_contrastive_loss(LOGITS, RANKS, TEMPERATURES)
    assert ranking_contrastive_loss(LOGITS, RANKS.int(), TEMPERATURES) == expected
