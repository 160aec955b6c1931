"""The language of the templates, and what every knowledge point must provide."""

import re
from collections import Counter

import numpy as np
import pytest

from skrr2qc.datasets._question_templates import (
    VOCABULARY,
    Template,
    Topic,
    Values,
    as_texts,
    fraction,
)
from skrr2qc.datasets._questions import _knowledge_points

POINTS = _knowledge_points()


@pytest.fixture
def values():
    return Values(4, np.random.default_rng(0))


def test_slots_and_signs(values):
    values.b, values.c = np.array([1, -1, 3, -4]), np.array([0.5, 2.0, -0.0, 12.25])
    assert Template("<b> 100% {x}").render(values)[1] == "-1 100% {x}"
    assert Template("<b:x>x").render(values) == ["x", "-x", "3x", "-4x"]
    assert Template("2 <b:+>").render(values) == ["2 + 1", "2 - 1", "2 + 3", "2 - 4"]
    assert Template("2 <b:->").render(values) == ["2 - 1", "2 + 1", "2 - 3", "2 + 4"]
    assert Template("2 <b:+x>x").render(values) == ["2 + x", "2 - x", "2 + 3x", "2 - 4x"]
    assert Template("<c>").render(values) == ["0.5", "2", "0", "12.25"]


def test_choices_and_words(values):
    values.n = np.array([1, 2, 3, 4])
    assert set(Template("[a|b]").render(values)) <= {"a", "b"}
    rendered = Template("[<n> cats|dogs]").render(values)
    assert all(text in (f"{i} cats", "dogs") for i, text in enumerate(rendered, start=1))
    assert set(Template("<find>").render(values)) <= set(VOCABULARY["find"])
    assert Template("no slot").render(values) == ["no slot"] * 4


def test_a_word_is_the_same_in_question_and_solution(values):
    question, solution = Template("<Name> sees <name>"), Template("<name>")
    names = solution.render(values)
    assert question.render(values) == [f"{name} sees {name}" for name in names]


def test_unknown_slot(values):
    with pytest.raises(KeyError, match="'nothing' is neither drawn nor in VOCABULARY"):
        Template("<nothing>").render(values)


def test_topic_parses_a_block(values):
    topic = Topic("S", "T")

    @topic(r"""
# A point: m, n
First question <x>?
Second question,
    continued?
-> Solution.
+ Another point; A third point
Composite?
-> Both.
""")
    def draw(v):
        v.x = v.whole(1, 1)

    (point,) = topic.points
    assert (point.name, point.meta_labels) == ("A point", ("m", "n"))
    assert [e.also for e in point.exercises] == [(), (), ("Another point", "A third point")]
    draw(values)
    texts = [e.question.render(values)[0] for e in point.exercises]
    assert texts == ["First question 1?", "Second question, continued?", "Composite?"]


def test_question_without_solution():
    with pytest.raises(ValueError, match="without a solution"):
        Topic("S", "T")("# A: m\nQuestion?")


def test_fraction_in_lowest_terms():
    numerators, denominators = np.array([4, -6, 0, 3, 8]), np.array([6, 3, 5, -9, 4])
    assert fraction(numerators, denominators) == ["2/3", "-2", "0", "-1/3", "2"]


def test_as_texts_of_rows():
    assert as_texts(np.array([[3, 1], [2, 2]])) == ["3, 1", "2, 2"]


def test_draws_stay_in_their_range():
    values = Values(2000, np.random.default_rng(1))
    assert set(values.whole(2, 8, 3).tolist()) == {2, 5, 8}
    assert set(values.nonzero(2).tolist()) == {-2, -1, 1, 2}
    assert set(values.below(np.full(2000, 3)).tolist()) == {1, 2}
    rows = values.sample(3, 1, 4)
    assert set(rows.ravel().tolist()) == {1, 2, 3, 4}
    assert all(len(set(row)) == 3 for row in rows.tolist())


def test_curriculum():
    names = [point.name for point in POINTS]
    topics = {(point.strand, point.topic) for point in POINTS}
    assert len(set(names)) == len(names) >= 96
    assert len({topic for _, topic in topics}) == len(topics)
    assert not set(names) & {part for pair in topics for part in pair}
    assert min(Counter(point.topic for point in POINTS).values()) >= 2


def test_meta_labels_overlap():
    counts = Counter(meta for point in POINTS for meta in point.meta_labels)
    assert len(counts) >= 40
    assert min(counts.values()) >= 2
    assert all(2 <= len(set(point.meta_labels)) <= 4 for point in POINTS)


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_every_exercise_can_be_written(point):
    assert sum(not exercise.also for exercise in point.exercises) >= 3
    others = {p.name for p in POINTS} - {point.name}
    for exercise in point.exercises:
        assert len(exercise.also) <= 2
        assert set(exercise.also) <= others
        values = Values(200, np.random.default_rng(2))
        point.draw(values)
        for text in exercise.question.render(values) + exercise.solution.render(values):
            # No slot or choice left over, no missing number, no exponent notation.
            assert not re.search(r"<\w+(:|>)|\w\|\w+\]|\bnan\b|\binf\b|\de[+-]\d|  ", text), text
            assert text[-1] in ".?!"
