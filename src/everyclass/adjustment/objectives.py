"""What an adjustment is to make large: one number from the recall of every class.

Each objective is there twice: of counted recalls, by which choices are made, and of soft recalls
(mean probabilities of the true class), which a few samples do not throw about and which has a
gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import as_floats, check_number, did_you_mean
from everyclass.errors import InputError
from everyclass.metrics import number_of_worst

__all__ = ["HARMONIC_MEAN", "ClassObjective", "ObjectiveName", "smoothed_recall"]

ObjectiveName = Literal[
    "harmonic_mean", "geometric_mean", "lowest_recall", "worst_mean", "weighted_mean"
]
Vector = npt.NDArray[np.float64]
FEW = 10  # samples of the median class
LOWEST_POWER = -16.0  # the power mean stands for the minimum: of 100 equal recalls it is the same


@dataclass(frozen=True, eq=False)
class ClassObjective:
    """A mean of per-class recall.

    Attributes:
        name: "harmonic_mean", "geometric_mean", "lowest_recall", "worst_mean" (mean of the worst
            ``worst_percent`` % of the classes), or "weighted_mean" (Σ w_c r_c / Σ w_c).
        worst_percent: of "worst_mean", 0 < p ≤ 100; at least one class.
        class_weights: (C,) ≥ 0, of "weighted_mean"; what a right sample of each class is worth.

    Example:
        >>> float(ClassObjective("lowest_recall").value(np.array([0.2, 0.4, 0.9, 1.0])))
        0.2
    """

    name: ObjectiveName = "harmonic_mean"
    worst_percent: float = 10.0
    class_weights: Any = None

    def __post_init__(self) -> None:
        known = get_args(ObjectiveName)
        if self.name not in known:
            hint = did_you_mean(self.name, known)
            raise InputError(
                f"The objective must be one of {', '.join(known)}; got {self.name!r}{hint}"
            )
        check_number("worst_percent", self.worst_percent, high=100, above=0)
        if (self.class_weights is not None) != (self.name == "weighted_mean"):
            raise InputError(
                "class_weights (--weight) go with the objective weighted_mean, and it with them; "
                f"got {self.name}{'' if self.class_weights is None else ' and class_weights'}."
            )
        if self.class_weights is not None:
            weights = as_floats(self.class_weights, name="class_weights", ndim=(1,))
            if weights.min() < 0 or weights.max() == 0:
                raise InputError("class_weights must not be negative, nor all of them zero.")
            object.__setattr__(self, "class_weights", weights.astype(np.float64))

    def for_choosing(self, labels: npt.NDArray[np.int64]) -> ClassObjective:
        """What to choose methods by: with few samples a class, the geometric for the harmonic mean.

        A class with two samples, both wrong, can decide a harmonic mean alone, and with it which of
        many candidates looks best. A method that is chosen by the geometric mean then has the
        higher harmonic mean on other samples; a penalty has not (docs/experiments.md).

        Args:
            labels: (n,) classes of the samples that choose.
        """
        support = np.bincount(labels)
        if self.name != "harmonic_mean" or np.median(support[support > 0]) >= FEW:
            return self
        return replace(self, name="geometric_mean")

    def for_classes(self, num_classes: int, there: npt.NDArray[np.bool_]) -> ClassObjective:
        """The objective over the classes that have samples.

        Args:
            num_classes: C.
            there: (C,) which of them have.

        Raises:
            InputError: a wrong number of class weights, or none above zero for these classes.
        """
        if self.class_weights is None:
            return self
        if len(self.class_weights) != num_classes:
            raise InputError(
                f"class_weights has {len(self.class_weights)} entries and there are {num_classes} "
                "classes; give one weight per class, in class order."
            )
        if self.class_weights[there].max() == 0:
            weighty = ", ".join(map(str, np.flatnonzero(self.class_weights)[:5]))
            raise InputError(
                f"Of the classes with a weight above zero ({weighty}) some part of the samples has "
                "none; give at least two samples of one of them, better of each."
            )
        return replace(self, class_weights=self.class_weights[there])

    def value(self, recall: npt.NDArray[np.floating[Any]]) -> Any:
        """The objective of recalls: (…, C) in 0..1, all of them defined, to (…)."""
        recall = np.asarray(recall, dtype=np.float64)
        if self.name == "lowest_recall":
            return recall.min(axis=-1)
        if self.name == "worst_mean":
            worst = number_of_worst(recall.shape[-1], self.worst_percent)
            return np.sort(recall, axis=-1)[..., :worst].mean(axis=-1)
        if self.name == "weighted_mean":
            return recall @ self.class_weights / self.class_weights.sum()
        # A recall of zero makes either mean zero, and so does one whose inverse is too large.
        with np.errstate(divide="ignore", over="ignore"):
            if self.name == "harmonic_mean":
                return 1 / (1 / recall).mean(axis=-1)
            return np.exp(np.log(recall).mean(axis=-1))

    def log_and_gradient(self, recall: Vector) -> tuple[float, Vector]:
        """The logarithm of the smooth objective, and its gradient with respect to the recalls.

        The lowest recall is replaced by the power mean with exponent −16, which lies above it and
        is moved by its neighbours too; the others are what they are.

        Args:
            recall: (C,) soft recalls, all above 0.
        """
        if self.name == "geometric_mean":
            return float(np.log(recall).mean()), 1 / (len(recall) * recall)
        if self.name in ("harmonic_mean", "lowest_recall"):
            power = -1.0 if self.name == "harmonic_mean" else LOWEST_POWER
            floor = float(recall.min())
            relative = (recall / floor) ** power  # the smallest recall makes the largest term
            value = math.log(floor) + math.log(relative.mean()) / power
            return value, relative / (recall * relative.sum())
        weights = np.zeros_like(recall)
        if self.name == "worst_mean":
            worst = number_of_worst(len(recall), self.worst_percent)
            weights[np.argsort(recall, kind="stable")[:worst]] = 1.0
        else:
            weights = self.class_weights
        total = float(recall @ weights)
        return math.log(total / weights.sum()), weights / total


HARMONIC_MEAN = ClassObjective("harmonic_mean")


def smoothed_recall(
    labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.integer[Any]], num_classes: int
) -> Vector:
    """(right + ½) / (samples + 1) of each class with samples.

    Jeffreys' estimate of a recall: one class of three samples, none of them right, does not
    decide alone.

    Args:
        labels: (n,) true classes.
        predicted: (n,) predicted classes.
        num_classes: C.

    Returns:
        One number per class that has samples, in class order.

    Example:
        >>> smoothed_recall(np.array([0, 0, 0, 2]), np.array([0, 0, 1, 1]), 3)
        array([0.625, 0.25 ])
    """
    support = np.bincount(labels, minlength=num_classes)
    right = np.bincount(labels[predicted == labels], minlength=num_classes)
    there = support > 0
    return np.asarray((right[there] + 0.5) / (support[there] + 1))
