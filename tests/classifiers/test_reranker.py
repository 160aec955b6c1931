"""MetaLabelReranker over classifiers from anywhere: products, combinations, shared towers."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skrr2qc.classifiers._reranker as module
from skrr2qc import ClassCenterHead, LabelSpace, MetaLabelReranker
from skrr2qc._thresholds import best_global_threshold
from skrr2qc._training import sigmoid
from skrr2qc.classifiers import rerank_scores
from skrr2qc.classifiers._combination import Combination, fit_combination
from skrr2qc.classifiers._cooccurrence import LabelCooccurrence
from skrr2qc.classifiers._neighbors import LabelNeighbors
from skrr2qc.metrics import jain_propensities, ndcg_at_k, precision_at_k
from skrr2qc.metrics.scorers import ndcg_at_5_scorer
from skrr2qc.model_selection import MultilabelStratifiedKFold, train_holdout_split
from tests.reference.reranking import slow_rerank

MAP = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 1]])  # (L, M)
FOREIGN = [
    KNeighborsClassifier(3),
    RandomForestClassifier(5, random_state=0),
    OneVsRestClassifier(LogisticRegression()),
    MultiOutputClassifier(LogisticRegression()),
    make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression())),
]


@pytest.fixture(scope="module")
def data():
    X, Y = make_multilabel_classification(
        n_samples=80, n_features=6, n_classes=5, n_labels=2, random_state=0
    )
    return X.astype(np.float32), Y


def slow_probabilities(classifier, X):
    """Scores (n, L) of any multi-label classifier of scikit-learn."""
    scores = classifier.predict_proba(X)
    if not isinstance(scores, list):
        return scores
    known = zip(scores, classifier.classes_, strict=True)
    return np.column_stack([s @ (np.asarray(classes) == 1) for s, classes in known])


# --- the estimator --------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0, 1, 2])
@pytest.mark.parametrize("retriever", FOREIGN)
@pytest.mark.parametrize("classifier", FOREIGN)
def test_over_any_two_classifiers(data, classifier, retriever, alpha):
    X, Y = data
    Y_meta = (Y @ MAP > 0).astype(int)
    reranker = MetaLabelReranker(classifier, retriever=retriever, label_to_meta=MAP, alpha=alpha)
    scores = reranker.fit(X, Y).predict_proba(X[:20])
    expected = slow_rerank(
        slow_probabilities(clone(retriever).fit(X, Y), X[:20]),
        slow_probabilities(clone(classifier).fit(X, Y_meta), X[:20]),
        [np.flatnonzero(row) for row in MAP],
        alpha,
    )
    assert scores.shape == (20, 5)
    assert scores.dtype == np.float32
    assert_allclose(scores, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("top_r", [None, 2])
@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_mean_and_top_r(data, mean, top_r):
    X, Y = data
    retriever = OneVsRestClassifier(LogisticRegression())
    reranker = MetaLabelReranker(
        retriever, retriever=retriever, label_to_meta=MAP, mean=mean, top_r=top_r, alpha=1.5
    ).fit(X, Y)
    expected = slow_rerank(
        reranker.retriever_.predict_proba(X),
        reranker.meta_scores(X),
        [np.flatnonzero(row) for row in MAP],
        1.5,
        mean,
        top_r,
    )
    assert_allclose(reranker.predict_proba(X), expected, rtol=1e-5)


def test_own_network_on_arrays_as_default_classifier(data):
    X, Y = data
    retriever = OneVsRestClassifier(LogisticRegression())
    reranker = MetaLabelReranker(retriever=retriever, label_to_meta=MAP, random_state=0)
    scores = reranker.fit(X, sp.csr_matrix(Y)).predict_proba(X)
    assert isinstance(reranker.classifier_, ClassCenterHead)
    assert reranker.meta_scores(X).shape == (80, 4)
    meta_of = [np.flatnonzero(row) for row in MAP]
    expected = slow_rerank(reranker.retriever_.predict_proba(X), reranker.meta_scores(X), meta_of)
    assert_allclose(scores, expected, rtol=1e-5)


@pytest.mark.parametrize("form", [list, np.asarray, sp.csr_matrix, sp.csc_matrix, sp.csr_array])
def test_forms_of_the_map(data, form):
    X, Y = data
    knn = KNeighborsClassifier(3)
    expected = MetaLabelReranker(knn, retriever=knn, label_to_meta=MAP).fit(X, Y).predict_proba(X)
    label_to_meta = form(MAP.tolist() if form is list else MAP)
    reranker = MetaLabelReranker(knn, retriever=knn, label_to_meta=label_to_meta).fit(X, Y)
    assert_array_equal(reranker.predict_proba(X), expected)


def test_map_of_a_label_space_is_used_and_stays_read_only(data):
    X, Y = data
    labels = LabelSpace([f"label {i}" for i in range(5)], meta_labels=MAP)
    assert not labels.label_to_meta.data.flags.writeable
    knn = KNeighborsClassifier(3)
    expected = MetaLabelReranker(knn, retriever=knn, label_to_meta=MAP).fit(X, Y).predict_proba(X)
    reranker = MetaLabelReranker(knn, retriever=knn, labels=labels).fit(X, Y)
    assert_array_equal(reranker.predict_proba(X), expected)
    assert_array_equal(labels.label_to_meta.toarray(), MAP)


def test_own_map_goes_before_the_one_of_the_labels(data):
    X, Y = data
    labels = LabelSpace([f"label {i}" for i in range(5)], meta_labels=MAP)
    knn = KNeighborsClassifier(3)
    reranker = MetaLabelReranker(
        knn, retriever=knn, labels=labels, label_to_meta=np.eye(5, dtype=int)
    ).fit(X, Y)
    assert_array_equal(reranker.label_to_meta_.toarray(), np.eye(5))


def test_without_a_map_the_identity_and_one_warning(data):
    X, Y = data
    knn = KNeighborsClassifier(3)
    with pytest.warns(UserWarning, match="no map from labels to meta-labels") as caught:
        reranker = MetaLabelReranker(knn, retriever=knn).fit(X, Y)
    assert len(caught) == 1
    assert reranker.classifier_ is None
    assert reranker.meta_scores(X) is None
    assert_allclose(reranker.predict_proba(X), slow_probabilities(knn.fit(X, Y), X))


@pytest.mark.parametrize(
    "params, error, message",
    [
        ({"label_to_meta": MAP[:4]}, ValueError, r"expected shape \(5, M\), got \(4, 4\)"),
        ({"label_to_meta": MAP[:, 0]}, ValueError, r"expected shape \(5, M\), got \(5,\)"),
        ({"label_to_meta": np.zeros((5, 0))}, ValueError, "no meta-label"),
        ({"label_to_meta": 2 * MAP}, ValueError, "only 0 and 1"),
        ({"label_to_meta": MAP, "alpha": -1}, ValueError, "alpha"),
        ({"label_to_meta": MAP, "alpha": np.inf}, ValueError, "alpha"),
        ({"label_to_meta": MAP, "alpha": "1"}, TypeError, "alpha"),
        ({"labels": LabelSpace(["a", "b"])}, ValueError, "expected 2 columns, got 5"),
        ({"labels": ["a", "b", "c", "d", "e"]}, TypeError, "`labels` must be a LabelSpace"),
        ({"combine": "sum"}, ValueError, "`combine`"),
        ({"combine": None}, ValueError, "`combine`"),
        ({"mean": "harmonic"}, ValueError, "`mean`"),
        ({"top_r": 0}, ValueError, "`top_r`"),
        ({"top_r": 1.5}, TypeError, "`top_r`"),
        ({"validation_fraction": 0}, ValueError, "`validation_fraction`"),
        ({"validation_fraction": 0.6}, ValueError, "`validation_fraction`"),
        ({"validation_fraction": "0.1"}, TypeError, "`validation_fraction`"),
    ],
)
def test_invalid_parameters_stop_before_training(data, params, error, message):
    class Untouched(KNeighborsClassifier):
        def fit(self, X, y):
            raise AssertionError("trained before the parameters were checked")

    reranker = MetaLabelReranker(Untouched(), retriever=Untouched(), **params)
    with pytest.raises(error, match=message):
        reranker.fit(*data)


def test_retriever_that_is_frozen_is_not_fitted_again(data):
    X, Y = data
    retriever = KNeighborsClassifier(3).fit(X[:30], Y[:30])
    reranker = MetaLabelReranker(
        KNeighborsClassifier(3), retriever=FrozenEstimator(retriever), label_to_meta=MAP, alpha=0
    ).fit(X, Y)
    assert_allclose(reranker.predict_proba(X), slow_probabilities(retriever, X))


def test_csr_targets_reach_our_own_frozen_retriever_as_they_are(data, monkeypatch):
    """A frozen head was handed a dense copy of all targets, which it does not even look at."""
    X, Y = data
    head = ClassCenterHead(n_epochs=1, random_state=0).fit(X, Y)
    reranker = MetaLabelReranker(
        ClassCenterHead(n_epochs=1), retriever=FrozenEstimator(head), label_to_meta=MAP
    )
    made_dense = []
    toarray = sp.csr_matrix.toarray
    monkeypatch.setattr(
        sp.csr_matrix,
        "toarray",
        lambda self, *a: made_dense.append(self.shape) or toarray(self, *a),
    )
    reranker.fit(X, sp.csr_matrix(Y))
    assert made_dense  # batches
    assert max(rows for rows, _ in made_dense) <= head.batch_size


def test_threshold_is_the_best_for_micro_f1_on_the_training_rows(data):
    X, Y = data
    knn = KNeighborsClassifier(5)
    reranker = MetaLabelReranker(knn, retriever=knn, label_to_meta=MAP).fit(X, Y)
    scores = reranker.predict_proba(X)
    best = max(f1_score(Y, scores > t, average="micro") for t in np.unique(scores)[:-1])
    assert f1_score(Y, reranker.predict(X), average="micro") == pytest.approx(best, rel=1e-12)
    assert_array_equal(reranker.predict(X), scores > reranker.threshold_)


def test_meta_label_of_every_text_counts_as_certain(data):
    """Forests give one column where training met one class only: it was taken for score 0."""
    X, Y = data
    Y = Y.copy()
    Y[:, 0] = 1  # so that meta-labels 0 and 1 are in every row
    forest = RandomForestClassifier(5, random_state=0)
    reranker = MetaLabelReranker(forest, retriever=forest, label_to_meta=MAP).fit(X, Y)
    assert_array_equal(reranker.meta_scores(X)[:, :2], 1.0)
    assert_array_equal(reranker.predict_proba(X)[:, 0], 1.0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@pytest.mark.parametrize("classifier", FOREIGN)
def test_one_label_with_one_meta_label(data, classifier):
    """Classifiers then see a binary problem and return two columns, for class 0 and class 1."""
    X, Y = data
    Y = Y[:, :1]
    reranker = MetaLabelReranker(classifier, retriever=classifier, label_to_meta=[[1]]).fit(X, Y)
    scores = reranker.predict_proba(X)
    is_wrapper = isinstance(classifier, MultiOutputClassifier)
    single = clone(classifier.estimator if is_wrapper else classifier).fit(X, Y.ravel())
    assert_allclose(scores[:, 0], single.predict_proba(X)[:, 1] ** 2, rtol=1e-5, atol=1e-7)


# --- the pipeline form: label scores followed by features -------------------------------------


def test_columns_after_the_label_scores_are_the_features(data):
    X, Y = data
    label_scores = np.random.default_rng(0).random(Y.shape).astype(np.float32)
    both = np.hstack([label_scores, X])
    reranker = MetaLabelReranker(KNeighborsClassifier(3), label_to_meta=MAP).fit(both, Y)
    assert reranker.classifier_.n_features_in_ == X.shape[1]
    knn = KNeighborsClassifier(3).fit(X, (Y @ MAP > 0).astype(int))
    meta_of = [np.flatnonzero(row) for row in MAP]
    expected = slow_rerank(label_scores, slow_probabilities(knn, X), meta_of)
    assert_allclose(reranker.predict_proba(both), expected, rtol=1e-5)


def test_label_scores_alone_are_the_features_as_well(data):
    _, Y = data
    label_scores = np.random.default_rng(0).random(Y.shape).astype(np.float32)
    reranker = MetaLabelReranker(KNeighborsClassifier(3), label_to_meta=MAP).fit(label_scores, Y)
    assert reranker.classifier_.n_features_in_ == Y.shape[1]
    assert reranker.predict_proba(label_scores).shape == Y.shape


def test_scores_and_features_as_csr(data):
    """A sparse vectorizer before ClassCenterHead(passthrough=True) hands on CSR."""
    X, Y = data
    both = np.hstack([np.random.default_rng(0).random(Y.shape).astype(np.float32), X])
    both[both < 0.3] = 0
    reranker = MetaLabelReranker(OneVsRestClassifier(LogisticRegression()), label_to_meta=MAP)
    expected = reranker.fit(both, Y).predict_proba(both)
    scores = reranker.fit(sp.csr_matrix(both), Y).predict_proba(sp.csr_matrix(both))
    assert_allclose(scores, expected, atol=2e-3)  # lbfgs walks a little differently


def test_flat_pipeline_over_a_sparse_vectorizer(labelled_texts, questions):
    X, Y = labelled_texts
    pipeline = make_pipeline(
        TfidfVectorizer(),
        ClassCenterHead(passthrough=True, n_epochs=2, random_state=0),
        MetaLabelReranker(ClassCenterHead(n_epochs=2), labels=questions.labels, random_state=0),
    ).fit(X, Y.toarray())
    scores = pipeline.predict_proba(X)
    assert scores.shape == Y.shape
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("change", [lambda S: S + 1, lambda S: S - 1, lambda S: S[:, :3]])
def test_first_columns_that_are_no_label_scores(data, change):
    X, Y = data
    label_scores = np.random.default_rng(0).random(Y.shape)
    with pytest.raises(ValueError, match=r"first 5 columns of X must be label scores in \[0, 1\]"):
        MetaLabelReranker(KNeighborsClassifier(3), label_to_meta=MAP).fit(change(label_scores), Y)


def test_texts_without_a_retriever(labelled_texts, questions, tiny_encoder):
    """With an encoder alone it can rerank given scores, and says so when asked for more."""
    X, Y = labelled_texts
    reranker = MetaLabelReranker(
        ClassCenterHead(n_epochs=1),
        encoder=FrozenEstimator(tiny_encoder),
        labels=questions.labels,
        random_state=0,
    ).fit(X, Y)
    label_scores = np.random.default_rng(0).random(Y.shape).astype(np.float32)
    meta_of = np.split(reranker.label_to_meta_.indices, reranker.label_to_meta_.indptr[1:-1])
    expected = slow_rerank(label_scores, reranker.meta_scores(X), meta_of)
    assert_allclose(reranker.rerank(label_scores, X), expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"set `retriever` before fit, or call rerank"):
        reranker.predict_proba(X)


def test_foreign_classifier_of_texts_behind_the_encoder(labelled_texts, questions, tiny_encoder):
    """A forest is empty, hence false, before it is fitted: the default was taken in its place."""
    X, Y = labelled_texts
    forest = RandomForestClassifier(5, random_state=0)
    reranker = MetaLabelReranker(
        forest, encoder=FrozenEstimator(tiny_encoder), labels=questions.labels
    ).fit(X, Y)
    Y_meta = questions.labels.meta_targets(Y).toarray()
    vectors = tiny_encoder.transform(X)
    expected = slow_probabilities(forest.fit(vectors, Y_meta), vectors)
    assert_allclose(reranker.meta_scores(X), expected, rtol=1e-6)


def test_detached_from_its_encoder_and_attached_again(labelled_texts, questions, tiny_encoder):
    X, Y = labelled_texts
    frozen = FrozenEstimator(tiny_encoder)
    reranker = MetaLabelReranker(
        ClassCenterHead(n_epochs=1), encoder=frozen, labels=questions.labels, random_state=0
    ).fit(X, Y)
    before = reranker.meta_scores(X)
    reranker.detach_encoder()
    assert reranker.encoder is None
    assert reranker.classifier_.encoder_ is None
    assert_array_equal(reranker.attach_encoder(frozen).meta_scores(X), before)


# --- one tower for both -----------------------------------------------------------------------

LABELS = LabelSpace([f"label {i}" for i in range(5)], meta_labels=MAP)
NEAR = ["neighbors", "rare_neighbors", "votes"]
ALL_EVIDENCE = ["retrieval", "rare_retrieval", "meta_labels", *NEAR, "co_occurrence"]
LINEAR = OneVsRestClassifier(LogisticRegression())


def probabilities(classifier, X):
    return classifier.predict_proba(X).astype(np.float32)


def make_head(**params):
    return ClassCenterHead(labels=LABELS, n_epochs=3, random_state=0, **params)


@pytest.fixture
def embeds(monkeypatch):
    """Numbers of rows that heads were asked for the vectors of."""
    seen, embed = [], ClassCenterHead.embed
    monkeypatch.setattr(
        ClassCenterHead, "embed", lambda self, X: seen.append(len(X)) or embed(self, X)
    )
    return seen


@pytest.mark.parametrize("params", [{"labels": LABELS}, {"label_to_meta": MAP}])
def test_retriever_that_scores_meta_labels_serves_for_both(data, params):
    X, Y = data
    reranker = MetaLabelReranker(retriever=make_head(), **params).fit(X, Y)
    head = reranker.retriever_
    assert reranker.classifier_ is None
    assert reranker.tower_ is head
    meta_scores = sigmoid(head.score_meta(head.embed(X)))
    assert_array_equal(reranker.meta_scores(X), meta_scores)
    meta_of = [np.flatnonzero(row) for row in MAP]
    expected = slow_rerank(head.predict_proba(X), meta_scores, meta_of)
    assert_allclose(reranker.predict_proba(X), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("retriever", "params"),
    [
        (make_head(), {"classifier": LINEAR}),
        (make_head(), {"label_to_meta": np.eye(5)}),
        (make_head(), {"label_to_meta": MAP[:, ::-1]}),
        (make_head(meta_weight=0), {}),
        (ClassCenterHead(n_epochs=1, random_state=0), {}),
        (LINEAR, {}),
    ],
)
def test_classifier_of_meta_labels_where_the_retriever_has_not_those(data, retriever, params):
    X, Y = data
    reranker = MetaLabelReranker(retriever=retriever, labels=LABELS, random_state=0, **params)
    reranker.fit(X, Y)
    assert reranker.needs_classifier(reranker.retriever_)
    assert_array_equal(reranker.meta_scores(X), probabilities(reranker.classifier_, X))


def test_needs_a_classifier(data):
    head = make_head().fit(*data)
    for params, needed in [
        ({"labels": LABELS}, False),
        ({"label_to_meta": MAP.tolist()}, False),
        ({"label_to_meta": sp.csc_matrix(MAP)}, False),
        ({"label_to_meta": MAP[:, :3]}, True),
        ({"label_to_meta": np.eye(5)}, True),
        ({"labels": LABELS, "label_to_meta": np.eye(5)}, True),
        ({"labels": LABELS, "classifier": LINEAR}, True),
        ({"classifier": LINEAR}, False),  # there is nothing to classify
        ({"labels": LabelSpace(list("abcde"))}, False),
        ({}, False),
    ]:
        assert MetaLabelReranker(**params).needs_classifier(head) == needed, params
    for tower in (None, LINEAR, ClassCenterHead(n_epochs=1).fit(*data)):
        assert MetaLabelReranker(labels=LABELS).needs_classifier(tower)


def test_fit_shared_trains_nothing(data, monkeypatch, embeds):
    X, Y = data
    head = make_head().fit(X, Y)
    monkeypatch.setattr(ClassCenterHead, "fit", None)
    reranker = MetaLabelReranker(labels=LABELS).fit_shared(head, X, sp.csr_matrix(Y))
    assert embeds == []  # without neighbors, training texts are not looked at
    assert reranker.tower_ is head
    assert reranker.neighbors_ is None
    label_scores = np.random.default_rng(0).random(Y.shape).astype(np.float32)
    meta_of = [np.flatnonzero(row) for row in MAP]
    expected = slow_rerank(label_scores, head.meta_scores(X), meta_of)
    assert_allclose(reranker.rerank(label_scores, X), expected, rtol=1e-5)


@pytest.mark.parametrize("combine", ["product", "learned"])
def test_vectors_at_hand_spare_the_tower(data, embeds, combine):
    X, Y = data
    head = make_head().fit(X, Y)
    reranker = MetaLabelReranker(labels=LABELS, combine=combine)
    reranker.fit_shared(head, X, sp.csr_matrix(Y))
    if combine == "learned":
        reranker.combination_ = Combination({"retrieval": 1.0, "meta_labels": 0.5, "neighbors": 2})
    label_scores, vectors = head.predict_proba(X), head.embed(X)
    embeds.clear()
    expected = reranker.rerank(label_scores, X)
    assert embeds == [80]
    assert_array_equal(reranker.rerank(label_scores, X, vectors), expected)
    assert_array_equal(
        reranker.fuse(label_scores, reranker.meta_scores(X, vectors), vectors), expected
    )
    assert embeds == [80]


def test_retriever_of_features_without_vectors(data):
    """A foreign head was asked for them where there was no map of meta-labels."""
    X, Y = data
    Y = np.eye(Y.shape[1], dtype=int)[Y.argmax(axis=1)]  # nothing occurs together, either
    retriever = clone(LINEAR).fit(X, Y)
    shared = MetaLabelReranker(combine="learned").fit_shared(retriever, X, sp.csr_matrix(Y))
    for reranker in (shared, learned(label_to_meta=None).fit(X, Y)):
        assert reranker.tower_ is None
        assert reranker.neighbors_ is None
    assert list(reranker.combination_.weights) == ["retrieval", "rare_retrieval"]
    order = np.argsort(-probabilities(reranker.retriever_, X), axis=1)
    assert_array_equal(np.argsort(-reranker.predict_proba(X), axis=1), order)


@pytest.mark.parametrize(
    ("params", "weights", "meta_scores", "vectors"),
    [
        ({}, None, True, True),
        ({"alpha": 0}, None, False, False),
        ({"alpha": 0}, {"retrieval": 1, "meta_labels": 1, "neighbors": 0}, True, True),
        ({}, {"retrieval": 1, "meta_labels": 1, "neighbors": 0}, True, True),
        ({}, {"retrieval": 1, "meta_labels": 0, "neighbors": 1}, False, True),
        ({}, {"retrieval": 1, "meta_labels": 0, "neighbors": 0}, False, False),
        ({}, {"retrieval": 1, "votes": 1}, False, True),
        ({}, {"retrieval": 1, "rare_neighbors": 1}, False, True),
        ({}, {"retrieval": 1}, False, False),
        ({"classifier": LINEAR}, {"retrieval": 1, "meta_labels": 1}, True, False),
        ({"classifier": LINEAR}, {"retrieval": 1, "meta_labels": 1, "neighbors": 1}, True, True),
        ({"classifier": LINEAR}, None, True, False),
    ],
)
def test_what_reranking_reads(data, embeds, params, weights, meta_scores, vectors):
    X, Y = data
    reranker = MetaLabelReranker(retriever=make_head(), labels=LABELS, **params).fit(X, Y)
    if weights is not None:
        reranker.combine = "learned"
        reranker.attach_tower(reranker.tower_, X, sp.csr_matrix(Y))
        reranker.combination_ = Combination(weights)
    assert reranker.reads_meta_scores == meta_scores
    assert reranker.reads_vectors == vectors
    embeds.clear()
    assert np.isfinite(reranker.rerank(np.full(Y.shape, 0.5), X)).all()
    assert len(embeds) == vectors


# --- a learned combination --------------------------------------------------------------------


class Memoriser(ClassifierMixin, BaseEstimator):
    """Knows its training rows by heart, and says anything of others."""

    def fit(self, X, y):
        self.known_ = {row.tobytes(): labels for row, labels in zip(X, y, strict=True)}
        self.classes_ = np.arange(y.shape[1])
        return self

    def predict_proba(self, X):
        scores = np.random.default_rng(0).random((len(X), len(self.classes_)))
        for i, row in enumerate(X):
            if row.tobytes() in self.known_:
                scores[i] = 0.05 + 0.9 * self.known_[row.tobytes()]
        return scores


class Recorder(OneVsRestClassifier):
    """Keeps the rows that it was fitted on."""

    rows = []

    def fit(self, X, y):
        self.rows.append(np.asarray(X))
        return super().fit(X, y)


def make_rows(n_rows=300, seed=0):
    """Rows that tell of meta-labels; noise is a column that makes each row its own."""
    rng = np.random.default_rng(seed)
    Y = (rng.random((n_rows, 5)) < 0.3).astype(int)
    meta = Y @ MAP > 0
    X = np.hstack([2 * meta + rng.normal(scale=0.5, size=meta.shape), rng.normal(size=(n_rows, 1))])
    return X.astype(np.float32), Y


def learned(retriever=LINEAR, classifier=LINEAR, **params):
    params = {"label_to_meta": MAP, "validation_fraction": 0.3, "random_state": 0} | params
    return MetaLabelReranker(classifier, retriever=retriever, combine="learned", **params)


def log_rates_by_hand(Y, meta_of):
    """Mean share of texts with a label's meta-labels, or with the label itself without any."""
    rates = []
    for j, metas in enumerate(meta_of):
        sharing = [[k for k in range(len(meta_of)) if m in meta_of[k]] for m in metas] or [[j]]
        rates.append(np.mean([Y[:, labels].any(axis=1).mean() for labels in sharing]))
    return np.log(np.maximum(rates, 1e-4))


