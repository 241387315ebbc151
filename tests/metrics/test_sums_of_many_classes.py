"""Sums over thousands of classes against draws of each, and counts that many classes share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from everyclass.metrics import (
    mean_intervals,
    mid_p_mcnemar,
    paired_difference_intervals,
    paired_means,
    recall_intervals,
)
from everyclass.metrics.intervals import distinct_counts
from everyclass.metrics.many_classes import Cumulants, beta_cumulants

FLOOR = 1e-3
TAILS = [0.005, 0.025, 0.5, 0.975, 0.995]


@given(st.floats(1, 1e6), st.floats(1e-5, 1e6), st.sampled_from(["log", "reciprocal"]))
def test_the_integrals_are_those_known_in_closed_form(a: float, b: float, transform: Any) -> None:
    a += 3  # moments of 1 / p exist, and no p is near the floor
    found = beta_cumulants([a], [b], transform, 1e-300)
    if transform == "log":
        mean = special.digamma(a) - special.digamma(a + b)
        variance = special.polygamma(1, a) - special.polygamma(1, a + b)
    else:
        mean = (a + b - 1) / (a - 1)
        variance = b * (a + b - 1) / ((a - 1) ** 2 * (a - 2))
    assert found.mean == pytest.approx(mean, rel=1e-6, abs=1e-12)
    assert found.variance == pytest.approx(variance, rel=1e-4, abs=1e-15)


def test_classes_are_added_up() -> None:
    one = beta_cumulants([4.0], [2.0], "reciprocal", FLOOR)
    other = beta_cumulants([9.0], [1e-4], "reciprocal", FLOOR)
    both = beta_cumulants([4.0, 9.0, 4.0], [2.0, 1e-4, 2.0], "reciprocal", FLOOR)
    assert both.mean == pytest.approx(2 * one.mean + other.mean)
    assert both.third == pytest.approx(2 * one.third + other.third)


def test_draws_have_the_three_cumulants() -> None:
    z = np.random.default_rng(0).standard_normal(200_000)
    drawn = Cumulants(5.0, 4.0, 8 * 0.2).drawn(z)
    assert drawn.mean() == pytest.approx(5, abs=0.02)
    assert drawn.std() == pytest.approx(2, rel=0.02)
    assert stats.skew(drawn) == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("images", [3, 50])
def test_sums_of_many_recalls_are_as_if_each_were_drawn(images: int) -> None:
    generator = np.random.default_rng(1)
    n = np.full(3000, images)
    k = np.maximum(generator.binomial(n, generator.beta(6, 3, 3000)), 1)
    options: dict[str, Any] = {"floor": FLOOR, "replicates": 2000}
    fast, _ = mean_intervals._sums(k, n, 3000, seed=[0], **options)
    slow, _ = mean_intervals._drawn_sums(k, n, 3000, seed=[1], **options)
    drawn, _ = mean_intervals._drawn_sums(k, n, 3000, seed=[0], **options)
    assert not np.array_equal(fast, drawn)
    alike(fast, slow)


@pytest.mark.parametrize(("transform", "successes"), [("log", 1), ("reciprocal", 2)])
def test_sums_of_many_pairs_are_as_if_each_were_drawn(transform: Any, successes: int) -> None:
    generator = np.random.default_rng(2)
    shares = generator.dirichlet([3, 1, 1.5, 9], 2600)
    table = np.array([generator.multinomial(20, share) for share in shares])
    prior = np.array([0, 0, 0, successes]) + 1 / len(table)
    options: dict[str, Any] = {"floor": FLOOR, "replicates": 4000}
    fast = paired_means._sums(table, transform, successes=successes, seed=[0], **options)
    decides = np.arange(len(table))[:, None] == [5, 9]
    slow = paired_means._drawn_sums(table, prior, transform, decides, seed=[1], **options)
    (a, low_a, _), (b, low_b, _) = fast
    (drawn_a, drawn_low_a, _), (drawn_b, drawn_low_b, _) = slow
    alike(
        np.stack([a, b, b - a, low_b - a, b - low_a]),
        np.stack(
            [drawn_a, drawn_b, drawn_b - drawn_a, drawn_low_b - drawn_a, drawn_b - drawn_low_a]
        ),
    )


def alike(fast: np.ndarray, slow: np.ndarray) -> None:
    """Quantiles agree within four standard errors of both."""
    for one, other in zip(fast, slow, strict=True):
        for tail in TAILS:
            density = stats.norm.pdf(stats.norm.ppf(tail))
            error = np.sqrt(tail * (1 - tail) * (1 / len(one) + 1 / len(other))) / density
            apart = np.quantile(one, tail) - np.quantile(other, tail)
            assert abs(apart) < 4 * error * other.std()


def test_a_few_classes_that_outweigh_all_others_are_drawn() -> None:
    k, n = np.append(np.full(2500, 1000), [2, 2]), np.full(2502, 1000)
    options: dict[str, Any] = {"floor": FLOOR, "replicates": 100, "seed": [0]}
    found, worst = mean_intervals._sums(k, n, 2502, **options)
    drawn, of_worst = mean_intervals._drawn_sums(k, n, 2502, **options)
    assert np.array_equal(found, drawn)
    assert np.array_equal(worst, of_worst)


def test_the_class_that_decides_is_drawn_itself() -> None:
    k, n = np.append(np.full(3000, 30), [12]), np.full(3001, 40)
    options: dict[str, Any] = {"floor": FLOOR, "replicates": 4000, "seed": [0]}
    for found in (mean_intervals._sums, mean_intervals._drawn_sums):
        _, worst = found(k, n, 3001, **options)
        expected = 1 / stats.beta(14, 28 + 1 / 3001).rvs(4000, random_state=1)
        assert stats.ks_2samp(worst, expected).pvalue > 0.001


COUNTS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40
)


@given(COUNTS, st.sampled_from([1, 2**40]))
def test_distinct_counts_give_every_class_back(rows: list[tuple[int, ...]], scale: int) -> None:
    columns = scale * np.array(rows).T
    found, classes = distinct_counts(*columns)
    assert np.array_equal(found[:, classes], columns)
    assert len(np.unique(found, axis=1).T) == len(found.T)


@given(COUNTS)
def test_all_classes_at_once_are_each_class_alone(rows: list[tuple[int, ...]]) -> None:
    a, b, more = np.array(rows).T
    n = a + b + more
    p, limits = mid_p_mcnemar(a, b), paired_difference_intervals(a, b, n)
    exact = recall_intervals(a, n, method="exact")
    for c in range(len(rows)):
        one = slice(c, c + 1)
        assert np.array_equal(p[one], mid_p_mcnemar(a[one], b[one]))
        alone = paired_difference_intervals(a[one], b[one], n[one])
        assert np.array_equal(limits[one], alone, equal_nan=True)
        again = recall_intervals(a[one], n[one], method="exact")
        assert np.array_equal(exact[one], again, equal_nan=True)
