"""RankingPretrainer: a key encoder that only follows, and a queue that never loses its labels."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skrr2qc.encoders._pretraining import Pretraining
from skrr2qc.hierarchy import distance_ranks, label_distances, label_set_distances
from skrr2qc.losses import ranking_temperatures
from skrr2qc.modules import CompactBackbone, LabelGeometry, PretrainedBackbone, RankingPretrainer
from tests.reference import ranking as reference
from tests.reference.golden import golden_cases
from tests.reference.tiny_bert import bert_config

N_TEXTS, VOCAB_SIZE, QUEUE_SIZE, PROJECTION_SIZE = 24, 15, 7, 6
PARENTS = [[], [], [0], [0], [1], [1]]
DISTANCES, MAX_DEPTH = label_distances(PARENTS), 2
VECTORS = np.random.default_rng(1).normal(size=(len(PARENTS), 4))


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def label_sets():
    """One to three labels a text; every fifth text has none."""
    rng = np.random.default_rng(0)
    Y = np.zeros((N_TEXTS, len(PARENTS)))
    for row in Y:
        row[rng.choice(len(PARENTS), rng.integers(1, 4), replace=False)] = 1
    Y[::5] = 0
    return Y


def make_geometry(closeness="cos01"):
    return LabelGeometry(sp.csr_matrix(label_sets()), DISTANCES, 4, closeness, VECTORS)


def make_module(backbone="compact", momentum=0.9, projection_size=PROJECTION_SIZE):
    if backbone == "compact":
        backbone = CompactBackbone(VOCAB_SIZE, hidden_size=16)
    else:
        backbone = PretrainedBackbone(bert_config().to_dict())
    return RankingPretrainer(
        backbone,
        make_geometry(),
        projection_size=projection_size,
        queue_size=QUEUE_SIZE,
        momentum=momentum,
    )


def make_batch(rows):
    """Texts made of their row numbers, so that one row always has the same key."""
    generator = torch.Generator().manual_seed(0)
    texts = torch.randint(1, VOCAB_SIZE, (N_TEXTS, 6), generator=generator)
    mask = torch.ones(len(rows), 6, dtype=torch.bool)
    targets = torch.where(torch.arange(6) == 2, texts[rows], -100)
    return {
        "input_ids": texts[rows],
        "attention_mask": mask,
        "targets": targets,
        "key_ids": texts[rows],
        "key_mask": mask,
    }


def key_parameters(module):
    return [*module.key_backbone.parameters(), *module.key_projection.parameters()]


def query_parameters(module):
    return [*module.language_model.backbone.parameters(), *module.projection.parameters()]


def shift_queries(module):
    with torch.no_grad():
        for parameter in query_parameters(module):
            parameter += torch.randn(parameter.shape)


def queue_state(module):
    return {name: buffer.clone() for name, buffer in module.queue.named_buffers()}


def batches_of_rows():
    """Batches of 1 to 9 texts: more than the queue holds, never a divisor of it."""
    rng = np.random.default_rng(2)
    return [torch.from_numpy(rng.choice(N_TEXTS, n, replace=False)) for n in (5, 9, 1, 6, 3, 8)]


# -------------------------------------------------------------------------------------- forward


@pytest.mark.parametrize("backbone", ["compact", "pretrained"])
def test_forward(backbone):
    rows = torch.tensor([3, 1, 8])
    module = make_module(backbone).eval()
    batch = make_batch(rows)
    logits, chosen, queries, keys = module(**batch)
    assert logits.shape == (3, VOCAB_SIZE)
    assert_array_equal(chosen, batch["input_ids"][:, 2])
    for vectors in (queries, keys):
        assert vectors.shape == (3, PROJECTION_SIZE)
        assert vectors.dtype == torch.float32
        assert_allclose(vectors.detach().norm(dim=1), 1.0, rtol=1e-5)
    assert_allclose(queries.detach(), keys, atol=1e-6)  # the copy begins as its original


def test_without_projection_vectors_are_those_of_the_texts():
    module = make_module(projection_size=0).eval()
    batch = make_batch(torch.tensor([2, 4]))
    *_, queries, keys = module(**batch)
    backbone, mask = module.language_model.backbone, batch["attention_mask"]
    expected = backbone.pool(backbone(batch["input_ids"], mask), mask)
    assert_allclose(queries.detach(), expected.detach(), atol=1e-6)
    assert keys.shape == (2, 16)
    module.update(torch.tensor([2, 4]), keys)
    assert module.queue.n_filled == 2


def test_keys_come_from_the_second_view_alone():
    module = make_module().eval()
    batch = make_batch(torch.tensor([2, 4]))
    before = module(**batch)
    batch["key_ids"] = batch["key_ids"].flip(1)[:, :4]
    batch["key_mask"] = batch["key_mask"][:, :4]
    after = module(**batch)
    assert all(torch.equal(a, b) for a, b in zip(before[:3], after[:3], strict=True))
    assert not torch.allclose(before[3], after[3])


def test_computes_vectors_in_full_precision_under_autocast():
    module = make_module()
    rows = torch.tensor([1, 2])
    with torch.autocast("cpu", torch.bfloat16):
        *_, queries, keys = module(**make_batch(rows))
    assert queries.dtype == keys.dtype == torch.float32
    module.update(rows, keys)


# -------------------------------------------------------------------------------- key encoder


@pytest.mark.parametrize("backbone", ["compact", "pretrained"])
def test_key_encoder_gets_no_gradient(backbone):
    module = make_module(backbone).train()
    logits, _, queries, keys = module(**make_batch(torch.arange(6)))
    assert not keys.requires_grad
    (logits.square().sum() + (queries @ keys.T).square().sum()).backward()
    assert all(p.grad is None and not p.requires_grad for p in key_parameters(module))
    assert all(p.grad is not None for p in module.projection.parameters())
    assert any(p.grad is not None and p.grad.any() for p in query_parameters(module))
    n_trained = sum(p.requires_grad for p in module.parameters())
    own = [*module.language_model.parameters(), *module.projection.parameters()]
    assert n_trained == len(own)


@pytest.mark.parametrize("backbone", ["compact", "pretrained"])
def test_queries_train_the_backbone(backbone):
    """By themselves: without the language model they must reach every part they pass."""
    module = make_module(backbone).train()
    _, _, queries, keys = module(**make_batch(torch.arange(6)))
    (queries @ keys.roll(1, 0).T).square().sum().backward()
    layers = module.language_model.backbone.layers
    assert all(p.grad.any() for part in (layers[0], module.projection) for p in part.parameters())
    assert module.language_model.backbone.word_embeddings.weight.grad.any()
    assert module.language_model.transform.weight.grad is None


@pytest.mark.parametrize("backbone", ["compact", "pretrained"])
def test_key_encoder_stays_in_eval_mode(backbone):
    """Frozen weights alone leave dropout on."""
    module = make_module(backbone)
    batch = make_batch(torch.arange(6))
    assert module.train() is module
    assert module.language_model.backbone.training
    assert not any(part.training for part in module.key_backbone.modules())
    first, second = module(**batch), module(**batch)
    assert torch.equal(first[3], second[3])
    assert not torch.equal(first[2], second[2])
    assert not any(part.training for part in module.eval().key_backbone.modules())


def test_key_encoder_is_a_copy():
    module = make_module()
    before = [p.clone() for p in key_parameters(module)]
    shift_queries(module)
    assert all(map(torch.equal, key_parameters(module), before))
    assert not {id(p) for p in key_parameters(module)} & {id(p) for p in query_parameters(module)}


@pytest.mark.parametrize("case", golden_cases("momentum_update"), ids=lambda case: case["id"])
def test_golden_momentum(case):
    inputs = case["inputs"]
    module = make_module(momentum=inputs["m"]).double()
    key, query = module.key_projection.output.bias, module.projection.output.bias
    with torch.no_grad():
        key[:2] = torch.tensor(inputs["theta_k"])
    for theta_q, expected in zip(inputs["theta_q"], case["expected"]["theta_k_after"], strict=True):
        with torch.no_grad():
            query[:2] = torch.tensor(theta_q)
        module.follow()
        assert_allclose(key.detach()[:2], expected, rtol=1e-8)


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.95, 1.0])
def test_key_encoder_follows(momentum):
    """All of it, projection included; 0 copies and 1 freezes to the last bit."""
    module = make_module(momentum=momentum)
    shift_queries(module)
    before = [p.clone() for p in key_parameters(module)]
    queries = [p.clone() for p in query_parameters(module)]
    module.follow()
    after = key_parameters(module)
    for old, query, new in zip(before, queries, after, strict=True):
        assert_allclose(new, momentum * old + (1 - momentum) * query.detach(), atol=1e-6)
    if momentum in (0.0, 1.0):
        assert all(map(torch.equal, after, before if momentum else queries))
    assert all(map(torch.equal, query_parameters(module), queries))


def test_update_lets_the_key_encoder_follow():
    """Also where nobody in the batch has a label."""
    for rows in (torch.tensor([1, 2]), torch.tensor([0, 5])):
        module = make_module(momentum=0.0)
        shift_queries(module)
        module.update(rows, torch.randn(2, PROJECTION_SIZE))
        assert all(map(torch.equal, key_parameters(module), query_parameters(module)))


# -------------------------------------------------------------------------------------- queue


def test_forward_leaves_queue_and_key_encoder_alone():
    module = make_module().train()
    module.update(torch.arange(1, 4), torch.randn(3, PROJECTION_SIZE))
    shift_queries(module)
    before = queue_state(module), [p.clone() for p in key_parameters(module)]
    module(**make_batch(torch.arange(6)))
    assert all(torch.equal(x, before[0][name]) for name, x in queue_state(module).items())
    assert all(map(torch.equal, key_parameters(module), before[1]))


def test_only_labelled_texts_are_queued():
    module = make_module()
    rows = torch.tensor([0, 3, 5, 2, 10])  # 0, 5 and 10 have no label
    keys = torch.randn(5, PROJECTION_SIZE)
    module.update(rows, keys)
    queued, columns = module.queue.content()
    assert queued.tolist() == [3, 2]
    assert torch.equal(columns["keys"], keys[[1, 3]])
    assert torch.equal(columns["means"], module.geometry.mean_vectors(queued))
    module.update(torch.tensor([0, 5]), keys[:2])  # nobody to queue
    assert module.queue.n_filled == 2


def test_label_of_a_slot_is_the_label_pushed_with_its_key():
    """The released code shifted the two by one batch."""
    module = make_module(momentum=1.0).eval()  # the key of a text never changes
    key_of = {}
    Y = label_sets()
    for rows in batches_of_rows():
        keys = module(**make_batch(rows))[3]
        key_of |= dict(zip(rows.tolist(), keys, strict=True))
        module.update(rows, keys)
        queued, columns = module.queue.content()
        for row, key, mean in zip(queued.tolist(), columns["keys"], columns["means"], strict=True):
            assert torch.equal(key, key_of[row])
            units = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
            assert_allclose(mean, units[Y[row] > 0].mean(axis=0), atol=1e-6)
    assert module.queue.n_filled == QUEUE_SIZE
    assert int(module.queue.n_pushed) > 2 * QUEUE_SIZE


@pytest.mark.parametrize("own_key_positive", [True, False])
@pytest.mark.parametrize("variant", ["in", "out", "paper"])
def test_loss_sees_the_queue_before_the_push(variant, own_key_positive):
    """Each step equals the equation, with a bank that is kept in a list outside."""
    settings = SimpleNamespace(
        projection_size=PROJECTION_SIZE,
        queue_size=QUEUE_SIZE,
        momentum=0.5,
        min_temperature=0.1,
        max_temperature=0.6,
        temperature_spacing="geometric",
        own_key_positive=own_key_positive,
        rank_discount=1.0,
        variant=variant,
        rank_weight=0.5,
        initial_share=0.0,
        n_frozen_layers=0,
    )
    backbone = CompactBackbone(VOCAB_SIZE, hidden_size=16)
    run = Pretraining(settings, backbone, tokenizer=None, geometry=make_geometry())
    module, bank, Y = run.module.train(), reference.Queue(QUEUE_SIZE), label_sets()
    n_compared = 0
    for rows in batches_of_rows():
        outputs = module(**make_batch(rows))
        queries, keys = (x.detach().tolist() for x in outputs[2:])
        own = list(zip(rows.tolist(), keys, strict=True))
        queued = [item for item in bank.slots if item is not None]
        expected = slow_loss(rows.tolist(), queries, own + queued, Y, variant, own_key_positive)
        terms = run.loss_terms(outputs, rows)
        assert_allclose(terms["ranking"].item(), 0.5 * expected, rtol=1e-4, atol=1e-6)
        n_compared += expected != 0
        run.module.update(rows, outputs[3])
        bank.push([item for item in own if Y[item[0]].any()])
        shift_queries(module)
    assert n_compared >= 4


def slow_loss(rows, queries, bank, Y, variant, own_key_positive):
    sets = [np.flatnonzero(labels).tolist() for labels in Y]
    others = [row for row, _ in bank]
    similarities = [[float(np.dot(q, key)) for _, key in bank] for q in queries]
    khd = label_set_distances(Y[rows], Y[others], DISTANCES, MAX_DEPTH)
    valid = [[bool(sets[i] and sets[j]) for j in others] for i in rows]
    for i in range(len(rows)):
        valid[i][i] &= own_key_positive
    weights = [
        [
            reference.closeness(sets[i], sets[j], VECTORS.tolist(), "cos01")
            if sets[i] and sets[j]
            else 0.0
            for j in others
        ]
        for i in rows
    ]
    temperatures = ranking_temperatures(2 * MAX_DEPTH).tolist()
    ranks = distance_ranks(khd).tolist()
    return reference.ranking_contrastive(similarities, ranks, temperatures, weights, valid, variant)


def test_state_dict_holds_key_encoder_and_queue():
    module, other = make_module(), make_module()
    module.update(torch.arange(1, 4), torch.randn(3, PROJECTION_SIZE))
    shift_queries(module)
    module.follow()
    other.load_state_dict(module.state_dict())
    assert all(map(torch.equal, key_parameters(other), key_parameters(module)))
    assert other.queue.n_filled == 3
    assert all(torch.equal(x, queue_state(module)[n]) for n, x in queue_state(other).items())
