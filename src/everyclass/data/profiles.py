"""How many images each class keeps when a balanced set is made long-tailed."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from everyclass.errors import InputError

__all__ = ["Profile", "long_tailed_counts"]

Profile = Literal["exp", "step"]


def long_tailed_counts(
    largest: int, num_classes: int, imbalance_ratio: float, profile: Profile = "exp"
) -> npt.NDArray[np.int64]:
    """Class sizes of a long-tailed set, in class order.

    exp:  N_c = int(N_0 · IR^(−c / (C−1)));
    step: N_c = N_0 for the first half of the classes, int(N_0 / IR) for the rest
    (Cui et al. 2019; Cao et al. 2019).

    Args:
        largest: N_0, the size of the largest class.
        num_classes: C ≥ 2.
        imbalance_ratio: IR ≥ 1, largest over smallest class.
        profile: "exp" or "step".

    Raises:
        InputError: fewer than two classes, or a ratio below 1 or so large that a class is empty.

    Example:
        >>> long_tailed_counts(5000, 10, 100).tolist()
        [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    """
    if num_classes < 2:
        raise InputError(f"A long-tailed set has at least two classes; got {num_classes}.")
    if not imbalance_ratio >= 1:
        raise InputError(f"The imbalance ratio must be at least 1; got {imbalance_ratio}.")
    factor = 1.0 / imbalance_ratio
    if profile == "exp":
        # One power per class, written as the published code writes it: int() of a float that is
        # a hair off would move a class by one image.
        counts = [int(largest * factor ** (c / (num_classes - 1.0))) for c in range(num_classes)]
    elif profile == "step":
        half = num_classes // 2
        counts = [largest] * half + [int(largest * factor)] * (num_classes - half)
    else:
        raise InputError(f"The profile must be 'exp' or 'step'; got {profile!r}.")
    if min(counts) == 0:
        raise InputError(
            f"With {largest} images in the largest class, the imbalance ratio {imbalance_ratio:g} "
            f"leaves a class without images; the largest ratio possible is {largest}."
        )
    return np.array(counts, dtype=np.int64)
