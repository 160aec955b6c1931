"""Recurrent network in which each label reads the text with an attention of its own."""

import math

import torch
from torch import Tensor, nn

from skrr2qc import TextCNNClassifier


class LabelAttention(nn.Module):
    """Bidirectional LSTM; each label attends to its states, and scores what it has read.

    Parameters
    ----------
    vocab_size, n_labels : int
    embedding_size, hidden_size : int
        Width of a token, and of the states of each direction.
    scoring_size : int
        Width of the layer that scores what a label has read.
    dropout : float
        Of the states, and of the token vectors by half as much.
    pad_id : int, default=0
    shared_output : bool, default=False
        Whether all labels have the same last weights, too.
    """

    def __init__(
        self, vocab_size, n_labels, embedding_size, hidden_size, scoring_size, dropout, pad_id=0,
        shared_output=False,
    ):  # fmt: skip
        super().__init__()
        self.init_args = {
            "vocab_size": vocab_size,
            "n_labels": n_labels,
            "embedding_size": embedding_size,
            "hidden_size": hidden_size,
            "scoring_size": scoring_size,
            "dropout": dropout,
            "pad_id": pad_id,
            "shared_output": shared_output,
        }
        self.embeddings = nn.Embedding(vocab_size, embedding_size, padding_idx=pad_id)
        self.embedding_dropout = nn.Dropout(dropout / 2)
        self.forwards = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.backwards = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.attention = nn.Linear(2 * hidden_size, n_labels, bias=False)
        self.hidden = nn.Linear(2 * hidden_size, scoring_size)
        self.output = nn.Linear(scoring_size, 1 if shared_output else n_labels)
        nn.init.constant_(self.output.bias, -math.log(max(n_labels - 1, 1)))  # one label a text

    def forward(self, input_ids: Tensor, attention_mask: Tensor):
        # Each text is turned round by itself, so that padding comes last in both directions: much
        # faster than packed sequences.
        place = torch.arange(input_ids.shape[1], device=input_ids.device)
        mirrored = attention_mask.sum(1, keepdim=True) - 1 - place
        turned = torch.where(attention_mask, mirrored, place)[:, :, None]  # (B, T, 1)
        embedded = self.embedding_dropout(self.embeddings(input_ids))  # (B, T, E)
        ahead, _ = self.forwards(embedded)
        back, _ = self.backwards(embedded.take_along_dim(turned, dim=1))
        states = self.dropout(torch.cat([ahead, back.take_along_dim(turned, dim=1)], dim=2))
        weights = self.attention(states).masked_fill(~attention_mask[:, :, None], -1e4)
        weights = weights.softmax(dim=1)  # (B, T, L)
        # The layer is linear: applied to T states first, it costs less than to L weighted means.
        read = torch.einsum("btl,btd->bld", weights, self.hidden(states))
        weight = self.output.weight.expand(read.shape[1], -1)  # (1 or L, S) -> (L, S)
        return torch.einsum("bld,ld->bl", read.relu(), weight) + self.output.bias, states


class LabelAttentionClassifier(TextCNNClassifier):
    """The network of AttentionXML [1]_, without its tree of labels.

    Tokenizer, training and threshold are those of `TextCNNClassifier`, its other parameters too,
    so that the networks alone differ.

    Parameters
    ----------
    hidden_size : int, default=128
        Width of the states of each direction.
    scoring_size : int, default=128
        Width of the layer, shared by all labels, that sees what a label has read.
    shared_output : bool, default=False
        Whether all labels also share the weights from that layer to the score, as in the paper.

    Notes
    -----
    The paper has 15,000 texts and more, and word vectors learned elsewhere, and its labels share
    the last weights as well. Here all is learned from the texts given, with the loss and the
    optimizer of `TextCNNClassifier`, and without averaging of weights.

    References
    ----------
    .. [1] You, Zhang, Wang, Dai, Mamitsuka, Zhu. AttentionXML: label tree-based attention-aware
       deep model for high-performance extreme multi-label text classification. NeurIPS 2019.
    """

    def __init__(
        self,
        *,
        hidden_size=128,
        scoring_size=128,
        shared_output=False,
        embedding_size=300,
        dropout=0.4,
        vocab_size=8000,
        max_length=256,
        n_epochs=20,
        lr=5e-3,
        batch_size=32,
        weight_decay=0.01,
        validation_fraction=0.1,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.hidden_size = hidden_size
        self.scoring_size = scoring_size
        self.shared_output = shared_output
        self.embedding_size = embedding_size
        self.dropout = dropout
        self.vocab_size = vocab_size
        self.max_length = max_length
        self.n_epochs = n_epochs
        self.lr = lr
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _check_sizes(self):
        for name in ("hidden_size", "scoring_size"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"`{name}` == {value}, must be >= 1.")

    def _min_length(self):
        return 1

    def _make_module(self, n_labels):
        return LabelAttention(
            self.tokenizer_.vocab_size,
            n_labels,
            self.embedding_size,
            self.hidden_size,
            self.scoring_size,
            self.dropout,
            self.tokenizer_.pad_id,
            self.shared_output,
        )

    def _build_module(self, name, init_args):
        return LabelAttention(**init_args)
