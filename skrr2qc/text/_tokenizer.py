"""Tokenizers: one trained on the texts themselves, or the one that belongs to a backbone."""

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

PAD, UNKNOWN, CLASSIFY, MASK = "[PAD]", "[UNK]", "[CLS]", "[MASK]"

# LaTeX commands and runs of letters are what merges work on; each Han character stands alone, as
# do digits and punctuation, so that "x^2+12" and "\frac{1}{2}" share their parts.
_PIECES = Regex(r"\\[A-Za-z]+|\p{Han}|[[\p{L}\p{M}]&&[^\p{Han}]]+|\p{N}|[^\p{L}\p{M}\p{N}\s]")
_READ = 20_000  # characters of a text that merges are learned from: longer runs cost quadratic time
_CHUNK = 2048  # texts handed to the encoder at once: bounds what its encodings take


class TextTokenizer:
    """Texts to ragged lists of token ids; picklable, and hashed by its content.

    Parameters
    ----------
    definition : str
        JSON of a ``tokenizers.Tokenizer``.
    max_length : int
        Ids kept per text, special ones included.
    pad_id, mask_id : int
        Ids for padding and for masking; `mask_id` is None where the tokenizer has none.
    """

    def __init__(self, definition, *, max_length, pad_id=0, mask_id=None):
        self.definition = definition
        self.max_length = max_length
        self.pad_id = pad_id
        self.mask_id = mask_id
        self._build()

    def _build(self):
        self._tokenizer = Tokenizer.from_str(self.definition)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.max_length)
        special = self._tokenizer.get_added_tokens_decoder()
        self.special_ids = np.array(
            sorted(i for i, t in special.items() if t.special), dtype=np.int64
        )

    def __getstate__(self):
        names = ("definition", "max_length", "pad_id", "mask_id")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._build()

    @property
    def vocab_size(self):
        """Number of ids, special ones included."""
        return self._tokenizer.get_vocab_size()

    def encode(self, texts):
        """Token ids of each text.

        Parameters
        ----------
        texts : list of str

        Returns
        -------
        ids : list of n int32 arrays, each of at most `max_length` ids
        n_truncated : int
            Texts that were longer.
        """
        ids, n_truncated = [], 0
        for start in range(0, len(texts), _CHUNK):
            for encoding in self._encode(texts[start : start + _CHUNK]):
                ids.append(np.array(encoding.ids, dtype=np.int32))
                n_truncated += bool(encoding.overflowing)
        return ids, n_truncated

    def _encode(self, texts):
        """Encodings of texts; on one thread where torch has one, as in a worker of joblib."""
        if torch.get_num_threads() == 1:
            return map(self._tokenizer.encode, texts)
        return self._tokenizer.encode_batch_fast(texts)

    def tokens(self, text):
        """Token strings of one text, for reading."""
        return self._tokenizer.encode(text).tokens


def train_tokenizer(texts, *, vocab_size=8000, max_length=256):
    """Byte-pair encoding learned from the texts; suits English, Chinese and LaTeX.

    Parameters
    ----------
    texts : list of str
    vocab_size : int, default=8000
        Upper bound; small collections yield fewer merges.
    max_length : int, default=256
        Ids kept per text.

    Returns
    -------
    tokenizer : TextTokenizer

    Notes
    -----
    Text is normalised (NFKC) and lower-cased. No merge joins letters with digits, with
    punctuation or with a Han character; a LaTeX command may become one token.

    Examples
    --------
    >>> tokenizer = train_tokenizer(["area of a circle"] * 3, vocab_size=60)
    >>> tokenizer.tokens("Circle area")
    ['[CLS]', 'circle', 'area']
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(_PIECES, behavior="removed", invert=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[PAD, UNKNOWN, CLASSIFY, MASK],
        show_progress=False,
    )
    tokenizer.train_from_iterator((text[:_READ] for text in texts), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLASSIFY} $A", special_tokens=[(CLASSIFY, tokenizer.token_to_id(CLASSIFY))]
    )
    return TextTokenizer(
        tokenizer.to_str(),
        max_length=max_length,
        pad_id=tokenizer.token_to_id(PAD),
        mask_id=tokenizer.token_to_id(MASK),
    )
