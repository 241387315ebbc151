"""Weights of samples with which every class counts the same."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["balanced_weights"]


def balanced_weights(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """1 / (samples of the sample's class · classes that have samples).

    A sum with these weights is the mean over classes of each class's mean.

    Args:
        labels: (n,) classes.

    Returns:
        (n,) weights that sum to one, and to the same for each class that has samples.

    Example:
        >>> balanced_weights(np.array([0, 2, 2]))
        array([0.5 , 0.25, 0.25])
    """
    support = np.bincount(labels)
    return np.asarray(1 / (support[labels] * np.count_nonzero(support)))
