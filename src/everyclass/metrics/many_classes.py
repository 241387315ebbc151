"""Sums over thousands of classes of log p or 1 / p with a drawn p, without drawing each p.

A sum of so many independent terms is normal but for its skewness, and its mean, variance and third
cumulant are sums of those of single classes, which are integrals. Where a few classes outweigh all
others that is not so, and the skewness of the sum says it. Classes of which next to no image is
right are for the caller to draw: their 1 / p has a tail too heavy for this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = ["MANY", "Cumulants", "Transform", "beta_cumulants", "precision_of_draws"]

MANY = 2000  # classes; of fewer each is drawn
Transform = Literal["log", "reciprocal"]

_MOST_SKEWED = 0.3  # up to which the first correction of a normal distribution is enough
_BLOCK = 256  # integrals at once
_POINTS = 320  # of an integral; steps of a quarter at most
_END = 40.0  # log odds beyond which p is 0 or 1 in double precision


def precision_of_draws(classes: int) -> type[np.float32 | np.float64]:
    """Single for many classes, which is faster: a mean over them smooths what rounding does."""
    return np.float32 if classes >= MANY else np.float64


@dataclass(frozen=True)
class Cumulants:
    """What is known of a sum.

    Attributes:
        mean, variance, third: its first three cumulants.
    """

    mean: float
    variance: float
    third: float

    @property
    def skewness(self) -> float:
        """Zero where nothing varies."""
        return self.third / self.variance**1.5 if self.variance > 0 else 0.0

    @property
    def nearly_normal(self) -> bool:
        """Whether :meth:`drawn` is right."""
        return abs(self.skewness) <= _MOST_SKEWED

    def drawn(self, z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The sums that standard normal draws stand for (Cornish and Fisher 1938)."""
        return self.mean + np.sqrt(self.variance) * (z + self.skewness / 6 * (z * z - 1))


def beta_cumulants(successes: Any, errors: Any, transform: Transform, floor: float) -> Cumulants:
    r"""Cumulants of :math:`\sum_c f(\max(p_c, \mathrm{floor}))`, p_c ~ Beta(successes, errors).

    Classes of the same two numbers are integrated once.

    Args:
        successes: (C,) 1 at least.
        errors: (C,) more than 0.
        transform: f, the logarithm or the reciprocal.
        floor: more than 0.

    Example:
        >>> found = beta_cumulants([1.0] * 3, [1.0] * 3, "log", 1e-300)  # −log p is exponential
        >>> round(found.mean, 6), round(found.variance, 6), round(found.third, 6)
        (-3.0, 3.0, -6.0)
    """
    pairs, times = np.unique(np.column_stack([successes, errors]), axis=0, return_counts=True)
    sums = np.zeros(3)
    for start in range(0, len(pairs), _BLOCK):
        here = slice(start, start + _BLOCK)
        a, b = pairs[here].T
        sums += times[here] @ _integrals(a, b, transform, floor)
    one = 0.0 if transform == "log" else 1.0
    return Cumulants(float(sums[0]) + one * int(times.sum()), float(sums[1]), float(sums[2]))


def _integrals(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], transform: Transform, floor: float
) -> npt.NDArray[np.float64]:
    """(m, 3) cumulants of f(p) − f(1), by the trapezoidal rule over the log odds of p.

    There the density is smooth and falls exponentially, which makes the rule exact but for
    rounding. What lies beyond the end, where few errors are expected, is p = 1 and adds nothing.
    """
    middle, core = np.log(a / b), 9 * np.sqrt(1 / a + 1 / b)
    first = np.maximum(middle - core - _END / a, -_END)
    last = np.minimum(middle + core + _END / b, _END)
    step = (last - first) / _POINTS
    odds = first[:, None] + step[:, None] * np.arange(_POINTS + 1)
    log_p = -np.logaddexp(0, -odds)
    log_density = a[:, None] * log_p + b[:, None] * (log_p - odds) - special.betaln(a, b)[:, None]
    weights = step[:, None] * np.exp(log_density)
    if transform == "log":
        values = np.maximum(log_p, np.log(floor))
    else:
        values = np.minimum(np.exp(-odds), 1 / floor - 1)
    mass = weights.sum(axis=1)
    weights /= np.where(last < _END, mass, 1)[:, None]
    beyond = np.where(last < _END, 0, 1 - mass)
    mean = (weights * values).sum(axis=1)
    apart = values - mean[:, None]
    second, third = ((weights * apart**i).sum(axis=1) + beyond * (-mean) ** i for i in (2, 3))
    return np.column_stack([mean, second, third])
