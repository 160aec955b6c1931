"""Texts, targets, maps and numbers as every estimator checks them."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skrr2qc import LabelSpace
from skrr2qc._validation import (
    check_choice,
    check_label_matrix,
    check_label_to_meta,
    check_number,
    check_texts,
)

from .strategies import (
    ODD_VALUES,
    any_text,
    attempt,
    containers_of,
    dense,
    encodable,
    examples,
    indicators,
    label_spaces,
    matrices_of,
    refused,
    with_zeros,
    wrong_matrices,
    wrong_texts,
)


@examples(30)
@given(st.lists(encodable, min_size=1, max_size=5))
def test_texts_are_the_same_in_every_container(texts):
    for kind, X in containers_of(texts).items():
        checked = check_texts(X)
        assert checked == texts, kind
        assert {type(text) for text in checked} == {str}, kind


@examples(60)
@given(st.lists(any_text, min_size=1, max_size=5))
def test_texts_are_taken_as_they_are_or_refused(texts):
    checked = attempt(lambda: check_texts(texts), about=["X"])
    assert (checked is None) == any("\ud800" <= c <= "\udfff" for text in texts for c in text)
    assert checked in (None, texts)


@examples(60)
@given(wrong_texts())
def test_wrong_texts_are_refused(X):
    refused(lambda: check_texts(X, "questions"), about=["questions"])


@pytest.mark.parametrize(
    "texts", [["x" * 100_000], ["\0" * 100_000, "👩‍👩‍👧" * 20_000], ["the same"] * 5000]
)
def test_many_and_long_texts(texts):
    assert check_texts(texts) == texts
    refused(lambda: check_texts([*texts, texts[0].encode()]), about=["X"])
    refused(lambda: check_texts(texts[0]), about=["X"])
    refused(lambda: check_texts([*texts, texts[0] + "\ud800"]), about=["X"])


@examples(20)
@given(indicators())
def test_targets_are_the_same_in_every_form(Y):
    for kind, form in matrices_of(Y).items():
        before = dense(form).copy()
        checked = check_label_matrix(form, n_samples=len(Y))
        assert isinstance(checked, sp.csr_matrix), kind
        assert checked.dtype == np.float32, kind
        assert checked.has_canonical_format, kind
        assert checked.nnz == Y.sum(), kind
        assert_array_equal(checked.toarray(), Y, err_msg=kind)
        checked.data[:] = 7  # what is returned is the caller's no more
        assert_array_equal(dense(form), before, err_msg=kind)


@examples(20)
@given(st.data())
def test_label_sets_equal_their_matrix(data):
    labels = data.draw(label_spaces())
    Y = data.draw(indicators(n_labels=len(labels)))
    named = [[n for n, is_true in zip(labels.names, row, strict=True) if is_true] for row in Y]
    forms = {
        "lists": named,
        "tuples": tuple(map(tuple, named)),
        "sets": list(map(set, named)),
        "frozensets": list(map(frozenset, named)),
        "repeated": [row + row[::-1] for row in named],
        "arrays": [np.array(row, dtype=object) for row in named],
    }
    for kind, form in forms.items():
        checked = check_label_matrix(form, n_samples=len(Y), labels=labels)
        assert_array_equal(checked.toarray(), Y, err_msg=kind)


@examples(80)
@given(st.integers(1, 3).flatmap(lambda n: st.tuples(st.just(n), wrong_matrices(3, n))))
def test_wrong_targets_are_refused(case):
    n_labels, Y = case
    labels = LabelSpace([f"label {i}" for i in range(n_labels)])
    refused(
        lambda: check_label_matrix(Y, n_samples=3, labels=labels, name="goals"), about=["goals"]
    )


@examples(60)
@given(wrong_matrices(3, 2))
def test_wrong_maps_are_refused(label_to_meta):
    if getattr(label_to_meta, "shape", None) == (3, 4):
        return  # another number of meta-labels
    refused(lambda: check_label_to_meta(label_to_meta, 3), about=["label_to_meta"])


@examples(12)
@given(indicators())
def test_maps_are_the_same_in_every_form(label_to_meta):
    for kind, form in matrices_of(label_to_meta).items():
        checked = check_label_to_meta(form, len(label_to_meta))
        assert_array_equal(checked.toarray(), label_to_meta, err_msg=kind)
    refused(lambda: check_label_to_meta(label_to_meta, len(label_to_meta) + 1))
    zeros = with_zeros(label_to_meta, sp.csr_matrix)
    assert check_label_to_meta(zeros, len(label_to_meta)).nnz == label_to_meta.sum()


numbers = st.one_of(
    st.sampled_from([*ODD_VALUES, True, None, np.True_]),
    st.integers(),
    st.floats(),
    st.fractions(),
    st.decimals(),
    st.complex_numbers(),
    st.integers(-(2**63), 2**64 - 1).map(lambda n: np.uint64(n) if n > 0 else np.int64(n)),
    st.floats(width=16).map(np.float16),
)


@examples(100)
@given(numbers, st.booleans(), st.floats(-2, 2), st.floats(0, 3))
def test_numbers_are_in_bounds_or_refused(value, integer, low, width):
    bounds = {"minimum": low, "maximum": low + width, "integer": integer}
    found = attempt(lambda: check_number(value, "gamma", **bounds), about=["gamma"])
    if found is not None:
        assert low <= float(found) <= low + width
        assert not integer or float(found).is_integer()
    free = attempt(lambda: check_number(value, "gamma", integer=integer), about=["gamma"])
    if free is not None:
        assert np.isfinite(float(free))
        assert not integer or -(2**63) <= int(free) < 2**63
    above = attempt(lambda: check_number(value, "gamma", above=low), about=["gamma"])
    assert above is None or float(above) > low


@examples(40)
@given(numbers)
def test_choices(value):
    refused(lambda: check_choice(value, "mode", ("one", "two")), about=["mode"])
