"""Maximum over time: what a convolution and a maximum give, values and gradients, for less."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from skrr2qc.modules._max_over_time import _maxima, _MaximaOfConvolution, max_over_time


def convolution_then_maximum(inputs, convolution, is_window):
    """The same by torch's own means, each of which writes all windows."""
    maps = F.relu(convolution(inputs.transpose(1, 2)))
    return (maps * is_window[:, None, :]).amax(dim=2)


def draw(width, n_tokens=9, dtype=torch.double, seed=0):
    """Inputs of four texts, of which one is shorter, one has a single window and one has none."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(4, n_tokens, 5, generator=generator, dtype=dtype)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        convolution = nn.Conv1d(5, 7, width).to(dtype)
    is_window = torch.ones(4, n_tokens - width + 1, dtype=torch.bool)
    is_window[1, 4:] = is_window[2, 1:] = is_window[3] = False
    return inputs.requires_grad_(), convolution, is_window


def gradients(function, inputs, convolution, is_window):
    found = function(inputs, convolution, is_window)
    loss = (found * torch.arange(1.0, found.numel() + 1).view_as(found)).sum()
    return torch.autograd.grad(loss, [inputs, *convolution.parameters()])


def max_over_time_elsewhere(inputs, convolution, is_window):
    """What is done on an accelerator."""
    return F.relu(_maxima(inputs, convolution.weight, convolution.bias, is_window))


@pytest.mark.parametrize("function", [max_over_time, max_over_time_elsewhere])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 9])
def test_same_values_and_gradients_as_torch(width, function):
    drawn = draw(width)
    assert_close(function(*drawn), convolution_then_maximum(*drawn))
    found = gradients(function, *drawn)
    for f, e in zip(found, gradients(convolution_then_maximum, *drawn), strict=True):
        assert_close(f, e)


def test_all_windows_count():
    inputs, convolution, is_window = draw(2)
    is_window[:] = True
    drawn = inputs, convolution, is_window
    assert_close(max_over_time(*drawn), convolution_then_maximum(*drawn))


def test_gradients_by_finite_differences():
    inputs, convolution, is_window = draw(3)
    drawn = (inputs, convolution.weight, convolution.bias)
    assert torch.autograd.gradcheck(
        lambda *drawn: F.relu(_MaximaOfConvolution.apply(*drawn, is_window)), drawn
    )


def test_no_window_gives_zeros_and_no_gradient():
    inputs, convolution, is_window = draw(2)
    assert max_over_time(inputs, convolution, is_window)[3].tolist() == [0.0] * 7
    of_inputs = gradients(max_over_time, inputs, convolution, is_window)[0]
    assert not of_inputs[3].any()
    assert of_inputs[:3].any(dim=2).any(dim=1).all()


def test_nan_is_not_hidden():
    inputs, convolution, is_window = draw(2)
    with torch.no_grad():
        inputs[0, 3, 2] = torch.nan
    found = max_over_time(inputs, convolution, is_window)
    assert found[0].isnan().all()
    assert found[1:].isfinite().all()


def test_only_what_needs_a_gradient_gets_one():
    inputs, convolution, is_window = draw(2)
    convolution.requires_grad_(False)
    max_over_time(inputs, convolution, is_window).sum().backward()
    assert inputs.grad is not None
    assert convolution.weight.grad is None
    convolution.requires_grad_(True)
    max_over_time(inputs.detach(), convolution, is_window).sum().backward()
    assert convolution.weight.grad is not None


def test_half_of_the_digits():
    drawn = draw(3, n_tokens=40, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = max_over_time(*drawn)
        found_gradients = gradients(max_over_time, *drawn)
    expected_gradients = gradients(convolution_then_maximum, *drawn)
    assert found.dtype == torch.bfloat16
    assert_close(found.float(), convolution_then_maximum(*drawn), atol=0.05, rtol=0.02)
    for f, e in zip(found_gradients, expected_gradients, strict=True):
        assert f.dtype == torch.float32
        assert F.cosine_similarity(f.flatten(), e.flatten(), dim=0) > 0.98
