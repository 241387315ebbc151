"""Differences between two classifiers' means of recall, from their outcomes on the same images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from everyclass.metrics.drawn_sums import sum_over_chunks
from everyclass.metrics.intervals import checked_tail
from everyclass.metrics.many_classes import (
    MANY,
    Transform,
    beta_cumulants,
    precision_of_draws,
)
from everyclass.metrics.mean_intervals import careful_reciprocals, deciding_class
from everyclass.metrics.pairing import Outcomes
from everyclass.metrics.recall import divide, geometric_mean, harmonic_mean

__all__ = ["PairedDifference", "draw_paired_recalls", "linear_difference", "mean_differences"]

_CHUNK = 512  # classes
_FOR_CORRELATION = 32  # draws of each of many classes
_FUNCTIONS: dict[Transform, Any] = {"log": np.log, "reciprocal": np.reciprocal}


@dataclass(frozen=True)
class PairedDifference:
    """One number of A and of B, and what the images say about its difference.

    Attributes:
        a, b: the number of each.
        low, high: limits of B − A.
        p_value: two-sided, of no difference; None where the interval alone is the test.
    """

    a: float
    b: float
    low: float
    high: float
    p_value: float | None = None


def draw_paired_recalls(
    table: npt.NDArray[np.int64],
    prior: float | npt.NDArray[np.float64],
    replicates: int,
    generator: np.random.Generator,
    dtype: type[np.float32 | np.float64] = np.float64,
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Draw both classifiers' recalls from the posterior of their outcomes on the same images.

    Each class's shares of images that neither, only B, only A, or both get right are drawn from the
    Dirichlet distribution with the images counted so far and ``prior``.

    Args:
        table: (C, 4) images of these four kinds.
        prior: images of each kind before any was seen.
        replicates: how many draws.
        generator: of the draws.
        dtype: of the draws, float64 or float32.

    Returns:
        Recalls of A and of B, (replicates, C) each.
    """
    size = (replicates, *table.shape)
    drawn = generator.standard_gamma(table + prior, size, dtype)
    # One contiguous array of each kind: what follows is bound by memory.
    neither, only_b, only_a, both = np.ascontiguousarray(np.moveaxis(drawn, -1, 0))
    whole = neither + only_b
    whole += only_a
    whole += both
    only_b /= whole
    only_a /= whole
    both /= whole
    only_a += both
    only_b += both
    return only_a, only_b


def linear_difference(
    outcomes: Outcomes, weights: npt.NDArray[np.float64], *, confidence: float = 0.95
) -> PairedDifference:
    r"""Test and interval of :math:`\Delta = \sum_c w_c (b_c - a_c) / n_c`, images only B, only A.

    The test is McNemar's with weights, :math:`z = \Delta / \sqrt{\sum w_c^2 (a_c + b_c) / n_c^2}`;
    the interval has the variance without the assumption of no difference, and one image more that
    differs. Where the test sees nothing the interval is widened to zero.

    Args:
        outcomes: of both.
        weights: (C,) 1 for balanced accuracy, images per class for accuracy.
        confidence: between 0 and 1.
    """
    z = float(stats.norm.isf(checked_tail(confidence)))
    scored = outcomes.support > 0
    table, w = outcomes.table[scored], weights[scored] / weights[scored].sum()
    recall_a, recall_b = (float(w @ (k[scored] / table.sum(axis=1))) for k in outcomes.right)
    single = table.sum(axis=1) == 1
    if single.sum() > 1:  # one image says nothing about its own variance; see weighted_recall_…
        table = np.vstack([table[~single], table[single].sum(axis=0)])
        w = np.append(w[~single], w[single].sum())
    n, classes = table.sum(axis=1), len(table)
    only_b, only_a = table[:, 1], table[:, 2]
    difference = recall_b - recall_a
    null = float(np.sqrt((w / n) ** 2 @ (only_a + only_b)))
    p_value = float(2 * stats.norm.sf(abs(difference) / null)) if null > 0 else 1.0
    shares = (only_b - only_a) / n
    free = (w * w) @ (((only_a + only_b) / n - shares**2) / (n - (classes - 1) / classes))
    reach = z * float(np.sqrt(free + np.mean((w / n) ** 2)))
    low, high = max(-1.0, difference - reach), min(1.0, difference + reach)
    if p_value > 2 * checked_tail(confidence):
        low, high = min(low, 0.0), max(high, 0.0)
    return PairedDifference(recall_a, recall_b, low, high, p_value)


