"""Honest intervals of the lowest recall and of the mean of the worst k %.

The lowest of many observed recalls is too low, because the unlucky class is taken for the bad one,
and resampling the images is unlucky a second time: a bootstrap of a minimum never covers. Here both
limits are tests turned round, which assume nothing about how recalls are distributed:

- *lower*: to say that the lowest recall is above θ, every class has to be above θ. If each class is
  tested at α/2, the one that truly is the lowest is wrongly passed with probability α/2 at most, so
  no correction for the number of classes is needed.
- *upper*: to say that it is below θ, some class has to be below θ. That is looked for in C places,
  so each is tested at 1 − (1 − α/2)^(1/C) (Šidák), which is exact if all classes are equally good.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from everyclass.errors import InputError
from everyclass.metrics.intervals import checked_counts, checked_tail, exact_lower, exact_upper
from everyclass.metrics.recall import number_of_worst

__all__ = ["lowest_if_equal", "lowest_recall_interval", "worst_mean_interval"]

_FEW_SETS = 1000
_NOTHING = 1e-12  # of a probability that a distribution loses or has left


def lowest_recall_interval(
    right: Any, support: Any, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of the lowest true recall; covers it with ``confidence`` at least, always.

    Args:
        right: (C,) images of each class that were given to it.
        support: (C,) images of each class; those without are left out.
        confidence: between 0 and 1.

    Returns:
        The lowest of the classes' lower Clopper-Pearson limits at α/2, and the lowest of their
        upper ones at the Šidák level.

    Raises:
        InputError: no class has an image, or counts that do not fit together.

    Example:
        >>> low, high = lowest_recall_interval([3, 80, 90], [100, 100, 100])
        >>> round(low, 3), round(high, 3)
        (0.006, 0.099)
    """
    k, n = _scored(right, support)
    tail = checked_tail(confidence)
    return (
        float(exact_lower(k, n, tail).min()),
        float(exact_upper(k, n, sidak(tail, len(k))).min()),
    )


def worst_mean_interval(
    right: Any, support: Any, percent: float, *, confidence: float = 0.95
) -> tuple[float, float]:
    r"""Interval of the mean true recall of the worst ``percent`` % of classes.

    *Lower*: whichever m classes are truly the worst, their mean recall has the lower limit
    :math:`\bar r - \frac1m \sqrt{\sum_c (r_c - l_c)^2}` with Clopper-Pearson limits l (square and
    add); the lowest such limit over all sets of m classes. Where hardly any image is right these
    distances are about half of what is needed, so it is no higher than the exact limit of the m
    classes that look worst, taken for one class (Hoeffding 1956: of unequal recalls the sum varies
    no more than of equal ones). As if each of them had no more images than the smallest: of equal
    classes that is the exact limit itself, and otherwise it is lower, because a mean of recalls is
    no surer for the many images that some of its classes have. *Upper*: the highest recall θ at
    which, were all classes equally good, the worst m would still look this bad with probability
    α/2. All classes equal is the case in which they look worst (so it was in every setting
    simulated), and where the bad classes stand apart this limit is higher than it need be. Of one
    class it is :func:`lowest_recall_interval`.

    Args:
        right: (C,) images of each class that were given to it.
        support: (C,) images of each class; those without are left out.
        percent: of the classes, more than 0; at least one class is meant.
        confidence: between 0 and 1.

    Raises:
        InputError: no class has an image, or values out of range.

    Example:
        >>> low, high = worst_mean_interval([30, 40] + [80] * 18, [100] * 20, percent=10)
        >>> round(low, 2), round(high, 2)
        (0.28, 0.49)
    """
    k, n = _scored(right, support)
    tail = checked_tail(confidence)
    m = number_of_worst(len(k), percent)
    if m == 1:
        return lowest_recall_interval(k, n, confidence=confidence)
    recall = k / n
    below = (recall - exact_lower(k, n, tail)) ** 2
    worst = np.argsort(recall, kind="stable")[:m]
    observed = float(recall[worst].mean())
    low = max(0.0, min(lowest_of_sets(recall, below, m), _as_one_class(k, n, worst, tail)))
    return low, _highest_if_equal(n, m, observed, tail)


