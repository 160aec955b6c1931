"""What pre-training trains: language model, projection, and a key encoder that follows slowly."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._heads import MaskedLanguageModel
from ._queue import KeyQueue


class Projection(nn.Module):
    """Two linear layers from unit vectors to the sphere of the contrastive loss; (B, D) -> (B, P).

    Unit vectors are scaled to unit variance first: otherwise the biases would outweigh them.
    """

    def __init__(self, n_features: int, n_outputs: int):
        super().__init__()
        self.scale = n_features**0.5
        self.hidden = nn.Linear(n_features, n_features)
        self.output = nn.Linear(n_features, n_outputs)

    def forward(self, features: Tensor) -> Tensor:
        return F.normalize(self.output(F.relu(self.hidden(features * self.scale))).float(), dim=-1)


class RankingPretrainer(nn.Module):
    """Backbone with language model and projection, its momentum copy, and the queue of keys [1]_.

    Parameters
    ----------
    backbone : CompactBackbone or PretrainedBackbone
    geometry : LabelGeometry
        Ranks and closeness of the texts' label sets, by row.
    projection_size : int
        Width P of keys and queries; 0 takes the text vectors themselves.
    queue_size : int
    momentum : float in [0, 1]
        Share of the key encoder that an update keeps; 1 freezes it, 0 copies.

    References
    ----------
    .. [1] He et al. Momentum Contrast for Unsupervised Visual Representation Learning.
       CVPR 2020.
    """

    def __init__(self, backbone, geometry, *, projection_size, queue_size, momentum):
        super().__init__()
        self.language_model = MaskedLanguageModel(backbone)
        width = backbone.hidden_size
        self.projection = Projection(width, projection_size) if projection_size else nn.Identity()
        self.key_backbone = copy.deepcopy(backbone).requires_grad_(False)
        self.key_projection = copy.deepcopy(self.projection).requires_grad_(False)
        self.queue = KeyQueue(
            queue_size, keys=projection_size or width, means=geometry.label_vectors.shape[1]
        )
        self.geometry = geometry
        self.momentum = momentum

    def train(self, mode: bool = True):
        super().train(mode)
        self.key_backbone.eval()  # dropout off: keys of one text agree from step to step
        return self

    def forward(self, input_ids, attention_mask, targets, key_ids, key_mask):
        """Language-model logits and targets of chosen tokens, queries (B, P) and keys (B, P)."""
        logits, chosen, vectors = self.language_model(input_ids, attention_mask, targets)
        queries = self.projection(vectors)
        with torch.no_grad():
            keys = self.key_projection(self.key_backbone.vectors(key_mask, key_ids))
        return logits, chosen, queries.float(), keys.float()

    @torch.no_grad()
    def update(self, rows: Tensor, keys: Tensor) -> None:
        """After a step: let the key encoder follow, and push the keys of labelled texts."""
        self.follow()
        labelled = self.geometry.has_labels(rows)
        rows, keys = rows[labelled], keys[labelled]
        self.queue.push(rows, keys=keys, means=self.geometry.mean_vectors(rows))

    @torch.no_grad()
    def follow(self) -> None:
        """Move the key encoder towards the query encoder: k <- m k + (1 - m) q."""
        pairs = [
            (self.key_backbone, self.language_model.backbone),
            (self.key_projection, self.projection),
        ]
        keys = [p for key, _ in pairs for p in key.parameters()]
        queries = [p for _, query in pairs for p in query.parameters()]
        torch._foreach_lerp_(keys, queries, 1.0 - self.momentum)
