"""Per-class judgement: recall, its means, intervals, calibration; NumPy and SciPy only."""

from everyclass.metrics.comparison import compare, compare_all
from everyclass.metrics.diagnosing import diagnose_predictions, worst_classes
from everyclass.metrics.evaluation import evaluate
from everyclass.metrics.evidence import Evidence, HeldOutAnswers
from everyclass.metrics.files import evaluation_of_file, state_of_files
from everyclass.metrics.gates import GateResult, check_results, gate, judge_gates, read_gates
from everyclass.metrics.intervals import recall_intervals, weighted_recall_interval
from everyclass.metrics.lowest import (
    lowest_if_equal,
    lowest_recall_interval,
    worst_mean_interval,
)
from everyclass.metrics.mcnemar import (
    Correction,
    adjust_p_values,
    mid_p_mcnemar,
    paired_difference_intervals,
)
from everyclass.metrics.mean_intervals import mean_recall_intervals
from everyclass.metrics.paired_means import draw_paired_recalls
from everyclass.metrics.pairing import pair_outcomes
from everyclass.metrics.power import further_images, images_to_decide, samples_needed
from everyclass.metrics.recall import (
    geometric_mean,
    harmonic_mean,
    number_of_worst,
    per_class_recall,
    worst_mean,
)
from everyclass.metrics.scores import log_probabilities, row_blocks
from everyclass.metrics.state import EvaluationState
from everyclass.metrics.state_files import check_replaceable, holds_state
from everyclass.metrics.suspects import Certainty, certainty_of
from everyclass.metrics.uncertainty import group_intervals, recall_uncertainty

__all__ = [
    "Certainty",
    "Correction",
    "EvaluationState",
    "Evidence",
    "GateResult",
    "HeldOutAnswers",
    "adjust_p_values",
    "certainty_of",
    "check_replaceable",
    "check_results",
    "compare",
    "compare_all",
    "diagnose_predictions",
    "draw_paired_recalls",
    "evaluate",
    "evaluation_of_file",
    "further_images",
    "gate",
    "geometric_mean",
    "group_intervals",
    "harmonic_mean",
    "holds_state",
    "images_to_decide",
    "judge_gates",
    "log_probabilities",
    "lowest_if_equal",
    "lowest_recall_interval",
    "mean_recall_intervals",
    "mid_p_mcnemar",
    "number_of_worst",
    "pair_outcomes",
    "paired_difference_intervals",
    "per_class_recall",
    "read_gates",
    "recall_intervals",
    "recall_uncertainty",
    "row_blocks",
    "samples_needed",
    "state_of_files",
    "weighted_recall_interval",
    "worst_classes",
    "worst_mean",
    "worst_mean_interval",
]
