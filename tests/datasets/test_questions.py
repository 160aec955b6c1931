"""make_questions: sizes, distribution, hierarchy, correct solutions, and how hard it is."""

import math
import re
from fractions import Fraction
from itertools import pairwise
from math import comb, gcd
from statistics import median

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from skrr2qc.datasets import make_questions
from skrr2qc.datasets._questions import _knowledge_points

N_LABELS = len(_knowledge_points())


@pytest.fixture(scope="module")
def questions():
    return make_questions(3000, random_state=0)


@pytest.fixture(scope="module")
def level_questions():
    """All labels alike, so that every template occurs."""
    return make_questions(20000, imbalance=0, random_state=1)


def counts(Y):
    return np.asarray(Y.sum(axis=0)).ravel()


def test_sizes_and_types(questions):
    assert len(questions.texts) == len(questions.solutions) == 3000
    assert questions.Y.shape == questions.Y_clean.shape == (3000, N_LABELS)
    assert questions.Y.format == "csr"
    assert questions.Y.dtype == np.float32
    assert set(questions.Y.data) == {1.0}
    assert all(isinstance(text, str) and text for text in questions.texts + questions.solutions)


def test_one_to_three_labels(questions):
    for Y in (questions.Y, questions.Y_clean):
        per_row = np.asarray(Y.sum(axis=1)).ravel()
        assert set(per_row) == {1, 2, 3}
    assert 1.1 < per_row.mean() < 1.6


def test_hierarchy(questions):
    labels = questions.labels
    assert labels.max_depth == 3
    assert labels.is_tree
    depth = np.asarray(labels.ancestors.sum(axis=1)).ravel()  # the label, its topic, its strand
    assert_array_equal(depth, 3)
    assert labels.texts[0] == " > ".join([*path_above(labels, labels.names[0]), labels.names[0]])


def path_above(labels, name):
    (topic,) = labels.parents[name]
    (strand,) = labels.parents[topic]
    return strand, topic


def test_meta_labels(questions):
    label_to_meta = questions.labels.label_to_meta
    assert label_to_meta.shape[1] >= 40
    assert counts(label_to_meta).min() >= 2
    per_label = np.asarray(label_to_meta.sum(axis=1)).ravel()
    assert 2 <= per_label.min() <= per_label.max() <= 4


def test_look_alike_labels_share_meta_labels(questions):
    names = questions.labels.names
    metas = questions.labels.label_to_meta
    area = metas[names.index("Area of a triangle")]
    for other in ("Perimeter of a triangle", "Area of a circle", "Pythagoras' theorem"):
        assert area.multiply(metas[names.index(other)]).sum() == 1


@pytest.mark.parametrize("cap", [1, 2, 10])
def test_cap_on_meta_labels(questions, cap):
    full = np.asarray(questions.labels.label_to_meta.sum(axis=1)).ravel()
    capped = make_questions(5, n_meta_per_label=cap, random_state=0).labels.label_to_meta
    assert_array_equal(np.asarray(capped.sum(axis=1)).ravel(), np.minimum(full, cap))


def test_labels_follow_zipf():
    """Counts of the labels asked first fall with the rank to the power of -imbalance."""
    for imbalance in (0.0, 0.7, 1.0, 1.4):
        Y = make_questions(20000, imbalance=imbalance, random_state=3).Y_clean
        frequent = np.sort(counts(Y))[::-1][:40]
        slope = np.polyfit(np.log(np.arange(1, 41)), np.log(frequent), 1)[0]
        assert_allclose(slope, -imbalance, atol=0.2)


def test_frequent_labels_do_not_depend_on_the_seed():
    first, second = (counts(make_questions(5000, random_state=seed).Y) for seed in (1, 2))
    assert np.corrcoef(first, second)[0, 1] > 0.99


@pytest.mark.parametrize("n_labels", [2, 3, 30])
def test_fewer_labels(n_labels):
    small = make_questions(400, n_labels=n_labels, imbalance=0.5, random_state=0)
    assert small.Y.shape == (400, n_labels)
    assert small.labels.n_labels == n_labels
    assert counts(small.Y_clean).min() > 0
    assert np.asarray(small.Y_clean.sum(axis=1)).max() == min(n_labels, 3)
    assert set(small.labels.names) <= set(make_questions(1).labels.names)


def test_reproducible(questions):
    again = make_questions(3000, random_state=0)
    assert again.texts == questions.texts
    assert again.solutions == questions.solutions
    assert_array_equal(again.Y.toarray(), questions.Y.toarray())
    from_state = make_questions(3000, random_state=np.random.RandomState(0))
    assert from_state.texts == questions.texts


