"""Label sets as ranks: trees, DAGs, flat labels, the released variant, what has no ranks."""

import warnings
from itertools import combinations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skrr2qc import LabelSpace, RCPTEncoder
from skrr2qc.encoders import _ranks
from skrr2qc.encoders._presets import resolve_settings
from skrr2qc.encoders._ranks import (
    can_be_ranked,
    check_table,
    distinct_distances,
    first_labels,
    label_geometry,
)
from skrr2qc.losses import ranking_temperatures
from skrr2qc.modules import CompactBackbone
from tests.reference import ranking as reference

NAMES = list("abcdefg")
HIERARCHIES = {
    "tree": {"a": "p", "b": "p", "c": "q", "d": "q", "p": "x", "q": "x", "e": "r", "r": "y"},
    "DAG": {"a": ["p", "q"], "b": "p", "c": "q", "d": ["q", "r"], "q": "x", "r": ["x", "y"]},
    "labels above labels": {"a": "b", "b": "c", "c": "x", "d": "c", "e": "x"},
    "flat": None,
}
SPACES = {name: LabelSpace(NAMES, parents=parents) for name, parents in HIERARCHIES.items()}


def settings_of(**params):
    return resolve_settings(RCPTEncoder(**params), CompactBackbone, 100)


def csr(label_sets):
    Y = np.zeros((len(label_sets), len(NAMES)), dtype=np.float32)
    for row, columns in zip(Y, label_sets, strict=True):
        row[list(columns)] = 1
    return sp.csr_matrix(Y)