def lowest_if_equal(
    support: Any, recall: float, *, confidence: float = 0.95
) -> tuple[float, float, float]:
    r"""The lowest recall that one would see if every class truly had this one.

    From :math:`P(\min > x) = \prod_c P(k_c > n_c x)` with binomial k. It falls at every j / n_c and
    stays between them, so a sum over these is exact; left out are those at which it is above
    1 − 1e-12 or below 1e-12.

    Args:
        support: (C,) images of each class; those without are left out.
        recall: of every class.
        confidence: of the range.

    Returns:
        Its expectation, and the range it falls into with this confidence.

    Raises:
        InputError: no class has an image, or a recall outside 0..1.

    Example:
        >>> expected, low, high = lowest_if_equal([50] * 1000, 0.8)
        >>> round(expected, 2), round(low, 2), round(high, 2)
        (0.6, 0.54, 0.64)
    """
    _, n = _scored(np.zeros_like(support), support)
    tail = checked_tail(confidence)
    if not 0 <= recall <= 1:
        raise InputError(f"recall must lie between 0 and 1; got {recall}.")
    values, chance = _lowest_of_equal(n, recall, min(_NOTHING, tail / 2))
    low, high = (float(values[np.searchsorted(-chance, -p)]) for p in (1 - tail, tail))
    return float(values[0] + chance[:-1] @ np.diff(values)), low, high


