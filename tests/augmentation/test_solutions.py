"""SolutionAugmenter with given and with generated solutions, alone and before a classifier."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline

from skrr2qc import LabelSpace, TfidfLinearClassifier
from skrr2qc.augmentation import SolutionAugmenter
from skrr2qc.llm import CallLimitError, GenerationError
from skrr2qc.testing import check_text_estimator, make_tiny_texts

LABELS = LabelSpace(["circle", "mean"], meta_labels={"circle": ["shape"]})
SOLUTIONS = {
    "2 + 2": "The result is 4.",
    "radius 2": "A circle. It is a shape. The area is 4 pi.",
    "none": "",
    "left": None,
    "all": "About a circle.",
}


class Writer:
    """Writes "solved: <text>"; remembers what it was asked."""

    def __init__(self, fails=(), error=GenerationError):
        self.fails, self.error, self.calls = fails, error, []

    def __call__(self, prompts, *, seed=0, schema=None):
        texts = [prompt[-1]["content"] for prompt in prompts]
        self.calls.append((prompts, seed))
        answers = [None if text in self.fails else f"solved: {text}" for text in texts]
        if None in answers:
            raise self.error("server is gone.", answers, {0: "gone"})
        return answers

    @property
    def asked(self):
        return [prompt[-1]["content"] for prompts, _ in self.calls for prompt in prompts]


def augment(texts, solutions=SOLUTIONS, **params):
    return SolutionAugmenter(solutions, **params).fit(texts).transform(texts)


def test_text_first_then_solution():
    assert augment(["2 + 2", "radius 2"]) == [
        "2 + 2 The result is 4.",
        "radius 2 A circle. It is a shape. The area is 4 pi.",
    ]
    assert augment(["2 + 2"], separator="\n") == ["2 + 2\nThe result is 4."]


def test_texts_without_a_solution_stay():
    assert augment(["none", "left", "unknown", "", "2 + 2"])[:4] == ["none", "left", "unknown", ""]
    assert augment(["all"], labels=LABELS) == ["all"]


@pytest.mark.parametrize(
    ("strip", "expected"),
    [
        ("labels", "It is a shape. The area is 4 pi."),
        ("all", "The area is 4 pi."),
        (None, "A circle. It is a shape. The area is 4 pi."),
    ],
)
def test_strip(strip, expected):
    assert augment(["radius 2"], labels=LABELS, strip=strip) == [f"radius 2 {expected}"]


def test_announcements_are_stripped_without_labels():
    solutions = {"x": "This question tests geometry. So 4."}
    assert augment(["x"], solutions) == ["x So 4."]
    assert augment(["x"], solutions, strip=None) == ["x This question tests geometry. So 4."]


def test_long_solutions_and_loops_are_cut():
    solutions = {
        "long": "word " * 3 + "other " * 3,
        "loop": "First this. " + "again and so on, " * 40,
    }
    assert augment(["long"], solutions, max_tokens=4) == ["long word word word other"]
    assert len(augment(["loop"], solutions)[0]) < 40
    words = " ".join(f"w{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(300))
    assert len(augment(["x"], {"x": words})[0].split()) == 257
    assert augment(["x"], {"x": words}, max_tokens=None) == [f"x {words}"]


def test_report():
    texts = ["2 + 2", "radius 2", "none", "all", "unknown", "2 + 2"]
    augmenter = SolutionAugmenter(SOLUTIONS, labels=LABELS, max_tokens=4).fit(texts)
    report = augmenter.report(texts)
    assert (report.n_texts, report.n_chosen, report.n_augmented) == (6, 6, 3)
    assert (report.n_missing, report.n_emptied, report.n_truncated) == (2, 1, 3)
    assert (report.n_sentences_stripped, report.n_loops) == (2, 0)
    assert "3 of 6 texts got a solution" in str(report)


# ------------------------------------------------------------------------------ share

MANY = {f"text {i}": f"solution {i}" for i in range(2000)}


def chosen(texts, **params):
    pairs = zip(texts, augment(texts, MANY, **params), strict=True)
    return {text for text, augmented in pairs if augmented != text}


def test_share_is_of_texts_and_the_same_in_any_batch():
    texts = list(MANY)
    third = chosen(texts, share=1 / 3)
    assert abs(len(third) / 2000 - 1 / 3) < 0.04
    assert chosen(texts[::-1][:700], share=1 / 3) == third & set(texts[::-1][:700])
    assert third < chosen(texts, share=0.6)
    assert chosen(texts, share=0) == set()
    assert len(chosen(texts, share=1)) == 2000
    other = chosen(texts, share=1 / 3, random_state=1)
    assert 0.05 < len(third & other) / 2000 < 0.17  # about a ninth


# -------------------------------------------------------------------------- generator


def test_generated_solutions():
    writer = Writer()
    augmenter = SolutionAugmenter(generator=writer, random_state=7).fit(["a", "b"])
    assert writer.calls == []  # nothing before it is needed
    assert augmenter.transform(["a", "b", "a", " "]) == [
        "a solved: a",
        "b solved: b",
        "a solved: a",
        " ",
    ]
    assert writer.asked == ["a", "b"]
    prompts, seed = writer.calls[0]
    assert seed == 7
    system, user = prompts[0]
    assert user == {"role": "user", "content": "a"}
    assert "Do not name the topic" in system["content"]


def test_given_solutions_come_first_and_labels_are_not_told():
    writer = Writer()
    augmented = augment(["2 + 2", "none"], generator=writer, labels=LABELS)
    assert augmented == ["2 + 2 The result is 4.", "none solved: none"]
    assert writer.asked == ["none"]
    assert "circle" not in str(writer.calls)


def test_prompt_and_seed_of_a_text_do_not_depend_on_the_batch():
    """Which is what a cache needs to write each solution once."""
    first, second = Writer(), Writer()
    augment(["a", "b"], None, generator=first)
    augment(["c", "b"], None, generator=second)
    assert first.calls[0][0][1] == second.calls[0][0][1]
    assert first.calls[0][1] == second.calls[0][1]


def test_own_instructions_and_answers_of_models_that_reason():
    def think(prompts, *, seed=0, schema=None):
        return [f"<think>hm, {prompt[0]['content']}</think>\nSo 4." for prompt in prompts]

    assert augment(["a"], None, generator=think, instructions="Solve") == ["a So 4."]


def test_only_chosen_texts_are_paid_for():
    writer = Writer()
    texts = [f"text {i}" for i in range(200)]
    augmented = augment(texts, None, generator=writer, share=0.25)
    assert set(writer.asked) == {t for t, a in zip(texts, augmented, strict=True) if a != t}
    assert 20 < len(writer.asked) < 80


def test_some_failures_leave_their_texts_with_a_warning():
    writer = Writer(fails=["b"])
    with pytest.warns(UserWarning, match=r"1 of 3 solutions could not be written.*server is gone"):
        augmented = augment(["a", "b", "c"], None, generator=writer)
    assert augmented == ["a solved: a", "b", "c solved: c"]


@pytest.mark.parametrize("writer", [Writer(["a", "b"]), Writer(["b"], CallLimitError)])
def test_failure_of_all_and_a_limit_are_errors(writer):
    with pytest.raises(GenerationError, match="server is gone"):
        augment(["a", "b"], None, generator=writer)


def test_generator_that_returns_something_else():
    with pytest.raises(TypeError, match="generator must return one str for each prompt"):
        augment(["a"], None, generator=lambda prompts, **_: [3])


def test_empty_answers_are_no_solutions():
    augmenter = SolutionAugmenter(generator=lambda prompts, **_: [" "] * len(prompts)).fit(["a"])
    assert augmenter.transform(["a"]) == ["a"]
    assert augmenter.report(["a"]).n_missing == 1


# -------------------------------------------------------------------------- estimator


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"solutions": None}, ValueError, "needs `solutions` or a `generator`, got neither"),
        ({"solutions": ["a"]}, TypeError, r"got list. Pass dict\(zip\(texts, solutions\)\)"),
        ({"solutions": {"a": 3}}, TypeError, r"must hold str or None, got 3 \(int\)"),
        ({"generator": "http://x"}, TypeError, "`generator` must be a callable .* got 'http://x'"),
        ({"labels": ["a"]}, TypeError, "must be a LabelSpace"),
        ({"strip": "meta"}, ValueError, "`strip` must be one of"),
        ({"share": 1.5}, ValueError, "`share` == 1.5, must be <= 1"),
        ({"max_tokens": 0}, ValueError, "`max_tokens` == 0, must be >= 1"),
        ({"separator": None}, TypeError, "`separator` must be a str"),
        ({"instructions": 3}, TypeError, "`instructions` must be a str"),
        ({"random_state": None}, TypeError, "`random_state` must be an integer"),
    ],
)
def test_invalid_parameters(params, error, message):
    augmenter = SolutionAugmenter(**{"solutions": SOLUTIONS} | params)
    with pytest.raises(error, match=message):
        augmenter.fit(["2 + 2"])
    assert not hasattr(augmenter, "names_")


def test_keys_that_are_no_text_of_fit():
    with pytest.warns(UserWarning, match=r"None of the 1 texts has a solution.*exactly"):
        SolutionAugmenter(SOLUTIONS).fit(["other"])


def test_unfitted_and_bad_texts():
    with pytest.raises(NotFittedError):
        SolutionAugmenter(SOLUTIONS).transform(["a"])
    for bad in ("text", None, [None], []):
        with pytest.raises((TypeError, ValueError), match="`X`"):
            SolutionAugmenter(SOLUTIONS).fit(bad)
        with pytest.raises((TypeError, ValueError), match="`X`"):
            SolutionAugmenter(SOLUTIONS).fit(["2 + 2"]).transform(bad)


def test_clone_pickle_and_repr():
    augmenter = SolutionAugmenter(SOLUTIONS, labels=LABELS, share=0.5)
    copy = pickle.loads(pickle.dumps(clone(augmenter).fit(["2 + 2"])))
    assert copy.transform(list(SOLUTIONS)) == augmenter.fit(["2 + 2"]).transform(list(SOLUTIONS))
    assert clone(SolutionAugmenter(generator=Writer())).generator is not None
    assert augmenter.solutions is SOLUTIONS  # not copied, not changed


def tiny_pipeline():
    X, _ = make_tiny_texts()
    solutions = {text: f"it is {len(text)} letters long" for text in X[::2]}
    augmenter = SolutionAugmenter(solutions, share=0.8)
    return make_pipeline(augmenter, TfidfLinearClassifier(C=1.0))


def test_contract_as_first_step():
    known = {"fit_keeps_parameters": "scikit-learn's Pipeline fits its steps in place"}
    assert "refit" in check_text_estimator(tiny_pipeline(), expected_failures=known)


def test_grid_over_a_pipeline():
    X, Y = make_tiny_texts(24)
    solutions = {
        x: " ".join(f"topic{i}" for i in np.flatnonzero(y)) for x, y in zip(X, Y, strict=True)
    }
    pipeline = Pipeline(
        [("solutions", SolutionAugmenter(solutions)), ("clf", TfidfLinearClassifier(C=1.0))]
    )
    pipeline.set_params(clf__validation_fraction=0.2, clf__random_state=0)
    search = GridSearchCV(pipeline, {"solutions__share": [0.0, 1.0]}, cv=2, scoring="f1_micro")
    search.fit(X, Y)
    assert search.best_params_ == {"solutions__share": 1.0}  # they say what it is about


@pytest.mark.parametrize("name", ["instructions", "separator"])
def test_words_in_an_array(name):
    """The comparison with the default gave an array, which has no truth value."""
    with pytest.raises(TypeError, match=f"`{name}` must be a str"):
        SolutionAugmenter({"a": "b"}, **{name: np.array([1, 2])}).fit(["a"])
