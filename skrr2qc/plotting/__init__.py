"""Displays, in the manner of scikit-learn: arrays in, matplotlib figures out."""

from ._loss_curves import LossCurvesDisplay
from ._rank_order import RankOrderDisplay

__all__ = ["LossCurvesDisplay", "RankOrderDisplay"]
