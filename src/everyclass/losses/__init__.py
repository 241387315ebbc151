"""Losses for classifiers in which every class counts: a function and a module for each.

Plain cross entropy is ``torch.nn.functional.cross_entropy``.
"""

from everyclass.losses.balanced_softmax import (
    BalancedSoftmaxLoss,
    Reduction,
    balanced_softmax_loss,
)
from everyclass.losses.gml import Absent, GMLLoss, gml_loss

__all__ = [
    "Absent",
    "BalancedSoftmaxLoss",
    "GMLLoss",
    "Reduction",
    "balanced_softmax_loss",
    "gml_loss",
]
