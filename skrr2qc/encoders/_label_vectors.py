"""Vectors of labels: from their texts, by a label-text encoder, or from the texts they label."""

from functools import partial

import numpy as np
import scipy.sparse as sp
import torch

from .._training import TextNet, collect_outputs
from ..losses import multilabel_cross_entropy
from ..modules import LabelHead, Pooled, TextTower
from ..text import TokenBatches


def start_vectors(backbone, tokenizer, texts, ids, label_sets, device):
    """Vector of each label before any training of labels.

    Parameters
    ----------
    texts : sequence of L str, or None
        What a label is called; where no token of it is known, and where there are no texts at
        all, the mean vector of the texts that the label has; without those, a zero vector.
    ids : list of n int32 arrays
        Token ids of the texts.
    label_sets : csr_matrix of shape (n, L)

    Returns
    -------
    vectors : ndarray of shape (L, D), float32
    """
    if texts is None:
        vectors = np.zeros((label_sets.shape[1], backbone.hidden_size), dtype=np.float32)
        is_missing = np.ones(len(vectors), dtype=bool)
    else:
        label_ids = tokenizer.encode(texts)[0]
        vectors = embed(backbone, tokenizer, label_ids, device)
        is_missing = without_words(label_ids, tokenizer)
        vectors[is_missing] = 0.0
    rows = np.flatnonzero(label_sets[:, is_missing].getnnz(axis=1)) if is_missing.any() else []
    if len(rows):
        found = embed(backbone, tokenizer, [ids[i] for i in rows], device)
        vectors[is_missing] = label_sets[rows][:, is_missing].T @ found
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths, lengths, 1.0)


def train_label_vectors(backbone, tokenizer, texts, start, *, n_epochs, lr, device, rng, verbose):
    """Vectors of a copy of the backbone that learned to tell labels by their texts (Eq. 8).

    Each label text is classified as its own label; gradients reach the copy alone.

    Parameters
    ----------
    texts : sequence of L str
    start : ndarray of shape (L, D)
        Where the classifier's weights begin.

    Returns
    -------
    vectors : ndarray of shape (L, D), float32
    """
    ids, _ = tokenizer.encode(texts)
    tower = TextTower(backbone, 0, LabelHead(backbone.hidden_size, len(texts)))
    tower.head.start_from(torch.from_numpy(start))
    net = TextNet(
        tower,
        partial(_loss_terms, len(ids)),
        n_epochs=n_epochs,
        lr=lr,
        device=device,
        title="label texts",
        verbose=verbose,
    )
    one_hot = sp.identity(len(ids), dtype=np.float32, format="csr")
    batches = TokenBatches(ids, Y=one_hot, rng=rng, pad_id=tokenizer.pad_id)
    net.fit_batches(batches)
    vectors = embed(tower.upper, tokenizer, ids, device)
    return np.where(without_words(ids, tokenizer)[:, None], start, vectors)


def without_words(ids, tokenizer):
    """Which texts hold no token that the tokenizer knows; (n,) bool."""
    return np.array([bool(np.isin(row, tokenizer.special_ids).all()) for row in ids])


def embed(backbone, tokenizer, ids, device):
    """Unit vectors of texts, (n, D) float32."""
    batches = TokenBatches(ids, pad_id=tokenizer.pad_id, max_length=tokenizer.max_length)
    return collect_outputs(Pooled(backbone), batches, device)


def _loss_terms(n_labels, outputs, Y):
    return {"label_texts": n_labels * multilabel_cross_entropy(outputs[0], Y)}
