"""Sets in the folder named by ``SKRR2QC_DATA``: which are there, and their groups of labels."""

import json
import os
from pathlib import Path

from ._command_line import check_names

_VARIABLE = "SKRR2QC_DATA"


def has_set(name):
    """Whether a set is at hand."""
    return Path(os.environ.get(_VARIABLE) or "-", name, "labels.json").is_file()


def known_sets(folder):
    """Names of the sets in a folder."""
    return sorted(file.parent.name for file in Path(folder).glob("*/labels.json"))


def check_sets(names):
    """Raise a ValueError unless the sets are there."""
    folder = Path(os.environ.get(_VARIABLE) or "-")
    if not folder.is_dir():
        raise ValueError(f"{_VARIABLE} must name the folder that holds the sets")
    check_names("set", names, known_sets(folder))


def label_groups(name):
    """Groups of labels that the set itself names, as {group: names of labels}; may be empty."""
    file = Path(os.environ[_VARIABLE], name, "labels.json")
    groups = json.loads(file.read_text(encoding="utf-8")).get("groups")
    return groups if isinstance(groups, dict) else {}
