"""TextCNN: equal to a loop over windows; padding never wins; texts shorter than the filters."""

import pytest
import torch
from numpy.testing import assert_allclose

from skrr2qc.modules import TextCNN

WIDTHS = (2, 3, 4)


@pytest.fixture
def module():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TextCNN(20, 3, embedding_size=5, widths=WIDTHS, n_filters=4).eval()


def batch(rows, width):
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[True] * len(row) + [False] * (width - len(row)) for row in rows])
    return ids, mask


def features_in_a_loop(module, row):
    """Maximum over windows of one text without padding, but what a filter lacks of its width."""
    features = []
    for convolution, width in zip(module.convolutions, WIDTHS, strict=True):
        row = row + [0] * (width - len(row))
        embedded = module.embeddings.weight[torch.tensor(row)]  # (T, E)
        windows = [embedded[i : i + width] for i in range(len(row) - width + 1)]
        maps = [
            torch.einsum("fet,te->f", convolution.weight, window) + convolution.bias
            for window in windows
        ]
        features.append(torch.stack(maps).amax(dim=0).clamp(min=0))
    return torch.cat(features)


ROWS = [[3, 7, 1, 9, 12, 5], [4, 4, 8], [6], [2, 19, 3, 11]]


@pytest.mark.parametrize("width", [6, 15])
def test_equals_a_loop_over_windows(module, width):
    with torch.no_grad():
        logits, features = module(*batch(ROWS, width))
        expected = torch.stack([features_in_a_loop(module, list(row)) for row in ROWS])
        assert_allclose(features, expected, atol=1e-6)
        assert_allclose(logits, module.linear(expected), atol=1e-6)


def test_padding_cannot_win(module):
    """With a large bias every window of padding beat the text's own windows."""
    with torch.no_grad():
        for convolution in module.convolutions:
            convolution.weight.copy_(-convolution.weight.abs())
            convolution.bias.fill_(5.0)
        module.embeddings.weight[1:].abs_()
        _, alone = module(*batch([ROWS[0]], 6))
        _, padded = module(*batch([ROWS[0]], 12))
        of_padding = module.convolutions[0].bias
    assert_allclose(padded, alone, atol=1e-6)
    assert (alone[0, :4] < of_padding).all()


def test_text_shorter_than_every_filter(module):
    with torch.no_grad():
        logits, features = module(*batch([[6], []], 4))
    assert torch.isfinite(logits).all()
    assert not torch.equal(features[0], features[1])


def test_dropout_only_in_training(module):
    inputs = batch(ROWS, 6)
    assert torch.equal(module(*inputs)[0], module(*inputs)[0])
    module.train()
    assert not torch.equal(module(*inputs)[0], module(*inputs)[0])


def test_padding_embedding_is_not_trained(module):
    module(*batch(ROWS, 8))[0].sum().backward()
    assert not module.embeddings.weight.grad[0].any()
    assert module.embeddings.weight.grad[3].any()


def test_rebuilt_from_its_arguments(module):
    other = TextCNN(**module.init_args)
    other.load_state_dict(module.state_dict())
    inputs = batch(ROWS, 6)
    assert torch.equal(other.eval()(*inputs)[0], module(*inputs)[0])
