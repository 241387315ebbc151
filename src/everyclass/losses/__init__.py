"""Losses for classifiers in which every class counts: a function and a module for each.

Plain cross entropy is ``torch.nn.functional.cross_entropy``.
"""

from everyclass.losses._weighted import Reduction
from everyclass.losses.balanced_softmax import BalancedSoftmaxLoss, balanced_softmax_loss
from everyclass.losses.class_balanced import ClassBalancedLoss, class_balanced_loss
from everyclass.losses.class_weights import class_balanced_weights
from everyclass.losses.deferred import DeferredLoss
from everyclass.losses.distillation import DistillationLoss, distillation_loss
from everyclass.losses.dive import DiVELoss, dive_loss
from everyclass.losses.focal import FocalForm, FocalLoss, focal_loss
from everyclass.losses.gml import Absent, GMLLoss, gml_loss
from everyclass.losses.label_aware_smoothing import (
    LabelAwareSmoothingLoss,
    SmoothingShare,
    label_aware_smoothing_loss,
)
from everyclass.losses.lade import LADELoss, lade_loss
from everyclass.losses.lader import Importance, lade_regulariser
from everyclass.losses.ldam import LDAMLoss, ldam_loss
from everyclass.losses.logit_adjustment import (
    LogitAdjustedLoss,
    adjust_logits,
    logit_adjusted_loss,
)
from everyclass.losses.paco import PaCoLoss, paco_loss
from everyclass.losses.ride import RIDELoss, ride_loss
from everyclass.losses.shike import SHIKELoss, shike_loss
from everyclass.losses.smoothing import SmoothingProfile, smoothing_by_class
from everyclass.losses.von_mises_fisher import log_bessel, von_mises_fisher_logits

__all__ = [
    "Absent",
    "BalancedSoftmaxLoss",
    "ClassBalancedLoss",
    "DeferredLoss",
    "DiVELoss",
    "DistillationLoss",
    "FocalForm",
    "FocalLoss",
    "GMLLoss",
    "Importance",
    "LADELoss",
    "LDAMLoss",
    "LabelAwareSmoothingLoss",
    "LogitAdjustedLoss",
    "PaCoLoss",
    "RIDELoss",
    "Reduction",
    "SHIKELoss",
    "SmoothingProfile",
    "SmoothingShare",
    "adjust_logits",
    "balanced_softmax_loss",
    "class_balanced_loss",
    "class_balanced_weights",
    "distillation_loss",
    "dive_loss",
    "focal_loss",
    "gml_loss",
    "label_aware_smoothing_loss",
    "lade_loss",
    "lade_regulariser",
    "ldam_loss",
    "log_bessel",
    "logit_adjusted_loss",
    "paco_loss",
    "ride_loss",
    "shike_loss",
    "smoothing_by_class",
    "von_mises_fisher_logits",
]
