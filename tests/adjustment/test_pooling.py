"""How sure one may be of a gain, by simulation and against slow references."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from everyclass.adjustment import ClassObjective, drawn_objectives, needed_certainty
from everyclass.adjustment.pooling import SPREAD, pooled_prior

GOAL = ClassObjective("harmonic_mean")


def outcomes(sizes: np.ndarray, recall: np.ndarray, agree: float, seed: int) -> tuple:
    """Labels, and two classifiers' answers with these recalls, alike in a share of the samples."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    right = generator.random((2, len(labels))) < recall[labels]
    right[1] = np.where(generator.random(len(labels)) < agree, right[0], right[1])
    old, new = np.where(right, labels, (labels + 1) % len(sizes))
    return labels, (old, new)


def test_the_prior_is_the_most_likely_one() -> None:
    table = np.random.default_rng(0).multinomial(8, [0.3, 0.2, 0.1, 0.4], size=30)
    shares = (table / 8).mean(axis=0) + 1e-3
    shares /= shares.sum()

    def loss(log_weight: float) -> float:
        likely = stats.dirichlet_multinomial.logpmf(table, np.exp(log_weight) * shares, 8)
        return float(0.5 * (log_weight / SPREAD) ** 2 - likely.sum())

    expected = optimize.minimize_scalar(loss, bounds=(-5, 5), method="bounded").x
    weight, found, rests_on = pooled_prior(table)
    assert np.log(weight) == pytest.approx(expected, abs=1e-3)
    np.testing.assert_allclose(found, shares)
    assert rests_on == pytest.approx(30 * 8 * (weight + 1) / (weight + 8))


def test_draws_lie_around_the_truth() -> None:
    sizes, recall = np.full(20, 400), np.linspace(0.3, 0.9, 20)
    labels, said = outcomes(sizes, recall, 0.0, seed=0)
    for drawn in drawn_objectives(labels, said, 20, GOAL):
        assert drawn.mean() == pytest.approx(stats.hmean(recall), abs=0.02)


def test_what_is_fitted_fold_by_fold_has_to_be_more_certain() -> None:
    assert needed_certainty(5, 0.0) == pytest.approx(0.95)
    assert needed_certainty(5, 1.0) == pytest.approx(stats.norm.cdf(1.5 * stats.norm.ppf(0.95)))
    assert needed_certainty(5, 0.4) < needed_certainty(5, 1.0) < needed_certainty(2, 1.0)


@pytest.mark.parametrize(
    "sizes", [np.full(50, 5), np.geomspace(60, 3, 20).astype(int), np.full(6, 50)]
)
def test_without_a_difference_a_gain_is_seldom_certain(sizes: np.ndarray) -> None:
    generator = np.random.default_rng(0)
    certain = 0
    for seed in range(60):
        recall = np.clip(generator.beta(1.2, 1.5, size=len(sizes)), 0.02, 0.98)
        labels, said = outcomes(sizes, recall, 0.5, seed)
        old, new = drawn_objectives(labels, said, len(sizes), GOAL, seed=seed)
        certain += (new > old).mean() >= needed_certainty(5, 0.0)
    assert certain <= 7  # 5 % of 60 are 3, and two standard deviations more


def test_a_gain_in_many_small_classes_is_seen() -> None:
    """Three samples a class: under Jeffreys' prior no gain in harmonic mean would be certain."""
    sizes = np.full(100, 3)
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(100), sizes)
    recall = generator.beta(2, 2, size=100)
    old = generator.random(300) < 0.4 * recall[labels]
    new = generator.random(300) < recall[labels]
    said = tuple(np.where(right, labels, (labels + 1) % 100) for right in (old, new))
    drawn = drawn_objectives(labels, said, 100, GOAL)  # type: ignore[arg-type]
    assert (drawn[1] > drawn[0]).mean() > 0.99


def test_classes_without_samples_do_not_count() -> None:
    labels, said = outcomes(np.array([30, 30]), np.array([0.4, 0.8]), 0.5, seed=0)
    apart = tuple(np.where(each == 1, 3, each) for each in said)
    first = drawn_objectives(labels, said, 2, GOAL)
    renumbered = np.where(labels == 1, 3, labels)
    second = drawn_objectives(renumbered, apart, 5, GOAL)  # type: ignore[arg-type]
    np.testing.assert_array_equal(first, second)
