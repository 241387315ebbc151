"""A rescue small enough to be worked out by hand, and ones of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from everyclass.artifacts import ClassCounts, Evaluation
from everyclass.metrics import evaluate
from everyclass.reporting import Report

VERDICT = {"use": "ensemble", "reason": "the gain is certain", "decided_on": "validation data"}
SETTINGS = {
    "seed": 0,
    "retraining": {"objective": "gml", "reweight": True, "penalty": None, "steps": [1, 2]},
    "temperature": 1.25,
}


def judged(outcomes: dict[int, dict[int, int]], counts: ClassCounts) -> Evaluation:
    """Evaluate {true class: {predicted class: images}}."""
    pairs = [
        (true, given)
        for true, predicted in outcomes.items()
        for given, images in predicted.items()
        for _ in range(images)
    ]
    labels, predicted = zip(*pairs, strict=True)
    return evaluate(labels=list(labels), predicted=list(predicted), class_counts=counts)


@pytest.fixture
def report() -> Report:
    """truck 90 % → 80 %, cat 40 % → 60 %, lynx 0 % → 50 %, and a yeti without test images."""
    counts = ClassCounts([50, 200, 5, 10], names=("cat", "truck", "yeti", "lynx"))
    evaluations = {
        "old": judged({1: {1: 9, 0: 1}, 0: {0: 2, 1: 3}, 3: {1: 4}}, counts),
        "retrained": judged({1: {1: 6, 3: 4}, 0: {0: 3, 3: 2}, 3: {3: 3, 0: 1}}, counts),
        "ensemble": judged({1: {1: 8, 3: 2}, 0: {0: 3, 1: 2}, 3: {3: 2, 1: 2}}, counts),
    }
    created = "2026-11-23T18:00:00+0000"
    return Report("Cats and trucks", VERDICT, evaluations, counts, SETTINGS, created)


@pytest.fixture(scope="session")
def report_of() -> Callable[..., Report]:
    """Make a report of as many classes as there are names, with random but fixed outcomes."""

    def make(names: Sequence[str], images: int = 3, **changed: Any) -> Report:
        random = np.random.default_rng(0)
        number = len(names)
        counts = ClassCounts(np.sort(random.integers(1, 500, number))[::-1], names=tuple(names))
        labels = np.repeat(np.arange(number), images)
        evaluations = {
            name: evaluate(
                labels=labels,
                predicted=np.where(random.random(len(labels)) < share, labels, 0),
                class_counts=counts,
            )
            for name, share in (("old", 0.4), ("retrained", 0.5), ("ensemble", 0.6))
        }
        parts: dict[str, Any] = {
            "title": "Many classes",
            "verdict": VERDICT,
            "evaluations": evaluations,
            "class_counts": counts,
            "settings": SETTINGS,
            "created": "2026-11-23T18:00:00+0000",
        }
        return Report(**(parts | changed))

    return make
