"""From texts to padded batches of token ids: training a tokenizer, encoding, masking, bucketing."""

from ._batches import TokenBatches, mask_tokens
from ._tokenizer import TextTokenizer, train_tokenizer

__all__ = ["TextTokenizer", "TokenBatches", "mask_tokens", "train_tokenizer"]
