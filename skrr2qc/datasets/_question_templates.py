"""The small language in which the knowledge points of ``make_questions`` are written.

A knowledge point is a function that draws the numbers of its questions, decorated with the texts::

    @area(r'''
    # Area of a triangle: area, triangle
    <Find> the area of a triangle with base <b> cm and height <h> cm.
    A triangular [sail|flag] has a base of <b> m and a height of <h> m. How much cloth is needed?
    -> Half of base times height: <b> x <h> / 2 = <a>.
    ''')
    def triangle_area(v):
        v.b, v.h = v.whole(4, 30), v.whole(3, 20)
        v.a = v.b * v.h / 2

- The first line names the knowledge point and its meta-labels.
- Each further line is a question, and a line that starts with four blanks continues the line above.
- ``-> text`` is the worked solution of the questions since the solution before it.
- ``+ name; name`` says which other knowledge points those questions need as well.
- ``[this|that]`` is a choice, drawn for each question.
- ``<b>`` is the attribute `b` of the values, or else a word of that name from ``VOCABULARY``; with
  a capital, ``<B>``, it can start a sentence. ``<b:+>`` writes a sign ("+ 5", "- 5"), ``<b:->`` the
  opposite one, ``<b:x>`` a coefficient (1 is left out), ``<b:+x>`` both.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

VOCABULARY = {
    "find": ("find", "calculate", "work out", "determine", "compute"),
    "give": ("find", "determine", "give", "state", "write down"),
    "name": (
        *("Aisha", "Amara", "Anna", "Ben", "Carlos", "Chen", "Clara", "David", "Elif", "Emma"),
        *("Farid", "Grace", "Hana", "Hugo", "Ines", "Jonas", "Karim", "Kofi", "Lena", "Leo"),
        *("Lucia", "Maya", "Mei", "Nadia", "Noah", "Olga", "Omar", "Paul", "Priya", "Rosa"),
    ),
    "friend": (
        *("Alex", "Bilal", "Dina", "Eva", "Felix", "Greta", "Igor", "Jamila", "Julia", "Kenji"),
        *("Laila", "Marco", "Nina", "Oscar", "Petra", "Quentin", "Ravi", "Sara", "Tom", "Yuki"),
    ),
    "city": (
        *("Athens", "Bergen", "Cairo", "Denver", "Dublin", "Geneva", "Hanoi", "Kyoto", "Lima"),
        *("Leeds", "Lisbon", "Madrid", "Nairobi", "Oslo", "Prague", "Quito", "Riga", "Toronto"),
    ),
    "item": (
        *("pencils", "notebooks", "stickers", "marbles", "tickets", "badges", "postcards"),
        *("tiles", "candles", "books", "beads", "cards", "bottles", "chairs", "seeds"),
    ),
    "thing": (
        *("coat", "bicycle", "lamp", "tent", "laptop", "guitar", "camera", "table", "watch"),
        *("jacket", "printer", "kettle", "sofa", "scooter", "phone", "racket"),
    ),
    "fruit": ("apples", "pears", "plums", "oranges", "lemons", "peaches", "cherries", "figs"),
    "vehicle": ("train", "bus", "car", "lorry", "cyclist", "ferry", "coach", "van", "tram"),
    "colour": ("red", "green", "white", "yellow", "purple"),
    "shade": ("blue", "black", "orange", "grey", "pink"),
    "sport": ("football", "tennis", "chess", "swimming", "hockey", "judo", "rowing"),
    "hobby": ("music", "drama", "painting", "dancing", "cooking", "reading", "gardening"),
    "cur": ("£", "€"),
    "unit": ("cm", "m", "mm"),
    "job": ("gardener", "farmer", "builder", "painter", "designer", "carpenter"),
    "measured": (
        *("the ages of the members of a club", "the marks in a test", "the goals of a team"),
        *("the numbers of visitors to a museum", "the shoe sizes in a shop", "the daily rainfall"),
        *("the numbers of letters delivered", "the waiting times at a bus stop"),
    ),
}

_SLOT_OR_CHOICE = re.compile(r"<(\w+)(?::([-+x]+))?>|\[([^\[\]]*\|[^\[\]]*)\]")


class Values(SimpleNamespace):
    """The random quantities of `n` questions; every attribute holds one value a question."""

    def __init__(self, n: int, rng: np.random.Generator) -> None:
        super().__init__()
        self._n, self._rng = n, rng
        self._columns: dict[tuple[str, str], list[str]] = {}

    def whole(self, low: int, high: int, step: int = 1) -> np.ndarray:
        """Integers low, low + step, ..., high."""
        return low + step * self._rng.integers((high - low) // step + 1, size=self._n)

    def below(self, limit: np.ndarray) -> np.ndarray:
        """Integers from 1 to limit - 1."""
        return self._rng.integers(1, limit)

    def sign(self) -> np.ndarray:
        """Either -1 or 1."""
        return self.pick(-1, 1)

    def nonzero(self, limit: int) -> np.ndarray:
        """Integers from -limit to limit, without 0."""
        return self.sign() * self.whole(1, limit)

    def pick(self, *options: Any) -> np.ndarray:
        """One of the options."""
        return np.array(options)[self._rng.integers(len(options), size=self._n)]

    def sample(self, k: int, low: int, high: int, *, distinct: bool = True) -> np.ndarray:
        """`k` integers from low to high in a row, (n, k)."""
        if not distinct:
            return self._rng.integers(low, high + 1, size=(self._n, k))
        return low + np.argsort(self._rng.random((self._n, high - low + 1)), axis=1)[:, :k]

    def words(self, options: tuple[str, ...]) -> list[str]:
        """One of the options, as a list of `n` strings."""
        return [options[i] for i in self._rng.integers(len(options), size=self._n).tolist()]

    def column(self, name: str, style: str) -> list[str]:
        """The values of a slot as `n` strings; a slot reads the same in question and solution."""
        if (name, style) not in self._columns:
            self._columns[name, style] = self._write(name, style)
        return self._columns[name, style]

    def _write(self, name: str, style: str) -> list[str]:
        if style:
            return [_signed(x, style) for x in getattr(self, name).tolist()]
        if name in self.__dict__:
            return as_texts(self.__dict__[name])
        if name in VOCABULARY:
            return self.words(VOCABULARY[name])
        if name == name.lower():
            raise KeyError(f"{name!r} is neither drawn nor in VOCABULARY.")
        return [word[0].upper() + word[1:] for word in self.column(name.lower(), "")]


def as_texts(values: Any) -> list[str]:
    """One string a row: whole numbers without a point, the numbers of a 2-D row with commas."""
    if isinstance(values, list):
        return values
    if values.ndim == 2:
        return [", ".join(map(str, row)) for row in values.tolist()]
    if values.dtype.kind == "f":
        return [f"{x:.10g}" for x in (values + 0.0).tolist()]  # + 0.0 turns -0.0 into 0.0
    return [str(x) for x in values.tolist()]


def fraction(numerator: np.ndarray, denominator: np.ndarray) -> list[str]:
    """Fractions in lowest terms, such as "3/4", "-2" or "0"."""
    divisor = np.gcd(numerator, denominator) * np.sign(denominator)
    pairs = zip((numerator // divisor).tolist(), (denominator // divisor).tolist(), strict=True)
    return [f"{n}/{d}" if d != 1 else str(n) for n, d in pairs]


def _signed(value: int, style: str) -> str:
    digits = "" if "x" in style and abs(value) == 1 else f"{abs(value):.10g}"
    if "-" in style:
        return _signed(-value, style.replace("-", "+"))
    if "+" in style:
        return f"{'-' if value < 0 else '+'} {digits}"
    return f"-{digits}" if value < 0 else digits


class Template:
    """A text with slots and choices, written for many rows at once."""

    def __init__(self, text: str) -> None:
        literals, self._parts, end = [], [], 0
        for match in _SLOT_OR_CHOICE.finditer(text):
            name, style, choice = match.groups()
            literals.append(text[end : match.start()])
            self._parts.append((name, style or "") if name else choice.split("|"))
            end = match.end()
        literals.append(text[end:])
        self._format = "%s".join(literal.replace("%", "%%") for literal in literals)
        for i, part in enumerate(self._parts):  # alternatives may hold slots of their own
            if isinstance(part, list) and any("<" in option for option in part):
                self._parts[i] = [Template(option) for option in part]

    def render(self, values: Values) -> list[str]:
        """The text of every row."""
        if not self._parts:
            return [self._format % ()] * values._n
        columns = [self._column(part, values) for part in self._parts]
        return [self._format % row for row in zip(*columns, strict=True)]

    @staticmethod
    def _column(part: Any, values: Values) -> list[str]:
        if isinstance(part, tuple):
            return values.column(*part)
        if isinstance(part[0], str):
            return values.words(tuple(part))
        options = [option.render(values) for option in part]
        chosen = values._rng.integers(len(options), size=values._n).tolist()
        return [options[k][row] for row, k in enumerate(chosen)]


Draw = Callable[[Values], None]


@dataclass(frozen=True)
class Exercise:
    """One way to ask: the question, its solution and the other knowledge points it needs."""

    question: Template
    solution: Template
    also: tuple[str, ...]


@dataclass(frozen=True)
class KnowledgePoint:
    """A label: its place in the curriculum, its meta-labels and its exercises."""

    strand: str
    topic: str
    name: str
    meta_labels: tuple[str, ...]
    exercises: tuple[Exercise, ...]
    draw: Draw


class Topic:
    """A topic of a strand; calling it registers a knowledge point."""

    def __init__(self, strand: str, name: str) -> None:
        self.strand, self.name = strand, name
        self.points: list[KnowledgePoint] = []

    def __call__(self, block: str) -> Callable[[Draw], Draw]:
        """Decorate the function that draws the values of the questions in the block."""
        title, questions = block.strip().split("\n", 1)
        name, meta_labels = title.removeprefix("# ").split(": ")
        metas, exercises = tuple(meta_labels.split(", ")), tuple(_parse(questions))

        def register(draw: Draw) -> Draw:
            point = KnowledgePoint(self.strand, self.name, name, metas, exercises, draw)
            self.points.append(point)
            return draw

        return register


def _parse(block: str) -> list[Exercise]:
    exercises: list[Exercise] = []
    questions: list[Template] = []
    also: tuple[str, ...] = ()
    for line in block.replace("\n    ", " ").split("\n"):
        if line.startswith("-> "):
            solution = Template(line.removeprefix("-> "))
            exercises += [Exercise(question, solution, also) for question in questions]
            questions, also = [], ()
        elif line.startswith("+ "):
            also = tuple(line.removeprefix("+ ").split("; "))
        else:
            questions.append(Template(line))
    if questions:
        raise ValueError(f"{len(questions)} question(s) without a solution: {block[-80:]!r}.")
    return exercises
