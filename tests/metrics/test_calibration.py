"""Expected calibration error."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from skrr2qc.metrics import _topk, expected_calibration_error, top_k


def loop_error(Y, scores, n_bins):
    bins = {}
    for truth, score in zip(Y.ravel(), scores.ravel(), strict=True):
        bins.setdefault(min(int(score * n_bins), n_bins - 1), []).append((truth, score))
    gap = 0.0
    for entries in bins.values():
        truth, score = np.mean(entries, axis=0)
        gap += len(entries) * abs(truth - score)
    return gap / Y.size


@pytest.mark.parametrize("n_bins", [1, 4, 15])
@pytest.mark.parametrize("seed", range(3))
def test_equals_a_loop_over_entries(monkeypatch, make_case, seed, n_bins):
    Y, scores, partial = make_case(seed)
    expected = loop_error(Y, scores, n_bins)
    assert_allclose(expected_calibration_error(Y, scores, n_bins), expected, rtol=1e-12)
    value = expected_calibration_error(sparse.csr_array(Y), sparse.csr_matrix(scores), n_bins)
    assert_allclose(value, expected, rtol=1e-12)
    filled = partial.toarray()  # what is not stored counts as probability 0
    value = expected_calibration_error(Y, partial, n_bins)
    assert_allclose(value, loop_error(Y, filled, n_bins), rtol=1e-12)
    monkeypatch.setattr(_topk, "BLOCK_SIZE", 20)
    assert_allclose(expected_calibration_error(Y, scores, n_bins), expected, rtol=1e-12)


def test_by_hand():
    assert expected_calibration_error([[1, 0, 1]], [[1.0, 0.0, 1.0]]) == 0.0
    assert expected_calibration_error([[1, 0]], [[0.0, 1.0]]) == 1.0
    # Bins [0, 0.5) and [0.5, 1]: gaps |0.2 - 0| for one entry, |0.6 - 0.5| for two.
    value = expected_calibration_error([[0, 1, 0]], [[0.2, 0.5, 0.7]], n_bins=2)
    assert_allclose(value, (0.2 + 2 * 0.1) / 3)


def test_calibrated_scores_have_a_small_error():
    rng = np.random.default_rng(0)
    scores = rng.random((2000, 20))
    Y = (rng.random(scores.shape) < scores).astype(int)
    assert expected_calibration_error(Y, scores) < 0.01
    assert expected_calibration_error(Y, scores**3) > 0.2


@pytest.mark.parametrize("k", [1, 3, 9])
@pytest.mark.parametrize("seed", range(3))
def test_best_labels_alone(make_case, seed, k):
    Y, scores, partial = make_case(seed)
    scores = scores + 0.5 / scores.size  # no zero, so that CSR stores all
    partial.data += 0.5 / scores.size
    best = top_k(scores, k)
    expected = loop_error(*(np.take_along_axis(a, best, axis=1) for a in (Y, scores)), 5)
    assert_allclose(expected_calibration_error(Y, scores, 5, k=k), expected, rtol=1e-12)
    value = expected_calibration_error(sparse.csr_array(Y), sparse.csr_array(scores), 5, k=k)
    assert_allclose(value, expected, rtol=1e-12)
    rows, ranks = np.nonzero(top_k(partial, k) >= 0)  # of CSR only what is stored
    columns = top_k(partial, k)[rows, ranks]
    expected = loop_error(Y[rows, columns][None], scores[rows, columns][None], 5)
    assert_allclose(expected_calibration_error(Y, partial, 5, k=k), expected, rtol=1e-12)


def test_true_negatives_do_not_hide_the_error_of_the_best():
    Y, scores = np.zeros((10, 100), dtype=int), np.zeros((10, 100))
    scores[:, 0] = 0.8
    assert expected_calibration_error(Y, scores) == pytest.approx(0.008)
    assert expected_calibration_error(Y, scores, k=1) == pytest.approx(0.8)


def test_invalid_k():
    with pytest.raises(ValueError, match=r"`k` must lie between 1 and the number of labels \(1\)"):
        expected_calibration_error([[1]], [[0.5]], k=2)
    with pytest.raises(TypeError, match="`k` must be an integer"):
        expected_calibration_error([[1]], [[0.5]], k=0.5)


def test_undefined_without_entries():
    with pytest.warns(RuntimeWarning, match="expected_calibration_error is undefined"):
        assert np.isnan(expected_calibration_error(np.empty((0, 2)), np.empty((0, 2))))
    with pytest.warns(RuntimeWarning, match="there are no entries") as caught:
        assert np.isnan(expected_calibration_error([[1]], sparse.csr_array((1, 1)), k=1))
    assert caught[0].filename == __file__


@pytest.mark.parametrize("n_bins", [0, 1.5, True, None])
def test_invalid_bins(n_bins):
    with pytest.raises(ValueError, match="`n_bins` must be an integer >= 1"):
        expected_calibration_error([[1]], [[0.5]], n_bins)


@pytest.mark.parametrize("storage", [np.array, sparse.csr_array])
@pytest.mark.parametrize("scores", [[[1.5, 0.1]], [[-0.1, 0.2]], [[np.inf, 0.2]]])
def test_scores_must_be_probabilities(storage, scores):
    with pytest.raises(ValueError, match=r"`scores` must be probabilities in \[0, 1\]"):
        expected_calibration_error([[1, 0]], storage(scores))
