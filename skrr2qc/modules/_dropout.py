"""Dropout whose masks are drawn fast on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_STEPS = 256  # values of a byte


class ByteDropout(TorchFunctionMode):
    """Within this context, dropout on a CPU draws one byte an entry, eight from a random number.

    torch draws one number an entry, in one thread, which takes a fifth of a training step of a
    small encoder on two threads. Here a share is rounded to the nearest 256th, and what is kept is
    scaled by the share that is; a share that rounds to 0 or 1, ``inplace``, and tensors on other
    devices are left to torch. The numbers come from torch's own generator.

    Notes
    -----
    Networks that compute their activations once more in the backward pass must not be entered
    so: their second masks would be drawn outside. ``torch.func.vmap`` does not know this dropout.

    Examples
    --------
    >>> x = torch.ones(1000, 256)
    >>> with ByteDropout():
    ...     y = F.dropout(x, 0.5)
    >>> sorted(set(y.flatten().tolist()))
    [0.0, 2.0]
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.dropout:
            return _dropout(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False):
    n_dropped = round(_STEPS * p)
    if not training or inplace or input.device.type != "cpu" or not 0 < n_dropped < _STEPS:
        return F.dropout(input, p, training, inplace)
    n = input.numel()
    random = torch.empty((n + 7) // 8, dtype=torch.int64).random_(-(2**63), None)  # all 64 bits
    is_kept = random.view(torch.uint8)[:n].view(input.shape) >= n_dropped
    return input * (is_kept.to(input.dtype) * (_STEPS / (_STEPS - n_dropped)))
