"""Convolution and maximum over time in one, whose backward pass reads the maxima alone."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def max_over_time(inputs: Tensor, convolution: nn.Conv1d, is_window: Tensor) -> Tensor:
    """Rectified maximum of each filter over the windows of each text; (B, S, I) -> (B, F).

    Of a text's S - w + 1 windows, only the maximum of each filter has a gradient. On a CPU the
    backward pass reads that one, where a convolution's own would multiply by all the others' zeros.

    Parameters
    ----------
    inputs : Tensor of shape (B, S, I)
    convolution : nn.Conv1d
        F filters of width w <= S over I inputs; without padding, stride or dilation.
    is_window : bool Tensor of shape (B, S - w + 1)
        Windows that count, by where they begin. A text without any gets zeros.

    Examples
    --------
    >>> convolution = nn.Conv1d(1, 1, 2, bias=False)
    >>> _ = nn.init.ones_(convolution.weight)
    >>> inputs = torch.tensor([[[1.0], [2.0], [3.0], [9.0]]])
    >>> max_over_time(inputs, convolution, torch.tensor([[True, True, False]])).tolist()
    [[5.0]]
    """
    function = _MaximaOfConvolution.apply if inputs.device.type == "cpu" else _maxima
    return F.relu(function(inputs, convolution.weight, convolution.bias, is_window))


def _maxima(inputs, weight, bias, is_window):
    """As torch's own operations find them, and their gradient."""
    maps = F.conv1d(inputs.transpose(1, 2), weight, bias)
    return maps.masked_fill(~is_window[:, None, :], -torch.inf).amax(dim=2)


class _MaximaOfConvolution(torch.autograd.Function):
    """The same without a product or a sum of zeros on the way back."""

    @staticmethod
    def forward(ctx, inputs, weight, bias, is_window):
        image = inputs.transpose(1, 2).unsqueeze(2)  # (B, I, 1, S), channels last
        maps = F.conv2d(image, weight.unsqueeze(2), bias)  # (B, F, 1, S - w + 1)
        if not is_window.all():
            maps.masked_fill_(~is_window[:, None, None, :], -torch.inf)
        maxima, starts = F.max_pool2d(maps, (1, maps.shape[3]), return_indices=True)
        ctx.save_for_backward(inputs, weight, starts[:, :, 0, 0])
        return maxima[:, :, 0, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        inputs, weight, starts = ctx.saved_tensors
        gradient = gradient.to(weight.dtype)
        n_texts, n_tokens = inputs.shape[:2]
        places = starts + n_tokens * torch.arange(n_texts).unsqueeze(1)  # in one row of all tokens
        of_inputs = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            rows = _of_tokens(gradient, weight, places, n_texts * n_tokens)
            of_inputs = rows.view(inputs.shape).to(inputs.dtype)
        if ctx.needs_input_grad[1]:
            of_weight = _of_filters(gradient, weight, places, inputs.flatten(0, 1))
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum(dim=0)
        return of_inputs, of_weight, of_bias, None


def _of_tokens(gradient, weight, places, n_rows):
    """Each token's sum over the filters that chose a window with it, (n_rows, I)."""
    n_texts, n_filters = places.shape
    places, order = places.flatten().sort()
    filters = torch.arange(n_filters).repeat(n_texts)[order]
    shares = gradient.flatten()[order]
    offsets = torch.searchsorted(places, torch.arange(n_rows))
    found = weight.new_zeros(n_rows, weight.shape[1])
    for step, slices in enumerate(weight.permute(2, 0, 1).contiguous()):  # (w, F, I)
        added = F.embedding_bag(filters, slices, offsets, mode="sum", per_sample_weights=shares)
        found[step:] += added[: n_rows - step]
    return found


def _of_filters(gradient, weight, places, tokens):
    """Each filter's sum over the windows it chose, (F, I, w)."""
    tokens, shares, places = tokens.to(weight.dtype), gradient.T.contiguous(), places.T.contiguous()
    found = [
        F.embedding_bag(places + step, tokens, mode="sum", per_sample_weights=shares)
        for step in range(weight.shape[2])
    ]
    return torch.stack(found, dim=2)
