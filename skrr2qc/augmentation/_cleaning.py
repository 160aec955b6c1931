"""What is cut from a solution: sentences that name topics, loops, and the end of a long one."""

import re
import unicodedata
from array import array
from collections import Counter

# A sign without blanks around it is a token of its own in Chinese, Japanese and Korean.
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_CJK}]|\\[a-zA-Z]+|\d+|[^\W\d_{_CJK}]+|[^\w\s]|_")

# A full stop ends a sentence before a blank only (not in 3.14), a semicolon not in LaTeX's "\;".
_SENTENCE_END = re.compile(r"(?<=[。．！？；\n])|(?<=[.!?])(?=\s)|(?<=(?<!\\);)(?=\s)")
_ANNOUNCEMENT = re.compile(
    r"(?:本题|此题|该题|这道题|本小题|试题|题目)[^。．；]{0,8}(?:考查|考察|涉及|属于|难度)"
    r"|考查[^。．；]{0,20}(?:知识|能力)|考点|知识点|属于?.{0,4}(?:基础|中档|难)题"
    r"|\b(?:this|the)\s+(?:question|problem|exercise|task|item)\b.{0,40}\b"
    r"(?:tests?|examines?|assess(?:es)?|covers?|is\s+about|belongs\s+to|deals\s+with)\b"
    r"|\b(?:topics?|knowledge\s+points?|tags?)\s*:",
    re.IGNORECASE,
)
# Up to the last mark; all of an answer that breaks off while the model thinks.
_THOUGHTS = re.compile(r"\A.*</think>|\A\s*<think>.*", re.DOTALL)

_MIN_TOKENS_OF_LOOP = 24  # less is a short answer, not a loop
_MIN_COPIES = 5  # four options of an exercise may repeat its words, one each
_MAX_TOKENS_READ = 4000  # of a loop without end


class NameFinder:
    """Finds names in texts: whatever the case and width, whole words, a plural -s allowed.

    Names in Chinese, Japanese or Korean are found anywhere, as there are no words to be whole.
    """

    def __init__(self, names):
        self.names = tuple(names)
        self._folded = [fold(name) for name in self.names]
        self._patterns = {}

    def find(self, text):
        """Positions of the names that a text holds, ascending."""
        text = fold(text)
        return [
            i for i, name in enumerate(self._folded) if name in text and self._is_whole(name, text)
        ]

    def keep(self, positions):
        """A finder of some of the names."""
        kept = NameFinder(self.names[i] for i in positions)
        kept._patterns = self._patterns  # compiled once for all
        return kept

    def _is_whole(self, name, text):
        if name not in self._patterns:
            # A Latin letter beside a Chinese sign is the first or last of its word.
            letter = f"[^\\W{_CJK}]"
            before = f"(?<!{letter})" if re.match(letter, name[0]) else ""
            after = f"(?:e?s)?(?!{letter})" if re.match(letter, name[-1]) else ""
            self._patterns[name] = re.compile(before + re.escape(name) + after)
        return self._patterns[name].search(text) is not None


def fold(text):
    """Text without differences of case, width and blanks."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def split_sentences(text):
    """Sentences of a text with their ends and blanks: joined, they are the text again."""
    return [sentence for sentence in _SENTENCE_END.split(text) if sentence]


def announces_topic(sentence):
    """Whether a sentence says what an exercise is about, rather than solving it."""
    return _ANNOUNCEMENT.search(sentence) is not None


def strip_topics(solution, finder):
    """A solution without the sentences that name a topic or announce one.

    Parameters
    ----------
    solution : str
    finder : NameFinder

    Returns
    -------
    stripped : str
    n_dropped : int
        Sentences left out.
    """
    sentences = split_sentences(solution)
    dropped = [announces_topic(sentence) for sentence in sentences]
    found = finder.keep(finder.find(solution))  # few: sentences are searched for these alone
    if found.names:
        dropped = [
            is_dropped or bool(found.find(sentence))
            for is_dropped, sentence in zip(dropped, sentences, strict=True)
        ]
        for i, pair in enumerate(zip(sentences, sentences[1:], strict=False)):
            # A name may go on in the next line, which counts as a sentence.
            if not any(dropped[i : i + 2]) and found.find("".join(pair)):
                dropped[i : i + 2] = True, True
    kept = [s for s, is_dropped in zip(sentences, dropped, strict=True) if not is_dropped]
    return "".join(kept).strip(), sum(dropped)


def strip_thoughts(answer):
    """An answer without what a reasoning model thinks before it."""
    return _THOUGHTS.sub("", answer).strip()


def count_tokens(text):
    """Words, numbers, LaTeX commands, single signs; every Chinese character counts.

    Parameters
    ----------
    text : str

    Returns
    -------
    n_tokens : int
    """
    return sum(1 for _ in _TOKEN.finditer(text))


def truncate(text, max_tokens):
    """The beginning of a text, of at most that many tokens."""
    for i, token in enumerate(_TOKEN.finditer(text)):
        if i == max_tokens:
            return text[: token.start()].rstrip()
    return text


def cut_loop(text):
    """A text up to the first copy of an n-gram whose copies cover more than half of it.

    Numbers count as equal to each other, as loops of language models count on. Texts of fewer
    than 24 tokens, and fewer than five copies, are no loop.

    Parameters
    ----------
    text : str

    Returns
    -------
    text : str
        The same object where there is no loop.
    """
    spans = [m for _, m in zip(range(_MAX_TOKENS_READ), _TOKEN.finditer(text), strict=False)]
    end = _first_copy_end(["0" if m[0][0].isdigit() else m[0] for m in spans])
    return text if end is None else text[: spans[end - 1].end()]


def _first_copy_end(tokens):
    """Position after the first copy of the shortest n-gram that makes a loop, or None."""
    length = len(tokens)
    if length < _MIN_TOKENS_OF_LOOP:
        return None
    number = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    ids = [number[token] for token in tokens]
    size = 1
    while size * _MIN_COPIES <= length:
        grams = _n_grams(ids, size)
        counts = Counter(grams)
        most = max(counts.values())
        if most < _MIN_COPIES:
            return None
        if most * size * 2 > length:
            end = _covering(grams, counts, size, length)
            if end is not None:
                return end
            size += 1
        else:  # longer n-grams occur no more often: go to where that many copies would do
            size = max(size + 1, length // (2 * most) + 1)
    return None


def _n_grams(ids, size):
    """All n-grams in order, each as bytes: these hash and compare fast."""
    numbers = array("L", ids)
    data, width = numbers.tobytes(), numbers.itemsize
    starts = range(len(ids) - size + 1)
    return [data[width * start : width * (start + size)] for start in starts]


def _covering(grams, counts, size, length):
    """End of the first copy of an n-gram whose copies, none over another, cover over a half."""
    for start, gram in enumerate(grams):
        if counts[gram] < _MIN_COPIES or counts[gram] * size * 2 <= length:
            continue
        n_copies, position = 0, start
        while position < len(grams):
            is_copy = grams[position] == gram
            n_copies += is_copy
            position += size if is_copy else 1
        if n_copies >= _MIN_COPIES and n_copies * size * 2 > length:
            return start + size
        counts[gram] = 0  # seen
    return None
