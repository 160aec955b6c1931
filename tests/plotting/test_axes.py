"""What the displays need of matplotlib: imported late, missed with a way out."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
from sklearn.utils.fixes import parse_version

from skrr2qc.plotting import (
    ClassCenterDisplay,
    LabelFrequencyDisplay,
    LabelSimilarityDisplay,
    LossCurvesDisplay,
    RankChangeDisplay,
    RankOrderDisplay,
)
from skrr2qc.plotting._axes import axes_for, line_style, whole_ticks

DISPLAYS = [
    LossCurvesDisplay([1, 2], {"ranking": [2.0, 1.0]}),
    RankOrderDisplay([0, 2], [0.9, 0.1], [0.1, 0.1], [3, 4], 1.0),
    ClassCenterDisplay([[0, 1], [2, 3]], [[1, 1]], [[1], [1]], names=["a"]),
    LabelFrequencyDisplay([[0, 5]], {"linear": [0.5]}, [7]),
    LabelSimilarityDisplay([[1.0]], {"mean": 0.5, "std": 0.1, "share_above": 0.2}, names=["a"]),
    RankChangeDisplay([[2, 1], [1, 1]], ["before", "after"]),
]


def test_importing_does_not_load_matplotlib():
    code = (
        "import sys, skrr2qc.plotting; print({'matplotlib', 'sklearn', 'torch'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


@pytest.mark.parametrize("display", DISPLAYS, ids=lambda display: type(display).__name__)
def test_missing_matplotlib(monkeypatch, display):
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # makes every import of it fail
    with pytest.raises(ImportError, match=rf'{type(display).__name__} .* "skrr2qc\[plot\]"'):
        display.plot()


@pytest.mark.skipif(
    parse_version(matplotlib.__version__) < parse_version("3.9"),
    reason="matplotlib before 3.9 warns of itself, and warnings are errors here",
)
def test_without_axes_each_display_makes_a_figure():
    """In a process of its own: the backend is a global choice."""
    code = """
import sys
import matplotlib
from matplotlib import pyplot
before = dict(matplotlib.rcParams.items())
from tests.plotting.test_axes import DISPLAYS
figures = [display.plot().figure_ for display in DISPLAYS]
for figure in figures:
    figure.canvas.draw()
print(len(set(figures)), len(pyplot.get_fignums()), dict(matplotlib.rcParams.items()) == before)
pyplot.close("all")
"""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=Path(__file__).parents[2],
        env={**os.environ, "MPLBACKEND": "Agg"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [str(len(DISPLAYS))] * 2 + ["True"]


def test_axes_of_the_caller_are_used():
    ax = object()
    assert axes_for(ax, None) is ax


def test_line_style_knows_short_names():
    pytest.importorskip("matplotlib")
    style = line_style({"linestyle": "-", "marker": "."}, {"ls": ":", "c": "red", "capsize": 2})
    assert style == {"linestyle": ":", "marker": ".", "color": "red", "capsize": 2}


def test_whole_ticks():
    figure = pytest.importorskip("matplotlib.figure").Figure()
    ax = figure.subplots()
    ax.set_xlim(0.5, 2.5)
    assert any(tick != round(tick) for tick in ax.get_xticks())
    whole_ticks(ax)
    assert all(tick == round(tick) for tick in ax.get_xticks())
