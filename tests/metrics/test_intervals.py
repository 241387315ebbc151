"""Intervals in closed form, against SciPy, statsmodels, a slow constrained fit, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.proportion import proportion_confint

from everyclass.artifacts import ClassCounts
from everyclass.errors import InputError, InputTypeError
from everyclass.metrics import (
    evaluate,
    group_intervals,
    recall_intervals,
    recall_uncertainty,
    weighted_recall_interval,
)

LEVELS = st.sampled_from([0.8, 0.95, 0.999])


@st.composite
def counts(draw: st.DrawFn, most: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Images right and images, for a few classes."""
    n = np.array(draw(st.lists(st.integers(1, 300), min_size=1, max_size=most)))
    return np.array([draw(st.integers(0, int(size))) for size in n]), n


@given(counts(), LEVELS)
@example((np.array([0, 1, 0, 7]), np.array([1, 1, 300, 7])), 0.95)
def test_one_class_against_scipy_and_statsmodels(
    case: tuple[np.ndarray, np.ndarray], confidence: float
) -> None:
    k, n = case
    for method, theirs, other in (("wilson", "wilson", "wilson"), ("exact", "exact", "beta")):
        found = recall_intervals(k, n, confidence=confidence, method=method)  # type: ignore[arg-type]
        for limits, right, images in zip(found, k, n, strict=True):
            said = stats.binomtest(int(right), int(images)).proportion_ci(confidence, theirs)
            np.testing.assert_allclose(limits, [said.low, said.high], rtol=1e-8, atol=1e-9)
            models = proportion_confint(right, images, alpha=1 - confidence, method=other)
            np.testing.assert_allclose(limits, models, rtol=1e-8, atol=1e-9)


def test_exact_intervals_cover_everywhere() -> None:
    """Coverage as a sum over what may be seen: never below the confidence, but for rounding."""
    p = np.linspace(0.001, 0.999, 333)[:, None]
    for n in (1, 3, 20, 150):
        k = np.arange(n + 1)
        low, high = recall_intervals(k, np.full(n + 1, n), method="exact").T
        covered = (stats.binom.pmf(k, n, p) * ((low <= p) & (p <= high))).sum(axis=1)
        assert covered.min() >= 0.95 - 1e-12
        low, high = recall_intervals(k, np.full(n + 1, n)).T
        covered = (stats.binom.pmf(k, n, p) * ((low <= p) & (p <= high))).sum(axis=1)
        assert 0.94 < covered.mean() < 0.97


def test_no_images_is_no_interval() -> None:
    for method in ("wilson", "exact"):
        found = recall_intervals([1, 0], [2, 0], method=method)  # type: ignore[arg-type]
        assert np.isnan(found).tolist() == [[False, False], [True, True]]


@pytest.mark.parametrize("confidence", [1e-6, 0.1, 0.95, 0.999999])
@pytest.mark.parametrize("images", [2, 1000, 10**7, 10**10])
def test_recalls_of_nothing_but_0_and_1_have_a_limit_at_every_size(
    images: int, confidence: float
) -> None:
    """Of one class alone it is Wilson's with n - 0 for n, whatever the size."""
    z = stats.norm.ppf(0.5 + confidence / 2)
    low, high = weighted_recall_interval([images], [images], [1.0], confidence=confidence)
    assert high == 1
    assert 1 - low == pytest.approx(z**2 / (images + z**2), rel=0.05, abs=1e-11)
    low, high = weighted_recall_interval([images] * 3, [images] * 3, [1] * 3, confidence=confidence)
    assert 0 < low <= 1 == high


# --- weighted means -------------------------------------------------------------------------------


@given(counts(), LEVELS)
def test_of_one_class_it_is_wilsons(case: tuple[np.ndarray, np.ndarray], confidence: float) -> None:
    k, n = case
    limits = weighted_recall_interval(k[:1], n[:1], [3], confidence=confidence)
    (wilson,) = recall_intervals(k[:1], n[:1], confidence=confidence)
    # Where all or nothing is right the limit is where the likelihood starts to pull.
    np.testing.assert_allclose(limits, wilson, atol=2e-6)


