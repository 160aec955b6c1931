"""Solutions appended to texts, and how often they give the labels away."""

from ._leaks import LeakExample, LeakReport, leak_report
from ._solutions import AugmentationReport, SolutionAugmenter

__all__ = ["AugmentationReport", "LeakExample", "LeakReport", "SolutionAugmenter", "leak_report"]
