"""leak_report on texts small enough to count by hand, and its refusals."""

import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from skrr2qc import LabelSpace
from skrr2qc.augmentation import leak_report

LABELS = LabelSpace(
    ["circle", "mean", "M3"],
    texts={"M3": "binary tree"},
    meta_labels={"circle": ["shape"], "mean": ["number"]},
)
TEXTS = ["the radius is 2", "the mean of 1, 3", "walk it", "a circle and a mean"]
SOLUTIONS = [
    "This question tests skill. In a circle, 4. Some shape.",  # leaks
    "A circle has nothing to do with it. The mean is 2.",  # names its label, as the text does
    "",
    "It is a mean. Or two binary trees.",  # of its two labels, one is named, in the text, too
]
SETS = [{"circle"}, {"mean"}, {"M3"}, {"circle", "mean"}]


def test_by_hand():
    report = leak_report(TEXTS, SOLUTIONS, SETS, LABELS)
    assert (report.n_texts, report.n_solutions) == (4, 3)
    assert report.in_text == 2 / 4
    assert report.in_solution == 3 / 3
    assert report.added == 1 / 3
    assert report.in_stripped == 0
    assert report.announced == 1 / 3
    # tokens: 5 + 6 + 3 of 14, 9 + 5 = 14 and 5 + 5 = 10; kept is "Some shape."
    assert report.kept == pytest.approx(3 / (14 + 14 + 10))
    assert report.emptied == 2 / 3
    assert [e.label for e in report.examples] == ["circle", "mean", "mean"]
    assert report.examples[0].sentence == "In a circle, 4."
    assert "named in 50.0% of the texts" in str(report)
    assert json.loads(json.dumps(report.to_dict()))["examples"][0]["text"] == TEXTS[0]


def test_meta_labels_are_stripped_on_demand():
    assert leak_report(TEXTS, SOLUTIONS, SETS, LABELS, strip="all").kept == 0


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csr_array])
def test_kinds_of_input(kind):
    expected = leak_report(TEXTS, SOLUTIONS, SETS, LABELS)
    Y = kind(LABELS.encode(SETS).toarray())
    assert leak_report(np.array(TEXTS), SOLUTIONS, Y, LABELS) == expected
    mapping = dict(zip(TEXTS, SOLUTIONS, strict=True)) | {"other": "circle"}
    assert leak_report(TEXTS, mapping, SETS, LABELS) == expected
    assert leak_report(TEXTS, [s or None for s in SOLUTIONS], SETS, LABELS) == expected


def test_texts_without_solutions():
    report = leak_report(TEXTS, [None] * 4, SETS, LABELS)
    assert (report.n_solutions, report.in_solution, report.kept) == (0, 0, 0)
    assert report.examples == ()


def test_number_of_examples():
    found = leak_report(TEXTS, SOLUTIONS, SETS, LABELS, n_examples=2).examples
    assert len(found) == 2
    assert leak_report(TEXTS, SOLUTIONS, SETS, LABELS, n_examples=0).examples == ()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"texts": "one"}, TypeError, "sequence of texts, got one str"),
        ({"solutions": SOLUTIONS[1:]}, ValueError, r"one entry per text: expected 4, got 3"),
        ({"solutions": "one"}, TypeError, "mapping from text to solution, got str"),
        ({"solutions": [float("nan")] * 4}, TypeError, r"got nan \(float\) for text 0. Write None"),
        ({"Y": SETS[1:]}, ValueError, "expected 4 rows, got 3"),
        ({"labels": ["a"]}, TypeError, "must be a LabelSpace"),
        ({"strip": "none"}, ValueError, "`strip` must be one of"),
        ({"n_examples": -1}, ValueError, "`n_examples` == -1"),
    ],
)
def test_bad_input(change, error, message):
    arguments = {"texts": TEXTS, "solutions": SOLUTIONS, "Y": SETS, "labels": LABELS}
    with pytest.raises(error, match=message):
        leak_report(**arguments | change)


def test_solutions_in_a_series():
    """It has keys, so that it was taken for a mapping from texts, in which none was found."""
    labels, texts = LabelSpace(["circle"]), ["one", "two"]
    solutions = pd.Series(["a circle", None], index=[7, 8], dtype=object)
    report = leak_report(pd.Series(texts), solutions, [[1], [1]], labels)
    assert report.n_solutions == 1
    assert report.in_solution == 1.0


@pytest.mark.parametrize("solutions", [["\ud800"], {"one": "\ud800"}])
def test_solutions_that_are_no_valid_unicode(solutions):
    """They were appended to texts that no encoder could read."""
    with pytest.raises(ValueError, match=r"`solutions\[0\]` is no valid Unicode"):
        leak_report(["one"], solutions, [[1]], LabelSpace(["circle"]))
