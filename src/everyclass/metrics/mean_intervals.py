"""Intervals of the geometric and harmonic mean of recall, from draws of each class's recall."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import check_whole_number
from everyclass.errors import InputError
from everyclass.metrics.drawn_sums import sum_over_chunks
from everyclass.metrics.intervals import checked_counts, checked_tail
from everyclass.metrics.many_classes import MANY, beta_cumulants, precision_of_draws
from everyclass.metrics.recall import divide, geometric_mean, harmonic_mean

__all__ = ["careful_reciprocals", "deciding_class", "mean_recall_intervals"]

_CHUNK = 256  # classes; draws that fit into a core's cache


def mean_recall_intervals(
    right: Any,
    support: Any,
    *,
    zero_floor: float = 1e-3,
    confidence: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    r"""Intervals of the geometric and harmonic mean of the true recalls, none below the floor.

    A bootstrap of the images is off by many standard errors here: log k/n and n/k are biased by
    1 / n in *every* class, and a mean over many classes sharpens the error but keeps the bias. So
    the recall of each class is drawn instead, from the distribution that is right on average:

    .. math:: p^* \sim \mathrm{Beta}(k + 1,\, n - k + 1/C), \qquad
              E \log p^* \approx \log\frac{k + 1/2}{n + 1/2}

    for the geometric mean, and Beta(k + 2, n − k + 1/C), whose :math:`E\,1/p^*` is
    (n + 1) / (k + 1), for the harmonic mean; over the images that may be seen, these have the means
    log p and 1 / p, but for terms of order n⁻² and (1 − p)ⁿ⁺¹. The one pseudo-error shared by all
    classes keeps a set without errors from being taken for perfect. Being right on average is not
    enough where one nearly dead class decides the whole sum of 1 / p: in the harmonic mean's lower
    limit the class that seems worst is drawn from Beta(k + ½, n − k + 1), of which a quantile is
    that of an interval of one recall. A class that counts as the floor, never right or hardly ever,
    may be dead or unlucky: it counts as the floor in the lower limit and is drawn in the upper one.
    The limits always hold the mean itself. Of thousands of classes their sum is drawn in place of
    each (:mod:`everyclass.metrics.many_classes`).

    Args:
        right: (C,) images of each class that were given to it.
        support: (C,) images of each class; those without are left out.
        zero_floor: what no recall counts less than.
        confidence: between 0 and 1.
        replicates: draws of each recall.
        seed: of the draws.

    Returns:
        "geometric_mean" and "harmonic_mean", each with its lower and upper limit.

    Raises:
        InputError: no class has an image, or a value out of range.

    Example:
        >>> found = mean_recall_intervals([90, 2], [100, 100])
        >>> low, high = found["harmonic_mean"]
        >>> low < harmonic_mean([0.9, 0.02]) < high
        True
    """
    k, n = checked_counts(right, support)
    tail = checked_tail(confidence)
    checked_draws(replicates, seed)
    recall = divide(k, n)
    means = {
        "geometric_mean": geometric_mean(recall, zero_floor=zero_floor),
        "harmonic_mean": harmonic_mean(recall, zero_floor=zero_floor),
    }
    k, n = k[n > 0], n[n > 0]
    classes, floored = len(k), k / n < zero_floor
    # Sums over the classes that count as they are, and over those that count as the floor.
    (some, worst), (none, _) = (
        _sums(k[of], n[of], classes, floor=zero_floor, replicates=replicates, seed=[seed, stream])
        for stream, of in enumerate((~floored, floored))
    )
    at_floor = floored.sum() * np.array([np.log(zero_floor), 1 / zero_floor])[:, None]
    lowest, highest = (some + at_floor) / classes, (some + none) / classes
    if not floored.all():
        careful = careful_reciprocals(k[~floored], n[~floored], worst, zero_floor, [seed, 2])
        lowest[1] += (careful - worst) / classes
    limits = {
        "geometric_mean": (np.exp(lowest[0]), np.exp(highest[0])),
        "harmonic_mean": (1 / lowest[1], 1 / highest[1]),
    }
    return {
        name: (
            min(mean, float(np.quantile(limits[name][0], tail))),
            max(mean, float(np.quantile(limits[name][1], 1 - tail))),
        )
        for name, mean in means.items()
    }


def deciding_class(k: npt.NDArray[np.int64], n: npt.NDArray[np.int64]) -> int:
    """The class that has most to say in a harmonic mean, by what is known of its recall."""
    return int(np.argmin((k + 1) / (n + 1)))


def careful_reciprocals(
    k: npt.NDArray[np.int64],
    n: npt.NDArray[np.int64],
    drawn: npt.NDArray[np.float64],
    floor: float,
    seed: list[int],
) -> npt.NDArray[np.float64]:
    """1 / p of the class that decides, as large as it may be.

    Args:
        k, n: right and all images of the classes.
        drawn: (replicates,) 1 / p of that class as it is right on average; what takes the place of
            each comes in the same order, so that whatever was drawn together stays together.
        floor: what no recall counts less than.
        seed: of the draws.
    """
    worst = deciding_class(k, n)
    generator = np.random.default_rng(seed)
    recalls = generator.beta(k[worst] + 0.5, n[worst] - k[worst] + 1, len(drawn))
    values = np.sort(1 / np.maximum(recalls, floor))
    return np.asarray(values[drawn.argsort().argsort()])


def checked_draws(replicates: int, seed: int) -> None:
    """Refuse draws that make no interval.

    Raises:
        InputError: fewer than 100, or a seed below 0.
        InputTypeError: one of them is not whole.
    """
    check_whole_number("replicates", replicates)
    if replicates < 100:
        raise InputError(f"replicates must be 100 at least for an interval; got {replicates}.")
    check_whole_number("seed", seed)


def _sums(
    k: npt.NDArray[np.int64],
    n: npt.NDArray[np.int64],
    classes: int,
    *,
    floor: float,
    replicates: int,
    seed: list[int],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(2, replicates): Σ log p* and Σ 1/p*; and (replicates,) 1/p* of the class that decides."""
    options: dict[str, Any] = {"floor": floor, "replicates": replicates, "seed": seed}
    plenty = k >= 2  # 1 / p* has a third moment
    if plenty.sum() >= MANY:
        plenty[deciding_class(k, n)] = False
        right, errors = k[plenty], (n - k)[plenty] + 1 / classes
        sums = (
            beta_cumulants(right + 1, errors, "log", floor),
            beta_cumulants(right + 2, errors, "reciprocal", floor),
        )
        if all(each.nearly_normal for each in sums):
            z = np.random.default_rng(seed).standard_normal(replicates)
            rest, worst = _drawn_sums(k[~plenty], n[~plenty], classes, **options)
            return rest + np.stack([each.drawn(z) for each in sums]), worst
    return _drawn_sums(k, n, classes, **options)


