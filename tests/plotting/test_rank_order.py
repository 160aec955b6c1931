"""RankOrderDisplay: which similarities are drawn, and two displays side by side."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from skrr2qc.metrics import rank_order_accuracy, rank_similarity_profile
from skrr2qc.plotting import RankOrderDisplay

TEXTS = ["area of a circle", "area of a square", "circle and square", "mean of a sample", "mean"]
RANKS = np.array(
    [[0, 2, 2, 4, 4], [2, 0, 2, 4, 4], [2, 2, 0, 4, 4], [4, 4, 4, 0, 2], [4, 4, 4, 2, 0]]
)


class Dense(TfidfVectorizer):
    def transform(self, raw_documents):
        return super().transform(raw_documents).toarray()


@pytest.fixture
def ax():
    return pytest.importorskip("matplotlib.figure").Figure().subplots()


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 9)), rng.integers(-1, 4, size=(6, 9))


def test_from_predictions_draws_the_profile(ax, case):
    display = RankOrderDisplay.from_predictions(*case, name="tuned", ax=ax)
    ranks, means, stds, counts = rank_similarity_profile(*case)
    accuracy = rank_order_accuracy(*case)
    assert display.accuracy == accuracy
    assert_array_equal(display.counts, counts)
    (line,) = display.lines_
    assert_array_equal(line.get_xdata(), ranks)
    assert_allclose(line.get_ydata(), means, rtol=1e-12)
    _, _, (bars,) = display.errorbar_.lines
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    assert_allclose(ends, np.stack([means - stds, means + stds], axis=1), rtol=1e-12)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    (text,) = ax.get_legend().get_texts()
    assert text.get_text() == f"tuned (rank order accuracy {accuracy:.3f})"
    ax.figure.canvas.draw()


@pytest.mark.parametrize("kind", [TfidfVectorizer, Dense])
def test_from_estimator_leaves_the_diagonal_out(ax, kind):
    encoder = kind().fit(TEXTS)
    cosines = cosine_similarity(encoder.transform(TEXTS))
    outside = ~np.eye(5, dtype=bool)
    before = RANKS.copy()
    display = RankOrderDisplay.from_estimator(encoder, TEXTS, RANKS, ax=ax)
    assert_array_equal(RANKS, before)
    assert_array_equal(display.ranks, [2, 4])  # rank 0 occurs on the diagonal only
    assert_allclose(
        display.means, [cosines[(before == r) & outside].mean() for r in (2, 4)], rtol=1e-12
    )
    assert_array_equal(display.counts, [8, 12])
    left_out = np.where(outside, RANKS, -1)
    assert_allclose(display.accuracy, rank_order_accuracy(cosines, left_out), rtol=1e-12)
    assert display.name == kind.__name__


def test_an_embedding_of_zeros_is_similar_to_nothing(ax):
    encoder = TfidfVectorizer().fit(TEXTS[:4])
    texts = [*TEXTS[:4], "unheard"]
    display = RankOrderDisplay.from_estimator(encoder, texts, RANKS, name="x", ax=ax)
    cosines = cosine_similarity(encoder.transform(texts))
    assert_array_equal(cosines[4], 0.0)
    assert_allclose(display.means[0], cosines[RANKS == 2].mean(), rtol=1e-12)


def test_two_displays_on_one_ax(ax, case):
    similarities, ranks = case
    first = RankOrderDisplay.from_predictions(similarities, ranks, name="before", ax=ax)
    second = RankOrderDisplay.from_predictions(-ranks - 0.5, ranks, name="after", ax=first.ax_)
    assert second.ax_ is first.ax_
    assert first.lines_[0].get_color() != second.lines_[0].get_color()
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert [text.split(" (")[0] for text in texts] == ["before", "after"]
    assert texts[1].endswith("1.000)")


def test_name_and_style_at_plot(ax):
    display = RankOrderDisplay([0, 2], [0.9, 0.1], [0.1, 0.2], [3, 4], 0.75)
    display.plot(ax, ls="--", marker="s")
    assert display.errorbar_.get_label() == "rank order accuracy 0.750"
    assert display.lines_[0].get_linestyle() == "--"
    assert display.lines_[0].get_marker() == "s"
    assert display.plot(ax, name="other").errorbar_.get_label().startswith("other (")
    assert display.name is None


def test_nothing_is_drawn_before_plot():
    assert not hasattr(RankOrderDisplay([0], [0.9], [0.1], [3], 0.75), "lines_")


@pytest.mark.parametrize(
    ("ranks", "error", "message"),
    [
        (RANKS[:, :4], ValueError, r"expected shape \(5, 5\), got \(5, 4\)"),
        (RANKS / 2, TypeError, "`ranks` must hold integers"),
        (np.zeros((5, 5), dtype=int), ValueError, "two different ranks"),
    ],
)
def test_unusable_ranks(ranks, error, message):
    encoder = TfidfVectorizer().fit(TEXTS)
    with pytest.raises(error, match=message):
        RankOrderDisplay.from_estimator(encoder, TEXTS, ranks)


@pytest.mark.parametrize(("ranks", "means"), [([], []), ([0, 2], [0.5]), ([[0, 2]], [[0.5, 0.1]])])
def test_arrays_of_unequal_length(ranks, means):
    with pytest.raises(ValueError, match="must be of one length, at least 1, got shapes"):
        RankOrderDisplay(ranks, means, means, ranks, 0.5)
