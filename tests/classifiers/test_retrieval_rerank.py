"""RetrievalRerankClassifier: how the parts are composed; the common contract is elsewhere."""

import pickle
import warnings
from dataclasses import replace

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC
from sklearn.utils.fixes import parse_version

import skrr2qc.classifiers._reranker as reranking
import skrr2qc.classifiers._retrieval_rerank as composite
from skrr2qc import (
    ClassCenterHead,
    LabelSpace,
    MetaLabelReranker,
    RCPTEncoder,
    RetrievalRerankClassifier,
    TfidfLinearClassifier,
)
from skrr2qc._thresholds import choose_decision
from skrr2qc._training import sigmoid
from skrr2qc.classifiers._blend import unseen_log_odds
from skrr2qc.classifiers._combination import Combination, fit_combination
from skrr2qc.classifiers._cooccurrence import LabelCooccurrence
from skrr2qc.classifiers._neighbors import LabelNeighbors
from skrr2qc.meta_labels import NameDecomposer
from skrr2qc.metrics import jain_propensities
from skrr2qc.metrics.scorers import ndcg_at_5_scorer, precision_at_1_scorer
from skrr2qc.model_selection import MultilabelStratifiedKFold, train_holdout_split
from skrr2qc.persistence import load_model


def make_encoder(**params):
    """Without pre-training, unless asked for."""
    return RCPTEncoder(**{"hidden_size": 16, "vocab_size": 300, "n_epochs": 0, **params})


def make_classifier(**params):
    """Small and quick; a quarter of the 80 rows is held out."""
    parts = {
        "encoder": make_encoder(),
        "head": ClassCenterHead(n_epochs=1),
        "validation_fraction": 0.25,
        "random_state": 0,
    }
    return RetrievalRerankClassifier(**{**parts, **params})


@pytest.fixture(scope="module")
def fitted(questions):
    """With meta-labels and pre-training, fitted once: leave it as it is."""
    encoder = make_encoder(n_epochs=1, label_epochs=1)
    classifier = make_classifier(encoder=encoder, labels=questions.labels, reranker=make_reranker())
    return classifier.fit(list(questions.texts), questions.Y)


def make_reranker(classifier=None, **params):
    return MetaLabelReranker(
        ClassCenterHead(n_epochs=1) if classifier is None else classifier, **params
    )


@pytest.fixture
def fits(monkeypatch):
    """Names of the estimators that were fitted, in order, with the number of their rows."""
    done = []
    for kind in (RCPTEncoder, ClassCenterHead, MetaLabelReranker, TfidfLinearClassifier):

        def counted(self, X, *args, _fit=kind.fit, **kwargs):
            done.append((type(self).__name__, X.shape[0] if hasattr(X, "shape") else len(X)))
            return _fit(self, X, *args, **kwargs)

        monkeypatch.setattr(kind, "fit", counted)
    return done


def force_weights(monkeypatch, weights):
    choose = composite.choose_blend
    monkeypatch.setattr(
        composite, "choose_blend", lambda *args: choose(*args) | {"weights": weights}
    )


def force_combination(monkeypatch, weights):
    combination = Combination(weights, intercept=-0.2)
    monkeypatch.setattr(reranking, "fit_combination", lambda *args: combination)


HALF = {"head": 0.5, "lexical": 0.5}
ALL = {"retrieval": 0.8, "rare_retrieval": 0.4, "meta_labels": 0.6, "neighbors": 3.0}
ALL |= {"rare_neighbors": 2.0, "votes": 0.3, "co_occurrence": 0.2}
WITHOUT_META = {name: weight for name, weight in ALL.items() if name != "meta_labels"}
THREE = {"head": 0.5, "lexical": 0.3, "label_texts": 0.2}


# --- parameters and searches ------------------------------------------------------------------


def test_nested_parameters_reach_the_parts(questions):
    classifier = make_classifier(reranker=make_reranker(), labels=questions.labels).set_params(
        encoder__hidden_size=24,
        head__class_center_weight=0.7,
        reranker__alpha=2.0,
        reranker__classifier__batch_size=7,
    )
    classifier.fit(list(questions.texts), questions.Y)
    assert classifier.encoder_.transform(["x"]).shape == (1, 24)
    assert classifier.head_.class_center_weight == 0.7
    assert classifier.reranker_.alpha == 2.0
    assert classifier.reranker_.classifier_.batch_size == 7


def test_parameters_of_default_parts(labelled_texts, questions):
    """None stands for a part, and a search over its parameters need not spell it out."""
    given = {"encoder__hidden_size": 16, "encoder__vocab_size": 300, "head__n_epochs": 1}
    classifier = RetrievalRerankClassifier(validation_fraction=0.25, random_state=0)
    found = classifier.set_params(**given).fit(*labelled_texts)
    assert found.encoder.n_epochs == 0
    expected = make_classifier().fit(*labelled_texts)
    assert_array_equal(
        found.predict_proba(questions.texts), expected.predict_proba(questions.texts)
    )
    assert clone(classifier).set_params(reranker__alpha=0.5).reranker.combine == "learned"
    whole = RetrievalRerankClassifier().set_params(head=ClassCenterHead(lr=1.0), head__n_epochs=2)
    assert (whole.head.lr, whole.head.n_epochs) == (1.0, 2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lexical__C", "`lexical` is 'tfidf' and has no parameters: pass an estimator"),
        ("reranker__alpha", "`reranker` is 'passthrough'"),
        ("meta_labels__language", "`meta_labels` is 'auto'"),
        ("head__depth", "'depth'"),
        ("tail__C", "'tail'"),
    ],
)
def test_parameters_that_are_not_there(name, message):
    with pytest.raises(ValueError, match=message):
        RetrievalRerankClassifier(reranker="passthrough").set_params(**{name: 1})


@pytest.mark.filterwarnings("ignore:.* labels have no training text")
def test_grid_search(questions):
    search = GridSearchCV(
        make_classifier(
            reranker=make_reranker(),
            labels=questions.labels,
            lexical=None,
            validation_fraction=0.5,
            refit=False,
        ),
        {"encoder__n_epochs": [0, 1], "reranker__alpha": [0.0, 3.0]},
        cv=MultilabelStratifiedKFold(2),
        scoring={"ndcg": ndcg_at_5_scorer, "first": precision_at_1_scorer},
        refit="ndcg",
        error_score="raise",
    )
    X, Y = list(questions.texts), questions.Y.toarray()
    search.fit(X, Y)
    assert search.cv_results_["mean_test_ndcg"].shape == (4,)
    assert len(set(search.cv_results_["mean_test_ndcg"])) > 1
    assert search.predict(X[:3]).shape == (3, Y.shape[1])
    best = search.best_estimator_
    assert best.reranker_.alpha == search.best_params_["reranker__alpha"]


@pytest.mark.filterwarnings("ignore:.* labels have no training text")
def test_cross_validation(questions):
    values = cross_val_score(
        make_classifier(lexical=None, validation_fraction=0.5),
        list(questions.texts),
        questions.Y.toarray(),
        cv=MultilabelStratifiedKFold(2),
        scoring=ndcg_at_5_scorer,
        error_score="raise",
    )
    assert values.shape == (2,)
    assert (values > 0).all()


def test_parts_follow_the_parent_unless_they_say_otherwise(questions, fits):
    head = ClassCenterHead(n_epochs=1, random_state=7, device="cpu")
    classifier = make_classifier(head=head, device="cpu", lexical=None).fit(
        list(questions.texts), questions.Y
    )
    assert classifier.head_.random_state == 7
    assert classifier.encoder_.device == "cpu"
    assert isinstance(classifier.encoder_.random_state, int)
    assert classifier.encoder_.random_state != 0
    assert head.encoder is None
    assert not hasattr(head, "module_")


def test_random_state(labelled_texts, questions):
    X, Y = labelled_texts

    def scores(**params):
        return make_classifier(lexical=None, **params).fit(X, Y).predict_proba(X)

    first = scores(random_state=3)
    assert_array_equal(scores(random_state=3), first)
    assert not np.array_equal(scores(random_state=4), first)
    state = np.random.RandomState(3)
    assert_array_equal(
        scores(random_state=state, refit=False),
        scores(random_state=np.random.RandomState(3), refit=False),
    )


def test_one_part_does_not_move_the_numbers_of_another(labelled_texts, questions):
    X, Y = labelled_texts
    for labels in (None, questions.labels):
        alone = make_classifier(lexical=None, reranker="passthrough", labels=labels).fit(X, Y)
        others = [make_classifier(labels=labels, reranker="passthrough")]
        if labels is not None:
            others += [make_classifier(lexical=None, reranker=make_reranker(), labels=labels)]
        for other in others:
            other.fit(X, Y)
            assert_array_equal(other.encoder_.transform(X), alone.encoder_.transform(X))
            assert_array_equal(other.head_.predict_proba(X), alone.head_.predict_proba(X))


def test_every_part_has_a_seed_of_its_own(fitted, labelled_texts, monkeypatch):
    force_weights(monkeypatch, HALF)
    classifier = clone(fitted).fit(*labelled_texts)
    parts = [classifier.encoder_, classifier.head_, classifier.lexical_, classifier.reranker_]
    seeds = [part.random_state for part in [*parts, classifier.reranker_.classifier_]]
    assert all(isinstance(seed, int) for seed in seeds)
    assert len(set(seeds)) == 5


# --- targets ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted_on_indicators(questions):
    classifier = make_classifier(labels=questions.labels, reranker="passthrough", lexical=None)
    return classifier.fit(list(questions.texts), questions.Y)


@pytest.mark.parametrize("form", [set, list, tuple, frozenset])
def test_label_names_as_targets(questions, fitted_on_indicators, form):
    X, Y, expected = list(questions.texts), questions.Y, fitted_on_indicators
    names = [form(row) for row in questions.labels.decode(Y)]
    classifier = clone(expected).fit(X, names)
    assert_array_equal(classifier.predict_proba(X), expected.predict_proba(X))
    assert classifier.labels_ is questions.labels
    without = make_classifier(lexical=None).fit(X, names)
    assert without.labels is None
    found = LabelSpace.from_targets(names)
    assert without.labels_ == NameDecomposer().decompose(found)
    assert clone(without).set_params(meta_labels=None).fit(X, names).labels_ == found
    assert without.labels_.names == tuple(sorted(questions.labels.names))
    assert without.predict_topk(X[:2], k=3)[0].shape == (2, 3)


@pytest.mark.parametrize("form", ["series", "array", "iterator"])
def test_label_sets_come_in_what_holds_them(questions, form):
    X, names = list(questions.texts), questions.labels.decode(questions.Y)
    as_array = np.empty(len(names), dtype=object)
    as_array[:] = [set(row) for row in names]
    expected = make_classifier(lexical=None).fit(X, names)
    if form == "series":
        given = pytest.importorskip("pandas").Series(list(as_array))
    else:
        given = as_array if form == "array" else (set(row) for row in names)
    found = make_classifier(lexical=None).fit(X, given)
    assert found.labels_ == expected.labels_
    assert_array_equal(found.predict_proba(X), expected.predict_proba(X))


@pytest.mark.parametrize(
    "names", [[set()] * 80, [{1}] * 80, [{""}] * 80, [["a", None]] * 80], ids=str
)
def test_bad_label_sets_are_named_as_they_came(labelled_texts, fits, names):
    with pytest.raises((TypeError, ValueError), match=r"`Y`") as caught:
        make_classifier().fit(labelled_texts[0], names)
    assert "label_sets" not in str(caught.value)
    assert fits == []


