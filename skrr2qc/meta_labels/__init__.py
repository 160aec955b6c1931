"""Meta-labels from label names, and the experts' rules that check and repair any map."""

from importlib import import_module

from ._agreement import meta_label_pair_scores
from ._check import MetaLabelReport, check_meta_labels, repair_meta_labels
from ._decomposer import NameDecomposer

_HOMES = {  # what asks a language model is imported when it is first used
    "LLMDecomposer": "_llm_decomposer",
    "LLMDecompositionReport": "_llm_decomposer",
    "majority_vote": "_voting",
    "suggest_demonstrations": "_llm_decomposer",
}

__all__ = [
    "LLMDecomposer",
    "LLMDecompositionReport",
    "MetaLabelReport",
    "NameDecomposer",
    "check_meta_labels",
    "majority_vote",
    "meta_label_pair_scores",
    "repair_meta_labels",
    "suggest_demonstrations",
]


def __getattr__(name):
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
