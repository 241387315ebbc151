"""Intervals of recall in closed form: one class, and a weighted mean of classes."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from everyclass.artifacts import as_array
from everyclass.errors import InputError, InputTypeError

__all__ = ["IntervalMethod", "recall_intervals", "weighted_recall_interval"]

IntervalMethod = Literal["wilson", "exact"]


def recall_intervals(
    right: Any, support: Any, *, confidence: float = 0.95, method: IntervalMethod = "wilson"
) -> npt.NDArray[np.float64]:
    """Interval of each class's recall.

    "wilson" is the score interval (Wilson 1927), right on average over recalls; "exact" is
    Clopper and Pearson's (1934), which is never too narrow and so mostly too wide. Both are those
    of :func:`scipy.stats.binomtest`, for all classes at once.

    Args:
        right: (C,) images of each class that were given to it.
        support: (C,) images of each class.
        confidence: between 0 and 1.
        method: "wilson" or "exact".

    Returns:
        (C, 2) lower and upper limits, fractions; NaN for a class without images.

    Raises:
        InputError: counts that do not fit together, or a confidence outside 0..1.
        InputTypeError: counts that are not whole numbers.

    Example:
        >>> recall_intervals([0, 19], [2, 20]).round(2)
        array([[0.  , 0.66],
               [0.76, 0.99]])
    """
    k, n = checked_counts(right, support)
    tail = checked_tail(confidence)
    if method not in get_args(IntervalMethod):
        raise InputError(f"method must be 'wilson' or 'exact'; got {method!r}.")
    if method == "exact":
        return np.column_stack([exact_lower(k, n, tail), exact_upper(k, n, tail)])
    z2 = float(stats.norm.isf(tail)) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = (k + z2 / 2) / (n + z2)
        half = np.sqrt(z2 * (k * (n - k) / n + z2 / 4)) / (n + z2)
        low = np.where(k == 0, 0.0, centre - half)
        high = np.where(k == n, 1.0, centre + half)
    return np.where((n > 0)[:, None], np.column_stack([low, high]), np.nan)


def exact_lower(
    right: npt.NDArray[np.int64], support: npt.NDArray[np.int64], tail: float
) -> npt.NDArray[np.float64]:
    """Clopper and Pearson's lower limits, each missed with probability ``tail`` at most."""
    (k, n), classes = distinct_counts(right, support)
    low = special.betaincinv(np.maximum(k, 1), n - k + 1, tail)
    return np.asarray(np.where(n > 0, np.where(k > 0, low, 0.0), np.nan)[classes])


def exact_upper(
    right: npt.NDArray[np.int64], support: npt.NDArray[np.int64], tail: float
) -> npt.NDArray[np.float64]:
    """Clopper and Pearson's upper limits, each missed with probability ``tail`` at most."""
    return 1 - exact_lower(support - right, support, tail)


def weighted_recall_interval(
    right: Any, support: Any, weights: Any, *, confidence: float = 0.95
) -> tuple[float, float]:
    r"""Score interval of a weighted mean of recalls, :math:`\theta = \sum_c w_c p_c`.

    Weights 1 / C give balanced accuracy, weights n_c / n accuracy; of one class it is Wilson's
    interval. A limit is the θ at which :math:`(\hat\theta - \theta) / \sqrt{V(\theta)}` reaches the
    normal quantile, with V from the recalls that are most likely under that θ,

    .. math:: V = \sum_c w_c^2\, \frac{p_c (1 - p_c)}{n_c - (C - 1) / C},

    whose divisor undoes that every class's recall is estimated from its own few images. Classes of
    one image say nothing about their variance and are taken together, which is never too narrow.

    Args:
        right: (C,) images of each class that were given to it.
        support: (C,) images of each class.
        weights: (C,) positive, the same for all classes of one image; they are scaled to sum to
            one. Classes without images are left out.
        confidence: between 0 and 1.

    Returns:
        Lower and upper limit, fractions.

    Raises:
        InputError: no class has an image, or values that do not fit together.

    Example:
        >>> low, high = weighted_recall_interval([8, 3], [10, 10], [1, 1])
        >>> round(low, 2), round(high, 2)
        (0.35, 0.73)
    """
    k, n = checked_counts(right, support)
    z = float(stats.norm.isf(checked_tail(confidence)))
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != n.shape or not (w[n > 0] > 0).all():
        raise InputError("weights must be one positive number per class.")
    if not n.any():
        raise InputError("No class has a recall; an interval needs at least one.")
    k, n, w = _singles_together(k[n > 0], n[n > 0], w[n > 0])
    w = w / w.sum()
    return _score_limit(k, n, w, z), 1 - _score_limit(n - k, n, w, z)


