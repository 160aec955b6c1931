"""LossCurvesDisplay: what is drawn, in which colour, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skrr2qc.plotting import LossCurvesDisplay

HISTORY = [
    {
        "epoch": epoch,
        "seconds": 9.0,
        "masked_language_model": 5.0 / epoch,
        "ranking": np.float32(2.0 / epoch),
        "held_out_ranking": 3.0 / epoch,
        "held_out_loss": 8.0 / epoch,
        "stopped": False,
        "device": "cpu",
    }
    for epoch in (1, 2, 4)
]
LABELS = ["masked language model", "ranking", "held out ranking", "held out loss"]


@pytest.fixture
def ax():
    return pytest.importorskip("matplotlib.figure").Figure().subplots()


def drawn(display):
    return {line.get_label(): line for line in display.lines_}


def test_from_history_draws_the_loss_terms(ax):
    display = LossCurvesDisplay.from_history(HISTORY, ax=ax)
    lines = drawn(display)
    assert list(lines) == LABELS
    assert display.lines_ == ax.get_lines()
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    for line in display.lines_:
        assert_array_equal(line.get_xdata(), [1, 2, 4])
    assert_array_equal(lines["ranking"].get_ydata(), [2.0, 1.0, 0.5])
    assert_array_equal(lines["held out loss"].get_ydata(), [8.0, 4.0, 2.0])
    assert ax.get_xlabel() == "epoch"
    assert ax.get_ylabel() == "loss"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == LABELS
    ax.figure.canvas.draw()


def test_held_out_terms_are_dashed_in_the_colour_of_their_term(ax):
    lines = drawn(LossCurvesDisplay.from_history(HISTORY, ax=ax))
    styles = [lines[label].get_linestyle() for label in LABELS]
    assert styles == ["-", "-", "--", "--"]
    colors = [lines[label].get_color() for label in LABELS]
    assert colors[1] == colors[2]
    assert len({colors[0], colors[1], colors[3]}) == 3


def test_a_term_comes_before_its_held_out_one(ax):
    display = LossCurvesDisplay([1], {"held_out_b": [1.0], "a": [2.0], "b": [3.0]}).plot(ax)
    assert [line.get_label() for line in display.lines_] == ["b", "held out b", "a"]
    assert display.lines_[0].get_color() == display.lines_[1].get_color()


def test_from_estimator_equals_from_history(ax):
    estimator = SimpleNamespace(history_=HISTORY)
    display = LossCurvesDisplay.from_estimator(estimator, terms=["ranking"], ax=ax, lw=3)
    assert list(display.curves) == ["ranking"]
    assert_array_equal(display.curves["ranking"], [2.0, 1.0, 0.5])
    assert display.lines_[0].get_linewidth() == 3


def test_a_fitted_encoder(ax, questions):
    from skrr2qc import RCPTEncoder

    encoder = RCPTEncoder(hidden_size=32, n_epochs=2, vocab_size=300, random_state=0)
    encoder.fit(questions.texts[:16])
    display = LossCurvesDisplay.from_estimator(encoder, ax=ax)
    assert_array_equal(display.steps, [1, 2])
    assert "masked_language_model" in display.curves
    for name, curve in display.curves.items():
        assert_array_equal(curve, [row[name] for row in encoder.history_])


def test_other_horizontal_axis(ax):
    history = [{"epoch": 1, "step": 100, "a": 1.0}, {"epoch": 2, "step": 150, "a": 0.5}]
    display = LossCurvesDisplay.from_history(history, step_name="step", ax=ax)
    assert list(display.curves) == ["a"]
    assert_array_equal(display.steps, [100, 150])
    assert ax.get_xlabel() == "step"


def test_values_not_measured_are_gaps(ax):
    history = [{"epoch": 1, "a": 1.0, "held_out_a": None}, {"epoch": 2, "a": 0.5}]
    history.append({"epoch": 3, "a": 0.4, "held_out_a": 0.7})
    display = LossCurvesDisplay.from_history(history, ax=ax)
    assert_array_equal(display.curves["held_out_a"], [np.nan, np.nan, 0.7])
    ax.figure.canvas.draw()


def test_style_of_the_caller_wins(ax):
    display = LossCurvesDisplay.from_history(HISTORY, ax=ax, ls=":", c="red")
    assert {line.get_linestyle() for line in display.lines_} == {":"}
    assert {line.get_color() for line in display.lines_} == {"red"}


def test_nothing_is_drawn_before_plot():
    display = LossCurvesDisplay([1, 2], {"a": [1, 2]})
    assert not hasattr(display, "lines_")
    assert display.curves["a"].dtype == float


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (SimpleNamespace(), "reads `history_`, which this SimpleNamespace does not have. Call fit"),
        (SimpleNamespace(history_=[]), "`history_` of this SimpleNamespace is empty"),
    ],
)
def test_estimators_without_a_history(estimator, message):
    with pytest.raises(ValueError, match=message):
        LossCurvesDisplay.from_estimator(estimator)


@pytest.mark.parametrize(
    ("history", "params", "message"),
    [
        ([], {}, "at least one row, got none"),
        ([{"epoch": 1, "a": 1.0}, {"a": 1.0}], {}, r"number for 'epoch', row 1 .* \['a'\]"),
        ([{"epoch": 1, "a": 1.0}], {"step_name": "step"}, r"'step', row 0 .* \['epoch', 'a'\]"),
        ([{"epoch": 1, "a": 1.0}], {"terms": ["a", "b"]}, r"not hold the terms \['b'\]; .*'a'\]"),
        ([{"epoch": 1, "seconds": 1.0}], {}, "does not hold any loss term"),
    ],
)
def test_unusable_histories(history, params, message):
    with pytest.raises(ValueError, match=message):
        LossCurvesDisplay.from_history(history, **params)


@pytest.mark.parametrize(
    ("steps", "curves", "message"),
    [
        ([], {"a": []}, r"1 curves and `steps` of shape \(0,\)"),
        ([1], {}, "got 0 curves"),
        ([1, 2], {"a": [1.0, 2.0], "b": [1.0]}, r"expected shape \(2,\), got \(1,\) for 'b'"),
    ],
)
def test_unusable_curves(steps, curves, message):
    with pytest.raises(ValueError, match=message):
        LossCurvesDisplay(steps, curves)
