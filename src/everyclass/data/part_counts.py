"""How many images, and of how many classes, a part of a data set has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["PartCounts"]


@dataclass(frozen=True)
class PartCounts:
    """How many images a part has.

    Attributes:
        part: "train", "val" or "test".
        images: in all.
        classes: with at least one.
        empty: classes of the data set without any.
        largest, smallest: images of the largest and of the smallest class that has any.
    """

    part: str
    images: int
    classes: int
    empty: int
    largest: int
    smallest: int

    @classmethod
    def of(cls, part: str, labels: npt.NDArray[np.int64], num_classes: int) -> PartCounts:
        """Count labels.

        Args:
            part: whose labels they are.
            labels: (n,) in 0..C−1, at least one.
            num_classes: C.
        """
        counts = np.bincount(labels, minlength=num_classes)
        some = counts[counts > 0]
        return cls(
            part,
            images=len(labels),
            classes=len(some),
            empty=num_classes - len(some),
            largest=int(some.max()),
            smallest=int(some.min()),
        )
