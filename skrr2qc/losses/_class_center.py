"""Class-center loss: texts are drawn towards the centers of their labels."""

import torch
from torch import Tensor

from ._checks import check_choice, check_tensor


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

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit each other, or `form` is unknown.

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
    check_choice(form, "form", ("paper", "released"))
    _check_shapes(features, Y, centers)
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
    squared = (features[rows] - centers[columns]).square().sum(dim=1)
    distances = torch.sqrt(squared + 1e-12)  # the gradient stays finite at distance zero
    return (distances * shares).sum() / len(features)


def _check_shapes(features: Tensor, Y: Tensor, centers: Tensor) -> None:
    check_tensor(features, "features", "B, D")
    check_tensor(Y, "Y", "B, L")
    check_tensor(centers, "centers", "L, D")
    found = (*features.shape, *Y.shape, *centers.shape)
    if (found[0], *found[3:0:-2]) != (found[2], found[4], found[5]):
        shapes = [tuple(tensor.shape) for tensor in (features, Y, centers)]
        raise ValueError(
            "`features` (B, D), `Y` (B, L) and `centers` (L, D) must fit each other, got shapes "
            f"{shapes[0]}, {shapes[1]} and {shapes[2]}."
        )
