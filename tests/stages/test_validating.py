"""The penalty is chosen on validation data, and judged on the half that did not choose."""

from __future__ import annotations

import numpy as np
import pytest
from gaussians import Gaussians, long_tail

from everyclass import Retraining, rescue
from everyclass.stages import retrain
from everyclass.stages.retraining import CLASS_PENALTIES, WEAK_CLASS_PENALTIES
from everyclass.stages.validating import smoothed_harmonic_mean, validate

CLASSES = Gaussians(6, 12)
COUNTS = long_tail(6, 150, 4)
SHARES = CLASS_PENALTIES + WEAK_CLASS_PENALTIES


def slow_score(labels: np.ndarray, predicted: np.ndarray) -> float:
    total = 0.0
    classes = sorted(set(labels.tolist()))
    for c in classes:
        rows = labels == c
        total += (rows.sum() + 1) / ((predicted[rows] == c).sum() + 0.5)
    return len(classes) / total


def test_the_score_is_a_harmonic_mean_of_smoothed_recalls() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        labels = generator.integers(0, 5, size=30)
        predicted = generator.integers(0, 7, size=30)  # class 3 may be absent, 5 and 6 always are
        labels[labels == 3] = 2
        expected = slow_score(labels, predicted)
        assert smoothed_harmonic_mean(labels, predicted, 7) == pytest.approx(expected)


def test_the_best_penalty_on_validation_data_is_taken() -> None:
    train, val = CLASSES.draw(COUNTS, seed=1), CLASSES.draw([40] * 6, seed=2)
    chosen = validate(train, val, Retraining())
    expected = {}
    for share in SHARES:
        head = retrain(train, Retraining(penalty=share / 6))
        expected[share / 6] = slow_score(val.labels, head.logits(val.features).argmax(axis=1))
    assert chosen.scores == pytest.approx(expected)
    assert chosen.penalty == max(expected, key=lambda p: expected[p])
    best = retrain(train, Retraining(penalty=chosen.penalty))
    np.testing.assert_array_equal(chosen.head.weight, best.weight)


def test_no_sample_helps_to_choose_the_head_that_it_is_judged_by() -> None:
    """Other labels for a sample never change its own logits, whatever they do to the choice."""
    train, val = CLASSES.draw(COUNTS, seed=1), CLASSES.draw([8] * 6, seed=2)
    before = validate(train, val, Retraining()).logits
    heads = [retrain(train, Retraining(penalty=s / 6)) for s in SHARES]
    outputs = [head.logits(val.features) for head in heads]
    origin = [
        [i for i, o in enumerate(outputs) if np.array_equal(o[r], before[r])] for r in range(48)
    ]
    assert all(origin)  # every row comes from one of the heads
    # Both halves have four of each class; within a half the head is the same.
    assert len({min(o) for o in origin}) <= 2


def test_what_looks_separable_is_not_believed() -> None:
    """No overlap between folds: cross-fitting would go on to no penalty at all, and may not."""
    train = Gaussians(6, 12, spread=30).draw(COUNTS, seed=1)
    result = rescue(train)
    assert result.settings["retraining"]["penalty"] == min(CLASS_PENALTIES) / 6


@pytest.mark.parametrize(("spread", "cautions"), [(30.0, True), (0.5, False)])
def test_numbers_of_images_known_by_heart_are_not_promised(spread: float, cautions: bool) -> None:
    classes = Gaussians(6, 12, spread=spread)
    train = classes.draw(COUNTS, seed=1).with_head(classes.bayes_head())
    reason = rescue(train, retraining=Retraining(penalty=1e-2)).verdict.reason
    assert ("knows these images by heart" in reason) == cautions
    val = classes.draw([20] * 6, seed=2)  # these it does not know
    reason = rescue(train, val=val, retraining=Retraining(penalty=1e-2)).verdict.reason
    assert "by heart" not in reason
