"""Networks: only what the weights allow is built, and a configuration cannot reach a hub."""

import numpy as np
import pytest
import torch

from skrr2qc.modules import CompactBackbone, TextCNN
from skrr2qc.persistence import SavedModelError, load_model
from skrr2qc.persistence._classes import BACKBONE_TYPES, network_config
from skrr2qc.persistence._modules import describe_module, restore_module
from tests.reference.tiny_bert import bert_config

from .conftest import reseal
from .test_unpack import nodes


class Owner:
    """Builds what it is told to."""

    def __init__(self, kind):
        self.kind = kind

    def _build_module(self, name, init_args):
        return self.kind(**init_args)


def test_restored_weights_are_those_of_the_file():
    module = CompactBackbone(30, 16)
    init_args, tensors = describe_module(module)
    before = torch.get_rng_state()
    found = restore_module(Owner(CompactBackbone), "backbone_", init_args, tensors)
    assert torch.equal(torch.get_rng_state(), before)
    assert not found.training
    for name, tensor in module.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)
        assert found.state_dict()[name].data_ptr() == tensors[name].ctypes.data  # not copied
    assert all(parameter.requires_grad for parameter in found.parameters())


@pytest.mark.parametrize(
    "changes",
    [
        {"vocab_size": 10**12},
        {"vocab_size": 10**7, "hidden_size": 10**5},
        {"hidden_size": 10**9},
        {"vocab_size": -1},
        {"vocab_size": 31},
    ],
)
def test_sizes_that_the_weights_do_not_have(changes):
    init_args, tensors = describe_module(CompactBackbone(30, 16))
    with pytest.raises((SavedModelError, RuntimeError)):
        restore_module(Owner(CompactBackbone), "backbone_", init_args | changes, tensors)


def test_many_layers_in_few_weights():
    init_args, tensors = describe_module(TextCNN(20, 2, 4, n_filters=1))
    init_args["widths"] = [1] * 10**6
    with pytest.raises(SavedModelError, match="much larger than the weights"):
        restore_module(Owner(TextCNN), "module_", init_args, tensors)
    assert torch.is_grad_enabled()  # the next fit in this process had no gradient


def test_weights_that_lack_or_differ():
    init_args, tensors = describe_module(TextCNN(20, 2, 4, n_filters=1))
    for wrong in (
        {name: array for name, array in tensors.items() if name != "linear.bias"},
        tensors | {"other": np.zeros(1, np.float32)},
        tensors | {"linear.bias": np.zeros(1, np.float32)},  # would be spread over both
    ):
        with pytest.raises(SavedModelError, match="do not fit TextCNN: look at"):
            restore_module(Owner(TextCNN), "module_", init_args, wrong)
    doubles = tensors | {"linear.bias": tensors["linear.bias"].astype(np.float64)}
    with pytest.raises(SavedModelError, match="torch.float64 instead of torch.float32"):
        restore_module(Owner(TextCNN), "module_", init_args, doubles)


def test_weights_in_half_precision_are_refused():
    with pytest.raises(SavedModelError, match=r"call `module.float\(\)`"):
        describe_module(TextCNN(20, 2, 4, n_filters=1).half())


def test_configuration_holds_what_describes_the_network():
    config = bert_config().to_dict() | {"_name_or_path": "a/place", "auto_map": {"AutoModel": "x"}}
    kept = network_config(config, is_read=False)
    assert kept["model_type"] == "bert"
    assert kept["hidden_size"] == 16
    assert not {"_name_or_path", "auto_map", "architectures", "dtype"} & kept.keys()
    assert network_config(kept, is_read=True) == kept


@pytest.mark.parametrize(
    "key",
    [
        *("attn_implementation", "_attn_implementation", "auto_map", "quantization_config"),
        *("_attn_implementation_internal", "experts_implementation", "name_or_path"),
        *("_name_or_path", "trust_remote_code", "dtype", "per_layer_config", "__class__"),
    ],
)
def test_keys_that_could_reach_a_hub_or_run_code(pretrained_sample, key):
    def change(config):
        for node in nodes(config, "module"):
            for content in node["init_args"]["items"].values():
                if isinstance(content, dict) and "items" in content:
                    content["items"][key] = "someone/kernel"

    reseal(pretrained_sample, change)
    with pytest.raises(SavedModelError, match=f"does not have for 'bert'.*{key}"):
        load_model(pretrained_sample)


@pytest.mark.parametrize("kind", ["vit", "timm_wrapper", "../bert", None, 3])
def test_other_networks(pretrained_sample, kind):
    def change(config):
        for node in nodes(config, "module"):
            for content in node["init_args"]["items"].values():
                if isinstance(content, dict) and "items" in content:
                    content["items"]["model_type"] = kind

    reseal(pretrained_sample, change)
    with pytest.raises(SavedModelError, match="is not among those"):
        load_model(pretrained_sample)


@pytest.mark.parametrize("key", ["num_hidden_layers", "vocab_size", "max_position_embeddings"])
def test_a_network_larger_than_its_weights(pretrained_sample, key):
    def change(config):
        for node in nodes(config, "module"):
            for content in node["init_args"]["items"].values():
                if isinstance(content, dict) and "items" in content:
                    content["items"][key] = 10**8

    reseal(pretrained_sample, change)
    with pytest.raises(SavedModelError, match="much larger than the weights"):
        load_model(pretrained_sample)


def test_known_kinds_of_networks_exist():
    """Some came with a later version of transformers than the oldest that is supported."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    late = {"eurobert", "gemma3_text", "modernbert", "nomic_bert", "qwen3"}
    assert {kind for kind in BACKBONE_TYPES if kind not in CONFIG_MAPPING} <= late
