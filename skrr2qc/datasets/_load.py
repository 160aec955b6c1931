"""Text sets on disk in the shared layout: ``train/val/test.jsonl.gz`` and ``labels.json``."""

import gzip
import json
import os
import zlib
from numbers import Integral
from pathlib import Path
from typing import Any

from ..label_space import LabelSpace

_VARIABLE = "SKRR2QC_DATA"
_SPLITS = ("train", "val", "test")


def load_set(
    folder: str | os.PathLike[str] | None,
    name: str,
    *,
    n_characters: int | None = None,
    subset: str | None = None,
) -> Any:
    """Load a multi-label text set with its label space.

    A set is a folder with ``labels.json`` and one gzipped file of JSON lines for each split. A
    line holds ``id``, ``text``, ``labels`` and possibly ``solution``.

    Parameters
    ----------
    folder : str, path or None
        The folder that holds the sets. None reads the environment variable ``SKRR2QC_DATA``.
    name : str
        The set, a folder in it.
    n_characters : int, default=None
        Cut texts and solutions after that many characters, at least 1. None keeps them whole.
    subset : str, default=None
        Name of a JSON file of the set, with or without ``.json``, that maps splits to the ids to
        keep; splits that it does not name stay whole. The order of the records is kept.

    Returns
    -------
    dataset : Bunch
        - ``train``, ``val``, ``test`` : Bunch with ``texts`` (list of n str), ``Y`` (csr_matrix of
          shape (n, L), float32, {0, 1}), ``ids`` (list of n str) and ``solutions`` (list of n str,
          empty where a record has none; None where no record has one). A split without a file is
          None.
        - ``labels`` : LabelSpace of the L labels
        - ``info`` : dict, the remaining keys of ``labels.json``, such as ``head`` or ``groups``

    Raises
    ------
    TypeError
        If `name`, `subset` or `n_characters` has the wrong type.
    ValueError
        If no folder is given, the set or subset is unknown, or a file breaks the layout.
    FileNotFoundError
        If `folder` is no folder.

    Notes
    -----
    A node of the hierarchy that is its own parent in ``labels.json`` is read as a top-level node.

    Examples
    --------
    >>> from skrr2qc.datasets import load_set
    >>> arc = load_set(None, "arc")  # doctest: +SKIP
    >>> arc.train.Y.shape  # doctest: +SKIP
    (3367, 417)
    """
    from sklearn.utils import Bunch

    if n_characters is not None:
        if isinstance(n_characters, bool) or not isinstance(n_characters, Integral):
            raise TypeError(f"`n_characters` must be an int or None, got {n_characters!r}.")
        if n_characters < 1:
            raise ValueError(f"`n_characters` must be at least 1 or None, got {n_characters}.")
    path = _find_set(folder, name)
    kept = {} if subset is None else _read_subset(path, subset)
    content = _read_json(path / "labels.json")
    if not isinstance(content, dict) or "labels" not in content:
        raise ValueError(f"{path / 'labels.json'} must hold an object with the key 'labels'.")
    labels = _label_space(content)
    splits = {
        split: _load_split(path / f"{split}.jsonl.gz", labels, n_characters, kept.get(split))
        for split in _SPLITS
    }
    known = {"labels", "texts", "parents", "meta_labels"}
    info = {key: value for key, value in content.items() if key not in known}
    return Bunch(**splits, labels=labels, info=info)


def _find_set(folder: str | os.PathLike[str] | None, name: str) -> Path:
    if not isinstance(name, str):
        raise TypeError(f"`name` must be the name of a set (str), got {name!r}.")
    if folder is None:
        folder = os.environ.get(_VARIABLE) or None
        if folder is None:
            raise ValueError(
                f"`folder` is None and the environment variable {_VARIABLE} is not set. "
                "Pass the folder that holds the sets, or set the variable."
            )
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"The folder of the sets does not exist: {str(root)!r}.")
    found = sorted(file.parent.name for file in root.glob("*/labels.json"))
    if name not in found:
        raise ValueError(
            f"There is no set {name!r} in {str(root)!r}. "
            f"Sets found there (folders with a labels.json): {', '.join(found) or 'none'}."
        )
    return root / name


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}.") from error


def _read_subset(path: Path, subset: str) -> dict[str, list[str]]:
    if not isinstance(subset, str):
        raise TypeError(f"`subset` must be the name of a file (str) or None, got {subset!r}.")
    file = path / f"{subset.removesuffix('.json')}.json"
    if not file.is_file():
        found = sorted(f.stem for f in path.glob("*.json") if f.name != "labels.json")
        raise ValueError(
            f"The set {path.name!r} has no subset {subset!r}. "
            f"JSON files found besides labels.json: {', '.join(found) or 'none'}."
        )
    content = _read_json(file)
    kept = {s: content[s] for s in _SPLITS if s in content} if isinstance(content, dict) else {}
    if not kept:
        raise ValueError(f"{file} must map at least one of {', '.join(_SPLITS)} to a list of ids.")
    return kept


def _label_space(content: dict[str, Any]) -> LabelSpace:
    parents: dict[str, list[str]] = {}
    for node, above in (content.get("parents") or {}).items():
        above = [above] if isinstance(above, str) else above
        others = [parent for parent in above if parent != node]
        if others:
            parents[node] = others
    return LabelSpace(
        content["labels"],
        texts=content.get("texts") or None,
        parents=parents or None,
        meta_labels=content.get("meta_labels") or None,
    )


def _load_split(
    path: Path, labels: LabelSpace, n_characters: int | None, kept: list[str] | None
) -> Any:
    from sklearn.utils import Bunch

    if not path.is_file():
        if kept is not None:
            raise ValueError(f"The subset names ids of {path.name}, but the set has no such file.")
        return None
    records = _read_records(path, n_characters)
    if kept is not None:
        wanted = set(kept)
        records = [record for record in records if record["id"] in wanted]
        missing = wanted.difference(record["id"] for record in records)
        if missing:
            raise ValueError(
                f"{len(missing)} ids of the subset are not in {path}, such as {min(missing)!r}."
            )
    solutions = [record.get("solution") or "" for record in records]
    return Bunch(
        texts=[record["text"] for record in records],
        Y=labels.encode(record["labels"] for record in records),
        ids=[record["id"] for record in records],
        solutions=solutions if any(solutions) else None,
    )


def _read_records(path: Path, n_characters: int | None) -> list[dict[str, Any]]:
    try:
        return _parse_records(path, n_characters)
    except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no whole gzipped text file: {error}.") from error


def _parse_records(path: Path, n_characters: int | None) -> list[dict[str, Any]]:
    records = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise ValueError(f"Line {number} of {path} is not valid JSON: {error}.") from error
            missing = {"id", "text", "labels"}.difference(record)
            if missing:
                raise ValueError(f"Line {number} of {path} lacks {', '.join(sorted(missing))}.")
            for key in ("text", "solution"):  # cut here: whole texts may not fit into memory
                if record.get(key):
                    record[key] = record[key][:n_characters]
            records.append(record)
    return records
