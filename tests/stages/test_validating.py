"""The penalty is chosen on validation data, and judged on the half that did not choose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gaussians import Gaussians, long_tail

from everyclass import Retraining, rescue
from everyclass.adjustment import HARMONIC_MEAN, score
from everyclass.stages import retrain
from everyclass.stages.retraining.crossfitting import CrossFit, cross_fit
from everyclass.stages.retraining.retraining import CLASS_PENALTIES, WEAK_CLASS_PENALTIES
from everyclass.stages.retraining.validating import _halves, validate

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
        assert score(labels, predicted, 7, HARMONIC_MEAN) == pytest.approx(expected)


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
    """Each half has the logits of the head that is best on the other half."""
    train, val = CLASSES.draw(COUNTS, seed=1), CLASSES.draw([9] * 6, seed=2)
    outputs = [retrain(train, Retraining(penalty=s / 6)).logits(val.features) for s in SHARES]
    chosen_by_halves = set()
    for seed in range(4):
        judged = validate(train, val, Retraining(), seed=seed).logits
        first = _halves(val.labels, seed)
        for half in (first, ~first):
            scores = [slow_score(val.labels[~half], out[~half].argmax(axis=1)) for out in outputs]
            best = int(np.argmax(scores))
            chosen_by_halves.add(best)
            np.testing.assert_array_equal(judged[half], outputs[best][half])
    assert len(chosen_by_halves) > 1  # else the choice would not show


@pytest.mark.parametrize("strategy", ["gml", "auto"])
@pytest.mark.parametrize("given", [True, False])
def test_a_plain_head_is_cross_fitted_once(
    strategy: str, given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def counted(*args: Any, title: str, **named: Any) -> CrossFit:
        made.append(title)
        return cross_fit(*args, title=title, **named)

    monkeypatch.setattr("everyclass.stages.retraining.retraining.cross_fit", counted)
    val = CLASSES.draw([20] * 6, seed=2) if given else None
    rescue(CLASSES.draw(COUNTS, seed=1), val=val, strategy=strategy)
    assert made.count("cross-fitting cross entropy") == 1
    assert len(set(made)) == len(made)


def test_halves_share_every_class() -> None:
    labels = np.repeat([0, 1, 2, 3], [10, 5, 2, 1])
    first = _halves(labels, 0)
    counts = np.bincount(labels[first], minlength=4)
    assert counts[:3].tolist() in ([5, 2, 1], [5, 3, 1])


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


@pytest.mark.parametrize("seed", range(3))
def test_to_name_the_frequent_class_is_not_to_know_by_heart(seed: int) -> None:
    """99 : 1, and 99 % accuracy: the ensemble may be judged, and is better on balanced data."""
    classes = Gaussians(2, 2, spread=1.5)
    result = rescue(classes.draw([3000, 30], seed=seed))
    assert "by heart" not in result.verdict.reason
    result.evaluate(classes.draw([2000, 2000], seed=seed + 10))
    means = {name: e.harmonic_mean for name, e in result.evaluations.items()}
    assert means[result.verdict.use] == max(means.values())


def test_auto_without_validation_is_gml_where_folds_mislead() -> None:
    classes = Gaussians(6, 12, spread=30)
    train = classes.draw(COUNTS, seed=1).with_head(classes.bayes_head())
    result = rescue(train, strategy="auto", retraining=Retraining(penalty=1e-2))
    names = [each["name"] for each in result.candidates]
    assert names == ["none", "gml", "ensemble", "additive"]
    assert result.verdict.use in ("old", "retrained")
    assert "the ensemble, which leans on the old head, cannot be judged so" in result.verdict.reason
    plain = rescue(train, retraining=Retraining(penalty=1e-2))
    assert plain.verdict == result.verdict
    offsets = rescue(train, strategy="offsets", retraining=Retraining(penalty=1e-2))
    assert "ensemble" not in offsets.verdict.reason


def test_validation_images_that_were_trained_on_are_found_out() -> None:
    classes = Gaussians(6, 12)
    train = classes.draw(COUNTS, seed=1).with_head(classes.bayes_head())
    settings = Retraining(penalty=1e-2)
    same = rescue(train, val=train, retraining=settings).verdict.reason
    assert "100% of the validation rows are training rows, number by number" in same
    other = rescue(train, val=classes.draw([20] * 6, seed=2), retraining=settings).verdict.reason
    assert "training rows" not in other


def test_classes_that_nothing_decided_on_are_named() -> None:
    classes = Gaussians(6, 12)
    train = classes.draw(COUNTS, seed=1).with_head(classes.bayes_head())
    val = classes.draw([20] * 6, seed=2)
    part = val.take(np.flatnonzero(val.labels != 4))
    reason = rescue(train, val=part, retraining=Retraining(penalty=1e-2)).verdict.reason
    assert "; 1 class has no image to decide on: class 4" in reason
