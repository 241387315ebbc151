"""Per-class judgement: recall, its means, calibration; NumPy and SciPy only."""

from everyclass.metrics.evaluation import evaluate
from everyclass.metrics.recall import (
    geometric_mean,
    harmonic_mean,
    per_class_recall,
    worst_mean,
)
from everyclass.metrics.scores import log_probabilities

__all__ = [
    "evaluate",
    "geometric_mean",
    "harmonic_mean",
    "log_probabilities",
    "per_class_recall",
    "worst_mean",
]
