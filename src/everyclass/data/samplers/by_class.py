"""Samplers that draw a class first, by some probability, and then one of its images."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from everyclass.data.samplers._groups import Groups
from everyclass.data.samplers.row_sampler import RowSampler
from everyclass.errors import InputError

__all__ = ["ClassBalanced", "ProgressivelyBalanced", "SquareRoot"]


class _ByClass(RowSampler):
    """Rows drawn independently, with repeats: a class by its probability, then uniformly a row."""

    def _keep(self, labels: npt.NDArray[np.int64]) -> None:
        super()._keep(labels)
        self._groups = Groups.of(labels)

    @property
    def classes(self) -> Tensor:
        """(K,) the classes that have rows, ascending; the others are never drawn."""
        return self._groups.classes

    @abstractmethod
    def class_probabilities(self, epoch: int, epochs: int) -> Tensor:
        """How likely a draw is of each of ``classes``: (K,) float64 that add up to 1."""

    def draw(self, generator: torch.Generator, epoch: int, epochs: int) -> Tensor:
        """See :meth:`RowSampler.draw`."""
        _, rows, starts, sizes = self._groups
        bounds = self.class_probabilities(epoch, epochs).cumsum(0)[:-1]
        u = torch.rand(self.num_samples, dtype=torch.float64, generator=generator)
        drawn = torch.searchsorted(bounds, u, right=True)
        # Of numbers this large the remainder is uniform to 1 part in 10¹¹, for millions of rows.
        place = torch.randint(1 << 62, (self.num_samples,), generator=generator)
        return rows[starts[drawn] + place % sizes[drawn]]


class ClassBalanced(_ByClass):
    """Every class equally often: a class uniformly, then uniformly one of its images.

    Args:
        labels, num_samples, seed, rank, world_size, epochs: see :class:`RowSampler`.

    Example:
        >>> ClassBalanced([0] * 900 + [1] * 100).class_probabilities(1, 1)
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """

    def class_probabilities(self, epoch: int, epochs: int) -> Tensor:
        """1 / K for each of ``classes``."""
        return torch.full((len(self.classes),), 1 / len(self.classes), dtype=torch.float64)


class SquareRoot(_ByClass):
    """A class with probability ∝ √N_c, then uniformly one of its images (Kang et al. 2020, q = ½).

    Args:
        labels, num_samples, seed, rank, world_size, epochs: see :class:`RowSampler`.

    Example:
        >>> SquareRoot([0] * 900 + [1] * 100).class_probabilities(1, 1)
        tensor([0.7500, 0.2500], dtype=torch.float64)
    """

    def class_probabilities(self, epoch: int, epochs: int) -> Tensor:
        """√N_c, normalised, for each of ``classes``."""
        roots = self._groups.sizes.double().sqrt()
        return roots / roots.sum()


class ProgressivelyBalanced(_ByClass):
    """From as frequent as in the data to equally often (Kang et al. 2020).

    p_c = (1 − t) N_c / n + t / K, with t from 0 in the first epoch to 1 in the last, in equal steps

    K is the number of classes with images. Rows are drawn with repeats in every epoch, the first
    one included; a training of one epoch stays at t = 0.

    Args:
        labels, num_samples, seed, rank, world_size: see :class:`RowSampler`.
        epochs: in the whole training; needed for :meth:`rows` and to iterate, not for :meth:`draw`,
            which is told.

    Raises:
        InputError, InputTypeError: as RowSampler; in rows and on iterating, ``epochs`` that were
            not given.

    Example:
        >>> sampler = ProgressivelyBalanced([0] * 900 + [1] * 100)
        >>> [sampler.class_probabilities(epoch, epochs=3).tolist() for epoch in (1, 2, 3)]
        [[0.9, 0.1], [0.7, 0.3], [0.5, 0.5]]
    """

    _settings = (*RowSampler._settings, "epochs")

    def class_probabilities(self, epoch: int, epochs: int) -> Tensor:
        """The mixture at ``epoch``, from 1, of ``epochs``, for each of ``classes``."""
        t = min(max((epoch - 1) / max(epochs - 1, 1), 0.0), 1.0)
        instance = self._groups.sizes.double() / self.num_rows
        return (1 - t) * instance + t / len(instance)

    def rows(self) -> Tensor:
        """See :meth:`RowSampler.rows`; what is iterated over comes from here too."""
        if self.epochs is None:
            raise InputError(
                "ProgressivelyBalanced has to know when the last epoch is; give it epochs=…."
            )
        return super().rows()
