"""Pretrained encoders from a folder or a hub."""

import os
from pathlib import Path

from ..modules import PretrainedBackbone
from ..text import TextTokenizer


def load_pretrained(name, max_length, local_files_only):
    """Backbone and tokenizer of a sentence-transformers or transformers encoder.

    Parameters
    ----------
    name : str
        Folder, or hub name.
    max_length : int
        Tokens read of each text, at most.
    local_files_only : bool
        Never ask a hub.

    Returns
    -------
    backbone : PretrainedBackbone
    tokenizer : TextTokenizer

    Raises
    ------
    OSError
        If nothing can be loaded under a hub name, or from a folder that is there.
    ValueError
        If there is no such folder, or if the encoder pools otherwise than by mean or first
        token, or has no fast tokenizer.
    """
    is_folder = Path(name).is_dir()
    if not is_folder and (local_files_only or _looks_like_folder(name)):
        raise ValueError(
            f"`backbone` == {name!r} is no folder (looked from {Path.cwd().name}/). Give the "
            "folder of a saved encoder, or 'compact', which needs none."
        )
    network, pooling, tokenizer, longest = _load(name, is_folder or local_files_only)
    if pooling not in ("mean", "cls"):
        raise ValueError(
            f"The encoder {name!r} pools by {pooling!r}: only 'mean' and 'cls' are known."
        )
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ValueError(f"The encoder {name!r} has no fast tokenizer (tokenizer.json).")
    lengths = [max_length, longest, getattr(network.config, "max_position_embeddings", None)]
    text_tokenizer = TextTokenizer(
        backend.to_str(),
        max_length=min(length for length in lengths if length),
        pad_id=tokenizer.pad_token_id or 0,
        mask_id=tokenizer.mask_token_id,
    )
    return PretrainedBackbone(network.config.to_dict(), pooling, network), text_tokenizer


def _looks_like_folder(name):
    if name.startswith((".", "~", os.sep)) or name.count("/") > 1 or "\\" in name:
        return True
    return "/" in name and Path(name).parent.is_dir()


def _load(name, local_files_only):
    from sentence_transformers import SentenceTransformer

    try:
        model = SentenceTransformer(name, device="cpu", local_files_only=local_files_only)
    except Exception as error:
        raise OSError(
            f"`backbone` == {name!r} could not be loaded as a sentence-transformers or "
            f"transformers encoder ({type(error).__name__}: {error}). Check the folder or name; "
            "'compact' needs no download."
        ) from error
    kinds = [type(module).__name__ for module in model]
    if set(kinds) - {"Transformer", "Pooling", "Normalize"}:
        raise ValueError(
            f"The encoder {name!r} is made of {kinds}: only a transformer, its pooling and "
            "normalisation are known. Give its embeddings to a classifier as features instead."
        )
    network = model[0].auto_model.float()  # saved in half precision, it could not be trained on
    network.config.dtype = network.dtype
    pooling = _pooling_mode(model[1]) if len(model) > 1 else "mean"
    return network, pooling, model.tokenizer, model.max_seq_length


def _pooling_mode(module):
    if hasattr(module, "get_pooling_mode_str"):  # sentence-transformers 5
        return module.get_pooling_mode_str()
    return getattr(module, "pooling_mode", "mean")
