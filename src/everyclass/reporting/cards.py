"""The worst classes one by one: how sure their recall is, and what takes their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from everyclass.artifacts import CAUSES, ClassDiagnosis, Evaluation
from everyclass.metrics import further_images
from everyclass.reporting.data import Report
from everyclass.reporting.rows import class_interval
from everyclass.reporting.thumbnails import Example

__all__ = ["MOST_CARDS", "Card", "Taker", "worst_cards"]

MOST_CARDS = 6
_TAKERS = 3


@dataclass(frozen=True)
class Taker:
    """A class that images are given to: its name, how many, and their share of all."""

    name: str
    images: int
    share: float


@dataclass(frozen=True)
class Card:
    """What is known of one class.

    Attributes:
        name, index: of the class.
        recall, interval: of the classifier that is looked at.
        before: recall of the first classifier, or None where it is the one looked at.
        support, training_count: test and training images.
        right: test images recognised.
        precision: share of the images given to it that are its own, or None.
        takers: the classes that take its images, most first.
        more_images: further test images for an interval 20 points wide, 0 if there are enough.
        cause: a few words, or None where it was not looked into.
        reason: a sentence.
        examples: images that are given to other classes.
        nearest: names of the nearest classes in feature space.
        believes: mean probability of the class itself, and of what is predicted, on its images.
        reachable: the old head's and another head's recall, and on how many held-out images.
    """

    name: str
    index: int
    recall: float
    interval: tuple[float, float] | None
    before: float | None
    support: int
    training_count: int | None
    right: int
    precision: float | None
    takers: tuple[Taker, ...]
    more_images: int
    cause: str | None = None
    reason: str = ""
    examples: tuple[Example, ...] = ()
    nearest: tuple[str, ...] = ()
    believes: tuple[float, float] | None = None
    reachable: tuple[float, float, int] | None = None


def worst_cards(report: Report, most: int = MOST_CARDS) -> list[Card]:
    """The worst classes of the classifier that is to be used, never predicted ones first."""
    if report.judged is None:
        return []
    evaluation = report.evaluations[report.judged]
    first = report.evaluations[report.baseline or report.judged]
    chosen = [int(c) for c in evaluation.worst_first()[:most]]
    takers = _takers(report, evaluation, chosen)
    cards = [
        _card(report, evaluation, None if first is evaluation else first, c, takers[c])
        for c in chosen
    ]
    found = {} if report.diagnosis is None else {d.index: d for d in report.diagnosis.classes}
    return [_diagnosed(report, card, found.get(card.index)) for card in cards]


def _diagnosed(report: Report, card: Card, found: ClassDiagnosis | None) -> Card:
    """The same card with what features and held-out data say, if it is of the same outcomes."""
    if found is None or (found.right, found.support) != (card.right, card.support):
        return card
    calibration, reach = found.calibration, found.reachable
    return replace(
        card,
        cause=CAUSES[found.cause],
        reason=found.reason,
        nearest=tuple(report.names[c] for c, _ in found.nearest or ()),
        believes=None if calibration is None else (calibration.true_class, calibration.confidence),
        reachable=None if reach is None else (reach.old, reach.recall, reach.images),
    )


def _takers(
    report: Report, evaluation: Evaluation, classes: Sequence[int]
) -> dict[int, tuple[Taker, ...]]:
    found: dict[int, list[Taker]] = {c: [] for c in classes}
    for true, predicted, images in report.pairs.get(report.judged or "", ()):
        if true in found and len(found[true]) < _TAKERS:
            share = images / int(evaluation.support[true])
            found[true].append(Taker(report.names[predicted], images, share))
    return {c: tuple(takers) for c, takers in found.items()}


def _card(
    report: Report,
    evaluation: Evaluation,
    first: Evaluation | None,
    c: int,
    takers: tuple[Taker, ...],
) -> Card:
    recall, support = float(evaluation.per_class_recall[c]), int(evaluation.support[c])
    limits = class_interval(evaluation, c)
    interval = None if limits is None else (float(limits[0]), float(limits[1]))
    counts, precision = report.class_counts, float(evaluation.per_class_precision[c])
    training = None if counts is None else int(counts.counts[c])
    right = round(recall * support)
    return Card(
        name=report.names[c],
        index=c,
        recall=recall,
        interval=interval,
        before=None if first is None else float(first.per_class_recall[c]),
        support=support,
        training_count=training,
        right=right,
        precision=None if np.isnan(precision) else precision,
        takers=takers,
        more_images=further_images(right, support, confidence=report.confidence or 0.95),
        examples=tuple(report.examples.get(c, ())),
    )
