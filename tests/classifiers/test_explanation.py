"""What an explanation says: in words, as data, as a frame, and as HTML that runs nothing."""

import json
import math
import sys
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skrr2qc.classifiers._explanation import Explanation, LabelReason

HOSTILE = [
    "<script>alert(1)</script>",
    "</style></div><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' & &amp; &lt; &#60;script&#62;",
    "<!-- x --> <![CDATA[ ]]> </bdi>",
    "\x00 \x1b[31m \u202e \ud800 \x85",
    "",
    " \n\t ",
]


def make_reason(label="mean", **values):
    known = {
        "rank": 1, "score": 0.6, "retrieval_rank": 2, "retrieval_score": 0.5,
        "reranked_score": 0.4, "channels": {"head": 1.5, "lexical": -0.75}, "base": -1.0,
        "meta_scores": {"average": 0.8}, "nearest": [("the mean of 1 and 2", 0.9)],
    }  # fmt: skip
    return LabelReason(label=label, **(known | values))


def make_explanation(text, label, meta, near):
    first = make_reason(label, meta_scores={meta: 0.25}, nearest=[(near, 0.5)])
    dropped = make_reason(label, rank=9, nearest=[], meta_scores={meta: 0.125})
    return Explanation(text, [first, make_reason()], [dropped])


