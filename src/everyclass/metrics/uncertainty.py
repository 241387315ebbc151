"""An interval for every number that recalls give."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import ClassCounts, GroupRule
from everyclass.metrics.intervals import recall_intervals, weighted_recall_interval
from everyclass.metrics.lowest import lowest_if_equal, lowest_recall_interval, worst_mean_interval
from everyclass.metrics.mean_intervals import mean_recall_intervals
from everyclass.metrics.recall import WORST_PERCENT, divide

__all__ = ["group_intervals", "recall_uncertainty"]

Limits = list[float]


def recall_uncertainty(
    right: npt.NDArray[np.int64],
    support: npt.NDArray[np.int64],
    *,
    class_counts: ClassCounts | None = None,
    zero_floor: float = 1e-3,
    confidence: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Intervals of the numbers of an :class:`~everyclass.Evaluation`, under the same keys.

    Args:
        right: (C,) images of each class that were given to it.
        support: (C,) images of each class.
        class_counts: training images per class, for the many / medium / few groups.
        zero_floor: what no recall counts less than in the geometric and harmonic mean.
        confidence: between 0 and 1.
        replicates: draws for the geometric and harmonic mean.
        seed: of these draws.

    Returns:
        Plain values: ``[low, high]`` for ``accuracy``, ``balanced_accuracy``, ``geometric_mean``,
        ``harmonic_mean``, ``lowest_recall`` and ``lowest_if_equal``; by percent for ``worst``; by
        rule and group for ``groups`` (None for an empty group, or without counts); and for
        ``per_class_recall`` a list in class order, None for a class without images.

    Raises:
        InputError: no class has an image, or a value out of range.

    Example:
        >>> found = recall_uncertainty(np.array([9, 1]), np.array([10, 10]))
        >>> [round(limit, 2) for limit in found["balanced_accuracy"]]
        [0.33, 0.67]
    """
    level: dict[str, Any] = {"confidence": confidence}
    equal = np.ones(len(support))
    drawn = mean_recall_intervals(
        right, support, zero_floor=zero_floor, replicates=replicates, seed=seed, **level
    )
    scored = support > 0
    mean = float(divide(right, support)[scored].mean())
    return {
        "accuracy": [*weighted_recall_interval(right, support, support, **level)],
        "balanced_accuracy": [*weighted_recall_interval(right, support, equal, **level)],
        **{name: [*limits] for name, limits in drawn.items()},
        "lowest_recall": [*lowest_recall_interval(right, support, **level)],
        "lowest_if_equal": [*lowest_if_equal(support, mean, **level)[1:]],
        "worst": {
            str(p): [*worst_mean_interval(right, support, p, **level)] for p in WORST_PERCENT
        },
        "groups": None
        if class_counts is None
        else group_intervals(right, support, class_counts, **level),
        "per_class_recall": [
            limits if has else None
            for limits, has in zip(
                recall_intervals(right, support, **level).tolist(), scored.tolist(), strict=True
            )
        ],
    }


def group_intervals(
    right: npt.NDArray[np.int64],
    support: npt.NDArray[np.int64],
    class_counts: ClassCounts,
    *,
    confidence: float = 0.95,
) -> dict[str, dict[str, Limits | None]]:
    """The intervals of :func:`recall_uncertainty` that training images decide: those of groups.

    Args:
        right, support, class_counts, confidence: as there.

    Returns:
        ``[low, high]`` by rule and group; None for an empty group.

    Example:
        >>> found = group_intervals(np.array([9, 1]), np.array([10, 10]), ClassCounts([500, 9]))
        >>> [round(limit, 2) for limit in found["paper"]["few"]]
        [0.02, 0.4]
    """
    return {
        rule: _of_groups(right, support, class_counts.groups(rule), confidence)
        for rule in get_args(GroupRule)
    }


def _of_groups(
    right: npt.NDArray[np.int64],
    support: npt.NDArray[np.int64],
    groups: npt.NDArray[np.str_],
    confidence: float,
) -> dict[str, Limits | None]:
    found: dict[str, Limits | None] = {}
    for group in ("many", "medium", "few"):
        of = (groups == group) & (support > 0)
        found[group] = (
            [*weighted_recall_interval(right[of], support[of], of[of], confidence=confidence)]
            if of.any()
            else None
        )
    return found
