"""Tests and intervals of one class, against statsmodels, slow references and exact sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from everyclass.errors import InputError
from everyclass.metrics import adjust_p_values, mid_p_mcnemar, paired_difference_intervals

COUNT = st.integers(0, 60)


@given(COUNT, COUNT)
def test_mid_p_is_statsmodels_exact_test_less_half_of_what_was_seen(a: int, b: int) -> None:
    (found,) = mid_p_mcnemar([a], [b])
    table = [[5, a], [b, 5]]
    exact = mcnemar(table, exact=True).pvalue
    if a == b:
        assert found == 1
    else:
        assert found == pytest.approx(exact - stats.binom.pmf(a, a + b, 0.5), rel=1e-9)
    if a + b > 40 and a != b:
        assert found == pytest.approx(
            mcnemar(table, exact=False, correction=False).pvalue, abs=0.02
        )


@pytest.mark.parametrize("discordant", [5, 12, 30, 100])
def test_its_error_is_at_most_a_little_above_the_level(discordant: int) -> None:
    """Over all splits of so many discordant images; known never to be far above."""
    a = np.arange(discordant + 1)
    rejected = mid_p_mcnemar(a, discordant - a) <= 0.05
    assert stats.binom.pmf(a, discordant, 0.5)[rejected].sum() <= 0.066


def test_its_error_over_classes_of_random_disagreement() -> None:
    errors, m = [], np.arange(0, 200)
    for images in (20, 50, 200):
        for share in (0.05, 0.1, 0.2, 0.4):
            error = 0.0
            for total, chance in zip(m, stats.binom.pmf(m, images, share), strict=True):
                a = np.arange(total + 1)
                rejected = mid_p_mcnemar(a, total - a) <= 0.05
                error += chance * stats.binom.pmf(a, total, 0.5)[rejected].sum()
            errors.append(error)
    assert max(errors) <= 0.055


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_corrections_against_statsmodels(p: list[float]) -> None:
    for ours, theirs in (("holm", "holm"), ("bh", "fdr_bh")):
        expected = multipletests(p, method=theirs)[1]
        np.testing.assert_allclose(adjust_p_values(p, ours), expected, rtol=1e-12)  # type: ignore[arg-type]
        gaps = np.array([np.nan, *p, np.nan])
        np.testing.assert_allclose(adjust_p_values(gaps, ours)[1:-1], expected, rtol=1e-12)  # type: ignore[arg-type]
        assert np.isnan(adjust_p_values(gaps, ours)[[0, -1]]).all()  # type: ignore[arg-type]
    assert adjust_p_values(p, "none").tolist() == p
    assert np.isnan(adjust_p_values([np.nan])).all()


def slow_tango(a: int, b: int, n: int, z: float) -> float:
    """Upper limit: Tango's score, with the share that maximises the likelihood found by search."""

    def score(d: float) -> float:
        def unlikely(q: float) -> float:
            shares = q + d, q, 1 - 2 * q - d
            return -sum(
                k * np.log(max(s, 1e-300)) for k, s in zip((b, a, n - a - b), shares, strict=True)
            )

        low, high = max(0.0, -d), (1 - d) / 2
        q = optimize.minimize_scalar(
            unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-12}
        ).x
        if min(unlikely(low), unlikely(high)) < unlikely(q):
            q = low if unlikely(low) < unlikely(high) else high
        return float((b - a - n * d) + z * np.sqrt(n * max(2 * q + d - d * d, 0)))

    return float(optimize.brentq(score, (b - a) / n + 1e-9, 1 - 1e-9))


@pytest.mark.parametrize(
    ("a", "b", "n"), [(0, 0, 7), (2, 12, 50), (5, 5, 20), (1, 0, 3), (9, 2, 40), (0, 6, 9)]
)
def test_intervals_of_the_difference_against_a_slow_search(a: int, b: int, n: int) -> None:
    z = 1.959964
    ((low, high),) = paired_difference_intervals([a], [b], [n])
    assert high == pytest.approx(slow_tango(a, b, n, z), abs=1e-5)
    assert low == pytest.approx(-slow_tango(b, a, n, z), abs=1e-5)


@given(COUNT, COUNT, COUNT)
def test_properties_of_the_intervals(a: int, b: int, rest: int) -> None:
    n = a + b + rest
    found = paired_difference_intervals([a, b, 0], [b, a, 0], [n, n, 0])
    assert np.isnan(found[2]).all()
    if n == 0:
        return
    np.testing.assert_allclose(found[0], -found[1][::-1], atol=1e-12)
    low, high = found[0]
    assert -1 <= low <= (b - a) / n <= high <= 1
    # It leaves zero out where McNemar's asymptotic test does, and nowhere else.
    z = abs(b - a) / np.sqrt(max(a + b, 1))
    if abs(z - 1.959964) > 1e-3:
        assert (low > 0 or high < 0) == (z > 1.959964)


@pytest.mark.parametrize("shares", [(0.1, 0.1), (0.02, 0.1), (0.01, 0.01), (0.3, 0.05)])
def test_coverage_of_the_intervals_is_close(shares: tuple[float, float]) -> None:
    n = 40
    a, b = (grid.ravel() for grid in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
    a, b = a[a + b <= n], b[a + b <= n]
    low, high = paired_difference_intervals(a, b, np.full(len(a), n)).T
    chance = stats.multinomial.pmf(
        np.column_stack([a, b, n - a - b]), n, [*shares, 1 - sum(shares)]
    )
    true = shares[1] - shares[0]
    assert 0.935 <= chance[(low <= true + 1e-12) & (true <= high + 1e-12)].sum() <= 1


def test_bad_input() -> None:
    with pytest.raises(InputError, match="whole numbers from 0, one per class"):
        mid_p_mcnemar([1], [1, 2])
    with pytest.raises(InputError, match="correction must be 'holm', 'bh' or 'none'; got 'sidak'"):
        adjust_p_values([0.5], "sidak")  # type: ignore[arg-type]
    for correction in ("holm", "bh", "none"):
        with pytest.raises(InputError, match="p_values must lie between 0 and 1, or be NaN; got 2"):
            adjust_p_values([0.1, 2.0], correction)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at most support"):
        paired_difference_intervals([3], [3], [5])


@pytest.mark.parametrize(
    "counts", [([], [], []), ([1.0], [2.0], [9.0]), ([1], [2], [9, 9]), ([-1], [2], [9])]
)
def test_counts_that_are_none(counts: tuple[list[float], ...]) -> None:
    with pytest.raises(InputError, match="only_a, only_b and support must be whole numbers from 0"):
        paired_difference_intervals(*counts)
    with pytest.raises(InputError, match="only_a and only_b must be whole numbers from 0"):
        mid_p_mcnemar(counts[0], counts[1] if counts[2] != [9, 9] else [1, 2])


def test_of_no_class_there_is_no_interval() -> None:
    none = np.zeros(0, dtype=int)
    assert paired_difference_intervals(none, none, none).shape == (0, 2)
    assert mid_p_mcnemar(none, none).shape == (0,)