def test_unknown_label_name_stops_before_training(labelled_texts, fits):
    X, _ = labelled_texts
    names = [{"circle"}] * (len(X) - 1) + [{"cirlce"}]
    with pytest.raises(ValueError, match=r"cirlce.*did you mean 'circle'"):
        make_classifier(labels=LabelSpace(["circle", "square"])).fit(X, names)
    assert fits == []


def test_unseen_labels_and_unlabelled_rows_are_told_once(labelled_texts):
    X, Y = labelled_texts
    Y = sp.hstack([Y, sp.csr_matrix((Y.shape[0], 3))]).tolil()
    Y[[0, 1]] = 0
    with pytest.warns(UserWarning, match=r"2 of 80 texts.*3 of 15 labels") as caught:
        classifier = make_classifier().fit(X, Y.tocsr())
    assert len(caught) == 1
    scores = classifier.predict_proba(X)
    assert np.isfinite(scores).all()
    assert scores[:, -3:].mean() < scores[:, :-3].mean()


def test_no_positive_at_all(labelled_texts, fits):
    X, Y = labelled_texts
    with pytest.raises(ValueError, match=r"no positive entry \(shape \(80, 12\)\)"):
        make_classifier().fit(X, sp.csr_matrix(Y.shape))
    assert fits == []


@pytest.mark.filterwarnings("ignore:.* texts have no label")
@pytest.mark.parametrize("where", ["some", "all"])
def test_one_label_only(labelled_texts, where):
    X, Y = labelled_texts
    Y = Y[:, [3]] if where == "some" else sp.csr_matrix(np.ones((len(X), 1)))
    classifier = make_classifier().fit(X, Y)
    scores = classifier.predict_proba(X)
    assert scores.shape == (80, 1)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert classifier.predict_topk(X, k=1)[0].tolist() == [[0]] * 80
    assert_array_equal(classifier.pipeline_.predict_proba(X), scores)
    if where == "all":
        assert classifier.predict(X).all()


# --- what the encoder is shown ----------------------------------------------------------------


class Spy(TransformerMixin, BaseEstimator):
    """Encoder that keeps what it is fitted on; its vectors are lengths and counts of letters."""

    def __init__(self, labels=None):
        self.labels = labels

    def fit(self, X, y=None, unlabeled=None):
        self.seen_ = list(X), sp.csr_matrix(y, copy=True), unlabeled
        return self

    def transform(self, X):
        return np.array([[len(text), *map(text.count, "aeiou")] for text in X], dtype=np.float32)


def spied(X, Y, unlabeled=None, **params):
    classifier = make_classifier(encoder=Spy(), head=FOREIGN, lexical=None, **params)
    return classifier.fit(X, Y, unlabeled).encoder_.seen_


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("fraction", [0.25, 0.5])
def test_encoder_reads_all_texts_and_no_held_out_label(labelled_texts, fraction, refit):
    """Vectors that knew the labels of held-out rows made thresholds and weights too bold."""
    X, Y = labelled_texts
    seen_X, seen_Y, unlabeled = spied(X, Y, validation_fraction=fraction, refit=refit)
    train, held_out = train_holdout_split(Y, fraction, random_state=0)
    assert len(held_out) >= 20
    assert seen_X == X
    assert seen_Y.shape == Y.shape
    assert_array_equal(seen_Y[train].toarray(), Y[train].toarray())
    assert seen_Y[held_out].nnz == 0
    assert unlabeled is None


def test_targets_of_the_caller_stay_as_they_are(labelled_texts):
    X, Y = labelled_texts
    before = Y.copy()
    spied(X, Y)
    assert_array_equal(Y.toarray(), before.toarray())
    assert Y.nnz == before.nnz


def test_encoder_sees_all_labels_where_no_row_is_held_out(labelled_texts):
    X, Y = labelled_texts[0][:30], labelled_texts[1][:30]
    Y = Y[:, Y.getnnz(axis=0) > 0]
    with pytest.warns(UserWarning, match="rows could be held out"):
        _, seen_Y, _ = spied(X, Y, validation_fraction=0.1)
    assert_array_equal(seen_Y.toarray(), Y.toarray())


def test_unlabeled_texts_reach_the_encoder_alone(labelled_texts, questions):
    X, Y = labelled_texts
    more = ["a text without labels", "another"]
    assert spied(X, Y, more)[2] == more
    encoder = make_encoder(n_epochs=1)
    classifier = make_classifier(encoder=encoder, lexical=None).fit(X, Y, unlabeled=more)
    plain = clone(classifier).fit(X, Y)
    assert len(classifier.train_texts_) == 80
    assert "labels" in "".join(classifier.encoder_.tokenizer_.tokens("labels"))
    assert not np.array_equal(classifier.encoder_.transform(X), plain.encoder_.transform(X))


@pytest.mark.parametrize("encoder", [TfidfVectorizer(), "frozen"])
def test_encoder_that_takes_no_unlabeled_texts(labelled_texts, tiny_encoder, encoder, fits):
    encoder = FrozenEstimator(tiny_encoder) if encoder == "frozen" else encoder
    with pytest.raises(TypeError, match="takes no `unlabeled` texts"):
        make_classifier(encoder=encoder).fit(*labelled_texts, unlabeled=["a text"])
    assert fits == []


@pytest.mark.parametrize("unlabeled", ["one text", [3], 3])
def test_bad_unlabeled_texts(labelled_texts, unlabeled, monkeypatch):
    monkeypatch.setattr("skrr2qc.encoders._rcpt.train_tokenizer", None)
    with pytest.raises(TypeError, match="`?unlabeled"):
        make_classifier().fit(*labelled_texts, unlabeled=unlabeled)


# --- the fitted pipeline ----------------------------------------------------------------------

FOREIGN = OneVsRestClassifier(LogisticRegression())
FOREST = RandomForestClassifier(5)
NEIGHBOURS = KNeighborsClassifier(3)
CASES = {
    "default": {},
    "meta-labels": {"labels": True},
    "meta-labels, own classifier": {"labels": True, "reranker": make_reranker()},
    "no reranking": {"labels": True, "reranker": "passthrough"},
    "alpha 0": {"labels": True, "reranker": make_reranker(alpha=0)},
    "alpha 2": {"labels": True, "reranker": make_reranker(alpha=2)},
    "semantic only": {"lexical": None},
    "half lexical": {"labels": True, "weights": HALF},
    "lexical only": {"labels": True, "weights": {"lexical": 1.0}},
    "all channels": {"labels": True, "weights": THREE},
    "label texts only": {"labels": True, "weights": {"label_texts": 1.0}},
    "label texts, no lexical channel": {
        "labels": True,
        "lexical": None,
        "weights": {"head": 0.5, "label_texts": 0.5},
    },
    "label texts not read": {"labels": True, "label_texts": False, "weights": HALF},
    "all channels, foreign head on a vectorizer": {
        "labels": True,
        "encoder": TfidfVectorizer(),
        "head": FOREIGN,
        "weights": THREE,
    },
    "all channels, forests": {
        "labels": True,
        "head": FOREST,
        "reranker": make_reranker(FOREST),
        "weights": THREE,
    },
    "vectorizer": {"encoder": TfidfVectorizer(), "labels": True},
    "vectorizer, half lexical": {"encoder": TfidfVectorizer(), "weights": HALF},
    "foreign head": {"head": FOREIGN, "labels": True},
    "foreign head, half lexical": {"head": FOREIGN, "weights": HALF},
    "foreign head on a vectorizer": {
        "encoder": TfidfVectorizer(),
        "head": FOREIGN,
        "weights": HALF,
    },
    "forest": {"head": FOREST, "weights": HALF},
    "neighbours": {"head": NEIGHBOURS, "weights": {"head": 1.0}},
    "one model a label": {"head": MultiOutputClassifier(LogisticRegression()), "weights": HALF},
    "no probabilities": {
        "head": OneVsRestClassifier(LinearSVC()),
        "weights": {"head": 0.7, "lexical": 0.3},
    },
    "pipeline as head": {
        "head": make_pipeline(FunctionTransformer(np.sqrt, validate=True), FOREIGN),
        "encoder": TfidfVectorizer(norm="l1"),
        "weights": {"head": 1.0},
    },
    "foreign lexical channel": {
        "lexical": make_pipeline(TfidfVectorizer(), NEIGHBOURS),
        "weights": HALF,
    },
    "foreign meta-labels": {"labels": True, "reranker": make_reranker(FOREIGN)},
    "forest of meta-labels": {"labels": True, "reranker": make_reranker(FOREST), "weights": HALF},
    "neighbours of sparse meta-labels": {
        "encoder": TfidfVectorizer(),
        "labels": True,
        "reranker": make_reranker(NEIGHBOURS),
        "weights": HALF,
    },
    "shared tower": {"labels": True, "reranker": MetaLabelReranker()},
    "shared tower, half lexical": {
        "labels": True,
        "reranker": MetaLabelReranker(alpha=2, mean="geometric", top_r=3),
        "weights": HALF,
    },
    "shared tower, head without weight": {
        "labels": True,
        "reranker": MetaLabelReranker(),
        "weights": {"lexical": 1.0},
    },
    "shared tower on a vectorizer": {
        "encoder": TfidfVectorizer(),
        "labels": True,
        "reranker": MetaLabelReranker(),
        "weights": HALF,
    },
    "shared tower, but for a foreign head": {
        "head": FOREIGN,
        "labels": True,
        "reranker": MetaLabelReranker(ClassCenterHead(n_epochs=1)),
    },
    "learned": {"labels": True, "reranker": None, "learned": ALL, "weights": THREE},
    "learned, as it comes": {"labels": True, "reranker": None},
    "learned, head without weight": {
        "labels": True,
        "reranker": None,
        "learned": ALL,
        "weights": {"lexical": 1.0},
    },
    "learned, own classifier": {
        "labels": True,
        "reranker": make_reranker(combine="learned"),
        "learned": ALL,
        "weights": HALF,
    },
    "learned, own classifier, head without weight": {
        "labels": True,
        "reranker": make_reranker(combine="learned"),
        "learned": ALL,
        "weights": {"lexical": 0.5, "label_texts": 0.5},
    },
    "learned, foreign classifier": {
        "labels": True,
        "reranker": make_reranker(FOREIGN, combine="learned"),
        "learned": ALL,
        "weights": HALF,
    },
    "learned, without meta-labels": {"learned": WITHOUT_META},
    "learned, meta-labels without weight": {
        "labels": True,
        "reranker": None,
        "learned": {"retrieval": 1.0, "meta_labels": 0.0, "neighbors": 3.0},
    },
    "learned, votes without nearness": {
        "labels": True,
        "reranker": None,
        "learned": {"retrieval": 1.0, "meta_labels": 0.0, "neighbors": 0.0, "votes": 0.4},
    },
    "learned, retrieval alone": {
        "labels": True,
        "reranker": None,
        "learned": {"retrieval": 1.0, "meta_labels": 0.0, "neighbors": 0.0},
    },
    "learned on a vectorizer": {
        "encoder": TfidfVectorizer(),
        "labels": True,
        "reranker": None,
        "learned": ALL,
        "weights": THREE,
    },
    "learned, foreign head": {
        "head": FOREIGN,
        "labels": True,
        "reranker": make_reranker(combine="learned"),
        "learned": {"retrieval": 0.8, "meta_labels": 0.6},
        "weights": HALF,
    },
    "learned, foreign head on a vectorizer": {
        "encoder": TfidfVectorizer(),
        "head": FOREIGN,
        "labels": True,
        "reranker": make_reranker(FOREIGN, combine="learned"),
        "learned": {"retrieval": 0.8, "meta_labels": 0.6},
        "weights": HALF,
    },
    "learned, foreign head without meta-labels": {
        "head": FOREIGN,
        "learned": {"retrieval": 0.9, "co_occurrence": 0.3},
        "weights": HALF,
    },
    "learned, unseen": {
        "labels": True,
        "unseen": [2, 9],
        "reranker": None,
        "learned": ALL,
        "weights": HALF,
    },
    "learned, not refitted": {
        "labels": True,
        "reranker": None,
        "learned": ALL,
        "weights": HALF,
        "refit": False,
    },
    "unseen": {"unseen": [2, 9]},
    "unseen, label texts": {"labels": True, "unseen": [2, 9]},
    "unseen, all channels": {"labels": True, "unseen": [2, 9], "weights": THREE},
    "unseen, head only": {"labels": True, "unseen": [2, 9], "weights": {"head": 1.0}},
    "unseen, lexical only": {"labels": True, "unseen": [2, 9], "weights": {"lexical": 1.0}},
    "unseen, no lexical channel": {"labels": True, "unseen": [0, 11], "lexical": None},
    "unseen, label texts not read": {"labels": True, "unseen": [2, 9], "label_texts": False},
    "unseen, not refitted": {
        "labels": True,
        "unseen": [2, 9],
        "refit": False,
        "weights": {"head": 1.0},
        "reranker": "passthrough",
    },
    "unseen, foreign head on a vectorizer": {
        "labels": True,
        "unseen": [2, 9],
        "encoder": TfidfVectorizer(),
        "head": FOREIGN,
        "weights": {"head": 1.0},
        "reranker": "passthrough",
    },
    "unseen, foreign lexical channel": {
        "labels": True,
        "unseen": [2, 9],
        "lexical": make_pipeline(TfidfVectorizer(), NEIGHBOURS),
        "weights": HALF,
    },
}


