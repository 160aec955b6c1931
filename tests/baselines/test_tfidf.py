"""TfidfLinearClassifier: rankings, absent labels, languages, choices made on held-out rows."""

from copy import copy

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.svm import LinearSVC

from skrr2qc.baselines import TfidfLinearClassifier
from skrr2qc.baselines import _one_vs_rest as one_vs_rest
from skrr2qc.baselines import _row_products as row_products
from skrr2qc.baselines import _tfidf as implementation

TOPICS = ["circle radius area", "triangle angle side", "root equation solve", "mean median sample"]
N_TOPICS = len(TOPICS)
FILLER = ["given", "find", "the", "of", "which", "number", "page", "is"]


def make_texts(n_samples, seed):
    """Texts on one or two topics: words of the topics among filler words."""
    rng = np.random.default_rng(seed)
    Y = np.zeros((n_samples, N_TOPICS), dtype=int)
    texts = []
    for row in Y:
        row[rng.choice(N_TOPICS, size=rng.integers(1, 3), replace=False)] = 1
        words = [rng.choice(TOPICS[topic].split()) for topic in np.flatnonzero(row)]
        texts.append(" ".join(rng.permutation([*words, *rng.choice(FILLER, size=4)])))
    return texts, Y


@pytest.fixture(scope="module")
def data():
    return make_texts(200, seed=0)


@pytest.fixture(scope="module")
def fitted(data):
    return TfidfLinearClassifier(random_state=0).fit(*data)


@pytest.mark.parametrize("loss", ["squared_hinge", "log_loss"])
def test_learns_topics(data, loss):
    classifier = TfidfLinearClassifier(loss=loss, random_state=0).fit(*data)
    X, Y = make_texts(100, seed=1)
    first = classifier.predict_proba(X).argmax(axis=1)
    assert Y[np.arange(len(X)), first].mean() == 1.0
    assert f1_score(Y, classifier.predict(X), average="micro") > 0.97
    assert classifier.C_ in implementation.C_GRIDS[loss]


def test_equals_one_linear_svc_per_label(data, monkeypatch):
    """With nothing pruned, the scores are those of scikit-learn's own one-vs-rest."""
    monkeypatch.setattr(one_vs_rest, "_PRUNING", 0.0)
    monkeypatch.setattr(implementation, "_LIBLINEAR_TOL", 1e-8)
    monkeypatch.setattr(row_products, "_MAX_GAP", 1e-10)
    X, Y = data
    vectorizer = TfidfVectorizer()
    classifier = TfidfLinearClassifier(analyzer=vectorizer, C=0.7, random_state=0).fit(X, Y)
    features = vectorizer.fit_transform(X)
    expected = [
        LinearSVC(C=0.7, tol=1e-8, max_iter=10_000).fit(features, y).decision_function(features)
        for y in Y.T
    ]
    assert_allclose(classifier.decision_function(X), np.transpose(expected), atol=1e-4)


def test_weights_lie_by_feature_and_those_saved_by_label_score_the_same(data, fitted):
    X, _ = data
    assert fitted.coef_.format == "csc"  # turning millions of weights takes longer than one text
    by_label = copy(fitted)
    by_label.coef_ = fitted.coef_.tocsr()
    assert_array_equal(by_label.decision_function(X), fitted.decision_function(X))


def test_pruning_keeps_the_ranking(data, fitted, monkeypatch):
    monkeypatch.setattr(one_vs_rest, "_PRUNING", 0.0)
    full = TfidfLinearClassifier(random_state=0).fit(*data)
    assert fitted.coef_.nnz < full.coef_.nnz
    X, _ = make_texts(50, seed=2)
    assert_allclose(fitted.decision_function(X), full.decision_function(X), atol=0.05)


def test_probabilities_follow_one_increasing_curve(fitted):
    X, _ = make_texts(50, seed=3)
    scores, proba = fitted.decision_function(X).ravel(), fitted.predict_proba(X).ravel()
    assert scores.dtype == proba.dtype == np.float32
    assert 0 <= proba.min() < proba.max() <= 1
    assert np.all(np.diff(proba[np.argsort(scores)]) >= 0)


