"""What a change costs: which classes rise, which pay, and what becomes of the probabilities."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import ClassCounts
from everyclass.metrics import evaluate

__all__ = ["Cost", "cost_of"]

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Cost:
    """Old and new classifier on the images that decide; pairs are (before, after).

    Attributes:
        rise, fall: how many classes' recall is higher, and lower.
        mean_rise, mean_fall: mean change of those, signed fractions; 0 where there are none.
        pays_most: the class that falls most, or None.
        largest_fall: its change.
        accuracy: of all images.
        calibration_error: expected calibration error of the softmax of the logits.
        negative_log_likelihood: of the same.
    """

    rise: int
    fall: int
    mean_rise: float
    mean_fall: float
    pays_most: int | None
    largest_fall: float
    accuracy: tuple[float, float]
    calibration_error: tuple[float, float]
    negative_log_likelihood: tuple[float, float]

    def renumbered(self, classes: npt.NDArray[np.intp]) -> Cost:
        """The same where class c is called ``classes[c]``."""
        pays = self.pays_most
        return replace(self, pays_most=None if pays is None else int(classes[pays]))

    def sentence(self, counts: ClassCounts) -> str:
        """For a person, with the classes' names where they are known."""
        pay = "no class pays"
        if self.pays_most is not None:
            pay = (
                f"{self.fall} {'pays' if self.fall == 1 else 'pay'} {-100 * self.mean_fall:.1f} on "
                f"average, {counts.describe(self.pays_most)} most ({-100 * self.largest_fall:.1f})"
            )
        rise = "no class rises"
        if self.rise:
            rise = (
                f"{self.rise} {'class rises' if self.rise == 1 else 'classes rise'} by "
                f"{100 * self.mean_rise:.1f} points on average"
            )
        return (
            f"{rise}, {pay}; accuracy {_change(self.accuracy)}, calibration error "
            f"{_change(self.calibration_error)}, negative log-likelihood "
            f"{self.negative_log_likelihood[0]:.2f} → {self.negative_log_likelihood[1]:.2f}"
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for ``evaluation.json``."""
        return asdict(self)


def cost_of(labels: npt.NDArray[np.int64], old: Floats, new: Floats) -> Cost:
    """Compare two classifiers' logits on the same images.

    Args:
        labels: (m,).
        old, new: (m, C).
    """
    before, after = evaluate(labels=labels, logits=old), evaluate(labels=labels, logits=new)
    change = after.per_class_recall - before.per_class_recall
    rising, falling = change[change > 0], change[change < 0]
    lowest = int(np.nanargmin(change))
    assert before.calibration_error is not None
    assert after.calibration_error is not None
    assert before.negative_log_likelihood is not None
    assert after.negative_log_likelihood is not None
    return Cost(
        rise=len(rising),
        fall=len(falling),
        mean_rise=float(rising.mean()) if len(rising) else 0.0,
        mean_fall=float(falling.mean()) if len(falling) else 0.0,
        pays_most=lowest if len(falling) else None,
        largest_fall=float(min(change[lowest], 0.0)),
        accuracy=(before.accuracy, after.accuracy),
        calibration_error=(before.calibration_error, after.calibration_error),
        negative_log_likelihood=(before.negative_log_likelihood, after.negative_log_likelihood),
    )


def _change(pair: tuple[float, float]) -> str:
    return f"{pair[0]:.1%} → {pair[1]:.1%}"