def _drawn_sums(
    k: npt.NDArray[np.int64],
    n: npt.NDArray[np.int64],
    classes: int,
    *,
    floor: float,
    replicates: int,
    seed: list[int],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The same from draws of each class."""
    if not len(k):
        return np.zeros((2, replicates)), np.zeros(replicates)
    dtype = precision_of_draws(len(k))
    decides = np.arange(len(k)) == deciding_class(k, n)

    def of_chunk(here: slice, generator: np.random.Generator) -> npt.NDArray[np.float64]:
        size = (replicates, len(k[here]))
        # A Beta is a ratio of Gammas, and one success more is an exponential more.
        successes = generator.standard_gamma(k[here] + 1.0, size, dtype)
        errors = generator.standard_gamma(n[here] - k[here] + 1 / classes, size, dtype)
        drawn = successes + errors
        np.divide(successes, drawn, out=drawn)
        np.log(np.maximum(drawn, floor, out=drawn), out=drawn)
        logs = drawn.sum(axis=1, dtype=np.float64)
        successes += generator.standard_exponential(size, dtype)
        np.divide(errors, successes, out=drawn)
        np.minimum(drawn, 1 / floor - 1, out=drawn)  # 1 / p - 1
        reciprocals = drawn.sum(axis=1, dtype=np.float64) + size[1]
        worst = (drawn[:, decides[here]] + 1).sum(axis=1, dtype=np.float64)
        return np.stack([logs, reciprocals, worst])

    sums = sum_over_chunks(of_chunk, len(k), _CHUNK, seed)
    return sums[:2], sums[2]
