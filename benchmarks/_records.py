"""Records of runs in a file of JSON lines: reading, appending, finding the same run again."""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

KEY = (
    *("set", "part", "n_train", "subset", "n_characters"),
    *("model", "encoder", "seed", "parameters", "version"),
)


def read_records(path):
    """Records of a file in the order in which they were written; none if there is no file.

    A line that is no record, as an interrupted run may leave behind, is skipped with a message.
    """
    path = Path(path)
    if not path.exists():
        return []
    records = []
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            record["figures"], [record[name] for name in KEY]
        except (ValueError, KeyError, TypeError):
            print(f"{path.name}, line {number}: no record of a run, skipped", file=sys.stderr)
        else:
            records.append(record)
    return records


def read_lines(path):
    """Kept measurements of any kind; a line that an interrupted run tore is none."""
    path, found = Path(path), []
    for line in _lines(path) if path.exists() else []:
        with suppress(ValueError):
            found.append(json.loads(line))
    return [line for line in found if isinstance(line, dict)]


def find_record(records, key):
    """The last record of the same run, or None."""
    wanted = _identity(key)
    return next((r for r in reversed(records) if _identity(r) == wanted), None)


def append_record(path, record):
    """Write one line, whole and at once: what ran for an hour must not be lost."""
    path = Path(path)
    is_open_line = path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" * bool(is_open_line) + json.dumps(record, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def per_text_file(path):
    """Where that is kept which the runs of a file of records made of each text.

    These files hold true labels of sets that must not be copied: git ignores their names.
    """
    path = Path(path)
    return path.with_name(f"{path.stem}_per_text.jsonl")


def differences_file(path):
    """Where the differences between the runs of a file of records are kept: they can be shared."""
    path = Path(path)
    return path.with_name(f"{path.stem}_differences.jsonl")


def check_writable(path):
    """Raise a ValueError unless a file can be written there."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"--out {path} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise ValueError(f"--out: there is no folder {path.parent}; make it first")
    target = path if path.exists() else path.parent
    if not os.access(target, os.W_OK):
        raise ValueError(f"--out: {target} cannot be written; choose another place")


def _lines(path):
    """Lines of a file; bytes that are no text make a line that is no record."""
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _identity(record):
    return json.dumps([record[name] for name in KEY], sort_keys=True)
