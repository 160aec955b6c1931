"""Retrieval and meta-label reranking for multi-label text classification."""

from importlib import import_module

__version__ = "0.1.0.dev0"

_HOMES = {
    "LabelSpace": "label_space",
    "RCPTEncoder": "encoders",
    "ClassCenterHead": "classifiers",
    "MetaLabelReranker": "classifiers",
    "MultilabelThresholdTuner": "classifiers",
    "RetrievalRerankClassifier": "classifiers",
    "TfidfLinearClassifier": "baselines",
    "TextCNNClassifier": "baselines",
}

__all__ = sorted(_HOMES)


def __getattr__(name):
    """Import a public name when it is first used: torch is not loaded before."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_HOMES])
