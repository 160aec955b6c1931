"""Vectors of a frozen encoder, remembered text by text in a file."""

import hashlib
import sqlite3
import warnings
from contextlib import closing
from pathlib import Path

import joblib
import numpy as np
from sklearn.frozen import FrozenEstimator

from . import __version__
from ._locks import locked

_FOLDER = "skrr2qc-vectors"  # in that of a memory; one file an encoder
_QUERY = 500  # texts looked up at once
_IS_THERE = "SELECT 1 FROM sqlite_master WHERE name = 'vectors'"
_MAKE = "CREATE TABLE IF NOT EXISTS vectors (name BLOB PRIMARY KEY, vector BLOB)"


def gives_vectors(encoder):
    """Whether a frozen encoder gives a text the same vector in any company, as ours do.

    To the last bit with bfloat16 products, else to the seventh digit.
    """
    return type(encoder) is FrozenEstimator and hasattr(encoder, "backbone_")


class RememberingEncoder(FrozenEstimator):
    """A ``FrozenEstimator`` that keeps the vectors of texts in a file; copies of it do not.

    Parameters
    ----------
    estimator : fitted encoder
    """

    @classmethod
    def over(cls, encoder, location, fingerprint):
        """One over a frozen encoder, with its file in the folder of a memory."""
        remembering = cls(encoder.estimator)
        name = joblib.hash((fingerprint, __version__))
        remembering._file = Path(str(location), _FOLDER, f"{name}.sqlite").absolute()
        return remembering

    def transform(self, X):
        """Vectors of texts, from the file or from the encoder; ndarray of shape (n, D)."""
        if not len(X) or not all(isinstance(text, str) for text in X):
            return self.estimator.transform(X)  # which says what is wrong
        names = [_name_of(text) for text in X]
        texts = dict(zip(names, X, strict=True))
        rows = self._read(texts)
        if len(rows) < len(texts):
            with locked(self._file.with_suffix(".lock")):
                rows |= self._read(texts.keys() - rows)
                rows |= self._encode({n: t for n, t in texts.items() if n not in rows})
        return np.stack([rows[name] for name in names])

    def without_memory(self):
        """The same as a plain ``FrozenEstimator``."""
        return FrozenEstimator(self.estimator)

    def __reduce__(self):
        return FrozenEstimator, (self.estimator,)

    def _read(self, names):
        """What the file holds of some texts; dict of name to vector."""
        rows, names = {}, list(names)
        if not self._file.exists():
            return rows
        try:
            with closing(sqlite3.connect(self._file, timeout=60)) as file:
                if not file.execute(_IS_THERE).fetchall():
                    return rows  # made, and not filled yet
                for start in range(0, len(names), _QUERY):
                    part = names[start : start + _QUERY]
                    marks = ",".join("?" * len(part))
                    query = f"SELECT name, vector FROM vectors WHERE name IN ({marks})"
                    rows |= {n: np.frombuffer(v, np.float32) for n, v in file.execute(query, part)}
        except (sqlite3.Error, OSError) as error:
            self._tell(error)
        return rows

    def _encode(self, texts):
        """Encode and keep some texts; dict of name to vector."""
        if not texts:
            return {}
        vectors = self.estimator.transform(list(texts.values()))
        rows = dict(zip(texts, vectors, strict=True))
        if vectors.dtype != np.float32:
            return rows
        pairs = [(name, vector.tobytes()) for name, vector in rows.items()]
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._file, timeout=60)) as file, file:
                file.execute(_MAKE)
                file.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", pairs)
        except (sqlite3.Error, OSError) as error:
            self._tell(error)
        return rows

    def _tell(self, error):
        warnings.warn(
            f"Vectors cannot be kept in {self._file} ({error}): texts are encoded again each "
            "time. Clear the folder, or put `memory` on a local disk with room.",
            UserWarning,
            stacklevel=4,
        )


def _name_of(text):
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
