"""Per-class judgement: recall, its means, intervals, calibration; NumPy and SciPy only."""

from everyclass.metrics.evaluation import evaluate
from everyclass.metrics.intervals import recall_intervals, weighted_recall_interval
from everyclass.metrics.lowest import (
    lowest_if_equal,
    lowest_recall_interval,
    worst_mean_interval,
)
from everyclass.metrics.mean_intervals import mean_recall_intervals
from everyclass.metrics.recall import (
    geometric_mean,
    harmonic_mean,
    per_class_recall,
    worst_mean,
)
from everyclass.metrics.scores import log_probabilities
from everyclass.metrics.uncertainty import recall_uncertainty

__all__ = [
    "evaluate",
    "geometric_mean",
    "harmonic_mean",
    "log_probabilities",
    "lowest_if_equal",
    "lowest_recall_interval",
    "mean_recall_intervals",
    "per_class_recall",
    "recall_intervals",
    "recall_uncertainty",
    "weighted_recall_interval",
    "worst_mean",
    "worst_mean_interval",
]
