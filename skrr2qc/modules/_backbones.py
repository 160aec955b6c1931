"""Backbones: token ids to one hidden state a token, and one vector a text."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mean_pool(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Mean over the tokens of each text, padding left out; (B, T, D) -> (B, D).

    Examples
    --------
    >>> hidden = torch.tensor([[[1.0], [3.0], [100.0]]])
    >>> mean_pool(hidden, torch.tensor([[True, True, False]])).tolist()
    [[2.0]]
    """
    weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


class _Backbone(nn.Module):
    """What heads rely on: `layers`, `embeddings`, `pool`, and how such a network likes to learn.

    Attributes
    ----------
    lr, n_epochs, n_frozen_layers : float, int, int
        Fine-tuning settings that an estimator uses unless its user sets them.
    """

    @property
    def n_layers(self) -> int:
        """Number of transformer layers."""
        return len(self.layers)

    def pool(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Unit vector of each text; (B, T, D) -> (B, D)."""
        return F.normalize(mean_pool(hidden.float(), attention_mask), dim=-1)

    def split(self, n_frozen_layers: int) -> tuple["_Backbone | None", "_Backbone"]:
        """Frozen lower part, shared by reference, and a trainable copy of what lies above it.

        Parameters
        ----------
        n_frozen_layers : int
            0 trains all, the embeddings included; k > 0 freezes the embeddings and k layers.

        Returns
        -------
        lower : _Backbone or None
            Token ids to hidden states; its modules are this backbone's own.
        upper : _Backbone
            Takes the lower part's hidden states (``hidden=``), or token ids if there is none.
        """
        if n_frozen_layers == 0:
            return None, copy.deepcopy(self).requires_grad_(True)
        layers = list(self.layers)
        shared = [self.embeddings, *layers]
        lower = copy.deepcopy(self, {id(module): module for module in shared})
        lower._keep_layers(slice(None, n_frozen_layers))
        left_out = {id(layer): nn.Identity() for layer in layers[:n_frozen_layers]}
        upper = copy.deepcopy(self, {id(self.embeddings): _GivenHidden(), **left_out})
        upper._keep_layers(slice(n_frozen_layers, None))
        return lower, upper.requires_grad_(True)

    def _keep_layers(self, kept: slice) -> None:
        raise NotImplementedError


class _GivenHidden(nn.Module):
    """Stands in for the embeddings above a frozen part: hands on the hidden states it is given."""

    def forward(self, *args, **kwargs):
        given = (x for x in [*args, *kwargs.values()] if isinstance(x, Tensor) and x.ndim == 3)
        return next(given)


class _Layer(nn.Module):
    """Pre-norm transformer layer that starts as the identity."""

    def __init__(self, hidden_size: int, n_heads: int, dropout: float):
        super().__init__()
        self.n_heads = n_heads
        self.dropout = dropout
        self.attention_norm = nn.LayerNorm(hidden_size)
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.attention_out = nn.Linear(hidden_size, hidden_size)
        self.mlp_norm = nn.LayerNorm(hidden_size)
        self.mlp_in = nn.Linear(hidden_size, 2 * hidden_size)
        self.mlp_out = nn.Linear(2 * hidden_size, hidden_size)
        for residual in (self.attention_out, self.mlp_out):
            nn.init.zeros_(residual.weight)
            nn.init.zeros_(residual.bias)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        B, T, D = hidden.shape
        q, k, v = (
            self.qkv(self.attention_norm(hidden)).view(B, T, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        )  # each (B, heads, T, D / heads)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        mixed = self.attention_out(mixed.transpose(1, 2).reshape(B, T, D))
        hidden = hidden + F.dropout(mixed, self.dropout, self.training)
        mlp = self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(hidden))))
        return hidden + F.dropout(mlp, self.dropout, self.training)


class CompactBackbone(_Backbone):
    """Small transformer trained from scratch on the user's texts.

    Layers start as the identity and the embeddings from `token_vectors`, so that before any
    training the pooled vector is a weighted bag of words, which training then refines. Attention
    falls off with distance at a fixed rate per head (ALiBi, [1]_): no position is ever unknown.

    Parameters
    ----------
    vocab_size, hidden_size, n_layers, n_heads : int
    dropout : float, default=0.1
        In the layers, and of whole tokens in the embeddings.

    References
    ----------
    .. [1] Press, Smith, Lewis. Train short, test long. ICLR 2022.
    """

    lr, n_epochs, n_frozen_layers = 2e-3, 12, 0

    def __init__(
        self, vocab_size: int, hidden_size: int, n_layers: int, n_heads: int, dropout: float = 0.1
    ):
        super().__init__()
        self.init_args = {
            "vocab_size": vocab_size,
            "hidden_size": hidden_size,
            "n_layers": n_layers,
            "n_heads": n_heads,
            "dropout": dropout,
        }
        self.hidden_size = hidden_size
        self.dropout = dropout
        self.embeddings = nn.Embedding(vocab_size, hidden_size)
        nn.init.normal_(self.embeddings.weight, std=hidden_size**-0.5)
        self.layers = nn.ModuleList(_Layer(hidden_size, n_heads, dropout) for _ in range(n_layers))
        self.register_buffer("slopes", 2.0 ** -torch.arange(n_heads).float(), persistent=False)

    @property
    def word_embeddings(self) -> nn.Embedding:
        """The table that maps token ids to vectors."""
        return self.embeddings

    def start_from(self, vectors) -> None:
        """Let the embeddings begin at given vectors, an array of shape (V, D)."""
        with torch.no_grad():
            self.embeddings.weight.copy_(torch.from_numpy(vectors))

    def forward(self, input_ids=None, attention_mask=None, hidden=None) -> Tensor:
        if hidden is None:
            hidden = self.embeddings(input_ids)  # (B, T) -> (B, T, D)
            if self.training and self.dropout:
                keep = torch.rand(input_ids.shape, device=input_ids.device) >= self.dropout
                hidden = hidden * keep.unsqueeze(-1)
        position = torch.arange(hidden.shape[1], device=hidden.device)
        distance = (position[:, None] - position).abs()
        bias = -self.slopes[:, None, None] * distance  # (heads, T, T)
        bias = bias.masked_fill(~attention_mask[:, None, None, :].bool(), -1e9)  # (B, heads, T, T)
        for layer in self.layers:
            hidden = layer(hidden, bias)
        return hidden

    def _keep_layers(self, kept: slice) -> None:
        self.layers = self.layers[kept]


class PretrainedBackbone(_Backbone):
    """An encoder of the transformers library, by its configuration.

    Parameters
    ----------
    config : dict
        ``PretrainedConfig.to_dict()``; builds the network with random weights.
    pooling : {"mean", "cls"}, default="mean"
        How a text's vector comes from its tokens.
    network : PreTrainedModel, default=None
        Used in place of building one.
    """

    lr, n_epochs = 3e-4, 4

    def __init__(self, config: dict, pooling: str = "mean", network=None):
        super().__init__()
        self.init_args = {"config": config, "pooling": pooling}
        self.pooling = pooling
        self._n_kept = None  # layers, where `split` left only some
        self.network = _build_network(config) if network is None else network
        self.hidden_size = self.network.config.hidden_size
        self.n_frozen_layers = self.n_layers // 2

    @property
    def layers(self) -> nn.ModuleList:
        """The transformer layers, lowest first."""
        parent, name = self._home_of_layers()
        return getattr(parent, name)

    @property
    def embeddings(self) -> nn.Module:
        """Token, position and type embeddings."""
        return getattr(self.network, "embeddings", None) or self.word_embeddings

    @property
    def word_embeddings(self) -> nn.Embedding:
        """The table that maps token ids to vectors."""
        return self.network.get_input_embeddings()

    def pool(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        if self.pooling == "cls":
            return F.normalize(hidden[:, 0].float(), dim=-1)
        return super().pool(hidden, attention_mask)

    def forward(self, input_ids=None, attention_mask=None, hidden=None) -> Tensor:
        given = {"input_ids": input_ids} if hidden is None else {"inputs_embeds": hidden}
        return self.network(**given, attention_mask=attention_mask.long()).last_hidden_state

    def split(self, n_frozen_layers: int):
        lower, upper = super().split(n_frozen_layers)
        if lower is not None:
            self._check_split(lower, upper)
        return lower, upper

    def _check_split(self, lower, upper) -> None:
        """Refuse networks that compute something beside their embeddings and layers."""
        ids = torch.ones(1, 3, dtype=torch.long, device=self.word_embeddings.weight.device)
        mask = torch.ones_like(ids)
        with torch.no_grad():
            whole = self.eval()(ids, mask)
            parts = upper.eval()(attention_mask=mask, hidden=lower.eval()(ids, mask))
        if not torch.allclose(whole, parts, atol=1e-4):
            raise TypeError(
                f"{type(self.network).__name__} cannot be cut between its layers. "
                "Set n_frozen_layers=0 to train all of it."
            )

    def _home_of_layers(self):
        depth = self.network.config.num_hidden_layers
        for parent in self.network.modules():
            for name, child in parent.named_children():
                if isinstance(child, nn.ModuleList) and len(child) in (depth, self._n_kept):
                    return parent, name
        raise TypeError(
            f"No list of {depth} layers in {type(self.network).__name__}: only encoders built of "
            "equal transformer layers can be fine-tuned. Use it as a vectorizer instead."
        )

    def _keep_layers(self, kept: slice) -> None:
        parent, name = self._home_of_layers()
        setattr(parent, name, getattr(parent, name)[kept])
        self._n_kept = len(getattr(parent, name))


class Pooled(nn.Module):
    """A backbone and its pooling: token ids to ``(vectors,)``, (B, D)."""

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone

    def forward(self, input_ids: Tensor, attention_mask: Tensor):
        return (self.backbone.pool(self.backbone(input_ids, attention_mask), attention_mask),)


def get_backbone(encoder):
    """The backbone of a fitted encoder, or an error that tells what can be done without one.

    Raises
    ------
    TypeError
        If the encoder is a plain vectorizer, with nothing to fine-tune.
    """
    backbone = getattr(encoder, "backbone_", None)
    if backbone is None:
        raise TypeError(
            f"{type(encoder).__name__} has no backbone that could be fine-tuned (no `backbone_` after "
            "fit). Use RCPTEncoder, or give its features to the part: make_pipeline(encoder, part)."
        )
    return backbone


def _build_network(config):
    from transformers import AutoConfig, AutoModel

    config = dict(config)
    return AutoModel.from_config(AutoConfig.for_model(config.pop("model_type"), **config))
