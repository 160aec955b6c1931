"""check_targets: every form in which a user may name the labels of texts."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from skrr2qc import LabelSpace
from skrr2qc.encoders._targets import check_targets

LABELS = LabelSpace(["z", "b", "a"])
INDICATOR = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0]])
SETS = [{"z"}, {"a", "b"}, set()]


@pytest.mark.parametrize(
    "y",
    [
        INDICATOR,
        sp.csr_matrix(INDICATOR),
        INDICATOR.tolist(),
        pd.DataFrame(INDICATOR),
        SETS,
        pd.Series(SETS),
        np.array(SETS, dtype=object),
        [sorted(names) for names in SETS],
    ],
    ids=["array", "csr", "rows", "frame", "sets", "series", "objects", "lists"],
)
def test_label_sets(y):
    assert_array_equal(check_targets(y, 3, LABELS).toarray(), INDICATOR)


@pytest.mark.parametrize(
    "y", [["z", "a", "z"], np.array(["z", "a", "z"]), pd.Series(["z", "a", "z"]), [0, 2, 0]]
)
def test_one_class_a_text_that_a_label_space_names(y):
    assert check_targets(y, 3, LABELS).indices.tolist() == [0, 2, 0]


@pytest.mark.parametrize(
    "y", [["z", "a", "z"], np.array([7, 5, 7]), [2.0, 1.0, 2.0], [True, False, True]]
)
def test_one_class_a_text_in_sorted_order(y):
    found = check_targets(y, 3, None)
    assert found.shape == (3, 2)
    assert found.indices.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "y, labels, message",
    [
        ([0.5, 1.0, 2.0], None, "must hold classes .* got 0.5"),
        ([np.nan, 1.0, 2.0], None, "must hold classes .* got nan"),
        (["a", None, "b"], None, "must hold classes .* got None"),
        ([True, False, True], LABELS, "names of `labels`, or column numbers from 0 to 2, got True"),
        ([0.0, 1.0, 2.0], LABELS, "column numbers from 0 to 2, got 0.0"),
        ([0, 1, 3], LABELS, "column numbers from 0 to 2, got 3"),
        ([0, 1, -1], LABELS, "column numbers from 0 to 2, got -1"),
        (["z", "b"], None, "one entry per text: expected 3, got 2"),
        (["z", "b", "unknown"], LABELS, "unknown"),
    ],
)
def test_what_is_no_target(y, labels, message):
    with pytest.raises(ValueError, match=message):
        check_targets(y, 3, labels)
