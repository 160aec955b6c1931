"""Clients of language models: prompts in, texts out, each answer paid for once."""

from ._cache import AnswerCache
from ._json import extract_json
from ._openai import OpenAIGenerator
from ._protocol import (
    CallLimitError,
    GenerationError,
    TextGenerator,
    Usage,
    generate_texts,
)
from ._recorded import RecordedGenerator
from ._transformers import TransformersGenerator

__all__ = [
    "AnswerCache",
    "CallLimitError",
    "GenerationError",
    "OpenAIGenerator",
    "RecordedGenerator",
    "TextGenerator",
    "TransformersGenerator",
    "Usage",
    "extract_json",
    "generate_texts",
]
