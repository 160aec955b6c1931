"""What is cut from solutions, by hand; loops against a slow count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skrr2qc.augmentation._cleaning import (
    NameFinder,
    announces_topic,
    count_tokens,
    cut_loop,
    split_sentences,
    strip_thoughts,
    strip_topics,
    truncate,
)


@pytest.mark.parametrize(
    ("name", "text", "is_there"),
    [
        ("Hash Table", "use a hash  table here", True),
        ("Hash Table", "two hash tables", True),
        ("mean", "what is meant", False),
        ("mean", "the mean.", True),
        ("box", "two boxes", True),
        ("等差数列", "这是等差数列的和", True),
        ("DNA", "用DNA分子", True),
        ("DNA", "cDNA", False),
        ("y=Asin（ωx+φ）", "图象 y=asin(ωx+φ) 的", True),
        ("C++", "in C++ and C", True),
        ("C++", "in C", False),
        ("n次方", "求n次方", True),
        ("n次方", "求mn次方", False),
        ("circle", "", False),
    ],
)
def test_names_in_texts(name, text, is_there):
    assert NameFinder(["zzz", name]).find(text) == [1] * is_there


def test_names_found_together():
    assert NameFinder(["tree", "binary tree", "graph"]).find("A binary tree") == [0, 1]
    assert NameFinder([]).find("anything") == []


@given(st.text(alphabet="ab .!?;；。\n3\\", max_size=40))
def test_sentences_put_together_are_the_text(text):
    assert "".join(split_sentences(text)) == text


def test_sentences():
    assert split_sentences("x = 3.14. So! 因此。好；a\\; b; c") == [
        "x = 3.14.",
        " So!",
        " 因此。",
        "好；",
        "a\\; b;",
        " c",
    ]


@pytest.mark.parametrize(
    ("sentence", "announces"),
    [
        ("本题考查了向量运算，属于基础题．", True),
        ("本题主要考察函数。", True),
        ("这是一道中档题", False),
        ("属于中档题", True),
        ("This question examines vectors.", True),
        ("The problem is about circles.", True),
        ("Topics: area, mean", True),
        ("由题意可知 x = 1。", False),
        ("The question asks for x.", False),
        ("This is the problem.", False),
    ],
)
def test_announcements(sentence, announces):
    assert announces_topic(sentence) == announces


def test_strip_topics():
    finder = NameFinder(["circle", "binary search"])
    solution = "Use a circle here. The area is 3.1. This question tests geometry! So 3.1."
    assert strip_topics(solution, finder) == ("The area is 3.1. So 3.1.", 2)
    assert strip_topics("A line.\nA binary\nsearch\nends.", finder) == ("A line.\nends.", 2)
    assert strip_topics("Nothing of it.", finder) == ("Nothing of it.", 0)
    assert strip_topics("", finder) == ("", 0)
    assert strip_topics("A circle.", finder) == ("", 1)


@given(st.lists(st.sampled_from(["circle", "mean.", "x", "a\n", "Circles!", "the"]), max_size=12))
def test_nothing_is_named_after_stripping(words):
    finder = NameFinder(["circle", "the mean", "x"])
    assert finder.find(strip_topics(" ".join(words), finder)[0]) == []


@pytest.mark.parametrize(
    ("text", "n_tokens"),
    [("", 0), ("two words", 2), ("圆的面积", 4), (r"\frac{1}{2}", 7), ("3.14", 3), ("a_b", 3)],
)
def test_count_tokens(text, n_tokens):
    assert count_tokens(text) == n_tokens


def test_truncate():
    assert truncate("one two  three", 2) == "one two"
    assert truncate("one two", 2) == "one two"
    assert truncate("圆的面积", 3) == "圆的面"


@given(st.text(max_size=60), st.integers(1, 20))
def test_truncated_texts_are_beginnings(text, n_tokens):
    short = truncate(text, n_tokens)
    assert text.startswith(short)
    assert count_tokens(short) == min(n_tokens, count_tokens(text))


def test_thoughts():
    assert strip_thoughts("<think>a </think> b</think>\nThe answer.") == "The answer."
    assert strip_thoughts(" The answer. ") == "The answer."
    assert strip_thoughts("\n<think>a circle, so") == ""  # broke off before the answer
    assert strip_thoughts("Write <think> to think.") == "Write <think> to think."


def is_loop(words):
    """Slow: each n-gram, its copies counted from the left without overlap; words are tokens."""
    for size in range(1, len(words) + 1):
        for start in range(len(words) - size + 1):
            n_copies, i = 0, start
            while i <= len(words) - size:
                is_copy = words[i : i + size] == words[start : start + size]
                n_copies += is_copy
                i += size if is_copy else 1
            if n_copies >= 5 and n_copies * size * 2 > len(words):
                return True
    return False


PARTS = st.lists(
    st.one_of(st.sampled_from("abc"), st.just("x y z"), st.just("b a")), min_size=10, max_size=40
)


@given(PARTS)
def test_loops_equal_a_slow_search(parts):
    text = " ".join(parts)
    words = text.split()
    short = cut_loop(text)
    assert text.startswith(short)
    assert (short is not text) == (len(words) >= 24 and is_loop(words))


def test_loops():
    start = "The area of the figure is found by integration, as follows:"
    loop = " we add one more step to it,"
    short = cut_loop(start + loop * 20)
    assert short.startswith(f"{start} we add")
    assert len(short) <= len(start + loop)
    assert cut_loop(start + loop * 2) == start + loop * 2
    counting = "，".join(f"重复这一步，n={i}，S={i * i}" for i in range(30))
    assert len(cut_loop(counting)) < 20  # numbers count on: still a loop
    assert cut_loop("no " * 7) == "no " * 7  # too short to be one
    assert len(cut_loop("ab" + "!" * 100_000)) < 10


def test_options_that_share_their_words_are_no_loop():
    text = "".join(
        f"{option}. the slope of the given line rises by {option}; " for option in "ABCD"
    )
    assert cut_loop(text) is text
