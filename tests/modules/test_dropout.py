"""Dropout with masks of bytes: the share, the scale, the gradient, and what is left to torch."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from skrr2qc.modules._dropout import ByteDropout


def seeded(seed, function, *args, **kwargs):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return function(*args, **kwargs)


def fast(seed, x, *args, **kwargs):
    with ByteDropout():
        return seeded(seed, F.dropout, x, *args, **kwargs)


@pytest.mark.parametrize("share", [0.004, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_share_is_dropped_and_the_rest_is_scaled_by_what_is_kept(share, dtype):
    n = 200_000
    found = fast(0, torch.ones(n, dtype=dtype), share)
    assert found.dtype == dtype
    rounded = round(256 * share) / 256
    kept = found[found > 0].double()
    assert abs(1 - len(kept) / n - rounded) < 5 * (rounded * (1 - rounded) / n) ** 0.5
    assert kept.unique().tolist() == pytest.approx([1 / (1 - rounded)], rel=0.004)  # bfloat16


def test_all_bytes_of_a_random_number_count_alike():
    dropped = fast(0, torch.ones(100_000, 8), 0.5) == 0
    shares = dropped.double().mean(dim=0)  # of each place within eight
    assert (shares - 0.5).abs().max() < 0.01
    together = torch.corrcoef(dropped.T.double()) - torch.eye(8)
    assert together.abs().max() < 0.02


@pytest.mark.parametrize("shape", [(), (1,), (7,), (8,), (3, 5, 1), (0, 4)])
def test_any_shape(shape):
    found = fast(0, torch.full(shape, 3.0), 0.5)
    assert found.shape == shape
    assert set(found.flatten().tolist()) <= {0.0, 6.0}


def test_what_is_not_contiguous_is_not_mixed_up():
    x = torch.arange(1.0, 13.0).reshape(3, 4).T
    found = fast(0, x, 0.5)
    assert torch.equal(found[found > 0], 2 * x[found > 0])
    assert 0 < (found > 0).sum() < 12


def test_masks_follow_the_seed_and_differ_from_call_to_call():
    x, module = torch.ones(1000), nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5)).train()
    assert torch.equal(fast(1, x, 0.5), fast(1, x, 0.5))
    assert not torch.equal(fast(1, x, 0.5), fast(2, x, 0.5))
    with ByteDropout():
        twice = seeded(0, module, x)
    assert 0.15 < (twice > 0).double().mean() < 0.35  # and not one mask for both


def test_the_gradient_goes_where_the_values_went():
    x = torch.full((4, 6), 2.0, requires_grad=True)
    found = fast(0, x, 0.25)
    found.sum().backward()
    assert torch.equal(x.grad, found.detach() / 2)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"p": 0.5, "training": False},
        {"p": 0.0},
        {"p": 1.0},
        {"p": 0.001},
        {"p": 0.5, "inplace": True},
    ],
)
def test_the_rest_is_left_to_torch(kwargs):
    x = torch.ones(500)
    found, expected = fast(0, x.clone(), **kwargs), seeded(0, F.dropout, x.clone(), **kwargs)
    assert torch.equal(found, expected)


def test_other_devices_are_left_to_torch():
    assert fast(0, torch.ones(3, device="meta"), 0.5).device.type == "meta"


def test_a_share_that_is_none_is_refused_as_ever():
    with pytest.raises(ValueError, match="between 0 and 1"):
        fast(0, torch.ones(3), 1.5)


def test_outside_of_the_context_nothing_changes():
    x = torch.ones(100)
    expected = seeded(0, F.dropout, x, 0.5)
    fast(0, x, 0.5)
    assert torch.equal(seeded(0, F.dropout, x, 0.5), expected)