@given(counts(), st.data())
def test_properties_of_weighted_means(
    case: tuple[np.ndarray, np.ndarray], data: st.DataObject
) -> None:
    k, n = case
    w = data.draw(st.sampled_from([n.astype(float), np.ones(len(n))]))
    low, high = weighted_recall_interval(k, n, w)
    estimate = float(w @ (k / n) / w.sum())
    assert -1e-9 <= low <= estimate + 1e-9
    assert estimate - 1e-9 <= high <= 1 + 1e-9
    assert high - low > 1e-4
    order = data.draw(st.permutations(range(len(n))))
    close = {"abs": 1e-7}
    shuffled = weighted_recall_interval(k[order], n[order], 5 * w[order])
    assert shuffled == (pytest.approx(low, **close), pytest.approx(high, **close))
    wrong = weighted_recall_interval(n - k, n, w)
    assert wrong == (pytest.approx(1 - high, **close), pytest.approx(1 - low, **close))
    wider = weighted_recall_interval(k, n, w, confidence=0.99)
    assert wider[0] <= low
    assert high <= wider[1]
    # A class without images changes nothing.
    more = weighted_recall_interval([*k, 0], [*n, 0], [*w, 1.0])
    assert more == (pytest.approx(low, **close), pytest.approx(high, **close))


@pytest.mark.parametrize(
    ("k", "n"), [([8, 3], [10, 12]), ([1, 40], [6, 50]), ([2, 5, 9], [9, 9, 9])]
)
def test_weighted_means_against_a_slow_fit(k: list[int], n: list[int]) -> None:
    """At the limit, the most likely recalls that have this mean are z standard errors away."""
    right, images = np.array(k, float), np.array(n, float)
    w = np.full(len(n), 1 / len(n))
    divisor = images - (len(n) - 1) / len(n)

    def distance(mean: float) -> float:
        def unlikely(p: np.ndarray) -> float:
            return -float(right @ np.log(p) + (images - right) @ np.log1p(-p))

        fitted = optimize.minimize(
            unlikely,
            np.clip(right / images, 0.05, 0.95),
            bounds=[(1e-6, 1 - 1e-6)] * len(n),
            constraints={"type": "eq", "fun": lambda p: w @ p - mean},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        ).x
        error = np.sqrt((w * w) @ (fitted * (1 - fitted) / divisor))
        return float((w @ (right / images) - mean) / error)

    for limit, z in zip(weighted_recall_interval(k, n, w), (1.959964, -1.959964), strict=True):
        assert distance(limit) == pytest.approx(z, abs=1e-3)


@pytest.mark.parametrize("images", [1, 3, 40])
def test_weighted_means_cover_over_many_small_classes(images: int) -> None:
    generator = np.random.default_rng(0)
    missed = 0
    for _ in range(300):
        p = generator.beta(8, 3, 150)
        n = np.full(150, images)
        low, high = weighted_recall_interval(generator.binomial(n, p), n, n)
        missed += not low <= p.mean() <= high
    # Of one image a class nothing is known but the sum, whose variance is no less.
    assert (0 if images == 1 else 0.02) * 300 <= missed <= 0.08 * 300


def test_a_perfect_small_set_is_not_certain() -> None:
    low, high = weighted_recall_interval([3] * 10, [3] * 10, [1] * 10)
    assert 0.8 < low < 0.9
    assert high == 1


def test_bad_input() -> None:
    with pytest.raises(InputError, match="Class 1 has 3 images right of 2"):
        recall_intervals([1, 3], [2, 2])
    with pytest.raises(InputError, match=r"shapes \(2,\) and \(1,\)"):
        recall_intervals([1, 3], [2])
    with pytest.raises(InputTypeError, match="right must be whole numbers; got float64"):
        recall_intervals([0.5], [2])
    for confidence in (0.0, 1.0, 95.0, float("nan")):
        with pytest.raises(InputError, match="confidence must lie between 0 and 1"):
            recall_intervals([1], [2], confidence=confidence)
    with pytest.raises(InputError, match="method must be 'wilson' or 'exact'; got 'wald'"):
        recall_intervals([1], [2], method="wald")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="weights must be one positive number per class"):
        weighted_recall_interval([1, 1], [2, 2], [1, 0])
    with pytest.raises(InputError, match="No class has a recall"):
        weighted_recall_interval([0], [0], [1])
    with pytest.raises(InputError, match="replicates must be 100 at least"):
        evaluate(labels=[0, 1], predicted=[0, 1], replicates=10)


def test_groups_alone_are_those_of_all_numbers() -> None:
    right, support = np.array([9, 1, 0, 4]), np.array([10, 10, 0, 5])
    counts = ClassCounts([500, 50, 5, 4])
    for level in (0.8, 0.95):
        every = recall_uncertainty(right, support, class_counts=counts, confidence=level)
        assert group_intervals(right, support, counts, confidence=level) == every["groups"]
