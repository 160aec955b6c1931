"""ClassCenterDisplay: which texts and labels are drawn, and where."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.frozen import FrozenEstimator

from skrr2qc import ClassCenterHead, RetrievalRerankClassifier
from skrr2qc.plotting import ClassCenterDisplay


@pytest.fixture
def case():
    """60 texts around five centers; label 4 has none, a few texts have two."""
    rng = np.random.default_rng(0)
    centers = 4 * rng.normal(size=(5, 6))
    label = rng.integers(0, 4, size=60) // (1 + rng.integers(0, 2, size=60))
    Y = np.eye(5, dtype=int)[label]
    Y[:4] = [1, 0, 0, 1, 0]
    Y[10:14] = 0
    return centers[label] + rng.normal(size=(60, 6)), centers, Y


def test_the_most_frequent_labels_are_drawn(ax, case, check_drawn):
    Y = case[2]
    names = ["zero", "one", "two", "three", "four"]
    display = ClassCenterDisplay.from_vectors(*case, n_labels=3, names=names, ax=ax)
    columns = np.argsort(-Y.sum(axis=0), kind="stable")[:3]
    rows = np.flatnonzero(Y[:, columns].any(axis=1))
    assert display.names == [names[column] for column in columns]
    assert_array_equal(display.members, Y[np.ix_(rows, columns)].astype(bool))
    assert display.points.shape == (len(rows), 2)
    assert display.centers.shape == (3, 2)
    check_drawn(ax.figure)


def test_centers_lie_among_their_texts(ax, case):
    display = ClassCenterDisplay.from_vectors(*case, labels=[0, 1, 2], ax=ax)
    for c, center in enumerate(display.centers):
        distances = [
            np.linalg.norm(display.points[member].mean(axis=0) - center)
            for member in (display.members & (display.members.sum(axis=1) == 1)[:, None]).T
        ]
        assert np.argmin(distances) == c


def test_scatters_hold_the_points(ax, case):
    display = ClassCenterDisplay.from_vectors(*case, labels=[0, 3], ax=ax)
    first, second, both, centers = display.scatters_
    several = display.members.sum(axis=1) == 2
    assert several.sum() == 4
    for c, drawn in enumerate((first, second)):
        own = display.members[:, c] & ~several
        assert_array_equal(drawn.get_offsets(), display.points[own])
    assert_array_equal(both.get_offsets(), display.points[several])
    assert_array_equal(centers.get_offsets(), display.centers)
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["0", "3", "several of them"]


def test_twice_the_same(case):
    figure = pytest.importorskip("matplotlib.figure").Figure()
    first, second, other = (
        ClassCenterDisplay.from_vectors(*case, random_state=seed, max_texts=20, ax=ax)
        for seed, ax in zip((0, 0, 1), figure.subplots(1, 3), strict=True)
    )
    assert_array_equal(first.points, second.points)
    assert_array_equal(first.centers, second.centers)
    assert first.points.shape == (20, 2)
    assert not np.array_equal(first.members, other.members)


@pytest.mark.parametrize("labels", [["b", "d"], [1, 3], np.array([1, 3])])
def test_names_or_columns(ax, case, labels):
    vectors, centers, Y = case
    display = ClassCenterDisplay.from_vectors(
        vectors, centers, sp.csr_matrix(Y), labels=labels, names="abcde", ax=ax
    )
    assert display.names == ["b", "d"]
    assert_array_equal(display.members, Y[Y[:, [1, 3]].any(axis=1)][:, [1, 3]].astype(bool))


@pytest.fixture(scope="module")
def head(questions, tiny_encoder):
    head = ClassCenterHead(FrozenEstimator(tiny_encoder), labels=questions.labels, n_epochs=1)
    return head.set_params(random_state=0).fit(list(questions.texts), questions.Y)


def test_from_estimator(ax, head, questions, check_drawn):
    names = list(questions.labels.names[:3])
    display = ClassCenterDisplay.from_estimator(
        head, questions.texts, questions.Y, labels=names, ax=ax
    )
    Y = questions.Y.toarray()[:, :3]
    rows = np.flatnonzero(Y.any(axis=1))
    assert display.names == names
    assert_array_equal(display.members, Y[rows].astype(bool))
    figure = pytest.importorskip("matplotlib.figure").Figure()
    texts = [questions.texts[i] for i in rows]
    again = ClassCenterDisplay.from_vectors(
        head.embed(texts), head.centers_, questions.Y[rows], labels=[0, 1, 2], ax=figure.subplots()
    )
    assert_array_equal(display.points, again.points)
    assert_array_equal(display.centers, again.centers)
    check_drawn(ax.figure)


def test_of_a_composite(ax, head, questions):
    class Composite:
        head_, labels_ = head, questions.labels

    texts = np.array(questions.texts, dtype=object)
    display = ClassCenterDisplay.from_estimator(
        Composite(), texts, questions.Y, n_labels=2, max_texts=10, ax=ax
    )
    assert display.points.shape == (10, 2)
    assert set(display.names) <= set(questions.labels.names)


@pytest.mark.parametrize("n_labels", [12, 25])
def test_many_labels_have_colours_of_their_own(ax, n_labels, check_drawn):
    rng = np.random.default_rng(0)
    members = np.eye(n_labels)[np.arange(3 * n_labels) % n_labels]
    display = ClassCenterDisplay(
        rng.normal(size=(3 * n_labels, 2)), rng.normal(size=(n_labels, 2)), members
    ).plot(ax)
    assert len(np.unique(display.scatters_[-1].get_facecolors(), axis=0)) == n_labels
    check_drawn(ax.figure)


def test_style(ax, case):
    display = ClassCenterDisplay.from_vectors(*case, labels=[0, 1], ax=ax, s=50, alpha=0.2)
    assert display.scatters_[0].get_sizes().tolist() == [50]
    assert display.scatters_[0].get_alpha() == 0.2


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"labels": ["nobody"]}, ValueError, "got 'nobody'"),
        ({"labels": [5]}, ValueError, "columns from 0 to 4, got 5"),
        ({"labels": [4]}, ValueError, "three texts .* got 0"),
        ({"Y": np.eye(5)}, ValueError, r"expected shape \(60, 5\), got \(5, 5\)"),
        ({"centers": np.eye(6)}, ValueError, r"expected shape \(60, 6\)"),
        ({"Y": np.full((60, 5), 2)}, ValueError, "only 0 and 1"),
    ],
)
def test_unusable(ax, case, changes, error, message):
    known = dict(zip(("vectors", "centers", "Y"), case, strict=True))
    with pytest.raises(error, match=message):
        ClassCenterDisplay.from_vectors(**(known | changes), ax=ax)


def test_no_centers(questions):
    with pytest.raises(TypeError, match="fitted ClassCenterHead has and RetrievalRerankClass"):
        ClassCenterDisplay.from_estimator(RetrievalRerankClassifier(), questions.texts, questions.Y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0, 0, 0]], [[0, 0]], [[1]]), r"`points` must be of shape \(n, 2\)"),
        (([[0, 0]], [[0, 0]], [[1, 0]]), r"expected shape \(1, 1\), got \(1, 2\)"),
    ],
)
def test_shapes(arguments, message):
    with pytest.raises(ValueError, match=message):
        ClassCenterDisplay(*arguments)
    with pytest.raises(ValueError, match="expected 1, got 2"):
        ClassCenterDisplay([[0, 0]], [[0, 0]], [[1]], names=["a", "b"])


@pytest.mark.parametrize("value", [1.0, np.nan])
def test_vectors_without_a_layout_are_refused(value):
    Y = np.eye(2, dtype=int)[[0, 1, 0, 1, 0]]
    with pytest.raises(ValueError, match="finite and not all the same"):
        ClassCenterDisplay.from_vectors(np.full((5, 3), value), np.ones((2, 3)), Y)