@pytest.mark.filterwarnings(
    "ignore:Label not .* is present in all training examples",
    "ignore:.* labels have no training text",
)
@pytest.mark.parametrize("case", CASES)
def test_pipeline_has_exactly_the_same_scores(labelled_texts, questions, monkeypatch, case):
    """Foreign meta-classifiers differed in the last digits, others were not even fitted."""
    X, Y = labelled_texts
    params = dict(CASES[case])
    weights = params.pop("weights", None)
    if weights is not None:
        force_weights(monkeypatch, weights)
    if params.pop("labels", False):
        params["labels"] = questions.labels
        if case != "meta-labels":  # that is the one with the default reranker
            params.setdefault("reranker", make_reranker())
    learned = params.pop("learned", None)
    if learned is not None:
        force_combination(monkeypatch, learned)
    unseen = params.pop("unseen", [])
    Y = sp.csr_matrix(Y.toarray() * ~np.isin(np.arange(12), unseen))
    if "pipeline as head" in case:
        params["head"] = make_pipeline(FunctionTransformer(accept_sparse=True), FOREIGN)
    classifier = make_classifier(**params).fit(X, Y)
    assert weights is None or classifier.channel_weights_ == weights
    assert learned is None or classifier.reranker_.combination_.weights == learned
    assert classifier.unseen_.tolist() == unseen
    assert list(classifier.pipeline_.named_steps) == ["encoder", "head", "reranker"]
    for texts in (X, X[:1], ["", "area of $x^2$", "面积"]):
        scores = classifier.predict_proba(texts)
        again = classifier.pipeline_.predict_proba(texts)
        assert scores.dtype == again.dtype == np.float32
        assert np.isfinite(scores).all()
        assert ((scores >= 0) & (scores <= 1)).all()
        assert_array_equal(again, scores)
        assert_array_equal(classifier.pipeline_.predict(texts), classifier.predict(texts))


def test_foreign_head_is_what_scikit_learn_makes_of_the_vectors(labelled_texts):
    X, Y = labelled_texts
    params = {"lexical": None, "reranker": "passthrough"}
    classifier = make_classifier(head=FOREIGN, **params, refit=True).fit(X, Y)
    vectors = classifier.encoder_.transform(X)
    expected = clone(FOREIGN).fit(vectors, Y.toarray()).decision_function(vectors)
    slope, intercept = classifier.blend_["curve"]
    mean, spread = classifier.blend_["scales"]["head"]
    expected = 1 / (1 + np.exp(-(slope * (expected - mean) / spread + intercept)))
    assert_allclose(classifier.retriever_.predict_proba(X), expected, rtol=1e-4)
    assert_allclose(classifier.predict_proba(X), classifier.calibration_(expected), rtol=1e-4)


# --- what is chosen on held-out rows ----------------------------------------------------------


def test_choices_are_made_on_rows_that_training_did_not_see(labelled_texts, monkeypatch, fits):
    """Weights, curve, rule and the reranker's threshold: all of them on the same held-out rows."""
    X, Y = labelled_texts
    trained_on, chosen_on = [], {}
    fit_parts = RetrievalRerankClassifier._fit_parts

    def watch_parts(self, texts, targets, *wanted):
        trained_on.append(texts)
        return fit_parts(self, texts, targets, *wanted)

    def watch(name):
        choose = getattr(composite, name)

        def watched(targets, *args, **params):
            chosen_on.setdefault(name, []).append(targets.toarray())
            return choose(targets, *args, **params)

        monkeypatch.setattr(composite, name, watched)

    monkeypatch.setattr(RetrievalRerankClassifier, "_fit_parts", watch_parts)
    names = ["choose_blend", "fit_calibration", "choose_decision", "best_global_threshold"]
    for name in names:
        watch(name)
    reranker = make_reranker(label_to_meta=np.eye(12)[:, :5])
    classifier = make_classifier(reranker=reranker).fit(X, Y)
    n_held_out = classifier.n_validation_
    assert 15 <= n_held_out <= 25
    assert [len(texts) for texts in trained_on] == [80 - n_held_out, 80]
    assert trained_on[1] == X
    rest = sorted(set(range(80)) - {X.index(text) for text in trained_on[0]})
    assert sorted(chosen_on) == sorted(names)
    for name, times in chosen_on.items():
        assert len(times) == 1, name
        assert_array_equal(times[0], Y[rest].toarray())
    heads = [n for name, n in fits if name == "ClassCenterHead"]
    assert heads == [80 - n_held_out] * 2 + [80] * 2  # the reranker has one, too


def test_without_refit_the_parts_of_the_rest_are_kept(labelled_texts, fits):
    X, Y = labelled_texts
    classifier = make_classifier(refit=False).fit(X, Y)
    n_trained = 80 - classifier.n_validation_
    assert fits == [
        ("RCPTEncoder", 80), ("ClassCenterHead", n_trained), ("TfidfLinearClassifier", n_trained)
    ]  # fmt: skip
    assert len(classifier.train_texts_) == 80


def test_too_few_rows_to_hold_any_out(labelled_texts):
    X, Y = labelled_texts
    keep = np.unique(Y[:30].indices)
    Y = Y[:30][:, keep]
    message = "too few to choose on: .* labels are scored by the head alone"
    with pytest.warns(UserWarning, match=message) as caught:
        classifier = make_classifier().fit(X[:30], Y)
    assert len(caught) == 1
    assert classifier.n_validation_ == 0
    assert classifier.lexical_ is None
    assert classifier.channel_weights_ == {"head": 1.0}
    assert classifier.predict(X).shape == (80, len(keep))
    assert_array_equal(classifier.pipeline_.predict_proba(X), classifier.predict_proba(X))


@pytest.mark.parametrize("is_cheap", [True, False])
def test_penalty_of_the_lexical_channel(labelled_texts, monkeypatch, is_cheap):
    """Chosen once, in the first training; on a sample where rows and labels are many."""
    fitted, fit = [], TfidfLinearClassifier.fit

    def recorded(self, X, y):
        fitted.append((self.C, self.n_negatives, fit(self, X, y).C_, len(X)))
        return self

    monkeypatch.setattr(TfidfLinearClassifier, "fit", recorded)
    if not is_cheap:
        monkeypatch.setattr("skrr2qc.classifiers._retrieval_rerank._MAX_TO_CHOOSE_C", 10)
        monkeypatch.setattr("skrr2qc.classifiers._retrieval_rerank._ROWS_TO_CHOOSE_C", 30)
    force_weights(monkeypatch, HALF)
    X, Y = labelled_texts
    classifier = make_classifier().set_params(refit=True).fit(X, Y)
    (first, negatives, chosen, n_rows), *others = fitted
    assert (first, negatives) == ("auto", "auto")
    assert (n_rows == 30) is not is_cheap
    assert len(others) == (1 if is_cheap else 2)
    for C, negatives, last, n_rows in others:
        assert (C, negatives, last) == (chosen, "auto", chosen)
        assert n_rows > 30
    assert chosen == classifier.lexical_.C_
    fitted.clear()
    classifier.fit(X, Y)  # begins anew
    assert fitted[0][0] == first


def test_lexical_channel_without_weight_is_dropped(labelled_texts, monkeypatch, fits):
    X, Y = labelled_texts
    force_weights(monkeypatch, {"head": 1.0})
    assert make_classifier().fit(X, Y).lexical_ is None
    assert [name for name, _ in fits].count("TfidfLinearClassifier") == 1
    force_weights(monkeypatch, {"head": 0.9, "lexical": 0.1})
    assert make_classifier().fit(X, Y).lexical_ is not None


@pytest.mark.parametrize("refit", [True, False])
def test_head_without_weight_is_kept_and_not_asked(labelled_texts, monkeypatch, refit):
    X, Y = labelled_texts
    force_weights(monkeypatch, {"lexical": 1.0})
    classifier = make_classifier(refit=refit).fit(X, Y)
    expected = classifier.predict_proba(X)
    assert set(classifier.retriever_.channels) == {"lexical"}
    monkeypatch.setattr(ClassCenterHead, "decision_function", None)
    assert_array_equal(classifier.predict_proba(X), expected)
    assert classifier.head_.classes_.tolist() == list(range(12))


def test_weights_are_shares_of_the_channels_there_are(labelled_texts, questions):
    X, Y = labelled_texts
    for labels, names in [(None, {"head", "lexical"}), (questions.labels, set(THREE))]:
        classifier = make_classifier(labels=labels, reranker="passthrough").fit(X, Y)
        weights = classifier.channel_weights_
        assert set(weights) <= names
        assert sum(weights.values()) == pytest.approx(1.0)
        assert min(weights.values()) > 0
        assert set(classifier.retriever_.channels) == set(weights)
        assert classifier.retriever_.names == [name for name in THREE if name in weights]
        assert set(classifier.blend_["scales"]) == names


def test_threshold_decides_what_is_predicted(fitted, questions):
    scores = fitted.predict_proba(questions.texts)
    expected = scores > fitted.threshold_
    assert_array_equal(fitted.predict(questions.texts), expected)
    assert 0 < expected.sum() < expected.size
    assert fitted.predict(questions.texts).dtype == np.int8
    assert fitted.threshold_ is fitted.decision_.threshold


@pytest.mark.parametrize("rule", ["global", "per_label", "cardinality", "top_k", 0.4])
def test_rule_is_chosen_on_calibrated_held_out_scores(labelled_texts, questions, rule):
    X, Y = labelled_texts
    kind = {"encoder": TfidfVectorizer(), "labels": questions.labels, "refit": False}
    classifier = make_classifier(**kind, reranker=make_reranker(), threshold=rule).fit(X, Y)
    _, held_out = train_holdout_split(Y, 0.25, random_state=0)
    scores = classifier.predict_proba([X[i] for i in held_out])
    expected = choose_decision(Y[held_out], scores, rule, at_least_one=True)
    assert classifier.decision_.rule == expected.rule
    assert_array_equal(classifier.threshold_, expected.threshold)
    assert_array_equal(classifier.predict(X), expected.apply(classifier.predict_proba(X)))
    assert_array_equal(classifier.pipeline_.predict(X), classifier.predict(X))
    if rule == "top_k":
        assert (classifier.predict(X).sum(axis=1) == expected.k).all()


