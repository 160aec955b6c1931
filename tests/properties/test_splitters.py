"""Splitters, thresholds: any targets, scores and parameters."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from sklearn.utils.fixes import parse_version

from skrr2qc._thresholds import (
    THRESHOLD_RULES,
    check_rule,
    choose_decision,
)
from skrr2qc.model_selection import (
    MultilabelStratifiedKFold,
    MultilabelStratifiedShuffleSplit,
    train_holdout_split,
)

from .strategies import (
    attempt,
    examples,
    indicators,
    matrices_of,
    odd_values,
    refused,
    with_zeros,
    wrong_matrices,
)

many_rows = st.integers(2, 9).flatmap(lambda n: indicators(n_rows=n))
numbers = st.one_of(odd_values, st.floats(), st.integers(-3, 12), st.none(), st.booleans())


def assert_partition(parts, n_rows, *, whole=True):
    rows = np.sort(np.concatenate(parts))
    assert len(np.unique(rows)) == len(rows)
    assert not whole or len(rows) == n_rows
    assert all(0 <= row < n_rows for row in rows)


@examples(12)
@given(many_rows, st.integers(2, 5), st.booleans(), st.integers(0, 9))
def test_folds_are_partitions_in_every_form(Y, n_splits, shuffle, seed):
    splitter = MultilabelStratifiedKFold(
        n_splits, shuffle=shuffle, random_state=seed if shuffle else None
    )
    if n_splits > len(Y):
        refused(lambda: list(splitter.split(Y, Y)), about=["n_splits"])
        return
    splits = list(splitter.split(Y, Y))
    assert_partition([test for _, test in splits], len(Y))
    sizes = [len(test) for _, test in splits]
    assert max(sizes) - min(sizes) <= 1
    for train, test in splits:
        assert_partition([train, test], len(Y))
    for kind, form in matrices_of(Y).items():
        for one, other in zip(splits, splitter.split(Y, form), strict=True):
            assert_array_equal(one[1], other[1], err_msg=kind)


@examples(12)
@given(many_rows, st.floats(0.01, 0.99), st.integers(0, 9))
def test_labels_stay_in_training_in_every_form(Y, fraction, seed):
    train, held_out = train_holdout_split(Y, fraction, seed)
    assert_partition([train, held_out], len(Y))
    assert_array_equal(Y[train].any(axis=0), Y.any(axis=0))
    for kind, form in matrices_of(Y).items():
        assert_array_equal(train_holdout_split(form, fraction, seed)[0], train, err_msg=kind)


@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.8"),
    reason="scikit-learn before 1.8 breaks down while it words its error about a seed",
)
@examples(60)
@given(many_rows, numbers, numbers, numbers, numbers)
def test_odd_parameters(Y, n_splits, first, second, seed):
    about = ["n_splits", "random_state"]
    folds = MultilabelStratifiedKFold(n_splits, shuffle=True, random_state=seed)
    splits = attempt(lambda: list(folds.split(Y, Y)), about=about)
    if splits is not None:
        assert_partition([test for _, test in splits], len(Y))
    splitter = MultilabelStratifiedShuffleSplit(2, test_size=first, train_size=second)
    about = ["test_size", "train_size"]
    splits = attempt(lambda: list(splitter.split(Y, Y)), about=about)
    for train, test in splits or ():
        assert_partition([train, test], len(Y), whole=False)
        assert min(len(train), len(test)) >= 1
    splitter = MultilabelStratifiedShuffleSplit(1, random_state=seed)
    about = ["random_state", "one row"]
    attempt(lambda: list(splitter.split(Y, Y)), about=about)
    found = attempt(lambda: train_holdout_split(Y, first, 0), about=["holdout_fraction"])
    if found is not None:
        assert 0 < first < 1
        assert_partition(found, len(Y))
    attempt(lambda: train_holdout_split(Y, 0.3, seed), about=about)
    wrong = MultilabelStratifiedKFold(2, shuffle=second)
    attempt(lambda: list(wrong.split(Y, Y)), about=["shuffle"])


@examples(80)
@given(wrong_matrices(3, 2))
def test_wrong_targets_are_refused(Y):
    splitter = MultilabelStratifiedKFold(2)
    is_flat = getattr(Y, "ndim", None) == 1 or (isinstance(Y, list) and np.ndim(Y[0]) == 0)
    about = ["y must", "y is", "`y`", "`Y`", "inconsistent numbers"]
    splits = attempt(lambda: list(splitter.split([1, 2, 3], Y)), about=about)
    found = attempt(lambda: train_holdout_split(Y, 0.3, 0), about=about)
    is_wide = getattr(Y, "shape", None) in [(3, 4), (3, 0)]  # other numbers of labels
    assert is_flat or is_wide or (splits is None and found is None)


@examples(60)
@given(st.lists(st.one_of(st.sampled_from("abc"), st.integers(0, 2)), min_size=4, max_size=8))
def test_classes(y):
    is_same_kind = len({type(value) for value in y}) == 1
    forms = [y, tuple(y), np.array(y, dtype=object), pd.Series(y)]
    forms += [np.array(y)] if is_same_kind else []
    expected = train_holdout_split(y, 0.4, 0)
    assert_partition(expected, len(y))
    for form in forms:
        assert_array_equal(train_holdout_split(form, 0.4, 0)[0], expected[0])


values = st.one_of(
    st.floats(0, 1, width=32),
    st.sampled_from([0.0, 1.0, 0.5, 5e-324, 1 - 2**-53, 1e300, -1e300, -np.inf, np.inf]),
)


@pytest.mark.parametrize("rule", [*THRESHOLD_RULES, 0.5])
@examples(25)
@given(
    indicators().flatmap(lambda Y: st.tuples(st.just(Y), arrays(float, Y.shape, elements=values)))
)
def test_thresholds_of_any_scores(rule, case):
    Y, scores = case
    decision = attempt(
        lambda: choose_decision(Y, scores, rule), about=["Y_true", "scores", "held-out"]
    )
    if decision is None:
        return
    predicted = decision.apply(scores)
    assert predicted.shape == Y.shape
    assert np.isin(predicted, [0, 1]).all()
    assert not np.isnan(decision.threshold).any()
    assert not predicted[scores == -np.inf].any()
    for form in (Y.astype(bool), sp.csr_matrix(Y), with_zeros(Y, sp.csr_matrix)):
        again = choose_decision(form, scores, rule)
        assert_array_equal(again.threshold, decision.threshold)
        assert again.k == decision.k


@examples(80)
@given(st.one_of(numbers, st.sampled_from(THRESHOLD_RULES)))
def test_rules(rule):
    checked = attempt(lambda: check_rule(rule), about=["threshold"])
    assert checked is None or checked in THRESHOLD_RULES or np.isfinite(checked)
