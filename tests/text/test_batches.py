"""TokenBatches and mask_tokens: nothing lost, padding where it belongs, rates within bounds."""

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_array_equal

from skrr2qc.text import TokenBatches, mask_tokens, train_tokenizer

N_TEXTS, N_LABELS = 150, 7
PAD = 99


@pytest.fixture(scope="module")
def ids():
    """Row i begins with the id 1000 + i, so that rows can be told apart in a batch."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 30, size=N_TEXTS)
    rows = [rng.integers(1, 90, size=n).astype(np.int32) for n in lengths]
    for i, row in enumerate(rows):
        row[0] = 1000 + i
    return rows


@pytest.fixture(scope="module")
def Y():
    rng = np.random.default_rng(1)
    return sp.csr_matrix((rng.random((N_TEXTS, N_LABELS)) < 0.3).astype(np.float32))


def rows_of(inputs):
    return inputs["input_ids"][:, 0].numpy() - 1000


def same_batches(first, second):
    pairs = list(zip(first, second, strict=True))
    return all(
        torch.equal(a["input_ids"], b["input_ids"]) and torch.equal(y, z)
        for (a, y), (b, z) in pairs
    )


@pytest.mark.parametrize("batch_size", [1, 4, 32, 1000])
@pytest.mark.parametrize("seed", [None, 0])
def test_each_row_exactly_once_an_epoch(ids, Y, batch_size, seed):
    rng = None if seed is None else np.random.default_rng(seed)
    batches = TokenBatches(ids, Y, batch_size=batch_size, rng=rng, pad_id=PAD)
    for _ in range(2):
        seen = list(batches)
        rows = np.concatenate([rows_of(inputs) for inputs, _ in seen])
        assert sorted(rows) == list(range(N_TEXTS))
        assert len(seen) == len(batches)
        assert max(len(inputs["input_ids"]) for inputs, _ in seen) <= batch_size


@pytest.mark.parametrize("seed", [None, 0])
def test_padding_and_targets_belong_to_their_rows(ids, Y, seed):
    rng = None if seed is None else np.random.default_rng(seed)
    for inputs, targets in TokenBatches(ids, Y, batch_size=8, rng=rng, pad_id=PAD):
        rows, mask = rows_of(inputs), inputs["attention_mask"]
        assert inputs["input_ids"].dtype == torch.int64
        assert mask.dtype == torch.bool
        width = max(len(ids[i]) for i in rows)
        for row, found, is_token in zip(rows, inputs["input_ids"], mask, strict=True):
            expected = ids[row].tolist() + [PAD] * (width - len(ids[row]))
            assert found.tolist() == expected
            assert is_token.tolist() == [True] * len(ids[row]) + [False] * (width - len(ids[row]))
        assert_array_equal(targets.numpy(), Y[rows].toarray())


def test_without_targets(ids):
    inputs, targets = next(iter(TokenBatches(ids, batch_size=8)))
    assert targets.shape == (len(inputs["input_ids"]), 0)


def test_min_length_and_rows_without_tokens():
    rows = [np.array([5, 6], dtype=np.int32), np.array([], dtype=np.int32)]
    inputs, _ = next(iter(TokenBatches(rows, pad_id=PAD, min_length=4)))
    assert inputs["input_ids"].tolist() == [[5, 6, PAD, PAD], [PAD] * 4]
    assert inputs["attention_mask"].sum(dim=1).tolist() == [2, 0]


def test_order_restores_the_order_of_the_texts(ids):
    batches = TokenBatches(ids, batch_size=16, pad_id=PAD)
    lengths = [inputs["attention_mask"].shape[1] for inputs, _ in batches]
    assert lengths == sorted(lengths, reverse=True)  # the largest batch first: memory fails early
    travelled = np.concatenate([rows_of(inputs) for inputs, _ in batches])
    restored = np.empty(N_TEXTS, dtype=int)
    restored[batches.order] = travelled
    assert_array_equal(restored, np.arange(N_TEXTS))


def test_seed_decides_the_order(ids, Y):
    def make(seed):
        return TokenBatches(ids, Y, batch_size=4, rng=np.random.default_rng(seed))

    assert same_batches(make(3), make(3))
    assert not same_batches(make(3), make(4))
    batches = make(3)
    assert not same_batches(list(batches), list(batches))  # each epoch has its own order


def test_buckets_avoid_padding(ids):
    batches = TokenBatches(ids * 4, batch_size=4, rng=np.random.default_rng(0), pad_id=PAD)
    padding = 1 - np.mean([inputs["attention_mask"].float().mean() for inputs, _ in batches])
    assert padding < 0.1  # 0.45 if texts were drawn without regard to their length


def test_batches_do_not_come_by_length(ids):
    """All in one bucket: short texts must not always be learned from first."""
    batches = TokenBatches(ids, batch_size=5, rng=np.random.default_rng(0), pad_id=PAD)
    widths = np.array([inputs["attention_mask"].shape[1] for inputs, _ in batches])
    assert abs(np.corrcoef(widths, np.arange(len(widths)))[0, 1]) < 0.5


def test_hidden_states_travel_in_place_of_ids(ids, Y):
    states = [torch.from_numpy(row).float()[:, None] * torch.ones(3) for row in ids]
    batches = TokenBatches(
        ids, Y, batch_size=8, rng=np.random.default_rng(0), states=torch.cat(states)
    )
    for inputs, targets in batches:
        assert set(inputs) == {"hidden", "attention_mask"}
        rows = inputs["hidden"][:, 0, 0].numpy().astype(int) - 1000
        for i, hidden, is_token in zip(
            rows, inputs["hidden"], inputs["attention_mask"], strict=True
        ):
            assert torch.equal(hidden[is_token], states[i])
            assert not hidden[~is_token].any()
        assert_array_equal(targets.numpy(), Y[rows].toarray())


def test_positions_of_tokens_among_those_of_all_texts(ids):
    batches = TokenBatches(ids)
    flat = np.concatenate(ids)
    rows = np.array([7, 0, 149, 7])
    assert_array_equal(flat[batches.positions(rows)], np.concatenate([ids[i] for i in rows]))
    assert len(batches.positions(np.array([], dtype=int))) == 0


@pytest.mark.parametrize("batch_size, max_tokens", [(16, 100), (1000, 64), (4, 10_000), (7, 29)])
def test_batches_end_at_either_bound(ids, Y, batch_size, max_tokens):
    batches = TokenBatches(ids, Y, batch_size=batch_size, max_tokens=max_tokens, pad_id=PAD)
    for _ in range(2):
        shapes, rows = [], []
        for inputs, targets in batches:
            shapes.append(tuple(inputs["input_ids"].shape))
            rows.append(rows_of(inputs))
            assert_array_equal(targets.numpy(), Y[rows[-1]].toarray())
        assert sorted(np.concatenate(rows)) == list(range(N_TEXTS))
        assert len(shapes) == len(batches)
        assert max(n for n, _ in shapes) <= batch_size
        assert max(n * width for n, width in shapes) <= max_tokens
        is_full = [n == batch_size or (n + 1) * width > max_tokens for n, width in shapes]
        assert sum(is_full) >= len(shapes) - 1  # all but the last cut


def test_text_longer_than_the_budget_travels_alone():
    ids = [np.full(n, 5, dtype=np.int32) for n in (3, 50, 4, 60, 2)]
    batches = TokenBatches(ids, batch_size=8, max_tokens=12)
    shapes = [tuple(inputs["input_ids"].shape) for inputs, _ in batches]
    assert sorted(shapes) == [(1, 50), (1, 60), (3, 4)]


def test_budget_counts_the_padding_up_to_the_shortest_length():
    ids = [np.full(2, 5, dtype=np.int32)] * 6
    batches = TokenBatches(ids, max_tokens=10, min_length=5)
    assert [tuple(inputs["input_ids"].shape) for inputs, _ in batches] == [(2, 5)] * 3


def test_budget_restores_the_order(ids):
    batches = TokenBatches(ids, max_tokens=64, pad_id=PAD)
    travelled = np.concatenate([rows_of(inputs) for inputs, _ in batches])
    assert_array_equal(travelled, batches.order)


def test_random_batches_have_no_budget(ids):
    """Nobody needs both: what is drawn anew is learned from, a fixed number of texts a step."""
    with pytest.raises(ValueError, match="`max_tokens` and `rng` do not go together"):
        TokenBatches(ids, max_tokens=64, rng=np.random.default_rng(0))


def test_no_texts():
    assert len(TokenBatches([], max_tokens=5)) == len(TokenBatches([])) == 0
    assert list(TokenBatches([])) == []


# ------------------------------------------------------------------------------------ masking


@pytest.fixture(scope="module")
def tokenizer():
    words = [f"{a}{b}{c}" for a in "bcdfg" for b in "aeiou" for c in "lmnpr"]
    return train_tokenizer([" ".join(words)] * 3, vocab_size=400)


@pytest.fixture(scope="module")
def batch(tokenizer):
    rng = np.random.default_rng(0)
    n_texts, n_tokens = 400, 100
    input_ids = torch.from_numpy(rng.integers(4, tokenizer.vocab_size, (n_texts, n_tokens)))
    attention_mask = torch.arange(n_tokens) < torch.from_numpy(rng.integers(2, 100, (n_texts, 1)))
    input_ids[:, 0] = 2  # [CLS]
    input_ids[~attention_mask] = tokenizer.pad_id
    return input_ids, attention_mask


def within(n_hits, n_trials, rate):
    """Five standard deviations of the binomial distribution: wrong once in a million runs."""
    return abs(n_hits - n_trials * rate) < 5 * np.sqrt(n_trials * rate * (1 - rate))


@pytest.mark.parametrize("rate", [0.15, 0.5])
def test_mask_rates(tokenizer, batch, rate):
    input_ids, attention_mask = batch
    rng = np.random.default_rng(1)
    masked, targets = mask_tokens(
        input_ids, attention_mask, tokenizer=tokenizer, rate=rate, rng=rng
    )
    chosen = targets != -100
    n_allowed = int(attention_mask[:, 1:].sum())
    n_chosen = int(chosen.sum())
    assert within(n_chosen, n_allowed, rate)
    became_mask = masked[chosen] == tokenizer.mask_id
    is_same = masked[chosen] == input_ids[chosen]
    chance = 0.1 / tokenizer.vocab_size  # a random token that is [MASK], or the token itself
    assert within(int(became_mask.sum()), n_chosen, 0.8 + chance)
    assert within(int(is_same.sum()), n_chosen, 0.1 + chance)
    drawn = masked[chosen][~became_mask & ~is_same]
    assert within(len(drawn), n_chosen, 0.1 - 2 * chance)
    assert len(drawn.unique()) > 0.5 * tokenizer.vocab_size  # from the whole vocabulary
    assert int(drawn.max()) < tokenizer.vocab_size


def test_mask_leaves_the_rest_alone(tokenizer, batch):
    input_ids, attention_mask = batch
    before = input_ids.clone()
    rng = np.random.default_rng(2)
    masked, targets = mask_tokens(input_ids, attention_mask, tokenizer=tokenizer, rate=0.9, rng=rng)
    chosen = targets != -100
    assert not chosen[:, 0].any()  # never a special token
    assert not chosen[~attention_mask].any()  # never padding
    assert torch.equal(targets[chosen], input_ids[chosen])
    assert torch.equal(masked[~chosen], input_ids[~chosen])
    assert torch.equal(input_ids, before)


def test_mask_follows_the_generator(tokenizer, batch):
    def mask(seed):
        rng = np.random.default_rng(seed)
        return mask_tokens(*batch, tokenizer=tokenizer, rate=0.15, rng=rng)

    assert torch.equal(mask(0)[0], mask(0)[0])
    assert not torch.equal(mask(0)[0], mask(1)[0])


@pytest.fixture
def masked_batches(tokenizer):
    """Function that makes batches to pre-train on; text i ends in the word of number i."""

    def make(**parameters):
        rng = np.random.default_rng(0)
        mask = partial(mask_tokens, tokenizer=tokenizer, rate=0.5, rng=rng)
        words = [f"{a}{b}{c}" for a in "bcdfg" for b in "aeiou" for c in "lmnpr"]
        ids, _ = tokenizer.encode([" ".join(words[i // 2 : i + 1]) for i in range(40)])
        return TokenBatches(
            ids, batch_size=8, rng=rng, pad_id=tokenizer.pad_id, mask=mask, **parameters
        )

    return make


def test_masked_batches_hand_on_what_to_restore_and_whose_it_is(masked_batches):
    batches, seen = masked_batches(), []
    for inputs, rows in batches:
        assert set(inputs) == {"input_ids", "attention_mask", "targets"}
        assert rows.dtype == torch.int64
        targets = inputs["targets"]
        assert targets.shape == inputs["input_ids"].shape
        assert (targets != -100).any()
        restored = torch.where(targets == -100, inputs["input_ids"], targets)
        for row, found, is_token in zip(rows, restored, inputs["attention_mask"], strict=True):
            assert_array_equal(found[is_token], batches.ids[row])
        seen += rows.tolist()
    assert sorted(seen) == list(range(40))


def test_second_view_is_masked_anew(masked_batches, tokenizer):
    """40 % of the tokens are masked in each view, 16 % in both; the texts are the same."""
    batches = masked_batches(key_view="masked")
    n_tokens = n_both = n_key = n_kept = 0
    for inputs, rows in batches:
        assert torch.equal(inputs["key_mask"], inputs["attention_mask"])
        is_masked, is_key_masked = (
            inputs[name] == tokenizer.mask_id for name in ("input_ids", "key_ids")
        )
        n_tokens += int(inputs["attention_mask"].sum()) - len(rows)  # without [CLS]
        n_both += int((is_masked & is_key_masked).sum())
        n_key += int(is_key_masked.sum())
        for row, found, is_token in zip(rows, inputs["key_ids"], inputs["key_mask"], strict=True):
            n_kept += int((found[is_token].numpy() == batches.ids[row])[1:].sum())
    assert within(n_key, n_tokens, 0.4)
    assert within(n_both, n_tokens, 0.16)
    assert within(n_kept, n_tokens, 0.55)


def test_second_view_is_what_the_caller_makes_of_each_text(masked_batches, tokenizer):
    batches = masked_batches(key_view=lambda ids: np.append(ids[::-1], [5, 5]))
    for inputs, rows in batches:
        assert len(inputs["key_ids"]) == len(rows)
        width = max(len(batches.ids[row]) + 2 for row in rows)
        assert inputs["key_ids"].shape == inputs["key_mask"].shape == (len(rows), width)
        assert inputs["key_ids"].dtype == torch.int64
        for row, found, is_token in zip(rows, inputs["key_ids"], inputs["key_mask"], strict=True):
            assert_array_equal(found[is_token], [*batches.ids[row][::-1], 5, 5])
            assert (found[~is_token] == tokenizer.pad_id).all()


def test_second_view_leaves_the_first_alone(masked_batches):
    """And the order of the texts: only what is drawn after it differs."""
    plain, _ = next(iter(masked_batches()))
    for key_view in ("masked", lambda ids: ids[:1]):
        inputs, _ = next(iter(masked_batches(key_view=key_view)))
        assert all(torch.equal(inputs[name], plain[name]) for name in plain)
        assert set(inputs) == {*plain, "key_ids", "key_mask"}
