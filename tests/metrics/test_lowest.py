"""The lowest recall and the worst k %: against all subsets, enumeration and simulation."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations, pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from everyclass.errors import InputError
from everyclass.metrics import (
    lowest_if_equal,
    lowest_recall_interval,
    worst_mean,
    worst_mean_interval,
)


@st.composite
def counts(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = np.array(draw(st.lists(st.integers(1, 60), min_size=4, max_size=8)))
    return np.array([draw(st.integers(0, int(size))) for size in n]), n


def exact(k: int, n: int, tail: float, side: str) -> float:
    test = stats.binomtest(int(k), int(n), alternative="greater" if side == "low" else "less")
    return float(getattr(test.proportion_ci(1 - tail, "exact"), side))


def as_one_class(k: np.ndarray, n: np.ndarray, m: int) -> float:
    """The worst m classes as one, each with as many images as the smallest that looks as bad."""
    right = sorted(Fraction(int(a), int(b)) for a, b in zip(k, n, strict=True))[:m]
    size = min(b for a, b in zip(k, n, strict=True) if Fraction(int(a), int(b)) <= right[-1])
    return exact(math.floor(sum(right) * int(size)), m * size, 0.025, "low")


@given(counts())
def test_the_lowest_is_bounded_by_tests_of_each_class(case: tuple[np.ndarray, np.ndarray]) -> None:
    k, n = case
    low, high = lowest_recall_interval(k, n)
    each = 1 - (1 - 0.025) ** (1 / len(n))
    assert low == pytest.approx(min(exact(*c, 0.025, "low") for c in zip(k, n, strict=True)))
    assert high == pytest.approx(min(exact(*c, each, "high") for c in zip(k, n, strict=True)))
    assert low <= (k / n).min() <= high


SETS = {
    "all equal": np.full(60, 0.7),
    "one bad": np.r_[0.3, np.full(59, 0.9)],
    "spread": np.linspace(0.2, 1, 60),
    "some dead": np.r_[np.zeros(3), np.full(57, 0.8)],
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("images", [4, 40])
def test_both_cover_at_least(name: str, images: int) -> None:
    p, generator = SETS[name], np.random.default_rng(1)
    n = np.full(60, images)
    missed = np.zeros(2)
    for _ in range(200):
        k = generator.binomial(n, p)
        for i, (true, (low, high)) in enumerate(
            (
                (p.min(), lowest_recall_interval(k, n)),
                (worst_mean(p, 10), worst_mean_interval(k, n, 10)),
            )
        ):
            missed[i] += not low <= true <= high
    assert (missed <= 0.08 * 200).all()  # 5 % are allowed; two standard errors more


def test_a_bootstrap_of_the_minimum_never_covers_and_this_does() -> None:
    generator = np.random.default_rng(0)
    n = np.full(100, 100)
    covered = {"bootstrap": 0, "ours": 0}
    for _ in range(50):
        k = generator.binomial(n, 0.75)
        again = (generator.binomial(n, k / n, (200, 100)) / n).min(axis=1)
        covered["bootstrap"] += np.quantile(again, 0.025) <= 0.75 <= np.quantile(again, 0.975)
        low, high = lowest_recall_interval(k, n)
        covered["ours"] += low <= 0.75 <= high
    assert covered["bootstrap"] == 0
    assert covered["ours"] >= 46


@given(counts(), st.sampled_from([2, 3]))
def test_the_lower_limit_of_the_worst_is_that_of_the_worst_set(
    case: tuple[np.ndarray, np.ndarray], m: int
) -> None:
    k, n = case
    percent = 100 * m / len(n)
    low, high = worst_mean_interval(k, n, percent)
    limits = np.array([exact(*c, 0.025, "low") for c in zip(k, n, strict=True)])
    recall = k / n
    squares = (recall - limits) ** 2
    sets = [list(s) for s in combinations(range(len(n)), m)]
    slow = min(recall[s].mean() - np.sqrt(squares[s].sum()) / m for s in sets)
    slow = min(slow, as_one_class(k, n, m))
    assert low == pytest.approx(max(0, slow), abs=1e-9)
    assert low <= worst_mean(recall, percent) <= high + 1e-9


def test_the_worst_of_many_that_are_nearly_dead_are_covered() -> None:
    """At 0 or 1 of 50 right, the distances to the single limits say too little of the sum."""
    generator = np.random.default_rng(0)
    p, n = np.where(np.arange(300) < 30, 0.01, 0.8), np.full(300, 50)
    missed = [worst_mean_interval(generator.binomial(n, p), n, 10)[0] > 0.01 for _ in range(120)]
    assert np.mean(missed) < 0.06  # 2.5 % are allowed


def test_many_images_of_some_classes_do_not_make_the_mean_of_the_worst_surer() -> None:
    """Half of the nearly dead classes have five images and half two thousand."""
    generator = np.random.default_rng(0)
    p = np.r_[np.full(50, 0.0078), np.full(50, 0.01), np.full(900, 0.8)]
    n = np.r_[np.full(50, 5), np.full(50, 2000), np.full(900, 20)]
    lows = [worst_mean_interval(generator.binomial(n, p), n, 10)[0] for _ in range(100)]
    assert np.mean(np.array(lows) > p[:100].mean()) < 0.06  # 2.5 % are allowed


@pytest.mark.parametrize("sizes", ["equal", "any"])
def test_where_sets_are_many_the_lower_limit_is_bounded(sizes: str) -> None:
    generator = np.random.default_rng(3)
    n = np.full(20, 40) if sizes == "equal" else generator.integers(10, 60, 20)
    k = generator.binomial(n, generator.uniform(0.3, 1, 20))
    recall = k / n
    squares = (recall - [exact(*c, 0.025, "low") for c in zip(k, n, strict=True)]) ** 2
    sets = np.array(list(combinations(range(20), 4)))
    slow = (recall[sets].mean(axis=1) - np.sqrt(squares[sets].sum(axis=1)) / 4).min()
    together = as_one_class(k, n, 4)
    low, _ = worst_mean_interval(k, n, 20)
    if sizes == "equal":
        assert low == pytest.approx(min(slow, together), abs=1e-9)
    else:
        assert min(slow, together) - 0.05 < low <= min(slow, together) + 1e-9


@pytest.mark.parametrize("images", [5, 30, 400])
def test_at_the_upper_limit_so_bad_a_set_is_seen_in_one_of_forty(images: int) -> None:
    """If all classes had the upper limit's recall: P(worst mean ≤ the one seen) ≈ 2.5 %."""
    generator = np.random.default_rng(2)
    n = np.full(200, images)
    k = generator.binomial(n, 0.6)
    _, high = worst_mean_interval(k, n, 10)
    again = np.sort(generator.binomial(n, high, (4000, 200)) / n, axis=1)[:, :20].mean(axis=1)
    seen = (again <= worst_mean(k / n, 10) + 1e-12).mean()
    assert 0.005 <= seen <= 0.032  # a bound: a little less than 2.5 %


