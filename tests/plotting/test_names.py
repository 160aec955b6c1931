"""Names on pictures: their length, their characters, and fonts that have them."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skrr2qc.plotting import _names
from skrr2qc.plotting._names import drawable_names, named_legend, short_name, tick_names

ENCLOSED = "x\u20df"  # a combining diamond that STIX has and DejaVu Sans has not
UNKNOWN = "\U000e0100"  # a variation selector that neither has


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean", "mean"),
        ("a\n  b\t c", "a b c"),
        ("a" * 26, "a" * 26),
        ("a" * 20 + "b" * 7, "a" * 16 + "…" + "a" * 2 + "b" * 7),
        ("面" * 13, "面" * 13),
        ("面" * 14, "面" * 8 + "…" + "面" * 4),
        ("\x00\x1b[1m \u202e\ud800", "\ufffd\ufffd[1m \ufffd\ufffd"),
        ("", ""),
        (12, "12"),
    ],
)
def test_short_name(name, expected):
    assert short_name(name) == expected


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80))
def test_short_names_are_short_lines(name):
    short = short_name(name)
    assert len(short) <= 26
    assert short_name(short) == short
    assert len(short.splitlines()) <= 1
    assert len(short.encode("utf-8", "strict").decode()) == len(short)


def test_usual_names_need_no_other_font():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names, properties = drawable_names(["area of a circle", "Fläche, α → β"])
    assert names == ["area of a circle", "Fläche, α → β"]
    assert properties == {"parse_math": False}


def test_a_font_that_has_the_characters(monkeypatch, ax, check_drawn):
    monkeypatch.setattr(_names, "_WIDE_FONTS", ("no such font", "STIXGeneral"))
    names, properties = drawable_names(["mean", ENCLOSED])
    assert names == ["mean", ENCLOSED]
    assert properties["fontfamily"][-1] == "STIXGeneral"
    assert len(properties["fontfamily"]) == 2  # behind the one in use, which draws the rest
    ax.set_title("".join(names), **properties)
    check_drawn(ax.figure)


@pytest.mark.parametrize("columns", [None, [3, 8, 4]])
def test_no_font_at_all(monkeypatch, columns, ax, check_drawn):
    monkeypatch.setattr(_names, "_WIDE_FONTS", ("no such font",))
    with pytest.warns(UserWarning, match="1 of 3 names are replaced.*fonts-noto-cjk"):
        names, _ = drawable_names(["mean", UNKNOWN, "sum"], columns)
    assert names == ["mean", "1" if columns is None else "8", "sum"]
    with pytest.warns(UserWarning, match="1 of 3"):
        tick_names(ax.xaxis, ["mean", UNKNOWN, "sum"])
    check_drawn(ax.figure)


def test_numbers_for_names():
    assert drawable_names(None, range(3))[0] == ["0", "1", "2"]


def test_a_family_that_is_not_installed_is_passed_over(monkeypatch):
    monkeypatch.setattr(_names, "_WIDE_FONTS", ("STIXGeneral",))
    import matplotlib

    with matplotlib.rc_context({"font.family": ["no such font", "DejaVu Sans"]}):
        names, properties = drawable_names([ENCLOSED])
        assert properties["fontfamily"] == ["DejaVu Sans", "STIXGeneral"]
        assert names == [ENCLOSED]


HOSTILE = ["$\\frac{$", "_hidden", "%s {0} \\n", "$x^2$", "", "a & b <c>"]


def test_ticks_take_names_literally(ax, check_drawn):
    tick_names(ax.yaxis, HOSTILE, rotation=30)
    check_drawn(ax.figure)
    assert [label.get_text() for label in ax.get_yticklabels()] == HOSTILE
    assert np.array_equal(ax.get_yticks(), np.arange(6))
    assert ax.get_yticklabels()[0].get_rotation() == 30


def test_legend_takes_names_literally(ax, check_drawn):
    lines = [ax.plot([0, i])[0] for i in range(6)]
    legend = named_legend(ax, lines, HOSTILE, loc="upper left")
    check_drawn(ax.figure)
    assert [text.get_text() for text in legend.get_texts()] == HOSTILE
    assert legend is ax.get_legend()
