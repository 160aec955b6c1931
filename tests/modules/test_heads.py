"""Heads: numbers by hand, what a tower owns, the language model learns."""

from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.nn.functional import normalize

from skrr2qc._training import TextNet
from skrr2qc.losses import masked_language_model_loss
from skrr2qc.modules import (
    AuxiliaryTower,
    CompactBackbone,
    FeatureTower,
    LabelHead,
    LowerStates,
    MaskedLanguageModel,
    PretrainedBackbone,
    TextTower,
    TowerVectors,
)
from skrr2qc.text import TokenBatches, mask_tokens, train_tokenizer
from tests.reference.tiny_bert import bert_config

N_LABELS = 5


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def make_tower(n_frozen=0):
    backbone = PretrainedBackbone(bert_config().to_dict())
    head = LabelHead(backbone.hidden_size, N_LABELS)
    head.start_from(normalize(torch.randn(N_LABELS, backbone.hidden_size), dim=1))
    return backbone, TextTower(backbone, n_frozen, head)


def make_compact(vocab_size=15):
    return CompactBackbone(vocab_size, hidden_size=16)


def make_batch():
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    return {"input_ids": torch.randint(1, 15, (2, 6)) * mask, "attention_mask": mask}


def test_label_head_by_hand():
    head = LabelHead(2, 3, scale=10.0)
    head.start_from(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]))
    logits = head(torch.tensor([[0.6, 0.8]]))
    assert_allclose(logits.detach(), [[6 - 5, 8 - 5, 10 - 5]], rtol=1e-5)
    assert_allclose(head.centers.detach(), head.weight.detach())


def test_label_head_owns_all_that_it_learns():
    names = {name for name, _ in LabelHead(2, 3).named_parameters()}
    assert names == {"weight", "bias", "log_scale", "centers"}


@pytest.mark.parametrize("n_frozen", [0, 1, 4])
def test_tower_scores_what_the_backbone_sees(n_frozen):
    backbone, tower = make_tower(n_frozen)
    batch = make_batch()
    tower.eval()
    with torch.no_grad():
        logits, features, centers = tower(**batch)
        hidden = backbone.eval()(**batch)
        expected = backbone.pool(hidden, batch["attention_mask"])
    assert_allclose(features, expected, atol=1e-5)
    assert_allclose(logits, tower.head(expected).detach(), atol=1e-4)
    assert centers is tower.head.centers


def test_tower_owns_only_what_it_trains():
    """Half a frozen network used to be copied into each head."""
    backbone, tower = make_tower(n_frozen=3)
    shared = {id(p) for p in backbone.parameters()}
    assert not shared & {id(p) for p in tower.parameters()}
    parts = (backbone.layers[3], tower.head)
    n_own = sum(p.numel() for part in parts for p in part.parameters())
    assert sum(p.numel() for p in tower.parameters()) == n_own
    n_stored = sum(t.numel() for t in tower.state_dict().values() if t.is_floating_point())
    assert n_stored == n_own
    assert {id(p) for p in tower.lower.parameters()} < shared


def test_frozen_part_stays_asleep_and_untouched():
    backbone, tower = make_tower(n_frozen=1)
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    batch = make_batch()
    tower.train()
    states = [tower.lower_states(**batch) for _ in range(2)]
    assert torch.equal(*states)  # no dropout
    assert not states[0].requires_grad
    assert not any(module.training for module in tower.lower.modules())
    logits, *_ = tower(**batch)
    logits.sum().backward()
    assert all(parameter.grad is None for parameter in backbone.parameters())
    assert any(parameter.grad.any() for parameter in tower.upper.parameters())
    assert all(torch.equal(backbone.state_dict()[n], tensor) for n, tensor in before.items())


def test_states_computed_beforehand_give_the_same_scores():
    _, tower = make_tower(n_frozen=1)
    tower.eval()
    batch = make_batch()
    with torch.no_grad():
        (hidden,) = LowerStates(tower)(**batch)
        from_states = tower(hidden=hidden, attention_mask=batch["attention_mask"])
        from_ids = tower(**batch)
    for found, expected in zip(from_states, from_ids, strict=True):
        assert_allclose(found.detach(), expected.detach(), atol=1e-6)


@pytest.mark.parametrize("kind", ["texts", "features"])
def test_further_targets_are_scored_beside_the_labels(kind):
    if kind == "texts":
        _, tower = make_tower(n_frozen=1)
        batch, width = make_batch(), tower.head.weight.shape[1]
    else:
        tower = FeatureTower(n_inputs=4, n_features=3, n_labels=2)
        batch, width = {"X": torch.randn(2, 4)}, 4
    vectors, more = (normalize(torch.randn(n, width), dim=1) for n in (3, 5))
    both = AuxiliaryTower(tower, [vectors, more]).eval()
    with torch.no_grad():
        outputs = tower(**batch)
        *first, logits, further = both(**batch)
    for found, expected in zip(first, outputs, strict=True):
        assert torch.equal(found, expected)
    assert_allclose(logits, 20 * outputs[1] @ vectors.T - 10, rtol=1e-4)
    assert_allclose(further, 20 * outputs[1] @ more.T - 10, rtol=1e-4)
    own = sum(p.numel() for p in both.parameters())
    assert own > sum(p.numel() for p in tower.parameters())  # learned beside it


