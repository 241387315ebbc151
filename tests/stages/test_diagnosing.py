"""Why a class fails, on problems where that is known, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from failing_classes import CAUSES, Failing, failing, found_causes

from everyclass import Features, Head, Predictions, diagnose, rescue
from everyclass.errors import InputError, InputTypeError
from everyclass.stages.diagnosing.neighbours import nearest_classes

SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))]
FEATURES_NEEDED = ("fixable_by_the_head", "too_few_training_images", "not_fixable_by_the_head")


@pytest.fixture(scope="module")
def one_row() -> Failing:
    return failing("fixable_by_the_head", test_images=40)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("cause", CAUSES)
def test_the_cause_is_found(cause: str, seed: int) -> None:
    problem = failing(cause, seed)
    found = diagnose(problem.predictions, train=problem.train, test=problem.test)
    causes = found_causes(found.classes)
    assert causes.pop(0) == cause
    if cause == "confusable_pair":
        assert causes.pop(1) == cause
    assert set(causes.values()) == {"fine"}
    assert found.unknown == ()


@pytest.mark.parametrize("cause", CAUSES)
def test_without_features_it_finds_what_can_be_found(cause: str) -> None:
    wanted = "undecided" if cause in FEATURES_NEEDED else cause
    said = [found_causes(diagnose(failing(cause, seed).predictions).classes) for seed in range(6)]
    assert sum(causes.pop(0) == wanted for causes in said) >= 5
    if cause != "confusable_pair":
        assert all(other == "fine" for causes in said for other in causes.values())


def test_flipped_labels_are_found_and_few_others() -> None:
    flipped = found = right = 0
    for seed in range(6):
        problem = failing("suspect_labels", seed)
        of_zero = next(c for c in diagnose(problem.predictions).classes if c.index == 0)
        rows = [suspect.row for suspect in of_zero.suspect or ()]
        looks_like = [suspect.looks_like for suspect in of_zero.suspect or ()]
        assert looks_like == problem.predictions.top[rows].tolist()
        flipped += int(problem.flipped.sum())
        found += len(rows)
        right += int(problem.flipped[rows].sum())
    assert right >= 0.85 * found
    assert right >= 0.5 * flipped


def test_flipped_training_labels_are_found_by_cross_fitting() -> None:
    problem = failing("suspect_labels", 3)
    found = diagnose(problem.labels_only, train=problem.train)
    of_zero = next(c for c in found.classes if c.index == 0)
    assert of_zero.cause == "suspect_labels"
    assert "training images" in of_zero.reason
    assert of_zero.suspect
    assert {suspect.part for suspect in of_zero.suspect} == {"train"}


def test_with_validation_features_it_is_shown_on_those(one_row: Failing) -> None:
    found = diagnose(one_row.predictions, train=one_row.train, val=one_row.val)
    assert found.held_out == "validation data"
    first = found.classes[0]
    assert first.cause == "fixable_by_the_head"
    assert first.reachable is not None
    assert first.reachable.images == int((one_row.val.labels == 0).sum())


def test_test_features_never_decide_what_the_head_reaches(one_row: Failing) -> None:
    """Other test features change which classes are near, and nothing else."""
    moved = Features(one_row.test.features[::-1].copy(), one_row.test.labels)
    plain = diagnose(one_row.predictions, train=one_row.train)
    with pytest.raises(InputError, match="another classifier made them"):
        diagnose(one_row.predictions, train=one_row.train, test=moved)
    with_test = diagnose(one_row.predictions, train=one_row.train, test=one_row.test)
    for a, b in zip(plain.classes, with_test.classes, strict=True):
        assert (a.reachable, a.cause, a.reason) == (b.reachable, b.cause, b.reason)


def test_a_network_that_knows_its_images_by_heart_is_not_believed() -> None:
    """Features that carry the label in training only: nothing held out of them says anything."""
    generator = np.random.default_rng(0)
    means = 6 * np.eye(5, 8)
    head = Head(means, -0.5 * (means**2).sum(axis=1))
    parts = []
    for known in (True, False):
        labels = np.repeat(np.arange(5), 60)
        seen = labels.copy()
        if not known:
            seen[:60] = generator.integers(1, 5, 60)
        points = means[seen] + generator.normal(size=(300, 8))
        parts.append(Features(points.astype(np.float32), labels, head))
    found = diagnose(train=parts[0], test=parts[1]).classes[0]
    assert found.cause == "undecided"
    assert "unlike the test images" in found.reason
    validated = diagnose(train=parts[0], test=parts[1], val=parts[1]).classes[0]
    assert validated.cause == "not_fixable_by_the_head"


def test_a_class_without_training_images() -> None:
    problem = failing("fine", test_images=40)
    train = problem.train.take(np.flatnonzero(problem.train.labels != 0))
    assert train.head is not None
    never = Head(train.head.weight, train.head.bias - 99 * (np.arange(8) == 0))
    found = diagnose(train=train.with_head(never), test=problem.test).classes[0]
    assert (found.index, found.training_count) == (0, 0)
    assert found.cause == "too_few_training_images"
    assert found.reachable is None


def test_a_rescue_says_the_same_and_what_is_left(one_row: Failing) -> None:
    result = rescue(one_row.train)
    before = result.diagnose(one_row.test).classes[0]
    assert (before.index, before.cause) == (0, "fixable_by_the_head")
    after = found_causes(result.diagnose(one_row.test, "retrained").classes)
    assert after[0] == "fine"
    assert "fixable_by_the_head" not in after.values()


# --- the nearest classes -------------------------------------------------------------------------


def test_neighbours_are_those_of_a_slow_sum() -> None:
    test = failing("fine", test_images=30).test
    x = test.features.astype(np.float64)
    means = np.stack([x[test.labels == c].mean(axis=0) for c in range(8)])
    within = np.sqrt(((x - means[test.labels]) ** 2).sum(axis=0) / (len(x) - 8))
    near = nearest_classes(test, [3], most=7)[3]
    for c, distance in near:
        squared = (((means[3] - means[c]) / within) ** 2).sum() - 12 * (1 / 30 + 1 / 30)
        assert distance == pytest.approx(np.sqrt(max(squared, 0)))
    assert [d for _, d in near] == sorted(d for _, d in near)


def test_few_images_do_not_make_a_class_look_far() -> None:
    distances = []
    for seed in range(40):
        points = np.random.default_rng(seed).normal(size=(204, 30))
        features = Features(points, np.repeat([0, 1, 2], [4, 100, 100]))
        distances.append(nearest_classes(features, [0], most=1)[0][0][1])
    assert np.median(distances) < 1.5  # not corrected it is 5.6
    constant = Features(np.ones((4, 2)), [0, 0, 1, 1])
    assert nearest_classes(constant, [0]) == {0: ((1, 0.0),)}


# --- what is refused -----------------------------------------------------------------------------


def refused(message: str, *args: Any, **kwargs: Any) -> None:
    with pytest.raises(InputError, match=message):
        diagnose(*args, **kwargs)


def test_what_does_not_fit_is_refused(one_row: Failing) -> None:
    said, train, test = one_row.predictions, one_row.train, one_row.test
    refused("needs predictions, or test features together with the head")
    refused("needs predictions, or test features", test=test.with_head(None))
    refused("Validation features judge a head", said, val=test)
    narrow = Features(test.features[:, :3], test.labels)
    refused("width 3 and the training features have 12", said, train=train, test=narrow)
    refused("width 3 and the training features have 12", said, train=train, val=narrow)
    fewer = test.take(np.arange(7))
    refused("has 320 images and the test features has 7", said, train=train, test=fewer)
    other = Features(test.features, (test.labels + 1) % 8)
    refused("of class 0 in the predictions and of class 1", said, test=other)
    ids = np.arange(320)
    named = Features(test.features, test.labels, ids=ids + 1)
    with_ids = Predictions(said.labels, logits=said.logits, ids=ids)
    refused("The ids do not match: 1 of the predictions", with_ids, test=named)
    twelve = Predictions([*said.labels, 11], predicted=[*said.labels, 0])
    refused("know 12 classes and the training features 8", twelve, train=train)
    three = Predictions(np.arange(3), probs=np.eye(3))
    refused("the predictions know only classes 0..2", three, train=train)
    with pytest.raises(InputTypeError, match="train must be Features; got a list"):
        diagnose(said, train=[1])  # type: ignore[arg-type]


def test_names_that_differ_are_refused(one_row: Failing) -> None:
    names = [f"n{c}" for c in range(8)]
    said = Predictions(
        one_row.test.labels, logits=one_row.predictions.logits, class_names=tuple(names)
    )
    turned = Features(one_row.train.features, one_row.train.labels, None, tuple(names[::-1]))
    refused("call class 0 'n0' and the training features call it 'n7'", said, train=turned)


def test_features_are_matched_by_id(one_row: Failing) -> None:
    ids, order = np.arange(320), np.random.default_rng(0).permutation(320)
    said = Predictions(one_row.test.labels, logits=one_row.predictions.logits, ids=ids)
    mixed = Features(one_row.test.features[order], one_row.test.labels[order], ids=ids[order])
    for a, b in zip(
        diagnose(said, test=mixed).classes, diagnose(said, test=one_row.test).classes, strict=True
    ):
        assert a.nearest is not None
        assert b.nearest is not None
        assert [c for c, _ in a.nearest] == [c for c, _ in b.nearest]
        assert [d for _, d in a.nearest] == pytest.approx([d for _, d in b.nearest])