def mean_differences(
    outcomes: Outcomes,
    *,
    zero_floor: float = 1e-3,
    confidence: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, PairedDifference]:
    """Tests and intervals of the differences of geometric and harmonic mean.

    Shares are drawn as in :func:`draw_paired_recalls`, with the pseudo-images that make log p and
    1 / p right on average (:func:`~everyclass.metrics.mean_recall_intervals`): one or two that both
    get right in every class, and one of each other kind shared by all classes. A class that counts
    as the floor for one of the two, never right or hardly ever, does so only where that widens the
    interval. The limit of the harmonic means' difference that is farther from zero takes the worst
    class of the lower one as low as it may be, as the interval of a single mean does.

    Args:
        outcomes: of both.
        zero_floor: what no recall counts less than.
        confidence: between 0 and 1.
        replicates: draws.
        seed: of the draws.

    Returns:
        "geometric_mean" and "harmonic_mean".
    """
    tail = checked_tail(confidence)
    table = outcomes.table[outcomes.support > 0]
    recalls = [divide(k, outcomes.support) for k in outcomes.right]
    found = {}
    for name, mean, transform, inverse, successes in (
        ("geometric_mean", geometric_mean, "log", np.exp, 1),
        ("harmonic_mean", harmonic_mean, "reciprocal", np.reciprocal, 2),
    ):
        sums = _sums(
            table,
            transform,  # type: ignore[arg-type]
            successes=successes,
            floor=zero_floor,
            replicates=replicates,
            seed=[seed, successes],
        )
        drawn_a, drawn_b = inverse(sums[:, 0] / len(table))
        low_a, low_b = inverse(sums[:, 1] / len(table))
        least, most = low_b - drawn_a, drawn_b - low_a
        a, b = (mean(r, zero_floor=zero_floor) for r in recalls)
        lowest, highest = least, most
        if transform == "reciprocal":
            careful = _with_care(table, sums, zero_floor, [seed, 3]) / len(table)
            lowest = inverse(careful[1]) - drawn_a if b < a else least
            highest = drawn_b - inverse(careful[0]) if b > a else most
        low = min(b - a, float(np.quantile(lowest, tail)))
        high = max(b - a, float(np.quantile(highest, 1 - tail)))
        beyond = min(np.sum(least <= 0), np.sum(most >= 0))
        p_value = min(1.0, float(2 * (beyond + 1) / (replicates + 1)))
        if p_value > 2 * tail:
            low, high = min(low, 0.0), max(high, 0.0)
        found[name] = PairedDifference(a, b, low, high, p_value)
    return found


def _sums(
    table: npt.NDArray[np.int64],
    transform: Transform,
    *,
    successes: int,
    floor: float,
    replicates: int,
    seed: list[int],
) -> npt.NDArray[np.float64]:
    """(2, 3, replicates): of A and of B, sums as drawn, sums with what counts as the floor at it,
    and what the class that decides has in them."""
    rare = 1 / len(table)
    prior = np.array([rare, rare, rare, successes + rare])
    options: dict[str, Any] = {"floor": floor, "replicates": replicates, "seed": seed}
    right = _right(table)
    # Of a higher power more are needed for a third moment.
    floored = _floored(right, table, floor)
    decides = _decides(right, table, floored)
    plenty = (right.min(axis=1) >= successes) & ~(floored | decides).any(axis=1)
    if plenty.sum() >= MANY:
        found = _nearly_normal_sums(table[plenty], prior, transform, **options)
        if found is not None:  # none of them counts as the floor
            rest = _drawn_sums(table[~plenty], prior, transform, decides[~plenty], **options)
            rest[:, :2] += found[:, None]
            return rest
    return _drawn_sums(table, prior, transform, decides, **options)


