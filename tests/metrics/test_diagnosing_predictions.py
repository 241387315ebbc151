"""Diagnosis from predictions: facts against slow counts, each rule where its answer is known."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from everyclass import Predictions
from everyclass.errors import InputError, InputTypeError
from everyclass.metrics import (
    Evidence,
    HeldOutAnswers,
    certainty_of,
    diagnose_predictions,
    samples_needed,
)
from everyclass.metrics.causes import Case, Pair, cause_of
from everyclass.metrics.suspects import suspect_images


def drawn(seed: int, classes: int = 6, images: int = 400) -> Predictions:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, images)
    logits = generator.normal(size=(images, classes))
    logits[np.arange(images), labels] += generator.uniform(0, 3, classes)[labels]
    return Predictions(labels, logits=logits)


@pytest.mark.parametrize("seed", range(5))
def test_the_facts_are_those_of_a_slow_count(seed: int) -> None:
    said = drawn(seed)
    found = diagnose_predictions(said, worst=6)
    p = np.exp(said.logits - np.logaddexp.reduce(said.logits, axis=1, keepdims=True))
    recalls = []
    for each in found.classes:
        rows = [i for i in range(len(said)) if said.labels[i] == each.index]
        errors = [i for i in rows if said.top[i] != each.index]
        assert each.support == len(rows)
        assert each.right == len(rows) - len(errors)
        assert each.recall == each.right / each.support
        assert dict(each.taken_by) == Counter(int(said.top[i]) for i in errors)
        given = [i for i in range(len(said)) if said.top[i] == each.index]
        others = Counter(int(said.labels[i]) for i in given if said.labels[i] != each.index)
        assert dict(each.takes_from) == others
        for pairs in (each.taken_by, each.takes_from):
            images = [n for _, n in pairs]
            assert images == sorted(images, reverse=True)
        assert each.calibration is not None
        assert each.calibration.true_class == pytest.approx(p[rows, each.index].mean())
        assert each.calibration.confidence == pytest.approx(p[rows].max(axis=1).mean())
        surest = sorted(errors, key=lambda i: -p[i].max())[:8]
        assert [e.row for e in each.examples] == surest
        low, high = stats.binomtest(each.right, each.support).proportion_ci(method="wilson")
        assert each.interval == pytest.approx((low, high))
        recalls.append(each.recall)
    assert recalls == sorted(recalls)


def test_suspects_are_those_of_the_definition() -> None:
    said = certainty_of(drawn(1))
    assert said is not None
    threshold = [said.p_label[said.labels == c].mean() for c in range(6)]
    for i, suspect in enumerate(suspect_images(said, 6)):
        y, top = said.labels[i], said.top[i]
        wanted = y != top and said.p_label[i] < threshold[y] and said.p_top[i] >= threshold[top]
        assert bool(suspect) == wanted


def test_probabilities_and_logits_say_the_same() -> None:
    logits = drawn(2)
    assert logits.logits is not None
    p = np.exp(logits.logits - np.logaddexp.reduce(logits.logits, axis=1, keepdims=True))
    a, b = (diagnose_predictions(s) for s in (logits, Predictions(logits.labels, probs=p)))
    assert [each.cause for each in a.classes] == [each.cause for each in b.classes]
    assert a.classes[0].calibration is not None
    assert b.classes[0].calibration is not None
    assert a.classes[0].calibration.true_class == pytest.approx(b.classes[0].calibration.true_class)


def test_labels_alone_are_enough_and_what_is_missing_is_said() -> None:
    found = diagnose_predictions(Predictions([0, 0, 1, 1, 1], predicted=[0, 1, 1, 1, 0]))
    assert len(found.unknown) == 4
    first = found.classes[0]
    assert (first.training_count, first.nearest, first.calibration) == (None, None, None)
    assert (first.reachable, first.suspect) == (None, None)
    assert first.examples[0].probability is None


def test_equal_classes_are_hardly_ever_called_worse() -> None:
    """One of 50 equal classes looks bad by chance; at the level of 5 % that may happen 5 times."""
    generator = np.random.default_rng(0)
    named = 0
    for _ in range(100):
        labels = np.repeat(np.arange(50), 60)
        wrong = generator.random(3000) > 0.75
        predicted = np.where(wrong, (labels + generator.integers(1, 50, 3000)) % 50, labels)
        found = diagnose_predictions(Predictions(labels, predicted=predicted), worst=3)
        assert found.classes[0].recall < 0.7
        named += any(each.cause != "fine" for each in found.classes)
    assert named <= 5


def test_three_images_are_too_few_and_it_says_how_many_are_enough() -> None:
    labels = np.repeat([0, 1, 2], [3, 100, 100])
    predicted = labels.copy()
    predicted[0] = 1
    found = diagnose_predictions(Predictions(labels, predicted=predicted), worst=1).classes[0]
    assert found.cause == "too_few_test_images"
    assert "2 of 3 images right" in found.reason
    more = samples_needed(recall=2.5 / 4, half_width=0.1) - 3
    assert f"{more} more would make the interval of its recall 20 points wide" in found.reason


def test_a_class_that_loses_everything_one_way_is_not_called_a_pair() -> None:
    labels = np.repeat([0, 1, 2], 100)
    predicted = np.where(labels == 0, 1, labels)
    found = diagnose_predictions(Predictions(labels, predicted=predicted), worst=1).classes[0]
    assert found.cause == "undecided"
    both = predicted.copy()
    both[:50], both[100:150] = 0, 0
    found = diagnose_predictions(Predictions(labels, predicted=both), worst=2)
    assert [each.cause for each in found.classes] == ["confusable_pair"] * 2
    assert "50%" in found.classes[0].reason


def test_few_training_images_need_others_that_have_more() -> None:
    labels = np.repeat([0, 1, 2, 3], 100)
    predicted = np.where((labels == 0) & (np.arange(400) % 3 > 0), np.arange(400) % 4, labels)
    for counts, cause in (
        ([9, 50, 60, 70], "too_few_training_images"),
        ([9, 10, 11, 12], "undecided"),
        ([21, 500, 600, 700], "undecided"),
        ([0, 1, 1, 1], "too_few_training_images"),
    ):
        said = Predictions(labels, predicted=predicted, class_counts=counts)  # type: ignore[arg-type]
        assert diagnose_predictions(said, worst=1).classes[0].cause == cause


def answers(old: float, new: float, others: float = 0.9, images: int = 100) -> Evidence:
    """Held-out answers with given recalls of class 0 and of the others."""
    labels = np.repeat([0, 1, 2], images)
    place = np.tile((np.arange(images) + 0.5) / images, 3)

    def said(recall: float) -> np.ndarray:
        share = np.where(labels == 0, recall, others)
        return np.where(place < share, labels, (labels + 1) % 3)

    counts = np.full(3, images)
    kept = HeldOutAnswers(
        labels, said(old), said(old), said(new), "validation data", counts, counts
    )
    return Evidence(kept)


@pytest.mark.parametrize(
    ("old", "new", "cause", "said"),
    [
        (0.1, 0.8, "fixable_by_the_head", "from 10.0% to 80.0% on 100 images of validation data"),
        (0.1, 0.2, "not_fixable_by_the_head", "gets 20.0% of its 100 held-out images right"),
        (0.8, 0.9, "undecided", "those images are unlike the test images"),
    ],
)
def test_what_the_head_reaches_decides(old: float, new: float, cause: str, said: str) -> None:
    labels = np.repeat([0, 1, 2], 100)
    predicted = np.where((labels == 0) & (np.arange(300) >= 10), 1 + np.arange(300) % 2, labels)
    found = diagnose_predictions(Predictions(labels, predicted=predicted), answers(old, new))
    assert found.classes[0].cause == cause
    assert said in found.classes[0].reason
    assert found.classes[0].reachable is not None
    assert found.classes[0].reachable.recall == pytest.approx(new)


def test_two_that_cannot_be_told_apart_are_told_apart_in_half_of_the_images() -> None:
    assert Pair(50, 50, 50, 50).apart == 0.5
    assert Pair(50, 50, 50, 50).is_confused
    assert not Pair(95, 5, 95, 5).is_confused
    assert not Pair(0, 100, 100, 0).is_confused
    assert not Pair(2, 2, 50, 50).is_confused


def test_classes_without_images_are_listed_and_not_diagnosed() -> None:
    said = Predictions([0, 1, 1], predicted=[0, 1, 0], class_names=("a", "b", "c"))
    found = diagnose_predictions(said)
    assert found.untestable == (2,)
    assert [each.index for each in found.classes] == [1, 0]


def test_hostile_names_stay_text_in_reasons() -> None:
    names = ("\x1b[31m<script>", "\u202e" + "x" * 10_000, "c")
    labels = np.repeat([0, 1, 2], 100)
    predicted = labels.copy()
    predicted[:50], predicted[100:150] = 1, 0
    found = diagnose_predictions(Predictions(labels, predicted=predicted, class_names=names))
    assert found.classes[0].cause == "confusable_pair"
    for each in found.classes:
        assert "\x1b" not in each.reason
        assert "\u202e" not in each.reason
        assert len(each.reason) < 400


def test_8142_classes_take_seconds() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(8142), 3)
    wrong = generator.random(len(labels)) < 0.4
    predicted = np.where(wrong, generator.integers(0, 8142, len(labels)), labels)
    predicted[:30] = 8141
    start = time.process_time()
    found = diagnose_predictions(Predictions(labels, predicted=predicted))
    assert time.process_time() - start < 5
    assert len(found.classes) == 10


def test_the_classes_to_look_at_may_be_named() -> None:
    said = Predictions([0, 0, 1, 1, 3], predicted=[0, 1, 1, 1, 3])
    every = {each.index: each for each in diagnose_predictions(said).classes}
    found = diagnose_predictions(said, classes=[3, 0])
    assert found.classes == (every[3], every[0])
    assert found.settings["worst"] == 2
    for wrong in (2, 4, -1):
        with pytest.raises(InputError, match=f"names class {wrong}, which has no test images"):
            diagnose_predictions(said, classes=[0, wrong])


def test_bad_input_is_refused() -> None:
    said = Predictions([0, 1], predicted=[0, 0])
    with pytest.raises(InputError, match="worst must be 1 class at least; got 0"):
        diagnose_predictions(said, worst=0)
    with pytest.raises(InputError, match="confidence must lie between 0 and 1"):
        diagnose_predictions(said, confidence=95)
    with pytest.raises(InputTypeError, match="takes the Predictions of a classifier; got a list"):
        diagnose_predictions([0, 1])  # type: ignore[arg-type]


def case(right: int, suspect: int, looked_at: int) -> Case:
    """Class 0, of whose 100 images all that are wrong go to class 1, of 1,000 training images."""
    labels = np.repeat([0, 1, 2], 100)
    predicted = np.where((labels == 0) & (np.arange(300) >= right), 1, labels)
    said = Predictions(labels, predicted=predicted, class_counts=[1000, 1000, 1000])  # type: ignore[arg-type]
    return Case(
        known=diagnose_predictions(said, classes=[0]).classes[0],
        worse=True,
        others=1.0,
        level=0.05,
        name=str,
        suspect_train=suspect,
        looked_at_train=looked_at,
    )


def test_suspect_training_labels_are_a_cause_only_if_most_of_the_rest_is_right() -> None:
    assert cause_of(case(right=5, suspect=4, looked_at=40))[0] == "undecided"
    assert cause_of(case(right=70, suspect=4, looked_at=40))[0] == "suspect_labels"


def test_suspect_training_labels_are_a_share_of_those_that_were_looked_at() -> None:
    cause, reason = cause_of(case(right=70, suspect=4, looked_at=40))
    assert cause == "suspect_labels"
    assert reason.startswith("4 of its 40 training images that were looked at are like")
    assert cause_of(case(right=70, suspect=4, looked_at=41))[0] == "undecided"


def test_classes_may_be_any_whole_numbers_and_become_plain_ones() -> None:
    said = Predictions([0, 1, 1], predicted=[0, 0, 1])
    for classes in (np.array([1]), [np.int8(1)], (1,)):
        found = diagnose_predictions(said, classes=classes)  # type: ignore[arg-type]
        assert type(found.classes[0].index) is int
    with pytest.raises(InputTypeError, match=r"classes must be numbers of classes.*got \['ant'\]"):
        diagnose_predictions(said, classes=["ant"])  # type: ignore[list-item]
