"""Backbones: padding never counts, frozen layers are shared and asleep, BERT folders round trip."""

import json
import warnings
from contextlib import nullcontext
from unittest import mock

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.feature_extraction.text import TfidfVectorizer

from skrr2qc import RCPTEncoder
from skrr2qc._training import uses_bfloat16
from skrr2qc.modules import CompactBackbone, Pooled, PretrainedBackbone, get_backbone, mean_pool
from skrr2qc.modules._dropout import ByteDropout
from tests.reference.tiny_bert import add_pooling, bert_config, save_tiny_bert

TEXTS = ["area of the circle", "solve the equation", "mean of the sample of the sample"]


def make_compact(**overrides):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CompactBackbone(**{"vocab_size": 50, "hidden_size": 16} | overrides).eval()


def make_pretrained(pooling="mean"):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = PretrainedBackbone(bert_config().to_dict(), pooling)
    return backbone.eval()


MAKERS = {"compact": make_compact, "pretrained": make_pretrained}


@pytest.fixture(params=MAKERS)
def backbone(request):
    return MAKERS[request.param]()


def make_batch(n_texts=4, n_tokens=7, vocab_size=15, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, vocab_size, (n_texts, n_tokens), generator=generator)
    mask = torch.arange(n_tokens) < torch.arange(n_tokens - n_texts + 1, n_tokens + 1)[:, None]
    return torch.where(mask, ids, 0), mask


# ------------------------------------------------------------------------------------ pooling


def test_filters_are_a_part_that_knows_nothing_of_the_bag():
    backbone = make_compact()
    ids, mask = make_batch()
    (part,) = backbone.parts(backbone.vectors(mask, ids))
    assert_allclose(part.norm(dim=1).detach(), 1.0, rtol=1e-6)
    with torch.no_grad():
        backbone.embeddings.weight[:, : backbone.n_bag] += 1.0
    (changed,) = backbone.parts(backbone.vectors(mask, ids))
    assert_allclose(changed.detach(), part.detach(), atol=1e-6)
    part.sum().backward()
    assert not backbone.embeddings.weight.grad[:, : backbone.n_bag].any()
    assert all(f.weight.grad.any() for f in backbone.layers[0].filters)


def test_only_filters_in_training_are_a_part():
    ids, mask = make_batch()
    pretrained, compact = make_pretrained(), make_compact()
    assert pretrained.parts(pretrained.vectors(mask, ids)) == []
    lower, upper = compact.split(1)
    assert upper.parts(upper.vectors(mask, hidden=lower(ids, mask))) == []


@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.parametrize("is_mixed", [False, True])
def test_vectors_are_pooled_states(backbone, is_training, is_mixed):
    backbone.train(is_training)
    ids, mask = make_batch()
    found = []
    for function in (backbone.vectors, lambda mask, ids: backbone.pool(backbone(ids, mask), mask)):
        with torch.random.fork_rng(devices=[]), torch.autocast("cpu", enabled=is_mixed):
            torch.manual_seed(1)  # the same dropout
            found.append(function(mask, ids))
    torch.testing.assert_close(*found)  # also where states have eight bits


def test_states_of_chosen_tokens(backbone):
    ids, mask = make_batch()
    is_chosen = mask & (torch.arange(mask.numel()).view_as(mask) % 3 == 0)
    vectors, states = backbone.vectors_and_states(mask, ids, is_chosen)
    hidden = backbone(ids, mask)
    torch.testing.assert_close(states, hidden[is_chosen])
    torch.testing.assert_close(vectors, backbone.pool(hidden, mask))
    assert backbone.vectors_and_states(mask, ids, mask & False)[1].shape == (0, hidden.shape[2])


def test_mean_pool_by_hand():
    hidden = torch.tensor(
        [[[1.0, 0.0], [3.0, 2.0], [9.0, 9.0]], [[5.0, 6.0], [7.0, 7.0], [8.0, 8.0]]]
    )
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert mean_pool(hidden, mask).tolist() == [[2.0, 1.0], [5.0, 6.0]]


