"""No display may leave a figure open, or change what holds for everybody's figures."""

import sys
import warnings

import pytest


@pytest.fixture(autouse=True)
def _nothing_global_changes():
    matplotlib = pytest.importorskip("matplotlib")
    before = dict(matplotlib.rcParams.items())
    yield
    assert dict(matplotlib.rcParams.items()) == before
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


@pytest.fixture
def ax():
    return pytest.importorskip("matplotlib.figure").Figure().subplots()


@pytest.fixture
def check_drawn():
    """Function that draws a figure and fails at any warning, such as that of a missing glyph."""

    def draw(figure):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figure.canvas.draw()

    return draw
