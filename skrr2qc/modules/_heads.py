"""Heads on a backbone: label scores with class centers, further targets, masked tokens."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LabelHead(nn.Module):
    """Linear label scores of unit vectors, and one learnable center a label.

    Parameters
    ----------
    n_features, n_labels : int
    scale : float, default=20.0
        Starting factor on the cosines; learned.

    Attributes
    ----------
    weight, centers : Parameter of shape (L, D)
    bias : Parameter of shape (L,)
    """

    def __init__(self, n_features: int, n_labels: int, scale: float = 20.0):
        super().__init__()
        self.init_args = {"n_features": n_features, "n_labels": n_labels, "scale": scale}
        self.weight = nn.Parameter(torch.zeros(n_labels, n_features))
        self.bias = nn.Parameter(torch.full((n_labels,), -0.5 * scale))
        self.log_scale = nn.Parameter(torch.tensor(scale).log())
        self.centers = nn.Parameter(torch.zeros(n_labels, n_features))

    def start_from(self, vectors: Tensor) -> None:
        """Let weights and centers begin at one vector a label, (L, D)."""
        with torch.no_grad():
            self.weight.copy_(vectors)
            self.centers.copy_(vectors)

    def forward(self, features: Tensor) -> Tensor:
        return self.log_scale.exp() * F.linear(features, self.weight) + self.bias  # -> (B, L)


class TextTower(nn.Module):
    """Backbone and label head: token ids to ``(logits, features, centers)``.

    In training, rows of logits follow for each part of the vectors, if `scores_parts`.

    Parameters
    ----------
    backbone : CompactBackbone or PretrainedBackbone
    n_frozen_layers : int
        Layers that stay the backbone's own; the rest is copied and trained here.
    head : LabelHead

    Attributes
    ----------
    lower : module or None
        The frozen part, shared with `backbone`; no submodule of this one.
    scores_parts : bool
        Whether parts of the vectors, as the backbone names them, have to tell labels, too.
    """

    scores_parts = False

    def __init__(self, backbone: nn.Module, n_frozen_layers: int, head: LabelHead):
        super().__init__()
        self.init_args = head.init_args
        lower, self.upper = backbone.split(n_frozen_layers)
        self._lower = (lower,)  # in a tuple, so that it is neither owned nor trained
        self.head = head

    @property
    def lower(self) -> nn.Module | None:
        """The frozen part, or None."""
        return self._lower[0]

    def forward(self, attention_mask: Tensor, input_ids=None, hidden=None):
        features = self.embed(attention_mask, input_ids, hidden)
        with torch.autocast(features.device.type, enabled=False):  # scores keep all their digits
            parts = self.upper.parts(features) if self.training and self.scores_parts else []
            logits = self.head(torch.cat([features, *parts]))  # one product: weights are large
            return logits, features, self.head.centers

    def embed(self, attention_mask: Tensor, input_ids=None, hidden=None) -> Tensor:
        """Unit vectors of the texts, (B, D)."""
        if hidden is None and self.lower is not None:
            hidden = self.lower_states(input_ids, attention_mask)
        if hidden is None:
            return self.upper.vectors(attention_mask, input_ids)
        return self.upper.vectors(attention_mask, hidden=hidden.float())

    def lower_states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Hidden states below the trained layers; no dropout, no gradient."""
        with torch.no_grad():
            return self.lower.to(input_ids.device).eval()(input_ids, attention_mask)


class AuxiliaryTower(nn.Module):
    """A tower in training, with scores of further targets beside its own outputs.

    Parameters
    ----------
    tower : TextTower or FeatureTower
    starts : sequence of Tensor of shape (A, D)
        Where the weights of each group of further targets begin.
    """

    def __init__(self, tower: nn.Module, starts):
        super().__init__()
        self.tower = tower
        self.heads = nn.ModuleList(LabelHead(v.shape[1], len(v)) for v in starts)
        for head, vectors in zip(self.heads, starts, strict=True):
            head.start_from(vectors)

    def forward(self, **inputs):
        """Outputs of the tower, and logits of each group, (B, A)."""
        outputs = self.tower(**inputs)
        features = outputs[1]
        with torch.autocast(features.device.type, enabled=False):
            return *outputs, *(head(features) for head in self.heads)


class LowerStates(nn.Module):
    """The frozen part of a tower as a module of its own: token ids to ``(hidden,)``."""

    def __init__(self, tower: TextTower):
        super().__init__()
        self._tower = (tower,)

    def forward(self, input_ids: Tensor, attention_mask: Tensor):
        return (self._tower[0].lower_states(input_ids, attention_mask),)


class TowerVectors(nn.Module):
    """A tower without its scores as a module of its own: its inputs to ``(features,)``."""

    def __init__(self, tower: nn.Module):
        super().__init__()
        self.tower = tower

    def forward(self, **inputs):
        return (self.tower.embed(**inputs),)


class FeatureTower(nn.Module):
    """Projection and label head on given features: arrays to ``(logits, features, centers)``.

    Features are shifted and scaled, projected linearly, and laid on the unit sphere with a
    constant coordinate beside them, so that their length still counts.

    Parameters
    ----------
    n_inputs, n_features, n_labels : int
    """

    def __init__(self, n_inputs: int, n_features: int, n_labels: int):
        super().__init__()
        self.init_args = {"n_inputs": n_inputs, "n_features": n_features, "n_labels": n_labels}
        self.register_buffer("shift", torch.zeros(n_inputs))
        self.register_buffer("factor", torch.ones(()))
        self.projection = nn.Linear(n_inputs, n_features)
        self.head = LabelHead(n_features + 1, n_labels)

    def forward(self, X: Tensor):
        with torch.autocast(X.device.type, enabled=False):
            features = self.embed(X)
            return self.head(features), features, self.head.centers

    def embed(self, X: Tensor) -> Tensor:
        """Unit vectors of the features, (B, D)."""
        with torch.autocast(X.device.type, enabled=False):  # a step costs next to nothing
            projected = self.projection((X - self.shift) * self.factor)
            constant = torch.ones_like(projected[:, :1])
            return F.normalize(torch.cat([projected, constant], dim=1), dim=-1)


class MaskedLanguageModel(nn.Module):
    """Backbone and a head that restores chosen tokens, tied to the word embeddings.

    Parameters
    ----------
    backbone : CompactBackbone or PretrainedBackbone
    """

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone
        vocab_size, width = backbone.word_embeddings.weight.shape
        n_inputs = backbone.hidden_size * (1 if backbone.sees_whole_text else 2)
        self.transform = nn.Linear(n_inputs, width)
        self.norm = nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, targets: Tensor):
        """Logits of the S chosen tokens (S, V), their ids (S,), and the texts' vectors (B, D)."""
        is_chosen = targets != -100  # the vocabulary is scored for these alone
        vectors, states = self.backbone.vectors_and_states(attention_mask, input_ids, is_chosen)
        if not self.backbone.sees_whole_text:
            states = torch.cat([states, vectors[is_chosen.nonzero()[:, 0]]], dim=1)
        states = self.norm(F.gelu(self.transform(states)))
        logits = F.linear(states, self.backbone.word_embeddings.weight, self.bias)
        return logits, targets[is_chosen], vectors
