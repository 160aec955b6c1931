"""Solutions and leaks: texts, solutions and names of any kind."""

import warnings

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skrr2qc import LabelSpace
from skrr2qc.augmentation import SolutionAugmenter, leak_report

from .strategies import (
    any_text,
    attempt,
    containers_of,
    encodable,
    examples,
    indicators,
    label_spaces,
    matrices_of,
    odd_values,
    refused,
    wrong_matrices,
    wrong_texts,
)

TEXTS = ["Its radius is 2.", "1 + 1", "的圆"]
LABELS = LabelSpace(["circle", "圆"], meta_labels={"circle": ["shape"]})
SOLUTIONS = dict(zip(TEXTS, ["This is about a circle. It is 4.", "2", "圆。好。"], strict=True))
loops = st.tuples(encodable, st.integers(1, 400)).map(lambda pair: pair[0] * pair[1])
solutions = st.one_of(encodable, loops, st.lists(encodable, max_size=6).map(". ".join), st.none())


@examples(30)
@given(st.data())
def test_solutions_of_any_kind_are_appended(data):
    texts = data.draw(st.lists(encodable, min_size=1, max_size=4))
    given_ones = {text: data.draw(solutions) for text in texts if data.draw(st.booleans())}
    labels = data.draw(st.one_of(st.none(), label_spaces()))
    augmenter = SolutionAugmenter(
        given_ones,
        labels=labels,
        strip=data.draw(st.sampled_from(["labels", "all", None])),
        share=data.draw(st.sampled_from([0, 0.5, 1.0])),
        max_tokens=data.draw(st.sampled_from([1, 5, 256, None])),
        separator=data.draw(encodable),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        augmenter.fit(texts)
    found = augmenter.transform(texts)
    assert len(found) == len(texts)
    for text, result in zip(texts, found, strict=True):
        assert result.startswith(text)
        assert result == text or given_ones[text]
    for X in containers_of(texts).values():
        assert augmenter.transform(X) == found
    report = augmenter.report(texts)
    assert report.n_texts == len(texts)
    assert report.n_augmented == report.n_chosen - report.n_missing - report.n_emptied


@examples(12)
@given(st.data())
def test_leaks_in_every_form(data):
    labels = data.draw(label_spaces())
    Y = data.draw(indicators(n_labels=len(labels)))
    named = st.one_of(encodable, st.sampled_from(labels.texts).map(lambda t: f"It is {t}. So."))
    texts = data.draw(st.lists(named, min_size=len(Y), max_size=len(Y)))
    given_ones = data.draw(st.lists(st.one_of(named, solutions), min_size=len(Y), max_size=len(Y)))
    report = leak_report(texts, given_ones, Y, labels)
    for share in ("in_text", "in_solution", "in_stripped", "added", "announced", "kept", "emptied"):
        assert 0 <= getattr(report, share) <= 1
    assert report.in_stripped <= report.in_solution
    series = pd.Series(given_ones, dtype=object)
    assert leak_report(pd.Series(texts), series, Y, labels) == report
    for form in matrices_of(Y).values():
        assert leak_report(texts, given_ones, form, labels) == report
    assert leak_report(texts, given_ones, labels.decode(Y), labels) == report
    assert str(report)


@examples(60)
@given(wrong_texts(), wrong_matrices(3, 2), odd_values)
def test_wrong_arguments_are_refused(X, Y, odd):
    right = [SOLUTIONS[text] for text in TEXTS]
    good = [[1, 0], [0, 1], [1, 1]]
    refused(lambda: leak_report(X, right, good, LABELS), about=["texts"])
    refused(lambda: leak_report(TEXTS, right, Y, LABELS), about=["Y"])
    refused(lambda: leak_report(TEXTS, right, good, odd), about=["labels"])
    refused(lambda: leak_report(TEXTS, right, good, LABELS, strip=odd), about=["strip"])
    attempt(lambda: leak_report(TEXTS, odd, good, LABELS), about=["solutions"])
    attempt(lambda: leak_report(TEXTS, X, good, LABELS), about=["solutions"])
    about = ["n_examples"]
    refused(lambda: leak_report(TEXTS, right, good, LABELS, n_examples=odd), about=about)
    refused(lambda: SolutionAugmenter(SOLUTIONS).fit(X), about=["X"])
    refused(lambda: SolutionAugmenter(SOLUTIONS).fit(TEXTS).transform(X), about=["X"])


PARAMETERS = sorted(SolutionAugmenter().get_params())


@pytest.mark.parametrize("name", PARAMETERS)
@examples(40)
@given(st.one_of(odd_values, st.floats(), st.integers(), any_text))
def test_odd_parameters(name, value):
    augmenter = SolutionAugmenter(**{"solutions": SOLUTIONS} | {name: value})
    before = set(vars(augmenter))
    if attempt(lambda: augmenter.fit(TEXTS), about=[name]) is None:
        assert set(vars(augmenter)) == before
    elif name != "generator":
        assert len(augmenter.transform(TEXTS)) == 3


@examples(40)
@given(st.lists(st.one_of(any_text, st.none(), odd_values), max_size=3))
def test_a_generator_may_answer_anything(answers):
    augmenter = SolutionAugmenter(generator=lambda prompts, **_: answers).fit(TEXTS)
    try:
        found = attempt(lambda: augmenter.transform(TEXTS))
    except RuntimeError as error:  # GenerationError, as documented
        assert type(error).__name__ == "GenerationError"  # noqa: PT017
        return
    assert found is None or all(text in new for text, new in zip(TEXTS, found, strict=True))


def test_long_solutions():
    texts, long = ["a", "b", "c"], ["x. " * 60_000, "circle " * 40_000, "圆" * 100_000]
    augmenter = SolutionAugmenter(dict(zip(texts, long, strict=True)), labels=LABELS).fit(texts)
    assert all(len(text) < 4000 for text in augmenter.transform(texts))
    assert leak_report(texts, long, [[1, 0]] * 3, LABELS).in_solution == pytest.approx(1 / 3)
