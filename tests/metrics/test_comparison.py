"""Comparing classifiers on the same images."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everyclass import Comparison, Predictions, compare, compare_all, evaluate
from everyclass.errors import FileFormatError, InputError, InputTypeError
from everyclass.metrics import adjust_p_values, harmonic_mean, mid_p_mcnemar
from everyclass.metrics.paired_lowest import worst_difference
from everyclass.metrics.paired_means import linear_difference, mean_differences
from everyclass.metrics.pairing import Outcomes

NUMBERS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "geometric_mean": "geometric_mean",
    "harmonic_mean": "harmonic_mean",
    "lowest_recall": "lowest_recall",
}


def made(
    sizes: list[int], recall: list[float], seed: int, *, ids: Any = None, **more: Any
) -> Predictions:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    right = np.random.default_rng(seed).random(len(labels)) < np.array(recall)[labels]
    predicted = np.where(right, labels, (labels + 1) % len(sizes))
    names = tuple(f"c{i}" for i in range(len(sizes)))
    return Predictions(labels, predicted=predicted, class_names=names, ids=ids, **more)


OLD = made([200, 100, 100, 50], [0.9, 0.8, 0.1, 0.6], 0)
NEW = made([200, 100, 100, 50], [0.6, 0.8, 0.6, 0.65], 1)


def test_the_numbers_are_those_of_evaluate() -> None:
    found, before, after = compare(OLD, NEW), evaluate(OLD), evaluate(NEW)
    for name, key in NUMBERS.items():
        value = found.numbers[name]
        assert value["a"] == pytest.approx(getattr(before, key), rel=1e-12)
        assert value["b"] == pytest.approx(getattr(after, key), rel=1e-12)
        assert value["difference"] == value["b"] - value["a"]
        low, high = value["interval"]
        assert low <= value["difference"] <= high
    assert found.numbers["worst_10"]["b"] == after.worst["10"]
    np.testing.assert_array_equal(found.support, before.support)
    np.testing.assert_allclose(found.difference, after.per_class_recall - before.per_class_recall)
    right = found.both_right + found.only_a
    np.testing.assert_allclose(right / found.support, before.per_class_recall)


def test_who_rose_who_paid_who_is_undecided() -> None:
    found = compare(OLD, NEW)
    assert (found.rose, found.paid, found.undecided) == ((2,), (0,), (1, 3))
    assert np.isnan(found.images_needed[[0, 2]]).all()
    assert (found.images_needed[[1, 3]] >= 1).all()
    assert found.numbers["harmonic_mean"]["interval"][0] > 0
    table = str(found)
    assert "1 paid, 1 rose, 2 undecided (Holm" in table
    rows = [line.split()[:2] for line in table.splitlines()[-4:]]
    assert rows == [["c0", "paid"], ["c2", "rose"], ["c1", "undecided"], ["c3", "undecided"]]


def test_the_other_way_round_is_the_mirror_image() -> None:
    one, two = compare(OLD, NEW), compare(NEW, OLD)
    assert (one.rose, one.paid) == (two.paid, two.rose)
    np.testing.assert_allclose(one.difference, -two.difference)
    np.testing.assert_allclose(one.interval, -two.interval[:, ::-1], atol=1e-12)
    np.testing.assert_allclose(one.p_value, two.p_value)
    for name in ("accuracy", "balanced_accuracy", "lowest_recall", "worst_10"):
        np.testing.assert_allclose(
            one.numbers[name]["interval"], -np.array(two.numbers[name]["interval"])[::-1], atol=1e-9
        )


def test_a_classifier_is_no_better_than_itself() -> None:
    found = compare(OLD, OLD)
    assert (found.rose, found.paid) == ((), ())
    assert np.isinf(found.images_needed).all()
    for value in found.numbers.values():
        assert value["difference"] == 0
        assert value["interval"][0] <= 0 <= value["interval"][1]
        assert value["p_value"] is None or value["p_value"] > 0.9
    low, high = found.numbers["lowest_recall"]["interval"]
    assert -0.2 < low < high < 0.2  # paired: not the two intervals of the lowest, which are wider
    assert "–" in str(found).splitlines()[-1]


def test_ids_bring_the_images_together() -> None:
    ids = np.array([f"img{i}" for i in range(450)])
    order = np.random.default_rng(0).permutation(450)
    a = Predictions(OLD.labels, predicted=OLD.top, ids=ids)
    b = Predictions(NEW.labels[order], predicted=NEW.top[order], ids=ids[order])
    same(compare(a, b), compare(Predictions(OLD.labels, predicted=OLD.top),
                                Predictions(NEW.labels, predicted=NEW.top)))  # fmt: skip
    # Numbers on one side and text on the other are the same ids.
    a = Predictions(OLD.labels, predicted=OLD.top, ids=np.arange(450))
    b = Predictions(NEW.labels[order], predicted=NEW.top[order], ids=order.astype(str))
    assert compare(a, b).rose == (2,)


def same(one: Comparison, two: Comparison) -> None:
    for field in fields(one):
        left, right = getattr(one, field.name), getattr(two, field.name)
        np.testing.assert_equal(left, right, err_msg=field.name)


def test_classes_are_matched_by_name_and_fixed_by_the_labels() -> None:
    """A table names only classes that stand in it: A never says fox, B never says eel."""
    labels = np.array([0, 0, 1, 1])
    a = Predictions(labels, predicted=[0, 2, 1, 1], class_names=("ant", "bee", "eel"))
    b = Predictions(labels, predicted=[2, 0, 1, 2], class_names=("ant", "bee", "fox"))
    found = compare(a, b)
    assert found.class_names == ("ant", "bee", "eel", "fox")
    assert found.num_scored == 2
    assert found.untestable == (2, 3)
    assert found.difference[:2].tolist() == [0, -0.5]
    assert np.isnan(found.difference[2:]).all()
    assert np.isnan(found.adjusted_p_value[2:]).all()
    assert "no test images: eel, fox" in found.table()
    other_order = Predictions(1 - labels, predicted=[1, 1, 0, 0], class_names=("bee", "ant"))
    assert compare(a, other_order).difference[:2].tolist() == [0.5, 0]


def test_the_denominator_is_the_same_for_both() -> None:
    """Macro recall of libraries that score predicted classes without images would differ."""
    labels, names = np.repeat([0, 1], 100), ("x", "y", "z")
    a = Predictions(labels, predicted=np.where(np.arange(200) == 5, 1, labels), class_names=names)
    b = Predictions(labels, predicted=np.where(np.arange(200) == 5, 2, labels), class_names=names)
    value = compare(a, b).numbers["balanced_accuracy"]
    assert value["a"] == value["b"] == 0.995


def test_classes_that_nobody_has_stay_untestable() -> None:
    a = Predictions(np.array([0, 1]), probs=np.eye(4)[:2])
    for names in (None, tuple("abcd")):
        b = Predictions(np.array([0, 1]), predicted=[0, 0], class_names=names)
        found = compare(a, b)
        assert (found.num_classes, found.untestable) == (4, (2, 3))


def test_scores_and_predicted_classes_can_be_compared() -> None:
    scores = np.eye(4)[NEW.top] * 0.6 + 0.1
    b = Predictions(NEW.labels, probs=scores)
    a = Predictions(OLD.labels, predicted=OLD.top)
    assert compare(a, b).rose == (2,)


# --- several, and files ---------------------------------------------------------------------------


def test_several_are_corrected_together() -> None:
    third = made([200, 100, 100, 50], [0.9, 0.8, 0.25, 0.6], 2)
    alone = compare(OLD, third, names=("old", "third"))
    first, second = compare_all({"old": OLD, "new": NEW, "third": third})
    assert (first.names, second.names) == (("old", "new"), ("old", "third"))
    assert second.settings["tests"] == 8
    np.testing.assert_array_equal(second.p_value, alone.p_value)
    assert (second.adjusted_p_value >= alone.adjusted_p_value).all()
    every = np.concatenate([first.p_value, second.p_value])
    assert first.adjusted_p_value[2] == pytest.approx(8 * first.p_value[2])
    assert every.min() == first.p_value[2]
    (swapped, _) = compare_all({"old": OLD, "new": NEW, "third": third}, baseline="new")
    assert swapped.names == ("new", "old")


def test_corrections_name_more_or_fewer() -> None:
    sizes, before, after = [100] * 30, [0.5] * 30, [0.66] * 30
    a, b = made(sizes, before, 3), made(sizes, after, 4)
    named = {c: len(compare(a, b, correction=c).rose) for c in ("holm", "bh", "none")}
    assert named["holm"] < named["bh"] <= named["none"]
    assert "Benjamini-Hochberg" in str(compare(a, b, correction="bh"))
    assert "not corrected" in str(compare(a, b, correction="none"))
    assert "… and" in compare(a, b).table(most=4)


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    for found in (compare(OLD, NEW), compare(OLD, OLD)):
        found.save(tmp_path / "c.json")
        again = Comparison.load(tmp_path / "c.json")
        same(again, found)
        assert again.table() == found.table()
    with pytest.raises(FileFormatError, match="damaged or incomplete"):
        Comparison.from_dict({"names": ["a", "b"], "num_classes": 2})


def test_the_seed_decides() -> None:
    same(compare(OLD, NEW, seed=1), compare(OLD, NEW, seed=1))
    one, two = (compare(OLD, NEW, seed=s).numbers["harmonic_mean"]["interval"] for s in (1, 2))
    assert one != two


def test_equal_names_are_told_apart() -> None:
    assert compare(OLD, NEW, names=("net", "net")).names == ("net (A)", "net (B)")


# --- statistics -----------------------------------------------------------------------------------


def drawn(a: np.ndarray, b: np.ndarray, images: int, generator: np.random.Generator) -> Outcomes:
    """Outcomes of two classifiers that err together more often than by chance."""
    both = 0.5 * a * b + 0.5 * np.minimum(a, b)
    shares = np.stack([1 - a - b + both, b - both, a - both, both], axis=1)
    return Outcomes(generator.multinomial(images, np.clip(shares, 0, 1)), None)


@pytest.mark.parametrize("images", [4, 25])
def test_without_a_difference_the_tests_seldom_see_one(images: int) -> None:
    """The same recalls in another order: every class differs, and no mean does."""
    generator = np.random.default_rng(images)
    trials, seen = 120, np.zeros(4)
    for trial in range(trials):
        a = generator.beta(8, 3, 25)
        outcomes = drawn(a, generator.permutation(a), images, generator)
        means = mean_differences(outcomes, replicates=150, seed=trial)
        worst = worst_difference(outcomes, 10)
        p = linear_difference(outcomes, np.ones(25)).p_value
        assert p is not None
        seen += [
            p <= 0.05,
            means["geometric_mean"].p_value <= 0.05,
            means["harmonic_mean"].p_value <= 0.05,
            not worst.low <= 0 <= worst.high,
        ]
    assert (seen <= 0.1 * trials).all(), seen  # 5 % and two and a half standard errors


def test_equal_lowest_recalls_of_unlike_classifiers() -> None:
    """A has every class at the bottom, B one: the observed minima differ, the true ones do not."""
    generator = np.random.default_rng(0)
    a, b = np.full(60, 0.5), np.r_[0.5, np.full(59, 0.95)]
    wrong = fooled = 0
    for _ in range(60):
        outcomes = drawn(a, b, 50, generator)
        found = worst_difference(outcomes)
        wrong += not found.low <= 0 <= found.high
        fooled += found.b - found.a > 0.05
    assert wrong <= 3
    assert fooled > 45  # what a look at the two numbers would say


@pytest.mark.parametrize("better", ["b", "a"])
def test_the_gain_of_a_nearly_dead_class_is_covered(better: str) -> None:
    """How low the worse of the two may be is what the limit farther from zero says."""
    generator = np.random.default_rng(0)
    dead, helped = np.r_[0.03, np.full(19, 0.8)], np.r_[0.3, np.full(19, 0.8)]
    both = 0.5 * np.minimum(dead, helped) + 0.5 * dead * helped
    shares = np.stack([1 - dead - helped + both, helped - both, dead - both, both], axis=1)
    true = harmonic_mean(helped) - harmonic_mean(dead)
    if better == "a":
        shares, true = shares[:, [0, 2, 1, 3]], -true
    missed = 0
    for trial in range(120):
        outcomes = Outcomes(generator.multinomial(50, shares), None)
        found = mean_differences(outcomes, replicates=200, seed=trial)["harmonic_mean"]
        missed += not found.low <= true <= found.high
    assert missed < 0.09 * 120  # 5 % are allowed


def test_a_real_rise_is_seen() -> None:
    generator = np.random.default_rng(0)
    a, b = np.r_[0.02, np.full(19, 0.8)], np.r_[0.5, np.full(19, 0.75)]
    outcomes = drawn(a, b, 100, generator)
    assert worst_difference(outcomes).low > 0
    found = mean_differences(outcomes)
    assert found["harmonic_mean"].low > 0
    assert found["geometric_mean"].p_value is not None
    assert found["geometric_mean"].p_value < 0.01


@given(st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=1, max_size=6))
def test_intervals_hold_the_difference_and_agree_with_their_test(table: list[list[int]]) -> None:
    outcomes = Outcomes(np.array(table), None)
    if not outcomes.support.any():
        return
    for found in (
        linear_difference(outcomes, outcomes.support.astype(float)),
        *mean_differences(outcomes, replicates=100).values(),
        worst_difference(outcomes),
    ):
        assert -1 <= found.low <= found.b - found.a + 1e-12
        assert found.b - found.a - 1e-12 <= found.high <= 1
        if found.p_value is not None and found.p_value > 0.05:
            assert found.low <= 0 <= found.high


# --- what cannot be compared ----------------------------------------------------------------------

LABELS = np.array([0, 1, 2, 0])


def said(labels: Any = LABELS, **more: Any) -> Predictions:
    return Predictions(labels, predicted=np.zeros(len(labels), dtype=int), **more)


BAD: dict[str, tuple[Any, Any, str]] = {
    "another number of images": (said(), said(LABELS[:3]), "A has 4 images and B has 3"),
    "another label": (
        said(),
        said([0, 1, 1, 2]),
        r"Row 2 is of class 2 in A and of class 1 in B \(2 such\)",
    ),
    "another label by name": (
        said(class_names=("ant", "bee", "cat")),
        said([0, 1, 1, 0], class_names=("ant", "bee", "cat")),
        "Row 2 is of class 'cat' in A and of class 'bee' in B",
    ),
    "another label of an id": (
        said(ids=[7, 8, 9, 10]),
        said([0, 2, 2, 0], ids=[10, 9, 8, 7]),
        "The image with id 8 is of class 1 in A and of class 2 in B",
    ),
    "an id twice": (
        said(ids=[1, 2, 3, 4]),
        said(ids=[1, 2, 2, 4]),
        r"The id 2 stands twice in B \(1 such\)",
    ),
    "ids that do not match": (
        said(ids=["a", "b", "c", "d"]),
        said(ids=["a", "b", "c", "x"]),
        "1 of A are not in B and 1 the other way round, such as 'd'",
    ),
    "more classes": (
        Predictions(LABELS, probs=np.full((4, 4), 0.25)),
        Predictions(LABELS, probs=np.full((4, 5), 0.2)),
        "A has 4 classes and B has 5",
    ),
    "a class beyond the scores": (
        Predictions(LABELS, probs=np.full((4, 4), 0.25)),
        Predictions(LABELS, predicted=[0, 1, 2, 9]),
        "A has 4 classes and B has 10",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_compared(case: str) -> None:
    a, b, words = BAD[case]
    with pytest.raises(InputError, match=words):
        compare(a, b)


def test_calls_that_do_not_fit() -> None:
    with pytest.raises(InputTypeError, match="B is a Evaluation; compare needs the Predictions"):
        compare(OLD, evaluate(OLD))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="two classifiers at least"):
        compare_all({"A": OLD})
    with pytest.raises(InputError, match="The baseline 'C' is none of A, B"):
        compare_all({"A": OLD, "B": NEW}, baseline="C")
    with pytest.raises(InputError, match="correction must be"):
        compare(OLD, NEW, correction="bonferroni")
    for bad in ({"confidence": 1.0}, {"replicates": 5}, {"power": 0.0}):
        with pytest.raises(InputError, match=next(iter(bad))):
            compare(OLD, NEW, **bad)

    with pytest.raises(InputError, match="seed must be"):
        compare(OLD, NEW, seed=-1)


# --- the floor, and images that are still needed --------------------------------------------------


@pytest.mark.parametrize("classes", [1, 2100])  # of thousands, sums are drawn
def test_losing_the_last_right_images_is_no_gain(classes: int) -> None:
    table = np.array([[4996, 0, 4, 0], *[[1000, 500, 500, 3000]] * classes])
    for name, found in mean_differences(Outcomes(table, None), replicates=200).items():
        assert found.b == found.a, name
        assert found.low < 0 < found.high


def test_classes_at_the_floor_count_the_same_among_thousands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their recalls, 8 of 9,000, are drawn above the floor as often as below it."""
    table = np.array([[8984, 8, 8, 0]] * 40 + [[1000, 500, 500, 3000]] * 2100)
    summed = mean_differences(Outcomes(table, None))["harmonic_mean"]
    monkeypatch.setattr("everyclass.metrics.paired_means.MANY", 10_000)
    one_by_one = mean_differences(Outcomes(table, None))["harmonic_mean"]
    assert summed.low == pytest.approx(one_by_one.low, rel=0.1)
    assert summed.high == pytest.approx(one_by_one.high, rel=0.1)