def test_mean_pool_ignores_padding():
    generator = torch.Generator().manual_seed(0)
    hidden, (_, mask) = torch.randn(4, 7, 3, generator=generator), make_batch()
    changed = torch.where(mask.unsqueeze(-1), hidden, 100.0)
    assert_allclose(mean_pool(changed, mask), mean_pool(hidden, mask), rtol=1e-6)


def test_mean_pool_of_a_row_without_tokens_is_finite():
    assert mean_pool(torch.ones(1, 3, 2), torch.zeros(1, 3, dtype=torch.bool)).tolist() == [[0, 0]]


def test_pooled_vectors_have_length_one(backbone):
    (vectors,) = Pooled(backbone)(*make_batch())
    assert vectors.shape == (4, backbone.hidden_size)
    assert_allclose(vectors.detach().norm(dim=1), np.ones(4), rtol=1e-5)


def test_output_does_not_depend_on_padding(backbone):
    ids, mask = make_batch()
    with torch.no_grad():
        (together,) = Pooled(backbone)(ids, mask)
        for i, length in enumerate(mask.sum(dim=1).tolist()):
            (alone,) = Pooled(backbone)(ids[i : i + 1, :length], mask[i : i + 1, :length])
            assert_allclose(alone[0], together[i], atol=1e-5)
        (other,) = Pooled(backbone)(torch.where(mask, ids, 9), mask)  # whatever pads
    assert_allclose(other, together, atol=1e-5)


# ------------------------------------------------------------------------------------ compact


def test_compact_bag_of_words_is_a_mean_of_token_vectors():
    backbone, (ids, mask) = make_compact(), make_batch()
    vectors = np.random.default_rng(0).normal(size=(50, backbone.n_bag)).astype(np.float32)
    backbone.start_from(vectors)
    with torch.no_grad():
        (found,) = Pooled(backbone)(ids, mask)
    texts = [row[is_token] for row, is_token in zip(ids, mask, strict=True)]
    means = np.array([vectors[text].mean(axis=0) for text in texts])
    expected = means / np.linalg.norm(means, axis=1, keepdims=True) / np.sqrt(2)
    assert_allclose(found[:, : backbone.n_bag], expected, atol=1e-6)


def test_compact_reads_the_order_of_words():
    backbone = make_compact()
    ids = torch.tensor([[1, 2, 3, 4], [4, 3, 1, 2]])
    with torch.no_grad():
        (vectors,) = Pooled(backbone)(ids, torch.ones(2, 4, dtype=torch.bool))
    assert_allclose(vectors[0, : backbone.n_bag], vectors[1, : backbone.n_bag], atol=1e-6)
    assert not torch.allclose(vectors[0], vectors[1], atol=1e-3)


@pytest.mark.parametrize("dropout", ["token_dropout", "filter_dropout"])
def test_compact_drops_only_in_training(dropout):
    rates = {"token_dropout": 0.0, "filter_dropout": 0.0} | {dropout: 0.5}
    module, batch = Pooled(make_compact(**rates)), make_batch()
    with torch.no_grad():
        assert torch.equal(*module(*batch), *module(*batch))
        module.train()
        assert not torch.equal(*module(*batch), *module(*batch))


def test_compact_takes_a_text_of_one_token():
    (vectors,) = Pooled(make_compact())(torch.tensor([[3]]), torch.tensor([[True]]))
    assert_allclose(vectors.detach().norm(dim=1), [1.0], rtol=1e-5)