def test_feature_tower_by_hand():
    tower = FeatureTower(n_inputs=2, n_features=2, n_labels=1)
    with torch.no_grad():
        tower.projection.weight.copy_(torch.eye(2))
        tower.projection.bias.zero_()
        tower.shift.copy_(torch.tensor([1.0, 1.0]))
        tower.factor.fill_(2.0)
    _, features, _ = tower(torch.tensor([[2.0, 2.0]]))  # (2 - 1) * 2 = 2, beside the constant 1
    assert_allclose(features.detach(), [[2 / 3, 2 / 3, 1 / 3]], rtol=1e-6)


def test_feature_tower_computes_in_full_precision():
    """Under autocast to bfloat16 its features could not be multiplied with float32 centers."""
    tower = FeatureTower(n_inputs=3, n_features=3, n_labels=2)
    X = torch.randn(4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = tower(X)
    for found, expected in zip(outputs, tower(X), strict=True):
        assert found.dtype == torch.float32
        assert torch.equal(found, expected)


@pytest.mark.parametrize("kind", ["texts", "features"])
def test_vectors_of_a_tower_are_those_it_scores_from(kind):
    tower, batch = FeatureTower(3, 3, 2).eval(), {"X": torch.randn(4, 3)}
    if kind == "texts":
        tower, batch = make_tower(n_frozen=1)[1].eval(), make_batch()
    scored = []
    tower.head.register_forward_hook(lambda *args: scored.append(1))
    with torch.no_grad():
        (vectors,) = TowerVectors(tower)(**batch)
        assert not scored  # which would cost more than the vectors where labels are many
        assert torch.equal(vectors, tower(**batch)[1])


@pytest.mark.parametrize("backbone", ["compact", "pretrained"])
def test_language_model_scores_chosen_tokens_alone(backbone):
    backbone = make_compact() if backbone == "compact" else make_tower()[0]
    batch = make_batch()
    targets = torch.full((2, 6), -100)
    targets[0, 2], targets[1, 1], targets[1, 3] = 4, 5, 6
    model = MaskedLanguageModel(backbone).eval()
    logits, chosen, vectors = model(**batch, targets=targets)
    assert logits.shape == (3, 15)
    assert chosen.tolist() == [4, 5, 6]  # in the order of the logits
    mask = batch["attention_mask"]
    assert torch.equal(vectors, backbone.pool(backbone(**batch), mask))
    logits, chosen, _ = model(**batch, targets=torch.full((2, 6), -100))
    assert logits.shape == (0, 15)
    assert chosen.shape == (0,)


@pytest.mark.parametrize("sees_whole_text", [True, False])
def test_language_model_knows_of_the_whole_text(sees_whole_text):
    """Convolutions do not reach the first token from the last: the text's vector tells of it."""
    backbone = make_compact()
    assert not backbone.sees_whole_text
    backbone.sees_whole_text = sees_whole_text
    model = MaskedLanguageModel(backbone).eval()
    assert model.transform.in_features == 16 * (1 if sees_whole_text else 2)
    input_ids = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8], [8, 7, 6, 5, 4, 3, 2, 1]])
    targets = torch.where(torch.arange(8) == 0, 1, -100).expand(2, 8)
    attention_mask = torch.ones_like(input_ids, dtype=torch.bool)
    before, *_ = model(input_ids, attention_mask, targets)
    changed = input_ids.clone()
    changed[0, -1] = 9
    after, *_ = model(changed, attention_mask, targets)
    assert torch.equal(before[0], after[0]) == sees_whole_text
    assert torch.equal(before[1], after[1])  # of its own text, not of another


def test_language_model_trains_through_the_text_vector():
    backbone = make_compact()
    targets = torch.where(torch.arange(6) == 0, 1, -100).expand(2, 6)
    logits, *_ = MaskedLanguageModel(backbone)(**make_batch(), targets=targets)
    logits.sum().backward()
    assert all(p.grad.any() for p in backbone.layers.parameters())


def test_language_model_is_tied_to_the_embeddings():
    backbone, batch = make_compact(), make_batch()
    model = MaskedLanguageModel(backbone)
    width = backbone.word_embeddings.weight.shape[1]
    own = {n: p.shape for n, p in model.named_parameters() if not n.startswith("backbone.")}
    assert (15, width) not in own.values()
    targets = torch.where(batch["attention_mask"], batch["input_ids"], -100)
    logits, *_ = model(**batch, targets=targets)
    masked_language_model_loss(logits, torch.full((10,), 14)).backward()
    assert backbone.word_embeddings.weight.grad[14].any()  # even if it is in no text


def test_language_model_learns():
    """Two sentences, of which any word tells the others."""
    texts = ["red green blue black", "one two three four"] * 16
    tokenizer = train_tokenizer(texts)
    rng = np.random.default_rng(0)
    mask = partial(mask_tokens, tokenizer=tokenizer, rate=0.3, rng=rng)
    batches = TokenBatches(tokenizer.encode(texts)[0], batch_size=8, rng=rng, mask=mask)
    model = MaskedLanguageModel(make_compact(tokenizer.vocab_size))

    def loss_terms(outputs, rows):
        logits, chosen, _ = outputs
        return {"loss": masked_language_model_loss(logits.float(), chosen)}

    net = TextNet(model, loss_terms, n_epochs=10, lr=1e-2)
    losses = [row["loss"] for row in net.fit_batches(batches).epoch_table()]
    assert losses[-1] < 0.6 * losses[0]
