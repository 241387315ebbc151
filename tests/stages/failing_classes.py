"""Problems in which one class fails, and it is known why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from everyclass import Features, Head, Predictions, Retraining
from everyclass.stages import retrain

CLASSES, WIDTH = 8, 12
CAUSES = (
    "fine",
    "too_few_test_images",
    "suspect_labels",
    "confusable_pair",
    "fixable_by_the_head",
    "too_few_training_images",
    "not_fixable_by_the_head",
)


@dataclass(frozen=True, eq=False)
class Failing:
    """Class 0 fails, for one reason; class 1 too where it takes two.

    Attributes:
        train, val, test: features with the old head.
        flipped: (n,) which test images have a label that is not theirs.
    """

    train: Features
    val: Features
    test: Features
    flipped: npt.NDArray[np.bool_]

    @property
    def predictions(self) -> Predictions:
        """The old head's logits on the test images."""
        assert self.test.head is not None
        return Predictions(self.test.labels, logits=self.test.head.logits(self.test.features))

    @property
    def labels_only(self) -> Predictions:
        """The same, as predicted classes."""
        said = self.predictions
        return Predictions(said.labels, predicted=said.top)


def failing(
    cause: str,
    seed: int = 0,
    *,
    apart: float = 4.5,
    train_images: int = 100,
    test_images: int = 100,
    flips: float = 0.35,
    smaller: float = 1.0,
) -> Failing:
    """Eight Gaussians with unit covariance, seven of them as they should be.

    Args:
        cause: why the other one fails.
        seed: of everything.
        apart: distance of any two means, in standard deviations.
        train_images, test_images: per class.
        flips: share of class 0's images that are another class's, where labels are suspect.
        smaller: size of class 0's training part beside the others', where it is one of a pair.
    """
    generator = np.random.default_rng([seed, CAUSES.index(cause)])
    means = apart / np.sqrt(2) * np.eye(CLASSES, WIDTH)
    if cause == "confusable_pair":
        means[1] = means[0]
    parts, flipped = [], np.zeros(0, dtype=bool)
    for part, images in (("train", train_images), ("val", 50), ("test", test_images)):
        counts = np.full(CLASSES, images)
        if cause == "too_few_test_images" and part == "test":
            counts[0] = 3
        if part == "train":
            counts[0] = 4 if cause == "too_few_training_images" else round(smaller * images)
        labels = np.repeat(np.arange(CLASSES), counts)
        truth, flipped = labels.copy(), np.zeros(len(labels), dtype=bool)
        own = np.flatnonzero(labels == 0)
        if cause == "suspect_labels":
            flipped[own] = generator.random(len(own)) < flips
            truth[flipped] = generator.integers(1, CLASSES, int(flipped.sum()))
        if cause == "not_fixable_by_the_head":
            truth[own] = generator.integers(1, CLASSES, len(own))
        points = means[truth] + generator.normal(size=(len(labels), WIDTH))
        parts.append(Features(points.astype(np.float32), labels))
    head = retrain(parts[0], Retraining(objective="cross_entropy", penalty=1e-3))
    if cause == "fixable_by_the_head":
        head = _ruined(head, generator)
    train, val, test = (features.with_head(head) for features in parts)
    return Failing(train, val, test, flipped)


def _ruined(head: Head, generator: np.random.Generator) -> Head:
    weight = head.weight.copy()
    weight[0] = generator.permutation(weight[0])
    return replace(head, weight=weight, bias=head.bias - 2 * (np.arange(CLASSES) == 0))


def found_causes(classes: Sequence[object]) -> dict[int, str]:
    """By class."""
    return {each.index: each.cause for each in classes}  # type: ignore[attr-defined]
