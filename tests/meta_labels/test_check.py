"""Checking and repairing a map: reports by hand, properties of what is repaired, errors."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skrr2qc import LabelSpace
from skrr2qc.meta_labels import check_meta_labels, repair_meta_labels
from skrr2qc.meta_labels._check import meta_map
from skrr2qc.meta_labels._rules import highest_count, n_labels_by_meta

NAMES = ["area of a circle", "area of squares", "angles in a circle", "angle of a cone", "the mean"]
LABELS = LabelSpace(
    NAMES,
    meta_labels={
        NAMES[0]: ["area", "circle", "shape"],
        NAMES[1]: ["area", "square", "shape"],
        NAMES[2]: ["angle", "circle", "Shape"],
        NAMES[3]: ["angles", "cone"],
    },
)


def test_report_by_hand():
    report = check_meta_labels(LABELS, hypernyms={"cone": ["solid"], "circle": "shape"}, max_df=0.4)
    assert (report.n_labels, report.n_meta_labels, report.max_per_label) == (5, 8, 3)
    assert report.mean_per_label == pytest.approx(11 / 5)
    assert report.without == ("the mean",)
    assert report.coverage == pytest.approx(8 / 9)
    assert report.violations == {
        1: {"the mean": "mean"},
        2: {"Shape": "shape", "angles": "angle"},
        3: {
            "Shape": "1 label",
            "angle": "1 label",
            "angles": "1 label",
            "cone": "1 label",
            "square": "1 label",
        },
        4: {"circle": "shape (1 label)", "cone": "solid (1 label)"},
        5: {},
    }


def test_what_is_in_all_labels_breaks_rule_5():
    labels = LabelSpace(list("abc"), meta_labels={name: ["all"] for name in "abc"})
    assert check_meta_labels(labels).violations[5] == {"all": "3 labels, 100.0%"}
    assert check_meta_labels(labels, max_df=1.0).violations[5] == {}


def test_aliases_break_rule_2():
    report = check_meta_labels(LABELS, aliases={"cone": "solid", "unheard": "of"})
    assert report.violations[2]["cone"] == "solid"
    assert "unheard" not in report.violations[2]


def test_printed_report():
    text = str(check_meta_labels(LABELS))
    assert "8 meta-labels of 5 labels: 2.20 per label, at most 3; 89% of the words covered" in text
    assert "labels without any: 1 - the mean" in text
    assert "rule 3, in too few labels: 5 - Shape (1 label)" in text
    many = LabelSpace(NAMES, meta_labels={name: [f"only {name}"] for name in NAMES})
    wide = LabelSpace(
        [f"label {i}" for i in range(9)], meta_labels={f"label {i}": [f"m{i}"] for i in range(9)}
    )
    assert "and 4 more" in str(check_meta_labels(wide))
    assert check_meta_labels(many).violations[1] == {}


def test_repair_by_hand():
    repaired, report = repair_meta_labels(
        LABELS, hypernyms={"cone": "solid"}, max_df=0.4, return_report=True
    )
    assert meta_map(repaired) == {
        NAMES[0]: ("area", "circle"),
        NAMES[1]: ("area",),
        NAMES[2]: ("angle", "circle"),
        NAMES[3]: ("angle",),
        NAMES[4]: (),
    }
    assert report.dropped == {
        "cone": "in 1 label only",
        "shape": "in 3 of 5 labels",
        "solid": "in 1 label only",
        "square": "in 1 label only",
    }
    assert not report.kept
    assert all(not report.violations[rule] for rule in (2, 3, 4, 5))


def test_repair_leaves_everything_else_alone():
    labels = LabelSpace(["a", "b"], texts={"a": "x"}, parents={"a": "p"}, meta_labels={"a": ["m"]})
    repaired = repair_meta_labels(labels)
    assert repaired == labels


def test_what_a_rare_phrase_is_merged_into_brings_its_hypernym():
    labels = LabelSpace(
        list("abc"),
        meta_labels={"a": ["root crop", "crop"], "b": ["root crop"], "c": ["new root crop"]},
    )
    repaired = repair_meta_labels(labels, hypernyms={"root crop": "crop"}, max_df=1.0)
    assert meta_map(repaired)["c"] == ("crop", "root crop")


words = st.sampled_from(list("pqrstuv"))
maps = st.dictionaries(
    st.sampled_from([f"label {i}" for i in range(12)]),
    st.lists(st.lists(words, min_size=1, max_size=3).map(" ".join), max_size=4),
    min_size=1,
).filter(lambda found: any(found.values()))
orders = st.permutations(list("pqrstuv")).map(lambda order: dict(pairwise(order[:4])))


@settings(max_examples=150, deadline=None)
@given(found=maps, hypernyms=orders, min_labels=st.integers(1, 3), max_df=st.floats(0.05, 1.0))
def test_repaired_maps_obey_the_rules(found, hypernyms, min_labels, max_df):
    labels = LabelSpace([f"label {i}" for i in range(12)], meta_labels=found)
    repaired, report = repair_meta_labels(
        labels,
        hypernyms=hypernyms,
        min_labels=min_labels,
        max_df=max_df,
        return_report=True,
    )
    before, after = meta_map(labels), meta_map(repaired)
    assert {name for name, metas in after.items() if not metas} == {
        name for name, metas in before.items() if not metas
    }
    ruled = {name: metas for name, metas in after.items() if name not in report.kept}
    counts = n_labels_by_meta(ruled)
    assert all(min_labels <= n <= highest_count(12, min_labels, max_df) for n in counts.values())
    assert not report.violations[4]
    for metas in ruled.values():
        for meta in metas:
            upper = hypernyms.get(meta)
            assert upper is None or upper in metas or upper in report.left_out


@pytest.mark.parametrize("function", [check_meta_labels, repair_meta_labels])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"labels": LabelSpace(["a"])}, ValueError, r"NameDecomposer\(\).decompose"),
        ({"labels": {"a": ["b"]}}, TypeError, "must be a LabelSpace, got dict"),
        ({"min_labels": 0}, ValueError, "integer of at least 1, got 0"),
        ({"min_labels": 2.0}, ValueError, "got 2.0"),
        ({"max_df": 0}, ValueError, r"in \(0, 1\], got 0"),
        ({"max_df": 10}, ValueError, "got 10"),
        ({"aliases": ["a"]}, TypeError, "aliases must be a mapping, got list"),
        ({"aliases": {"a": 1}}, TypeError, "by str, got 1"),
        ({"aliases": {"a": " "}}, ValueError, "aliases.*not blank, got ' '"),
        ({"hypernyms": {"a": None}}, TypeError, r"hypernyms\['a'\].*got NoneType"),
        ({"hypernyms": {"a": 3}}, TypeError, r"hypernyms\['a'\].*got int"),
        ({"aliases": {"a": "b", "b": "a"}}, ValueError, "circle"),
        ({"hypernyms": {"a": "b", "b": ["a"]}}, ValueError, "above itself"),
        ({"hypernyms": {"a": "a"}}, ValueError, "above itself"),
    ],
)
def test_errors(function, change, error, message):
    arguments = {"labels": LABELS, **change}
    with pytest.raises(error, match=message):
        function(arguments.pop("labels"), **arguments)


@pytest.mark.parametrize("language", ["xx", "", None, 5, ["en"]])
def test_languages_without_function_words(language):
    """Unknown ones were taken for a language without any, a list failed in other words."""
    labels = LabelSpace(["a"], meta_labels={"a": ["b"]})
    with pytest.raises(ValueError, match="language must be 'auto', 'other' or one of"):
        check_meta_labels(labels, language=language)


def test_hypernyms_in_diamonds():
    """Each way up was gone through by itself: 2 to the number of levels."""
    levels = 60
    links = {f"{side}{i}": [f"a{i + 1}", f"b{i + 1}"] for i in range(levels) for side in "ab"}
    labels = LabelSpace(["x"], meta_labels={"x": ["a0"]})
    lacking = check_meta_labels(labels, hypernyms=links).violations[4]["a0"]
    assert lacking.count("(1 label)") == 2 * levels


@pytest.mark.parametrize("change", [{"max_df": 10**400}, {"hypernyms": {"a": b"x"}}])
def test_settings_that_failed_in_other_words(change):
    """A large int overflew, and bytes became names that are integers."""
    labels = LabelSpace(["a"], meta_labels={"a": ["b"]})
    with pytest.raises((TypeError, ValueError), match=f"{next(iter(change))}.* must be"):
        check_meta_labels(labels, **change)
