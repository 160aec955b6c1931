"""One equation, one pure function: tensors in, a 0-d tensor out."""

from ._class_center import class_center_loss
from ._cross_entropy import masked_language_model_loss, multilabel_cross_entropy
from ._multilabel import asymmetric_loss, class_balanced_weights, focal_loss, zlpr_loss
from ._ranking import ranking_contrastive_loss, ranking_temperatures, rince_loss

__all__ = [
    "asymmetric_loss",
    "class_balanced_weights",
    "class_center_loss",
    "focal_loss",
    "masked_language_model_loss",
    "multilabel_cross_entropy",
    "ranking_contrastive_loss",
    "ranking_temperatures",
    "rince_loss",
    "zlpr_loss",
]
