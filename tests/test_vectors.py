"""Vectors in a file; grid searches that use them are in test_parallel_search.py."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator

from skrr2qc._vectors import RememberingEncoder, gives_vectors

TEXTS = ["area of a circle", "mean", "", "an arc ①"]


@pytest.fixture
def counted(tiny_encoder, monkeypatch):
    """Frozen encoder, and the texts that it was asked for."""
    asked, transform = [], type(tiny_encoder).transform

    def spy(self, X):
        asked.extend(X)
        return transform(self, X)

    monkeypatch.setattr(type(tiny_encoder), "transform", spy)
    return FrozenEstimator(tiny_encoder), asked


def test_each_text_once(counted, tmp_path):
    frozen, asked = counted
    expected = frozen.transform(TEXTS)
    asked.clear()
    for _ in range(2):
        encoder = RememberingEncoder.over(frozen, tmp_path, "print")
        assert_array_equal(encoder.transform([*TEXTS, TEXTS[0]]), expected[[0, 1, 2, 3, 0]])
        assert_array_equal(encoder.transform(TEXTS[::-1]), expected[::-1])
    assert sorted(asked) == sorted(TEXTS)
    more = RememberingEncoder.over(frozen, tmp_path, "print").transform(["new", *TEXTS])
    assert_array_equal(more[1:], expected)
    assert sorted(asked) == sorted([*TEXTS, "new"])


def test_another_encoder_has_a_file_of_its_own(counted, tmp_path):
    frozen, asked = counted
    for fingerprint in ("one", "other", "one"):
        RememberingEncoder.over(frozen, tmp_path, fingerprint).transform(TEXTS)
    assert len(asked) == 2 * len(TEXTS)
    assert len(list(tmp_path.rglob("*.sqlite"))) == 2


def test_many_texts(counted, tmp_path):
    frozen, _ = counted
    texts = [f"text {i}" for i in range(1203)]
    vectors = RememberingEncoder.over(frozen, tmp_path, "print").transform(texts)
    again = RememberingEncoder.over(frozen, tmp_path, "print").transform(texts[::-1])
    assert_array_equal(again, vectors[::-1])
    assert vectors.dtype == np.float32


def test_copies_are_plain(counted, tmp_path):
    encoder = RememberingEncoder.over(counted[0], tmp_path, "print")
    assert type(pickle.loads(pickle.dumps(encoder))) is FrozenEstimator
    assert type(encoder.without_memory()) is FrozenEstimator


def test_whose_vectors_do_not_depend_on_company(counted):
    assert gives_vectors(counted[0])
    assert not gives_vectors(FrozenEstimator(TfidfVectorizer().fit(TEXTS)))
    assert not gives_vectors(None)


def test_file_that_was_never_filled_heals(counted, tmp_path, recwarn):
    """Left by a full disk or a kill, or met by a reader between its making and its filling."""
    frozen, asked = counted
    expected = RememberingEncoder.over(frozen, tmp_path, "print").transform(TEXTS)
    (path,) = tmp_path.rglob("*.sqlite")
    path.write_bytes(b"")
    asked.clear()
    for _ in range(2):
        encoder = RememberingEncoder.over(frozen, tmp_path, "print")
        assert_array_equal(encoder.transform(TEXTS), expected)
    assert len(asked) == len(TEXTS)
    assert not recwarn


def test_place_that_cannot_be_written_to(counted, tmp_path):
    """Each text was encoded twice: once for nothing."""
    frozen, asked = counted
    (tmp_path / "skrr2qc-vectors").touch()  # a file in the place of the folder
    encoder = RememberingEncoder.over(frozen, tmp_path, "print")
    with pytest.warns(UserWarning, match="Vectors cannot be kept in .*Clear the folder"):
        assert encoder.transform(TEXTS).shape[0] == len(TEXTS)
    assert len(asked) == len(TEXTS)


def test_another_working_directory(counted, tmp_path, monkeypatch):
    frozen, asked = counted
    monkeypatch.chdir(tmp_path)
    encoder = RememberingEncoder.over(frozen, "memory", "print")
    encoder.transform(TEXTS)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    encoder.transform(TEXTS)
    assert len(asked) == len(TEXTS)
    assert not list((tmp_path / "elsewhere").iterdir())
