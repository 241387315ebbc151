"""What an adjustment is fitted to: logits and labels of samples that no training saw."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.adjustment.objectives import ClassObjective
from everyclass.adjustment.temperature import fit_temperature
from everyclass.artifacts import Head

__all__ = ["HeldOut"]

SHARPNESS = 0.5  # κ: a smaller one is nearer to the recall, and as rough
Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Validation samples, and what is known about the classifier that made their logits.

    Attributes:
        logits: (n, C).
        labels: (n,) int64 in 0..C−1.
        log_prior: (C,) log of the classes' shares of the training set, or None.
        head: the last layer that made the logits, or None.
        min_samples: a class with fewer is left alone by what has a parameter per class.
    """

    logits: npt.NDArray[np.floating[Any]]
    labels: npt.NDArray[np.int64]
    log_prior: Vector | None = None
    head: Head | None = None
    min_samples: int = 3

    @property
    def num_classes(self) -> int:
        """C."""
        return int(self.logits.shape[1])

    @cached_property
    def support(self) -> npt.NDArray[np.int64]:
        """(C,) samples per class."""
        return np.bincount(self.labels, minlength=self.num_classes)

    @property
    def there(self) -> npt.NDArray[np.bool_]:
        """(C,) the classes with a sample."""
        return self.support > 0

    @property
    def enough(self) -> npt.NDArray[np.bool_]:
        """(C,) the classes with enough samples for a parameter of their own."""
        return self.support >= self.min_samples

    @cached_property
    def temperature(self) -> float:
        """At which the softmax of the logits is most likely, every class weighing alike."""
        return fit_temperature(self.logits, self.labels)

    def take(self, rows: npt.NDArray[Any]) -> HeldOut:
        """Some of the samples."""
        return HeldOut(
            self.logits[rows], self.labels[rows], self.log_prior, self.head, self.min_samples
        )

    def soft_recall(self, scale: Vector, bias: Vector) -> Vector:
        """Mean probability of the true class, of each class that has samples.

        ŝ_c = (½ + Σ_{i∈c} softmax((scale·z_i + bias) / (κ t))_c) / (n_c + 1)

        t is the calibrated temperature, κ = 0.5.

        Args:
            scale, bias: (C,).
        """
        softmax = self._softmax(scale, bias)
        return self._means(softmax[np.arange(len(self.labels)), self.labels])

    def objective(
        self, goal: ClassObjective, scale: Vector, bias: Vector
    ) -> tuple[float, Vector, Vector]:
        """The logarithm of an objective of the soft recalls, and its gradient.

        Args:
            goal: over the classes that have samples.
            scale, bias: (C,).

        Returns:
            The value, and its derivatives with respect to scale and bias, (C,) each.
        """
        rows = np.arange(len(self.labels))
        softmax = self._softmax(scale, bias)
        of_label = softmax[rows, self.labels]
        value, by_class = goal.log_and_gradient(self._means(of_label))
        of_class = np.zeros(self.num_classes)
        of_class[self.there] = by_class / (self.support[self.there] + 1)
        weight = of_class[self.labels] * of_label / (SHARPNESS * self.temperature)
        own = self.logits[rows, self.labels]
        by_bias = np.bincount(self.labels, weight, self.num_classes) - weight @ softmax
        by_scale = np.bincount(self.labels, weight * own, self.num_classes)
        softmax *= self.logits
        return value, by_scale - weight @ softmax, by_bias

    def _softmax(self, scale: Vector, bias: Vector) -> npt.NDArray[Any]:
        """(n, C) in the precision of the logits."""
        cold = SHARPNESS * self.temperature
        kind = self.logits.dtype if self.logits.dtype == np.float64 else np.dtype(np.float32)
        u = self.logits * (scale / cold).astype(kind) + (bias / cold).astype(kind)
        u -= u.max(axis=1, keepdims=True)
        np.exp(u, out=u)
        u /= u.sum(axis=1, keepdims=True)
        return u

    def _means(self, of_label: npt.NDArray[Any]) -> Vector:
        sums = np.bincount(self.labels, of_label, self.num_classes)[self.there]
        return np.asarray((sums + 0.5) / (self.support[self.there] + 1))
