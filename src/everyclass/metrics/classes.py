"""What is known of the classes while predictions come in, and whether two sources agree on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from everyclass.artifacts import ClassCounts, Predictions, quoted
from everyclass.errors import InputError

__all__ = ["Classes"]


@dataclass(frozen=True)
class Classes:
    """The classes of some predictions.

    Attributes:
        count: C; where it is not known, the largest class seen + 1.
        is_known: whether scores, names or counts say what C is.
        names: C names, or None.
        training: training images per class, or None.
    """

    count: int = 0
    is_known: bool = False
    names: tuple[str, ...] | None = None
    training: ClassCounts | None = None

    @classmethod
    def of(cls, said: Predictions) -> Classes:
        """The classes of predictions."""
        sources = (said.scores, said.class_names, said.class_counts)
        known = any(source is not None for source in sources)
        return cls(said.num_classes, known, said.class_names, said.class_counts)

    def with_training(self, training: Any) -> Classes:
        """These classes with their training images, whatever was known of those.

        Args:
            training: what :meth:`ClassCounts.of` takes.

        Raises:
            InputError: there are more or fewer counts than classes, or of other ones.
        """
        known = self.count if self.is_known else None
        counts = ClassCounts.of(training, num_classes=known, names=self.names)
        if counts.num_classes < self.count:
            raise InputError(
                f"class_counts has {counts.num_classes} entries and there are {self.count} "
                "classes; give one count per class, in class order."
            )
        return Classes(counts.num_classes, True, counts.names, counts)

    def joined(self, other: Classes) -> Classes:
        """What both know together.

        Raises:
            InputError: they contradict each other.
        """
        if (other.is_known and other.count < self.count) or (
            self.is_known and other.count > self.count
        ):
            raise InputError(
                f"These predictions have {other.count} classes and those before {self.count}."
            )
        if self.names is not None and other.names is not None and self.names != other.names:
            pairs = zip(self.names, other.names, strict=True)
            c = next(c for c, (mine, theirs) in enumerate(pairs) if mine != theirs)
            raise InputError(
                f"These predictions call class {c} {quoted(other.names[c])} and those before "
                f"{quoted(self.names[c])}; say with class_names which classes there are."
            )
        if self.training is not None and other.training is not None:
            mine, theirs = self.training.counts, other.training.counts
            if (mine != theirs).any():
                c = int(np.argmax(mine != theirs))
                raise InputError(
                    f"These predictions have {theirs[c]} training images of class {c} and those "
                    f"before {mine[c]}."
                )
        return Classes(
            max(self.count, other.count),
            self.is_known or other.is_known,
            self.names or other.names,
            self.training or other.training,
        )
