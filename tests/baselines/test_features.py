"""Features of texts: scripts, tokens, numbers."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from skrr2qc.baselines import TfidfLinearClassifier
from skrr2qc.baselines._features import NumberFoldingVectorizer, is_mostly_cjk
from skrr2qc.persistence import load_model


@pytest.mark.parametrize(
    ("text", "is_cjk"),
    [
        ("求函数的最小值", True),
        (r"已知复数 $z=-1+2i$ 对应的点所在象限是 $\sqrt{2}$", True),
        ("最小値を求めなさい", True),
        ("다음 함수의 최솟값을 구하시오", True),
        ("find the least value of a function", False),
        ("what does the character 水 mean in this sentence", False),
        ("12 + 30 = 42", False),
        ("наименьшее значение функции", False),
    ],
)
def test_cjk_switch(text, is_cjk):
    assert is_mostly_cjk([text]) == is_cjk
    vectorizer = TfidfLinearClassifier().make_vectorizer([text])
    chosen = TfidfLinearClassifier(analyzer="token" if is_cjk else "word").make_vectorizer([text])
    assert str(vectorizer) == str(chosen)


def tokens_of(analyzer, text):
    vectorizer = TfidfLinearClassifier(analyzer=analyzer).make_vectorizer([text])
    if analyzer == "word":
        vectorizer = vectorizer.transformer_list[0][1]
    return vectorizer.set_params(ngram_range=(1, 1)).build_analyzer()(text)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (r"\frac{1}{2} of 3.14", [r"\frac", "{", "0", "}", "{", "0", "}", "of", "0"]),
        (r"\frac12+\sqrt3", [r"\frac", "0", "+", r"\sqrt", "0"]),
        ("on 1.1.2024, v1.2", ["on", "1.1.2024", ",", "v", "1.2"]),
        ("(1,2) and 1,2000.5", ["(", "0,0", ")", "and", "0,2000.5"]),
        ("p53.5, 1949.5, 1,234.5", ["p", "53.5", ",", "1949.5", ",", "0"]),
        ("add 1,000 and 1/2.", ["add", "0", "and", "0/0", "."]),
        ("x_1+y2-3z", ["x", "0", "+", "y", "2", "-", "0", "z"]),
        ("p53 and CD4", ["p", "53", "and", "cd", "4"]),
        (r"\Delta t", [r"\delta", "t"]),
        (
            "Treaty of 1648, Regulation 1234/98",
            ["treaty", "of", "1648", ",", "regulation", "1234/0"],
        ),
        ("each measures 40. What", ["each", "measures", "0", ".", "what"]),
        ("12 345 6789", ["0", "0", "6789"]),
    ],
)
def test_tokens_keep_latex_whole_and_fold_numbers(text, tokens):
    assert tokens_of("word", text) == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("求圆的面积", list("求圆的面积")),
        (r"已知 $\frac{1}{2}x$", ["已", "知", "$", r"\frac", *"{0}{0}", "x", "$"]),
        ("公元1949年DNA", [*"公元", "1949", "年", "dna"]),
        ("水は100℃", [*"水は", "0", "℃"]),
    ],
)
def test_tokens_of_text_without_blanks(text, tokens):
    assert tokens_of("token", text) == tokens


def test_characters_stay_as_they_are():
    text = "求12的3倍"
    analyze = TfidfLinearClassifier(analyzer="char").make_vectorizer([text]).build_analyzer()
    assert set(text) <= set(analyze(text))


def test_numbers_are_folded_in_characters_of_words():
    vectorizer = TfidfLinearClassifier(analyzer="word").make_vectorizer([""])
    grams = vectorizer.transformer_list[1][1].build_analyzer()("in 37.5 years")
    assert " 0 " in grams
    assert not any("7" in gram for gram in grams)


def test_questions_with_other_numbers_are_the_same_question():
    vectorizer = TfidfLinearClassifier().make_vectorizer(["a"])
    first, second = vectorizer.fit_transform(["add 12 to 7", "add 345 to 9.5"]).toarray()
    assert_array_equal(first, second)


def test_vectorizer_has_the_parameters_of_its_parent():
    vectorizer = NumberFoldingVectorizer(lowercase=False, min_df=2)
    assert clone(vectorizer).get_params() == vectorizer.get_params()
    assert vectorizer.build_analyzer()("Ab 12 Cd 1999") == ["Ab", "Cd", "1999"]


@pytest.mark.parametrize("texts", [["求12的3倍", "解方程"], ["three times 12", "an equation"]])
def test_saved_models_fold_numbers_too(texts, tmp_path):
    X, Y = texts * 10, np.tile(np.eye(2, dtype=int), (10, 1))
    classifier = TfidfLinearClassifier(random_state=0).fit(X, Y)
    classifier.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    asked = [*texts, "求99的0.5倍", "7 times 1999"]
    assert_array_equal(loaded.predict_proba(asked), classifier.predict_proba(asked))
