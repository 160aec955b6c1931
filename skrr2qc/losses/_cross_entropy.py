"""Cross-entropies: over labels, and over masked tokens."""

import torch.nn.functional as F
from torch import Tensor

from ._checks import check_alike, check_tensor, check_whole


def multilabel_cross_entropy(
    logits: Tensor, Y: Tensor, positive_weights: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy averaged over texts and labels (Eq. 8 of [1]_).

    Parameters
    ----------
    logits : Tensor of shape (B, L)
    Y : Tensor of shape (B, L), {0, 1}
    positive_weights : Tensor of shape (L,), default=None
        Factor on the terms of the texts that have a label.

    Returns
    -------
    loss : Tensor of shape ()

    Notes
    -----
    The equation is printed with ``1 - log P`` in its second term and a minus sign on the first
    alone; this is the usual form, computed stably from logits. See docs/decisions/0003.

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv:2411.01841, 2024.

    Examples
    --------
    >>> import torch
    >>> round(float(multilabel_cross_entropy(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))), 4)
    0.6931
    """
    check_alike(logits=logits, Y=Y)
    if positive_weights is not None:
        check_tensor(positive_weights, "positive_weights", "L")
        if len(positive_weights) != logits.shape[1]:
            raise ValueError(
                f"`positive_weights` must have one weight per label, got {len(positive_weights)} "
                f"for {logits.shape[1]} labels."
            )
        positive_weights = positive_weights.to(logits)
    return F.binary_cross_entropy_with_logits(
        logits, Y.to(logits.dtype), pos_weight=positive_weights
    )


def masked_language_model_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the chosen tokens (L_MLM, Eq. 9 of [1]_).

    Parameters
    ----------
    logits : Tensor of shape (S, V)
        One row per chosen token.
    targets : Tensor of shape (S,)
        Their ids.

    Returns
    -------
    loss : Tensor of shape ()
        0 with zero gradient where no token was chosen.

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv:2411.01841, 2024.
    """
    check_tensor(logits, "logits", "S, V")
    check_tensor(targets, "targets", "S")
    if len(logits) != len(targets):
        raise ValueError(
            "`logits` (S, V) and `targets` (S) must have one row per chosen token, got "
            f"{len(logits)} and {len(targets)}."
        )
    check_whole(targets, "targets", logits.shape[1])
    if targets.numel() == 0:
        return logits.sum() * 0.0
    return F.cross_entropy(logits, targets.long())