class Page(HTMLParser):
    """Tags with their attributes, and what a reader sees."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.ends, self.texts, self.other = [], [], [], []
        self._hidden = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, attributes))
        self._hidden = tag == "style"

    def handle_endtag(self, tag):
        self.ends.append(tag)
        self._hidden = False

    def handle_data(self, data):
        if not self._hidden:
            self.texts.append(data)

    def handle_comment(self, data):
        self.other.append(data)

    unknown_decl = handle_pi = handle_comment

    @property
    def text(self):
        return "".join(self.texts)


def test_words():
    printed = str(make_explanation("Which mean?", "mean", "average", "mean of 1 and 2"))
    assert printed.splitlines() == [
        "“Which mean?”",
        "  1. mean  (score 0.600)",
        "     retrieved at rank 2 with score 0.500; reranked: × 0.80, rank 2 → 1",
        "     evidence (log-odds): head +1.50, lexical -0.75, base -1.00",
        "     its concepts in this text: average 0.25",
        "     like “mean of 1 and 2” (0.50)",
        "  1. mean  (score 0.600)",
        "     retrieved at rank 2 with score 0.500; reranked: × 0.80, rank 2 → 1",
        "     evidence (log-odds): head +1.50, lexical -0.75, base -1.00",
        "     its concepts in this text: average 0.80",
        "     like “the mean of 1 and 2” (0.90)",
        "  no longer among them after reranking:",
        "  - mean: was at rank 2 with score 0.500; reranked: × 0.80, rank 2 → 9",
        "     its concepts in this text: average 0.12",
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"meta_scores": {}, "reranked_score": 0.5, "rank": 2}, "score 0.500"),
        ({"reranked_score": 0.5, "rank": 2}, "score 0.500; reranked: × 1.00, same rank"),
        ({"reranked_score": 0.0, "retrieval_score": 0.0}, "score 0.000; reranked: rank 2 → 1"),
    ],
)
def test_words_for_what_became_of_a_label(values, expected):
    line = str(Explanation("x", [make_reason(**values)])).splitlines()[2]
    assert line == f"     retrieved at rank 2 with {expected}"


def test_long_words_are_cut():
    meta = {f"meta-label {i} " + "x" * 60: 0.5 for i in range(12)}
    reason = make_reason("label " * 30, meta_scores=meta, nearest=[("text " * 90, 0.5)])
    lines = str(Explanation("word " * 90, [reason])).splitlines()
    assert max(map(len, lines[:4] + lines[5:])) <= 110
    assert lines[4].endswith("… 0.50, and 4 more")
    assert lines[4].count("meta-label") == 8
    assert Explanation("x", [reason]).to_dict()["reasons"][0]["label"] == "label " * 30


@pytest.mark.parametrize("text", HOSTILE)
def test_words_can_be_printed(text):
    printed = str(make_explanation(text, text, text, text))
    printed.encode("utf-8")
    assert len(printed.splitlines()) == 14
    assert all(character.isprintable() or character == "\n" for character in printed)


def test_factor():
    assert make_reason().factor == pytest.approx(0.8)
    assert make_reason(retrieval_score=0.0).factor is None


def test_data_survive_json():
    explanation = make_explanation("题目 ☃", 7, 3, "近")
    data = json.loads(json.dumps(explanation.to_dict(), allow_nan=False))
    assert data == explanation.to_dict()
    assert data["text"] == "题目 ☃"
    assert data["reasons"][0] == {
        "label": 7, "rank": 1, "score": 0.6, "retrieval_rank": 2, "retrieval_score": 0.5,
        "reranked_score": 0.4, "factor": 0.8, "channels": {"head": 1.5, "lexical": -0.75},
        "base": -1.0, "meta_scores": [{"meta_label": 3, "score": 0.25}], "reranking": {},
        "nearest": [{"text": "近", "similarity": 0.5}],
    }  # fmt: skip
    assert data["dropped"][0]["rank"] == 9


def test_data_are_copies():
    explanation = make_explanation("a", "b", "c", "d")
    explanation.to_dict()["reasons"][0]["channels"]["head"] = 99
    assert explanation.reasons[0].channels["head"] == 1.5


def test_frame():
    pytest.importorskip("pandas")
    bare = make_reason("x", channels={}, meta_scores={}, nearest=[], retrieval_score=0.0)
    several = make_reason(meta_scores={"a": 0.25, "b": 0.5})
    frame = Explanation("text", [several, bare], [make_reason("y", rank=7)]).to_frame()
    assert frame["label"].tolist() == ["mean", "x", "y"]
    assert frame["dropped"].tolist() == [False, False, True]
    assert frame["rank"].tolist() == [1, 1, 7]
    assert frame["meta_score"][0] == 0.375
    assert frame["channel_lexical"][0] == -0.75
    assert frame["nearest_text"][0] == "the mean of 1 and 2"
    empty = ["factor", "channel_head", "meta_score", "nearest_text", "similarity"]
    assert frame.loc[1, empty].isna().all()


def test_missing_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r'"skrr2qc\[data\]".*to_dict'):
        Explanation("text", []).to_frame()


ALLOWED = {
    "div": {"class"}, "style": set(), "p": set(), "ol": set(), "ul": set(), "li": set(),
    "strong": set(), "bdi": set(), "table": set(), "tr": set(), "th": set(), "td": {"class"},
    "span": {"class", "style"},
}  # fmt: skip


def check_same_structure(texts):
    """Whatever the texts are, tags and attributes are those of harmless ones."""
    page = Page(make_explanation(*texts)._repr_html_())
    harmless = Page(make_explanation("a", "b", "c", "d")._repr_html_())
    assert page.tags == harmless.tags
    assert page.ends == harmless.ends
    assert page.other == []
    for tag, attributes in page.tags:
        assert {name for name, _ in attributes} <= ALLOWED[tag]
    return page


@pytest.mark.parametrize("text", HOSTILE)
def test_html_takes_hostile_text_for_text(text):
    page = check_same_structure([text] * 4)
    shown = page.text
    assert shown.count("alert(1)") == 6 * text.count("alert(1)")  # four, and two when dropped


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=4, max_size=4))
def test_html_escapes_everything(texts):
    page = check_same_structure(texts)
    for text in texts:
        words = [word for word in text.split() if word.isprintable()]
        assert all(word in page.text for word in words)
    page.text.encode("utf-8")


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="<>&\"'/!-=scriptyle ;#x0", max_size=60))
def test_html_escapes_markup(text):
    page = check_same_structure([text] * 4)
    assert " ".join(text.split()) in page.text


def test_html_bars():
    spans = [dict(a) for tag, a in Page(make_explanation(*"abcd")._repr_html_()).tags
             if tag == "span"]  # fmt: skip
    assert spans[:4] == [
        {"style": "width: 60.0%"},  # score
        {"style": "width: 100.0%"},  # the largest contribution
        {"class": "minus", "style": "width: 50.0%"},
        {"style": "width: 25.0%"},  # meta-label
    ]
    nothing = make_reason(channels={"head": 0.0}, meta_scores={"x": 3.0})
    assert 'style="width: 0.0%"' in Explanation("", [nothing])._repr_html_()
    assert 'style="width: 100.0%"' in Explanation("", [nothing])._repr_html_()
    assert not math.isnan(nothing.factor)


def test_page_stands_alone():
    page = make_explanation("题目", "b", "c", "d").to_html()
    found = Page(page)
    assert page.startswith("<!DOCTYPE html>")
    assert ("meta", [("charset", "utf-8")]) in found.tags
    assert ("meta", [("name", "color-scheme"), ("content", "light dark")]) in found.tags
    assert not {"script", "link", "img", "a", "iframe"} & {tag for tag, _ in found.tags}
    assert not any(word in page for word in ("http:", "https:", "url(", "@import"))
    assert "题目" in found.text
    voids = {"meta"}
    assert sorted(found.ends) == sorted(tag for tag, _ in found.tags if tag not in voids)


def test_colours_come_from_the_page_around():
    """A fixed text colour or background is unreadable in the other theme."""
    style = make_explanation(*"abcd")._repr_html_().split("<style>")[1].split("</style>")[0]
    rules = [rule for rule in style.split(";") if "color:" in rule]
    assert rules
    assert all(rule.split("color:")[1].strip(" }\n").startswith("inherit") for rule in rules)


def test_long_texts_are_cut_in_html():
    page = Page(make_explanation("word " * 900, "b", "c", "d")._repr_html_())
    assert len(page.texts[[t.startswith("word") for t in page.texts].index(True)]) == 400