# ------------------------------------------------------------------------------ split at a layer


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_parts_compute_what_the_whole_computes(backbone, share):
    n_frozen = max(1, int(share * backbone.n_layers))
    ids, mask = make_batch()
    lower, upper = backbone.split(n_frozen)
    assert (lower.n_layers, upper.n_layers) == (n_frozen, backbone.n_layers - n_frozen)
    with torch.no_grad():
        whole = backbone.eval()(ids, mask)
        parts = upper.eval()(attention_mask=mask, hidden=lower.eval()(ids, mask))
    assert_allclose(parts, whole, atol=1e-5)


def test_lower_part_is_shared_and_upper_part_is_a_copy(backbone):
    n_layers = backbone.n_layers
    lower, upper = backbone.split(1)
    own = {id(p) for p in backbone.parameters()}
    assert {id(p) for p in lower.parameters()} < own or n_layers == 1
    assert not any(id(p) in own for p in upper.parameters())
    assert all(p.requires_grad for p in upper.parameters())
    assert backbone.n_layers == n_layers  # the encoder stays whole
    n_layer = sum(p.numel() for p in backbone.layers[0].parameters())
    n_upper = sum(p.numel() for p in upper.parameters())
    assert n_upper == n_layer * (n_layers - 1)  # neither embeddings nor lower layers are copied


def test_nothing_frozen_copies_everything(backbone):
    lower, upper = backbone.split(0)
    assert lower is None
    assert set(upper.state_dict()) == set(backbone.state_dict())
    assert not {id(p) for p in upper.parameters()} & {id(p) for p in backbone.parameters()}
    with torch.no_grad():
        upper.word_embeddings.weight.zero_()
    assert backbone.word_embeddings.weight.any()


def test_training_the_upper_part_leaves_the_encoder_alone():
    backbone, (ids, mask) = make_pretrained(), make_batch()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    lower, upper = backbone.split(1)
    optimizer = torch.optim.SGD(upper.train().parameters(), lr=0.1)
    upper(attention_mask=mask, hidden=lower(ids, mask).detach()).square().sum().backward()
    optimizer.step()
    assert all(torch.equal(backbone.state_dict()[name], tensor) for name, tensor in before.items())
    trained = upper.layers[0].state_dict()
    original = backbone.layers[1].state_dict()
    weights = [name for name in trained if name.endswith("dense.weight")]
    assert weights
    assert not any(torch.equal(trained[name], original[name]) for name in weights)


# --------------------------------------------------------------------------------- pretrained


def make_switching():
    backbone = make_pretrained()
    if not backbone.network._can_set_attn_implementation():
        pytest.skip("this version of transformers has one attention a network")
    return backbone


def test_a_cpu_trains_with_another_attention_that_computes_the_same():
    backbone, (ids, mask) = make_switching(), make_batch()
    for module in backbone.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    outputs = {}
    for is_training in (True, False, True):
        hidden = backbone.train(is_training)(ids, mask)
        name = backbone.network.config._attn_implementation
        assert name == ("eager" if is_training else "sdpa")
        outputs[name] = hidden[mask].detach()
    assert_allclose(outputs["eager"], outputs["sdpa"], atol=1e-5)


def test_parts_agree_on_the_attention_when_the_whole_has_just_been_trained():
    backbone, (ids, mask) = make_switching(), make_batch()
    with torch.no_grad():
        expected = backbone(ids, mask)
        lower, upper = backbone.split(2)
        backbone.train()(ids, mask)
        hidden = lower.eval()(ids, mask)  # shares layers that are set up for training now
        found = upper.eval()(attention_mask=mask, hidden=hidden)
    assert_allclose(found[mask], expected[mask], atol=1e-5)


def test_attention_that_was_chosen_by_hand_is_kept():
    from transformers import BertModel

    network = BertModel._from_config(bert_config(), attn_implementation="eager")
    backbone = PretrainedBackbone(bert_config().to_dict(), network=network)
    for is_training in (True, False):
        backbone.train(is_training)(*make_batch())
        assert network.config._attn_implementation == "eager"