def test_probabilities_are_calibrated(data, fitted):
    X, Y = make_texts(400, seed=4)
    assert_allclose(fitted.predict_proba(X).mean(), Y.mean(), atol=0.05)


@pytest.mark.parametrize(
    ("qualities", "C"),  # of 1, of smaller ones while they are better, else of larger ones
    [
        ((0.5, 0.2, 0.2), 1.0),
        ((0.5, 0.504, 0.504), 1.0),  # noise
        ((0.5, 0.6, 0.2), 0.3),
        ((0.5, 0.6, 0.7, 0.704), 0.1),
        ((0.5, 0.6, 0.7, 0.8), 0.03),
        ((0.5, 0.2, 0.6, 0.2), 3.0),
        ((0.5, 0.2, 0.6, 0.7), 10.0),
    ],
)
def test_penalty_follows_the_held_out_ranking(data, monkeypatch, qualities, C):
    answers, n_rows = iter(qualities), []

    def quality(Y, scores):
        n_rows.append(len(scores))
        return next(answers)

    monkeypatch.setattr(implementation, "_ranking_quality", quality)
    classifier = TfidfLinearClassifier(validation_fraction=0.3, random_state=0).fit(*data)
    assert classifier.C_ == C
    assert n_rows == [60] * len(qualities)


def test_penalty_of_texts_whose_labels_are_noise():
    """A grid that ended at 0.3 cost 1 to 3 points of nDCG on thousands of texts with few labels."""
    rng = np.random.default_rng(0)
    topics = rng.integers(4, size=500)
    common = rng.integers(400, size=(500, 8))
    own = topics[:, None] * 20 + rng.integers(20, size=(500, 2))
    texts = [
        " ".join([*(f"a{i}" for i in a), *(f"b{i}" for i in b)])
        for a, b in zip(common, own, strict=True)
    ]
    is_wrong = rng.random(500) < 0.4
    topics[is_wrong] = rng.integers(4, size=is_wrong.sum())
    classifier = TfidfLinearClassifier(analyzer="word", random_state=0)
    assert classifier.fit(texts, np.eye(4, dtype=int)[topics]).C_ < 1


@pytest.mark.parametrize(("n_labels", "expected"), [(10, 800_000), (4000, 2000), (2180, 3669)])
def test_negatives_that_the_number_of_labels_allows(monkeypatch, data, n_labels, expected):
    seen, fit_columns = [], implementation.fit_columns

    def recorded(*args, n_negatives, **kwargs):
        seen.append(n_negatives)
        return fit_columns(*args, n_negatives=n_negatives, **kwargs)

    monkeypatch.setattr(implementation, "fit_columns", recorded)
    X, Y = data
    wide = sp.hstack([sp.csr_matrix(Y), sp.csr_matrix((len(X), n_labels - Y.shape[1]))])
    TfidfLinearClassifier(C=1.0, validation_fraction=0, n_negatives="auto").fit(X, wide)
    assert seen == [expected]


@pytest.mark.parametrize("loss", ["squared_hinge", "log_loss"])
def test_without_held_out_rows_the_weights_are_the_same(data, loss):
    """What is held out chooses and calibrates; the final model is trained on all rows anyway."""
    with_rows = TfidfLinearClassifier(loss=loss, C=2.0, random_state=0).fit(*data)
    without = clone(with_rows).set_params(validation_fraction=0).fit(*data)
    X, _ = make_texts(50, seed=2)
    scores = without.decision_function(X)
    assert_array_equal(scores, with_rows.decision_function(X))
    order = np.argsort(-without.predict_proba(X), axis=1)
    assert np.all(np.diff(np.take_along_axis(with_rows.predict_proba(X), order, axis=1)) <= 1e-6)
    assert without.C_ == 2.0
    assert without.calibration_ == (1.0, 0.0)
    assert without.threshold_ == 0.5
    assert_array_equal(without.predict(X), scores > 0)
    assert_allclose(without.predict_proba(X), 1 / (1 + np.exp(-scores)), rtol=1e-6)