def test_seeds_differ(questions):
    other = make_questions(3000, random_state=1)
    assert len(set(other.texts) & set(questions.texts)) < 0.03 * 3000


def test_global_random_state_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make_questions(50, random_state=0)
    assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_few_duplicates(questions):
    assert len(set(questions.texts)) > 0.98 * 3000


def test_styles(questions):
    latex = np.mean(["$" in text for text in questions.texts])
    parts = np.mean([text.count("(b)") == 1 for text in questions.texts])
    assert 0.15 < latex < 0.7
    assert 0.15 < parts < 0.35


def test_parts_have_their_solutions(questions):
    for text, solution in zip(questions.texts, questions.solutions, strict=True):
        for mark in ("(a) ", "(b) ", "(c) "):
            assert (mark in text) == (mark in solution)


def test_single_tasks_may_need_several_labels(level_questions):
    tasks = [i for i, text in enumerate(level_questions.texts) if "(a) " not in text]
    per_row = np.asarray(level_questions.Y_clean[tasks].sum(axis=1)).ravel()
    assert 0.01 < (per_row == 2).mean() < 0.1


def test_annotation_errors(level_questions):
    """About 6 % of the labels are confused, and 12 % of the rows with several lose one."""
    Y, clean = level_questions.Y, level_questions.Y_clean
    assert 0.05 < 1 - Y.multiply(clean).sum() / clean.sum() < 0.12
    n_labels = np.asarray(clean.sum(axis=1)).ravel()
    n_given = np.asarray(Y.sum(axis=1)).ravel()
    assert (n_given <= n_labels).all()
    assert 0.11 < (n_given < n_labels)[n_labels > 1].mean() < 0.15
    kept = Y[n_labels == 1].multiply(clean[n_labels == 1]).sum() / (n_labels == 1).sum()
    assert_allclose(kept, 0.94, atol=0.01)


def test_confused_labels_stay_in_their_topic(level_questions):
    labels = level_questions.labels
    single = np.flatnonzero(np.asarray(level_questions.Y_clean.sum(axis=1)).ravel() == 1)
    given, true = level_questions.Y[single].indices, level_questions.Y_clean[single].indices
    pairs = [(labels.names[i], labels.names[j]) for i, j in zip(given, true, strict=True) if i != j]
    assert len(pairs) > 500
    assert all(labels.parents[a] == labels.parents[b] for a, b in pairs)


# Solutions, worked out again from the numbers in the question. Where two labels share a wording,
# `method` says which solutions are meant.


def linear(a, sign, b, c):
    return f"= {Fraction(int(c) - int(sign + b), int(a))}."


def roots(sign_b, b, sign_c, c):
    b, c = int(sign_b + (b or "1")), int(sign_c + c)
    low, high = (x for x in range(-40, 41) if x * x + b * x + c == 0)
    return f"x = {low} or x = {high}.", f"x = {high} or x = {low}."


def series(n, first, second):
    n, first, step = int(n), int(first), int(second) - int(first)
    return f"= {sum(first + i * step for i in range(n))}."


def binomial(p, k, n):
    p, k, n = float(p), int(k), int(n)
    return f"= {round(comb(n, k) * p**k * (1 - p) ** (n - k), 4):.10g} (to four decimals)."


def sum_of_fractions(a, b, c, d):
    return f"simplified: {Fraction(int(a), int(b)) + Fraction(int(c), int(d))}."


def middle(numbers):
    return f"The middle is {median(map(int, numbers.split(', '))):.10g}."


def triangle_area(base, height):
    return f"/ 2 = {int(base) * int(height) / 2:.10g}."


def integral(end, p, q):
    end, p, q = int(end), int(p), int(q)
    return f"= {Fraction(p * end**3, 3) + Fraction(q * end**2, 2)}."


def drawing_two(a, b):
    a, n = int(a), int(a) + int(b)
    return f"= {Fraction(a * (a - 1), n * (n - 1))}."


def speed(distance, hours):
    return f"= {Fraction(int(distance), int(hours))} km/h."


def common_divisor(a, b):
    return f"is {gcd(int(a), int(b))}."


def percentage(p, n):
    return f"= {int(p) * int(n) / 100:.10g}."


