"""Backbones: token ids to one hidden state a token, and one vector a text."""

import copy
from contextlib import contextmanager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._dropout import ByteDropout
from ._max_over_time import max_over_time


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
    lr, n_epochs, n_frozen_layers, label_loss : float, int, int, str
        Fine-tuning settings that an estimator uses unless its user sets them.
    pretraining_lr, pretraining_epochs, rank_weight, initial_share : float, int, float, float
        The same for pre-training, which freezes the same layers.
    sees_whole_text : bool
        Whether the state of one token knows of all others; if not, a language model needs the
        text's vector beside it.
    """

    sees_whole_text = True

    @property
    def n_layers(self) -> int:
        """Number of transformer layers."""
        return len(self.layers)

    def pool(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Unit vector of each text; (B, T, D) -> (B, D)."""
        return F.normalize(mean_pool(hidden.float(), attention_mask), dim=-1)

    def vectors(self, attention_mask: Tensor, input_ids=None, hidden=None) -> Tensor:
        """What `pool` makes of the hidden states, where nobody else needs these; (B, D)."""
        return self.pool(self(input_ids, attention_mask, hidden), attention_mask)

    def vectors_and_states(self, attention_mask: Tensor, input_ids: Tensor, is_chosen: Tensor):
        """Vectors (B, D), and hidden states of the chosen tokens alone, (S, D)."""
        hidden = self(input_ids, attention_mask)
        return self.pool(hidden, attention_mask), hidden[is_chosen]

    def parts(self, vectors: Tensor) -> list[Tensor]:
        """Parts of the texts' vectors that can learn labels by themselves, each (B, D)."""
        return []

    def freeze(self, n_frozen_layers: int) -> None:
        """Let only the layers above some be trained; 0 trains all, the embeddings included.

        What lies beside the layers may be part of the lower ones, as relative positions are.
        """
        self.requires_grad_(not n_frozen_layers)
        for layer in self.layers[n_frozen_layers:]:
            layer.requires_grad_(True)

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
        layers, between = list(self.layers), self._below_layers()
        shared = [self.embeddings, *between, *layers, *self._read_by_layers()]
        lower = copy.deepcopy(self, {id(part): part for part in shared})
        lower._keep_layers(slice(None, n_frozen_layers))
        left_out = {id(part): nn.Identity() for part in [*between, *layers[:n_frozen_layers]]}
        upper = copy.deepcopy(self, {id(self.embeddings): _GivenHidden(), **left_out})
        upper._keep_layers(slice(n_frozen_layers, None))
        return lower, upper.requires_grad_(True)

    def _keep_layers(self, kept: slice) -> None:
        raise NotImplementedError

    def _below_layers(self) -> list:
        """Modules between the embeddings and the first layer."""
        return []

    def _read_by_layers(self) -> list:
        """What else the layers look into, and must find unchanged where they are shared."""
        return []


class _GivenHidden(nn.Module):
    """Stands in for the embeddings above a frozen part: hands on the hidden states it is given."""

    def forward(self, *args, **kwargs):
        for given in [*args, *kwargs.values()]:
            if isinstance(given, Tensor) and given.ndim == 3:
                return given
        raise ValueError("no hidden states reach the embeddings")


