"""Displays, in the manner of scikit-learn: arrays in, matplotlib figures out."""

from ._class_centers import ClassCenterDisplay
from ._label_frequency import LabelFrequencyDisplay
from ._label_similarity import LabelSimilarityDisplay
from ._loss_curves import LossCurvesDisplay
from ._rank_changes import RankChangeDisplay
from ._rank_order import RankOrderDisplay

__all__ = [
    "ClassCenterDisplay",
    "LabelFrequencyDisplay",
    "LabelSimilarityDisplay",
    "LossCurvesDisplay",
    "RankChangeDisplay",
    "RankOrderDisplay",
]
