"""Ranking contrastive losses: the nearer two texts in the label hierarchy, the more alike."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ._checks import check_alike, check_choice, check_count, check_real, check_tensor, check_whole

_NEVER = float("-inf")
_MOST_RANKS = 1_000_000
_LEAST, _MOST = 1e-9, 1e9  # of temperatures that a float32 can divide by


def ranking_temperatures(
    max_rank: int, *, low: float = 0.1, high: float = 0.6, spacing: str = "geometric"
) -> Tensor:
    """Temperature of each rank, from `low` at rank 0 to `high` at the farthest (Eq. 6 of [1]_).

    Parameters
    ----------
    max_rank : int
        Farthest rank, 2H for a hierarchy of depth H; at least 1.
    low, high : float
        Temperatures at both ends, from 1e-9 to 1e9.
    spacing : {"geometric", "linear"}, default="geometric"
        As the paper says, or as its code computes.

    Returns
    -------
    temperatures : Tensor of shape (max_rank + 1,)

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv:2411.01841, 2024.

    Examples
    --------
    >>> ranking_temperatures(2, low=0.1, high=0.4).tolist()
    [0.1..., 0.2..., 0.4...]
    """
    check_count(max_rank, "max_rank", _MOST_RANKS)
    low = check_real(low, "low", minimum=_LEAST, maximum=_MOST)
    high = check_real(high, "high", minimum=_LEAST, maximum=_MOST)
    check_choice(spacing, "spacing", ("geometric", "linear"))
    shares = torch.arange(max_rank + 1, dtype=torch.float64) / max_rank
    if spacing == "geometric":
        return low * (high / low) ** shares
    return low + shares * (high - low)


def ranking_contrastive_loss(
    similarities: Tensor,
    ranks: Tensor,
    temperatures: Tensor,
    closeness: Tensor | None = None,
    valid: Tensor | None = None,
    *,
    variant: str = "in",
    discount: float = 1.0,
) -> Tensor:
    """Texts of each rank against all texts of farther ranks (L_Rank, Eq. 5-6 of [1]_).

    Parameters
    ----------
    similarities : Tensor of shape (B, K)
        Cosines of anchors and bank items.
    ranks : Tensor of shape (B, K), int
        Rank of each pair in the label hierarchy, 0 for a shared label.
    temperatures : Tensor of shape (R + 1,)
        One a rank, R being the farthest, from `ranking_temperatures`.
    closeness : Tensor of shape (B, K), values in [0, 1], default=None
        Weight W of each pair among the positives of its rank (Eq. 7); 0 leaves it out there.
        No gradient flows through it. None weighs all alike.
    valid : Tensor of shape (B, K) or broadcast to it, bool, default=None
        Pairs that exist.
    variant : {"in", "out", "paper"}, default="in"
        "in" sums the positives of a rank inside the logarithm; "out" averages over them
        outside, as the authors' code does; "paper" is the printed equation, whose denominator
        lacks the positives and which has no lower bound.
    discount : float in (0, 1], default=1.0
        Factor by which each rank weighs less than the one before in the mean over ranks.

    Returns
    -------
    loss : Tensor of shape ()
        Weighted mean over the ranks that occur of the mean over anchors (pairs, for "out") that
        have a positive of that rank and something farther; 0 with zero gradient without any.

    Notes
    -----
    Eq. 5 sums over 2H ranks and divides by 2H - 1; here the mean is over ranks that occur. Sums
    of exponentials are taken rank by rank with a maximum of their own, so that no temperature
    makes them overflow. See docs/decisions/0011.

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv:2411.01841, 2024.

    Examples
    --------
    >>> import torch
    >>> similarities = torch.tensor([[0.9, 0.1, -0.2]])
    >>> ranks, temperatures = torch.tensor([[0, 1, 2]]), ranking_temperatures(2)
    >>> near = ranking_contrastive_loss(similarities, ranks, temperatures)
    >>> far = ranking_contrastive_loss(similarities.flip(1), ranks, temperatures)
    >>> bool(near < far)
    True
    """
    discount = check_real(discount, "discount", minimum=0, maximum=1, is_open="low")
    terms, is_present = rank_terms(similarities, ranks, temperatures, closeness, valid, variant)
    weights = discount ** torch.arange(len(terms), dtype=terms.dtype, device=terms.device)
    total = (weights * is_present).sum()
    return (terms * weights).sum() / torch.where(total > 0, total, 1.0)


def rank_terms(
    similarities: Tensor,
    ranks: Tensor,
    temperatures: Tensor,
    closeness: Tensor | None = None,
    valid: Tensor | None = None,
    variant: str = "in",
) -> tuple[Tensor, Tensor]:
    """Loss of each positive rank, (R,), 0 where it does not occur, and whether it does."""
    check_choice(variant, "variant", ("in", "out", "paper"))
    _check_ranked(similarities, ranks, temperatures, valid)
    check_whole(ranks, "ranks", len(temperatures))
    if closeness is not None:
        check_alike(similarities=similarities, closeness=closeness)
    ranks = ranks.long()
    n_ranks = len(temperatures)
    n_positive = n_ranks - 1  # the farthest rank is never a positive
    similarities = _at_least_float32(similarities)
    valid = torch.ones_like(ranks, dtype=torch.bool) if valid is None else valid.expand_as(ranks)
    z = similarities / temperatures.to(similarities)[ranks]
    is_positive, weighted = valid, z
    if closeness is not None:
        closeness = closeness.detach().to(z.dtype)
        is_positive = valid & (closeness > 0)
        weighted = z + torch.where(is_positive, closeness, 1.0).log()
    log_positive, n_near = _log_sums(weighted, ranks, is_positive, n_ranks)  # (B, R + 1)
    same = weighted is z
    log_all, n_all = (log_positive, n_near) if same else _log_sums(z, ranks, valid, n_ranks)
    log_farther = _farther(log_all)[:, :n_positive]
    n_farther = (n_all.sum(dim=1, keepdim=True) - n_all.cumsum(dim=1))[:, :n_positive]
    counts = (n_near[:, :n_positive] * (n_farther > 0)).to(z.dtype)  # pairs that contribute
    contributes = counts > 0
    if variant == "out":
        return _mean_over_pairs(weighted, ranks, is_positive, log_farther, contributes)
    near = torch.where(contributes, log_positive[:, :n_positive], 0.0)
    far = torch.where(contributes, log_farther, 0.0)
    losses = far - near if variant == "paper" else F.softplus(far - near)
    losses = losses * contributes
    n_anchors = contributes.sum(dim=0)
    return losses.sum(dim=0) / n_anchors.clamp(min=1), n_anchors > 0


def rince_loss(
    similarities: Tensor,
    ranks: Tensor,
    temperatures: Tensor,
    valid: Tensor | None = None,
    *,
    variant: str = "in",
) -> Tensor:
    """Ranking InfoNCE with one temperature a rank, as QuesCo trains with (Hoffmann et al. [1]_).

    Parameters
    ----------
    similarities : Tensor of shape (B, K)
    ranks : Tensor of shape (B, K), int
        Ranks 0 .. P - 1 are positives in turn, higher ones are negatives throughout.
    temperatures : Tensor of shape (P,)
        One a positive rank; it holds for numerator and denominator.
    valid : Tensor of shape (B, K), bool, default=None
    variant : {"in", "out", "out-in"}, default="in"
        Sum over positives inside or outside the logarithm; "out-in": outside for rank 0 alone.

    Returns
    -------
    loss : Tensor of shape ()
        Mean over the ranks that occur.

    References
    ----------
    .. [1] Hoffmann et al. Ranking Info Noise Contrastive Estimation: Boosting Contrastive
       Learning via Ranked Positives. AAAI 2022.

    Examples
    --------
    >>> import torch
    >>> similarities, ranks = torch.tensor([[0.9, 0.1]]), torch.tensor([[0, 1]])
    >>> round(float(rince_loss(similarities, ranks, torch.tensor([0.1]))), 5)
    0.00034
    """
    check_choice(variant, "variant", ("in", "out", "out-in"))
    _check_ranked(similarities, ranks, temperatures, valid)
    total, n_present = _at_least_float32(similarities).sum() * 0.0, 0
    for rank, temperature in enumerate(temperatures.tolist()):
        is_outside = variant == "out" or (variant == "out-in" and rank == 0)
        two = torch.tensor([temperature, temperature], dtype=torch.float64)
        farther = torch.where(ranks > rank, 1, 0)
        kept = ranks >= rank if valid is None else valid & (ranks >= rank)
        terms, is_present = rank_terms(
            similarities, farther, two, None, kept, "out" if is_outside else "in"
        )
        total = total + terms.sum()
        n_present += int(is_present.any())
    return total / max(n_present, 1)


def _check_ranked(
    similarities: Tensor, ranks: Tensor, temperatures: Tensor, valid: Tensor | None
) -> None:
    check_alike(similarities=similarities, ranks=ranks)
    check_whole(ranks, "ranks")
    check_tensor(temperatures, "temperatures", "R")
    is_seen = temperatures.device.type == "cpu"  # elsewhere it would be waited for
    if not len(temperatures) or (is_seen and not bool((temperatures > 0).all())):
        raise ValueError(
            f"`temperatures` must hold at least one number > 0, got {temperatures.tolist()!s:.80}. "
            "ranking_temperatures() makes them."
        )
    if valid is None:
        return
    if not isinstance(valid, Tensor) or valid.dtype != torch.bool:
        found = getattr(valid, "dtype", type(valid).__name__)
        raise TypeError(f"`valid` must be a tensor of bool, got {found}.")
    sizes = zip(reversed(valid.shape), reversed(ranks.shape), strict=False)
    if valid.ndim > 2 or any(size not in (1, wanted) for size, wanted in sizes):
        raise ValueError(
            f"`valid` must have the shape of `ranks`, {tuple(ranks.shape)}, or broadcast to it, "
            f"got {tuple(valid.shape)}."
        )


def _log_sums(z: Tensor, ranks: Tensor, kept: Tensor, n_ranks: int) -> tuple[Tensor, Tensor]:
    """Log of the sum of exponentials a rank, -inf where nothing is kept; and how many are."""
    shape = (len(z), n_ranks)
    masked = torch.where(kept, z, _NEVER)
    tops = torch.full(shape, _NEVER, dtype=z.dtype, device=z.device)
    tops = tops.scatter_reduce(1, ranks, masked.detach(), "amax")
    counts = torch.zeros(shape, dtype=z.dtype, device=z.device)
    counts = counts.scatter_add(1, ranks, kept.to(z.dtype))
    finite = torch.where(counts > 0, tops, 0.0)
    sums = torch.zeros_like(finite)
    sums = sums.scatter_add(1, ranks, (masked - finite.gather(1, ranks)).exp())
    logs = torch.where(counts > 0, sums, 1.0).log() + finite
    return torch.where(counts > 0, logs, _NEVER), counts


def _farther(logs: Tensor) -> Tensor:
    """Log-sum-exp of all ranks beyond each one, without NaN where there are none."""
    floor = torch.finfo(logs.dtype).min / 4  # -inf would make NaN of its own gradient
    beyond = F.pad(logs.clamp(min=floor)[:, 1:], (0, 1), value=floor)
    step = 1
    while step < beyond.shape[1]:  # in log2(R) steps, of operations that every device has
        beyond = torch.logaddexp(beyond, F.pad(beyond[:, step:], (0, step), value=floor))
        step *= 2
    return beyond


def _mean_over_pairs(
    weighted: Tensor, ranks: Tensor, is_positive: Tensor, log_farther: Tensor, contributes: Tensor
) -> tuple[Tensor, Tensor]:
    n_positive = contributes.shape[1]
    columns = ranks.clamp(max=n_positive - 1)
    counted = is_positive & (ranks < n_positive) & contributes.gather(1, columns)
    farther = torch.where(counted, log_farther.gather(1, columns), 0.0)
    losses = F.softplus(farther - torch.where(counted, weighted, 0.0)) * counted
    sums = torch.zeros(n_positive, dtype=losses.dtype, device=losses.device)
    counts = sums.scatter_add(0, columns.flatten(), counted.to(losses.dtype).flatten())
    sums = sums.scatter_add(0, columns.flatten(), losses.flatten())
    return sums / counts.clamp(min=1), counts > 0


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
