"""Numbers computed independently of the package, with what JSON cannot say put right."""

import json
from functools import cache
from pathlib import Path

_PATH = Path(__file__).parents[1] / "data" / "golden_cases.json"
_INFINITE = {"-inf": float("-inf"), "inf": float("inf")}


def golden_cases(component):
    """Cases of a component: dicts with `id`, `inputs`, `expected`; null became None."""
    return _components()[component]


@cache
def _components():
    return _numbers(json.loads(_PATH.read_text(encoding="utf-8")))


def _numbers(value):
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return _INFINITE.get(value, value) if isinstance(value, str) else value