def test_without_held_out_rows_each_label_is_fitted_once(data, monkeypatch):
    fits, fit_columns = [], implementation.fit_columns

    def counted(features, Y, labels, *args, **kwargs):
        fits.append(features.shape[0])
        return fit_columns(features, Y, labels, *args, **kwargs)

    monkeypatch.setattr(implementation, "fit_columns", counted)
    TfidfLinearClassifier(C=1.0, validation_fraction=0, random_state=0).fit(*data)
    assert fits == [200]
    TfidfLinearClassifier(C=1.0, random_state=0).fit(*data)
    assert fits == [200, 160, 200]


@pytest.mark.parametrize("n_samples", [1, 2])
def test_very_few_texts_without_held_out_rows(n_samples):
    X, Y = ["area of a circle", "roots of an equation"], np.eye(2, dtype=int)
    classifier = TfidfLinearClassifier(C=1.0, validation_fraction=0, random_state=0)
    proba = classifier.fit(X[:n_samples], Y[:n_samples]).predict_proba(X)
    assert np.isfinite(proba).all()
    assert proba[0].argmax() == 0


@pytest.mark.parametrize("n_negatives", [200, 10_000])
def test_as_many_negatives_as_rows_are_all_rows(data, fitted, n_negatives):
    classifier = clone(fitted).set_params(n_negatives=n_negatives).fit(*data)
    assert_array_equal(classifier.coef_.toarray(), fitted.coef_.toarray())
    assert_array_equal(classifier.intercept_, fitted.intercept_)


@pytest.mark.parametrize("loss", ["squared_hinge", "log_loss"])
def test_few_negatives_rank_nearly_as_well(loss):
    """Labels of 40 topics, 2 to 3 per cent of the texts each, told from 60 of 1,000 texts."""
    rng = np.random.default_rng(0)
    Y = np.eye(40, dtype=int)[rng.integers(40, size=1000)]
    texts = [" ".join([f"topic{row.argmax()}", *rng.choice(FILLER, size=5)]) for row in Y]
    params = {"loss": loss, "analyzer": TfidfVectorizer(), "C": 1.0, "random_state": 0}
    classifier = TfidfLinearClassifier(**params, n_negatives=60).fit(texts, Y)
    everything = TfidfLinearClassifier(**params).fit(texts, Y)
    assert_array_equal(classifier.decision_function(texts).argmax(axis=1), Y.argmax(axis=1))
    assert not np.array_equal(classifier.coef_.toarray(), everything.coef_.toarray())
    assert_allclose(classifier.predict_proba(texts).mean(), Y.mean(), atol=0.02)
    again = clone(classifier).fit(texts, Y)
    assert_array_equal(again.coef_.toarray(), classifier.coef_.toarray())


def test_rare_and_constant_labels_among_few_negatives(data):
    X, Y = data
    rare, always = np.zeros((len(X), 3), dtype=int), np.ones((len(X), 1), dtype=int)
    rare[0, 0] = rare[1, 1] = 1  # the third has no example
    classifier = TfidfLinearClassifier(C=1.0, n_negatives=2, random_state=0)
    scores = classifier.fit(X, np.hstack([Y, rare, always])).decision_function(X)
    assert np.isfinite(scores).all()
    assert scores[:, 6].max() < scores[:, [0, 1, 2, 3, 4, 5, 7]].min()
    assert scores[:, 7].min() > scores[:, :7].max()
    assert scores[:, 4].argmax() == 0
    assert scores[:, 5].argmax() == 1


def test_ranking_quality_by_hand():
    Y = sp.csr_matrix(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=np.float32))
    scores = np.array([[0.9, 0.2, 0.1], [0.9, 0.2, 0.1], [0.9, 0.2, 0.1]])
    p_at_1, ndcg = (1 + 0) / 2, (1 + 1 / np.log2(3)) / 2  # the third text has no label
    assert_allclose(implementation._ranking_quality(Y, scores), (p_at_1 + ndcg) / 2)


def test_predict_uses_the_threshold(fitted):
    X, _ = make_texts(30, seed=5)
    assert_array_equal(fitted.predict(X), fitted.predict_proba(X) > fitted.threshold_)
    assert set(np.unique(fitted.predict(X))) == {0, 1}