@pytest.mark.parametrize("rule", ["global", "per_label", "cardinality", "top_k", 0.99])
@pytest.mark.parametrize("is_complete", [True, False])
def test_every_text_gets_a_label_where_all_had_one(
    labelled_texts, monkeypatch, tmp_path, rule, is_complete
):
    def strict(*args, **params):
        decision = choose_decision(*args, **params)
        return replace(decision, threshold=1.0) if rule != "top_k" else decision

    monkeypatch.setattr(composite, "choose_decision", strict)
    X, Y = labelled_texts
    if not is_complete:
        Y = Y.tolil()
        Y[0] = 0
        Y = Y.tocsr()
    classifier = make_classifier(lexical=None, threshold=rule).fit(X, Y)
    predicted, scores = classifier.predict(X), classifier.predict_proba(X)
    if rule == "top_k":
        assert (predicted.sum(axis=1) == classifier.decision_.k).all()
    elif is_complete and rule != 0.99:
        expected = np.zeros_like(predicted)
        expected[np.arange(len(X)), scores.argmax(axis=1)] = 1
        assert_array_equal(predicted, expected)
    else:
        assert not predicted.any()
    loaded = load_model(classifier.save(tmp_path / "model"))
    assert_array_equal(loaded.predict(X), predicted)
    assert_array_equal(classifier.pipeline_.predict(X), predicted)


def test_calibration_changes_no_ranking(fitted, questions):
    texts = list(questions.texts)
    scores = fitted.predict_proba(texts)
    raw = fitted.reranker_.rerank(fitted.retriever_.predict_proba(texts), texts)
    assert_array_equal(fitted.calibration_(raw), scores)
    order = np.argsort(-raw, axis=1)
    assert (np.diff(np.take_along_axis(scores, order, axis=1)) <= 0).all()


# --- what labels are called -------------------------------------------------------------------

SHAPES = LabelSpace(
    ["circle", "triangle", "mean", "h"], texts={"h": "hexagon or hexagonal polygon", "mean": "mean"}
)


def make_shapes(n_rows=80):
    """Texts that say what they are about; nobody has labelled one on hexagons yet."""
    rng = np.random.default_rng(0)
    words = ["circle radius", "triangle angle", "mean sample"]
    which = rng.integers(3, size=n_rows)
    texts = [f"Find the {words[i]} of number {rng.integers(20)}." for i in which]
    return texts, sp.csr_matrix(np.eye(4, dtype=np.float32)[which])


QUERIES = ["Draw a hexagonal polygon.", "Is it a hexagon?"]


@pytest.mark.filterwarnings("ignore:.* labels have no training text", "ignore:Label not .*")
@pytest.mark.parametrize(
    "head", [None, OneVsRestClassifier(LogisticRegression(C=100.0))], ids=["towers", "foreign"]
)
@pytest.mark.parametrize("weights", [None, {"head": 1.0}, {"lexical": 1.0}, {"label_texts": 1.0}])
def test_label_that_only_its_text_tells_of_is_proposed(monkeypatch, head, weights):
    X, Y = make_shapes()
    params = {"labels": SHAPES, "encoder": TfidfVectorizer()}
    params |= {} if head is None else {"head": head}
    if weights is not None:
        force_weights(monkeypatch, weights)
    classifier = make_classifier(**params).fit(X, Y)
    names, scores = classifier.predict_topk(QUERIES, k=1)
    assert names.tolist() == [["h"], ["h"]]
    assert_array_equal(classifier.pipeline_.predict_proba(QUERIES).max(axis=1), scores[:, 0])
    assert classifier.predict_topk(["Find the circle radius"], k=1)[0] == "circle"
    assert classifier.unseen_.tolist() == [3]
    if weights != {"label_texts": 1.0}:
        without = clone(classifier).set_params(label_texts=False).fit(X, Y)
        names, scores = without.predict_topk([*QUERIES, *X], k=4)
        assert (names[:, -1] == "h").all()
        assert (scores[:, -1] < scores[:, -2]).all()
        assert without.predict(QUERIES)[:, 3].sum() == 0


def test_warning_says_what_becomes_of_unseen_labels():
    X, Y = make_shapes()
    kind = {"encoder": TfidfVectorizer(), "lexical": None}
    for params, fate in [
        ({"labels": SHAPES}, "1 of 4 labels have no training text and are known by their own text"),
        ({"labels": SHAPES, "label_texts": False}, "1 of 4 labels .* and will rank last"),
        ({}, "1 of 4 labels .* and will rank last"),
    ]:
        with pytest.warns(UserWarning, match=fate) as caught:
            make_classifier(**kind, **params).fit(X, Y)
        assert len(caught) == 1


@pytest.mark.filterwarnings("ignore:.* labels have no training text")
@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("weights", [{"head": 1.0}, {"lexical": 1.0}, HALF])
def test_channel_without_weight_serves_unseen_labels(monkeypatch, weights, refit):
    """It was dropped with its weight, and a label that nobody had used yet could not come up."""
    X, Y = make_shapes()
    force_weights(monkeypatch, weights)
    classifier = make_classifier(labels=SHAPES, refit=refit).fit(X, Y)
    assert classifier.channel_weights_ == weights
    retriever = classifier.retriever_
    assert retriever.names == list(retriever.channels) == [*weights, "label_texts"]
    assert (classifier.lexical_ is not None) == ("lexical" in weights)
    names, _ = classifier.predict_topk([*QUERIES, "circle radius"], k=2)
    assert names[[0, 2], 0].tolist() == ["h", "circle"]
    assert "h" in names[1]  # the head, one epoch old, believes in other labels

    logits = {n: channel.decision_function(QUERIES) for n, channel in retriever.channels.items()}
    scales = classifier.blend_["scales"]
    standard = {n: (z - scales[n][0]) / scales[n][1] for n, z in logits.items()}
    blended = sum(weight * standard[name] for name, weight in weights.items())
    blended[:, 3] = 0.5 * blended[:, 3] + 0.5 * standard["label_texts"][:, 3]
    slope, intercept = classifier.blend_["curve"]
    own_slope, own_intercept = classifier.blend_["unseen_curve"]
    log_odds = slope * blended + intercept
    log_odds[:, 3] = own_slope * blended[:, 3] + own_intercept + unseen_log_odds(sp.csr_matrix(Y))
    expected = 1 / (1 + np.exp(-log_odds))
    assert_allclose(retriever.predict_proba(QUERIES), expected, rtol=1e-4)
    assert_array_equal(
        classifier.pipeline_.predict_proba(QUERIES), classifier.predict_proba(QUERIES)
    )

    Y = sp.csr_matrix(np.eye(4, dtype=np.float32)[np.arange(80) % 4])
    all_seen = clone(classifier).fit(X, Y)
    assert list(all_seen.retriever_.channels) == list(weights)


@pytest.mark.filterwarnings("ignore:.* labels have no training text")
def test_scales_are_those_of_labels_with_texts(monkeypatch):
    """What the head says of labels that it never met would move the others."""
    X, Y = make_shapes()
    seen_by, choose = [], composite.choose_blend

    def watch_blend(targets, logits, alone):
        seen_by.append((targets, logits))
        return choose(targets, logits, alone)

    monkeypatch.setattr(composite, "choose_blend", watch_blend)
    classifier = make_classifier(labels=SHAPES, refit=False).fit(X, Y)
    ((targets, logits),) = seen_by
    _, held_out = train_holdout_split(Y, 0.25, random_state=0)
    assert_array_equal(targets.toarray(), Y[held_out][:, :3].toarray())
    texts = [X[i] for i in held_out]
    for name, channel in classifier.retriever_.channels.items():
        z = channel.decision_function(texts)[:, :3]
        assert_array_equal(logits[name], z)
        assert classifier.blend_["scales"][name] == pytest.approx((z.mean(), z.std()), rel=1e-4)


@pytest.mark.parametrize("own", [True, False])
def test_whose_vectorizer_matches_label_texts(labelled_texts, questions, monkeypatch, own):
    """One of another kind may count words, or be anything else that is called `vectorizer_`."""
    X, Y = labelled_texts
    force_weights(monkeypatch, THREE)
    lexical = TfidfLinearClassifier(analyzer="word", validation_fraction=0, C=1.0)
    lexical = lexical if own else OwnLexical()
    kind = {"labels": questions.labels, "encoder": TfidfVectorizer(), "reranker": "passthrough"}
    classifier = make_classifier(**kind, lexical=lexical).fit(X, Y)
    channel = classifier.retriever_.channels["label_texts"]
    assert (channel.vectorizer_ is classifier.lexical_.vectorizer_) == own
    if not own:
        everything = [*X, *questions.labels.texts]
        expected = TfidfLinearClassifier().make_vectorizer(everything).fit(everything)
        difference = channel.vectorizer_.transform(X) - expected.transform(X)
        assert abs(difference).max() == 0


def test_foreign_heads_meet_every_label():
    """One-vs-rest warns of a label without a positive row: with its text, each has one."""
    X, Y = make_shapes()
    with pytest.warns(UserWarning, match="no training text") as caught:
        make_classifier(labels=SHAPES, encoder=TfidfVectorizer(), head=FOREIGN).fit(X, Y)
    assert len(caught) == 1


class OwnHead(ClassifierMixin, BaseEstimator):
    """What a user may write: takes the frozen encoder, knows nothing of caches."""

    def __init__(self, encoder=None, random_state=None):
        self.encoder = encoder
        self.random_state = random_state

    def fit(self, X, y):
        self.model_ = OneVsRestClassifier(LogisticRegression()).fit(self.encoder.transform(X), y)
        self.classes_ = np.arange(y.shape[1])
        return self

    def predict_proba(self, X):
        return self.model_.predict_proba(self.encoder.transform(X))


class OwnLexical(ClassifierMixin, BaseEstimator):
    """Classifier of texts with a vectorizer of its own."""

    def fit(self, X, y):
        self.vectorizer_ = CountVectorizer().fit(X)
        counts = self.vectorizer_.transform(X)
        self.model_ = OneVsRestClassifier(LogisticRegression()).fit(counts, y)
        self.classes_ = np.arange(y.shape[1])
        return self

    def predict_proba(self, X):
        return self.model_.predict_proba(self.vectorizer_.transform(X))


class Recorder(OneVsRestClassifier):
    """Keeps what it is fitted on."""

    seen = []

    def fit(self, X, y):
        self.seen.append((X, y))
        return super().fit(X, y)


class TextRecorder(OwnHead):
    """The same for a part that takes texts."""

    seen = []

    def fit(self, X, y):
        self.seen.append((X, y))
        return super().fit(X, y)