def test_few_digits_of_many_images_are_enough() -> None:
    """Sizes above 100 are rounded down to two digits, which may only widen."""
    k = np.linspace(300, 900, 50).astype(int)
    exactly = worst_mean_interval(k, np.full(50, 1000), 10)
    rounded = worst_mean_interval(k, np.full(50, 1009), 10)
    assert rounded[1] == pytest.approx(exactly[1], abs=0.01)


# SciPy's binomial overflows at subnormal probabilities.
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.floats(0, 1, allow_subnormal=False))
def test_if_all_were_equal_against_all_outcomes(sizes: list[int], recall: float) -> None:
    expected, low, high = lowest_if_equal(sizes, recall)
    chances: dict[float, float] = {}
    for right in product(*(range(size + 1) for size in sizes)):
        worst = min(k / n for k, n in zip(right, sizes, strict=True))
        chance = np.prod([stats.binom.pmf(k, n, recall) for k, n in zip(right, sizes, strict=True)])
        chances[worst] = chances.get(worst, 0) + chance
    assert expected == pytest.approx(sum(v * c for v, c in chances.items()), abs=1e-9)
    assert sum(c for v, c in chances.items() if v < low) <= 0.025 + 1e-9
    assert sum(c for v, c in chances.items() if v > high) <= 0.025 + 1e-9
    assert low <= high


def test_if_all_were_equal_with_many_sizes_against_simulation() -> None:
    generator = np.random.default_rng(0)
    sizes = generator.integers(20, 900, 700)
    expected, low, high = lowest_if_equal(sizes, 0.8)
    lowest = (generator.binomial(sizes, 0.8, (4000, 700)) / sizes).min(axis=1)
    assert expected == pytest.approx(lowest.mean(), abs=0.004)
    assert (low, high) == pytest.approx(tuple(np.quantile(lowest, [0.025, 0.975])), abs=0.01)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="No class has a recall"):
        lowest_recall_interval([0], [0])
    with pytest.raises(InputError, match="percent must be more than 0 and at most 100; got 0"):
        worst_mean_interval([1], [2], 0)
    with pytest.raises(InputError, match="recall must lie between 0 and 1"):
        lowest_if_equal([3], 1.5)


def slow_lowest(sizes: np.ndarray, recall: float) -> list[tuple[float, float]]:
    """Every j / n of every size, and P(min > it) by SciPy, one size after the other."""
    values = sorted({Fraction(j, int(size)) for size in sizes for j in range(size + 1)})
    chance = np.ones(len(values))
    for size in sizes:
        chance *= stats.binom.sf([math.floor(value * int(size)) for value in values], size, recall)
    return [(float(value), float(c)) for value, c in zip(values, chance, strict=True)]


@pytest.mark.parametrize(
    ("sizes", "recall"),
    [
        (np.arange(50, 120), 0.8),
        (np.r_[3, np.arange(90, 150)], 0.6),
        (np.arange(60, 130), 0.02),
        (np.arange(60, 130), 0.995),
    ],
)
def test_if_all_were_equal_with_many_sizes_is_exact(sizes: np.ndarray, recall: float) -> None:
    found = slow_lowest(sizes, recall)
    mean = sum(c * (after - value) for (value, c), (after, _) in pairwise(found))
    limits = [next(value for value, c in found if c <= p) for p in (0.975, 0.025)]
    expected, *between = lowest_if_equal(sizes, recall)
    assert expected == pytest.approx(mean, abs=1e-7)
    assert between == pytest.approx(limits, abs=1e-12)


def test_four_hundred_sizes_and_sizes_of_millions() -> None:
    # A sum over every j / n of the four hundred.
    assert lowest_if_equal(np.arange(50, 450), 0.8)[0] == pytest.approx(0.682987, abs=1e-6)
    expected, low, high = lowest_if_equal([10**9], 0.8)
    assert expected == pytest.approx(0.8, abs=1e-6)
    assert (low, high) == pytest.approx(stats.binom.ppf([0.025, 0.975], 10**9, 0.8) / 1e9)