@pytest.mark.parametrize("C", [1.0, "auto"])
def test_labels_without_examples_rank_last(data, C):
    """A constant -1 used to outrank learned labels that were rejected with less than -1."""
    X, Y = data
    absent = np.zeros((len(X), 1), dtype=int)
    classifier = TfidfLinearClassifier(C=C, random_state=0)
    classifier.fit(X, np.hstack([absent, Y, absent]))
    scores = classifier.decision_function([*X, "", "unheard-of words only", "circle " * 50])
    assert scores[:, 1:-1].min() < -1
    assert scores[:, [0, -1]].max() < scores[:, 1:-1].min()
    proba = classifier.predict_proba(X)
    assert np.all(proba[:, [0, -1]].max(axis=1) < proba[:, 1:-1].min(axis=1))
    assert classifier.predict(X)[:, [0, -1]].sum() == 0


def test_labels_of_every_text_rank_first(data):
    X, Y = data
    always = np.ones((len(X), 1), dtype=int)
    classifier = TfidfLinearClassifier(random_state=0).fit(X, np.hstack([Y, always]))
    scores = classifier.decision_function([*X, ""])
    assert scores[:, -1].min() > scores[:, :-1].max()
    assert np.all(classifier.predict(X)[:, -1] == 1)


def test_unseen_labels_do_not_bend_the_calibration(data, fitted):
    """Held-out positives of labels unseen in training, far below all others, flattened it."""
    X, Y = data
    rare = np.zeros((len(X), 30), dtype=int)
    rare[np.arange(30) * 6, np.arange(30)] = 1  # one example each, a fifth of them held out
    classifier = TfidfLinearClassifier(C=fitted.C_, random_state=0).fit(X, np.hstack([Y, rare]))
    assert classifier.calibration_[0] > 0.5 * fitted.calibration_[0]


def test_learns_chinese_without_blanks():
    X = ["求圆的面积", "求圆的周长", "解一元二次方程", "解方程组"] * 10
    Y = np.array([[1, 0], [1, 0], [0, 1], [0, 1]] * 10)
    classifier = TfidfLinearClassifier(random_state=0).fit(X, Y)
    assert_array_equal(classifier.predict(["圆的直径是多少", "这个方程的解"]), np.eye(2, dtype=int))


def test_any_vectorizer(data):
    vectorizer = CountVectorizer(binary=True)
    classifier = TfidfLinearClassifier(analyzer=vectorizer, random_state=0).fit(*data)
    assert classifier.coef_.shape[1] == len(classifier.vectorizer_.vocabulary_)
    assert not hasattr(vectorizer, "vocabulary_"), "the parameter must stay unfitted"


def test_sparse_targets_equal_dense(data, fitted):
    X, Y = data
    for sparse in (sp.csr_matrix(Y), sp.csc_array(Y), sp.csr_matrix(Y, dtype=bool)):
        classifier = clone(fitted).fit(X, sparse)
        assert_array_equal(classifier.predict_proba(X), fitted.predict_proba(X))


@pytest.mark.parametrize("params", [{}, {"n_jobs": 2}])
def test_reproducible(data, fitted, params):
    again = clone(fitted).set_params(**params).fit(*data)
    assert_array_equal(again.predict_proba(data[0]), fitted.predict_proba(data[0]))
    assert again.threshold_ == fitted.threshold_


def test_prediction_in_blocks_changes_nothing(data, fitted, monkeypatch):
    whole = fitted.decision_function(data[0])
    monkeypatch.setattr(implementation, "_BLOCK_ENTRIES", 3 * N_TOPICS)
    assert_allclose(fitted.decision_function(data[0]), whole, rtol=1e-6)


def test_get_params_and_clone():
    classifier = TfidfLinearClassifier(analyzer=TfidfVectorizer(), C=2.0, n_jobs=3)
    classifier.set_params(analyzer__min_df=2)
    copy = clone(classifier)
    assert copy.get_params()["analyzer__min_df"] == 2
    assert (copy.C, copy.n_jobs, copy.loss) == (2.0, 3, "squared_hinge")
    assert (copy.validation_fraction, copy.n_negatives) == (0.2, None)
    assert clone(copy.set_params(n_negatives=50)).n_negatives == 50


