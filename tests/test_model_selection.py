"""Multi-label stratification: sizes, balance, reproducibility, and use inside scikit-learn."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit, cross_val_score
from sklearn.multiclass import OneVsRestClassifier

from skrr2qc.model_selection import (
    MultilabelStratifiedKFold,
    MultilabelStratifiedShuffleSplit,
    train_holdout_split,
)


def long_tailed_targets(seed, n_rows=600, n_labels=120):
    """Zipf-like frequencies, rows without labels, labels without rows."""
    rng = np.random.default_rng(seed)
    frequency = 0.5 / np.arange(1, n_labels + 1)
    Y = (rng.random((n_rows, n_labels)) < frequency).astype(int)
    Y[rng.choice(n_rows, 30, replace=False)] = 0
    Y[:, -3:] = 0
    return Y


def deviation(Y, parts):
    """Mean distance of the label counts of each part from its proportional share."""
    shares = [Y.sum(axis=0) * len(part) / len(Y) for part in parts]
    return np.mean([np.abs(Y[p].sum(axis=0) - s) for p, s in zip(parts, shares, strict=True)])


def test_k_fold_parts():
    Y = long_tailed_targets(0, n_rows=203)
    splits = list(MultilabelStratifiedKFold(n_splits=5).split(np.zeros(203), Y))
    tests = [test for _, test in splits]
    assert_array_equal(np.sort(np.concatenate(tests)), np.arange(203))
    assert sorted(map(len, tests)) == [40, 40, 41, 41, 41]
    for train, test in splits:
        assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(203))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_k_fold_is_closer_to_the_proportions_than_plain_k_fold(seed, shuffle):
    Y = long_tailed_targets(seed)
    random_state = seed if shuffle else None
    stratified = MultilabelStratifiedKFold(5, shuffle=shuffle, random_state=random_state)
    plain = KFold(5, shuffle=True, random_state=seed)
    ours, theirs = (deviation(Y, [t for _, t in cv.split(Y, Y)]) for cv in (stratified, plain))
    assert ours < 0.6 * theirs


@pytest.mark.parametrize("seed", range(3))
def test_labels_with_enough_rows_are_in_nearly_every_test_fold(seed):
    """A row serves all its labels at once, so that a few labels may still miss a fold."""
    Y = long_tailed_targets(seed)
    enough = Y.sum(axis=0) >= 5
    tests = [test for _, test in MultilabelStratifiedKFold(5).split(Y, Y)]
    present = np.array([Y[test].any(axis=0)[enough] for test in tests])
    assert enough.sum() > 30
    assert present.mean() > 0.98


def test_single_labels_are_spread_exactly():
    """Without co-occurring labels nothing stands against perfect proportions."""
    codes = np.repeat(np.arange(6), [40, 20, 15, 10, 10, 5])
    codes = np.random.default_rng(0).permutation(codes)
    for _, test in MultilabelStratifiedKFold(5).split(codes, codes):
        assert_array_equal(np.bincount(codes[test]), [8, 4, 3, 2, 2, 1])


@pytest.mark.parametrize(
    "cv",
    [
        MultilabelStratifiedKFold(5),
        MultilabelStratifiedKFold(5, shuffle=True, random_state=0),
        MultilabelStratifiedShuffleSplit(2, test_size=0.1, random_state=0),
        MultilabelStratifiedShuffleSplit(2, test_size=0.4, random_state=0),
    ],
)
def test_rounding_of_rare_labels_is_not_paid_by_the_frequent_one(cv):
    """When all remainders went to one fold, it was full before the most frequent label came."""
    codes = np.repeat(np.arange(101), [4] * 100 + [300])
    codes = codes[:-3]  # 697 rows: two folds of five are larger
    for _, test in cv.split(codes, codes):
        assert abs((codes[test] == 100).sum() - len(test) * 297 / 697) < 3
        rare = np.bincount(codes[test], minlength=101)[:100]
        assert rare.max() <= np.ceil(4 * len(test) / 697)


@pytest.mark.parametrize(
    "cv",
    [
        MultilabelStratifiedKFold(4),
        MultilabelStratifiedKFold(4, shuffle=True, random_state=0),
        MultilabelStratifiedShuffleSplit(4, test_size=0.2, random_state=0),
    ],
)
def test_dense_and_sparse_targets_split_alike(cv):
    Y = long_tailed_targets(1)
    with_zeros = sp.csr_matrix(np.where(Y == 0, 2, Y))
    with_zeros.data[with_zeros.data == 2] = 0  # stored zeros are no labels
    expected = list(cv.split(Y, Y))
    others = (
        Y.astype(bool),
        Y.tolist(),
        sp.csr_matrix(Y),
        sp.coo_array(Y, dtype=float),
        with_zeros,
    )
    for other in others:
        for ours, theirs in zip(cv.split(Y, other), expected, strict=True):
            assert_array_equal(ours[0], theirs[0])
            assert_array_equal(ours[1], theirs[1])
    assert with_zeros.nnz == Y.size


def test_sparse_targets_are_never_made_dense(monkeypatch):
    Y = sp.csr_matrix(long_tailed_targets(1))
    for name in ("toarray", "todense"):
        monkeypatch.setattr(type(Y), name, lambda *_, **__: pytest.fail("made dense"))
    wide = sp.hstack([Y, sp.csr_matrix((Y.shape[0], 10**5))]).tocsr()
    assert len(list(MultilabelStratifiedKFold(3).split(Y, wide))) == 3
    assert len(train_holdout_split(wide, 0.1, random_state=0)[1]) == 60


@pytest.mark.parametrize(
    "codes", [["a", "b", "c"] * 8, np.arange(24) % 3, np.array(["a", "b", "c"] * 8, dtype=object)]
)
def test_one_dimensional_targets_are_classes(codes):
    indicator = np.tile(np.eye(3, dtype=int), (8, 1))
    ours = MultilabelStratifiedKFold(4).split(codes, codes)
    theirs = MultilabelStratifiedKFold(4).split(codes, indicator)
    for a, b in zip(ours, theirs, strict=True):
        assert_array_equal(a[1], b[1])


def test_targets_without_any_label():
    Y = np.zeros((10, 4))
    sizes = [len(test) for _, test in MultilabelStratifiedKFold(4).split(Y, Y)]
    assert sizes == [3, 3, 2, 2]
    ((train, test),) = MultilabelStratifiedShuffleSplit(1, test_size=3).split(Y, Y)
    assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(10))
    assert len(train_holdout_split(Y, 0.2)[1]) == 2


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({}, (540, 60)),
        ({"test_size": 0.25}, (450, 150)),
        ({"train_size": 0.5}, (300, 300)),
        ({"test_size": 100, "train_size": 0.1}, (60, 100)),
        ({"test_size": 1}, (599, 1)),
        ({"test_size": 0.1015, "train_size": 0.3333}, (199, 61)),
    ],
)
def test_shuffle_split_sizes(sizes, expected):
    Y = long_tailed_targets(0)
    ours = MultilabelStratifiedShuffleSplit(2, **sizes, random_state=0).split(Y, Y)
    theirs = ShuffleSplit(2, **sizes, random_state=0).split(Y)
    for (train, test), reference in zip(ours, theirs, strict=True):
        assert (len(train), len(test)) == expected == tuple(map(len, reference))
        assert len(np.unique(np.concatenate([train, test]))) == sum(expected)


def test_shuffle_split_is_closer_to_the_proportions_than_plain_shuffle_split():
    Y = long_tailed_targets(2)
    sizes = {"test_size": 0.2, "train_size": 0.5, "random_state": 0}
    ours = MultilabelStratifiedShuffleSplit(3, **sizes).split(Y, Y)
    theirs = ShuffleSplit(3, **sizes).split(Y)
    for split, reference in zip(ours, theirs, strict=True):
        assert deviation(Y, split) < 0.6 * deviation(Y, reference)


def test_shuffle_splits_differ_from_each_other():
    Y = long_tailed_targets(2)
    tests = [np.sort(t) for _, t in MultilabelStratifiedShuffleSplit(3, random_state=0).split(Y, Y)]
    assert not np.array_equal(tests[0], tests[1])
    assert not np.array_equal(tests[1], tests[2])


def test_random_state():
    Y = long_tailed_targets(3)
    np.random.seed(0)  # noqa: NPY002  the global state must come out as it went in
    before = np.random.get_state()[1].copy()  # noqa: NPY002

    def tests(random_state):
        cv = MultilabelStratifiedKFold(3, shuffle=True, random_state=random_state)
        return [test.tolist() for _, test in cv.split(Y, Y)]

    assert tests(0) == tests(0) == tests(np.random.RandomState(0))
    assert tests(0) != tests(1)
    cv = MultilabelStratifiedKFold(3)
    assert [t.tolist() for _, t in cv.split(Y, Y)] == [t.tolist() for _, t in cv.split(Y, Y)]
    first, second = (train_holdout_split(Y, 0.1, random_state=5) for _ in range(2))
    assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[1], train_holdout_split(Y, 0.1, random_state=6)[1])
    assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("as_matrix", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("fraction", [0.1, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_holdout_leaves_every_label_in_training(seed, fraction, as_matrix):
    Y = long_tailed_targets(seed, n_rows=300)
    counts = Y.sum(axis=0)
    assert (counts == 1).any()
    train, holdout = train_holdout_split(as_matrix(Y), fraction, random_state=seed)
    assert_array_equal(np.sort(np.concatenate([train, holdout])), np.arange(300))
    assert len(holdout) == round(300 * fraction)
    assert (Y[train].sum(axis=0)[counts > 0] >= 1).all()
    assert (Y[holdout].sum(axis=0)[counts >= 20] >= 1).all()


def test_holdout_gives_way_to_single_rows():
    train, holdout = train_holdout_split(np.eye(6), 0.5, random_state=0)
    assert_array_equal(train, np.arange(6))
    assert holdout.shape == (0,)
    train, holdout = train_holdout_split(np.vstack([np.eye(6), np.eye(6)[:1]]), 0.5, random_state=0)
    assert len(holdout) == 1
    assert holdout[0] in (0, 6)


def test_inside_cross_val_score():
    Y = long_tailed_targets(0, n_rows=200, n_labels=6)
    X = Y @ np.random.default_rng(0).normal(size=(6, 4))
    Y = Y[:, :3]
    classifier = OneVsRestClassifier(LogisticRegression())
    cv = MultilabelStratifiedKFold(3)
    scores = cross_val_score(classifier, X, Y, cv=cv, scoring="f1_micro")
    by_hand = []
    for train, test in cv.split(X, Y):
        predicted = classifier.fit(X[train], Y[train]).predict(X[test])
        by_hand.append(2 * (predicted & Y[test]).sum() / (predicted.sum() + Y[test].sum()))
    assert_allclose(scores, by_hand)
    assert cv.get_n_splits() == 3
    assert repr(cv) == "MultilabelStratifiedKFold(n_splits=3, random_state=None, shuffle=False)"


@pytest.mark.parametrize("as_matrix", [np.asarray, sp.csr_matrix])
def test_inside_grid_search(as_matrix):
    Y = long_tailed_targets(0, n_rows=200, n_labels=6)
    X = Y @ np.random.default_rng(0).normal(size=(6, 4))
    search = GridSearchCV(
        OneVsRestClassifier(LogisticRegression()),
        {"estimator__C": [0.1, 1.0]},
        scoring="f1_micro",
        cv=MultilabelStratifiedShuffleSplit(2, random_state=0),
        error_score="raise",
    ).fit(X, as_matrix(Y[:, :3]))
    assert search.n_splits_ == 2
    assert search.best_score_ > 0


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (MultilabelStratifiedKFold(1), "n_splits must be an integer >= 2, got 1"),
        (MultilabelStratifiedKFold(2.0), "n_splits must be an integer >= 2, got 2.0"),
        (MultilabelStratifiedKFold(21), "n_splits=21 for 20 rows"),
        (MultilabelStratifiedKFold(random_state=0), "no effect without shuffle"),
        (MultilabelStratifiedShuffleSplit(0), "n_splits must be an integer >= 1"),
        (MultilabelStratifiedShuffleSplit(test_size=1.0), "test_size must be a share .* got 1.0"),
        (MultilabelStratifiedShuffleSplit(test_size=20), "test_size must be a share .* got 20"),
        (MultilabelStratifiedShuffleSplit(train_size="a"), "train_size must be a share .* got 'a'"),
        (MultilabelStratifiedShuffleSplit(train_size=True), "train_size must be a share"),
        (MultilabelStratifiedShuffleSplit(train_size=0.01), "got 0 training and 20 test rows"),
        (MultilabelStratifiedShuffleSplit(train_size=15, test_size=6), "no row twice"),
    ],
)
def test_invalid_parameters(cv, message):
    Y = np.ones((20, 2))
    with pytest.raises(ValueError, match=message):
        list(cv.split(Y, Y))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "y is needed"),
        ([[0, 2], [1, 1]], "only 0 and 1, got 2"),
        (sp.csr_matrix([[0.5, 1.0]]), "only 0 and 1, got 0.5"),
        ([["a"], ["a", "b"]], "LabelSpace.encode"),
        ([("a", "b"), ("c", "d")], "LabelSpace.encode"),
        ([1.0, np.nan], "without missing values"),
        (np.array(["a", None], dtype=object), "without missing values"),
        ([], "one class"),
        (np.zeros((0, 3)), "at least one row"),
        (np.zeros((2, 2, 2)), "indicator matrix"),
    ],
)
def test_invalid_targets(y, message):
    with pytest.raises(ValueError, match=message):
        list(MultilabelStratifiedKFold(2).split(np.zeros(2), y))
    with pytest.raises(ValueError, match=message):
        train_holdout_split(y, 0.5)


@pytest.mark.parametrize("fraction", [0, 1, 1.5, "a", None, float("nan")])
def test_invalid_holdout_fraction(fraction):
    with pytest.raises(ValueError, match="holdout_fraction must be a number between 0 and 1"):
        train_holdout_split(np.eye(3), fraction)


def test_half_precision_targets():
    """scipy has no float16 matrices, and said so."""
    Y = np.eye(4, 2, dtype=np.float16)
    assert_array_equal(train_holdout_split(Y, 0.5, 0), train_holdout_split(np.eye(4, 2), 0.5, 0))


def test_a_sparse_matrix_that_points_outside_of_itself():
    """scipy builds it without a word, and the process crashed when it was read."""
    Y = sp.csr_matrix((np.ones(2), np.array([0, 9]), np.array([0, 1, 2])), shape=(2, 2))
    with pytest.raises(ValueError, match="y is a broken csr_matrix"):
        train_holdout_split(Y, 0.5)


@pytest.mark.parametrize("shuffle", ["no", None, 1])
def test_shuffle_is_a_bool(shuffle):
    """Whatever has a truth value was taken: 'no' shuffled."""
    splitter = MultilabelStratifiedKFold(2, shuffle=shuffle)
    with pytest.raises(TypeError, match="shuffle must be True or False"):
        list(splitter.split(np.eye(4), np.eye(4)))
