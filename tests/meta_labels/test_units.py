"""Runs of units: where Chinese and other texts are cut."""

import pytest

from skrr2qc.meta_labels._units import (
    chunks,
    find_language,
    is_content,
    join_units,
    languages,
    phrase_units,
    singular_forms,
    stop_words_for,
)

ENGLISH = stop_words_for("en", ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Area of a circle", [("area",), ("circle",)]),
        ("cease-fire; peace", [("cease", "fire"), ("peace",)]),
        ("earth_human impacts_res", [("earth",), ("human", "impacts"), ("res",)]),
        ("women's rights", [("women", "rights")]),
        ("导数的几何意义", [tuple("导数"), tuple("几何意义")]),
        ("利用导数研究函数", [tuple("导数研究函数")]),
        ("圆柱、圆锥（圆台）", [tuple("圆柱"), tuple("圆锥"), tuple("圆台")]),
        ("存在性与目的", [tuple("存在性"), tuple("目的")]),
        ("ＤＮＡ片段", [("dna", "片", "段")]),
        ("of the", []),
    ],
)
def test_chunks(text, expected):
    assert chunks(text, ENGLISH) == expected


@pytest.mark.parametrize(
    ("units", "phrase"),
    [(("water", "cycle"), "water cycle"), (("函", "数"), "函数"), (("dna", "片", "段"), "dna片段")],
)
def test_phrases_are_written_and_read_back(units, phrase):
    assert join_units(units) == phrase
    assert phrase_units(phrase) == units


@pytest.mark.parametrize(
    ("unit", "expected"), [("dna", True), ("圆", True), ("中", False), ("x", False), ("14", False)]
)
def test_content(unit, expected):
    assert is_content(unit) is expected


def test_plurals_need_their_singular():
    words = [
        "plants",
        "plant",
        "lens",
        "properties",
        "property",
        "leaves",
        "leaf",
        "glass",
        "bases",
    ]
    assert singular_forms(words) == {
        "plants": "plant",
        "properties": "property",
        "leaves": "leaf",
    }
    assert singular_forms(["bases", "basis"]) == {"bases": "basis"}
    assert singular_forms(["gas", "ga", "class", "clas"]) == {}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Servizi di riparazione e di manutenzione della rete", "it"),
        ("tax on the income of a company", "en"),
        ("Anbau von Obst und Gemüse für die Industrie", "de"),
        ("函数", "en"),
    ],
)
def test_language_by_function_words(text, language):
    assert find_language([text]) == language


def test_each_language_has_words_of_its_own():
    assert "zh" in languages()
    lists = [stop_words_for(name, ()) for name in languages() if name != "zh"]
    assert len(set(lists)) == len(lists)
    assert stop_words_for("other", ()) == frozenset()