@pytest.mark.parametrize("n_samples", [1, 2, 3])
def test_very_few_texts(n_samples):
    X, Y = ["area of a circle", "roots of an equation", "area"], np.array([[1, 0], [0, 1], [1, 0]])
    classifier = TfidfLinearClassifier(random_state=0).fit(X[:n_samples], Y[:n_samples])
    proba = classifier.predict_proba(X)
    assert proba.shape == (3, 2)
    assert np.isfinite(proba).all()
    assert proba[0].argmax() == 0


def test_odd_texts_and_rows_without_labels(data):
    X, Y = data
    X, Y = ["", "  ", "?!", "x" * 200_000, *X], np.vstack([np.zeros((4, N_TOPICS), int), Y])
    classifier = TfidfLinearClassifier(C=1.0, random_state=0).fit(X, Y)
    assert np.isfinite(classifier.predict_proba(X)).all()


def test_no_label_at_all(data):
    X, Y = data
    classifier = TfidfLinearClassifier(random_state=0).fit(X, np.zeros_like(Y))
    assert classifier.predict(X).sum() == 0
    assert len(np.unique(classifier.predict_proba(X))) == 1


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"analyzer": "words"}, ValueError, "`analyzer` must be one of"),
        ({"loss": "hinge"}, ValueError, "`loss` must be one of"),
        ({"C": 0.0}, ValueError, "`C` == 0.0, must be > 0"),
        ({"C": "best"}, TypeError, "`C` must be a number"),
        ({"validation_fraction": 1.0}, ValueError, "must be < 1"),
        ({"validation_fraction": -0.1}, ValueError, "must be >= 0"),
        ({"validation_fraction": 0}, ValueError, "`C` == 'auto' is chosen on held-out rows"),
        ({"validation_fraction": 0.0, "C": "auto"}, ValueError, "Give a number for `C`"),
        ({"validation_fraction": "0.1"}, TypeError, "`validation_fraction`"),
        ({"n_negatives": 1}, ValueError, "`n_negatives` == 1, must be >= 2"),
        ({"n_negatives": 0}, ValueError, "must be >= 2"),
        ({"n_negatives": 2.5}, TypeError, "`n_negatives`"),
        ({"n_negatives": "all"}, ValueError, "`n_negatives` must be one of"),
        ({"max_features": 0}, ValueError, "must be >= 1"),
    ],
)
def test_invalid_parameters(data, params, error, message):
    with pytest.raises(error, match=message):
        TfidfLinearClassifier(**params).fit(*data)


@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        ("one text", [[1]], TypeError, "sequence of texts"),
        (["a", None], [[1], [0]], TypeError, "must hold only str"),
        ([b"a"], [[1]], TypeError, "bytes"),
        ([], np.zeros((0, 2)), ValueError, "empty"),
        (["", " \n"], [[1], [0]], ValueError, "not blank, got 2"),
        (["a", "b"], [[1]], ValueError, "expected 2 rows, got 1"),
        (["a", "b"], [1, 0], ValueError, "indicator matrix"),
        (["a", "b"], [[0.5], [0]], ValueError, "0.5"),
        (["a", "b"], None, TypeError, "got None"),
    ],
)
def test_bad_input(X, y, error, message):
    with pytest.raises(error, match=message):
        TfidfLinearClassifier().fit(X, y)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"n_jobs": 0}, ValueError, "`n_jobs` == 0"),
        ({"n_jobs": "x"}, TypeError, "`n_jobs` must be an integer"),
        ({"C": np.array([1.0, 2.0])}, TypeError, "`C` must be a number"),
        ({"random_state": "x"}, ValueError, "`random_state` must be an int"),
    ],
)
def test_parameters_are_checked_before_work_starts(params, error, message):
    """`n_jobs` failed in joblib, after the texts had been read."""
    classifier = TfidfLinearClassifier(**params)
    with pytest.raises(error, match=message):
        classifier.fit(["a", "b"], np.eye(2))
    assert not hasattr(classifier, "vectorizer_")


def test_blank_texts_leave_nothing_behind():
    """The vectorizer was set before they were refused."""
    classifier = TfidfLinearClassifier()
    with pytest.raises(ValueError, match="at least one text that is not blank, got 2"):
        classifier.fit(["", " "], np.eye(2))
    assert not hasattr(classifier, "vectorizer_")
