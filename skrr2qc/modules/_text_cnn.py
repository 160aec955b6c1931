"""Convolutional text classifier."""

import torch
from torch import Tensor, nn

from ._max_over_time import max_over_time


class TextCNN(nn.Module):
    """Convolutions of several widths, the maximum over time, and a linear layer (Kim, 2014 [1]_).

    Parameters
    ----------
    vocab_size, n_labels : int
    embedding_size : int, default=300
    widths : sequence of int, default=(2, 3, 4)
        Tokens seen by each kind of filter.
    n_filters : int, default=256
        Filters of each width.
    dropout : float, default=0.5
        Of the pooled features.
    pad_id : int, default=0

    References
    ----------
    .. [1] Kim. Convolutional Neural Networks for Sentence Classification. EMNLP 2014.
    """

    def __init__(
        self, vocab_size, n_labels, embedding_size=300, widths=(2, 3, 4), n_filters=256,
        dropout=0.5, pad_id=0,
    ):  # fmt: skip
        super().__init__()
        self.init_args = {
            "vocab_size": vocab_size,
            "n_labels": n_labels,
            "embedding_size": embedding_size,
            "widths": list(widths),
            "n_filters": n_filters,
            "dropout": dropout,
            "pad_id": pad_id,
        }
        self.embeddings = nn.Embedding(vocab_size, embedding_size, padding_idx=pad_id)
        self.convolutions = nn.ModuleList(nn.Conv1d(embedding_size, n_filters, w) for w in widths)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(n_filters * len(widths), n_labels)

    def forward(self, input_ids: Tensor, attention_mask: Tensor):
        embedded = self.embeddings(input_ids)  # (B, T) -> (B, T, E)
        pooled = []
        for convolution in self.convolutions:
            last = convolution.kernel_size[0] - 1  # of a window, which ends before the padding
            is_inside = attention_mask[:, last:].bool().clone()
            is_inside[:, 0] = True  # a text shorter than the filter keeps its one, padded, window
            pooled.append(max_over_time(embedded, convolution, is_inside))
        features = torch.cat(pooled, dim=1)
        return self.linear(self.dropout(features)), features