def _lowest_of_equal(
    n: npt.NDArray[np.int64], recall: float, nothing: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Every x at which P(min > x) falls, in order, and what it is from there to the next.

    Its logarithm is a sum over classes, so the falls of each are added up among those of all.
    """
    sizes, counts = np.unique(n, return_counts=True)

    def log_above(right: npt.NDArray[Any], of: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        chance = special.bdtrc(right, of, recall)
        return np.asarray(np.log(np.maximum(chance, np.finfo(np.float64).tiny)))

    def excess(x: float, chance: float) -> float:
        # floor(n x), where x is a j / n: rounding must not lose the last image.
        right = np.floor(x * sizes + 1e-9)
        return float(np.exp(counts @ log_above(right, sizes))) - chance

    begin, end = (
        optimize.bisect(excess, 0, 1, args=(chance,), xtol=1e-9) if excess(0, chance) > 0 else 0.0
        for chance in (1 - nothing, nothing)
    )
    first = np.maximum(np.floor(sizes * begin).astype(np.int64), _reach(sizes, recall)[0])
    last = np.minimum(np.ceil(sizes * end).astype(np.int64), sizes)
    size, right = _ranges(first, last)
    logs = log_above(right, sizes[size])
    falls = np.where(right == first[size], logs, np.diff(logs, prepend=0.0))
    values = right / sizes[size]
    order = np.argsort(values)
    chance = np.exp(np.cumsum((falls * counts[size])[order]))
    return np.append(values[order], 1.0), np.append(chance, 0.0)


def _scored(right: Any, support: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    k, n = checked_counts(right, support)
    if not n.any():
        raise InputError("No class has a recall; an interval needs at least one.")
    return k[n > 0], n[n > 0]


def sidak(tail: float, tests: int) -> float:
    """The level of each of so many independent tests that together have the level ``tail``."""
    return float(-np.expm1(np.log1p(-tail) / tests))


def lowest_of_sets(
    centre: npt.NDArray[np.float64], squares: npt.NDArray[np.float64], m: int
) -> float:
    """The minimum over sets of m of mean(centre) − √(Σ squares) / m, or less where sets are many.

    Few sets are gone through. Otherwise √v is the least of v / 2t + t / 2 over t, so every t bounds
    all sets from below at once by the m smallest of centre − squares / 2t; the t of the set so
    found bounds it better.
    """
    if math.comb(len(centre), m) <= _FEW_SETS:
        sets = np.array(list(combinations(range(len(centre)), m)))
        return float((centre[sets].mean(axis=1) - np.sqrt(squares[sets].sum(axis=1)) / m).min())
    best, t = -1.0, float(np.sqrt(np.sort(squares)[-m:].sum()))
    for _ in range(50):
        if t == 0:
            return max(best, float(np.sort(centre)[:m].mean()))
        cost = centre - squares / (2 * t)
        worst = np.argpartition(cost, m - 1)[:m]
        best = max(best, float(cost[worst].sum() - t / 2) / m)
        t, before = float(np.sqrt(squares[worst].sum())), t
        if abs(t - before) < 1e-12:
            break
    return best


def _as_one_class(
    k: npt.NDArray[np.int64],
    n: npt.NDArray[np.int64],
    worst: npt.NDArray[np.intp],
    tail: float,
) -> float:
    """The exact lower limit of the worst classes, each with as many images as the smallest.

    What is right of so many is rounded down to whole images, which can only lower the limit.
    """
    recall = k / n
    # Also of classes that look as bad as the last of them: which of these are taken is chance.
    size = n[recall <= recall[worst[-1]]].min()
    # Of equal classes this is their images that are right; rounding must not lose the last one.
    right = np.floor((k[worst] * size / n[worst]).sum() + 1e-9)
    return float(exact_lower(np.asarray(right, dtype=np.int64), len(worst) * size, tail))


def _highest_if_equal(n: npt.NDArray[np.int64], m: int, observed: float, tail: float) -> float:
    r"""The θ at which the mean of the worst m is ``observed`` or less with probability ``tail``.

    That mean is :math:`\max_t\; t - \frac1m \sum_c (t - r_c)_+` (Rockafellar and Uryasev 2000), so
    at the t below which m classes are expected it is bounded by a sum over all classes, whose
    distribution is Pearson's type III with the exact mean, variance and skewness.
    """
    digits = 10 ** np.maximum(np.floor(np.log10(n)).astype(np.int64) - 1, 0)
    # Two digits of n are kept: fewer images are less certain, so this is on the safe side.
    sizes, counts = np.unique(n // digits * digits, return_counts=True)

    def excess(recall: float) -> float:
        size, values, chance = _binomials(sizes, recall)
        order = np.argsort(values)
        expected = np.cumsum((chance * counts[size])[order])
        t = values[order][min(int(np.searchsorted(expected, m)), len(order) - 1)]
        short = np.maximum(t - values, 0)
        moments = [np.bincount(size, chance * short**i, len(sizes)) for i in (1, 2, 3)]
        mean = counts @ moments[0]
        variance = counts @ (moments[1] - moments[0] ** 2)
        third = counts @ (moments[2] - 3 * moments[0] * moments[1] + 2 * moments[0] ** 3)
        # Sums go in steps of 1 / n, of which half belongs to what is seen.
        needed = m * (t - observed) - 0.5 / sizes.max()
        if variance <= 0:
            return float(needed <= mean) - tail
        skewness = third / variance**1.5
        return float(stats.pearson3.sf(needed, skewness, mean, np.sqrt(variance))) - tail

    low, high = max(observed, 1e-9), 1 - 1e-9
    if excess(high) > 0:
        return 1.0
    return float(optimize.brentq(excess, low, high, xtol=1e-5)) if excess(low) > 0 else low


def _binomials(
    sizes: npt.NDArray[np.int64], recall: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Every j / n within nine standard deviations: index of n, value, probability."""
    size, j = _ranges(*_reach(sizes, recall))
    return size, j / sizes[size], stats.binom.pmf(j, sizes[size], recall)


def _reach(
    sizes: npt.NDArray[np.int64], recall: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The fewest and the most images right that have a probability worth counting."""
    reach = 9 * np.sqrt(sizes * recall * (1 - recall)) + 9
    first = np.maximum(np.floor(sizes * recall - reach), 0).astype(np.int64)
    return first, np.minimum(np.ceil(sizes * recall + reach), sizes).astype(np.int64)


def _ranges(
    first: npt.NDArray[np.int64], last: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Every whole number from each first to each last, behind the place of the two."""
    lengths = np.maximum(last - first + 1, 0)
    place = np.repeat(np.arange(len(lengths)), lengths)
    return place, np.arange(len(place)) - np.repeat(np.cumsum(lengths) - lengths - first, lengths)
