"""Features instead of texts: batches of them, and the projection they begin with."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skrr2qc.classifiers._features import FeatureBatches, project_start


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(23, 5)).astype(np.float32)
    X[np.abs(X) < 0.5] = 0
    return X, sp.csr_matrix((rng.random((23, 4)) < 0.4).astype(np.float32))


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csr_array])
def test_batches_in_the_order_of_the_rows(data, form):
    X, Y = data
    batches = FeatureBatches(form(X), Y, batch_size=10)
    inputs, targets = zip(*batches, strict=True)
    assert [len(part["X"]) for part in inputs] == [10, 10, 3]
    assert len(batches) == 3
    assert batches.n_labels == 4
    assert_array_equal(torch.cat([part["X"] for part in inputs]), X)
    assert_array_equal(torch.cat(targets), Y.toarray())
    assert inputs[0]["X"].dtype == targets[0].dtype == torch.float32


def test_batches_in_a_new_order_each_time(data):
    X, Y = data
    batches = FeatureBatches(X, Y, batch_size=10, rng=np.random.default_rng(0))
    passes = []
    for _ in range(2):
        rows = []
        for inputs, targets in batches:
            for x, y in zip(inputs["X"].numpy(), targets.numpy(), strict=True):
                row = int(np.flatnonzero((x == X).all(axis=1))[0])
                assert_array_equal(y, Y[[row]].toarray()[0])
                rows.append(row)
        assert sorted(rows) == list(range(23))
        passes.append(rows)
    assert passes[0] != passes[1]
    assert_array_equal(batches.order, np.arange(23))


def test_batches_without_targets(data):
    inputs, targets = next(iter(FeatureBatches(data[0], batch_size=50)))
    assert inputs["X"].shape == (23, 5)
    assert targets.shape == (23, 0)


def test_double_precision_features_are_rounded(data):
    inputs, _ = next(iter(FeatureBatches(data[0].astype(np.float64), batch_size=4)))
    assert inputs["X"].dtype == torch.float32


def test_dense_features_are_centered_and_scaled():
    X = np.random.default_rng(0).normal(loc=7, scale=3, size=(40, 6))
    shift, factor, weight = project_start(X, np.random.default_rng(0))
    started = (X - shift) * factor @ weight.T
    assert_allclose(started.mean(axis=0), 0, atol=1e-5)
    assert np.square(started).sum(axis=1).mean() == pytest.approx(1, rel=1e-5)
    assert_array_equal(weight, np.eye(6))
    assert shift.dtype == weight.dtype == np.float32


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csr_array])
def test_sparse_features_are_scaled_only(data, form, monkeypatch):
    X, _ = data
    monkeypatch.setattr(form, "toarray", None)
    monkeypatch.setattr(form, "todense", None)
    shift, factor, weight = project_start(form(X), np.random.default_rng(0))
    assert_array_equal(shift, 0)
    assert np.square(X * factor).sum(axis=1).mean() == pytest.approx(1, rel=1e-5)
    assert_array_equal(weight, np.eye(5))


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_wide_features_are_laid_on_their_main_directions(form):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 900)) + 0.01 * rng.normal(size=(50, 900))
    shift, factor, weight = project_start(form(X.astype(np.float32)), np.random.default_rng(0))
    assert weight.shape == (50, 900)
    assert_allclose(weight @ weight.T, np.eye(50), atol=1e-3)
    kept = np.square((X - shift) @ weight[:4].T).sum()
    assert kept > 0.999 * np.square(X - shift).sum()
    again = project_start(form(X.astype(np.float32)), np.random.default_rng(0))[2]
    assert_array_equal(again, weight)
    assert 0 < factor < np.inf


def test_many_rows_of_wide_features_keep_512_directions():
    X = sp.random(600, 2000, density=0.01, format="csr", random_state=0, dtype=np.float32)
    assert project_start(X, np.random.default_rng(0))[2].shape == (512, 2000)


@pytest.mark.parametrize("X", [np.zeros((4, 3)), np.ones((4, 3)), sp.csr_matrix((4, 3))])
def test_constant_features(X):
    shift, factor, weight = project_start(X, np.random.default_rng(0))
    assert np.isfinite(factor)
    assert np.isfinite(shift).all()
    assert np.isfinite(weight).all()
