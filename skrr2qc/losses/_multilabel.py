"""Losses for rare labels: asymmetric, ZLPR, focal, and weights by effective numbers."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ._checks import check_alike, check_real


def asymmetric_loss(
    logits: Tensor,
    Y: Tensor,
    *,
    gamma_neg: float = 4.0,
    gamma_pos: float = 0.0,
    clip: float = 0.05,
) -> Tensor:
    """Cross-entropy that forgets easy negatives, summed over labels (Eq. 7 of [1]_).

    Parameters
    ----------
    logits : Tensor of shape (B, L)
    Y : Tensor of shape (B, L), values in [0, 1]
    gamma_neg, gamma_pos : float, at least 0
        Powers of the probability of a mistake that a negative and a positive are weighted with.
    clip : float in [0, 1)
        Taken off the probability of a negative; one below it contributes exactly 0.

    Returns
    -------
    loss : Tensor of shape ()
        Mean over texts, at least in float32.

    Notes
    -----
    The authors' code stops the gradient at the weights by default; here, as in the paper, it
    flows through them. With ``gamma_neg == gamma_pos == clip == 0`` it is the cross-entropy.

    References
    ----------
    .. [1] Ridnik et al. Asymmetric Loss for Multi-Label Classification. ICCV 2021.

    Examples
    --------
    >>> logits, Y = torch.tensor([[2.0, -4.0]]), torch.tensor([[1, 0]])
    >>> round(float(asymmetric_loss(logits, Y)), 4)  # the negative has p = 0.018
    0.1269
    """
    check_alike(logits=logits, Y=Y)
    gamma_neg = check_real(gamma_neg, "gamma_neg", minimum=0)
    gamma_pos = check_real(gamma_pos, "gamma_pos", minimum=0)
    clip = check_real(clip, "clip", minimum=0, maximum=1, is_open="high")
    logits, Y = _at_least_float32(logits, Y)
    p, q = torch.sigmoid(logits), torch.sigmoid(-logits)
    positive = _power(q, gamma_pos) * F.logsigmoid(logits)
    # Shifted, 1 - p cannot reach 0; unshifted, only the logarithm of the sigmoid is exact.
    log_absent = (q + clip).clamp(max=1.0).log() if clip else F.logsigmoid(-logits)
    negative = _power(p - clip, gamma_neg) * log_absent
    return -(Y * positive + (1 - Y) * negative).sum() / max(1, len(logits))


def zlpr_loss(logits: Tensor, Y: Tensor) -> Tensor:
    """Labels of a text above the threshold 0, all others below it (Eq. 5 of [1]_).

    Parameters
    ----------
    logits : Tensor of shape (B, L)
    Y : Tensor of shape (B, L), values in [0, 1]
        Values in between are the soft labels of the paper.

    Returns
    -------
    loss : Tensor of shape ()
        Mean over texts, at least in float32. It grows with the logarithm of the number of
        labels, where a summed cross-entropy grows with the number.

    References
    ----------
    .. [1] Su et al. ZLPR: A Novel Loss for Multi-label Classification. arXiv:2208.02955, 2022.

    Examples
    --------
    >>> round(float(zlpr_loss(torch.zeros(1, 4), torch.zeros(1, 4))), 4)  # log(1 + 4) + log(1)
    1.6094
    """
    check_alike(logits=logits, Y=Y)
    logits, Y = _at_least_float32(logits, Y)
    zero = torch.zeros_like(logits[:, :1])
    # The logarithm of a weight 0 is -inf, which leaves the entry out of its sum.
    absent = torch.cat([zero, logits + torch.log1p(-Y)], dim=1).logsumexp(dim=1)
    present = torch.cat([zero, Y.log() - logits], dim=1).logsumexp(dim=1)
    return (absent + present).sum() / max(1, len(logits))


def focal_loss(
    logits: Tensor,
    Y: Tensor,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Cross-entropy weighted by the probability of a mistake, mean over entries (Eq. 5 of [1]_).

    Parameters
    ----------
    logits : Tensor of shape (B, L)
    Y : Tensor of shape (B, L), values in [0, 1]
        With a soft target the probability of being right is exp(-cross-entropy).
    gamma : float, at least 0
        Power; 0 is the cross-entropy.
    alpha : float in [0, 1], default=None
        Weight of positives, negatives having ``1 - alpha``. None weighs both with 1.
    weights : Tensor of shape (B, L) or (), default=None
        Further factor on each entry.

    Returns
    -------
    loss : Tensor of shape ()
        At least in float32.

    References
    ----------
    .. [1] Lin et al. Focal Loss for Dense Object Detection. ICCV 2017.

    Examples
    --------
    >>> round(float(focal_loss(torch.zeros(1, 2), torch.tensor([[1, 0]]))), 4)  # log(2) / 4
    0.1733
    """
    check_alike(logits=logits, Y=Y)
    gamma = check_real(gamma, "gamma", minimum=0)
    if alpha is not None:
        alpha = check_real(alpha, "alpha", minimum=0, maximum=1)
    is_number = isinstance(weights, Tensor) and not weights.ndim  # which weighs all alike
    if weights is not None and not is_number:
        check_alike(logits=logits, weights=weights)
    logits, Y = _at_least_float32(logits, Y)
    entropies = F.binary_cross_entropy_with_logits(logits, Y, reduction="none")  # (B, L)
    losses = _power(-torch.expm1(-entropies), gamma) * entropies
    if alpha is not None:
        losses = losses * (alpha * Y + (1 - alpha) * (1 - Y))
    if weights is not None:
        losses = losses * weights
    return losses.mean()


