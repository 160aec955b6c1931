"""Tokenizer: three kinds of text, truncation, pickling, content hashes."""

import pickle

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skrr2qc.text import TextTokenizer, train_tokenizer

ENGLISH = ["The area of a circle", "the circle and its area", "area of the square"] * 3
CHINESE = ["求圆的面积", "圆的面积公式", "求正方形的面积"] * 3
LATEX = [r"solve \frac{x}{2} = 12", r"\frac{x}{3} + \sqrt{x^2+12}"] * 3


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(ENGLISH + CHINESE + LATEX, vocab_size=300, max_length=12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Circle AREA", ["[CLS]", "circle", "area"]),
        (r"\frac{x}{2}", ["[CLS]", r"\frac", "{", "x", "}", "{", "2", "}"]),
        ("x^2+12", ["[CLS]", "x", "^", "2", "+", "1", "2"]),
        ("area圆", ["[CLS]", "area", "圆"]),
        ("\uff11\uff12", ["[CLS]", "1", "2"]),  # full-width digits, by NFKC
        ("", ["[CLS]"]),
    ],
)
def test_pieces(tokenizer, text, expected):
    assert tokenizer.tokens(text) == expected


@pytest.mark.parametrize("texts", [ENGLISH, CHINESE, LATEX], ids=["english", "chinese", "latex"])
def test_no_merge_joins_scripts_digits_or_commands(texts):
    tokenizer = train_tokenizer([text.replace(" ", "") + "2x面" for text in texts] * 5)
    for text in texts:
        for token in tokenizer.tokens(text.replace(" ", "") + "2x面")[1:]:
            kinds = {_kind(character) for character in token.removeprefix("\\")}
            assert len(kinds) == 1, token
            assert token == "2" or not any(c.isdigit() and len(token) > 1 for c in token)


def _kind(character):
    if "\u4e00" <= character <= "\u9fff":
        return "han"
    return "letter" if character.isalpha() else "other"


@pytest.mark.parametrize("text", ["圆的面积", "求圆面积公式"])
def test_chinese_is_read_without_blanks(tokenizer, text):
    first, *tokens = tokenizer.tokens(text)
    assert first == "[CLS]"
    assert "".join(tokens) == text  # every character is known, none is lost


def test_frequent_words_become_one_token(tokenizer):
    ids, _ = tokenizer.encode(ENGLISH)
    assert max(map(len, ids)) <= 1 + max(len(text.split()) for text in ENGLISH)


def test_unknown_characters_keep_their_place(tokenizer):
    assert tokenizer.tokens("area \u2603 circle") == ["[CLS]", "area", "[UNK]", "circle"]


def test_vocabulary_is_bounded():
    tokenizer = train_tokenizer(ENGLISH, vocab_size=25)
    assert tokenizer.vocab_size <= 25
    assert train_tokenizer(ENGLISH, vocab_size=1000).vocab_size > 25


def test_truncation_is_counted(tokenizer):
    texts = ["area", "area " * 11, "area " * 12, "area " * 500]
    ids, n_truncated = tokenizer.encode(texts)
    assert [len(row) for row in ids] == [2, 12, 12, 12]  # [CLS] is one of them
    assert n_truncated == 2
    assert all(row.dtype == np.int32 for row in ids)
    assert_array_equal(ids[2], ids[3])


def test_more_texts_than_are_encoded_at_once(tokenizer, monkeypatch):
    texts = [f"area {i}" for i in range(50)] + ["area " * 20]
    expected, n_truncated = tokenizer.encode(texts)
    monkeypatch.setattr("skrr2qc.text._tokenizer._CHUNK", 7)
    ids, n_truncated_in_chunks = tokenizer.encode(texts)
    assert n_truncated == n_truncated_in_chunks == 1
    for row, expected_row in zip(ids, expected, strict=True):
        assert_array_equal(row, expected_row)


def test_pickle_round_trip(tokenizer):
    copy = pickle.loads(pickle.dumps(tokenizer))
    texts = [*ENGLISH, *CHINESE, *LATEX]
    for row, expected in zip(copy.encode(texts)[0], tokenizer.encode(texts)[0], strict=True):
        assert_array_equal(row, expected)
    assert (copy.max_length, copy.pad_id, copy.mask_id) == (
        tokenizer.max_length,
        tokenizer.pad_id,
        tokenizer.mask_id,
    )
    assert_array_equal(copy.special_ids, tokenizer.special_ids)


def test_hash_follows_the_content():
    first, second = train_tokenizer(ENGLISH), train_tokenizer(list(ENGLISH))
    assert joblib.hash(first) == joblib.hash(second)
    second.encode(CHINESE)  # use leaves no trace
    assert joblib.hash(first) == joblib.hash(second)
    assert joblib.hash(first) != joblib.hash(train_tokenizer(CHINESE))
    assert joblib.hash(first) != joblib.hash(train_tokenizer(ENGLISH, max_length=99))


def test_special_ids(tokenizer):
    assert len(tokenizer.special_ids) == 4
    assert {tokenizer.pad_id, tokenizer.mask_id} <= set(tokenizer.special_ids.tolist())
    assert tokenizer.pad_id == 0


def test_without_a_mask_token(tokenizer):
    other = TextTokenizer(tokenizer.definition, max_length=5)
    assert other.mask_id is None
    assert len(other.encode(["area " * 9])[0][0]) == 5