@pytest.mark.parametrize("refit", [True, False])
def test_who_reads_label_texts(labelled_texts, questions, monkeypatch, refit):
    """Head and lexical channel do; encoder, reranker, held-out rows and explanations do not."""
    X, Y = labelled_texts
    head = TextRecorder()
    lexical = make_pipeline(TfidfVectorizer(), Recorder(LogisticRegression()))
    meta = TextRecorder()
    for kind in (Recorder, TextRecorder):
        monkeypatch.setattr(kind, "seen", [])
    chosen_on, choose = [], composite.choose_blend

    def watch_blend(targets, logits, alone):
        chosen_on.append((targets.toarray(), {z.shape for z in logits.values()}, alone))
        return choose(targets, logits, alone)

    monkeypatch.setattr(composite, "choose_blend", watch_blend)
    classifier = make_classifier(
        encoder=Spy(), head=head, lexical=lexical, reranker=make_reranker(meta),
        labels=questions.labels, refit=refit,
    ).fit(X, Y)  # fmt: skip
    train, held_out = train_holdout_split(Y, 0.25, random_state=0)
    parts = [train, np.arange(80)][: 1 + refit]
    assert len(TextRecorder.seen) == 2 * len(parts)
    texts, eye = list(questions.labels.texts), np.eye(12)
    for rows, fitted in zip(parts, TextRecorder.seen[::2], strict=True):
        assert fitted[0] == [X[i] for i in rows] + texts
        assert_array_equal(fitted[1], np.vstack([Y[rows].toarray(), eye]))
    for rows, fitted in zip(parts, TextRecorder.seen[1::2], strict=True):
        assert fitted[0] == [X[i] for i in rows]
    seen = [(features.shape[0], y) for features, y in Recorder.seen]
    expected = [len(rows) + 12 for rows in parts if rows is train or classifier.lexical_]
    assert [n for n, _ in seen] == expected
    assert_array_equal(seen[0][1], np.vstack([Y[train].toarray(), eye]))

    seen_X, seen_Y, _ = classifier.encoder_.seen_
    assert seen_X == X
    assert seen_Y.shape == (80, 12)
    assert seen_Y[held_out].nnz == 0
    ((targets, shapes, alone),) = chosen_on
    assert alone is None
    assert_array_equal(targets, Y[held_out].toarray())
    assert shapes == {(len(held_out), 12)}
    assert classifier.train_texts_ == X
    assert_array_equal(classifier.train_labels_.toarray(), Y.toarray())


def test_rows_of_our_own_parts(labelled_texts, questions, monkeypatch, fits):
    X, Y = labelled_texts
    force_weights(monkeypatch, THREE)
    classifier = make_classifier(labels=questions.labels, reranker="passthrough").fit(X, Y)
    n = 80 - classifier.n_validation_
    assert fits == [
        ("RCPTEncoder", 80), ("ClassCenterHead", n + 12), ("TfidfLinearClassifier", n + 12),
        ("ClassCenterHead", 92), ("TfidfLinearClassifier", 92),
    ]  # fmt: skip
    channel = classifier.retriever_.channels["label_texts"]
    assert channel.vectorizer_ is classifier.lexical_.vectorizer_
    assert channel.labels is questions.labels


def test_without_texts_of_labels_nothing_is_added(labelled_texts, questions, fits):
    X, Y = labelled_texts
    kind = {"encoder": TfidfVectorizer(), "head": FOREIGN, "reranker": "passthrough"}
    plain = make_classifier(**kind).fit(X, Y)
    assert set(plain.blend_["scales"]) == {"head", "lexical"}
    assert {n for _, n in fits} <= {80, 80 - plain.n_validation_}
    for params in ({"label_texts": False}, {"label_texts": False, "labels": questions.labels}):
        same = make_classifier(**kind, **params).fit(X, Y)
        assert_array_equal(same.predict_proba(X), plain.predict_proba(X))
        assert same.channel_weights_ == plain.channel_weights_


def test_names_in_targets_are_texts_of_labels(labelled_texts, questions):
    X, Y = labelled_texts
    names = questions.labels.decode(Y)
    classifier = make_classifier(encoder=TfidfVectorizer()).fit(X, names)
    assert set(classifier.blend_["scales"]) == set(THREE)


def test_label_texts_without_rows_to_weigh_them(labelled_texts, questions, fits):
    X, Y = labelled_texts
    keep = np.unique(Y[:30].indices)
    labels = LabelSpace([questions.labels.names[i] for i in keep])
    with pytest.warns(UserWarning, match="too few to choose on"):
        classifier = make_classifier(labels=labels).fit(X[:30], Y[:30][:, keep])
    assert classifier.channel_weights_ == {"head": 1.0}
    assert classifier.retriever_.names == ["head"]
    assert fits == [("RCPTEncoder", 30), ("ClassCenterHead", 30 + len(keep))]


@pytest.mark.filterwarnings("ignore:.* labels have no training text")
@pytest.mark.parametrize("reads", [True, False])
def test_unseen_labels_without_rows_to_weigh_channels(fits, reads):
    """The head alone has weight; the likeness of the texts still tells of unseen labels."""
    X, Y = make_shapes(30)
    classifier = make_classifier(labels=SHAPES, label_texts=reads, validation_fraction=0.1)
    with pytest.warns(UserWarning, match="too few to choose on"):
        classifier.fit(X, Y)
    assert classifier.n_validation_ == 0
    assert classifier.channel_weights_ == {"head": 1.0}
    assert classifier.retriever_.names == ["head", "label_texts"][: 1 + reads]
    assert [name for name, _ in fits] == ["RCPTEncoder", "ClassCenterHead"]
    names, scores = classifier.predict_topk(QUERIES, k=4)
    assert (names[:, -1 + reads] == "h").all()  # the first, or the last
    assert_array_equal(np.sort(classifier.pipeline_.predict_proba(QUERIES))[:, ::-1], scores)


@pytest.mark.parametrize("text", ["", "\u2603", "area of a circle"])
def test_label_texts_beside_texts_that_are_all_the_same(labelled_texts, questions, text):
    """Blank training texts left the label texts' vectorizer without a vocabulary."""
    _, Y = labelled_texts
    classifier = make_classifier(labels=questions.labels, lexical=None, reranker="passthrough")
    scores = classifier.fit([text] * 80, Y).predict_proba([text, "other"])
    assert np.isfinite(scores).all()
    assert scores[0].argmax() == Y.sum(axis=0).argmax()


def test_label_texts_is_a_parameter(labelled_texts, questions):
    assert RetrievalRerankClassifier().get_params()["label_texts"] is True
    classifier = make_classifier(label_texts=False, labels=questions.labels)
    assert clone(classifier).label_texts is False
    assert "label_texts=False" in repr(classifier)
    classifier.set_params(encoder=TfidfVectorizer(), lexical=None, validation_fraction=0.5)
    classifier.set_params(reranker="passthrough")
    X, Y = labelled_texts
    search = GridSearchCV(
        classifier,
        {"label_texts": [np.False_, True]},
        cv=[(np.arange(60), np.arange(60, 80))],
        scoring=ndcg_at_5_scorer,
        error_score="raise",
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* labels have no training text")
        search.fit(X, Y.toarray())
    assert len(set(search.cv_results_["mean_test_score"])) == 2


def test_memory_knows_whether_labels_are_read(labelled_texts, questions, tmp_path, fits):
    X, Y = labelled_texts
    params = {"labels": questions.labels, "lexical": None, "reranker": "passthrough"}
    classifier = make_classifier(**params, memory=str(tmp_path)).fit(X, Y)
    fits.clear()
    without = clone(classifier).set_params(label_texts=False).fit(X, Y)
    assert [name for name, _ in fits] == ["ClassCenterHead"] * 2
    fits.clear()
    assert_array_equal(clone(without).fit(X, Y).predict_proba(X), without.predict_proba(X))
    again = clone(classifier).fit(X, Y)
    assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))
    assert fits == []


# --- learned reranking, and one tower for both ------------------------------------------------


@pytest.fixture(scope="module")
def learned(questions):
    """With everything at its default but sizes; leave it as it is."""
    head = ClassCenterHead(n_epochs=3, lr=5e-3)
    classifier = make_classifier(labels=questions.labels, head=head)
    return classifier.fit(list(questions.texts), questions.Y)


@pytest.fixture
def embeds(monkeypatch):
    """Heads that were asked for vectors, with the number of texts."""
    asked, embed = [], ClassCenterHead.embed
    monkeypatch.setattr(
        ClassCenterHead, "embed", lambda self, X: asked.append((self, len(X))) or embed(self, X)
    )
    return asked


def test_default_shares_the_tower_and_learns(learned):
    reranker = learned.reranker_
    assert reranker.combine == "learned"
    assert reranker.classifier_ is None
    assert reranker.tower_ is learned.head_
    assert list(reranker.combination_.weights) == list(ALL)
    assert min(reranker.combination_.weights.values()) >= 0


def evidence_of(classifier, X, X_known, Y_known):
    """What speaks for each label, from the parts of a classifier, by hand."""
    head, label_to_meta = classifier.head_, classifier.labels_.label_to_meta.toarray()
    assert label_to_meta.sum(axis=1).min() > 0
    retrieved = classifier.retriever_.predict_proba(X).astype(np.float64)
    meta = sigmoid(head.score_meta(head.embed(X)))
    neighbors = LabelNeighbors(head.embed(X_known), Y_known)
    rates = np.asarray((Y_known @ label_to_meta > 0).mean(axis=0)).ravel()
    log_odds = np.log(retrieved / (1 - retrieved))
    best = np.sort(log_odds, axis=1)[:, -10:].mean(axis=1, keepdims=True)
    return {
        "retrieval": log_odds,
        "rare_retrieval": (log_odds - best) * np.exp(-Y_known.getnnz(axis=0) / 10),
        "meta_labels": np.log(meta @ label_to_meta.T / (label_to_meta @ rates)),
        **neighbors.evidence(head.embed(X)),
        "co_occurrence": LabelCooccurrence(Y_known).lift(retrieved),
    }


