"""MetaLabelReranker and rerank_scores: Eq. 15 by hand, over classifiers from anywhere."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrr2qc import ClassCenterHead, LabelSpace, MetaLabelReranker
from skrr2qc.classifiers import rerank_scores

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


def slow_rerank(scores, meta_scores, meta_of, alpha=1.0):
    """Eq. 15 as it is printed: one text, one label, one meta-label at a time."""
    reranked = np.array(scores, dtype=np.float64)
    for i, j in np.ndindex(reranked.shape):
        if len(meta_of[j]):
            mean = sum(float(meta_scores[i][m]) for m in meta_of[j]) / len(meta_of[j])
            reranked[i, j] *= mean**alpha
    return reranked


def slow_probabilities(classifier, X):
    """Scores (n, L) of any multi-label classifier of scikit-learn."""
    scores = classifier.predict_proba(X)
    if not isinstance(scores, list):
        return scores
    known = zip(scores, classifier.classes_, strict=True)
    return np.column_stack([s @ (np.asarray(classes) == 1) for s, classes in known])


# --- Eq. 15 ---------------------------------------------------------------------------------


def test_golden_four_labels(golden):
    inputs, expected = golden("meta_label_rerank", "four_labels")
    label_to_meta = np.zeros((4, 5))
    for label, meta in enumerate(inputs["label_to_meta"]):
        label_to_meta[label, meta] = 1
    scores = rerank_scores(
        np.array([inputs["label_scores"]]), np.array([inputs["meta_scores"]]), label_to_meta
    )
    assert_allclose(scores[0], expected["scores"], rtol=1e-12)
    assert_array_equal(np.argsort(-scores[0], kind="stable"), expected["ranking"])


def test_golden_unknown_meta_label_counts_as_zero_and_empty_label_keeps_its_score(golden):
    inputs, expected = golden("meta_label_rerank", "unknown_meta_and_empty")
    unknown = len(inputs["meta_scores"])  # a column of its own, which always scores 0
    label_to_meta = np.zeros((3, unknown + 1))
    for label, meta in enumerate(inputs["label_to_meta"]):
        label_to_meta[label, [unknown if m is None else m for m in meta]] = 1
    meta_scores = np.array([[*inputs["meta_scores"], 0.0]])
    scores = rerank_scores(np.array([inputs["label_scores"]]), meta_scores, label_to_meta)
    assert_allclose(scores[0], expected["scores"], rtol=1e-12)
    assert_array_equal(np.argsort(-scores[0], kind="stable"), expected["ranking"])


@st.composite
def rerank_inputs(draw):
    n, n_labels, n_meta = (draw(st.integers(1, 4)) for _ in range(3))
    unit = st.floats(0, 1, width=32).map(lambda v: round(v, 3))
    return (
        draw(arrays(np.float64, (n, n_labels), elements=unit)),
        draw(arrays(np.float64, (n, n_meta), elements=unit)),
        draw(arrays(np.float64, (n_labels, n_meta), elements=st.sampled_from([0.0, 1.0]))),
    )


@settings(max_examples=60, deadline=None)
@given(rerank_inputs(), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_equals_slow_loop(inputs, alpha):
    scores, meta_scores, label_to_meta = inputs
    meta_of = [np.flatnonzero(row) for row in label_to_meta]
    expected = slow_rerank(scores, meta_scores, meta_of, alpha)
    for form in (np.asarray, sp.csr_matrix, sp.csc_matrix, sp.csr_array, sp.coo_matrix):
        reranked = rerank_scores(scores, meta_scores, form(label_to_meta), alpha=alpha)
        assert_allclose(reranked, expected, rtol=1e-12, atol=1e-300)


@settings(max_examples=60, deadline=None)
@given(rerank_inputs(), st.floats(0.01, 1))
def test_constant_meta_scores_keep_the_order(inputs, constant):
    scores, meta_scores, label_to_meta = inputs
    label_to_meta[:, 0] = 1  # every label has a meta-label: all are scaled alike
    reranked = rerank_scores(scores, np.full_like(meta_scores, constant), label_to_meta)
    assert_allclose(reranked, scores * constant, rtol=1e-12)
    for before, after in zip(scores, reranked, strict=True):
        assert (np.diff(after[np.argsort(-before, kind="stable")]) <= 1e-15).all()


@settings(max_examples=60, deadline=None)
@given(rerank_inputs(), st.data())
def test_monotone_in_each_meta_score(inputs, data):
    scores, meta_scores, label_to_meta = inputs
    m = data.draw(st.integers(0, meta_scores.shape[1] - 1))
    higher = meta_scores.copy()
    higher[:, m] = np.minimum(1.0, higher[:, m] + data.draw(st.floats(0.01, 1)))
    before = rerank_scores(scores, meta_scores, label_to_meta)
    after = rerank_scores(scores, higher, label_to_meta)
    assert (after >= before).all()
    has_meta = label_to_meta[:, m] > 0
    assert_array_equal(after[:, ~has_meta], before[:, ~has_meta])


@settings(max_examples=60, deadline=None)
@given(rerank_inputs(), st.floats(0.01, 1))
def test_multiplicative_in_the_label_scores(inputs, factor):
    scores, meta_scores, label_to_meta = inputs
    assert_allclose(
        rerank_scores(factor * scores, meta_scores, label_to_meta),
        factor * rerank_scores(scores, meta_scores, label_to_meta),
        rtol=1e-12,
    )


def test_labels_with_equal_maps_keep_their_retrieval_order():
    rng = np.random.default_rng(0)
    scores, meta_scores = rng.random((50, 6)), rng.random((50, 3))
    reranked = rerank_scores(scores, meta_scores, np.tile([1, 0, 1], (6, 1)))
    assert_array_equal(np.argsort(-reranked, axis=1), np.argsort(-scores, axis=1))


def test_inputs_are_left_alone():
    rng = np.random.default_rng(0)
    given_arrays = rng.random((4, 5)), rng.random((4, 4)), sp.csr_matrix(MAP)
    copies = [a.copy() for a in given_arrays]
    rerank_scores(*given_arrays, alpha=2.0)
    assert_array_equal(given_arrays[0], copies[0])
    assert_array_equal(given_arrays[1], copies[1])
    assert_array_equal(given_arrays[2].toarray(), copies[2].toarray())


def test_hard_label_decisions_are_scores_too():
    """Integer label scores made the result an integer matrix: everything was cut down to 0."""
    scores = rerank_scores(np.array([[1, 0]]), np.array([[0.5]]), np.array([[1], [1]]))
    assert_array_equal(scores, [[0.5, 0.0]])


def test_stored_zeros_of_a_map_are_no_meta_labels():
    """A stored 0 counted in the divisor, though the label does not have the meta-label."""
    stored = sp.csr_matrix((np.array([1.0, 0.0]), np.array([0, 1]), np.array([0, 2])))
    assert stored.nnz == 2
    assert_allclose(rerank_scores(np.array([[0.5]]), np.array([[0.4, 0.4]]), stored), [[0.2]])


@pytest.mark.parametrize(
    "label_shape, meta_shape, map_shape",
    [((3, 2), (3, 4), (5, 4)), ((3, 2), (3, 4), (2, 3)), ((3, 2), (2, 4), (2, 4))],
)
def test_shapes_that_do_not_agree(label_shape, meta_shape, map_shape):
    with pytest.raises(ValueError, match=r"label_to_meta"):
        rerank_scores(np.ones(label_shape), np.ones(meta_shape), np.ones(map_shape))


def test_memory_stays_at_one_score_matrix(monkeypatch):
    """2,000 texts x 1,000 labels x 500 meta-labels: float32 throughout, the map stays sparse."""
    rng = np.random.default_rng(0)
    scores = rng.random((2000, 1000), dtype=np.float32)
    meta_scores = rng.random((2000, 500), dtype=np.float32)
    label_to_meta = sp.random(1000, 500, density=0.006, format="csr", random_state=0)
    label_to_meta.data[:] = 1  # float64, as sp.random gives it
    for name in ("toarray", "todense"):
        monkeypatch.setattr(sp.csr_matrix, name, None)
        monkeypatch.setattr(sp.csc_matrix, name, None)
    tracemalloc.start()
    try:
        reranked = rerank_scores(scores, meta_scores, label_to_meta)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reranked.dtype == np.float32
    assert peak < 2 * scores.nbytes  # less than one such matrix in float64


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