def _decides(
    right: npt.NDArray[np.int64], table: npt.NDArray[np.int64], floored: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """(C, 2) which class decides the harmonic mean of A, and of B; of the floored ones none."""
    decides = np.zeros(right.shape, dtype=bool)
    for of in range(2):
        counted = np.flatnonzero(~floored[:, of])
        if len(counted):
            n = table[counted].sum(axis=1)
            decides[counted[deciding_class(right[counted, of], n)], of] = True
    return decides


def _with_care(
    table: npt.NDArray[np.int64],
    sums: npt.NDArray[np.float64],
    floor: float,
    seed: list[int],
) -> npt.NDArray[np.float64]:
    """(2, replicates): of A and B, Σ 1 / p with the class that decides as low as it may be."""
    right = _right(table)
    counted = ~_floored(right, table, floor)
    careful = sums[:, 1].copy()
    for of in range(2):
        if counted[:, of].any():
            k, n = right[counted[:, of], of], table[counted[:, of]].sum(axis=1)
            worst = sums[of, 2]
            careful[of] += careful_reciprocals(k, n, worst, floor, [*seed, of]) - worst
    return careful


def _right(table: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(C, 2) images that A, and that B, got right."""
    return np.column_stack([table[:, 2] + table[:, 3], table[:, 1] + table[:, 3]])


def _floored(
    right: npt.NDArray[np.int64], table: npt.NDArray[np.int64], floor: float
) -> npt.NDArray[np.bool_]:
    """(C, 2) whether the recall of A, and of B, counts as the floor."""
    return right / table.sum(axis=1, keepdims=True) < floor


def _nearly_normal_sums(
    table: npt.NDArray[np.int64],
    prior: npt.NDArray[np.float64],
    transform: Transform,
    *,
    floor: float,
    replicates: int,
    seed: list[int],
) -> npt.NDArray[np.float64] | None:
    """(2, replicates): sums of A and B over thousands of classes; None where they are skewed."""
    neither, only_b, only_a, both = (table + prior).T
    sums = [
        beta_cumulants(both + only, neither + other, transform, floor)
        for only, other in ((only_a, only_b), (only_b, only_a))
    ]
    if not all(each.nearly_normal for each in sums):
        return None
    generator = np.random.default_rng(seed)
    a, b = (
        _FUNCTIONS[transform](np.maximum(p, floor))
        for p in draw_paired_recalls(table, prior, _FOR_CORRELATION, generator)
    )
    a -= a.mean(axis=0)
    b -= b.mean(axis=0)
    correlation = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
    z, other = generator.standard_normal((2, replicates))
    together = correlation * z + np.sqrt(max(0.0, 1 - correlation**2)) * other
    return np.stack([sums[0].drawn(z), sums[1].drawn(together)])


def _drawn_sums(
    table: npt.NDArray[np.int64],
    prior: npt.NDArray[np.float64],
    transform: Transform,
    decides: npt.NDArray[np.bool_],
    *,
    floor: float,
    replicates: int,
    seed: list[int],
) -> npt.NDArray[np.float64]:
    """What :func:`_sums` gives, from draws of each class."""
    if not len(table):
        return np.zeros((2, 3, replicates))
    function = _FUNCTIONS[transform]
    dtype = precision_of_draws(len(table))

    def of_chunk(here: slice, generator: np.random.Generator) -> npt.NDArray[np.float64]:
        part = table[here]
        drawn = draw_paired_recalls(part, prior, replicates, generator, dtype)
        sums = []
        floored = _floored(_right(part), part, floor)
        for p, at_floor, decisive in zip(drawn, floored.T, decides[here].T, strict=True):
            values = function(np.maximum(p, dtype(floor)))
            low = np.where(at_floor, function(dtype(floor)), values)
            parts = (values, low, values[:, decisive])
            sums.append([each.sum(axis=1, dtype=np.float64) for each in parts])
        return np.array(sums)

    return sum_over_chunks(of_chunk, len(table), _CHUNK, seed)