def test_learned_scores_by_hand(learned, questions):
    X, Y = list(questions.texts), questions.Y
    evidence = evidence_of(learned, X, X, Y)
    combination = learned.reranker_.combination_
    log_odds = combination.intercept
    for name, weight in combination.weights.items():
        log_odds = log_odds + weight * evidence[name]
    expected = 1 / (1 + np.exp(-log_odds))
    assert_allclose(learned.reranker_.predict_proba(X), expected, rtol=1e-3, atol=1e-6)
    scores = learned.predict_proba(X)
    assert_allclose(scores, learned.calibration_(expected), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("shared", [True, False])
def test_combination_is_learned_on_held_out_rows_and_kept_by_the_refit(
    labelled_texts, questions, monkeypatch, shared
):
    X, Y = labelled_texts
    learned_on = []

    def watched(targets, evidence, label_weights):
        learned_on.append((targets, evidence))
        assert_array_equal(label_weights, 1 / jain_propensities(Y[train]))
        return fit_combination(targets, evidence, label_weights)

    monkeypatch.setattr(reranking, "fit_combination", watched)
    reranker = MetaLabelReranker(combine="learned") if shared else make_reranker(combine="learned")
    kind = {"labels": questions.labels, "reranker": reranker}
    train, held_out = train_holdout_split(Y, 0.25, random_state=0)
    rest = make_classifier(**kind, refit=False).fit(X, Y)
    refitted = make_classifier(**kind).fit(X, Y)
    assert len(learned_on) == 2  # once a fit
    for targets, evidence in learned_on:
        assert_array_equal(targets.toarray(), Y[held_out].toarray())
        assert {values.shape for values in evidence.values()} == {(len(held_out), 12)}
    if shared:
        held_out_texts = [X[i] for i in held_out]
        expected = evidence_of(rest, held_out_texts, [X[i] for i in train], Y[train])
        for name, values in learned_on[0][1].items():
            assert_allclose(values, expected[name], rtol=1e-3, atol=1e-4)
    assert refitted.reranker_.combination_ == rest.reranker_.combination_
    assert refitted.reranker_.tower_ is refitted.head_
    for classifier, rows in [(refitted, np.arange(80)), (rest, train)]:
        n_texts = np.diff(classifier.reranker_.neighbors_.starts_)
        assert_array_equal(n_texts, Y[rows].getnnz(axis=0))


@pytest.mark.parametrize("has_weight", [True, False])
@pytest.mark.parametrize(
    ("reranker", "learned", "n_towers"),
    [
        (MetaLabelReranker(), None, (1, 1)),
        (MetaLabelReranker(alpha=0), None, (1, 0)),
        (None, ALL, (1, 1)),
        (None, {"retrieval": 1.0, "meta_labels": 0.0, "neighbors": 0.0}, (1, 0)),
        (make_reranker(combine="learned"), ALL, (2, 2)),
        (make_reranker(), None, (2, 1)),
        ("passthrough", None, (1, 0)),
    ],
)
def test_towers_read_each_text_once(
    labelled_texts, questions, monkeypatch, embeds, reranker, learned, n_towers, has_weight
):
    """`n_towers`: with the head among the channels of retrieval, and without."""
    X, Y = labelled_texts
    force_weights(monkeypatch, THREE if has_weight else {"lexical": 1.0})
    if learned is not None:
        force_combination(monkeypatch, learned)
    kind = {"labels": questions.labels, "reranker": reranker, "refit": False}
    classifier = make_classifier(**kind).fit(X, Y)
    expected = n_towers[0] if has_weight else n_towers[1]
    for scorer in (classifier, classifier.pipeline_):
        embeds.clear()
        scorer.predict_proba(X[:7])
        assert [n for _, n in embeds] == [7] * expected
        assert len({id(head) for head, _ in embeds}) == expected


def test_shared_tower_is_trained_as_often_as_no_reranker_at_all(
    labelled_texts, questions, monkeypatch, fits
):
    X, Y = labelled_texts
    force_weights(monkeypatch, {"head": 1.0})
    expected = None
    for reranker in ("passthrough", MetaLabelReranker(), None):
        fits.clear()
        make_classifier(labels=questions.labels, reranker=reranker).fit(X, Y)
        expected = expected or list(fits)
        assert fits == expected
    assert [name for name, _ in fits].count("ClassCenterHead") == 2
    assert "MetaLabelReranker" not in [name for name, _ in fits]


@pytest.mark.parametrize("reranker", [MetaLabelReranker(), None, make_reranker(combine="learned")])
def test_memory_changes_no_reranked_score(
    labelled_texts, questions, tmp_path, fits, monkeypatch, reranker
):
    X, Y = labelled_texts
    force_weights(monkeypatch, HALF)
    kind = {"labels": questions.labels, "reranker": reranker}
    plain = make_classifier(**kind).fit(X, Y)
    expected, combination = plain.predict_proba(X), plain.reranker_.combination_
    n_plain = sorted(fits)
    for is_first in (True, False):
        fits.clear()
        classifier = make_classifier(**kind, memory=str(tmp_path)).fit(X, Y)
        assert sorted(fits) == (n_plain if is_first else [])
        assert classifier.reranker_.combination_ == combination
        assert classifier.reranker_.tower_ is classifier.head_
        assert_array_equal(classifier.predict_proba(X), expected)
        assert_array_equal(classifier.pipeline_.predict_proba(X), expected)


@pytest.mark.filterwarnings("ignore:.* labels have no training text")
def test_grid_over_ways_to_rerank_trains_once_a_fold(labelled_texts, questions, tmp_path, fits):
    """Nothing of the reranker is trained: encoder and head are fetched for each point."""
    X, Y = labelled_texts
    grid = [
        {"reranker__combine": ["product"], "reranker__alpha": [0, 2]},
        {"reranker__combine": ["product", "learned"], "reranker__mean": ["geometric"]},
        {"reranker__top_r": [2]},
    ]
    search = GridSearchCV(
        make_classifier(
            reranker=MetaLabelReranker(), labels=questions.labels, validation_fraction=0.5,
            lexical=None, refit=False, memory=str(tmp_path),
        ),
        grid, cv=MultilabelStratifiedKFold(2), scoring=ndcg_at_5_scorer, error_score="raise",
    ).fit(X, Y.toarray())  # fmt: skip
    assert len(search.cv_results_["params"]) == 5
    assert [name for name, _ in fits] == ["RCPTEncoder", "ClassCenterHead"] * 3


def test_nested_parameters_of_the_reranker(questions):
    classifier = make_classifier(reranker=MetaLabelReranker(), labels=questions.labels)
    classifier.set_params(
        reranker__combine="learned", reranker__mean="geometric", reranker__alpha=3
    )
    classifier.fit(list(questions.texts), questions.Y)
    reranker = classifier.reranker_
    assert (reranker.combine, reranker.mean, reranker.alpha) == ("learned", "geometric", 3)
    assert reranker.combination_ is not None
    assert classifier.reranker.labels is None
    assert not hasattr(classifier.reranker, "combination_")
    again = clone(classifier).fit(list(questions.texts), questions.Y)
    assert again.reranker_.combination_ == reranker.combination_


def test_pickle_keeps_one_tower(learned, questions):
    texts = list(questions.texts)
    back = pickle.loads(pickle.dumps(learned))
    assert back.reranker_.tower_ is back.head_
    assert back.reranker_.combination_ == learned.reranker_.combination_
    assert_array_equal(back.predict_proba(texts), learned.predict_proba(texts))
    assert_array_equal(back.pipeline_.predict_proba(texts), learned.predict_proba(texts))


def test_without_names_neighbors_and_co_occurrence_rerank(labelled_texts):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier = make_classifier().fit(*labelled_texts)
    assert classifier.labels_ is None
    assert list(classifier.reranker_.combination_.weights) == list(WITHOUT_META)
    assert classifier.reranker_.meta_scores(labelled_texts[0]) is None


def test_nothing_to_rerank_by(labelled_texts):
    """No meta-labels without names, no neighbors without vectors, and one label a text."""
    X, Y = labelled_texts
    Y = sp.csr_matrix(np.eye(Y.shape[1])[Y.toarray().argmax(axis=1)])
    assert make_classifier(head=FOREIGN).fit(X, Y).reranker_ is None
    asked = make_classifier(head=FOREIGN, reranker=MetaLabelReranker(combine="learned")).fit(X, Y)
    assert list(asked.reranker_.combination_.weights) == ["retrieval", "rare_retrieval"]
    asked.reranker_.label_counts_ = np.full(Y.shape[1], 10**6)  # none is rare
    order = np.argsort(-asked.reranker_.predict_proba(X), axis=1, kind="stable")
    retrieved = asked.retriever_.predict_proba(X)
    assert_array_equal(order, np.argsort(-retrieved, axis=1, kind="stable"))


def test_labels_that_occur_together_in_held_out_rows_alone(labelled_texts):
    """The first training knows of none, the refit does: they must agree on a reranker."""
    X, Y = labelled_texts
    Y = np.eye(Y.shape[1])[Y.toarray().argmax(axis=1)]
    for row in np.flatnonzero(Y[:, 3] == 0):
        Y[row, 3] = 1
        if row in train_holdout_split(sp.csr_matrix(Y), 0.25, random_state=0)[1]:
            break
        Y[row, 3] = 0
    assert (Y.sum(axis=1) > 1).sum() == 1
    classifier = make_classifier(head=FOREIGN, refit=True).fit(X, sp.csr_matrix(Y))
    assert list(classifier.reranker_.combination_.weights) == ["retrieval", "rare_retrieval"]
    assert np.isfinite(classifier.predict_proba(X)).all()


@pytest.mark.filterwarnings("ignore:.* labels have no training text")
def test_too_few_rows_to_learn_on(labelled_texts, questions):
    """Then scores are multiplied, as the paper does."""
    X, Y = labelled_texts[0][:30], labelled_texts[1][:30]
    with pytest.warns(UserWarning, match="rows could be held out"):
        classifier = make_classifier(labels=questions.labels).fit(X, Y)
    assert classifier.reranker_.combine == "learned"
    assert classifier.reranker_.combination_ is None
    label_to_meta = questions.labels.label_to_meta.toarray()
    means = classifier.head_.meta_scores(X) @ label_to_meta.T / label_to_meta.sum(axis=1)
    expected = classifier.retriever_.predict_proba(X) * means
    assert_allclose(classifier.reranker_.predict_proba(X), expected, rtol=1e-5)
    assert_array_equal(classifier.pipeline_.predict_proba(X), classifier.predict_proba(X))


@pytest.mark.filterwarnings("ignore:.* texts have no label")
@pytest.mark.parametrize("reads", [True, False])
def test_reranking_expects_unseen_labels_where_their_texts_are_read(
    labelled_texts, questions, reads
):
    X, Y = labelled_texts
    Y = Y.toarray()
    Y[:, [2, 9]] = 0
    Y[np.flatnonzero(Y[:, 4])[1:], 4] = 0  # one label is seen once
    classifier = make_classifier(labels=questions.labels, label_texts=reads).fit(X, Y)
    assert bool(classifier.reranker_.combination_.unseen_shift) == reads
    found = classifier.explain(X[0], k=12).reasons
    assert {reason.label for reason in found} == set(questions.labels.names)
    for reason in found:
        reranked = 1 / (1 + np.exp(-sum(reason.reranking.values())))
        assert reranked == pytest.approx(reason.reranked_score, rel=1e-3, abs=1e-6)


@pytest.mark.filterwarnings("ignore:.* texts have no label")
def test_shift_of_unseen_labels_is_that_of_all_rows(labelled_texts, questions):
    X, Y = labelled_texts
    Y = sp.csr_matrix(Y.toarray() * ~np.isin(np.arange(12), [2, 9]))
    shift = unseen_log_odds(Y)
    assert shift < 0
    for refit in (True, False):
        classifier = make_classifier(labels=questions.labels, refit=refit).fit(X, Y)
        assert classifier.retriever_.unseen_shift == shift
        assert classifier.retriever_.unseen_curve == classifier.blend_["unseen_curve"]
        assert_array_equal(classifier.retriever_.unseen, [2, 9])


@pytest.mark.parametrize(
    "params",
    [
        {"combine": "sum"}, {"mean": "harmonic"}, {"top_r": 0}, {"alpha": -1},
        {"validation_fraction": 0.7}, {"label_to_meta": np.full((12, 2), 2)},
    ],
)  # fmt: skip
def test_parameters_of_the_reranker_are_checked_before_training(labelled_texts, fits, params):
    with pytest.raises(ValueError, match=f"`{next(iter(params))}`"):
        make_classifier(reranker=MetaLabelReranker(**params)).fit(*labelled_texts)
    assert fits == []


def test_the_reranker_of_a_composite_has_no_retriever_of_its_own(labelled_texts, fits):
    head = ClassCenterHead(n_epochs=1)
    reranker = MetaLabelReranker(head, retriever=head, combine="learned")
    with pytest.raises(ValueError, match="`reranker__retriever` must be None"):
        make_classifier(reranker=reranker).fit(*labelled_texts)
    assert fits == []


# --- meta-labels from names -------------------------------------------------------------------


class Decomposer:
    """What a user may write: the first letter of each label."""

    def decompose(self, labels):
        metas = {name: [f"on {name[0].lower()}"] for name in labels.names}
        return LabelSpace(labels.names, meta_labels=metas)


def names_of(questions):
    return LabelSpace(questions.labels.names)


QUICK = {"encoder": TfidfVectorizer(), "lexical": None, "refit": False}


@pytest.mark.parametrize("form", ["labels", "label sets"])
def test_meta_labels_are_made_of_names(labelled_texts, questions, form):
    X, Y = labelled_texts
    labels = names_of(questions) if form == "labels" else None
    targets = Y if labels else questions.labels.decode(Y)
    classifier = make_classifier(**QUICK, labels=labels).fit(X, targets)
    known = labels or LabelSpace.from_targets(targets)
    expected = NameDecomposer().decompose(known)
    assert classifier.labels_ == expected
    assert classifier.labels is labels
    assert expected.label_to_meta.nnz > 0
    reranker = classifier.reranker_
    assert_array_equal(reranker.label_to_meta_.toarray(), expected.label_to_meta.toarray())
    assert classifier.head_.meta_coef_.shape[0] == expected.label_to_meta.shape[1]
    assert "meta_labels" in reranker.combination_.weights


def test_map_that_is_there_stays(labelled_texts, questions, monkeypatch):
    monkeypatch.setattr(Decomposer, "decompose", None)
    monkeypatch.setattr(NameDecomposer, "decompose", None)
    for given in ("auto", Decomposer(), None):
        classifier = make_classifier(**QUICK, labels=questions.labels, meta_labels=given)
        assert classifier.fit(*labelled_texts).labels_ is questions.labels


@pytest.mark.parametrize("params", [{"meta_labels": None}, {"reranker": "passthrough"}])
def test_no_meta_labels_where_nobody_wants_them(labelled_texts, questions, params):
    labels = names_of(questions)
    classifier = make_classifier(**QUICK, labels=labels, **params).fit(*labelled_texts)
    assert classifier.labels_ is labels
    assert classifier.head_.meta_coef_ is None


@pytest.mark.parametrize("reranker", [None, MetaLabelReranker(), make_reranker(FOREIGN)])
def test_decomposer_of_ones_own(labelled_texts, questions, reranker):
    X, Y = labelled_texts
    kind = {"labels": names_of(questions), "meta_labels": Decomposer(), "reranker": reranker}
    classifier = make_classifier(**QUICK, **kind).fit(X, Y)
    letters = sorted({name[0].lower() for name in questions.labels.names})
    assert sorted(classifier.labels_.meta_names) == [f"on {letter}" for letter in letters]
    assert classifier.reranker_.meta_scores(X).shape == (80, len(letters))
    assert_array_equal(classifier.pipeline_.predict_proba(X), classifier.predict_proba(X))


def test_parameters_of_a_decomposer_are_nested(questions, labelled_texts):
    classifier = make_classifier(
        **QUICK, labels=names_of(questions), meta_labels=NameDecomposer(min_labels=3)
    )
    classifier = clone(classifier).set_params(meta_labels__min_labels=1)
    expected = NameDecomposer(min_labels=1).decompose(names_of(questions))
    assert classifier.fit(*labelled_texts).labels_ == expected
    assert expected != NameDecomposer(min_labels=3).decompose(names_of(questions))


def test_names_that_are_codes_say_nothing(labelled_texts):
    labels = LabelSpace([f"A{i}" for i in range(12)])
    with pytest.warns(UserWarning, match="12 of 12 labels read like codes") as caught:
        classifier = make_classifier(**QUICK, labels=labels).fit(*labelled_texts)
    assert len(caught) == 1
    assert classifier.labels_.label_to_meta is None
    assert list(classifier.reranker_.combination_.weights) == list(WITHOUT_META)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clone(classifier).set_params(meta_labels=None).fit(*labelled_texts)


def test_decomposer_without_names(labelled_texts, fits):
    with pytest.raises(ValueError, match="made of label names, and none are known: give `labels`"):
        make_classifier(meta_labels=NameDecomposer()).fit(*labelled_texts)
    assert fits == []


@pytest.mark.parametrize("given", ["names", 1, True, np.eye(12), NameDecomposer, {"a": ["b"]}])
def test_what_is_no_decomposer(labelled_texts, questions, fits, given):
    """An array was compared with a word, which has no truth value; a class was called."""
    with pytest.raises(TypeError, match="`meta_labels` must be 'auto', an object"):
        make_classifier(meta_labels=given, labels=names_of(questions)).fit(*labelled_texts)
    assert fits == []


@pytest.mark.parametrize(
    "result", [None, {"a": ["b"]}, LabelSpace(["a", "b"], meta_labels={"a": ["x"]}), "reversed"]
)
def test_decomposer_that_returns_something_else(labelled_texts, questions, fits, result):
    """Columns of another order would have silently got the meta-labels of other labels."""

    class Wrong:
        def decompose(self, labels):
            return LabelSpace(labels.names[::-1]) if result == "reversed" else result

    with pytest.raises(ValueError, match="must return a LabelSpace of the same labels"):
        make_classifier(meta_labels=Wrong(), labels=names_of(questions)).fit(*labelled_texts)
    assert fits == []


# --- failing ----------------------------------------------------------------------------------


class Stopping(ClassifierMixin, BaseEstimator):
    """A lexical channel whose fit is stopped: encoder and head are new by then."""

    def fit(self, X, y):
        raise KeyboardInterrupt

    def predict_proba(self, X):
        raise AssertionError("never fitted")


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"lexical": Stopping()}, KeyboardInterrupt),
        ({"head__n_frozen_layers": 99}, ValueError),
        ({"reranker": "no"}, (TypeError, ValueError)),
    ],
)
def test_a_fit_that_ends_early_leaves_the_model_that_there_was(questions, params, error):
    """Else the old scores would stand under the names of the new labels."""
    X, names = list(questions.texts), questions.labels.decode(questions.Y)
    classifier = make_classifier().fit(X, names)
    labels, best = classifier.predict_topk(X, k=3)
    before = dict(vars(classifier))
    others = [{f"other {name}" for name in row} for row in names]
    classifier.set_params(**params)
    with pytest.raises(error):
        classifier.fit(X, others)
    after = classifier.predict_topk(X, k=3)
    assert_array_equal(after[0], labels)
    assert_array_equal(after[1], best)
    assert vars(classifier).keys() == before.keys()
    fresh = clone(classifier)
    with pytest.raises(error):
        fresh.fit(X, others)
    assert not any(name.endswith("_") for name in vars(fresh))


