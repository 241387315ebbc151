"""Whether validation images can decide a rescue."""

from __future__ import annotations

import numpy as np

from everyclass.artifacts import Features
from everyclass.errors import InputError

__all__ = ["check_can_decide"]

FEWEST_JUDGED = 0.5


def check_can_decide(val: Features, num_classes: int) -> None:
    """Refuse validation images of so few classes that losing the others would look like a gain.

    Args:
        val: features of the images that decide.
        num_classes: of the training images.

    Raises:
        InputError: they are of fewer than two classes, or of less than half of all.
    """
    judged = len(np.unique(val.labels))
    if judged < max(2, FEWEST_JUDGED * num_classes):
        raise InputError(
            f"The validation set has images of {judged:,} of {num_classes:,} classes, so a "
            "classifier that gives up the others would look better. Give images of every class; or "
            "none, and the training images decide by cross-fitting."
        )
