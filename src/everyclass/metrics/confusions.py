"""How many images of one class were given to another, counted without a C × C matrix."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

__all__ = ["Confusions"]

_DENSE = 1 << 22  # pairs of classes that are counted in an array of their own
_ROWS = 1 << 20  # wrong images that are collected before they are counted
_PIECES = 1 << 12  # and pieces of them

Ints = npt.NDArray[np.int64]


class Confusions:
    """Counts of wrong predictions by (true class, predicted class), where there are any.

    Memory is O(pairs that occur): 8,142 classes have 66 million pairs, and a classifier of them
    confuses a few hundred thousand.
    """

    def __init__(self) -> None:
        self._counts = sparse.csr_array((1, 1), dtype=np.int64)
        self._waiting: list[Ints] = []
        self._rows = 0

    @classmethod
    def of_pairs(cls, pairs: Ints) -> Confusions:
        """What :meth:`pairs` gave."""
        made = cls()
        made._add(pairs)
        return made

    def add(self, labels: Ints, predicted: Ints) -> None:
        """Count images; those that are right are passed over."""
        wrong = np.flatnonzero(labels != predicted)
        if not len(wrong):
            return
        # 4 bytes each: there are never more than some million classes.
        self._waiting.append(np.stack([labels[wrong], predicted[wrong]]).astype(np.int32))
        self._rows += len(wrong)
        # Adding costs as much as there are pairs already, so as many images are awaited.
        # Pieces of a few images take more room than their numbers do, so they are not many.
        if self._rows >= max(_ROWS, self._counts.nnz) or len(self._waiting) >= _PIECES:
            self._count()

    def _count(self) -> None:
        if not self._rows:
            return
        labels, predicted = np.concatenate(self._waiting, axis=1).astype(np.int64)
        self._waiting, self._rows = [], 0
        size = int(max(labels.max(), predicted.max())) + 1
        keys = labels * size + predicted
        if size * size <= _DENSE:
            every = np.bincount(keys, minlength=size * size)
            keys = np.flatnonzero(every)
            counts = every[keys]
        else:
            keys, counts = np.unique(keys, return_counts=True)
        self._add(np.stack([*np.divmod(keys, size), counts]))

    def _add(self, pairs: Ints) -> None:
        if not pairs.size:
            return
        size = max(int(pairs[:2].max()) + 1, self._counts.shape[0])
        self._counts.resize((size, size))
        more = sparse.csr_array((pairs[2], (pairs[0], pairs[1])), shape=(size, size))
        self._counts = self._counts + more

    def merge(self, other: Confusions) -> None:
        """Add what another has counted."""
        self._count()
        self._add(other.pairs())

    def pairs(self) -> Ints:
        """(3, pairs) true class, predicted class and images; the pairs in rising order."""
        self._count()
        self._counts.sort_indices()
        matrix = self._counts.tocoo()
        return np.stack([matrix.row, matrix.col, matrix.data]).astype(np.int64)