def test_images_needed_are_those_at_which_a_class_would_be_named() -> None:
    """With so many images of the same shares, its p-value comes down to what would name it."""
    sizes = [400] * 12
    a = made(sizes, [0.5] * 12, 3)
    b = made(sizes, [0.65] * 6 + [0.55] * 6, 4)
    needed = {}
    for correction in ("holm", "bh", "none"):
        found = compare(a, b, correction=correction, power=0.5)
        needed[correction] = found.images_needed
        named = len(found.rose) + len(found.paid)
        for c in found.undecided:
            if np.isinf(found.images_needed[c]):
                continue
            times = 1 + found.images_needed[c] / found.support[c]
            only_a, only_b = (
                np.round(k[c] * times).astype(int) for k in (found.only_a, found.only_b)
            )
            p = found.p_value.copy()
            p[c] = mid_p_mcnemar([only_a], [only_b])[0]
            # Holm's first step is Bonferroni's.
            adjusted = 12 * p if correction == "holm" else adjust_p_values(p, correction)
            assert adjusted[c] == pytest.approx(0.05, rel=0.35), (correction, c)
        assert 0 < named < 12
    both = ~np.isnan(needed["bh"])
    assert (needed["bh"][both] <= needed["holm"][both]).all()
    assert (needed["bh"][both] < needed["holm"][both]).any()
