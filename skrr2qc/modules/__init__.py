"""Building blocks of the estimators: tensors in, tuples of tensors out, no loss computed."""

from ._backbones import CompactBackbone, Pooled, PretrainedBackbone, get_backbone, mean_pool
from ._heads import FeatureTower, LabelHead, LowerStates, MaskedLanguageModel, TextTower
from ._text_cnn import TextCNN

__all__ = [
    "CompactBackbone",
    "FeatureTower",
    "LabelHead",
    "LowerStates",
    "MaskedLanguageModel",
    "Pooled",
    "PretrainedBackbone",
    "TextCNN",
    "TextTower",
    "get_backbone",
    "mean_pool",
]
