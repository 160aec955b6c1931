"""Padded batches of token ids, drawn from length buckets."""

import numpy as np
import torch

_BUCKET_BATCHES = (
    32  # batches sorted by length together: enough to avoid padding, few enough to mix
)
_WIDTH_STEP = 8  # tokens; padded lengths are multiples of it where outputs shall be repeatable


class TokenBatches:
    """Iterable of ``(inputs, Y)`` over ragged token ids; texts of like length travel together.

    Parameters
    ----------
    ids : list of n int32 arrays
    Y : csr_matrix of shape (n, L), default=None
        Made dense one batch at a time.
    batch_size : int, default=32
        Texts a batch, at most.
    max_tokens : int, default=None
        Tokens a batch, padding included, at most; a longer text travels alone. Without `rng`
        only: for batches that are read and not learned from.
    rng : numpy.random.Generator, default=None
        Draws a new order each time it is iterated; None goes from the longest to the shortest
        text, and `order` says which rows a pass visits.
    pad_id : int, default=0
    mask : callable, default=None
        ``(input_ids, attention_mask) -> (input_ids, targets)``: for pre-training; its targets
        then join the inputs, and the row numbers of the texts are yielded in place of `Y`.
    key_view : callable, default=None
        ``ids -> ids`` of one text, or "masked" to mask a second time: adds a second view of
        each text, as `key_ids` and `key_mask`.
    min_length : int, default=1
        Shortest padded length, for convolutions.
    max_length : int, default=None
        Longest padded length. Texts are then padded to multiples of 8, up to this, and travel
        with texts of the same padded length only: sums over tokens round by their number, and
        outputs would depend on the company otherwise. None pads to the longest text of a batch.
        Without `rng` only.
    states : Tensor of shape (sum of all T_i, D), default=None
        Hidden states of the tokens, text after text, yielded as `hidden`, (B, T, D), in place of
        the token ids. `positions` says whose is which.

    Examples
    --------
    >>> import numpy as np
    >>> batches = TokenBatches([np.array([5, 6, 7]), np.array([8])], batch_size=2)
    >>> inputs, _ = next(iter(batches))
    >>> inputs["input_ids"].tolist()
    [[5, 6, 7], [8, 0, 0]]
    """

    def __init__(
        self, ids, Y=None, *, batch_size=32, max_tokens=None, rng=None, pad_id=0, mask=None,
        key_view=None, min_length=1, max_length=None, states=None,
    ):  # fmt: skip
        for name, bound in (("max_tokens", max_tokens), ("max_length", max_length)):
            if bound is not None and rng is not None:
                raise ValueError(f"`{name}` and `rng` do not go together: leave one of them out.")
        self.ids = ids
        self.Y = Y
        self.batch_size = batch_size
        self.max_tokens = max_tokens
        self.rng = rng
        self.pad_id = pad_id
        self.mask = mask
        self.key_view = key_view
        self.min_length = min_length
        self.max_length = max_length
        self.states = states
        self.lengths = np.array([len(row) for row in ids], dtype=np.int64)
        self._starts = np.cumsum(self.lengths) - self.lengths
        self._tokens = np.concatenate(ids) if len(ids) else np.zeros(0, np.int64)
        self.order = np.argsort(-self.lengths, kind="stable")
        self._widths = self._padded_lengths()
        self._cuts = self._cut(self._widths[self.order])

    def __len__(self):
        return len(self._cuts) + 1 if len(self.ids) else 0

    def positions(self, rows):
        """Place of each token of some texts among the tokens of all, text after text.

        Parameters
        ----------
        rows : ndarray of int

        Returns
        -------
        positions : ndarray of int64
        """
        lengths = self.lengths[rows]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return np.repeat(self._starts[rows], lengths) + within

    def __iter__(self):
        for rows in self._groups():
            inputs = self._pad(rows)
            if self.mask is not None:
                inputs, targets = self._masked(rows, inputs), torch.from_numpy(rows)
            elif self.Y is None:
                targets = torch.zeros(len(rows), 0)
            else:
                targets = torch.from_numpy(self.Y[rows].toarray())
            yield inputs, targets

    def _groups(self):
        if not len(self.ids):
            return []
        if self.rng is None:
            return np.split(self.order, self._cuts)
        order, size = self.rng.permutation(len(self.ids)), self.batch_size
        span = size * _BUCKET_BATCHES
        groups = []
        for start in range(0, len(order), span):
            bucket = order[start : start + span]
            bucket = bucket[np.argsort(self.lengths[bucket], kind="stable")]
            groups += [bucket[i : i + size] for i in range(0, len(bucket), size)]
        return [groups[i] for i in self.rng.permutation(len(groups))]

    def _padded_lengths(self):
        """How long each text has to be made; in a batch, the longest decides."""
        if self.max_length is None:
            return np.maximum(self.lengths, self.min_length)
        steps = np.maximum(-(-self.lengths // _WIDTH_STEP), 1)
        widths = np.minimum(steps * _WIDTH_STEP, np.maximum(self.lengths, self.max_length))
        return np.maximum(widths, self.min_length)

    def _cut(self, widths):
        """Where batches begin, the first one left out, among padded lengths, longest first."""
        cuts, start = [], 0
        while start < len(widths):
            end = start + self.batch_size
            if self.max_tokens is not None:
                end = min(end, start + max(1, self.max_tokens // max(int(widths[start]), 1)))
            if self.max_length is not None:
                end = min(end, int(np.searchsorted(-widths, -widths[start], side="right")))
            cuts.append(end)
            start = end
        return cuts[:-1]

    def _masked(self, rows, clean):
        """Inputs of pre-training: masked tokens, what they were, and the second view."""
        inputs = dict(clean)
        inputs["input_ids"], inputs["targets"] = self.mask(**clean)
        if self.key_view == "masked":
            inputs["key_ids"], _ = self.mask(**clean)
            inputs["key_mask"] = clean["attention_mask"]
        elif self.key_view is not None:
            view = TokenBatches([self.key_view(self.ids[i]) for i in rows], pad_id=self.pad_id)
            padded = view._pad(np.arange(len(rows)))
            inputs |= {"key_ids": padded["input_ids"], "key_mask": padded["attention_mask"]}
        return inputs

    def _pad(self, rows):
        lengths = self.lengths[rows]
        width = int(self._widths[rows].max())
        is_token = np.arange(width) < lengths[:, None]  # (B, T)
        attention_mask = torch.from_numpy(is_token)
        if self.states is not None:
            positions = np.zeros(is_token.shape, dtype=np.int64)
            positions[is_token] = self.positions(rows)
            hidden = self.states[torch.from_numpy(positions)]  # (B, T, D), padding overwritten next
            hidden.masked_fill_(~attention_mask[:, :, None], 0.0)
            return {"hidden": hidden, "attention_mask": attention_mask}
        input_ids = np.full(is_token.shape, self.pad_id, dtype=np.int64)
        input_ids[is_token] = self._tokens[self.positions(rows)]
        return {"input_ids": torch.from_numpy(input_ids), "attention_mask": attention_mask}


def mask_tokens(input_ids, attention_mask, *, tokenizer, rate, rng):
    """Choose tokens for the language model to restore: 80 % masked, 10 % random, 10 % kept.

    Parameters
    ----------
    input_ids : Tensor of shape (B, T), int64
    attention_mask : Tensor of shape (B, T), bool
    tokenizer : TextTokenizer
        Its special tokens are never chosen.
    rate : float in (0, 1)
        Share of tokens chosen.
    rng : numpy.random.Generator

    Returns
    -------
    masked : Tensor of shape (B, T)
    targets : Tensor of shape (B, T)
        The ids to restore, and -100 elsewhere.
    """
    ids = input_ids.numpy()
    allowed = attention_mask.numpy() & ~np.isin(ids, tokenizer.special_ids)
    chosen = allowed & (rng.random(ids.shape) < rate)
    targets = np.where(chosen, ids, -100)
    draw = rng.random(ids.shape)
    masked = np.where(chosen & (draw < 0.8), tokenizer.mask_id, ids)
    is_random = chosen & (draw >= 0.9)
    masked[is_random] = rng.integers(0, tokenizer.vocab_size, int(is_random.sum()))
    return torch.from_numpy(masked), torch.from_numpy(targets)
