"""Classes without training images: refused, or left as the old head has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import Features, Head
from everyclass.errors import InputError

__all__ = ["MissingClasses", "check_missing", "restricted", "with_old_rows"]

MissingClasses = Literal["error", "keep-old"]


def check_missing(train: Features, policy: MissingClasses) -> None:
    """Refuse classes without images, or those that the policy cannot be followed for.

    Raises:
        InputError: the policy is "error", or there are no old rows to keep.
    """
    counts = train.class_counts
    names = ", ".join(counts.describe(int(c)) for c in counts.missing[:5])
    several = len(counts.missing) > 1
    found = f"{len(counts.missing)} classes have" if several else "1 class has"
    more = f" and {len(counts.missing) - 5} more" if len(counts.missing) > 5 else ""
    if policy == "error":
        raise InputError(
            f"{found} no training image: {names}{more}. Add images, or keep what the old head has "
            "for them: missing_classes='keep-old' (--missing-classes keep-old)."
        )
    if train.head is None:
        raise InputError(
            f"{found} no training image ({names}{more}) and there is no "
            "old head whose rows could be kept; give one."
        )
    if train.head.kind != "linear":
        raise InputError(
            f"{found} no training image ({names}{more}) and the old "
            f"head is a {train.head.kind} one, whose rows cannot stand beside linear ones; add "
            "images."
        )


def restricted(features: Features, classes: npt.NDArray[np.intp]) -> Features:
    """The images of some classes, renumbered 0, 1, …, with these rows of the head."""
    index = np.full(features.num_classes, -1)
    index[classes] = np.arange(len(classes))
    rows = np.flatnonzero(index[features.labels] >= 0)
    kept = features if len(rows) == len(features) else features.take(rows)
    head, names = features.head, features.class_names
    if head is not None:
        head = replace(head, weight=head.weight[classes], bias=head.bias[classes])
    return kept.with_classes(
        index[kept.labels], head, None if names is None else tuple(names[c] for c in classes)
    )


def with_old_rows(new: Head, old: Head, classes: npt.NDArray[np.intp]) -> Head:
    """The old head, with the new head's rows for some classes."""
    weight, bias = old.weight.copy(), old.bias.copy()
    weight[classes], bias[classes] = new.weight, new.bias
    return Head(weight, bias)
