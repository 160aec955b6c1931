"""Pre-training of a backbone: masked language model and ranking contrastive loss."""

from functools import partial

import numpy as np
import torch

from .._training import TextNet
from ..losses import (
    masked_language_model_loss,
    ranking_contrastive_loss,
    ranking_temperatures,
    rince_loss,
)
from ..modules import MaskedLanguageModel, RankingPretrainer
from ..text import TokenBatches, mask_tokens
from ._augmentation import augment_tokens


class Pretraining:
    """One run of pre-training: its module, its batches, its loss.

    Parameters
    ----------
    settings : SimpleNamespace
        From `resolve_settings`.
    backbone : CompactBackbone or PretrainedBackbone
        Trained in place.
    tokenizer : TextTokenizer
    geometry : LabelGeometry, default=None
        Of the texts' label sets; None trains the language model alone.
    kept : dict of str to Tensor, default=None
        What a checkpoint holds beside the training: a resumed run finds the initial weights
        there, as those made anew differ in signs on another processor.
    """

    def __init__(self, settings, backbone, tokenizer, geometry=None, kept=None):
        self.settings = settings
        self.tokenizer = tokenizer
        self.geometry = geometry
        self.backbone = backbone
        n_frozen_layers = settings.n_frozen_layers
        backbone.freeze(backbone.n_frozen_layers if n_frozen_layers is None else n_frozen_layers)
        self.initial = {}
        if settings.initial_share:
            self.initial = _initial_weights(backbone, {} if kept is None else kept)
        if geometry is None:
            self.module = MaskedLanguageModel(backbone)
            return
        self.module = RankingPretrainer(
            backbone,
            geometry,
            projection_size=settings.projection_size,
            queue_size=settings.queue_size,
            momentum=settings.momentum,
        )
        self.temperatures = ranking_temperatures(
            geometry.max_rank,
            low=settings.min_temperature,
            high=settings.max_temperature,
            spacing=settings.temperature_spacing,
        )

    def net(self, **parameters):
        """The training loop of this run, not started."""
        after_step = None if self.geometry is None else self._after_step
        return TextNet(
            self.module, self.loss_terms, after_step=after_step, title="pre-training", **parameters
        )

    @torch.no_grad()
    def finish(self):
        """Bring weights back towards the initial ones, by `initial_share`; free those frozen."""
        self.backbone.requires_grad_(True)
        for name, initial in self.initial.items():
            weight = self.backbone.get_parameter(name)
            weight.lerp_(initial.to(weight.device), self.settings.initial_share)

    def batches(self, ids, rng):
        """Masked batches with row numbers, and with a second view where texts are compared."""
        key_view = None
        if self.geometry is not None:
            augment = partial(augment_tokens, special_ids=self.tokenizer.special_ids, rng=rng)
            key_view = "masked" if self.settings.views == "masked" else augment
        return TokenBatches(
            ids,
            batch_size=self.settings.batch_size,
            rng=rng,
            pad_id=self.tokenizer.pad_id,
            mask=partial(
                mask_tokens, tokenizer=self.tokenizer, rate=self.settings.mlm_rate, rng=rng
            ),
            key_view=key_view,
        )

    def held_out(self, ids, first_row, seed):
        """The same batches of held-out texts, masked alike, each time."""
        return _HeldOutBatches(self, ids, first_row, seed)

    def loss_terms(self, outputs, rows):
        """Terms of Eq. 9, weights applied."""
        logits, chosen = outputs[:2]
        terms = {"masked_language_model": masked_language_model_loss(logits.float(), chosen)}
        if self.geometry is not None:
            terms["ranking"] = self.settings.rank_weight * self.ranking_loss(rows, *outputs[2:])
        return terms

    def ranking_loss(self, rows, queries, keys):
        """L_Rank of a batch against its own keys and one state of the queue."""
        geometry, settings = self.geometry, self.settings
        queue_rows, columns = self.module.queue.content()
        bank_rows = torch.cat([rows, queue_rows])
        similarities = queries @ torch.cat([keys, columns["keys"]]).T
        ranks, n_shared = geometry.ranks(rows, bank_rows)
        means = geometry.mean_vectors(rows)
        bank_means = torch.cat([means, columns["means"]])
        closeness = geometry.closeness(rows, bank_rows, n_shared, means, bank_means)
        valid = geometry.has_labels(rows)[:, None] & geometry.has_labels(bank_rows)
        if not settings.own_key_positive:
            valid[:, : len(rows)].fill_diagonal_(False)
        if settings.variant == "rince":
            temperatures = self.temperatures[:-1]
            return rince_loss(similarities, ranks, temperatures, valid, variant="out-in")
        return ranking_contrastive_loss(
            similarities,
            ranks,
            self.temperatures,
            closeness,
            valid,
            variant=settings.variant,
            discount=settings.rank_discount,
        )

    def _after_step(self, outputs, rows):
        self.module.update(rows.to(outputs[3].device), outputs[3])


def _initial_weights(backbone, kept):
    """Copies of the weights that are trained, by name; those that `kept` lacks are added to it."""
    initial = {}
    for name, weight in backbone.named_parameters():
        if not weight.requires_grad:
            continue
        key = f"initial.{name}"
        if key not in kept:
            kept[key] = weight.detach().cpu().clone()
        initial[name] = kept[key]
    return initial


class _HeldOutBatches:
    """Batches of the last texts of a run, whose random masks are the same in each pass."""

    def __init__(self, run, ids, first_row, seed):
        self.run = run
        self.ids = ids
        self.first_row = first_row
        self.seed = seed

    def __len__(self):
        return len(self.run.batches(self.ids, None))

    def __iter__(self):
        for inputs, rows in self.run.batches(self.ids, np.random.default_rng(self.seed)):
            yield inputs, rows + self.first_row