def evidence_by_hand(label_scores, meta_scores, meta_of, Y, mean="arithmetic"):
    """Log-odds of labels; log mean of meta-labels, or the label's own score without any."""
    scores = np.clip(label_scores, 1e-6, 1 - 1e-6)
    means = slow_rerank(np.ones(scores.shape), meta_scores, meta_of, mean=mean)
    for j, metas in enumerate(meta_of):
        if not len(metas):
            means[:, j] = scores[:, j]
    log_odds = np.log(scores / (1 - scores))
    best = np.sort(log_odds, axis=1)[:, -10:].mean(axis=1, keepdims=True)
    return {
        "retrieval": log_odds,
        "rare_retrieval": (log_odds - best) * np.exp(-Y.sum(axis=0) / 10),
        "meta_labels": np.log(np.maximum(means, 1e-6)) - log_rates_by_hand(Y, meta_of),
        "co_occurrence": LabelCooccurrence(sp.csr_matrix(Y)).lift(scores),
    }


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_combination_is_learned_on_held_out_rows_of_parts_fitted_on_the_rest(monkeypatch, mean):
    X, Y = make_rows()
    monkeypatch.setattr(Recorder, "rows", [])
    reranker = learned(Recorder(LogisticRegression()), Recorder(LogisticRegression()), mean=mean)
    reranker.fit(X, Y)
    train, held_out = train_holdout_split(Y, 0.3, random_state=0)
    assert [len(rows) for rows in Recorder.rows] == [len(train)] * 2 + [300] * 2
    assert_array_equal(Recorder.rows[0], X[train])
    assert_array_equal(Recorder.rows[1], X[train])

    retriever = clone(LINEAR).fit(X[train], Y[train])
    classifier = clone(LINEAR).fit(X[train], Y[train] @ MAP > 0)
    meta_of = [np.flatnonzero(row) for row in MAP]
    scores = retriever.predict_proba(X[held_out]), classifier.predict_proba(X[held_out])
    evidence = evidence_by_hand(*scores, meta_of, Y[train], mean)
    rarity = 1 / jain_propensities(Y[train])
    expected = fit_combination(sp.csr_matrix(Y[held_out]), evidence, rarity)
    assert reranker.combination_.weights == pytest.approx(expected.weights, rel=1e-3)
    assert reranker.combination_.intercept == pytest.approx(expected.intercept, rel=1e-3)
    threshold = best_global_threshold(Y[held_out], expected.apply(evidence))
    assert reranker.threshold_ == pytest.approx(threshold, rel=1e-2)

    label_scores = probabilities(reranker.retriever_, X)
    final = evidence_by_hand(label_scores, reranker.meta_scores(X), meta_of, Y, mean)
    assert_allclose(reranker.predict_proba(X), reranker.combination_.apply(final), rtol=1e-4)


