"""Numbers of test images, against SciPy's interval and simulated tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from everyclass import samples_needed
from everyclass.errors import InputError
from everyclass.metrics import (
    further_images,
    images_to_decide,
    mid_p_mcnemar,
    recall_intervals,
)
from everyclass.metrics.power import paired_power


def half_width(recall: float, n: int, z: float) -> float:
    return z / (n + z * z) * float(np.sqrt(n * recall * (1 - recall) + z * z / 4))


@given(st.floats(0, 1), st.floats(0.01, 0.49), st.sampled_from([0.8, 0.95, 0.99]))
def test_the_fewest_images_for_an_interval(recall: float, width: float, confidence: float) -> None:
    n = samples_needed(recall=recall, half_width=width, confidence=confidence)
    z = float(stats.norm.isf((1 - confidence) / 2))
    assert half_width(recall, n, z) <= width + 1e-9
    assert n == 1 or half_width(recall, n - 1, z) > width - 1e-9


def test_the_interval_is_scipys() -> None:
    for right, n in ((45, 50), (60, 60), (30, 93)):
        said = stats.binomtest(right, n).proportion_ci(method="wilson")
        width = (said.high - said.low) / 2
        assert samples_needed(recall=right / n, half_width=width + 1e-9) == n


def test_the_table_for_users() -> None:
    found = [
        [samples_needed(recall=r, half_width=h) for h in (0.15, 0.1, 0.05, 0.03)]
        for r in (0.5, 0.8, 0.9, 0.95)
    ]
    assert found == [[39, 93, 381, 1064], [26, 60, 245, 682], [17, 37, 141, 388], [13, 25, 83, 215]]


@pytest.mark.parametrize(
    ("n", "fixed", "broken"), [(39, 0.3, 0.05), (81, 0.2, 0.05), (20, 0.4, 0.0), (7, 0.1, 0.9)]
)
def test_power_against_simulation(n: int, fixed: float, broken: float) -> None:
    generator = np.random.default_rng(0)
    table = generator.multinomial(n, [fixed, broken, 1 - fixed - broken], 20000)
    seen = (mid_p_mcnemar(table[:, 1], table[:, 0]) <= 0.05).mean()
    assert paired_power(n, fixed, broken) == pytest.approx(seen, abs=0.012)


@pytest.mark.parametrize("lift", [0.3, 0.1, -0.15])
def test_the_fewest_images_for_a_lift(lift: float) -> None:
    for broken in (0.2, max(0.02, -lift)):
        n = samples_needed(recall=0.5, lift=lift, broken=broken)
        assert paired_power(n, lift + broken, broken) >= 0.8
        assert paired_power(n - 1, lift + broken, broken) < 0.8
        formula = images_to_decide([lift + broken], [broken])[0]
        assert formula == pytest.approx(n, rel=0.15, abs=4)


def test_more_is_asked_for_more() -> None:
    start = samples_needed(recall=0.6, lift=0.1, broken=0.05)
    assert samples_needed(recall=0.6, lift=0.05, broken=0.05) > start
    assert samples_needed(recall=0.6, lift=0.1, broken=0.1) > start
    assert samples_needed(recall=0.6, lift=0.1, broken=0.05, power=0.9) > start
    assert samples_needed(recall=0.6, lift=0.1, broken=0.05, classes=100) > 1.5 * start
    # Independent errors: 0.6 · 0.3 broken.
    assert samples_needed(recall=0.6, lift=0.1) == samples_needed(
        recall=0.6, lift=0.1, broken=0.6 * 0.3
    )


def test_no_difference_takes_infinitely_many() -> None:
    assert np.isinf(images_to_decide([0.1, 0.0], [0.1, 0.0])).all()


def test_bad_input() -> None:
    for both in ({}, {"half_width": 0.1, "lift": 0.1}):
        with pytest.raises(InputError, match=r"either half_width \(--half-width\) or lift"):
            samples_needed(recall=0.5, **both)
    for bad, words in (
        ({"recall": 1.2, "half_width": 0.1}, "recall must lie between 0 and 1; got 1.2"),
        ({"recall": 0.5, "half_width": 5}, "half_width must be more than 0 and less than 0.5"),
        ({"recall": 0.5, "half_width": 0}, "half_width must be more than 0"),
        ({"recall": 0.5, "lift": 0}, "lift must not be 0"),
        ({"recall": 0.9, "lift": 0.2}, "within 0..1; got 0.2 from 0.9"),
        ({"recall": 0.9, "lift": 0.05, "broken": 0.3}, "broken must leave both shares possible"),
        ({"recall": 0.9, "lift": 0.05, "broken": -0.1}, "broken must leave both shares possible"),
        ({"recall": 0.5, "lift": 0.1, "power": 1}, "power must lie between 0 and 1"),
        ({"recall": 0.5, "lift": 0.1, "classes": 0}, "classes must be 1 at least"),
        ({"recall": 0.5, "half_width": 0.1, "confidence": 95}, "confidence must lie between"),
        ({"recall": 0.5, "half_width": 1e-6}, "images of one class; ask for a wider interval"),
        ({"recall": 0.5, "lift": 1e-6}, "images of one class; ask for a wider interval"),
    ):
        with pytest.raises(InputError, match=words):
            samples_needed(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("more", "name"),
    [({"broken": 0.1}, "broken"), ({"power": 0.9}, "power"), ({"classes": 5}, "classes")],
)
def test_what_goes_with_a_lift_does_not_go_with_an_interval(
    more: dict[str, Any], name: str
) -> None:
    with pytest.raises(InputError, match=rf"{name} \(--{name}\) goes with lift .* Leave it out"):
        samples_needed(recall=0.8, half_width=0.05, **more)
    assert samples_needed(recall=0.8, half_width=0.05, power=0.8, classes=1) == 245


def test_what_is_out_of_range_is_refused_before_anything_else() -> None:
    with pytest.raises(InputError, match=r"power must lie between 0 and 1, such as 0.8; got 7"):
        samples_needed(recall=0.8, half_width=0.05, power=7)
    with pytest.raises(InputError, match="classes must be 1 at least; got -3"):
        samples_needed(recall=0.8, half_width=0.05, classes=-3)
    for bad, words in (
        ({"level": 2}, "level must lie between 0 and 1, such as 0.05; got 2"),
        ({"level": 0}, "level must lie between 0 and 1"),
        ({"power": 3}, "power must lie between 0 and 1, such as 0.8; got 3"),
    ):
        with pytest.raises(InputError, match=words):
            images_to_decide([0.2], [0.1], **bad)
    for fixed, broken in (([-0.1], [0.1]), ([0.7], [0.6]), ([0.1, 0.2], [0.1])):
        with pytest.raises(InputError, match="shares of the same images, one per class each"):
            images_to_decide(fixed, broken)
    assert np.isnan(images_to_decide([np.nan, 0.2], [np.nan, 0.1])).tolist() == [True, False]


def test_no_error_so_far_is_not_taken_for_none_ever() -> None:
    more = samples_needed(recall=3.5 / 4, half_width=0.1) - 3
    assert further_images(3, 3) == further_images(0, 3) == more
    assert further_images(0, 0) == samples_needed(recall=0.5, half_width=0.1)
    assert further_images(3, 3, confidence=0.8) < more < further_images(3, 3, half_width=0.05)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_no_more_images_are_asked_for_where_the_interval_is_narrow(confidence: float) -> None:
    for right, support in ((0, 16), (0, 15), (50, 100), (47, 92), (95, 100)):
        ((low, high),) = recall_intervals([right], [support], confidence=confidence)
        more = further_images(right, support, confidence=confidence)
        assert (more == 0) == (high - low <= 0.2)
