"""Data sets: benchmark sets in the shared layout, and generated mathematics questions."""

from ._load import load_set
from ._questions import make_questions

__all__ = ["load_set", "make_questions"]