def test_retriever_that_memorises_its_training_rows_does_not_win():
    """On rows that it knows it is perfect, and all the weight would be its own."""
    X, Y = make_rows(900)
    reranker = learned(Memoriser()).fit(X, Y)
    weights = reranker.combination_.weights
    meta_of = [np.flatnonzero(row) for row in MAP]
    scores = reranker.retriever_.predict_proba(X), reranker.meta_scores(X)
    known = evidence_by_hand(*scores, meta_of, Y)
    fooled = fit_combination(sp.csr_matrix(Y), known)
    assert fooled.weights["retrieval"] > 10 * fooled.weights["meta_labels"]
    assert weights["retrieval"] < weights["meta_labels"]

    X_new, Y_new = make_rows(300, seed=1)
    scores = reranker.retriever_.predict_proba(X_new), reranker.meta_scores(X_new)
    new = evidence_by_hand(*scores, meta_of, Y)
    quality = ndcg_at_k(Y_new, reranker.predict_proba(X_new), 5)
    assert quality > ndcg_at_k(Y_new, fooled.apply(new), 5) + 0.05


def test_neighbors_do_not_count_the_row_itself():
    """The nearest training text of a training text is itself: likeness 1 for its labels alone."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 8)).astype(np.float32)
    Y = (rng.random((200, 4)) < 0.4).astype(int)  # nothing to be learned
    reranker = MetaLabelReranker(
        retriever=ClassCenterHead(n_epochs=1, random_state=0), combine="learned",
        validation_fraction=0.4, random_state=0,
    ).fit(X, Y)  # fmt: skip
    neighbors = reranker.neighbors_.evidence(reranker.tower_.embed(X))["neighbors"]
    nearest = neighbors + reranker.neighbors_.typical_
    assert_allclose(nearest[Y > 0], 1, rtol=1e-5)
    fooled = fit_combination(
        sp.csr_matrix(Y), {"retrieval": np.zeros(Y.shape), "neighbors": neighbors}
    )
    assert fooled.weights["neighbors"] > 10
    assert reranker.combination_.weights["neighbors"] < 1


def test_without_a_map_neighbors_are_evidence():
    rng = np.random.default_rng(0)
    corners = rng.normal(size=(6, 5))
    which = rng.integers(6, size=240)
    X = (corners[which] + 0.2 * rng.normal(size=(240, 5))).astype(np.float32)
    Y = np.eye(6, dtype=int)[which]
    head = ClassCenterHead(n_epochs=1, lr=1e-4, random_state=0)
    reranker = MetaLabelReranker(
        retriever=head, combine="learned", validation_fraction=0.3, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reranker.fit(X, Y)
    assert list(reranker.combination_.weights) == ["retrieval", "rare_retrieval", *NEAR]
    assert reranker.combination_.weights["neighbors"] > 0
    assert reranker.classifier_ is None
    assert reranker.meta_scores(X) is None
    own = reranker.retriever_
    near = LabelNeighbors(own.embed(X), sp.csr_matrix(Y)).evidence(own.embed(X))
    log_odds = own.decision_function(X)
    of_rare = (log_odds - log_odds.mean(axis=1, keepdims=True)) * np.exp(-Y.sum(axis=0) / 10)
    evidence = {"retrieval": log_odds, "rare_retrieval": of_rare, **near}
    expected = reranker.combination_.apply(evidence)
    assert_allclose(reranker.predict_proba(X), expected, rtol=1e-3, atol=1e-6)


def test_all_evidence_of_a_shared_tower():
    X, Y = make_rows()
    reranker = learned(make_head(), None, labels=LABELS, label_to_meta=None).fit(X, Y)
    assert list(reranker.combination_.weights) == ALL_EVIDENCE
    assert reranker.classifier_ is None
    head = reranker.retriever_
    vectors = head.embed(X)
    meta_of = [np.flatnonzero(row) for row in MAP]
    evidence = evidence_by_hand(
        head.predict_proba(X), sigmoid(head.score_meta(vectors)), meta_of, Y
    )
    evidence |= LabelNeighbors(vectors, sp.csr_matrix(Y)).evidence(vectors)
    expected = reranker.combination_.apply(evidence)
    assert_allclose(reranker.predict_proba(X), expected, rtol=1e-4)
    assert_array_equal(reranker.predict(X), reranker.predict_proba(X) > reranker.threshold_)


@pytest.mark.parametrize(
    ("known", "unknown"), [("neighbors", "_votes"), ("votes", "_nearest"), ("neighbors", "lift")]
)
def test_evidence_that_was_not_weighed_is_not_asked_for(monkeypatch, known, unknown):
    """Models of before some kinds of evidence do not know them."""
    X, Y = make_rows()
    reranker = learned(make_head(), None, labels=LABELS, label_to_meta=None).fit(X, Y)
    reranker.combination_ = Combination({"retrieval": 1.0, known: 2.0})
    kind = LabelCooccurrence if unknown == "lift" else LabelNeighbors
    monkeypatch.setattr(kind, unknown, lambda *_: pytest.fail("asked for"))
    evidence = reranker._evidence(
        reranker.retriever_.predict_proba(X), None, reranker.tower_.embed(X)
    )
    assert list(evidence) == ["retrieval", known]
    assert np.isfinite(reranker.predict_proba(X)).all()


def test_scores_beyond_their_range_are_cut_off():
    X, Y = make_rows()
    reranker = learned(make_head(), None, labels=LABELS, label_to_meta=None).fit(X, Y)
    reranker.combination_ = Combination({"retrieval": 1.0, "co_occurrence": 0.5})
    wild = np.float32([[-3, 2, 0.5, -np.inf, np.inf]])
    expected = reranker.rerank(np.float32([[0, 1, 0.5, 0, 1]]), X[:1])
    assert_array_equal(reranker.rerank(wild, X[:1]), expected)


def test_label_without_meta_labels_stands_for_itself_in_a_combination_and_keeps_its_product(data):
    X, Y = data
    assert MAP[2].sum() == 0
    reranker = learned().fit(X, Y)
    label_scores = np.array([[0.2, 0.9, 0.3, 0.4, 0.5]])
    meta_scores = np.array([[0.1, 0.7, 0.6, 0.8]])
    reranker.combination_ = Combination({"retrieval": 0.0, "meta_labels": 1.0})
    means = np.array([[0.4, 0.65, 0.3, 0.8, 0.45]])
    rates = np.exp(log_rates_by_hand(Y, [np.flatnonzero(row) for row in MAP]))
    expected = sigmoid(np.log(means / rates))
    assert_allclose(reranker.fuse(label_scores, meta_scores), expected, rtol=1e-6)
    assert rates[2] == pytest.approx(Y[:, 2].mean())
    reranker.combination_ = None
    means[0, 2] = 1
    assert_allclose(reranker.fuse(label_scores, meta_scores), label_scores * means, rtol=1e-6)


def test_scores_at_the_ends_are_finite_evidence(data):
    reranker = learned().fit(*data)
    label_scores = np.float32([[0, 1, 0, 1, 0.5]])
    for meta_scores in (np.zeros((1, 4)), np.ones((1, 4))):
        scores = reranker.fuse(label_scores, meta_scores.astype(np.float32))
        assert np.isfinite(scores).all()
        assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.parametrize("retriever", [None, "frozen"])
def test_rows_that_the_retriever_has_read_are_refused(data, retriever):
    class Untouched(KNeighborsClassifier):
        def fit(self, X, y):
            raise AssertionError("trained before the parameters were checked")

    X, Y = data
    if retriever == "frozen":
        retriever = FrozenEstimator(clone(LINEAR).fit(X, Y))
    else:
        X = np.hstack([np.full(Y.shape, 0.5), X])
    with pytest.raises(ValueError, match="needs label scores of rows that the retriever was not"):
        learned(retriever, Untouched()).fit(X, Y)


def test_too_few_rows_to_learn_on():
    X, Y = make_rows(6)
    Y = np.eye(6, dtype=int)[:, :5]
    reranker = learned(KNeighborsClassifier(1), KNeighborsClassifier(1), validation_fraction=0.1)
    with pytest.warns(UserWarning, match="No labelled row could be held out of 6"):
        reranker.fit(X, Y)
    assert reranker.combination_ is None
    product = clone(reranker).set_params(combine="product").fit(X, Y)
    assert_array_equal(reranker.predict_proba(X), product.predict_proba(X))
    assert reranker.threshold_ == product.threshold_


def test_order_of_rows_does_not_matter(monkeypatch):
    X, Y = make_rows()
    rows = np.random.default_rng(0).permutation(len(X))
    train, held_out = train_holdout_split(Y, 0.3, random_state=0)
    place = np.argsort(rows)
    expected = learned().fit(X, Y)
    monkeypatch.setattr(
        module, "train_holdout_split", lambda *args, **kwargs: (place[train], place[held_out])
    )
    found = learned().fit(X[rows], Y[rows])
    assert found.combination_.weights == pytest.approx(expected.combination_.weights, rel=1e-3)
    assert_allclose(found.predict_proba(X), expected.predict_proba(X), rtol=1e-2)


def test_seed_chooses_the_held_out_rows():
    X, Y = make_rows()
    first = learned().fit(X, Y)
    assert learned().fit(X, Y).combination_ == first.combination_
    assert learned(random_state=1).fit(X, Y).combination_ != first.combination_
    assert learned(validation_fraction=0.4).fit(X, Y).combination_ != first.combination_


def test_fitted_twice_forgets_what_it_learned():
    X, Y = make_rows()
    reranker = learned().fit(X, Y)
    reranker.set_params(combine="product").fit(X, Y)
    assert reranker.combination_ is None
    expected = clone(reranker).fit(X, Y).predict_proba(X)
    assert_array_equal(reranker.predict_proba(X), expected)


def test_learn_needs_to_be_asked_for(data):
    X, Y = data
    reranker = MetaLabelReranker(LINEAR, retriever=LINEAR, label_to_meta=MAP).fit(X, Y)
    scores = reranker.retriever_.predict_proba(X)
    Y = sp.csr_matrix(Y)
    assert reranker.learn(Y, scores, X, Y_train=Y) is None
    reranker.set_params(combine="learned")
    combination = reranker.learn(Y, scores, X, Y_train=Y)
    assert combination is reranker.combination_
    assert set(combination.weights) == {"retrieval", "rare_retrieval", "meta_labels"}


def test_retrieval_of_rare_labels_counts_from_the_ten_best_labels(data):
    X, Y = data
    rng = np.random.default_rng(0)
    counts, log_odds = np.array([0, 2, 10] + [200] * 9), rng.normal(size=(4, 12))
    scores = 1 / (1 + np.exp(-log_odds))
    reranker = MetaLabelReranker(LINEAR, retriever=LINEAR, label_to_meta=MAP).fit(X, Y)
    reranker.label_counts_ = counts
    reranker.combination_ = Combination({"retrieval": 1.0, "rare_retrieval": 1.0})
    found = reranker._evidence(scores, None, None)["rare_retrieval"]
    for row, values in zip(log_odds, found, strict=True):
        mean = np.mean(sorted(row)[2:])
        expected = [(z - mean) * np.exp(-n / 10) for z, n in zip(row, counts, strict=True)]
        assert_allclose(values, expected, rtol=1e-4, atol=1e-6)


def test_scores_of_half_precision_are_evidence_as_well(data):
    X, Y = data
    reranker = MetaLabelReranker(LINEAR, retriever=LINEAR, label_to_meta=MAP).fit(X, Y)
    reranker.combination_ = Combination({"retrieval": 1.0, "rare_retrieval": 1.0})
    scores = np.float16([[0, 1, 0.5, 0.25, 0]])
    found, expected = (reranker.fuse(s, None) for s in (scores, np.float32(scores)))
    assert np.isfinite(found).all()
    assert_array_equal(found, expected)


def test_rare_labels_that_retrieval_knows_best_keep_their_place():
    """Other evidence lifts labels with texts; without a text there is none, nor any that counts."""
    rng = np.random.default_rng(0)
    Y = np.eye(8)[rng.integers(8, size=600)]
    is_rare = np.arange(8) < 4
    sure, vague = 4 * Y + rng.normal(size=Y.shape), Y + rng.normal(size=Y.shape)
    log_odds = np.where(is_rare, sure, vague) - 2
    helps = np.where(is_rare, 0, 3 * Y + rng.normal(size=Y.shape))
    evidence = {"retrieval": log_odds, "rare_retrieval": (log_odds + 1) * is_rare, "votes": helps}
    combination = fit_combination(sp.csr_matrix(Y), evidence)
    without = {name: z for name, z in evidence.items() if name != "rare_retrieval"}
    assert combination.weights["rare_retrieval"] > 0.3 * combination.weights["retrieval"]
    before = fit_combination(sp.csr_matrix(Y), without).apply(without)
    after = combination.apply(evidence)
    assert precision_at_k(Y, after, 1) > precision_at_k(Y, before, 1) + 0.01


@pytest.mark.parametrize("shared", [True, False])
def test_clone_and_pickle(shared):
    X, Y = make_rows(100)
    classifier = None if shared else LINEAR
    reranker = learned(make_head(), classifier, labels=LABELS, label_to_meta=None).fit(X, Y)
    assert clone(reranker).get_params()["combine"] == "learned"
    assert not hasattr(clone(reranker), "combination_")
    back = pickle.loads(pickle.dumps(reranker))
    assert back.combination_ == reranker.combination_
    assert back.tower_ is back.retriever_
    assert_array_equal(back.predict_proba(X), reranker.predict_proba(X))


@pytest.mark.parametrize("kind", [list, np.asarray])
def test_texts_and_an_encoder(labelled_texts, questions, tiny_encoder, kind):
    texts, Y = labelled_texts
    frozen = FrozenEstimator(tiny_encoder)
    reranker = MetaLabelReranker(
        retriever=ClassCenterHead(frozen, labels=questions.labels, n_epochs=1, random_state=0),
        encoder=frozen,
        labels=questions.labels,
        combine="learned",
        validation_fraction=0.3,
        random_state=0,
    ).fit(kind(texts), Y)
    assert reranker.classifier_ is None
    assert list(reranker.combination_.weights) == ALL_EVIDENCE
    assert reranker.predict_proba(texts).shape == Y.shape


def test_search_over_the_ways_to_combine():
    X, Y = make_rows(120)
    search = GridSearchCV(
        learned(),
        {"combine": ["product", "learned"], "alpha": [0, 1], "mean": ["arithmetic", "geometric"]},
        cv=MultilabelStratifiedKFold(2),
        scoring=ndcg_at_5_scorer,
        error_score="raise",
    ).fit(X, Y)
    values = search.cv_results_["mean_test_score"]
    assert len(values) == 8
    assert len(set(values)) >= 3  # alpha does not matter to what is learned


def test_meta_labels_are_read_with_the_retrievers_encoder(labelled_texts, questions, tiny_encoder):
    """Without `encoder`, the classifier of meta-labels was given texts as if they were numbers."""
    X, Y = labelled_texts
    retriever = ClassCenterHead(FrozenEstimator(tiny_encoder), n_epochs=1, random_state=0)
    reranker = MetaLabelReranker(retriever=retriever, labels=questions.labels, random_state=0)
    scores = reranker.fit(X, Y).predict_proba(X)
    assert scores.shape == Y.shape
    assert reranker.classifier_.encoder_ is not None
    retrieval = reranker.retriever_.predict_proba(X)
    expected = rerank_scores(retrieval, reranker.meta_scores(X), questions.labels.label_to_meta)
    assert_allclose(scores, expected, rtol=1e-5)