# --- prediction -------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 5, 12])
def test_topk_is_the_head_of_the_sorted_scores(fitted, questions, k):
    names, best = fitted.predict_topk(questions.texts, k=k)
    scores = fitted.predict_proba(questions.texts)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert_array_equal(best, np.take_along_axis(scores, order, axis=1))
    assert_array_equal(names, np.array(questions.labels.names)[order])
    assert best.dtype == np.float32


def test_topk_of_more_than_there_are_is_all(fitted, questions):
    names, best = fitted.predict_topk(questions.texts[:3], k=99)
    assert names.shape == best.shape == (3, 12)


def test_topk_without_names_gives_columns(labelled_texts):
    X, Y = labelled_texts
    classifier = make_classifier(lexical=None).fit(X, Y)
    columns, best = classifier.predict_topk(X[:4], k=2)
    assert columns.dtype.kind == "i"
    assert_array_equal(best[:, 0], classifier.predict_proba(X[:4]).max(axis=1))


@pytest.mark.parametrize("k", [1, 5, 12])
def test_best_scores_alone(fitted, questions, k):
    texts = list(questions.texts)
    sparse, dense = fitted.predict_proba(texts, top_k=k), fitted.predict_proba(texts)
    assert sparse.format == "csr"
    assert sparse.shape == dense.shape
    assert (np.diff(sparse.indptr) == k).all()
    best = np.sort(dense, axis=1)[:, -k:]
    assert_array_equal(np.sort(sparse.data.reshape(-1, k), axis=1), best)
    rows = np.repeat(np.arange(len(texts)), k)
    assert_array_equal(sparse.data, dense[rows, sparse.indices])


def test_features_of_texts_are_made_once(labelled_texts, questions, monkeypatch, tmp_path):
    """For the lexical channel and the one of label texts together; in a loaded model, too."""
    read = []

    def counted(self, X, **params):
        read.append(len(X))
        return transform(self, X, **params)

    transform = FeatureUnion.transform
    force_weights(monkeypatch, THREE)
    X, Y = labelled_texts
    classifier = make_classifier(labels=questions.labels).fit(X, Y)
    expected = classifier.pipeline_.predict_proba(X)  # which asks each channel by itself
    monkeypatch.setattr(FeatureUnion, "transform", counted)
    for model in (classifier, load_model(classifier.save(tmp_path / "model"))):
        read.clear()
        assert_array_equal(model.predict_proba(X), expected)
        assert read == [80]


@pytest.mark.parametrize("k", [0, 13, 1.5, "2"])
def test_best_scores_of_an_impossible_number(fitted, k):
    with pytest.raises((ValueError, TypeError), match="`top_k`"):
        fitted.predict_proba(["x"], top_k=k)


@pytest.mark.parametrize("k", [0, -1, 1.5, "2"])
def test_topk_of_an_impossible_number(fitted, k):
    with pytest.raises((ValueError, TypeError), match="`k`"):
        fitted.predict_topk(["x"], k=k)


def test_prediction_in_blocks(fitted, questions, monkeypatch):
    monkeypatch.setattr("skrr2qc.classifiers._sparse_scores.block_rows", lambda n_labels: 7)
    texts = list(questions.texts[:78])  # one text is left for the last block
    blocks = [fitted.predict_proba(texts[i : i + 7]) for i in range(0, 78, 7)]
    assert_array_equal(fitted.predict(texts), np.vstack(blocks) > fitted.threshold_)
    assert_array_equal(fitted.predict_topk(texts, k=12)[1], -np.sort(-np.vstack(blocks), axis=1))


def test_reranked_scores_follow_equation_15(fitted, questions):
    texts = list(questions.texts)
    label_to_meta = questions.labels.label_to_meta.toarray()
    assert label_to_meta.sum(axis=1).min() > 0
    means = fitted.reranker_.meta_scores(texts) @ label_to_meta.T / label_to_meta.sum(axis=1)
    expected = fitted.retriever_.predict_proba(texts) * means
    assert_allclose(fitted.reranker_.transform(texts), expected, rtol=1e-5)
    assert_allclose(fitted.predict_proba(texts), fitted.calibration_(expected), rtol=1e-4)


def test_texts_that_nobody_expects(fitted):
    texts = ["", " ", "\n\t", "\x00\x07\x1b[31m", "😀" * 50, "\u202e\u200b\ufeff", "q" * 200_000]
    texts += ["e\u0301", "面积是多少？", "\\frac{1}{2}" * 100, "a" + "\u0300" * 500]
    scores = fitted.predict_proba(texts)
    assert np.isfinite(scores).all()
    assert ((scores >= 0) & (scores <= 1)).all()
    assert_array_equal(fitted.pipeline_.predict_proba(texts), scores)


def test_training_texts_that_nobody_expects(labelled_texts):
    X, Y = labelled_texts
    X[0], X[1], X[2], X[3] = "", "\x00\x07", "😀 \u202e\u200b", "word " * 40_000
    with pytest.warns(UserWarning, match="1 of 80 texts are longer than 256 tokens"):
        scores = make_classifier().fit(X, Y).predict_proba(X)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    "text, lexical",
    [("area of a circle", "tfidf"), ("area of a circle", None), ("", None), ("\u2603", "tfidf")],
)
def test_texts_that_are_all_the_same(labelled_texts, text, lexical):
    _, Y = labelled_texts
    scores = make_classifier(lexical=lexical).fit([text] * 80, Y).predict_proba([text, "other"])
    assert np.isfinite(scores).all()
    assert scores[0].argmax() == Y.sum(axis=0).argmax()


