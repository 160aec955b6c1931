"""NameDecomposer: maps by hand, order, hierarchy, codes, and what holds for any names."""

import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from skrr2qc import LabelSpace
from skrr2qc.meta_labels import NameDecomposer
from skrr2qc.meta_labels._check import meta_map
from skrr2qc.meta_labels._reading import is_code
from skrr2qc.meta_labels._rules import highest_count, n_labels_by_meta
from skrr2qc.meta_labels._units import is_content, phrase_units, stop_words_for

ENGLISH = [
    "area of a circle",
    "area of squares",
    "circles and angles",
    "angle in a square",
    "solving linear equations",
    "graph of a linear equation",
]
CHINESE = [
    *("函数的单调性", "导数与函数的单调性", "利用导数求函数的最值", "导数的几何意义"),
    *("向量的几何意义", "向量的模", "直线的参数方程", "圆的参数方程", "直线与圆", "数列的单调性"),
    *("数列的最值", "复数的模", "复数的几何意义", "椭圆的参数方程", "椭圆与直线", "中点坐标"),
    *("直线的中点", "向量的坐标"),
]


def test_english_by_hand():
    found = meta_map(NameDecomposer(max_df=0.5).decompose(LabelSpace(ENGLISH)))
    assert found == {
        "area of a circle": ("area", "circle"),
        "area of squares": ("area", "square"),
        "circles and angles": ("angle", "circle"),
        "angle in a square": ("angle", "square"),
        "solving linear equations": ("equation", "linear"),
        "graph of a linear equation": ("equation", "linear"),
    }


def test_chinese_by_hand():
    found = meta_map(NameDecomposer(max_df=0.5).decompose(LabelSpace(CHINESE)))
    assert found["函数的单调性"] == ("函数", "单调性")
    assert found["利用导数求函数的最值"] == ("函数", "导数", "最值")
    assert found["直线的参数方程"] == ("参数方程", "直线")
    assert found["直线与圆"] == ("圆", "直线")
    assert found["直线的中点"] == ("中点", "直线")  # no cut at the function word within


def test_languages_may_be_mixed():
    names = ["DNA的复制", "DNA的结构", "RNA的结构", "RNA的复制"]
    found = meta_map(NameDecomposer(max_df=0.5).decompose(LabelSpace(names)))
    assert found == {
        "DNA的复制": ("dna", "复制"),
        "DNA的结构": ("dna", "结构"),
        "RNA的结构": ("rna", "结构"),
        "RNA的复制": ("rna", "复制"),
    }


@pytest.mark.parametrize("names", [ENGLISH, CHINESE])
def test_order_of_labels_does_not_matter(names):
    decomposer = NameDecomposer(max_df=0.4)
    forth, back = (decomposer.decompose(LabelSpace(order)) for order in (names, names[::-1]))
    assert meta_map(forth) == {name: meta_map(back)[name] for name in names}
    assert decomposer.decompose(LabelSpace(names)) == forth


def test_heads_are_hypernyms():
    names = ["root crop", "root crop trade", "seed crop", "crop price", "seed", "price", "trade"]
    names += ["root crop price", "seed crop trade", "crop"]
    labels = LabelSpace(names)
    with_heads = meta_map(NameDecomposer(max_df=1.0).decompose(labels))
    assert with_heads["root crop"] == ("crop", "root crop")
    without = meta_map(NameDecomposer(max_df=1.0, add_heads=False).decompose(labels))
    assert without["root crop"] == ("root crop",)


PARENTS = LabelSpace(
    ["pear", "plum", "steel", "steel price", "iron price"],
    parents={
        "pear": "stone fruit",
        "plum": "stone fruit",
        "stone fruit": "fruit",
        "steel": "metal",
    },
)


@pytest.mark.parametrize(
    ("parents", "pear", "steel"),
    [
        ("never", ("pear",), ("steel",)),
        ("missing", ("fruit", "stone"), ("steel",)),
        ("always", ("fruit", "stone"), ("steel",)),
    ],
)
def test_parents(parents, pear, steel):
    found, report = NameDecomposer(parents=parents).decompose(PARENTS, return_report=True)
    assert meta_map(found)["pear"] == pear
    assert meta_map(found)["steel"] == steel
    assert set(report.kept) == ({"pear", "plum"} if parents == "never" else set())


def test_labels_without_any_go_up_until_something_is_shared():
    labels = LabelSpace(
        ["pear", "plum"], parents={"pear": "soft", "plum": "hard", "soft": "fruit", "hard": "fruit"}
    )
    assert meta_map(NameDecomposer().decompose(labels)) == {"pear": ("fruit",), "plum": ("fruit",)}


