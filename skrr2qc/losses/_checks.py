"""Checks shared by the losses: tensors that fit each other, numbers within their range."""

from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor


def check_tensor(value: Any, name: str, shape: str) -> None:
    """Raise an error unless `value` is a tensor with as many dimensions as `shape` names.

    Parameters
    ----------
    value : object
    name : str
        How messages call it.
    shape : str
        Names of the dimensions, such as "B, L".
    """
    if not isinstance(value, Tensor):
        kind = type(value).__name__
        raise TypeError(f"`{name}` must be a tensor of shape ({shape}), got {kind}: {value!r:.80}.")
    if value.ndim != len(shape.split()):
        raise ValueError(f"`{name}` must have shape ({shape}), got {tuple(value.shape)}.")


def check_alike(**tensors: Any) -> None:
    """Raise an error unless all are matrices (B, L) of one shape, which never are broadcast."""
    (first, reference), *others = tensors.items()
    check_tensor(reference, first, "B, L")
    for name, value in others:
        check_tensor(value, name, "B, L")
        if value.shape != reference.shape:
            raise ValueError(
                f"`{first}` and `{name}` must have the same shape (B, L), got "
                f"{tuple(reference.shape)} and {tuple(value.shape)}."
            )


def check_whole(value: Tensor, name: str, n: int | None = None) -> None:
    """Raise an error unless a tensor holds integers, from 0 to n - 1 where they can be looked at.

    What is on another device is not looked at: that would wait for all that is under way there.
    """
    if value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
        raise TypeError(f"`{name}` must hold integers, got {value.dtype}. Convert with .long().")
    if n is None or value.device.type != "cpu" or not value.numel():
        return
    low, high = int(value.min()), int(value.max())
    if low < 0 or high >= n:
        raise ValueError(f"`{name}` must hold numbers from 0 to {n - 1}, got {low} to {high}.")


def check_real(
    value: Any, name: str, *, minimum: float, maximum: float = 1e30, is_open: str = ""
) -> float:
    """Return a number as a float if it is within bounds; `is_open` may be "low" or "high"."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"`{name}` must be a number, got {value!r:.80}.")
    number: Any = value
    is_inside = minimum < number if is_open == "low" else minimum <= number
    if not (is_inside and (number < maximum if is_open == "high" else number <= maximum)):
        left, right = "(" if is_open == "low" else "[", ")" if is_open == "high" else "]"
        raise ValueError(
            f"`{name}` == {value!r:.80}, must be in {left}{minimum:g}, {maximum:g}{right}."
        )
    return float(number)


def check_count(value: Any, name: str, maximum: int) -> None:
    """Raise an error unless `value` is an integer from 1 to `maximum`."""
    number: Any = value
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"`{name}` must be an integer, got {value!r:.80}.")
    if not 1 <= number <= maximum:
        raise ValueError(f"`{name}` must be from 1 to {maximum}, got {value!r:.80}.")


def check_choice(value: Any, name: str, choices: tuple[str, ...]) -> None:
    """Raise a ValueError unless `value` is one of the named choices."""
    if not isinstance(value, str) or value not in choices:
        shown = ", ".join(map(repr, choices[:-1]))
        raise ValueError(f"`{name}` must be {shown} or {choices[-1]!r}, got {value!r:.80}.")