def class_balanced_weights(counts: Sequence[int] | np.ndarray, beta: float = 0.9) -> Tensor:
    """One over the effective number of texts of a label, scaled to mean 1 (Eq. 2-4 of [1]_).

    Parameters
    ----------
    counts : array-like of shape (L,), int
        Training texts of each label. Labels without one count as if they had one.
    beta : float in [0, 1)
        0 weighs all labels alike; towards 1, weights approach one over the count. A label has at
        most ``1 / (1 - beta)`` effective texts.

    Returns
    -------
    weights : Tensor of shape (L,), float32
        For `positive_weights` of `multilabel_cross_entropy`.

    References
    ----------
    .. [1] Cui et al. Class-Balanced Loss Based on Effective Number of Samples. CVPR 2019.

    Examples
    --------
    >>> class_balanced_weights([1, 3], beta=0.5).tolist()  # 1 and 1.75 effective texts
    [1.2727..., 0.7272...]
    """
    beta = check_real(beta, "beta", minimum=0, maximum=1, is_open="high")
    n_texts = np.maximum(_check_counts(counts), 1.0)
    weights = (1.0 - beta) / (1.0 - beta**n_texts)
    return torch.from_numpy((weights / weights.mean()).astype(np.float32))


def _check_counts(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    try:
        found = np.asarray(counts)
    except ValueError as error:
        raise ValueError(f"`counts` must be one number per label, got {error}") from None
    if found.ndim != 1 or not found.size or found.dtype.kind not in "iuf":
        raise ValueError(
            f"`counts` must hold one number of texts per label, got shape {found.shape} and dtype "
            f"{found.dtype}. Y.sum(axis=0) counts them."
        )
    if not (np.isfinite(found).all() and found.min() >= 0):
        raise ValueError(
            f"`counts` must hold finite numbers >= 0, got {found.min()} to {found.max()}."
        )
    return found.astype(np.float64)


def _power(base: Tensor, exponent: float) -> Tensor:
    """Power of a number that may be 0, below which it is cut off; its gradient is finite."""
    return base.clamp(min=torch.finfo(base.dtype).tiny).pow(exponent)


def _at_least_float32(logits: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return logits, Y.to(logits.dtype)
