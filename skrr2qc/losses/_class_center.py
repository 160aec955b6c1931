"""Class-center loss: texts are drawn towards the centers of their labels."""

import torch
from torch import Tensor


def class_center_loss(
    features: Tensor, Y: Tensor, centers: Tensor, *, form: str = "paper"
) -> Tensor:
    """Distance from each text to the centers of its labels (L_CCL, Eq. 10-11 of [1]_).

    Parameters
    ----------
    features : Tensor of shape (B, D)
        Pooled representations.
    Y : Tensor of shape (B, L), {0, 1}
        Rows without a label are left out of the mean.
    centers : Tensor of shape (L, D)
        One learnable point per label.
    form : {"paper", "released"}, default="paper"
        "paper": squared distance to the mean of the labels' centers. "released": mean of the
        (unsquared) distances to each of them, as the authors' code computes.

    Returns
    -------
    loss : Tensor of shape ()
        0 where no row has a label.

    Notes
    -----
    The forms differ by more than a root: the mean of squared distances exceeds the squared
    distance to the mean center by the variance of the centers. See docs/decisions/0004.

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv:2411.01841, 2024.

    Examples
    --------
    >>> import torch
    >>> features, centers = torch.zeros(1, 2), torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    >>> float(class_center_loss(features, torch.tensor([[1, 0]]), centers))
    25.0
    >>> float(class_center_loss(features, torch.tensor([[1, 1]]), centers, form="released"))
    3.0
    """
    is_labelled = Y.any(dim=1)
    if not is_labelled.any():
        return (features.sum() + centers.sum()) * 0.0
    features, Y = features[is_labelled], Y[is_labelled]
    rows, columns = Y.nonzero(as_tuple=True)  # true pairs only: nothing of size B x L x D
    shares = (1.0 / Y.count_nonzero(dim=1).to(features.dtype))[rows]  # (pairs,)
    if form == "paper":
        parts = centers[columns] * shares[:, None]
        mean_centers = torch.zeros_like(features).index_add(0, rows, parts.to(features.dtype))
        return (features - mean_centers).square().sum(dim=1).mean()
    if form != "released":
        raise ValueError(f"`form` must be 'paper' or 'released', got {form!r}.")
    squared = (features[rows] - centers[columns]).square().sum(dim=1)
    distances = torch.sqrt(squared + 1e-12)  # the gradient stays finite at distance zero
    return (distances * shares).sum() / len(features)
