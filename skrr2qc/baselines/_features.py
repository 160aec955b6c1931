"""TF-IDF features of texts: words, characters and tokens of many scripts, numbers as one."""

import re

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion

# LaTeX commands, numbers such as 3.14 or 1/2, words, and single signs (operators carry meaning).
TOKEN_PATTERN = r"\\[a-zA-Z]+|\d+(?:[.,/:]\d+)*|[^\W\d_]+|[^\w\s]"

# Han, kana and Hangul, with their extensions and compatibility forms.
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
_CJK_CHARACTER = re.compile(f"[{_CJK}]")
_OTHER_WORD = re.compile(rf"[^\W\d_{_CJK}]{{2,}}")
# The same, each of these characters by itself.
CJK_TOKEN_PATTERN = rf"\\[a-zA-Z]+|\d+(?:[.,/:]\d+)*|[{_CJK}]|[^\W\d_{_CJK}]+|[^\w\s]"

# Not after a letter, unless of a LaTeX command (p53, \frac12), not of four digits and more (years,
# laws), and no part of what has several points (dates, versions).
_NUMBER = r"\d{1,3}(?:,\d{3})*(?:\.\d+)?(?!\d|\.\d)"
_FOLDED_NUMBER = re.compile(rf"(\\[a-zA-Z]+|(?<![^\W_{_CJK}])(?<!\d\.)){_NUMBER}")


class NumberFoldingVectorizer(TfidfVectorizer):
    r"""`TfidfVectorizer` to which all numbers are one, but for long integers and parts of names.

    Examples
    --------
    >>> from skrr2qc.baselines._features import NumberFoldingVectorizer
    >>> vectorizer = NumberFoldingVectorizer(token_pattern=r"\w+")
    >>> vectorizer.build_analyzer()("Half of 3.5 in 1949, 12 of p53")
    ['half', 'of', '0', 'in', '1949', '0', 'of', 'p53']
    """

    def build_preprocessor(self):
        preprocess = super().build_preprocessor()
        return lambda text: _FOLDED_NUMBER.sub(r"\g<1>0", preprocess(text))


def make_vectorizer(analyzer, texts, max_features):
    """Vectorizer, not fitted, that "auto", "word", "char" or "token" means for these texts."""
    if analyzer == "auto":
        analyzer = "token" if is_mostly_cjk(texts) else "word"
    shared = {"sublinear_tf": True, "max_features": max_features, "dtype": np.float32}
    if analyzer == "char":
        return TfidfVectorizer(analyzer="char", ngram_range=(1, 3), **shared)
    if analyzer == "token":
        tokens = {"token_pattern": CJK_TOKEN_PATTERN, "ngram_range": (1, 3)}
        return NumberFoldingVectorizer(**tokens, **shared)
    words = {"token_pattern": TOKEN_PATTERN, "ngram_range": (1, 2)}
    characters = {"analyzer": "char_wb", "ngram_range": (3, 5)}
    return FeatureUnion(
        [
            ("words", NumberFoldingVectorizer(**words, **shared)),
            ("characters", NumberFoldingVectorizer(**characters, **shared)),
        ]
    )


def is_mostly_cjk(texts):
    """Whether CJK characters, each about a word, outnumber the words of other scripts."""
    n_cjk = sum(len(_CJK_CHARACTER.findall(text)) for text in texts)
    n_other = sum(len(_OTHER_WORD.findall(text)) for text in texts)
    return n_cjk > n_other
