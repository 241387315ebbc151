"""Class-aware batches: class after class, a few images of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from everyclass.artifacts import check_whole_number
from everyclass.data.samplers._groups import Groups
from everyclass.data.samplers.row_sampler import RowSampler

__all__ = ["ClassAware"]


class ClassAware(RowSampler):
    """The classes in turn, ``images_per_class`` consecutive images of each, none left out.

    All classes come in random order, then all in another, and so on. A class takes its images from
    a shuffled row of them, and shuffles anew once all are used up, be it amid its turn. So within
    an epoch no class has had two turns more than another, and no image has come two times more
    often than another of its class. Every epoch begins anew, where the published sampler goes on
    with what is left.

    Args:
        labels, num_samples, seed, rank, world_size, epochs: see :class:`RowSampler`.
        images_per_class: m ≥ 1; 4 in Decoupling and MiSLAS. The last turn of an epoch is cut
            where ``num_samples`` ends.

    Raises:
        InputError, InputTypeError: as RowSampler, and for images_per_class.

    Example:
        >>> sorted(ClassAware([0, 0, 0, 0, 1, 1], num_samples=8))
        [0, 1, 2, 3, 4, 4, 5, 5]

    References:
        Kang et al., Decoupling Representation and Classifier, ICLR 2020, and the code of Liu et
        al., Large-Scale Long-Tailed Recognition in an Open World, CVPR 2019, which it is from.
    """

    _settings = (*RowSampler._settings, "images_per_class")

    def __init__(
        self,
        labels: Any,
        *,
        num_samples: int | None = None,
        images_per_class: int = 4,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        epochs: int | None = None,
    ) -> None:
        super().__init__(
            labels,
            num_samples=num_samples,
            seed=seed,
            rank=rank,
            world_size=world_size,
            epochs=epochs,
        )
        self.images_per_class = check_whole_number("images_per_class", images_per_class, 1)

    def _keep(self, labels: npt.NDArray[np.int64]) -> None:
        super()._keep(labels)
        self._groups = Groups.of(labels)

    def draw(self, generator: torch.Generator, epoch: int, epochs: int) -> Tensor:
        """See :meth:`RowSampler.draw`."""
        m, num_classes = self.images_per_class, len(self._groups.classes)
        rounds = (self.num_samples + m * num_classes - 1) // (m * num_classes)
        keys = torch.rand(rounds, num_classes, dtype=torch.float64, generator=generator)
        order = keys.argsort(dim=1)
        tapes, starts = self._tapes(rounds * m, generator)
        first = starts[order] + m * torch.arange(rounds)[:, None]
        turns = first[:, :, None] + torch.arange(m)
        return tapes[turns.flatten()[: self.num_samples]]

    def _tapes(self, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """For each class its rows in shuffled order, again and again, at least ``length`` of them.

        Returns:
            All of these one after the other, and where each class's begin.
        """
        _, rows, starts, sizes = self._groups
        passes = (length + sizes - 1) // sizes
        pass_sizes = sizes.repeat_interleave(passes)
        which_pass = torch.arange(len(pass_sizes)).repeat_interleave(pass_sizes)
        ends = pass_sizes.cumsum(0)
        within = torch.arange(int(ends[-1])) - (ends - pass_sizes)[which_pass]
        tapes = rows[starts.repeat_interleave(passes * sizes) + within]
        # All shuffled together and sorted back into their passes, each pass stays shuffled.
        shuffled = torch.randperm(len(tapes), generator=generator)
        tapes = tapes[shuffled[which_pass[shuffled].argsort(stable=True)]]
        lengths = passes * sizes
        return tapes, lengths.cumsum(0) - lengths
