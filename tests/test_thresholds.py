"""Global threshold: as good as trying every one."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import f1_score

from skrr2qc._thresholds import best_global_threshold


def micro_f1(Y, predicted):
    hits = (Y * predicted).sum()
    return 2 * hits / max(Y.sum() + predicted.sum(), 1)


def best_f1_by_trying(Y, scores):
    candidates = [-np.inf, *np.unique(scores)]
    return max(micro_f1(Y, (scores > threshold).astype(int)) for threshold in candidates)


def random_case(seed, *, ties=False, shape=(12, 9), density=0.2):
    rng = np.random.default_rng(seed)
    Y = (rng.random(shape) < density).astype(int)
    Y[0, 0] = 1
    scores = rng.random(shape) + 0.5 * Y
    return Y, np.round(scores, 1) if ties else scores


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("seed", range(10))
def test_equals_trying_every_threshold(seed, dtype, ties):
    Y, scores = random_case(seed, ties=ties)
    scores = scores.astype(dtype)
    threshold = best_global_threshold(sp.csr_matrix(Y), scores)
    assert isinstance(threshold, float)
    found = f1_score(Y, scores > threshold, average="micro")
    assert found == pytest.approx(best_f1_by_trying(Y, scores))


@pytest.mark.parametrize("seed", range(5))
def test_few_positives_among_many_entries(seed):
    """Only the largest scores are sorted: the optimum must be among them."""
    Y, scores = random_case(seed, shape=(30, 200), density=0.002)
    assert 20 * Y.sum() + len(Y) < Y.size
    threshold = best_global_threshold(Y, scores)
    found = micro_f1(Y, (scores > threshold).astype(int))
    assert found == pytest.approx(best_f1_by_trying(Y, scores))


def test_lies_midway_between_accepted_and_rejected():
    Y = np.array([[1, 0], [0, 1]])
    assert best_global_threshold(Y, np.array([[0.75, 0.25], [0.0, 0.5]])) == 0.375


def test_accepts_everything_where_everything_is_true():
    scores = np.array([[0.2, 0.4]])
    assert best_global_threshold(np.ones((1, 2)), scores) < 0.2


def test_equal_scores_are_accepted_together():
    Y, scores = np.array([[1, 0, 0]]), np.array([[0.5, 0.5, 0.1]])
    assert 0.1 < best_global_threshold(Y, scores) < 0.5


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_without_positives_nothing_is_accepted(dtype):
    scores = np.array([[0.2, 0.9]], dtype=dtype)
    assert not (scores > best_global_threshold(np.zeros((1, 2)), scores)).any()


def test_takes_any_form_of_targets():
    Y, scores = random_case(3)
    expected = best_global_threshold(Y, scores)
    for kind in (sp.csr_matrix, sp.csc_array, sp.coo_matrix):
        assert best_global_threshold(kind(Y), scores) == expected