def test_aliases_and_hypernyms():
    names = ["area of disc", "area of circle", "length of disc", "length of cone"]
    decomposer = NameDecomposer(
        aliases={"disc": "circle"}, hypernyms={"cone": ["solid"], "area": "size"}, max_df=1.0
    )
    found = meta_map(decomposer.decompose(LabelSpace(names)))
    assert found["area of disc"] == ("area", "circle", "size")
    assert found["length of cone"] == ("length",)  # cone and solid are in one label


def test_codes_are_read_by_their_texts():
    texts = {"M1": "area of a circle", "M2": "area of a square", "M3": "side of a square"}
    labels = LabelSpace(list(texts), texts=texts)
    assert meta_map(NameDecomposer().decompose(labels))["M2"] == ("area", "square")


def test_codes_without_texts():
    labels = LabelSpace(["A1.1", "A1.2", "B2"], parents={"A1.1": "plant", "A1.2": "plant"})
    with pytest.warns(UserWarning, match=r"3 of 3 labels read like codes \(A1.1, .*texts="):
        found = NameDecomposer().decompose(labels)
    assert meta_map(found) == {"A1.1": ("plant",), "A1.2": ("plant",), "B2": ()}
    with pytest.warns(UserWarning, match="read like codes"):
        nothing, report = NameDecomposer().decompose(LabelSpace(["1", "2"]), return_report=True)
    assert nothing.label_to_meta is None
    assert report.without == ("1", "2")


def test_a_few_codes_among_names_are_no_reason_to_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = NameDecomposer().decompose(LabelSpace(["EU", "other", "trade", "trade policy"]))
    assert meta_map(found) == {
        "EU": ("eu",),
        "other": ("other",),
        "trade": ("trade",),
        "trade policy": ("trade",),
    }


def test_meta_labels_at_hand_are_not_looked_at():
    labels = LabelSpace(ENGLISH, meta_labels={ENGLISH[0]: ["something else"]})
    decomposer = NameDecomposer()
    assert decomposer.decompose(labels) == decomposer.decompose(LabelSpace(ENGLISH))


def test_parameters_as_scikit_learn_has_them():
    decomposer = NameDecomposer(max_df=0.2, aliases={"a": "b"})
    copy = clone(decomposer)
    assert copy is not decomposer
    assert copy == decomposer
    assert copy.set_params(min_labels=3).get_params() == {
        **decomposer.get_params(),
        "min_labels": 3,
    }
    with pytest.raises(ValueError, match="no parameter 'n_runs'"):
        decomposer.set_params(n_runs=5)


@pytest.mark.parametrize(
    ("params", "labels", "error", "message"),
    [
        ({"language": "klingon"}, LabelSpace(["a"]), ValueError, "language must be"),
        ({"parents": "some"}, LabelSpace(["a"]), ValueError, "parents must be one of"),
        ({"min_labels": 0}, LabelSpace(["a"]), ValueError, "min_labels"),
        ({"max_df": 1.5}, LabelSpace(["a"]), ValueError, "max_df"),
        ({"hypernyms": {"a": "a"}}, LabelSpace(["a"]), ValueError, "above itself"),
        ({}, ["a"], TypeError, "must be a LabelSpace, got list"),
    ],
)
def test_errors(params, labels, error, message):
    with pytest.raises(error, match=message):
        NameDecomposer(**params).decompose(labels)


TOKENS = "plant plants animal cell cells of the water cycle rock 函数 导数 的 图象 与 圆 中 14 x"
tokens = st.sampled_from(TOKENS.split())
names = st.lists(
    st.lists(tokens, min_size=1, max_size=5).map(" ".join), min_size=1, max_size=25, unique=True
)


@settings(max_examples=150, deadline=None)
@given(names=names, min_labels=st.integers(1, 3), max_df=st.floats(0.05, 1.0), heads=st.booleans())
def test_what_holds_for_any_names(names, min_labels, max_df, heads):
    decomposer = NameDecomposer(
        min_labels=min_labels, max_df=max_df, add_heads=heads, language="en"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        labels, report = decomposer.decompose(LabelSpace(names), return_report=True)
    found = meta_map(labels) if labels.label_to_meta is not None else dict.fromkeys(names, ())
    stop_words = stop_words_for("en", ())
    if 2 * sum(map(is_code, names)) <= len(names):
        for name in names:
            content = [u for u in phrase_units(name) if is_content(u) and u not in stop_words]
            assert found[name] or not content
    counts = n_labels_by_meta({k: v for k, v in found.items() if k not in report.kept})
    highest = highest_count(len(names), min_labels, max_df)
    assert all(min_labels <= count <= highest for count in counts.values())
    assert not report.violations[4]


@pytest.mark.parametrize("name", ["\U0001f600", "!!!", "\U0001f600 - \U0001f603"])
def test_a_label_without_letters_has_no_meta_label(name):
    labels = NameDecomposer(max_df=0.5).decompose(LabelSpace([*ENGLISH, name]))
    assert meta_map(labels)[name] == ()
    assert meta_map(labels)[ENGLISH[0]] == ("area", "circle")
