"""Why one class fails: what is known about it, and the cause that this points to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Calibration", "Cause", "ClassDiagnosis", "ErrorExample", "Reachable", "Suspect"]

Cause = Literal[
    "fine",
    "too_few_test_images",
    "suspect_labels",
    "confusable_pair",
    "fixable_by_the_head",
    "too_few_training_images",
    "not_fixable_by_the_head",
    "undecided",
]


@dataclass(frozen=True)
class Calibration:
    """What the classifier believes about a class's own test images, beside its recall.

    Attributes:
        true_class: mean probability that is given to the class itself.
        confidence: mean probability of what is predicted instead or rightly; above the recall,
            the classifier is surer than it may be.
    """

    true_class: float
    confidence: float


@dataclass(frozen=True)
class Reachable:
    """What another head on the same features does for a class, on images it was not fitted to.

    Attributes:
        images: held-out images of the class.
        old: the old head's recall on them, or that of the head that stands in for it.
        recall, interval: the retrained head's on the same images; Wilson's limits.
        p_value: of the difference, mid-p McNemar.
        shown, shown_images: its recall on the training images it was fitted to.
    """

    images: int
    old: float
    recall: float
    interval: tuple[float, float]
    p_value: float
    shown: float | None = None
    shown_images: int | None = None


@dataclass(frozen=True)
class Suspect:
    """An image whose label is suspect.

    Attributes:
        part: where its row is: "test" or "train".
        row: from 0.
        label: the class that it is said to be of.
        looks_like: the class that it seems to be of.
        probability: of that class, by a classifier that was not fitted to the image.
    """

    part: Literal["test", "train"]
    row: int
    label: int
    looks_like: int
    probability: float


@dataclass(frozen=True)
class ErrorExample:
    """A test image of the class that was given to another one.

    Attributes:
        row: in the predictions, from 0.
        predicted: the class that it was given to.
        probability: with which, or None without scores.
    """

    row: int
    predicted: int
    probability: float | None


@dataclass(frozen=True)
class ClassDiagnosis:
    """What is known about one class, and why it fails.

    Attributes:
        index: the class.
        support, right: its test images, and how many of them are right.
        recall, interval: right / support, and Wilson's limits.
        cause: what the evidence points to; "fine" if the class is not shown to be worse than the
            others, "undecided" if it is and nothing known says why.
        reason: one sentence that names the evidence.
        training_count: its training images, or None if not known.
        taken_by: (class, images) that its test images are given to, most first.
        takes_from: (class, images) whose test images are given to it, most first.
        nearest: (class, distance) of the classes nearest in feature space, nearest first; None
            without features. The distance is that of the class means in standard deviations within
            classes, 0 where it is no larger than chance makes it.
        calibration: None without scores.
        reachable: None where nothing held-out is known.
        suspect: test and training images of the class whose label is suspect, surest first; None
            without scores and training features. Empty also where the classifier knows the class
            too badly for its labels to be judged.
        examples: of its errors, surest first (without scores: in order).
    """

    index: int
    support: int
    right: int
    recall: float
    interval: tuple[float, float]
    cause: Cause
    reason: str
    training_count: int | None = None
    taken_by: tuple[tuple[int, int], ...] = ()
    takes_from: tuple[tuple[int, int], ...] = ()
    nearest: tuple[tuple[int, float], ...] | None = None
    calibration: Calibration | None = None
    reachable: Reachable | None = None
    suspect: tuple[Suspect, ...] | None = None
    examples: tuple[ErrorExample, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)
