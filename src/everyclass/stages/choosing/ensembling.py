"""The ensemble of the old and the retrained classifier: eq. 11."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import Head
from everyclass.metrics import log_probabilities, row_blocks

__all__ = ["Ensemble", "ensemble_log_probabilities"]


def ensemble_log_probabilities(
    old: npt.NDArray[Any], new: npt.NDArray[Any], t_old: float, t_new: float
) -> npt.NDArray[np.float64]:
    """log of (softmax(o_new / t_new) + softmax(o_old / t_old)) / 2, as (n, C) float64.

    They are valid logits: their softmax is eq. 11's probability.

    Args:
        old, new: (n, C) logits of the two classifiers.
        t_old, t_new: their temperatures, > 0.
    """
    out = np.empty(old.shape)
    for rows in row_blocks(old):
        p_old = log_probabilities(old[rows] / t_old, are_logits=True)
        p_new = log_probabilities(new[rows] / t_new, are_logits=True)
        out[rows] = np.logaddexp(p_old, p_new) - np.log(2)
    return out


@dataclass(frozen=True)
class Ensemble:
    """Two heads on the same features, and their temperatures.

    Attributes:
        old, new: the heads.
        t_old, t_new: their temperatures.
    """

    old: Head
    new: Head
    t_old: float
    t_new: float

    def logits(self, features: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Log-probabilities of eq. 11 for features of shape (n, d): (n, C) float64."""
        return ensemble_log_probabilities(
            self.old.logits(features), self.new.logits(features), self.t_old, self.t_new
        )
