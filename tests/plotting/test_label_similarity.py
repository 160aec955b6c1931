"""LabelSimilarityDisplay: cosines, the figures of Table 7 in the titles, names that fit."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from skrr2qc import LabelSpace
from skrr2qc.metrics import label_similarity_report
from skrr2qc.plotting import LabelSimilarityDisplay


@pytest.fixture
def axes():
    return pytest.importorskip("matplotlib.figure").Figure(figsize=(10, 5)).subplots(1, 2)


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    return rng.normal(size=(7, 4)) + 1, rng.normal(size=(5, 3)) + 1


@pytest.fixture
def labels():
    return LabelSpace(
        ["area of circle", "area of square", "mean"],
        meta_labels={"area of circle": ["area", "circle"], "mean": ["mean"]},
    )


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csr_array])
def test_from_vectors(axes, vectors, form, check_drawn):
    display = LabelSimilarityDisplay.from_vectors(*map(form, vectors), threshold=0.7, ax=axes)
    drawn = [image.get_array() for image in display.images_]
    for similarities, given, image in zip(
        (display.similarities, display.meta_similarities), vectors, drawn, strict=True
    ):
        assert_allclose(similarities, cosine_similarity(given), rtol=1e-10)
        assert_allclose(np.asarray(image), similarities, rtol=1e-12)
    pairs = cosine_similarity(vectors[1])[np.triu_indices(5, 1)]
    title = axes[1].get_title()
    assert title.startswith(f"5 meta-labels: mean {pairs.mean():.3f}, spread {pairs.std():.3f},")
    assert title.endswith(f"{100 * np.mean(pairs > 0.7):.1f} % above 0.7")
    report = label_similarity_report(form(vectors[0]), 0.7)
    assert display.report == report
    assert f"7 labels: mean {report['mean']:.3f}" in axes[0].get_title()
    check_drawn(display.figure_)
    assert display.figure_ is axes[0].figure
    assert display.axes_ == list(axes)


def test_one_scale_of_colours(axes, vectors):
    display = LabelSimilarityDisplay.from_vectors(*vectors, ax=axes)
    lowest = min(cosine_similarity(v).min() for v in vectors)
    for image in display.images_:
        assert_allclose(image.get_clim(), (lowest, 1.0), rtol=1e-10)
    display.plot(axes, vmin=-1, cmap="magma")
    assert display.images_[1].get_clim() == (-1, 1.0)
    assert display.images_[1].get_cmap().name == "magma"


def test_one_map(ax, vectors, check_drawn):
    display = LabelSimilarityDisplay.from_vectors(vectors[0], ax=ax)
    assert display.meta_similarities is None
    assert len(display.images_) == 1
    check_drawn(ax.figure)


def test_from_estimator(axes, labels, check_drawn):
    encoder = TfidfVectorizer().fit(["area of circle and square", "mean"])
    display = LabelSimilarityDisplay.from_estimator(encoder, labels, ax=axes)
    expected = cosine_similarity(encoder.transform(labels.texts))
    assert_allclose(display.similarities, expected, rtol=1e-10)
    expected = cosine_similarity(encoder.transform(labels.meta_names))
    assert_allclose(display.meta_similarities, expected, rtol=1e-10)
    assert [tick.get_text() for tick in axes[0].get_yticklabels()] == list(labels.names)
    assert [tick.get_text() for tick in axes[1].get_xticklabels()] == list(labels.meta_names)
    check_drawn(axes[0].figure)


def test_from_estimator_without_meta_labels(ax, labels):
    encoder = TfidfVectorizer().fit(labels.names)
    display = LabelSimilarityDisplay.from_estimator(encoder, LabelSpace(labels.names), ax=ax)
    assert display.meta_similarities is None


@pytest.mark.parametrize("n_labels", [30, 40, 41, 300])
def test_names_do_not_overlap(n_labels, check_drawn):
    names = [f"label number {i} of very many labels" for i in range(n_labels)]
    rng = np.random.default_rng(0)
    figure = pytest.importorskip("matplotlib.figure").Figure(figsize=(6, 5))
    ax = figure.subplots()
    LabelSimilarityDisplay.from_vectors(rng.normal(size=(n_labels, 5)), names=names, ax=ax)
    check_drawn(figure)
    for ticks, low, high in ((ax.get_xticklabels(), 0, 2), (ax.get_yticklabels(), 1, 3)):
        shown = [tick for tick in ticks if tick.get_text() and tick.get_visible()]
        assert (shown[0].get_text() == "label number 0 o…ny labels") == (n_labels <= 40)
        boxes = np.array([tick.get_window_extent().extents for tick in shown])
        boxes = boxes[np.argsort(boxes[:, low])]
        assert (boxes[1:, low] >= boxes[:-1, high] - 0.5).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda d, ax: d.from_vectors([[1.0, 0.0]], ax=ax), ValueError, "at least two rows"),
        (lambda d, ax: d.from_vectors([[1.0], [0.0]], ax=ax), ValueError, "not zero"),
        (lambda d, ax: d.from_vectors([[1.0], [2.0]], names=["a"], ax=ax), ValueError, "2 names"),
        (lambda d, ax: d.from_vectors(np.eye(2), np.eye(3), ax=ax), ValueError, "2 maps, got 1"),
        (lambda d, ax: d.from_estimator("mean", ax), TypeError, "has no `transform`"),
        (lambda d, ax: d.from_estimator(TfidfVectorizer(), ["a"]), TypeError, "a LabelSpace"),
        (lambda d, ax: d(np.ones((2, 3)), {}), ValueError, "must be square"),
    ],
)
def test_unusable(ax, call, error, message):
    with pytest.raises(error, match=message):
        call(LabelSimilarityDisplay, ax)