@pytest.fixture(scope="module")
def label_sets():
    """Of 0 to 4 labels."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(0, 5, size=40)
    return [tuple(sorted(rng.choice(len(NAMES), size, replace=False).tolist())) for size in sizes]


def geometry_of(sets, labels=None, vectors=None, **params):
    if vectors is None:
        vectors = np.eye(len(NAMES), dtype=np.float32)
    return label_geometry(settings_of(**params), csr(sets), labels, vectors)


def ranks_of(geometry, n):
    rows = torch.arange(n)
    return geometry.ranks(rows, rows)[0].numpy()


def distance_table(label_sets, labels, reduction="mean"):
    """Eq. 2 of all pairs by loops."""
    distances, depth = labels.distances(), labels.max_depth
    return np.array(
        [
            [reference.set_distance(P, Q, distances, depth, reduction) for Q in label_sets]
            for P in label_sets
        ],
        dtype=float,
    )


def labelled_pairs(label_sets):
    has_labels = np.array([bool(P) for P in label_sets])
    return has_labels[:, None] & has_labels


# --- ranks of distances -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", SPACES)
def test_ranks_are_distances_rounded_up(label_sets, kind):
    labels = SPACES[kind]
    geometry = geometry_of(label_sets, labels)
    assert geometry.max_rank == 2 * labels.max_depth
    expected = np.ceil(distance_table(label_sets, labels) - 1e-6).astype(int)
    pairs = labelled_pairs(label_sets)
    assert_array_equal(ranks_of(geometry, 40)[pairs], expected[pairs])
    assert len(np.unique(expected[pairs])) >= (2 if kind == "flat" else 4)


def test_hierarchy_by_hand():
    sets = [(0,), (1,), (2,), (4,), (0, 2)]  # a, b; c; e; a with c
    expected = [
        [0, 2, 4, 6, 0],
        [2, 0, 4, 6, 3],  # half of 2 + 4
        [4, 4, 0, 6, 0],
        [6, 6, 6, 0, 6],
        [0, 3, 0, 6, 0],
    ]
    assert_array_equal(ranks_of(geometry_of(sets, SPACES["tree"]), 5), expected)


def test_no_labels_given_is_a_flat_space(label_sets):
    """Two labels are then two steps apart, and that is the farthest."""
    without, flat = geometry_of(label_sets), geometry_of(label_sets, SPACES["flat"])
    assert without.max_rank == flat.max_rank == 2
    ranks, pairs = ranks_of(without, 40), labelled_pairs(label_sets)
    assert_array_equal(ranks, ranks_of(flat, 40))
    shared = (csr(label_sets) @ csr(label_sets).T).toarray() > 0
    assert_array_equal(ranks[pairs], np.where(shared, 0, 2)[pairs])


# --- the released variant ---------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("kind", SPACES)
def test_unique_ranks_are_places_among_the_distances(label_sets, kind, reduction):
    labels = SPACES[kind]
    geometry = geometry_of(label_sets, labels, ranks="unique", set_distance=reduction)
    table, pairs = distance_table(label_sets, labels, reduction), labelled_pairs(label_sets)
    levels = np.unique(np.round(table[pairs], 4))
    assert geometry.max_rank == len(levels) - 1
    expected = np.searchsorted(levels, np.round(table, 4))
    assert_array_equal(ranks_of(geometry, 40)[pairs], expected[pairs])


@pytest.mark.parametrize("share, n_positive", [(1.0, 4), (0.9, 4), (0.5, 2), (0.13, 1), (0.01, 1)])
def test_share_of_the_ranks_that_have_positives(share, n_positive):
    """Of R distances the first ceil(share * R) - 1 are optimised; the next is the farthest.

    With unique ranks the cut was computed, and then forgotten.
    """
    sets = [(0,), (1,), (2,), (4,), (0, 2), (1, 3)]
    labels = SPACES["tree"]
    whole = geometry_of(sets, labels, ranks="unique", set_distance="sum")
    assert whole.levels.tolist() == [0, 2, 4, 6, 12]
    assert whole.max_rank == 4
    cut = geometry_of(sets, labels, ranks="unique", set_distance="sum", positive_share=share)
    assert cut.max_rank == n_positive
    assert_array_equal(ranks_of(cut, 6), np.minimum(ranks_of(whole, 6), n_positive))


@pytest.mark.parametrize("share, farthest", [(1.0, 6), (0.5, 3), (0.1, 1)])
def test_share_of_rounded_ranks(label_sets, share, farthest):
    labels = SPACES["tree"]
    cut = geometry_of(label_sets, labels, positive_share=share)
    assert cut.max_rank == farthest
    pairs = labelled_pairs(label_sets)
    expected = np.minimum(ranks_of(geometry_of(label_sets, labels), 40), farthest)
    assert_array_equal(ranks_of(cut, 40)[pairs], expected[pairs])


def test_first_labels(label_sets):
    expected = csr([P[:1] for P in label_sets])
    found = first_labels(csr(label_sets))
    assert_array_equal(found.toarray(), expected.toarray())
    assert found.has_sorted_indices


def test_only_first_labels_count(label_sets):
    labels, firsts = SPACES["tree"], [P[:1] for P in label_sets]
    geometry = geometry_of(label_sets, labels, label_sets="first")
    assert_array_equal(ranks_of(geometry, 40), ranks_of(geometry_of(firsts, labels), 40))
    assert not np.array_equal(ranks_of(geometry, 40), ranks_of(geometry_of(label_sets, labels), 40))


def test_released_preset(label_sets):
    """First labels, sums, places among distances, an eighth of them: all at once."""
    labels, firsts = SPACES["DAG"], [P[:1] for P in label_sets]
    geometry = geometry_of(label_sets, labels, preset="released")
    table, pairs = distance_table(firsts, labels, "sum"), labelled_pairs(firsts)
    levels = np.unique(table[pairs])
    assert geometry.max_rank == max(1, int(np.ceil(0.13 * len(levels))) - 1)
    expected = np.minimum(np.searchsorted(levels, table), geometry.max_rank)
    assert_array_equal(ranks_of(geometry, 40)[pairs], expected[pairs])


def test_distances_that_all_vanish_leave_a_rank_to_be_farthest():
    """Each two of these share a label and no label is in all: temperatures were 0 / 0."""
    sets = [(0, 1), (1, 2), (0, 2)]
    assert can_be_ranked(csr(sets))
    geometry = geometry_of(sets, ranks="unique")
    assert geometry.max_rank >= 1
    assert torch.isfinite(ranking_temperatures(geometry.max_rank)).all()
    assert not ranks_of(geometry, 3).any()


def test_distances_are_looked_for_in_a_sample_of_many_sets(monkeypatch):
    pairs = [tuple(pair) for pair in combinations(range(len(NAMES)), 2)]
    sets = pairs * 3 + [()] * 9
    labels = SPACES["tree"]
    monkeypatch.setattr(_ranks, "_MOST_SETS", 25)
    arguments = (csr(sets), labels.distances(), labels.max_depth, "mean")
    found = distinct_distances(*arguments)
    assert_array_equal(found, distinct_distances(*arguments))
    everything = np.unique(np.round(distance_table(pairs, labels), 4))
    assert set(found) <= set(everything)
    assert len(found) >= 5
    assert found[0] == 0
    monkeypatch.undo()
    assert_allclose(distinct_distances(*arguments), everything)


# --- closeness --------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["cos01", "jaccard", "none", "dot_clamped"])
def test_closeness_follows_the_setting(label_sets, form):
    vectors = np.random.default_rng(1).normal(size=(len(NAMES), 3))
    geometry = geometry_of(label_sets, SPACES["tree"], vectors, closeness=form)
    rows = torch.arange(40)
    means = geometry.mean_vectors(rows)
    found = geometry.closeness(rows, rows, geometry.ranks(rows, rows)[1], means, means)
    if form == "none":
        assert found is None
        return
    for i, P in enumerate(label_sets):
        for j, Q in enumerate(label_sets):
            if P and Q:
                expected = np.clip(reference.closeness(P, Q, vectors, form), 1e-6, 1)
                assert_allclose(found[i, j], expected, rtol=1e-4, atol=1e-6)


# --- what cannot be ranked --------------------------------------------------------------------


@pytest.mark.parametrize(
    "sets",
    [
        [(0,), (1,)],
        [(0,), (), (1,)],
        [(0, 1), (1, 2), (2,)],
        [(0,), (1,), (2,), (3,)],  # no two share a label
    ],
)
def test_can_be_ranked(sets):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert can_be_ranked(csr(sets))


@pytest.mark.parametrize(
    "sets, reason",
    [
        ([(), ()], "no text has a label"),
        ([(3,)] * 3, "all labelled texts share one label"),
        ([(3,), (), (3,)], "all labelled texts share one label"),
        ([(3, 4), (2, 3), (3,)], "all labelled texts share one label"),
        ([(3, 4)], "all labelled texts share one label"),
    ],
)
def test_cannot_be_ranked(sets, reason):
    with pytest.warns(UserWarning, match=f"{reason}. Only the language model .* rank_weight=0"):
        assert not can_be_ranked(csr(sets))


def test_no_targets_are_nothing_to_warn_about():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not can_be_ranked(None)


def test_hierarchy_too_large_for_a_table_is_refused_before_work_starts():
    names = [str(i) for i in range(40_000)]
    labels = LabelSpace(names, parents={"1": ["0"]})
    with pytest.raises(ValueError, match="40000 labels.*3.0 GiB, 2.0 at most.*rank_weight=0"):
        check_table(labels)
    check_table(LabelSpace(names))
