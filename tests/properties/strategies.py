"""Whatever a user may pass, and what has to come of it: a documented result or a clear error.

Few examples run by default, the same ones each time. For a long campaign of other ones, multiply
them by an environment variable: ``SKRR2QC_FUZZ=100 pytest tests/properties``.
"""

import os
import re
import traceback
import warnings
from collections import deque
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
import sklearn
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skrr2qc import LabelSpace

ROOT = Path(__file__).resolve().parents[2] / "skrr2qc"
SKLEARN = Path(sklearn.__file__).parent
LONGEST_MESSAGE = 2500
TIMES = int(os.environ.get("SKRR2QC_FUZZ", "1"))


def examples(number):
    """Settings of a property: as many examples as given by default."""
    return settings(
        max_examples=number * TIMES,
        derandomize=TIMES == 1,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate, Phase.target, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )


# ----------------------------------------------------------------------------- what must hold


def attempt(call, *, about=()):
    """What a call returns; None where it refuses with a clear error, and nothing else passes.

    Clear is a TypeError or ValueError that this library (or scikit-learn's checks) raised itself,
    that can be read, and that mentions one of the names in `about`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            return call()
        except (TypeError, ValueError) as error:
            assert_clear(error, about)
            return None


def refused(call, *, about=()):
    """Assert that a call is refused with a clear error."""
    result = attempt(call, about=about)
    assert result is None, f"accepted: {result!r:.200}"


def assert_clear(error, about=()):
    message = str(error)
    if "Seed must be" in message or "to seed a numpy" in message:
        return  # numpy's and scikit-learn's own words for random states
    where = traceback.extract_tb(error.__traceback__)[-1]
    file = Path(where.filename)
    ours, theirs = (file.is_relative_to(folder) for folder in (ROOT, SKLEARN))
    is_check = (ours or theirs) and "raise" in (where.line or "")
    assert is_check, (
        f"not by a check: {type(error).__name__}: {message:.300} ({file}:{where.lineno})"
    )
    assert 15 < len(message) < LONGEST_MESSAGE, f"{len(message)} characters: {message:.300}"
    assert theirs or re.search(r"[.:,;]\s+\S", message), f"says nothing of what came: {message}"
    named = not about or any(name in message for name in about)
    assert named, f"names none of {about}: {message:.300}"


def assert_scores(scores, shape):
    scores = scores.toarray() if sp.issparse(scores) else np.asarray(scores)
    assert scores.shape == shape
    assert scores.dtype.kind == "f"
    assert np.isfinite(scores).all(), f"{np.isnan(scores).sum()} NaN"
    assert scores.min() >= 0
    assert scores.max() <= 1


def dense(matrix):
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


# -------------------------------------------------------------------------------------- texts

HARD_TEXTS = [
    "", " ", "\n\t", "\0", "a\0b", "\x1f", "\x7f", "\ufeff", "\u200b", "\u200d", "\u00ad", "\u0301",
    "e\u0301", "שלום עולם", "مرحبا", "\u202eabc\u202c", "圆的面积", "두 수의 합", "さくら", "𝒳²",
    "👩‍👩‍👧", "🇩🇪", "🦄" * 40, "ﬁ", "İ", "ß", "ǅ", "\U0010ffff", "\ue000", "\ufffd", "[MASK]",
    "[PAD]", "<unk>", "##a", "\\frac{1}{2}", "\\", "{", "%s {0}", "1/2", "١٢٣", "²", "Ⅻ", "-",
    "...", "'", "''", "'s", "a'", "\u2028", "\r\n", "a" * 300, "x y " * 200, "的", "of",
    "</think>", "circle", "area",
]  # fmt: skip
encodable = st.one_of(st.sampled_from(HARD_TEXTS), st.text(max_size=12))
any_text = st.one_of(encodable, st.text(st.characters(exclude_categories=()), max_size=6))
names = st.one_of(
    st.sampled_from([t for t in HARD_TEXTS if t.strip()]), st.text(max_size=5)
).filter(lambda name: name.strip())


def name_lists(minimum=1, maximum=6):
    return st.lists(names, min_size=minimum, max_size=maximum, unique=True)


class OnlyLength:
    """An object that has a length and nothing else."""

    def __len__(self):
        return 2


def containers_of(texts):
    """The same texts in all containers that are to be taken."""
    series = pd.Series(texts, index=np.arange(len(texts))[::-1] + 3, dtype=object)
    found = {
        "tuple": tuple(texts),
        "object array": np.array(texts, dtype=object),
        "Series": series,
        "string Series": series.astype("string"),
        "deque": deque(texts),
        "Index": pd.Index(series),
    }
    if not any(text.endswith("\0") for text in texts):  # which numpy cannot hold
        found["str array"] = np.array(texts)
    return found


def wrong_texts(n=3):
    """No sequence of n str."""
    one = "circle"
    rest = [one] * (n - 1)
    return st.sampled_from(
        [
            None,
            one,
            one.encode(),
            5,
            1.5,
            object(),
            str,
            OnlyLength(),
            {one: 1},
            {one},
            [],
            (),
            "",
            np.array(one),
            np.array([]),
            np.array([[one] * n]),
            np.zeros(n),
            np.zeros((n, 2)),
            sp.csr_matrix((n, 2)),
            range(n),
            bytearray(b"ab"),
            pd.DataFrame({"text": [one] * n}),
            pd.Series([None, *rest]),
            pd.Series([pd.NA, *rest], dtype="string"),
            iter([one] * n),
            [None, *rest],
            [one.encode(), *rest],
            [float("nan"), *rest],
            [1, *rest],
            [[one], *rest],
            [np.array([one]), *rest],
            ["\ud800", *rest],
            [{one}, *rest],
            np.array([one.encode()] * n),
            np.ma.masked_array(np.array([one] * n, dtype=object), mask=[True] + [False] * (n - 1)),
            pd.Series([], dtype=object),
            map(str, range(n)),
            Ellipsis,
            [one, *rest, b"\xff"],
        ]  # fmt: skip
    )


# ------------------------------------------------------------------------------ label matrices


@st.composite
def indicators(draw, n_rows=None, n_labels=None):
    """0/1 arrays; empty and full rows and columns are frequent."""
    n_rows = draw(st.integers(1, 6)) if n_rows is None else n_rows
    n_labels = draw(st.integers(1, 5)) if n_labels is None else n_labels
    Y = draw(arrays(np.int8, (n_rows, n_labels), elements=st.integers(0, 1)))
    kind = draw(st.sampled_from(["as it is", "empty", "full", "empty label", "one label"]))
    if kind in ("empty", "full"):
        Y[:] = kind == "full"
    elif kind == "empty label":
        Y[:, draw(st.integers(0, n_labels - 1))] = 0
    elif kind == "one label":
        Y[:] = 0
        Y[:, draw(st.integers(0, n_labels - 1))] = 1
    return Y


def with_zeros(Y, kind):
    """Sparse with an explicit entry for every 0, in reverse order."""
    rows, columns = (index.ravel()[::-1] for index in np.indices(Y.shape))
    return kind(sp.coo_matrix((Y[rows, columns].astype(float), (rows, columns)), shape=Y.shape))


def unsorted_csr(Y):
    Y = sp.csr_matrix(Y)
    indices, data = Y.indices.copy(), Y.data.copy()
    for start, stop in zip(Y.indptr[:-1], Y.indptr[1:], strict=True):
        indices[start:stop] = indices[start:stop][::-1]
    return sp.csr_matrix((data, indices, Y.indptr), shape=Y.shape)


def matrices_of(Y):
    """The same indicator in all forms that are to be taken."""
    wide = np.zeros((Y.shape[0] * 2, Y.shape[1] * 2), dtype=np.int64)
    wide[::2, ::2] = Y
    frozen = Y.astype(float)
    frozen.flags.writeable = False
    sparse = [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.lil_matrix, sp.dok_matrix]
    sparse += [sp.csr_array, sp.csc_array, sp.coo_array, sp.bsr_array, sp.dia_array]
    return {
        **{kind.__name__: kind(Y.astype(np.float32)) for kind in sparse},
        **{f"{dtype}": Y.astype(dtype) for dtype in ("bool", "u1", "i8", "f2", "f4", "f8")},
        "bool csr": sp.csr_array(Y.astype(bool)),
        "Fortran": np.asfortranarray(Y),
        "strided": wide[::2, ::2],
        "read-only": frozen,
        "lists": Y.tolist(),
        "tuples": tuple(map(tuple, Y.tolist())),
        "list of arrays": list(Y),
        "DataFrame": pd.DataFrame(Y),
        "zeros stored in csr": with_zeros(Y, sp.csr_matrix),
        "zeros stored in csc": with_zeros(Y, sp.csc_array),
        "zeros stored in coo": with_zeros(Y, sp.coo_array),
        "unsorted": unsorted_csr(Y),
    }


def wrong_matrices(n, n_labels):
    """No indicator of shape (n, n_labels)."""
    good, rows = np.ones((n, n_labels)), [[1] * n_labels] * (n - 1)
    cases = [None, 0, 1, "ab", b"ab", object(), {}, {0: 1}, set(), "", np.array(1), good[0]]
    cases += [good[:, :0], good[None], np.hstack([good, good]), good.astype(str), good.astype("S")]
    cases += [good.astype(complex), sp.csr_matrix(good.astype(complex) * 1j), good.astype(object)]
    cases += [[*rows, [1] * (n_labels + 1)], [*rows, 1], [*rows, {"a"}], [*rows, None]]
    cases += [[1] * n, [[[1]] * n_labels] * n, [None] * n, [[None] * n_labels] * n, OnlyLength()]
    cases += [["ab"] * n, [{"no such label"}] * n, [[b"a"]] * n, [{0}] * n, pd.Series([{1}] * n)]
    cases += [sp.csr_matrix((n, 0)), sp.coo_array(np.ones(n)), good.astype("M8[s]"), iter([5] * n)]
    cases += [
        [[1] * n_labels] * (n - 1) + [{"a"}],
        [[1] * n_labels] * (n - 1) + [None],
        OnlyLength(),
    ]
    twice = np.zeros(2, dtype=np.int64)
    cases += [sp.coo_matrix((np.ones(2), (twice, twice)), shape=good.shape)]
    broken = sp.csr_matrix(good)
    broken.indices[-1] = n_labels + 7
    cases += [broken]
    for value in (2, -1, 0.5, np.nan, np.inf, -np.inf, 1e-300, 1 + 1e-9):
        bad = good.copy()
        bad[-1, -1] = value
        cases += [bad, sp.csr_matrix(bad), bad.tolist(), sp.coo_array(bad)]
    return st.sampled_from(cases)


@st.composite
def score_matrices(draw, shape, dtype=np.float64):
    """Finite scores with many ties, zeros of both signs and subnormal numbers."""
    values = st.one_of(
        st.sampled_from([0.0, -0.0, 1.0, 0.5, 5e-324, 1 - 2**-53]), st.floats(0, 1, width=32)
    )
    return draw(arrays(dtype, shape, elements=values))


# ------------------------------------------------------------------------------- label spaces


@st.composite
def label_spaces(draw, n_labels=None, meta=None):
    """Spaces with texts, hierarchies (with inner nodes and several parents), meta-labels."""
    size = {} if n_labels is None else {"minimum": n_labels, "maximum": n_labels}
    labels = draw(name_lists(**size))
    inner = draw(st.lists(names.filter(lambda n: n not in labels), max_size=3, unique=True))
    order = draw(st.permutations([*labels, *inner]))  # a node's parents come before it: no cycle
    parents = {
        node: draw(st.lists(st.sampled_from(order[:i]), max_size=2))
        for i, node in enumerate(order)
        if i and draw(st.booleans())
    }
    parents |= {node: [] for node in inner if node not in parents}
    nodes = {*labels, *inner}
    described = draw(st.dictionaries(st.sampled_from(sorted(nodes)), names, max_size=3))
    meta_labels = None
    if meta or (meta is None and draw(st.booleans())):
        wanted = st.lists(names, min_size=int(bool(meta)), max_size=3)
        meta_labels = {name: draw(wanted) for name in labels}
    return LabelSpace(labels, texts=described, parents=parents, meta_labels=meta_labels)


# ---------------------------------------------------------------------------------- parameters

ODD_VALUES = [
    "x", "", b"x", float("nan"), float("inf"), -float("inf"), np.float32("nan"), -1, -0.5, 2.5,
    1j, 10**400, -(10**400), Decimal("0.5"), Fraction(1, 2), [], [1], {}, {"a": 1}, set(), (),
    ("a",), object(), str, len, Ellipsis, np.array([1, 2]), np.array(0.5), np.array([]),
    np.array("x"), np.str_("x"), pd.NA, pd.Series([1.0]), np.datetime64("nat"),
    sp.csr_matrix((1, 1)), OnlyLength(),
]  # fmt: skip
odd_values = st.sampled_from(ODD_VALUES)
