"""KeyQueue: golden traces, the list it stands for, and keys that never lose their rows."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from skrr2qc.modules import KeyQueue
from tests.reference.golden import golden_cases
from tests.reference.ranking import Queue


def keys_of(rows):
    """A key that tells its row."""
    return torch.stack([10.0 * rows, -1.0 * rows], dim=1)


def push(queue, rows):
    rows = torch.as_tensor(rows, dtype=torch.int64)
    queue.push(rows, keys=keys_of(rows))


def contents(queue):
    rows, columns = queue.content()
    assert columns.keys() == {"keys"}
    assert_array_equal(columns["keys"], keys_of(rows))  # whatever happened, key and row agree
    return rows.tolist()


@pytest.mark.parametrize("case", golden_cases("fifo_queue"), ids=lambda case: case["id"])
def test_golden(case):
    size = case["inputs"]["size"]
    queue = KeyQueue(size, keys=2)
    for batch, expected in zip(case["inputs"]["batches"], case["expected"]["trace"], strict=True):
        push(queue, batch)
        assert queue.n_filled == expected["filled"]
        assert contents(queue) == [item for item in expected["queue"] if item is not None]
        assert int(queue.n_pushed) % size == expected["ptr"]


@pytest.mark.parametrize("size", [1, 3, 7, 16])
@pytest.mark.parametrize("seed", range(3))
def test_equals_a_list_written_one_by_one(size, seed):
    """Batches of any length, none of which divides the queue."""
    rng = np.random.default_rng(seed)
    queue, slow = KeyQueue(size, keys=2), Queue(size)
    pushed = []
    for _ in range(20):
        batch = rng.integers(1, 1000, size=rng.integers(0, 9)).tolist()
        pushed += batch
        push(queue, batch)
        slow.push(batch)
        assert contents(queue) == [item for item in slow.slots if item is not None]
        assert sorted(contents(queue)) == sorted(pushed[-size:])
        assert queue.n_filled == min(len(pushed), size)


def test_starts_empty():
    queue = KeyQueue(4, keys=2)
    rows, columns = queue.content()
    assert queue.n_filled == 0
    assert rows.shape == (0,)
    assert columns["keys"].shape == (0, 2)
    push(queue, [])
    assert queue.n_filled == 0


def test_columns_move_together():
    queue = KeyQueue(3, keys=2, means=1, nothing=0)
    for first in (0, 2, 4):
        rows = torch.arange(first, first + 2)
        queue.push(rows, keys=keys_of(rows), means=rows[:, None] + 0.5, nothing=torch.zeros(2, 0))
    rows, columns = queue.content()
    assert sorted(rows.tolist()) == [3, 4, 5]
    assert_array_equal(columns["keys"], keys_of(rows))
    assert_array_equal(columns["means"], rows[:, None] + 0.5)
    assert columns["nothing"].shape == (3, 0)


def test_keys_of_a_batch_longer_than_the_queue():
    queue = KeyQueue(3, keys=2)
    push(queue, [1])
    push(queue, range(10, 18))
    assert sorted(contents(queue)) == [15, 16, 17]
    push(queue, [20, 21])
    assert sorted(contents(queue)) == [17, 20, 21]  # the oldest went first


def test_half_precision_keys_are_kept_in_float32():
    queue = KeyQueue(2, keys=2)
    queue.push(torch.tensor([3]), keys=torch.tensor([[0.5, 0.25]], dtype=torch.bfloat16))
    _, columns = queue.content()
    assert columns["keys"].dtype == torch.float32
    assert columns["keys"].tolist() == [[0.5, 0.25]]


def test_state_dict_brings_everything_back():
    queue, other = KeyQueue(3, keys=2), KeyQueue(3, keys=2)
    push(queue, [1, 2, 3, 4])
    other.load_state_dict(queue.state_dict())
    for each in (queue, other):
        push(each, [5])
    assert contents(other) == contents(queue) == [5, 3, 4]
    assert not list(queue.parameters())
