"""Recall and the means of it, against scikit-learn, SciPy and loops typed here."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn import metrics as sk

from everyclass.artifacts import ClassCounts, Evaluation, Predictions
from everyclass.errors import InputError, InputTypeError
from everyclass.metrics import (
    evaluate,
    geometric_mean,
    harmonic_mean,
    per_class_recall,
    worst_mean,
)

Outcome = tuple[np.ndarray, np.ndarray, int]


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    """Labels, predicted classes, C; often with classes that no image has or none is given to."""
    classes, count = draw(st.integers(2, 8)), draw(st.integers(1, 30))
    label = st.sampled_from(draw(st.lists(st.integers(0, classes - 1), min_size=1, unique=True)))
    guess = st.sampled_from(draw(st.lists(st.integers(0, classes - 1), min_size=1, unique=True)))
    return (
        draw(arrays(np.int64, count, elements=label)),
        draw(arrays(np.int64, count, elements=guess)),
        classes,
    )


def judged(outcome: Outcome, **more: Any) -> Evaluation:
    labels, predicted, classes = outcome
    names = tuple(f"c{i}" for i in range(classes))
    return evaluate(labels=labels, predicted=predicted, class_names=names, **more)


@given(outcomes())
def test_against_scikit_learn(outcome: Outcome) -> None:
    labels, predicted, classes = outcome
    said = judged(outcome)
    scored = np.unique(labels)
    options = {"labels": scored, "average": None, "zero_division": np.nan}
    recall = sk.recall_score(labels, predicted, **options)
    np.testing.assert_allclose(said.per_class_recall[scored], recall, rtol=1e-12)
    np.testing.assert_allclose(
        said.per_class_precision[scored],
        sk.precision_score(labels, predicted, **options),
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        said.per_class_f1[scored],
        sk.f1_score(labels, predicted, **{**options, "zero_division": 0}),
        rtol=1e-12,
    )
    with warnings.catch_warnings():  # it warns of predicted classes that no label has
        warnings.simplefilter("ignore")
        balanced = sk.balanced_accuracy_score(labels, predicted)
    assert said.balanced_accuracy == pytest.approx(balanced, rel=1e-12)
    assert said.accuracy == pytest.approx(sk.accuracy_score(labels, predicted), rel=1e-12)
    np.testing.assert_array_equal(said.support, np.bincount(labels, minlength=classes))
    np.testing.assert_array_equal(said.predicted_count, np.bincount(predicted, minlength=classes))


@given(outcomes(), st.sampled_from([1e-3, 1e-6, 0.05]))
def test_means_against_scipy_and_the_zero_floor_is_marked(outcome: Outcome, floor: float) -> None:
    labels, predicted, _ = outcome
    said = judged(outcome, zero_floor=floor)
    recall = [np.mean(predicted[labels == c] == c) for c in np.unique(labels)]
    floored = [max(r, floor) for r in recall]
    assert said.geometric_mean == pytest.approx(stats.gmean(floored), rel=1e-12)
    assert said.harmonic_mean == pytest.approx(stats.hmean(floored), rel=1e-12)
    assert said.zeros_replaced == sum(r < floor for r in recall)
    assert said.zero_floor == floor
    assert said.lowest_recall == min(recall)  # never the floor
    worst = [c for c, r in zip(np.unique(labels), recall, strict=True) if r == min(recall)]
    assert said.lowest_classes == tuple(worst)


def test_the_floor_by_hand() -> None:
    said = evaluate(labels=[0, 0, 1, 2], predicted=[0, 1, 1, 0])
    assert said.per_class_recall.tolist() == [0.5, 1.0, 0.0]
    assert said.lowest_recall == 0.0
    assert said.lowest_classes == (2,)
    assert said.zeros_replaced == 1
    assert said.geometric_mean == pytest.approx((0.5 * 1.0 * 1e-3) ** (1 / 3))
    assert said.harmonic_mean == pytest.approx(3 / (1 / 0.5 + 1 / 1.0 + 1 / 1e-3))
    assert said.accuracy == 0.5
    table = str(said)
    assert "(1 recall below 0.001 counted as 0.001)" in table
    assert "counted as" not in str(evaluate(labels=[0, 1], predicted=[0, 1]))


def test_losing_the_last_right_image_raises_no_mean() -> None:
    images = 5000
    means = []
    for right in range(8):
        predicted = np.r_[np.arange(images) >= right, np.ones(images)].astype(int)
        said = evaluate(labels=np.repeat([0, 1], images), predicted=predicted)
        assert said.zeros_replaced == (right < 5)
        assert said.lowest_recall == right / images
        means.append((said.geometric_mean, said.harmonic_mean))
    assert (np.diff(means, axis=0)[:5] == 0).all()  # 0 to 5 of 5,000 count as 0.001
    assert (np.diff(means, axis=0)[5:] > 0).all()


@given(outcomes())
@example((np.array([0, 0]), np.array([1, 2]), 4))
def test_classes_without_samples_are_undefined_listed_and_left_out(outcome: Outcome) -> None:
    labels, predicted, classes = outcome
    said = judged(outcome)
    absent = sorted(set(range(classes)) - set(labels.tolist()))
    assert said.untestable == tuple(absent)
    assert said.num_scored == classes - len(absent)
    assert np.isnan(said.per_class_recall[absent]).all()
    assert np.isnan(said.per_class_f1[absent]).all()
    present = np.unique(labels)
    assert np.isfinite(said.per_class_recall[present]).all()
    # Without those classes (and what was given to them lost) every mean is the same.
    place = np.full(classes, len(present))
    place[present] = np.arange(len(present))
    without = per_class_recall(place[labels], place[predicted], len(present) + 1)[:-1]
    assert said.geometric_mean == pytest.approx(geometric_mean(without), rel=1e-12)
    assert said.harmonic_mean == pytest.approx(harmonic_mean(without), rel=1e-12)
    assert said.balanced_accuracy == pytest.approx(np.mean(without), rel=1e-12)
    assert said.worst["10"] == pytest.approx(worst_mean(without, 10), rel=1e-12)
    never = sorted(set(present.tolist()) - set(predicted.tolist()))
    assert said.never_predicted == tuple(never)
    table = said.table()
    assert ("no test images" in table) == bool(absent)
    assert ("never predicted" in table) == bool(never)


@given(outcomes(), st.data())
def test_the_scored_classes_never_depend_on_the_predictions(
    outcome: Outcome, data: st.DataObject
) -> None:
    labels, _, classes = outcome
    other = data.draw(arrays(np.int64, len(labels), elements=st.integers(0, classes - 1)))
    one, two = judged(outcome), judged((labels, other, classes))
    assert one.num_scored == two.num_scored == len(np.unique(labels))
    assert one.untestable == two.untestable
    np.testing.assert_array_equal(one.support, two.support)
    np.testing.assert_array_equal(np.isnan(one.per_class_recall), np.isnan(two.per_class_recall))
    assert one.worst_first().size == two.worst_first().size


RECALLS = st.lists(st.sampled_from([0.0, 0.01, 0.25, 0.5, 1.0, np.nan]), min_size=1).filter(
    lambda recall: not np.isnan(recall).all()
)


@given(RECALLS, st.sampled_from([0.5, 1, 5, 10, 33, 50, 100]))
@example([i / 100 for i in range(60)], 5)
@example([i / 100 for i in range(100)], 7)  # 100 · 0.07 is a hair above 7
def test_the_worst_percent_by_sorting(recall: list[float], percent: float) -> None:
    scored = sorted(r for r in recall if not np.isnan(r))
    count = max(1, math.ceil(Fraction(len(scored)) * Fraction(percent) / 100))
    assert worst_mean(recall, percent) == pytest.approx(sum(scored[:count]) / count, abs=1e-12)


def test_the_worst_classes_of_an_evaluation() -> None:
    # 100 classes of 100 images; class c has c right.
    labels = np.repeat(np.arange(100), 100)
    predicted = np.where(np.tile(np.arange(100), 100) < labels, labels, (labels + 1) % 100)
    said = evaluate(labels=labels, predicted=predicted)
    assert said.worst == pytest.approx({"1": 0.0, "5": 0.02, "10": 0.045})
    assert said.recall_quantiles["0.5"] == pytest.approx(0.495)
    assert list(said.recall_quantiles) == ["0.05", "0.1", "0.25", "0.5", "0.75", "0.9", "0.95"]
    for level, value in said.recall_quantiles.items():
        assert value == pytest.approx(np.quantile(np.arange(100) / 100, float(level)))


def test_groups_under_both_rules_and_their_boundaries() -> None:
    counts = [101, 100, 99, 21, 20, 19]
    right = np.array([8, 7, 6, 5, 4, 3])
    labels = np.repeat(np.arange(6), 8)
    predicted = np.where(np.tile(np.arange(8), 6) < right[labels], labels, (labels + 1) % 6)
    said = evaluate(labels=labels, predicted=predicted, class_counts=counts)
    assert said.groups is not None
    assert said.groups["paper"] == {
        "many": pytest.approx((8 + 7) / 16),  # 100 is many
        "medium": pytest.approx((6 + 5) / 16),
        "few": pytest.approx((4 + 3) / 16),  # 20 is few
    }
    assert said.groups["common"] == {
        "many": pytest.approx(8 / 8),
        "medium": pytest.approx((7 + 6 + 5 + 4) / 32),
        "few": pytest.approx(3 / 8),
    }


def test_a_group_without_scored_classes_has_no_mean() -> None:
    said = evaluate(labels=[0, 0], predicted=[0, 1], class_counts=[500, 50, 5])
    assert said.groups == {
        rule: {"many": 0.5, "medium": None, "few": None} for rule in ("paper", "common")
    }
    assert evaluate(labels=[0, 1], predicted=[0, 1]).groups is None


def test_exact_at_8142_classes() -> None:
    classes = 8142
    right = np.random.default_rng(0).integers(0, 4, classes)
    labels = np.repeat(np.arange(classes), 3)
    wrong = (labels + 1) % classes
    predicted = np.where(np.tile(np.arange(3), classes) < right[labels], labels, wrong)
    said = evaluate(labels=labels, predicted=predicted)
    recall = [Fraction(int(r), 3) for r in right]
    assert said.per_class_recall.tolist() == [float(r) for r in recall]
    assert said.accuracy == float(Fraction(int(right.sum()), 3 * classes))
    assert said.balanced_accuracy == pytest.approx(float(sum(recall) / classes), rel=1e-14)
    floored = [r or Fraction(1, 1000) for r in recall]
    assert said.harmonic_mean == pytest.approx(
        float(classes / sum(1 / r for r in floored)), rel=1e-13
    )
    logs = math.fsum(math.log(r) for r in floored) / classes
    assert said.geometric_mean == pytest.approx(math.exp(logs), rel=1e-13)
    assert said.zeros_replaced == int((right == 0).sum())
    assert said.lowest_classes == tuple(np.flatnonzero(right == 0).tolist())
    assert said.worst["1"] == 0.0
    given_to = np.bincount(predicted, minlength=classes)
    assert said.predicted_count.tolist() == given_to.tolist()


def rows_of_table(table: str) -> list[str]:
    lines = table.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("class "))
    return [line.split()[0] for line in lines[start + 1 :]]


@given(outcomes())
def test_the_table_begins_with_never_predicted_classes_and_goes_on_by_rising_recall(
    outcome: Outcome,
) -> None:
    said = judged(outcome)
    shown = [int(name[1:]) for name in rows_of_table(said.table())]
    assert sorted(shown) == np.unique(outcome[0]).tolist()
    never = len(said.never_predicted)
    assert tuple(shown[:never]) == said.never_predicted
    assert (np.diff(said.per_class_recall[shown[never:]]) >= 0).all()


def test_never_predicted_comes_before_predicted_but_never_right() -> None:
    said = evaluate(
        labels=[0, 1, 2, 3],
        predicted=[1, 0, 3, 3],
        class_counts=[9, 1200, 3, 4],
        class_names=("ant", "bee", "cat", "dog"),
    )
    assert rows_of_table(said.table()) == ["cat", "ant", "bee", "dog"]
    assert rows_of_table(said.table(most=1)) == ["cat", "…"]
    assert said.table(most=0).splitlines()[-1] == "… and 4 classes with higher recall"
    bee = next(line for line in said.table().splitlines() if line.startswith("bee"))
    assert bee.split() == ["bee", "0.0%", "too", "few", "to", "say", "0.0%", "1", "1", "1,200"]
    cat = next(line for line in said.table().splitlines() if line.startswith("cat"))
    assert cat.split() == ["cat", "0.0%", "too", "few", "to", "say", "–", "1", "0", "3"]
    assert "never predicted    1: cat" in said.table()


def test_the_printed_table_is_short_of_many_classes() -> None:
    labels = np.arange(300)
    said = evaluate(labels=labels, predicted=np.zeros(300, int))
    assert len(rows_of_table(str(said))) == 21
    assert "and 294 more" in str(said)  # of the lowest
    assert "299: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 289 more" in str(said)


def test_calls_that_do_not_fit() -> None:
    said = Predictions([0, 1], predicted=[0, 1])
    with pytest.raises(InputError, match="needs labels="):
        evaluate(predicted=[0, 1])
    with pytest.raises(InputError, match="not both"):
        evaluate(said, class_counts=[1, 2])
    with pytest.raises(InputTypeError, match=r"takes a Predictions, or labels=.*got a list"):
        evaluate([0, 1])  # type: ignore[arg-type]
    for floor in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="zero_floor must lie between 0 and 1"):
            evaluate(said, zero_floor=floor)
    with pytest.raises(InputError, match="No class has a recall"):
        geometric_mean([np.nan])
    with pytest.raises(InputError, match="No class has a recall"):
        worst_mean([np.nan], 10)
    with pytest.raises(InputError, match=r"predicted\[1\] is 2, outside 0\.\.1"):
        per_class_recall([0, 1], [0, 2], num_classes=2)
    with pytest.raises(InputError, match="predicted has 1 entries where 2"):
        per_class_recall([0, 1], [0], num_classes=2)


def test_counts_by_name_follow_the_names() -> None:
    for counts in ({"dog": 5, "cat": 500}, ClassCounts([5, 500], ("dog", "cat"))):
        said = evaluate(
            labels=[0, 1], predicted=[0, 0], class_counts=counts, class_names=("cat", "dog")
        )
        assert said.groups is not None
        assert said.groups["paper"] == {"many": 1.0, "medium": None, "few": 0.0}
