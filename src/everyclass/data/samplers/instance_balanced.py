"""Every image alike: the sampler of ordinary training."""

from __future__ import annotations

import torch
from torch import Tensor

from everyclass.data.samplers.row_sampler import RowSampler

__all__ = ["InstanceBalanced"]


class InstanceBalanced(RowSampler):
    """Every row once per epoch, in random order: what ``shuffle=True`` does.

    With fewer ``num_samples`` than rows an epoch has that many different ones; with more, all rows
    come again in a new order once they are used up.

    Args:
        labels, num_samples, seed, rank, world_size, epochs: see :class:`RowSampler`.

    Example:
        >>> sampler = InstanceBalanced([0, 0, 0, 1])
        >>> sorted(sampler)
        [0, 1, 2, 3]
    """

    def draw(self, generator: torch.Generator, epoch: int, epochs: int) -> Tensor:
        """See :meth:`RowSampler.draw`; n samples are ``torch.randperm(n, generator=generator)``."""
        passes = (self.num_samples + self.num_rows - 1) // self.num_rows
        orders = [torch.randperm(self.num_rows, generator=generator) for _ in range(passes)]
        return torch.cat(orders)[: self.num_samples]
