"""Post-hoc rescue: one scale and one bias per class, from validation logits alone.

NumPy and SciPy only. One file per method; ``adjust`` fits, judges and chooses.
"""

from everyclass.adjustment.adjusting import METHODS, adjust, methods_for
from everyclass.adjustment.cross_fitting import (
    CrossFitted,
    Pick,
    cross_fit_methods,
    deal,
    pick_by_fold,
    score,
)
from everyclass.adjustment.describing import describe
from everyclass.adjustment.held_out import HeldOut
from everyclass.adjustment.methods import Method
from everyclass.adjustment.objectives import (
    HARMONIC_MEAN,
    ClassObjective,
    ObjectiveName,
    smoothed_recall,
)
from everyclass.adjustment.pooling import drawn_objectives, needed_certainty
from everyclass.adjustment.prior_shift import as_shares, estimate_prior, fit_balanced, with_prior
from everyclass.adjustment.sample_weights import balanced_weights
from everyclass.adjustment.temperature import fit_temperature, match_confidence, mean_confidence

__all__ = [
    "HARMONIC_MEAN",
    "METHODS",
    "ClassObjective",
    "CrossFitted",
    "HeldOut",
    "Method",
    "ObjectiveName",
    "Pick",
    "adjust",
    "as_shares",
    "balanced_weights",
    "cross_fit_methods",
    "deal",
    "describe",
    "drawn_objectives",
    "estimate_prior",
    "fit_balanced",
    "fit_temperature",
    "match_confidence",
    "mean_confidence",
    "methods_for",
    "needed_certainty",
    "pick_by_fold",
    "score",
    "smoothed_recall",
    "with_prior",
]
