"""Test images that are still needed: to know a recall, and to decide who rose and who paid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from everyclass.metrics import further_images
from everyclass.reporting.data import Report
from everyclass.reporting.rows import right_images

__all__ = ["Needed", "NeededRow", "needed_images"]

HALF_WIDTH = 0.1


@dataclass(frozen=True)
class NeededRow:
    """A class, its test images, and how many more it takes; ``change`` of recall, or None."""

    name: str
    support: int
    more: int
    change: float | None = None


@dataclass(frozen=True)
class Needed:
    """How many more images to label.

    Attributes:
        width: of the interval that each recall is to have.
        short: classes with fewer test images than that takes.
        total: further images of all of them.
        to_know: the worst of these classes.
        undecided: classes of which no comparison can say whether they rose or paid; None without
            one.
        to_decide: of these the ones that the fewest further images would decide.
        power: with which they would.
    """

    width: float
    short: int
    total: int
    to_know: Sequence[NeededRow]
    undecided: int | None
    to_decide: Sequence[NeededRow]
    power: float | None


def needed_images(report: Report, most: int = 8) -> Needed | None:
    """What to label next, for the classifier that is looked at; None without evaluations."""
    if report.judged is None:
        return None
    evaluation = report.evaluations[report.judged]
    support = evaluation.support
    level = report.confidence or 0.95
    counts = zip(right_images(evaluation).tolist(), support.tolist(), strict=True)
    more = np.array(
        [further_images(k, n, confidence=level, half_width=HALF_WIDTH) for k, n in counts]
    )
    worst = [int(c) for c in evaluation.worst_first() if more[c] > 0][:most]
    comparison = report.comparison
    undecided: list[int] = []
    if comparison is not None:
        images = comparison.images_needed
        undecided = [c for c in comparison.undecided if np.isfinite(images[c])]
        undecided.sort(key=lambda c: (float(images[c]), c))
    return Needed(
        width=2 * HALF_WIDTH,
        short=int((more > 0).sum()),
        total=int(more.sum()),
        to_know=[NeededRow(report.names[c], int(support[c]), int(more[c])) for c in worst],
        undecided=None if comparison is None else len(comparison.undecided),
        to_decide=[
            NeededRow(
                report.names[c],
                int(support[c]),
                int(comparison.images_needed[c]),
                float(comparison.difference[c]),
            )
            for c in (undecided[:most] if comparison is not None else ())
            if comparison is not None
        ],
        power=None if comparison is None else comparison.settings["power"],
    )