class _Convolutions(nn.Module):
    """Filters of widths 2, 3 and 4 over the tokens; what lies before them passes beside them."""

    widths = (2, 3, 4)

    def __init__(self, n_passed: int, n_inputs: int, n_filters: int):
        super().__init__()
        self.n_passed = n_passed
        self.filters = nn.ModuleList(nn.Conv1d(n_inputs, n_filters, w) for w in self.widths)

    def forward(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        passed, inputs = self._split(hidden, attention_mask)
        inputs = inputs.transpose(1, 2)  # (B, T, I) -> (B, I, T)
        each = [F.relu(f(F.pad(inputs, (0, f.kernel_size[0] - 1)))) for f in self.filters]
        maps = torch.cat(each, dim=1).transpose(1, 2)  # (B, T, 3 * filters)
        return torch.cat([passed.to(maps.dtype), maps * attention_mask.unsqueeze(-1)], dim=2)

    def maxima(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Maximum over time of each filter, without the states it is the maximum of; (B, 3F)."""
        _, inputs = self._split(hidden, attention_mask)
        found = [
            max_over_time(F.pad(inputs, (0, 0, 0, f.kernel_size[0] - 1)), f, attention_mask)
            for f in self.filters
        ]
        return torch.cat(found, dim=1)

    def states_at(self, hidden: Tensor, attention_mask: Tensor, is_chosen: Tensor) -> Tensor:
        """What `forward` gives at chosen tokens, none of them padding; (S, D)."""
        passed, inputs = self._split(hidden, attention_mask)
        inputs = F.pad(inputs, (0, 0, 0, max(self.widths) - 1))
        texts, tokens = is_chosen.nonzero(as_tuple=True)
        first = (texts * inputs.shape[1] + tokens).unsqueeze(1)
        states = [passed[is_chosen]]
        for f in self.filters:
            steps = torch.arange(f.kernel_size[0], device=first.device)
            windows = F.embedding(first + steps, inputs.flatten(0, 1))  # (S, w, I)
            states.append(F.relu(F.linear(windows.mT.flatten(1), f.weight.flatten(1), f.bias)))
        return torch.cat([state.to(states[-1].dtype) for state in states], dim=1)

    def _split(self, hidden, attention_mask):
        """What passes beside filters, and what they read, 0 at padding: (B, T, P), (B, T, I)."""
        passed, inputs = hidden.split([self.n_passed, hidden.shape[2] - self.n_passed], dim=2)
        return passed, inputs * attention_mask.unsqueeze(-1)


class CompactBackbone(_Backbone):
    """Small network trained from scratch on the user's texts: a bag of words beside convolutions.

    A quarter of a text's vector is the mean of its token vectors, which start from
    `start_from` as weighted latent semantic vectors; the rest is the maximum over time of
    convolutions (Kim, 2014 [1]_). Both parts have the same length.

    Parameters
    ----------
    vocab_size : int
    hidden_size : int
        Width of the hidden states and of a text's vector, at least 8.
    token_dropout : float, default=0.1
        Share of tokens left out of the mean during training.
    filter_dropout : float, default=0.3
        Share of filters left out during training.

    Notes
    -----
    One or two attention layers in place of the convolutions did worse on 2,000 to 3,000 texts,
    at several times the cost; see docs/decisions/0002.

    References
    ----------
    .. [1] Kim. Convolutional Neural Networks for Sentence Classification. EMNLP 2014.
    """

    lr, n_epochs, n_frozen_layers, label_loss = 1e-3, 12, 0, "class_balanced"
    pretraining_lr, pretraining_epochs, rank_weight, initial_share = 1e-3, 8, 3.0, 0.5
    sees_whole_text = False

    def __init__(self, vocab_size: int, hidden_size: int, token_dropout=0.1, filter_dropout=0.3):
        super().__init__()
        self.init_args = {
            "vocab_size": vocab_size,
            "hidden_size": hidden_size,
            "token_dropout": token_dropout,
            "filter_dropout": filter_dropout,
        }
        self.hidden_size = hidden_size
        self.token_dropout = token_dropout
        self.filter_dropout = filter_dropout
        n_filters = hidden_size // 4
        self.n_bag = hidden_size - len(_Convolutions.widths) * n_filters
        n_inputs = hidden_size // 8
        self.embeddings = nn.Embedding(vocab_size, self.n_bag + n_inputs)
        nn.init.normal_(self.embeddings.weight)
        self.layers = nn.ModuleList([_Convolutions(self.n_bag, n_inputs, n_filters)])

    @property
    def word_embeddings(self) -> nn.Embedding:
        """The table that maps token ids to vectors."""
        return self.embeddings

    def start_from(self, vectors) -> None:
        """Let the bag of words begin at given token vectors, an array of shape (V, n_bag)."""
        with torch.no_grad():
            self.embeddings.weight[:, : self.n_bag] = torch.from_numpy(vectors)

    def forward(self, input_ids=None, attention_mask=None, hidden=None) -> Tensor:
        attention_mask = attention_mask.bool()
        if hidden is None:
            hidden = self.embeddings(input_ids)  # (B, T) -> (B, T, n_bag + n_inputs)
        for layer in self.layers:
            hidden = layer(hidden, attention_mask)
        return hidden

    def pool(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Unit vector of each text: mean of its tokens beside the maximum of its filters."""
        maxima = hidden[:, :, self.n_bag :].amax(dim=1)  # padding is 0, and no filter is below
        return self._join(hidden, attention_mask, maxima)

    def vectors(self, attention_mask: Tensor, input_ids=None, hidden=None) -> Tensor:
        if not len(self.layers):  # they are below, and `hidden` is what came out of them
            return super().vectors(attention_mask, input_ids, hidden)
        hidden = self.embeddings(input_ids) if hidden is None else hidden
        attention_mask = attention_mask.bool()
        return self._join(hidden, attention_mask, self.layers[0].maxima(hidden, attention_mask))

    def vectors_and_states(self, attention_mask: Tensor, input_ids: Tensor, is_chosen: Tensor):
        hidden, attention_mask = self.embeddings(input_ids), attention_mask.bool()
        maxima = self.layers[0].maxima(hidden, attention_mask)
        states = self.layers[0].states_at(hidden, attention_mask, is_chosen)
        return self._join(hidden, attention_mask, maxima), states

    def parts(self, vectors: Tensor) -> list[Tensor]:
        """What the filters found, at unit length, where they are trained."""
        if not len(self.layers):
            return []
        no_bag = torch.zeros_like(vectors[:, : self.n_bag])
        return [torch.cat([no_bag, vectors[:, self.n_bag :] * 2**0.5], dim=1)]

    def _join(self, hidden, attention_mask, maxima):
        is_kept = attention_mask.bool()
        if self.training and self.token_dropout:
            is_kept = is_kept & (
                torch.rand(is_kept.shape, device=hidden.device) >= self.token_dropout
            )
        bag = hidden[:, :, : self.n_bag].to(maxima.dtype)  # rounded as states are, wherever from
        bag = mean_pool(bag.float(), is_kept)
        maxima = maxima.float()  # only now: a copy of all states would cost a tenth of a step
        maxima = F.dropout(maxima, self.filter_dropout, self.training)
        parts = [F.normalize(part, dim=-1) for part in (bag, maxima)]
        return torch.cat(parts, dim=1) * 0.5**0.5

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

    lr, n_epochs, label_loss = 3e-4, 3, "bce"
    pretraining_lr, pretraining_epochs, rank_weight, initial_share = 1e-4, 2, 30.0, 0.2
    _may_switch = _has_switched = False  # to another attention, and back

    def __init__(self, config: dict, pooling: str = "mean", network=None):
        super().__init__()
        self.init_args = {"config": config, "pooling": pooling}
        self.pooling = pooling
        self._n_kept = None  # layers, where `split` left only some
        self.network = _without_pooler(_build_network(config) if network is None else network)
        self.hidden_size = self.network.config.hidden_size
        self.n_frozen_layers = self.n_layers // 2
        self._may_switch = _gains_by_switching(self.network)

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
        self._choose_attention(attention_mask.device)
        given = {"input_ids": input_ids} if hidden is None else {"inputs_embeds": hidden}
        with self._dropout(attention_mask.device):
            return self.network(**given, attention_mask=attention_mask.long()).last_hidden_state

    def split(self, n_frozen_layers: int):
        lower, upper = super().split(n_frozen_layers)
        if lower is not None:
            self._check_split(lower, upper)
        return lower, upper

    def _choose_attention(self, device) -> None:
        """Plain products while a CPU trains, and back; what a user has set since stays."""
        is_set = self.network.config._attn_implementation
        if self.training and device.type == "cpu":
            if self._may_switch and is_set == "sdpa":
                self.network.set_attn_implementation("eager")
                self._has_switched = True
        elif self._has_switched:
            if is_set == "eager":
                self.network.set_attn_implementation("sdpa")
            self._has_switched = False

    def _dropout(self, device):
        """Context with fast masks while a CPU trains, each activation being computed once."""
        is_fast = self.training and device.type == "cpu" and not _computes_twice(self.network)
        return ByteDropout() if is_fast else nullcontext()

    def _check_split(self, lower, upper) -> None:
        """Refuse networks that compute something beside their embeddings and layers."""
        self.to(self.word_embeddings.weight.device)  # a part may have moved with a head before
        ids = torch.ones(1, 3, dtype=torch.long, device=self.word_embeddings.weight.device)
        mask = torch.ones_like(ids)
        name = type(self.network).__name__
        is_strange = f"{name} does not read tokens as encoders do. Take another encoder."
        is_whole = (
            f"{name} cannot be cut between its layers. Set n_frozen_layers=0 to train all of it."
        )
        with torch.no_grad():
            with _refusing(is_strange):
                whole = self.eval()(ids, mask)
            with _refusing(is_whole):
                parts = upper.eval()(attention_mask=mask, hidden=lower.eval()(ids, mask))
        if not torch.allclose(whole, parts, atol=1e-4):
            raise TypeError(is_whole)

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

    def _below_layers(self) -> list:
        projection = getattr(self.network, "embeddings_project", None)  # ELECTRA's, RoFormer's
        return [] if projection is None else [projection]

    def _read_by_layers(self) -> list:
        return [self.network.config]

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
        return (self.backbone.vectors(attention_mask, input_ids),)


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
            f"{type(encoder).__name__} has no backbone that could be fine-tuned (no `backbone_` "
            "after fit). Use RCPTEncoder, or give its features to the part: "
            "make_pipeline(encoder, part)."
        )
    return backbone


@contextmanager
def _refusing(advice):
    """Puts advice before what a network says of inputs that are not for it."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise TypeError(f"{advice} It says: {error}") from error


def _build_network(config):
    from transformers import AutoConfig, AutoModel

    config = dict(config)
    return AutoModel.from_config(AutoConfig.for_model(config.pop("model_type"), **config))


def _gains_by_switching(network):
    """Whether another attention trains faster on a CPU: where its weights are dropped (0010)."""
    config = network.config
    names = ("attention_probs_dropout_prob", "attention_dropout")
    can_switch = getattr(network, "_can_set_attn_implementation", lambda: False)  # not old BERTs
    is_dropped = any(getattr(config, name, None) for name in names)
    return is_dropped and config._attn_implementation == "sdpa" and can_switch()


def _computes_twice(network):
    """Whether some activations are not kept, but computed once more in the backward pass."""
    return any(getattr(part, "gradient_checkpointing", False) for part in network.modules())


def _without_pooler(network):
    """Drop the layer on the first token: unused here, it would count as untrained weights."""
    if hasattr(network, "pooler"):
        network.pooler = None
    return network
