"""What is read of a label."""

import pytest

from skrr2qc import LabelSpace
from skrr2qc.meta_labels._reading import is_code, reading_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A12.3", True),
        ("03110000-5", True),
        ("MATH-101", True),
        ("c_f2f1fb47", True),
        ("EU", True),
        ("DNA", False),
        ("Level 2 algebra", False),
        ("函数", False),
        ("圆", False),
    ],
)
def test_codes(text, expected):
    assert is_code(text) is expected


def test_texts_are_read_unless_they_are_long_and_the_name_says_something():
    description = "all that " * 20
    labels = LabelSpace(
        ["A1", "A2", "mean", "mode"],
        texts={"A1": "area", "A2": description, "mean": description, "mode": "most frequent"},
        parents={"mean": "statistics"},
    )
    assert reading_of(labels) == {
        "A1": "area",
        "A2": description,
        "mean": "mean",
        "mode": "most frequent",
        "statistics": "statistics",
    }
