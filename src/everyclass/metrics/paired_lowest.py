"""The difference of two lowest recalls, and of two means of the worst k %, honestly.

The worst classes of A and of B need not be the same ones, and each minimum is too low by an unknown
amount of its own, so that the difference of the two observed minima says little. Two bounds ask
nothing of where the worst classes are, and the better one is taken at a shared error probability:

- apart: B's own lower limit less A's upper limit (:mod:`everyclass.metrics.lowest`);
- paired: if S is B's truly worst set, then A's worst mean is at most A's mean over S, so B − A is
  at least the mean over S of each class's own difference. S is not known; it is looked for among
  the classes that may be in it, and the least favourable choice counts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from everyclass.metrics.intervals import checked_tail, exact_lower, exact_upper
from everyclass.metrics.lowest import lowest_of_sets, sidak, worst_mean_interval
from everyclass.metrics.mcnemar import paired_difference_intervals
from everyclass.metrics.paired_means import PairedDifference
from everyclass.metrics.pairing import Outcomes
from everyclass.metrics.recall import divide, number_of_worst, worst_mean

__all__ = ["worst_difference"]

# The error probability of one limit is shared by what has to hold: A's upper and B's lower limit,
# that the worst set is among the classes looked at (two limits), and the limit of the mean over it.
_SHARES = 5


def worst_difference(
    outcomes: Outcomes, percent: float | None = None, *, confidence: float = 0.95
) -> PairedDifference:
    """Interval of the difference of the worst ``percent`` %, or of the lowest recall if None.

    Args:
        outcomes: of both.
        percent: of the classes.
        confidence: between 0 and 1. Apart, the limits of a lowest recall hold at least that; those
            of means and the paired ones are approximate (docs/intervals.md).

    Returns:
        Both numbers and the limits of B − A; there is a difference if these exclude zero.
    """
    tail = checked_tail(confidence) / _SHARES
    scored = outcomes.support > 0
    table, n = outcomes.table[scored], outcomes.support[scored]
    a, b = (k[scored] for k in outcomes.right)
    m = 1 if percent is None else number_of_worst(len(n), percent)
    share = 100 * m / len(n)
    low_a, high_a = worst_mean_interval(a, n, share, confidence=1 - 2 * tail)
    low_b, high_b = worst_mean_interval(b, n, share, confidence=1 - 2 * tail)
    swapped = table[:, [0, 2, 1, 3]]
    low = max(low_b - high_a, _paired_lower(table, b, m, tail))
    high = min(high_b - low_a, -_paired_lower(swapped, a, m, tail))
    worst_a, worst_b = (worst_mean(divide(k, n), share) for k in (a, b))
    difference = worst_b - worst_a
    return PairedDifference(worst_a, worst_b, min(low, difference), max(high, difference))


def _paired_lower(
    table: npt.NDArray[np.int64], right: npt.NDArray[np.int64], m: int, tail: float
) -> float:
    """Lower limit of the mean difference over B's worst m classes, whichever these are."""
    n = table.sum(axis=1)
    # The m-th lowest recall is at most the m-th lowest of these; no worst class lies above it.
    ceiling = np.sort(exact_upper(right, n, sidak(tail, len(n) - m + 1)))[m - 1]
    may_be = exact_lower(right, n, tail / m) <= ceiling
    _, only_b, only_a, _ = table[may_be].T
    difference = (only_b - only_a) / n[may_be]
    limits = paired_difference_intervals(only_a, only_b, n[may_be], confidence=1 - 2 * tail)
    return lowest_of_sets(difference, (difference - limits[:, 0]) ** 2, m)
