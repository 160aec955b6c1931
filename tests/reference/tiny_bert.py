"""A random BERT of a few thousand weights and its tokenizer, as a folder nobody downloads."""

import json

WORDS = ["area", "circle", "square", "root", "equation", "mean", "sample", "solve", "the", "of"]


def bert_config(**overrides):
    """Configuration of the smallest BERT that has every part."""
    from transformers import BertConfig

    small = {
        "vocab_size": len(WORDS) + 5,
        "hidden_size": 16,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 20,
    }
    return BertConfig(**small | overrides)


def save_tiny_bert(folder, *, seed=0, fast=True, mask_token="[MASK]", **overrides):
    """Write network and word-piece tokenizer to a folder, as ``save_pretrained`` does."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {token: i for i, token in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token=mask_token,
        model_max_length=20,
    ).save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = BertModel(bert_config(**overrides))
    network.save_pretrained(folder)
    return network.eval()


def add_pooling(folder, mode, max_length):
    """Make a saved network an encoder of sentence-transformers, in the form all versions read."""
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    parts = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(modules)
    ]
    modes = {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens"}
    modes["max"] = "pooling_mode_max_tokens"
    chosen = {key: name == mode for name, key in modes.items()}
    files = {
        "modules.json": parts,
        "sentence_bert_config.json": {"max_seq_length": max_length, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": 16, **chosen},
    }
    (folder / "1_Pooling").mkdir()
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