def test_attention_that_is_chosen_after_training_is_kept():
    backbone = make_switching()
    for is_training in (True, False):
        backbone.train(is_training)(*make_batch())
    backbone.network.set_attn_implementation("eager")  # to look at its weights, say
    backbone.eval()(*make_batch())
    assert backbone.network.config._attn_implementation == "eager"


def test_attention_of_other_devices_is_left_alone():
    backbone = make_switching().train()
    backbone._choose_attention(torch.device("meta"))
    assert backbone.network.config._attn_implementation == "sdpa"


def test_attention_without_dropout_is_left_alone():
    """Torch's own needs far less memory for long texts then."""
    backbone = PretrainedBackbone(bert_config(attention_probs_dropout_prob=0.0).to_dict())
    backbone.train()(*make_batch())
    assert backbone.network.config._attn_implementation == "sdpa"


def train_once(backbone):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return backbone.train()(*make_batch())


def test_masks_of_dropout_are_drawn_fast_while_a_cpu_trains():
    backbone = make_pretrained()
    found = train_once(backbone)
    with torch.random.fork_rng(devices=[]), ByteDropout():
        torch.manual_seed(0)
        ids, mask = make_batch()
        expected = backbone.network(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    assert torch.equal(found, expected)
    assert torch.equal(backbone.eval()(ids, mask), make_pretrained()(ids, mask))


def test_activations_that_are_computed_twice_keep_the_masks_of_torch():
    """The second time is outside of the context, and would draw others."""
    backbone = make_pretrained()
    names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")  # v6, before
    next(getattr(backbone.network, name) for name in names if hasattr(backbone.network, name))()
    found = train_once(backbone)
    backbone = make_pretrained()
    assert not torch.equal(found, train_once(backbone))
    with mock.patch.object(PretrainedBackbone, "_dropout", return_value=nullcontext()):
        assert torch.equal(found, train_once(backbone))


def test_layers_and_embeddings_are_found():
    backbone = make_pretrained()
    assert backbone.n_layers == 4
    assert backbone.n_frozen_layers == 2
    assert [type(layer).__name__ for layer in backbone.layers] == ["BertLayer"] * 4
    assert type(backbone.embeddings).__name__ == "BertEmbeddings"
    assert backbone.word_embeddings is backbone.embeddings.word_embeddings
    assert not any("pooler" in name for name in backbone.state_dict())


@pytest.mark.parametrize("n_frozen_layers", [0, 1, 3])
def test_frozen_below_some_layers(n_frozen_layers):
    """Relative positions of MPNet lie beside its layers, and all of them read them."""
    from transformers import MPNetConfig, MPNetModel

    sizes = {name: value for name, value in bert_config().to_dict().items() if "_size" in name}
    config = MPNetConfig(**sizes, num_hidden_layers=4, num_attention_heads=2)
    backbone = PretrainedBackbone(config.to_dict(), network=MPNetModel(config))
    backbone.requires_grad_(False).freeze(n_frozen_layers)
    trained = {name for name, weight in backbone.named_parameters() if weight.requires_grad}
    assert len(trained) > 10
    if n_frozen_layers:
        upper = tuple(f"network.encoder.layer.{i}." for i in range(n_frozen_layers, 4))
        assert all(name.startswith(upper) for name in trained)
        assert all(weight.requires_grad for weight in backbone.layers[3].parameters())
    else:
        assert trained == {name for name, _ in backbone.named_parameters()}


@pytest.mark.parametrize("n_frozen_layers", [0, 1, 4])
def test_narrow_embeddings_are_widened_once(n_frozen_layers):
    """ELECTRA has a projection between its embeddings and its layers."""
    from transformers import ElectraConfig, ElectraModel

    sizes = {name: value for name, value in bert_config().to_dict().items() if "_size" in name}
    heads = {"num_hidden_layers": 4, "num_attention_heads": 2}
    config = ElectraConfig(**sizes | {"embedding_size": 8}, **heads)
    backbone = PretrainedBackbone(config.to_dict(), network=ElectraModel(config)).eval()
    ids, mask = make_batch()
    lower, upper = backbone.split(n_frozen_layers)
    if n_frozen_layers:
        found = upper.eval()(attention_mask=mask, hidden=lower.eval()(ids, mask))
        assert not any("project" in name for name, _ in upper.named_parameters())
    else:
        found = upper.eval()(ids, mask)
    torch.testing.assert_close(found, backbone(ids, mask))


def test_network_that_widens_within_its_encoder():
    from transformers import RemBertConfig, RemBertModel

    sizes = {name: value for name, value in bert_config().to_dict().items() if "_size" in name}
    heads = {"num_hidden_layers": 2, "num_attention_heads": 2, "input_embedding_size": 8}
    config = RemBertConfig(**sizes, **heads)
    backbone = PretrainedBackbone(config.to_dict(), network=RemBertModel(config))
    with pytest.raises(TypeError, match="RemBertModel cannot be cut.*n_frozen_layers=0.*shapes"):
        backbone.split(1)
    assert backbone.split(0)[0] is None


def test_want_of_memory_is_not_taken_for_another_kind_of_network():
    backbone, error = make_pretrained(), torch.OutOfMemoryError("no memory")
    is_full = mock.patch.object(backbone.network, "forward", side_effect=error)
    with is_full, pytest.raises(torch.OutOfMemoryError, match="no memory"):
        backbone.split(1)


def test_network_that_reads_something_else():
    from transformers import T5Config, T5Model

    config = T5Config(vocab_size=50, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    backbone = PretrainedBackbone(config.to_dict(), network=T5Model(config))
    with pytest.raises(TypeError, match="T5Model does not read tokens.*another encoder.*input_ids"):
        backbone.split(1)


def test_network_without_equal_layers():
    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.config = bert_config()
            self.steps = torch.nn.ModuleList([torch.nn.Identity()])

    backbone = make_pretrained()
    backbone.network = Network()
    with pytest.raises(TypeError, match="No list of 4 layers in Network.*vectorizer"):
        _ = backbone.layers


def test_network_that_cannot_be_cut():
    backbone = make_pretrained()
    handle = backbone.network.encoder.register_forward_pre_hook(
        lambda module, args: (args[0] + torch.linspace(-3, 3, 16), *args[1:])
    )
    with pytest.raises(TypeError, match="cannot be cut between its layers.*n_frozen_layers=0"):
        backbone.split(2)
    handle.remove()
    assert backbone.split(2)[0].n_layers == 2


def test_cls_pooling_reads_the_first_token():
    backbone, (ids, mask) = make_pretrained("cls"), make_batch()
    with torch.no_grad():
        hidden = backbone(ids, mask)
        expected = torch.nn.functional.normalize(hidden[:, 0], dim=-1)
        assert_allclose(Pooled(backbone)(ids, mask)[0], expected, atol=1e-6)
        assert not torch.allclose(expected, Pooled(make_pretrained())(ids, mask)[0], atol=1e-3)


# ------------------------------------------------------------------------ encoder from a folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    return folder, save_tiny_bert(folder)


def expected_vectors(network, encoder, texts, pooling="mean"):
    """Vectors by transformers alone, one text at a time."""
    vectors = []
    for ids in encoder.tokenizer_.encode(texts)[0]:
        with torch.no_grad():
            hidden = network(torch.from_numpy(ids.astype(np.int64))[None]).last_hidden_state[0]
        vector = hidden.mean(dim=0) if pooling == "mean" else hidden[0]
        vectors.append((vector / vector.norm()).numpy())
    return np.array(vectors)


def bfloat16_or(tolerance):
    return 0.03 if uses_bfloat16("cpu") else tolerance


def test_folder_of_transformers(bert):
    folder, network = bert
    encoder = RCPTEncoder(backbone=str(folder), n_epochs=0, random_state=0).fit(TEXTS)
    assert encoder.tokenizer_.tokens("Area of Pisa") == ["[CLS]", "area", "of", "[UNK]", "[SEP]"]
    assert encoder.tokenizer_.max_length == 20  # what the network takes, not the 256 asked for
    expected = expected_vectors(network, encoder, TEXTS)
    assert_allclose(encoder.transform(TEXTS), expected, atol=bfloat16_or(1e-5))


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_folder_of_sentence_transformers(tmp_path, pooling):
    network = save_tiny_bert(tmp_path)
    add_pooling(tmp_path, pooling, max_length=6)
    encoder = RCPTEncoder(backbone=str(tmp_path), n_epochs=0, random_state=0)
    with pytest.warns(UserWarning, match="1 of 3 texts are longer than 6 tokens"):
        encoder.fit(TEXTS)
    assert encoder.backbone_.pooling == pooling
    expected = expected_vectors(network, encoder, TEXTS, pooling)
    assert_allclose(encoder.transform(TEXTS), expected, atol=bfloat16_or(1e-5))


def test_other_pooling_is_refused(tmp_path):
    save_tiny_bert(tmp_path)
    add_pooling(tmp_path, "max", max_length=6)
    with pytest.raises(ValueError, match="pools by 'max': only 'mean' and 'cls'"):
        RCPTEncoder(backbone=str(tmp_path)).fit(TEXTS)


def test_copies_of_a_pretrained_encoder_are_equal(bert):
    """Weights of the unused pooler were drawn anew in each copy, which no cache then recognised."""
    import pickle

    encoder = RCPTEncoder(backbone=str(bert[0]), random_state=0).fit(TEXTS)
    copy = pickle.loads(pickle.dumps(encoder))
    assert_array_equal(copy.transform(TEXTS), encoder.transform(TEXTS))
    assert joblib.hash(copy) == joblib.hash(encoder)


def test_language_model_on_a_pretrained_backbone(bert):
    before = RCPTEncoder(backbone=str(bert[0]), random_state=0).fit(TEXTS)
    after = RCPTEncoder(backbone=str(bert[0]), n_epochs=2, mlm_rate=0.5, lr=1e-2, random_state=0)
    after.fit(TEXTS)
    assert len(after.history_) == 2
    assert not np.allclose(after.transform(TEXTS), before.transform(TEXTS), atol=0.05)


def test_language_model_without_a_mask_token(tmp_path):
    save_tiny_bert(tmp_path, mask_token=None)
    encoder = RCPTEncoder(backbone=str(tmp_path), n_epochs=1)
    with pytest.raises(ValueError, match="no mask token.*n_epochs=0"):
        encoder.fit(TEXTS)


@pytest.mark.parametrize("name", ["./no-such-folder", "some/where/else", "organisation/model"])
def test_no_such_folder(name, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    encoder = RCPTEncoder(backbone=name, local_files_only=name == "organisation/model")
    with pytest.raises(ValueError, match=rf"`backbone` == '{name}' is no folder.*'compact'"):
        encoder.fit(TEXTS)


def test_folder_that_holds_no_encoder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no-such-type"}))
    with pytest.raises(OSError, match="(?s)could not be loaded.*'compact' needs no"):
        RCPTEncoder(backbone=str(tmp_path)).fit(TEXTS)


@pytest.mark.parametrize("backbone", [None, "", 3])
def test_backbone_of_another_type(backbone):
    with pytest.raises(TypeError, match="`backbone` must be 'compact', or the folder"):
        RCPTEncoder(backbone=backbone).fit(TEXTS)


def test_get_backbone():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = RCPTEncoder(hidden_size=8, random_state=0).fit(TEXTS)
    assert get_backbone(encoder) is encoder.backbone_
    with pytest.raises(TypeError, match=r"TfidfVectorizer has no backbone.*make_pipeline"):
        get_backbone(TfidfVectorizer().fit(TEXTS))