def _singles_together(
    k: npt.NDArray[np.int64], n: npt.NDArray[np.int64], w: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    single = n == 1
    if single.sum() < 2:
        return k, n, w
    together = (k[single].sum(), single.sum(), w[single].sum())
    rest = (k[~single], n[~single], w[~single])
    joined = [np.append(r, t) for r, t in zip(rest, together, strict=True)]
    return joined[0], joined[1], joined[2]


def _score_limit(
    k: npt.NDArray[np.int64], n: npt.NDArray[np.int64], w: npt.NDArray[np.float64], z: float
) -> float:
    """The lower limit: how far the multiplier of the constraint has to pull."""
    divisor = n - (len(n) - 1) / len(n)
    estimate = float(w @ (k / n))
    if estimate == 0:
        return 0.0

    def pulled(multiplier: float) -> npt.NDArray[np.float64]:
        a = multiplier * w
        # The root of k - n p = a p (1 - p) in 0..k/n, without cancellation.
        return np.asarray(2 * k / (n + a + np.sqrt((n - a) ** 2 + 4 * a * (n - k))))

    def beyond(log_multiplier: float) -> float:
        p = pulled(np.exp(log_multiplier))
        variance = float((w * w) @ (p * (1 - p) / divisor))
        return estimate - float(w @ p) - z * np.sqrt(variance)

    # Where every recall is 0 or 1 nothing moves before the first class of ones does.
    start = np.log((n / w)[k == n].min()) + 1e-12 if ((k == 0) | (k == n)).all() else -80.0
    if beyond(start) >= 0:  # the limit is nearer to the estimate than can be told
        return estimate
    return float(w @ pulled(np.exp(optimize.brentq(beyond, start, 80.0, xtol=1e-10))))


def checked_counts(right: Any, support: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return whole numbers 0 ≤ right ≤ support per class, or say what is wrong with them."""
    k, n = as_array(right), as_array(support)
    for name, counts in (("right", k), ("support", n)):
        if counts.dtype.kind not in "iu":
            raise InputTypeError(f"{name} must be whole numbers; got {counts.dtype}.")
    if k.ndim != 1 or k.shape != n.shape or k.size == 0:
        raise InputError(
            f"right and support must be one number per class each; got shapes {k.shape} and "
            f"{n.shape}."
        )
    k, n = k.astype(np.int64), n.astype(np.int64)
    bad = np.flatnonzero((k < 0) | (k > n))
    if bad.size:
        raise InputError(f"Class {bad[0]} has {k[bad[0]]} images right of {n[bad[0]]}.")
    return k, n


def distinct_counts(
    *counts: npt.NDArray[Any],
) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """The counts that occur, and where each class's are: many classes share the same few.

    Args:
        counts: (C,) numbers, at least 0; one array for each kind.

    Returns:
        (kinds, m) distinct counts, and for each class which of the m.
    """
    columns = np.stack([each.ravel() for each in counts])
    bases = columns.max(axis=1, initial=0) + 1
    if columns.dtype.kind in "iu" and math.prod(bases.tolist()) < 2**62:
        keys = np.ravel_multi_index(tuple(columns), tuple(bases.tolist()))
        _, first, classes = np.unique(keys, return_index=True, return_inverse=True)
        found = columns[:, first]
    else:  # no single number tells them apart
        found, classes = np.unique(columns, axis=1, return_inverse=True)
    return found, classes.reshape(counts[0].shape)


def checked_tail(confidence: float) -> float:
    """The probability beyond either limit."""
    if not 0 < confidence < 1:
        raise InputError(f"confidence must lie between 0 and 1, such as 0.95; got {confidence}.")
    return (1 - confidence) / 2
