"""Temperatures: eqs. 12 and 13, one scale for all classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.optimize

from everyclass.adjustment.sample_weights import balanced_weights
from everyclass.artifacts import as_floats, as_labels
from everyclass.metrics import log_probabilities, row_blocks

__all__ = ["LARGEST_TEMPERATURE", "fit_temperature", "match_confidence", "mean_confidence"]

LARGEST_TEMPERATURE = 20.0


def fit_temperature(logits: Any, labels: Any, *, balanced: bool = True) -> float:
    """The temperature t whose softmax(o / t) has the smallest negative log-likelihood.

    Args:
        logits: (n, C) of images that the classifier was not fitted to.
        labels: (n,).
        balanced: weigh each class alike, as the judgement by per-class recall does.

    Returns:
        t in 1/20 … 20. It stays 1 where no temperature does better.

    Example:
        >>> t = fit_temperature([[3.0, 0.0], [3.0, 0.0], [0.0, 3.0]], [0, 1, 1])
        >>> 1 < t < 20
        True
    """
    logits = as_floats(logits, name="logits", ndim=(2,))
    labels = as_labels(labels, num_classes=logits.shape[1], length=len(logits))
    weights = balanced_weights(labels) if balanced else np.full(len(labels), 1 / len(labels))
    log_p = np.empty(len(labels))

    def loss(log_t: float) -> float:
        for rows in row_blocks(logits):
            scaled = logits[rows].astype(np.float64) / np.exp(log_t)
            some = log_probabilities(scaled, are_logits=True)
            log_p[rows] = np.take_along_axis(some, labels[rows, None], axis=1)[:, 0]
        return float(-(weights * log_p).sum())

    bound = float(np.log(LARGEST_TEMPERATURE))
    found = scipy.optimize.minimize_scalar(
        loss, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-4}
    )
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def mean_confidence(logits: npt.NDArray[Any], temperature: float = 1.0) -> float:
    """Mean of the highest probability of softmax(o / t), in float64 whatever the logits are in."""
    scaled = (logits[rows].astype(np.float64) / temperature for rows in row_blocks(logits))
    highest = [log_probabilities(part, are_logits=True).max(axis=1) for part in scaled]
    return float(np.exp(np.concatenate(highest)).mean())


def match_confidence(logits: npt.NDArray[Any], target: float) -> float:
    """The temperature at which the mean confidence is ``target``.

    Args:
        logits: (n, C).
        target: a mean confidence; where none in 1/20 … 20 gives it, the nearer bound is returned.
    """

    def excess(log_t: float) -> float:
        return mean_confidence(logits, float(np.exp(log_t))) - target

    bound = float(np.log(LARGEST_TEMPERATURE))
    if excess(-bound) <= 0:
        return 1 / LARGEST_TEMPERATURE
    if excess(bound) >= 0:
        return LARGEST_TEMPERATURE
    return float(np.exp(scipy.optimize.brentq(excess, -bound, bound, xtol=1e-4)))
