"""The verdict: a change has to earn its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from everyclass import Verdict
from everyclass.metrics import draw_paired_recalls
from everyclass.stages import decide
from everyclass.stages.choosing import deciding


def said(labels: np.ndarray, recall: list[float], seed: int) -> np.ndarray:
    """Predicted classes in which ``recall[c]`` of class c is right, the rest one class off."""
    predicted = labels.copy()
    generator = np.random.default_rng(seed)
    for c, r in enumerate(recall):
        rows = generator.permutation(np.flatnonzero(labels == c))
        wrong = rows[round(r * len(rows)) :]
        predicted[wrong] = (c + 1) % len(recall)
    return predicted


def judge(sizes: list[int], old: list[float], new: dict[str, list[float]], **options) -> Verdict:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    predicted = {"old": said(labels, old, 0)}
    predicted |= {name: said(labels, recall, 1) for name, recall in new.items()}
    options = {"decided_on": "validation data", **options}
    return decide(labels, predicted, len(sizes), **options)  # type: ignore[arg-type]


def test_a_clear_gain_is_named() -> None:
    verdict = judge([100, 100, 100], [0.9, 0.8, 0.1], {"retrained": [0.8, 0.8, 0.6]})
    assert verdict.use == "retrained"
    assert verdict.decided_on == "validation data"
    # 3 / (1/.9 + 1/.8 + 1/.1) and 3 / (1/.8 + 1/.8 + 1/.6)
    assert "24.3% → 72.0%" in verdict.reason
    assert str(verdict).startswith("Use the retrained classifier: harmonic mean of recall 24.3%")
    assert str(verdict).endswith("(decided on validation data).")


def test_the_better_of_two_candidates_is_taken() -> None:
    new = {"retrained": [0.7, 0.7, 0.5], "ensemble": [0.8, 0.8, 0.6]}
    assert judge([100] * 3, [0.9, 0.8, 0.1], new).use == "ensemble"
    new = {"retrained": new["ensemble"], "ensemble": new["retrained"]}
    assert judge([100] * 3, [0.9, 0.8, 0.1], new).use == "retrained"


def test_the_better_of_two_has_to_be_more_certain() -> None:
    labels = np.repeat([0, 1], 40)
    old = np.where(np.arange(80) < 20, 1, labels)
    new = old.copy()
    new[:7], new[20:22] = 0, 1  # seven more are right, two no longer
    alone = {"old": old, "retrained": new}
    assert decide(labels, alone, 2, decided_on="…").use == "retrained"  # type: ignore[arg-type]
    two = {**alone, "ensemble": old}
    assert decide(labels, two, 2, decided_on="…").use == "old"  # type: ignore[arg-type]


@pytest.mark.parametrize("recall", [[0.9, 0.8, 0.7], [0.9, 0.8, 0.5]])
def test_no_gain_is_no_change(recall: list[float]) -> None:
    verdict = judge([100] * 3, [0.9, 0.8, 0.7], {"retrained": recall})
    assert verdict.use == "old"
    assert str(verdict).startswith("No change recommended: the gain is not certain enough")


def test_the_same_predictions_are_no_gain() -> None:
    labels = np.repeat([0, 1], 500)
    predicted = said(labels, [0.9, 0.6], 0)
    both = {"old": predicted, "ensemble": predicted}
    assert decide(labels, both, 2, decided_on="…").use == "old"  # type: ignore[arg-type]


def test_a_few_images_are_not_enough_and_many_are() -> None:
    old, new = [0.9, 0.9, 0.5], {"ensemble": [0.9, 0.9, 0.75]}
    assert judge([200, 50, 4], old, new).use == "old"  # one image more of four
    assert judge([200, 50, 400], old, new).use == "ensemble"


def test_a_class_never_right_is_not_certain_to_stay_so() -> None:
    """0 of 2 against 1 of 2 lifts the harmonic mean from the floor, and proves nothing."""
    assert judge([100, 100, 2], [0.9, 0.9, 0.0], {"retrained": [0.9, 0.9, 0.5]}).use == "old"


def test_a_gain_that_costs_more_is_no_gain() -> None:
    assert judge([300] * 3, [0.9, 0.9, 0.5], {"retrained": [0.3, 0.3, 0.6]}).use == "old"


def test_classes_without_images_are_left_out() -> None:
    labels = np.repeat([0, 2], 200)
    predicted = {"old": np.where(labels == 2, 0, labels), "retrained": labels}
    verdict = decide(labels, predicted, 4, decided_on="…")  # type: ignore[arg-type]
    assert verdict.use == "retrained"
    assert "→ 100.0%" in verdict.reason
    renumbered = {name: np.where(p == 2, 1, p) for name, p in predicted.items()}
    without = decide(np.where(labels == 2, 1, labels), renumbered, 2, decided_on="…")  # type: ignore[arg-type]
    assert verdict == without


def test_it_is_the_same_every_time_and_follows_the_seed() -> None:
    case = ([60] * 4, [0.8, 0.7, 0.6, 0.4], {"retrained": [0.75, 0.75, 0.7, 0.6]})
    reasons = [judge(*case, seed=s).reason for s in (0, 0, 1)]
    assert reasons[0] == reasons[1]
    assert reasons[0] != reasons[2]


def test_the_interval_holds_the_gain_and_narrows_with_images() -> None:
    def interval(size: int) -> tuple[float, float]:
        reason = judge([size] * 2, [0.8, 0.4], {"retrained": [0.8, 0.7]}).reason
        low, high = reason.split("a gain of ")[1].removesuffix(" points").split(" to ")
        return float(low), float(high)

    gain = 100 * (stats.hmean([0.8, 0.7]) - stats.hmean([0.8, 0.4]))
    wide, narrow = interval(100), interval(2000)
    for low, high in (wide, narrow):
        assert low < gain < high
    assert narrow[1] - narrow[0] < (wide[1] - wide[0]) / 3


def test_without_a_difference_a_change_is_rarely_recommended() -> None:
    """The same recalls, images drawn anew: at most one in ten, where the level says one in 20."""
    generator = np.random.default_rng(0)
    changes = 0
    labels = np.repeat(np.arange(4), 60)
    for seed in range(60):
        right = generator.random((2, 240)) < np.array([0.9, 0.8, 0.7, 0.5])[labels]
        old, new = (np.where(r, labels, (labels + 1) % 4) for r in right)
        predicted = {"old": old, "retrained": new}
        use = decide(labels, predicted, 4, decided_on="…", seed=seed).use  # type: ignore[arg-type]
        changes += use != "old"
    assert changes <= 6


def test_thousands_of_classes_are_drawn_a_few_draws_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the draws are those that all of them at once would be."""
    classes = 30
    labels = np.repeat(np.arange(classes), 20)
    right = np.random.default_rng(0).random((2, len(labels))) < np.array([[0.3], [0.9]])
    predicted = dict(zip(("old", "retrained"), np.where(right, labels, 0), strict=True))
    sizes: list[int] = []

    def draw(table: np.ndarray, prior: float, replicates: int, *options: Any) -> Any:
        sizes.append(replicates * table.size)
        return draw_paired_recalls(table, prior, replicates, *options)

    monkeypatch.setattr(deciding, "draw_paired_recalls", draw)
    at_once = decide(labels, predicted, classes, decided_on="…")  # type: ignore[arg-type]
    (all_of_them,) = set(sizes)
    sizes.clear()
    monkeypatch.setattr(deciding, "_CHUNK_VALUES", 5000)
    verdict = decide(labels, predicted, classes, decided_on="…")  # type: ignore[arg-type]
    assert verdict == at_once
    assert max(sizes) <= 5000 < all_of_them
    assert sum(sizes) % all_of_them == 0
    assert "a gain of" in verdict.reason


def test_as_plain_values() -> None:
    verdict = Verdict("ensemble", "because", "validation data", "ensemble")
    assert verdict.to_dict() == {
        "use": "ensemble",
        "reason": "because",
        "decided_on": "validation data",
        "compared": "ensemble",
    }
