"""Rows grouped by class, without a Python step per row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["Groups"]


class Groups(NamedTuple):
    """The rows of each class, one class after the other.

    Attributes:
        classes: (K,) the classes that have rows, ascending.
        rows: (n,) rows of the first class, then of the second, …; ascending within a class.
        starts: (K,) where in ``rows`` each class begins.
        sizes: (K,) how many rows each has.
    """

    classes: Tensor
    rows: Tensor
    starts: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, labels: npt.NDArray[np.int64]) -> Groups:
        """Group (n,) labels, n ≥ 1."""
        in_order, rows = torch.from_numpy(labels).sort(stable=True)
        classes, sizes = in_order.unique_consecutive(return_counts=True)
        return cls(classes, rows, sizes.cumsum(0) - sizes, sizes)
