"""One class at a time: did it rise or fall, and how sure is that among so many classes."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import stats

from everyclass.artifacts import as_array
from everyclass.errors import InputError
from everyclass.metrics.intervals import checked_tail, distinct_counts

__all__ = ["Correction", "adjust_p_values", "mid_p_mcnemar", "paired_difference_intervals"]

Correction = Literal["holm", "bh", "none"]


def mid_p_mcnemar(only_a: Any, only_b: Any) -> npt.NDArray[np.float64]:
    r"""Two-sided mid-p McNemar test of each class.

    Under no difference, of the m images that only one of the two gets right each is A's or B's with
    probability ½: :math:`p = 2 P(X < s) + P(X = s)` with s the smaller number and
    X ~ Bin(m, ½). That is the exact test's p less the probability :math:`P(X = s)` of what was
    seen; the exact one is needlessly cautious (Fagerland, Lydersen and Laake 2013).

    Args:
        only_a: (C,) images that only A gets right.
        only_b: (C,) images that only B gets right.

    Returns:
        (C,) p-values; 1 where both numbers are equal.

    Raises:
        InputError: other than whole numbers from 0, one per class each.

    Example:
        >>> mid_p_mcnemar([1, 0], [9, 0]).round(4)
        array([0.0117, 1.    ])
    """
    a, b = _whole_numbers(only_a=only_a, only_b=only_b)
    small, total = np.minimum(a, b), a + b
    (s, m), classes = distinct_counts(small, total)
    p = 2 * stats.binom.cdf(s, m, 0.5) - stats.binom.pmf(s, m, 0.5)
    return np.where(a == b, 1.0, np.minimum(p, 1.0)[classes])


def adjust_p_values(p_values: Any, correction: Correction = "holm") -> npt.NDArray[np.float64]:
    """P-values that can be compared with the level although there are many of them.

    Args:
        p_values: (m,) in 0..1; NaN entries are no tests and stay NaN.
        correction: "holm" (1979): the probability of naming any class wrongly is at most the
            level. "bh" (Benjamini and Hochberg 1995): of the classes named, at most that share is
            wrong on average. "none".

    Raises:
        InputError: an unknown correction, or a number outside 0..1.

    Example:
        >>> adjust_p_values([0.01, 0.04, 0.03])
        array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p_values, dtype=np.float64)
    if correction not in get_args(Correction):
        raise InputError(f"correction must be 'holm', 'bh' or 'none'; got {correction!r}.")
    tested = ~np.isnan(p)
    outside = p[tested & ((p < 0) | (p > 1))]
    if outside.size:
        raise InputError(f"p_values must lie between 0 and 1, or be NaN; got {outside[0]:g}.")
    adjusted = p.copy()
    if correction == "none" or not tested.any():
        return adjusted
    if correction == "bh":
        adjusted[tested] = stats.false_discovery_control(p[tested])
        return adjusted
    order = np.argsort(p[tested], kind="stable")
    steps = np.arange(len(order), 0, -1) * p[tested][order]
    held = np.empty(len(order))
    held[order] = np.minimum(np.maximum.accumulate(steps), 1)
    adjusted[tested] = held
    return adjusted


def paired_difference_intervals(
    only_a: Any, only_b: Any, support: Any, *, confidence: float = 0.95
) -> npt.NDArray[np.float64]:
    r"""Score interval of each class's difference of recall, B − A (Tango 1998).

    It holds the differences δ with
    :math:`|b - a - n\delta| \le z \sqrt{n (2\hat q + \delta - \delta^2)}`, where :math:`\hat q` is
    the share of images that only A gets right, as likely as it can be under that δ; it keeps its
    coverage where few images differ.

    Args:
        only_a: (C,) images that only A gets right.
        only_b: (C,) images that only B gets right.
        support: (C,) images of each class.
        confidence: between 0 and 1.

    Returns:
        (C, 2) limits, −1..1; NaN for a class without images.

    Raises:
        InputError: other than whole numbers from 0, one per class each, or more than there are
            images.

    Example:
        >>> paired_difference_intervals([2, 0], [12, 0], [50, 50]).round(3)
        array([[ 0.061,  0.345],
               [-0.071,  0.071]])
    """
    a, b, n = _whole_numbers(only_a=only_a, only_b=only_b, support=support)
    if (a + b > n).any():
        raise InputError("only_a + only_b must be at most support, class by class.")
    z = float(stats.norm.isf(checked_tail(confidence)))
    found, classes = distinct_counts(a, b, n)
    a, b, n = found.astype(np.float64)
    limits = np.column_stack([-_tango_upper(b, a, n, z), _tango_upper(a, b, n, z)])
    return np.asarray(np.where((n > 0)[:, None], limits, np.nan)[classes])


def _whole_numbers(**counts: Any) -> list[npt.NDArray[np.int64]]:
    """Counts as arrays of one shape, or a sentence that has their names."""
    arrays = [as_array(each) for each in counts.values()]
    same = len({each.shape for each in arrays}) == 1
    whole = same and all(each.dtype.kind in "iu" for each in arrays)
    if not whole or min(each.min(initial=0) for each in arrays) < 0:
        *names, last = counts
        raise InputError(
            f"{', '.join(names)} and {last} must be whole numbers from 0, one per class each."
        )
    return [each.astype(np.int64) for each in arrays]


def _tango_upper(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], n: npt.NDArray[np.float64], z: float
) -> npt.NDArray[np.float64]:
    """Bisection of all classes at once; the score falls as the difference grows."""
    safe = np.maximum(n, 1)
    low, high = (b - a) / safe, np.ones_like(n)
    for _ in range(60):
        d = (low + high) / 2
        linear = -(a + b) + (2 * safe - b + a) * d
        root = np.sqrt(linear**2 + 8 * safe * a * d * (1 - d))
        # The root of 2n q² + linear q − a d (1 − d), without cancellation.
        above, below = 2 * a * d * (1 - d), root + np.abs(linear)
        q = np.where(linear > 0, above / np.where(below > 0, below, 1), below / (4 * safe))
        inside = safe * d - (b - a) <= z * np.sqrt(np.maximum(safe * (2 * q + d - d * d), 0))
        low, high = np.where(inside, d, low), np.where(inside, high, d)
    return high
