"""What a label is called: cosines against scikit-learn's, rows added for the labels."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.pipeline import FeatureUnion

from skrr2qc import LabelSpace
from skrr2qc.baselines import TfidfLinearClassifier, _tfidf
from skrr2qc.classifiers._blend import ChannelBlend, channel_logits
from skrr2qc.classifiers._label_texts import LabelTextSimilarity, add_label_texts
from skrr2qc.classifiers._parts import logits_of

TEXTS = ["The area of a circle", "Solve the quadratic equation", "The mean of a sample"] * 3
LABELS = LabelSpace(["c", "q", "median"], texts={"c": "circle area", "q": "quadratic equation"})


# --- likeness ---------------------------------------------------------------------------------


@pytest.mark.parametrize("vectorizer", [TfidfVectorizer(), CountVectorizer(analyzer="char")])
def test_scores_are_cosines(vectorizer):
    vectorizer = clone(vectorizer).fit(TEXTS)
    channel = LabelTextSimilarity(LABELS, vectorizer).fit(TEXTS)
    expected = cosine_similarity(
        vectorizer.transform(TEXTS).astype(float), vectorizer.transform(LABELS.texts).astype(float)
    )
    scores = channel.decision_function(TEXTS)
    assert_allclose(scores, expected, atol=1e-6)
    assert scores.dtype == np.float32
    assert channel.vectorizer_ is vectorizer
    assert_array_equal(logits_of(channel, TEXTS), scores)


def test_own_vectorizer_is_that_of_the_linear_classifier():
    channel = LabelTextSimilarity(LABELS).fit(TEXTS)
    everything = [*TEXTS, *LABELS.texts]
    vectorizer = TfidfLinearClassifier().make_vectorizer(everything).fit(everything)
    same = LabelTextSimilarity(LABELS, vectorizer).fit(TEXTS)
    assert_array_equal(channel.decision_function(TEXTS), same.decision_function(TEXTS))
    assert channel.vectorizer is None
    assert_array_equal(channel.classes_, np.arange(3))


def test_texts_are_matched_and_not_names():
    scores = (
        LabelTextSimilarity(LABELS)
        .fit(TEXTS)
        .decision_function(
            ["circle", "an equation that is quadratic", "MEDIAN", "q", "circle area"]
        )
    )
    assert_array_equal(scores[:3].argmax(axis=1), [0, 1, 2])
    assert scores[3, 1] < 0.1
    assert_allclose(scores[4, 0], 1.0, rtol=1e-6)
    assert ((scores >= 0) & (scores <= 1 + 1e-6)).all()


def test_rare_words_tell_more_than_common_ones():
    labels = LabelSpace(["the area", "a circle"])
    texts = ["the area of the field", "the area of the room", "the area of the house", "a circle"]
    scores = LabelTextSimilarity(labels).fit(texts).decision_function(["the circle"])
    assert scores[0, 1] > scores[0, 0]


def test_nothing_in_common_is_zero():
    vectorizer = TfidfVectorizer().fit(TEXTS)
    labels = LabelSpace(["circle", "zebra"])
    channel = LabelTextSimilarity(labels, vectorizer).fit(TEXTS)
    assert channel.label_vectors_[1].nnz == 0
    scores = channel.decision_function(["", "面积", "zzz", "circle"])
    assert_array_equal(scores, np.array([[0, 0], [0, 0], [0, 0], [1, 0]]))


@pytest.mark.parametrize("texts", [[""], ["", " "], ["\u2603"] * 3])
def test_training_texts_without_a_word(texts):
    """Fitted on such texts alone, the vectorizer found an empty vocabulary and gave up."""
    channel = LabelTextSimilarity(LABELS).fit(texts)
    assert channel.decision_function(["circle area"]).argmax() == 0
    assert np.isfinite(channel.decision_function(texts)).all()


def test_chinese_labels():
    labels = LabelSpace(["圆的面积", "二次方程"])
    channel = LabelTextSimilarity(labels).fit(["求圆的面积", "解一元二次方程", "求半径"])
    scores = channel.decision_function(["这个圆的面积是多少", "这个二次方程的解"])
    assert_array_equal(scores.argmax(axis=1), [0, 1])


def test_likeness_is_what_unseen_labels_are_ranked_by():
    """Whatever the head makes of them: it has met neither of the last two."""
    channel = LabelTextSimilarity(LABELS).fit(TEXTS)
    texts = ["the median", "a quadratic equation"]
    own = logits_of(channel, texts)
    head = np.tile(np.float32([3.0, -1.0, -1.0]), (2, 1))
    scales = {"head": (0.0, 2.0), "label_texts": (float(own.mean()), float(own.std()))}
    blend = ChannelBlend({"label_texts": channel}, {"head": 1.0}, scales, unseen=[1, 2])
    assert blend.names == ["label_texts"]
    scores = blend.blend({"head": head, "label_texts": own})
    assert_array_equal(np.argmax(scores[:, 1:], axis=1) + 1, [2, 1])
    assert_allclose(scores[:, 0], np.full(2, expit(1.5)), rtol=1e-6)
    lifted = logit(scores[:, 1:].astype(float)) + 0.25
    standard = (own[:, 1:] - own.mean()) / own.std()
    assert_allclose(lifted, 0.5 * standard, rtol=1e-4, atol=1e-5)


@pytest.fixture
def rows_read(monkeypatch):
    """Numbers of texts of which features were made, in order."""
    read = []
    for kind in (CountVectorizer, FeatureUnion):  # a TfidfVectorizer is one of the former

        def counted(self, X, *args, _transform=kind.transform, **params):
            read.append(len(X))
            return _transform(self, X, *args, **params)

        monkeypatch.setattr(kind, "transform", counted)
    return read


def two_channels(analyzer, kind=TfidfLinearClassifier):
    """The lexical channel and the one of label texts, with one vectorizer."""
    lexical = kind(analyzer=analyzer, random_state=0).fit(TEXTS, np.tile(np.eye(3), (3, 1)))
    return {
        "lexical": lexical,
        "label_texts": LabelTextSimilarity(LABELS, lexical.vectorizer_).fit(TEXTS),
    }


@pytest.mark.parametrize("analyzer", ["char", CountVectorizer()], ids=["tf-idf", "counts"])
@pytest.mark.parametrize("n_rows", [None, 2])
def test_shared_features_are_made_once(analyzer, n_rows, rows_read, monkeypatch):
    """And scores are what each channel gives by itself, to the last bit; in blocks, too."""
    channels = two_channels(analyzer)
    if n_rows:
        monkeypatch.setattr(_tfidf, "_BLOCK_ENTRIES", 3 * n_rows)
    texts = ["the median", "a quadratic equation", "", "circle area", "of 面积 a"]
    rows_read.clear()
    logits = channel_logits(channels, texts)
    assert rows_read == [5]
    for name, channel in channels.items():
        assert_array_equal(logits[name], logits_of(channel, texts))
        assert logits[name].dtype == np.float32
    assert sum(rows_read) == 3 * 5


class Halved(TfidfLinearClassifier):
    """What someone may make of it."""

    def decision_function(self, X):
        return super().decision_function(X) / 2


@pytest.mark.parametrize("what", ["channel", "vectorizer"])
def test_features_of_another_channel_or_vectorizer_are_not_shared(what, rows_read):
    channels = two_channels("char", Halved if what == "channel" else TfidfLinearClassifier)
    if what == "vectorizer":
        channels["label_texts"] = LabelTextSimilarity(LABELS).fit(TEXTS)
    rows_read.clear()
    logits = channel_logits(channels, ["the median"])
    assert len(rows_read) >= 2
    for name, channel in channels.items():
        assert_array_equal(logits[name], logits_of(channel, ["the median"]))


def test_one_label_has_a_column():
    scores = logits_of(LabelTextSimilarity(LabelSpace(["circle"])).fit(TEXTS), TEXTS)
    assert scores.shape == (9, 1)


def test_fitted_vectorizer_stays_as_it_is():
    vectorizer = TfidfVectorizer().fit(TEXTS)
    words, weights = dict(vectorizer.vocabulary_), vectorizer.idf_.copy()
    LabelTextSimilarity(LABELS, vectorizer).fit(["other words"]).decision_function(["more"])
    assert vectorizer.vocabulary_ == words
    assert_array_equal(vectorizer.idf_, weights)


# --- rows of the labels -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_one_row_more_a_label(dtype):
    Y = sp.csr_matrix(np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]] * 3, dtype=dtype))
    before = Y.toarray()
    texts, targets = add_label_texts(TEXTS, Y, LABELS)
    assert texts == [*TEXTS, "circle area", "quadratic equation", "median"]
    assert_array_equal(targets.toarray(), np.vstack([before, np.eye(3)]))
    assert targets.format == "csr"
    assert targets.dtype == dtype
    assert len(TEXTS) == 9
    assert_array_equal(Y.toarray(), before)


def test_label_without_examples_has_its_own_text():
    _, targets = add_label_texts(["a"], sp.csr_matrix((1, 3), dtype=np.float32), LABELS)
    assert_array_equal(targets.getnnz(axis=0), [1, 1, 1])