def test_half_of_a_surrogate_pair_is_no_text(labelled_texts):
    X, Y = labelled_texts
    X[5] = "broken \ud83d emoji"
    with pytest.raises(ValueError, match="surrogate"):
        make_classifier().fit(X, Y)


# --- memory -----------------------------------------------------------------------------------


@pytest.mark.parametrize("memory_type", [str, lambda path: joblib.Memory(path, verbose=0)])
def test_memory_changes_no_score(labelled_texts, fitted, tmp_path, fits, memory_type):
    X, Y = labelled_texts
    expected = fitted.predict_proba(X)
    classifier = clone(fitted).set_params(memory=memory_type(str(tmp_path)))
    for is_first in (True, False):
        fits.clear()
        scores = classifier.fit(X, Y).predict_proba(X)
        assert_array_equal(scores, expected)
        assert_array_equal(classifier.pipeline_.predict_proba(X), expected)
        assert bool(fits) == is_first
    assert classifier.head_.encoder_.estimator is classifier.encoder_


def test_memory_without_a_seed_remembers_nothing(labelled_texts, tmp_path, fits):
    X, Y = labelled_texts
    classifier = make_classifier(lexical=None, random_state=None, memory=str(tmp_path))
    n_fits = [len(fits) for _ in range(2) if classifier.fit(X, Y)]
    assert n_fits == [3, 6]


@pytest.mark.parametrize("change", [0, "text", "label"])
def test_memory_knows_what_changed(labelled_texts, tmp_path, fits, change):
    X, Y = labelled_texts
    classifier = make_classifier(lexical=None, memory=str(tmp_path)).fit(X, Y)
    fits.clear()
    if change == "text":
        X[0] += "!"
    elif change == "label":
        Y = Y.tolil()
        Y[0, 0] = 1 - Y[0, 0]
        Y = Y.tocsr()
    classifier.fit(X, Y)
    assert [name for name, _ in fits].count("RCPTEncoder") == (0 if change == 0 else 1)
    assert [name for name, _ in fits].count("ClassCenterHead") == (0 if change == 0 else 2)


@pytest.mark.filterwarnings("ignore:.* labels have no training text")
def test_grid_fits_the_encoder_once_a_fold(labelled_texts, questions, tmp_path, fits):
    X, Y = labelled_texts
    classifier = make_classifier(
        reranker=make_reranker(),
        labels=questions.labels,
        validation_fraction=0.5,
        refit=False,
        memory=str(tmp_path),
    )
    GridSearchCV(
        classifier,
        {"head__class_center_weight": [0.0, 0.1], "reranker__alpha": [0.5, 1.0]},
        cv=MultilabelStratifiedKFold(2),
        scoring=ndcg_at_5_scorer,
        error_score="raise",
    ).fit(X, Y.toarray())
    assert [name for name, _ in fits].count("RCPTEncoder") == 2 + 1


# --- wrong parts ------------------------------------------------------------------------------


class OwnReranker(BaseEstimator):
    """Has the method that is named, and not what the composite asks of it besides."""

    def rerank(self, label_scores, X):
        return label_scores


@pytest.mark.parametrize(
    "params",
    [
        {"encoder": "bert-base"},
        {"encoder": RCPTEncoder},
        {"encoder": LogisticRegression()},
        {"encoder": 3},
        {"head": "linear"},
        {"head": ClassCenterHead},
        {"head": TfidfVectorizer()},
        {"head": KMeans()},
        {"head": 3},
        {"lexical": "bm25"},
        {"lexical": TfidfLinearClassifier},
        {"lexical": TfidfVectorizer()},
        {"reranker": "meta"},
        {"reranker": MetaLabelReranker},
        {"reranker": LogisticRegression()},
        {"reranker": OwnReranker()},
        {"labels": ["circle"]},
        {"labels": {"circle": "area"}},
        {"label_texts": None},
        {"label_texts": 1},
        {"label_texts": "yes"},
        {"device": 0},
        {"validation_fraction": "0.1"},
    ],
)
def test_parts_of_a_wrong_type(labelled_texts, fits, params):
    with pytest.raises(TypeError, match=f"`{next(iter(params))}`"):
        make_classifier(**params).fit(*labelled_texts)
    assert fits == []


@pytest.mark.parametrize(
    "params, message",
    [
        ({"validation_fraction": 0}, "validation_fraction"),
        ({"validation_fraction": 0.6}, "validation_fraction"),
        ({"device": "cuda:99x"}, "device"),
        ({"threshold": "best"}, "`threshold` must be one of"),
        ({"threshold": np.nan}, "`threshold` must be one of"),
        ({"labels": LabelSpace(["a", "b"])}, "expected 2 columns, got 12"),
        ({"reranker": make_reranker(label_to_meta=np.eye(3))}, r"expected shape \(12, M\)"),
        ({"reranker": make_reranker(labels=LabelSpace(["a", "b"]))}, "expected 2 columns, got 12"),
        ({"head": ClassCenterHead(labels=LabelSpace(["a"]))}, "expected 1 columns, got 12"),
    ],
)
def test_parameters_out_of_range_stop_before_training(labelled_texts, fits, params, message):
    """A map for other labels was found out once encoder and head had been trained."""
    with pytest.raises(ValueError, match=message):
        make_classifier(**params).fit(*labelled_texts)
    assert fits == []


def test_reranker_without_a_map_warns_once(labelled_texts):
    X, Y = labelled_texts
    with pytest.warns(UserWarning, match="no map from labels to meta-labels") as caught:
        classifier = make_classifier(reranker=make_reranker(), lexical=None).fit(X, Y)
    assert len(caught) == 1
    retrieved = classifier.retriever_.predict_proba(X)
    assert_array_equal(classifier.predict_proba(X), classifier.calibration_(retrieved))


def test_nothing_to_warn_about(labelled_texts, questions):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_classifier(labels=questions.labels, reranker=make_reranker()).fit(*labelled_texts)


# --- other parts ------------------------------------------------------------------------------


def test_encoder_that_is_frozen_is_used_as_it_is(labelled_texts, tiny_encoder, fits):
    X, Y = labelled_texts
    vectors = tiny_encoder.transform(X)
    classifier = make_classifier(encoder=FrozenEstimator(tiny_encoder)).fit(X, Y)
    assert classifier.encoder_.estimator is tiny_encoder
    assert "RCPTEncoder" not in [name for name, _ in fits]
    assert_array_equal(tiny_encoder.transform(X), vectors)


@pytest.mark.parametrize("weights", [{"head": 1.0}, HALF])
def test_head_of_ones_own_that_takes_the_encoder(labelled_texts, tmp_path, monkeypatch, weights):
    """With a memory it was asked to detach the encoder, which only our own parts can."""
    X, Y = labelled_texts
    force_weights(monkeypatch, weights)
    classifier = make_classifier(head=OwnHead()).fit(X, Y)
    scores = classifier.predict_proba(X)
    assert_array_equal(classifier.pipeline_.predict_proba(X), scores)
    cached = clone(classifier).set_params(memory=str(tmp_path))
    for _ in range(2):
        assert_array_equal(cached.fit(X, Y).predict_proba(X), scores)


@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.8"),
    reason="scikit-learn before 1.8 takes a stateless vectorizer for one that is not fitted",
)
def test_stateless_vectorizer(labelled_texts):
    X, Y = labelled_texts
    classifier = make_classifier(encoder=HashingVectorizer(n_features=64), lexical=None)
    scores = classifier.fit(X, Y).predict_proba(X)
    assert_array_equal(classifier.pipeline_.predict_proba(X), scores)


def test_html_before_and_after_fit(fitted):
    for estimator in (clone(fitted), fitted, fitted.pipeline_):
        page = estimator._repr_html_()
        assert "ClassCenterHead" in page or "ScoreStep" in page
        assert "RCPTEncoder" in page or "EncodeStep" in page
        assert repr(estimator)


def test_progress_goes_to_the_error_stream(labelled_texts, capsys):
    X, Y = labelled_texts
    make_classifier(verbose=1, lexical=None).fit(X, Y)
    output = capsys.readouterr()
    assert output.out == ""
    assert "12 labels" in output.err
    assert "cross_entropy" in output.err
    make_classifier(lexical=None).fit(X, Y)
    assert capsys.readouterr().err == ""


@pytest.mark.filterwarnings("ignore:.* texts have no label")
def test_labels_without_examples_rank_last_under_a_foreign_head(labelled_texts):
    """One-vs-rest gives an absent label the logit 0, above those of most labels that it learned."""
    X, Y = labelled_texts
    Y = sp.hstack([Y, sp.csr_matrix((Y.shape[0], 2))]).tocsr()
    head = OneVsRestClassifier(LogisticRegression())
    with pytest.warns(UserWarning, match="not present in all|have no training text"):
        classifier = make_classifier(head=head, lexical=None).fit(X, Y)
    scores = classifier.predict_proba(X)
    assert (scores[:, -2:].max(axis=1) < scores[:, :-2].min(axis=1)).all()
    assert_array_equal(classifier.pipeline_.predict_proba(X), scores)
    assert classifier.unseen_.tolist() == [Y.shape[1] - 2, Y.shape[1] - 1]


def test_reranker_of_a_composite_predicts_alone(fitted, questions):
    """It once had no threshold, since it is fitted without a retriever."""
    texts = list(questions.texts)
    scores = fitted.reranker_.transform(texts)
    assert_array_equal(fitted.calibration_(scores), fitted.predict_proba(texts))
    predicted = fitted.reranker_.predict(texts)
    assert_array_equal(predicted, scores > fitted.reranker_.threshold_)
    assert 0 < predicted.sum() < predicted.size


# --- what a review found ------------------------------------------------------------------------


def test_foreign_heads_learn_their_own_columns_beyond_128_labels():
    """int8 targets were permuted by scikit-learn's LabelBinarizer from the 129th column on."""
    Y = np.tile(np.eye(150, dtype=int), (3, 1))
    texts = [f"word{row.argmax()} again" for row in Y]
    classifier = make_classifier(
        encoder=TfidfVectorizer(), head=OneVsRestClassifier(LogisticRegression(C=100.0)),
        lexical=None, label_texts=False, reranker="passthrough", validation_fraction=0.1,
    )  # fmt: skip
    scores = classifier.fit(texts, Y).predict_proba(texts)
    assert (scores.argmax(axis=1) == Y.argmax(axis=1)).mean() > 0.95


@pytest.mark.parametrize("head", [LogisticRegression(), OneVsRestClassifier(LinearSVC())])
def test_one_label_with_a_foreign_head(head):
    texts = ["area of a circle", "mean of a sample"] * 30
    Y = np.array([[1], [0]] * 30)
    if isinstance(head, LogisticRegression):
        head = OneVsRestClassifier(head)
    classifier = make_classifier(head=head, lexical=None, reranker="passthrough").fit(texts, Y)
    scores = classifier.predict_proba(texts)
    assert scores.shape == (60, 1)
    assert scores[::2].min() > scores[1::2].max()
    assert_array_equal(classifier.pipeline_.predict_proba(texts), scores)


@pytest.mark.parametrize(
    "params",
    [
        {"head": ClassCenterHead(loss="nope")},
        {"lexical": TfidfLinearClassifier(n_negatives=1)},
        {"reranker": MetaLabelReranker(ClassCenterHead(ema_decay=1.0))},
    ],
)
def test_parameters_of_parts_are_checked_before_any_work(labelled_texts, fits, params):
    with pytest.raises(ValueError, match="loss|n_negatives|ema_decay"):
        make_classifier(**params).fit(*labelled_texts)
    assert not fits
