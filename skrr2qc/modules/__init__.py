"""Building blocks of the estimators: tensors in, tuples of tensors out, no loss computed."""

from ._backbones import CompactBackbone, Pooled, PretrainedBackbone, get_backbone, mean_pool
from ._heads import (
    AuxiliaryTower,
    FeatureTower,
    LabelHead,
    LowerStates,
    MaskedLanguageModel,
    TextTower,
    TowerVectors,
)
from ._label_geometry import LabelGeometry
from ._pretraining import RankingPretrainer
from ._queue import KeyQueue
from ._text_cnn import TextCNN

__all__ = [
    "AuxiliaryTower",
    "CompactBackbone",
    "FeatureTower",
    "KeyQueue",
    "LabelGeometry",
    "LabelHead",
    "LowerStates",
    "MaskedLanguageModel",
    "Pooled",
    "PretrainedBackbone",
    "RankingPretrainer",
    "TextCNN",
    "TextTower",
    "TowerVectors",
    "get_backbone",
    "mean_pool",
]
