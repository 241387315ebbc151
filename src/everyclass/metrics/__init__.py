"""Per-class judgement: recall, its means, calibration; NumPy and SciPy only."""

from everyclass.metrics.evaluation import evaluate
from everyclass.metrics.files import evaluation_of_file, state_of_files
from everyclass.metrics.gates import GateResult, check_results, gate, judge_gates, read_gates
from everyclass.metrics.recall import (
    geometric_mean,
    harmonic_mean,
    per_class_recall,
    worst_mean,
)
from everyclass.metrics.scores import log_probabilities
from everyclass.metrics.state import EvaluationState

__all__ = [
    "EvaluationState",
    "GateResult",
    "check_results",
    "evaluate",
    "evaluation_of_file",
    "gate",
    "geometric_mean",
    "harmonic_mean",
    "judge_gates",
    "log_probabilities",
    "per_class_recall",
    "read_gates",
    "state_of_files",
    "worst_mean",
]
