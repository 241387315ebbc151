"""What is known besides a classifier's predictions, for a diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from everyclass.metrics.suspects import Certainty

__all__ = ["Evidence", "HeldOutAnswers"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class HeldOutAnswers:
    """What the old head and a retrained one say about images that neither decides on by heart.

    Attributes:
        labels: (m,) true classes.
        own: (m,) the old head's answers; it may have been fitted to these images.
        old: (m,) those of a head of its kind that was not; the same as ``own`` on validation data.
        new: (m,) the retrained head's, which was not fitted to these images.
        what: the images, such as "validation data".
        shown_right, shown_images: (C,) training images that the retrained head gets right after
            having been fitted to them, and how many there are.
    """

    labels: Ints
    own: Ints
    old: Ints
    new: Ints
    what: str
    shown_right: Ints
    shown_images: Ints

    def already_retrained(self) -> HeldOutAnswers:
        """The same for somebody who uses the retrained head: nothing is left to gain."""
        return replace(self, own=self.new, old=self.new)

    def renumbered(self, classes: npt.NDArray[np.intp], num_classes: int) -> HeldOutAnswers:
        """The same where class i is called ``classes[i]``, one of ``num_classes``."""
        right, images = np.zeros((2, num_classes), dtype=np.int64)
        right[classes], images[classes] = self.shown_right, self.shown_images
        return replace(
            self,
            labels=classes[self.labels],
            own=classes[self.own],
            old=classes[self.old],
            new=classes[self.new],
            shown_right=right,
            shown_images=images,
        )


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known besides predictions; all of it may be missing.

    Attributes:
        held_out: what retraining the head gives on held-out images.
        training: cross-fitted probabilities of training images, to judge their labels by.
        nearest: of some classes, the nearest ones in feature space and their distances.
    """

    held_out: HeldOutAnswers | None = None
    training: Certainty | None = None
    nearest: Mapping[int, tuple[tuple[int, float], ...]] = field(default_factory=dict)