@pytest.mark.parametrize(
    ("pattern", "method", "answer"),
    [
        (r"Solve \$(\d+)x ([+-]) (\d+) = (-?\d+)\$", "", linear),
        (r"^Solve \$x\^2 ([+-]) (\d*)x ([+-]) (\d+) = 0\$", r"^\(x", roots),
        (r"sum of the first (\d+) terms of (-?\d+), (-?\d+), ", "last term", series),
        (r"with probability (\S+)\. .* exactly (\d+) successes in (\d+) trials", "", binomial),
        (r"\\frac\{(\d+)\}\{(\d+)\} \+ \\frac\{(\d+)\}\{(\d+)\}", "", sum_of_fractions),
        (r"the median of ([\d, ]+)\.", "^In order", middle),
        (r"triangle with base (\d+) \w+ and height (\d+)", "", triangle_area),
        (r"\\int_0\^\{(\d+)\} \((\d+)x\^2 \+ (\d+)x\)", "", integral),
        (r"(\d+) \w+ and (\d+) \w+ balls. Two are.*that both are", "second factor", drawing_two),
        (r"A \w+ travels (\d+) km in (\d+) hours", "", speed),
        (r"the greatest common divisor of (\d+) and (\d+)\.", "", common_divisor),
        (r"(\d+)% of (\d+)\.", "", percentage),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_solutions(level_questions, pattern, method, answer):
    pairs = zip(level_questions.texts, level_questions.solutions, strict=True)
    pairs = [(text, solution) for text, solution in pairs if "(a) " not in text]
    found = [(re.search(pattern, text), s) for text, s in pairs if re.search(method, s)]
    found = [(match.groups(), solution) for match, solution in found if match]
    assert len(found) >= 5
    for numbers, solution in found:
        assert solution.endswith(answer(*numbers)), (numbers, solution)


def value(side):
    """The number that one side of an equality stands for, or None where it is no arithmetic."""
    side = side.strip().rstrip(".").replace("°", "").replace("^", "**").replace(" x ", " * ")
    side = side.replace(")(", ") * (")
    if not re.fullmatch(r"(sqrt\(|pi|[-+*/() .\d])+", side):
        return None
    try:
        return float(eval(side, {"sqrt": math.sqrt, "pi": math.pi}))
    except (SyntaxError, TypeError):  # a piece of a sentence, such as "-3 (4"
        return None


def test_equalities_in_solutions(level_questions):
    """Whatever stands on both sides of "=" in a solution is equal, up to rounding."""
    checked = 0
    for text, solution in zip(level_questions.texts, level_questions.solutions, strict=True):
        if "(a) " in text:
            continue
        tolerance = 0.51 if "(rounded)" in solution else 0.00501
        plain = re.sub(r" \((rounded|to .*?)\)", "", solution)
        for clause in re.split(r"[:;,] | is | and |\. | so ", plain):
            values = [value(side) for side in clause.split(" = ")]
            for left, right in pairwise(values):
                if left is not None and right is not None and " : " not in plain:
                    assert abs(left - right) <= tolerance, solution
                    checked += 1
    assert checked > 5000


def test_learnable_but_hard(questions):
    train, test = slice(0, 1500), slice(1500, None)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    X = vectorizer.fit_transform(questions.texts[train])
    seen = np.flatnonzero(counts(questions.Y[train]))
    model = OneVsRestClassifier(LinearSVC()).fit(X, questions.Y[train][:, seen])
    scores = model.decision_function(vectorizer.transform(questions.texts[test]))
    top = seen[scores.argmax(axis=1)]
    Y = questions.Y[test].toarray()
    hits = Y[np.arange(len(Y)), top]
    assert 0.5 < hits.mean() < 0.97
    tail = counts(questions.Y[train]) <= 5
    only_tail = (Y @ ~tail == 0) & (Y.sum(axis=1) > 0)
    assert hits[only_tail].mean() < hits.mean() - 0.1


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"n_samples": 0}, ValueError, "`n_samples` must be at least 1, got 0"),
        ({"n_samples": 10.0}, TypeError, "`n_samples` must be an int, got 10.0"),
        ({"n_samples": True}, TypeError, "`n_samples` must be an int"),
        ({"n_labels": 1}, ValueError, f"`n_labels` must be between 2 and {N_LABELS}, got 1"),
        ({"n_labels": N_LABELS + 1}, ValueError, "`n_labels` must be between 2"),
        ({"n_labels": "all"}, TypeError, "`n_labels` must be an int, got 'all'"),
        ({"imbalance": -0.1}, ValueError, "`imbalance` must be at least 0 and finite, got -0.1"),
        ({"imbalance": float("nan")}, ValueError, "`imbalance` must be at least 0"),
        ({"imbalance": "high"}, TypeError, "`imbalance` must be a number, got 'high'"),
        ({"n_meta_per_label": 0}, ValueError, "`n_meta_per_label` must be at least 1"),
        ({"random_state": "seed"}, ValueError, "seed"),
    ],
)
def test_invalid_parameters(params, error, message):
    with pytest.raises(error, match=message):
        make_questions(**params)


def test_one_question():
    one = make_questions(1, random_state=0)
    assert len(one.texts) == 1
    assert one.Y.shape == (1, N_LABELS)
