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
        if counts.missing.tolist() == [0]:
            more = "; if the labels begin at 1, pass labels - 1"
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


def with_old_rows(
    new: Head, old: Head, classes: npt.NDArray[np.intp], *, scale: float = 1.0
) -> Head:
    """The old head, with the new head's rows for some classes, brought to where the old ones were.

    One vector added to all rows of a head changes none of its answers, and its scale says only how
    sure it is. But old rows beside new ones would win or lose by both. So the new rows get the old
    ones' scale, and their mean is put on the mean of the old rows that they replace.

    Args:
        new: rows for ``classes``, in their order.
        old: a linear head of all classes.
        classes: which have new rows.
        scale: the old head's temperature over the new one's; the temperature of what comes out is
            the old head's.
    """
    weight, bias = old.weight.copy(), old.bias.copy()
    weight[classes] = _moved(new.weight, old.weight[classes], scale)
    bias[classes] = _moved(new.bias, old.bias[classes], scale)
    return Head(weight, bias)


def _moved(
    new: npt.NDArray[np.float32], old: npt.NDArray[np.float32], scale: float
) -> npt.NDArray[np.float64]:
    rows = scale * new.astype(np.float64)
    return np.asarray(rows - rows.mean(axis=0) + old.mean(axis=0, dtype=np.float64))
