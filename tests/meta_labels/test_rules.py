"""The rules, one at a time, by hand."""

import pytest

from skrr2qc.meta_labels._rules import (
    Notes,
    all_above,
    canonical_forms,
    close,
    drop_common,
    heads,
    highest_count,
    keep_most_specific,
    merge_rare,
    resolve_aliases,
    with_links,
)


@pytest.mark.parametrize(
    ("n_labels", "max_df", "expected"), [(427, 0.1, 42), (5, 0.1, 2), (20, 0.3, 6), (30, 1, 30)]
)
def test_highest_count(n_labels, max_df, expected):
    assert highest_count(n_labels, 2, max_df) == expected


def test_canonical_forms():
    counts = {"Linear Equation": 1, "linear equations": 3, "linear equation": 2, "lens": 1}
    assert canonical_forms(counts) == {
        "Linear Equation": "linear equations",
        "linear equation": "linear equations",
    }
    assert canonical_forms({"函数": 1, "函 数": 1, "！": 1, "？": 1}) == {"函 数": "函数"}


def test_aliases_are_followed():
    assert resolve_aliases({"a": "b", "b": "c", "d": "d"}) == {"a": "c", "b": "c", "d": "d"}
    with pytest.raises(ValueError, match="circle 'a' -> 'b' -> 'a'"):
        resolve_aliases({"a": "b", "b": "a"})


def test_hypernyms_of_hypernyms():
    assert all_above({"c": ("b",), "b": ("a", "x")}) == {"c": ("b", "a", "x"), "b": ("a", "x")}
    with pytest.raises(ValueError, match="'a' is above itself"):
        all_above({"a": ("b",), "b": ("a",)})


def test_links_that_close_a_circle_are_left_out():
    links = {"crop": ("root crop",), "a": ("b",)}
    assert with_links(links, {"root crop": ("crop", "root"), "a": ("b", "c"), "x": ("x",)}) == {
        "crop": ("root crop",),
        "a": ("b", "c"),
        "root crop": ("root",),
    }


def test_hypernyms_that_would_be_everywhere_are_left_out():
    found = {"1": ("p",), "2": ("q",), "3": ("top",)}
    above = {"p": ("mid", "top"), "q": ("top",)}
    notes = Notes()
    assert close(found, above, 2, notes) == {"1": ("p", "mid"), "2": ("q",), "3": ("top",)}
    assert notes.left_out == {"top": "would be in 3 labels with all below it"}
    assert close(found, above, 3, Notes())["1"] == ("p", "mid", "top")


def test_rare_phrases_become_shared_ones():
    found = {
        "1": ("quadratic equation solver", "equation"),
        "2": ("equation", "solver"),
        "3": ("solver", "unheard of"),
    }
    notes = Notes()
    assert merge_rare(found, 2, notes) == {
        "1": ("equation", "solver"),
        "2": ("equation", "solver"),
        "3": ("solver",),
    }
    assert notes.merged == {"quadratic equation solver": ("equation", "solver")}
    assert notes.dropped == {"unheard of": "in 1 label only"}


def test_a_single_character_is_no_part():
    found = {"1": ("数",), "2": ("数",), "3": ("数列极限",)}
    assert merge_rare(found, 2, Notes())["3"] == ()


def test_common_phrases_are_dropped():
    notes = Notes()
    found = {"1": ("a", "b"), "2": ("a",), "3": ("a", "b")}
    assert drop_common(found, 2, notes) == {"1": ("b",), "2": (), "3": ("b",)}
    assert notes.dropped == {"a": "in 3 of 3 labels"}


def test_the_most_specific_phrase_is_kept():
    notes = Notes()
    before = {"1": ("common", "rare", "rarer"), "2": ("common",), "3": ()}
    after = {"1": (), "2": ("common",), "3": ()}
    assert keep_most_specific(before, after, notes) == {
        "1": ("rarer",),
        "2": ("common",),
        "3": (),
    }
    assert notes.kept == {"1": "rarer"}


def test_heads():
    names = ["crop", "root crop", "early root crop", "一次函数", "函数", "数"]
    assert heads(names) == {
        "root crop": ("crop",),
        "early root crop": ("root crop",),
        "一次函数": ("函数",),
    }
    assert heads(["olio", "olio vegetale"], is_first=True) == {"olio vegetale": ("olio",)}


def test_long_chains_of_aliases():
    """Each name walked its whole chain, comparing all with all: minutes for 2,000."""
    chain = {str(i): str(i + 1) for i in range(5000)}
    assert set(resolve_aliases(chain).values()) == {"5000"}
    with pytest.raises(ValueError, match="'0' -> '1' -> .* -> 0") as error:
        resolve_aliases(chain | {"5000": "0"})
    assert len(str(error.value)) < 300


def test_phrases_of_thousands_of_words():
    """Every part of a long phrase was looked up, of which there are as many as its square."""
    long = "1 2 " * 20_000
    assert heads([long, "2"]) == {long: ("2",)}
    assert heads([long, "1"], is_first=True) == {long: ("1",)}
    notes = Notes()
    merge_rare({"x": (long, "2"), "y": ("2", "-"), "z": ("-",)}, 2, notes)
    assert notes.merged == {long: ("2",)}
