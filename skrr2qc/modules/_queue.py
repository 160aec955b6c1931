"""Queue of keys: a ring of the last vectors, with the rows they belong to."""

import torch
from torch import Tensor, nn


class KeyQueue(nn.Module):
    """The last `size` keys that were pushed, each beside the row of its text.

    Key and row are written together, so that the labels of a slot are always those of its key.

    Parameters
    ----------
    size : int
        Slots.
    **widths : int
        Columns of vectors by name, such as ``keys=128``.

    Attributes
    ----------
    n_filled : int
        Slots that hold something; those before are not to be looked at.

    Examples
    --------
    >>> queue = KeyQueue(3, keys=1)
    >>> for row in range(5):
    ...     queue.push(torch.tensor([row]), keys=torch.tensor([[10.0 * row]]))
    >>> rows, columns = queue.content()
    >>> rows.tolist(), columns["keys"].flatten().tolist()
    ([3, 4, 2], [30.0, 40.0, 20.0])
    """

    def __init__(self, size: int, **widths: int):
        super().__init__()
        self.size = size
        self.names = tuple(widths)
        for name, width in widths.items():
            self.register_buffer(name, torch.zeros(size, width))
        self.register_buffer("rows", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("n_pushed", torch.zeros((), dtype=torch.int64))

    @property
    def n_filled(self) -> int:
        """Number of filled slots, the first ones."""
        return min(int(self.n_pushed), self.size)

    def push(self, rows: Tensor, **columns: Tensor) -> None:
        """Overwrite the oldest slots; of more rows than slots the last are kept.

        Parameters
        ----------
        rows : Tensor of shape (B,), int64
        **columns : Tensor of shape (B, width)
            One for each column.
        """
        rows = rows[-self.size :]
        first = int(self.n_pushed)
        slots = torch.arange(first, first + len(rows), device=rows.device) % self.size
        self.rows[slots] = rows
        for name in self.names:
            column = getattr(self, name)
            column[slots] = columns[name][-self.size :].to(column.dtype)
        self.n_pushed += len(rows)

    def content(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Rows and columns of the filled slots; not copies."""
        filled = slice(self.n_filled)
        return self.rows[filled], {name: getattr(self, name)[filled] for name in self.names}
