"""The vote against golden cases, brute force and numbers by hand; forms of phrases."""

from collections import Counter

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from skrr2qc.meta_labels._voting import agreement, canonical_phrases, majority_vote
from tests.reference.golden import golden_cases


@pytest.mark.parametrize("case", golden_cases("meta_label_majority_vote"), ids=lambda c: c["id"])
def test_golden(case):
    assert majority_vote(**case["inputs"]) == case["expected"]["kept"]


RUNS = st.lists(st.lists(st.sampled_from("abcde"), max_size=6), min_size=1, max_size=6)


@given(RUNS)
def test_vote_equals_brute_force(runs):
    phrases = [phrase for run in runs for phrase in run]
    n_votes = {p: sum(p in run for run in runs) for p in phrases}
    expected = {p for p in phrases if n_votes[p] > len(runs) / 2}
    if not expected:
        expected = {p for p in phrases if n_votes[p] == max(n_votes.values())}
    kept = majority_vote(runs)
    assert set(kept) == expected
    assert kept == sorted(kept, key=phrases.index)


def test_vote_of_nothing():
    assert majority_vote([]) == majority_vote([[], []]) == []


@pytest.mark.parametrize(
    ("threshold", "kept"), [(0, ["a", "b"]), (0.5, ["a"]), (0.75, ["a"]), (0.3, ["a", "b"])]
)
def test_threshold(threshold, kept):
    runs = [["a", "b"], ["a", "b"], ["a"], ["a"]]
    assert majority_vote(runs, threshold) == kept


def test_half_of_the_runs_is_no_majority():
    runs = [["b"], ["a", "c"], ["c", "a"], ["c"], ["d"], ["e"]]
    assert majority_vote(runs) == ["c"]  # three of six: the most, but no majority


def test_agreement_by_hand():
    assert agreement([["a", "b"], ["a"], ["a"], []], ["a", "b"]) == (3 / 4 + 1 / 4) / 2
    assert agreement([["a"]], []) == 0


def forms_of(counts, **params):
    forms = canonical_phrases(counts, **params)
    assert set(forms) == set(counts)
    return forms


def test_case_width_blanks_and_plural_are_one_form():
    english = {"Linear Equation": 1, "linear  equations": 1, "linear equation": 5}
    forms = forms_of(english | {"ＤＮＡ": 1, "DNA": 2, "三 角形": 1, "三角形": 3})
    assert set(forms.values()) == {"linear equation", "DNA", "三角形"}


def test_form_in_use_most_wins_and_ties_do_not_depend_on_order():
    assert forms_of({"Angle": 3, "angle": 1})["angle"] == "Angle"
    one = canonical_phrases({"Angle": 1, "ANGLE": 1, "angle": 1})
    other = canonical_phrases({"angle": 1, "ANGLE": 1, "Angle": 1})
    assert one == other


def test_aliases_whatever_the_case_and_in_chains():
    aliases = {"Disc": "disk", "DISK": "circle"}
    forms = forms_of({"disc": 1, "circle": 2, "disk": 9, "square": 1}, aliases=aliases)
    assert forms == {"disc": "circle", "circle": "circle", "disk": "circle", "square": "square"}


def test_alias_of_a_form_that_nobody_proposes():
    assert forms_of({"disc": 1}, aliases={"disc": "Circle"}) == {"disc": "Circle"}


def test_aliases_in_a_circle():
    with pytest.raises(ValueError, match=r"circle 'a' -> 'b' -> 'a'"):
        canonical_phrases({"a": 1}, aliases={"A": "b", "B": "a"})


ANGLES = {"zero": 0.0, "near": 20.0, "far": 40.0}  # cos 20 = 0.94, cos 40 = 0.77


def embed(phrases):
    radians = np.radians([ANGLES[phrase] for phrase in phrases])
    return 3 * np.column_stack([np.cos(radians), np.sin(radians)])


@pytest.mark.parametrize("kind", [np.asarray, list, sp.csr_matrix])
def test_similar_phrases_join_the_most_frequent(kind):
    forms = forms_of({"zero": 3, "near": 2, "far": 1}, embed=lambda p: kind(embed(p)))
    # "far" is near to "near", which has gone to "zero", and not to "zero" itself
    assert forms == {"zero": "zero", "near": "zero", "far": "far"}
    forms = forms_of({"zero": 1, "near": 5, "far": 1}, embed=embed)
    assert set(forms.values()) == {"near"}


def test_threshold_of_similarity():
    counts = {"zero": 3, "near": 2}
    assert forms_of(counts, embed=embed, min_similarity=0.95) == {"zero": "zero", "near": "near"}


def test_vectors_of_length_zero_are_like_nothing():
    assert len(set(forms_of({"a": 1, "b": 1}, embed=lambda p: np.zeros((2, 3))).values())) == 2


@pytest.mark.parametrize("bad", [np.ones(2), np.ones((1, 2)), np.full((2, 2), np.nan)])
def test_wrong_vectors(bad):
    with pytest.raises(ValueError, match=r"one finite vector for each phrase: expected shape \(2"):
        canonical_phrases({"a": 1, "b": 1}, embed=lambda phrases: bad)


def test_counts_are_not_changed():
    counts = Counter({"Angle": 1, "angle": 2})
    canonical_phrases(counts, aliases={"x": "y"})
    assert counts == {"Angle": 1, "angle": 2}


@pytest.mark.parametrize("threshold", [-0.1, 1.0, 2, float("nan"), "x", None, True])
def test_thresholds_that_are_no_share(threshold):
    """They were compared as they are: 1 gave what has most votes, a str failed in other words."""
    with pytest.raises(ValueError, match=r"`threshold` must be a share of the runs in \[0, 1\)"):
        majority_vote([["a"]], threshold)


@pytest.mark.parametrize("runs", ["area", ["area"], [["a"], None], [[1]], 5])
def test_runs_that_are_no_lists(runs):
    """Of a str each letter was a phrase."""
    with pytest.raises(TypeError, match="`runs` must be a list with one list of phrases"):
        majority_vote(runs)
