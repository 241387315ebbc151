"""Per-class recall and the means of it, from predicted classes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from everyclass.artifacts import as_labels
from everyclass.errors import InputError

__all__ = [
    "count_outcomes",
    "geometric_mean",
    "harmonic_mean",
    "number_of_worst",
    "per_class_recall",
    "worst_mean",
]

WORST_PERCENT = (1, 5, 10)  # what is reported


def count_outcomes(
    labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], num_classes: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Per class: images of it, images given to it, and images that are both; each (C,) int64."""
    support = np.bincount(labels, minlength=num_classes)
    given = np.bincount(predicted, minlength=num_classes)
    right = np.bincount(labels[labels == predicted], minlength=num_classes)
    return support, given, right


def per_class_recall(labels: Any, predicted: Any, num_classes: int) -> npt.NDArray[np.float64]:
    """Recall of each class: right / all images of the class.

    Args:
        labels: (n,) true classes.
        predicted: (n,) predicted classes.
        num_classes: C.

    Returns:
        (C,) fractions; NaN for a class without images.

    Raises:
        InputError: lengths differ, or a class outside 0..C−1.

    Example:
        >>> per_class_recall([0, 0, 1], [0, 1, 1], num_classes=3)
        array([0.5, 1. , nan])
    """
    labels = as_labels(labels, num_classes=num_classes)
    predicted = as_labels(predicted, num_classes=num_classes, length=len(labels), name="predicted")
    support, _, right = count_outcomes(labels, predicted, num_classes)
    return divide(right, support)


def divide(above: npt.NDArray[Any], below: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Divide, NaN where the divisor is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / below, np.nan)


def _floored(recall: Any, zero_floor: float) -> npt.NDArray[np.float64]:
    recall = np.asarray(recall, dtype=np.float64)
    recall = recall[~np.isnan(recall)]
    if recall.size == 0:
        raise InputError("No class has a recall; a mean needs at least one.")
    if not 0 < zero_floor < 1:
        raise InputError(f"zero_floor must lie between 0 and 1; got {zero_floor}.")
    return np.maximum(recall, zero_floor)


def geometric_mean(recall: Any, *, zero_floor: float = 1e-3) -> float:
    """Geometric mean of recall, (Π r_c)^(1/n) (eq. 6).

    Args:
        recall: (C,) fractions; NaN entries are left out.
        zero_floor: what no recall counts less than (the paper: 1e-3 in place of zeros).

    Example:
        >>> round(geometric_mean([0.01, 0.99]), 3)
        0.099
    """
    return float(stats.gmean(_floored(recall, zero_floor)))


def harmonic_mean(recall: Any, *, zero_floor: float = 1e-3) -> float:
    """Harmonic mean of recall, n / Σ 1/r_c (eq. 5).

    Args:
        recall: (C,) fractions; NaN entries are left out.
        zero_floor: what no recall counts less than (the paper: 1e-3 in place of zeros).

    Example:
        >>> round(harmonic_mean([0.01, 0.99]), 3)
        0.02
    """
    return float(stats.hmean(_floored(recall, zero_floor)))


def worst_mean(recall: Any, percent: float) -> float:
    """Mean recall of the worst ``percent`` % of the scored classes, at least one class.

    Example:
        >>> worst_mean([0.1, 0.3, 0.9, 1.0], percent=50)
        0.2
    """
    recall = np.asarray(recall, dtype=np.float64)
    recall = np.sort(recall[~np.isnan(recall)])
    if recall.size == 0:
        raise InputError("No class has a recall; a mean needs at least one.")
    return float(recall[: number_of_worst(len(recall), percent)].mean())


def number_of_worst(classes: int, percent: float) -> int:
    """How many classes the worst ``percent`` % of them are, at least one.

    Raises:
        InputError: percent is not in 0..100.
    """
    if not 0 < percent <= 100:
        raise InputError(f"percent must be more than 0 and at most 100; got {percent}.")
    # Rounded first: 0.05 · 60 is a hair above 3 in floating point.
    return max(1, math.ceil(round(classes * percent / 100, 9)))
