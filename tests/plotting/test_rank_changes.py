"""RankChangeDisplay: ranks by brute force, lines that bundle them."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import BernoulliNB

from skrr2qc import RetrievalRerankClassifier
from skrr2qc.plotting import RankChangeDisplay
from skrr2qc.plotting._rank_changes import true_ranks


def ranks_by_hand(Y, scores):
    found = []
    for row, row_scores in zip(Y, scores, strict=True):
        order = sorted(range(len(row)), key=lambda j, s=row_scores: (-s[j], j))
        found += [order.index(j) + 1 for j in range(len(row)) if row[j]]
    return found


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    Y = (rng.random((40, 9)) < 0.3).astype(int)
    stages = {name: rng.integers(0, 6, size=(40, 9)) / 6 for name in ("head", "blend", "reranked")}
    return Y, stages


def test_ranks_by_brute_force(ax, case):
    Y, stages = case
    display = RankChangeDisplay.from_predictions(Y, stages, ax=ax)
    expected = np.column_stack([ranks_by_hand(Y, scores) for scores in stages.values()])
    assert_array_equal(display.ranks, expected)
    assert display.stages == ["head", "blend", "reranked"]
    sparse = RankChangeDisplay.from_predictions(sp.csr_matrix(Y), stages, ax=ax)
    assert_array_equal(sparse.ranks, expected)


def test_labels_that_were_not_retrieved(ax, case, check_drawn):
    Y, stages = case
    scores = stages["head"] + 0.01
    kept = scores >= np.sort(scores, axis=1)[:, [-4]]
    stored = sp.csr_matrix(np.where(kept, scores, 0))
    dense = np.where(kept, scores, -np.inf)
    expected = np.array(ranks_by_hand(Y, scores), dtype=float)
    expected[~kept[Y.nonzero()]] = np.inf
    assert np.isinf(expected).any()
    for form in (stored, sp.csr_array(stored), dense):
        assert_array_equal(true_ranks(Y, form), expected)
    display = RankChangeDisplay.from_predictions(Y, {"all": scores, "kept": stored}, ax=ax)
    check_drawn(ax.figure)
    assert [text.get_text() for text in ax.texts] == ["not retrieved"]
    for lines in display.lines_:
        assert all(np.isfinite(segment).all() for segment in lines.get_segments())


def test_lines_bundle_equal_ranks(ax, check_drawn):
    ranks = [[3, 1], [3, 1], [3, 1], [3, 1], [1, 2], [1, 1]]
    display = RankChangeDisplay(ranks, ["before", "after"]).plot(ax)
    better, worse, same = display.lines_
    assert_array_equal(better.get_segments()[0], [[0, 3], [1, 1]])
    assert_array_equal(worse.get_segments()[0], [[0, 1], [1, 2]])
    assert better.get_linewidths()[0] == pytest.approx(2 * same.get_linewidths()[0])
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["better (4)", "worse (1)", "same (1)"]
    ticks = [tick.get_text() for tick in ax.get_xticklabels()]
    assert ticks == [
        "before\n33 % first\n100 % in first five",
        "after\n83 % first\n100 % in first five",
    ]
    bottom, top = ax.get_ylim()
    assert bottom > 3 > 1 > top  # rank 1 is above
    check_drawn(ax.figure)


def test_only_what_there_is(ax):
    display = RankChangeDisplay([[1.0, 1.0]], ["a", "b"]).plot(ax)
    assert len(display.lines_) == 1
    assert ax.get_legend().get_texts()[0].get_text() == "same (1)"


def test_one_stage_and_hostile_names(ax, check_drawn):
    RankChangeDisplay([[1.0], [np.inf]], ["$\\frac{"]).plot(ax)
    assert ax.get_xticklabels()[0].get_text().startswith("$\\frac{\n50 % first")
    check_drawn(ax.figure)


def test_style(ax, case):
    display = RankChangeDisplay.from_predictions(*case, ax=ax, linestyles=":", alpha=0.9)
    assert all(lines.get_alpha() == 0.9 for lines in display.lines_)


def fit(questions, head, **params):
    classifier = RetrievalRerankClassifier(
        TfidfVectorizer(), head, labels=questions.labels, validation_fraction=0.25, **params
    )
    return classifier.set_params(random_state=0).fit(list(questions.texts), questions.Y)


@pytest.mark.parametrize(
    "head", [OneVsRestClassifier(LogisticRegression()), MultiOutputClassifier(BernoulliNB())]
)
def test_from_estimator(ax, questions, head):
    classifier = fit(questions, head, reranker="passthrough")
    texts, Y = list(questions.texts[:9]), questions.Y[:9]
    display = RankChangeDisplay.from_estimator(classifier, texts, Y, ax=ax)
    assert display.stages == ["head", "retrieval"]
    features = classifier.encoder_.transform(texts)
    scores = classifier.head_[-1].predict_proba(features)
    scores = np.stack([s[:, 1] for s in scores], axis=1) if isinstance(scores, list) else scores
    assert_array_equal(display.ranks[:, 0], ranks_by_hand(Y.toarray(), scores))
    blend = classifier.retriever_.predict_proba(texts)
    assert_array_equal(display.ranks[:, 1], ranks_by_hand(Y.toarray(), blend))


def test_the_last_stage_is_what_predict_proba_gives(ax, questions):
    class Composite:
        head_ = retriever_ = reranker_ = OneVsRestClassifier(LogisticRegression())

        def predict_proba(self, X):
            return np.random.default_rng(0).random((len(X), 12))

    vectors = TfidfVectorizer().fit_transform(questions.texts)
    Composite.head_.fit(vectors, questions.Y.toarray())
    display = RankChangeDisplay.from_estimator(Composite(), vectors.toarray(), questions.Y, ax=ax)
    expected = ranks_by_hand(questions.Y.toarray(), Composite().predict_proba(questions.texts))
    assert display.stages == ["head", "retrieval", "reranked"]
    assert_array_equal(display.ranks[:, 2], expected)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda d: d.from_predictions([[1, 0]], {}), ValueError, "at least one stage"),
        (lambda d: d.from_predictions([[0, 0]], {"a": [[1, 2]]}), ValueError, "nothing to draw"),
        (lambda d: d.from_predictions([[1]], {"a": [[1, 2]]}), ValueError, "same shape"),
        (lambda d: d.from_estimator(BernoulliNB(), ["a"], [[1]]), TypeError, "from_predictions"),
        (lambda d: d([[0.0]], ["a"]), ValueError, "ranks from 1"),
        (lambda d: d([[np.nan]], ["a"]), ValueError, "ranks from 1"),
        (lambda d: d([[1.0]], ["a", "b"]), ValueError, "got 2 names"),
    ],
)
def test_unusable(call, error, message):
    with pytest.raises(error, match=message):
        call(RankChangeDisplay)
