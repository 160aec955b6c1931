"""Meta-labels from label names, and the experts' rules that check and repair any map."""

from ._agreement import meta_label_pair_scores
from ._check import MetaLabelReport, check_meta_labels, repair_meta_labels
from ._decomposer import NameDecomposer

__all__ = [
    "MetaLabelReport",
    "NameDecomposer",
    "check_meta_labels",
    "meta_label_pair_scores",
    "repair_meta_labels",
]
