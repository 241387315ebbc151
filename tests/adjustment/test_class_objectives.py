"""What is to be made large: counted and soft, with gradients."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import optimize, stats

from everyclass.adjustment import (
    ClassObjective,
    balanced_weights,
    smoothed_recall,
)
from everyclass.errors import InputError, InputTypeError
from everyclass.metrics import worst_mean

RECALLS = arrays(np.float64, st.integers(1, 12), elements=st.floats(0.01, 1.0))


def objectives(classes: int) -> list[ClassObjective]:
    weights = np.random.default_rng(classes).random(classes) + 0.1
    return [
        ClassObjective("harmonic_mean"),
        ClassObjective("geometric_mean"),
        ClassObjective("lowest_recall"),
        ClassObjective("worst_mean", worst_percent=30),
        ClassObjective("weighted_mean", class_weights=weights),
    ]


@given(RECALLS)
def test_values_are_those_of_others(recall: np.ndarray) -> None:
    harmonic, geometric, lowest, worst, weighted = objectives(len(recall))
    assert harmonic.value(recall) == pytest.approx(stats.hmean(recall))
    assert geometric.value(recall) == pytest.approx(stats.gmean(recall))
    assert lowest.value(recall) == recall.min()
    assert worst.value(recall) == pytest.approx(worst_mean(recall, 30))
    assert weighted.value(recall) == pytest.approx(
        np.average(recall, weights=weighted.class_weights)
    )


@given(RECALLS)
def test_the_soft_form_is_the_logarithm_of_the_value(recall: np.ndarray) -> None:
    for goal in objectives(len(recall)):
        value = np.exp(goal.log_and_gradient(recall)[0])
        if goal.name == "lowest_recall":  # a power mean, which lies between
            assert recall.min() - 1e-12 <= value <= recall.min() * len(recall) ** (1 / 16) + 1e-12
        else:
            assert value == pytest.approx(goal.value(recall))


@given(RECALLS)
def test_gradients(recall: np.ndarray) -> None:
    recall = recall + np.linspace(0, 1e-2, len(recall))  # no ties, at which worst_mean has a kink
    for goal in objectives(len(recall)):
        found = goal.log_and_gradient(recall)[1]
        expected = optimize.approx_fprime(
            recall, lambda r, g=goal: g.log_and_gradient(r)[0], 1e-7 * recall.min()
        )
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_a_recall_of_zero_is_a_mean_of_zero() -> None:
    assert ClassObjective("harmonic_mean").value(np.array([0.0, 1.0])) == 0.0
    assert ClassObjective("geometric_mean").value(np.array([0.0, 1.0])) == 0.0


def test_a_recall_of_next_to_nothing_says_nothing_beside_the_result() -> None:
    recall = np.array([[5e-324, 1.0], [1e-308, 1e-308]])  # 1 / recall, or the sum, is too large
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ClassObjective("harmonic_mean").value(recall).tolist() == [0.0, 0.0]
        assert (ClassObjective("geometric_mean").value(recall) > 0).all()


def test_smoothed_recall_is_jeffreys_estimate() -> None:
    labels, predicted = np.array([0, 0, 0, 3, 3, 1]), np.array([0, 0, 3, 3, 0, 1])
    expected = [stats.beta(2 + 0.5, 1 + 0.5).mean(), stats.beta(1.5, 0.5).mean(), 0.5]
    np.testing.assert_allclose(smoothed_recall(labels, predicted, 5), expected)


def test_class_weights_are_those_of_the_classes_that_are_there() -> None:
    goal = ClassObjective("weighted_mean", class_weights=[1.0, 5.0, 2.0])
    there = np.array([True, False, True])
    value = goal.for_classes(3, there).value(np.array([0.3, 0.9]))
    assert value == pytest.approx((0.3 + 2 * 0.9) / 3)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "harmonic"}, "one of harmonic_mean, .* got 'harmonic'; did you mean 'harmonic_m"),
        ({"name": "f1"}, r"one of harmonic_mean, .* got 'f1'\."),
        (
            {"name": "worst_mean", "worst_percent": 0},
            "worst_percent must be above 0, at most 100; got 0",
        ),
        ({"name": "worst_mean", "worst_percent": 101}, "worst_percent must be above 0"),
        ({"name": "worst_mean", "worst_percent": float("nan")}, "worst_percent must be above 0"),
        (
            {"name": "weighted_mean"},
            r"class_weights \(--weight\) go with the objective weighted_mean",
        ),
        ({"class_weights": [1.0]}, "got harmonic_mean and class_weights"),
        ({"name": "weighted_mean", "class_weights": [1.0, -1.0]}, "must not be negative"),
        ({"name": "weighted_mean", "class_weights": [0.0, 0.0]}, "nor all of them zero"),
        ({"name": "weighted_mean", "class_weights": [1.0, np.nan]}, r"class_weights\[1\] is nan"),
    ],
)
def test_objectives_that_there_are_not(options: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        ClassObjective(**options)


def test_weights_for_other_classes() -> None:
    goal = ClassObjective("weighted_mean", class_weights=[1.0, 2.0])
    with pytest.raises(InputError, match="class_weights has 2 entries and there are 3 classes"):
        goal.for_classes(3, np.ones(3, dtype=bool))
    with pytest.raises(InputError, match=r"weight above zero \(1\) some part of the samples has"):
        ClassObjective("weighted_mean", class_weights=[0.0, 2.0]).for_classes(
            2, np.array([True, False])
        )
    with pytest.raises(InputTypeError, match="class_weights must be floating-point"):
        ClassObjective("weighted_mean", class_weights=["a"])


def test_an_objective_keeps_its_settings() -> None:
    goal = ClassObjective("weighted_mean", worst_percent=3, class_weights=[1.0, 5.0])
    assert goal.for_classes(2, np.array([True, True])).worst_percent == 3
    few = ClassObjective("harmonic_mean", worst_percent=3).for_choosing(np.array([0, 1]))
    assert (few.name, few.worst_percent) == ("geometric_mean", 3)


def test_balanced_weights_make_a_mean_of_class_means() -> None:
    labels, values = np.array([4, 0, 0, 4, 4, 2]), np.array([1.0, 2.0, 4.0, 0.0, 5.0, 7.0])
    means = [values[labels == c].mean() for c in (0, 2, 4)]
    assert balanced_weights(labels) @ values == pytest.approx(np.mean(means))
    assert balanced_weights(labels).sum() == pytest.approx(1)
