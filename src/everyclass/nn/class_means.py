"""The mean feature of each class, followed over the batches of a training."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everyclass.processes import gathered

__all__ = ["ClassMeans"]

INITIAL_LENGTH = 0.9


class ClassMeans(nn.Module):
    """Means over the last epoch and this one so far (Du et al. 2024, ProCo).

    Sums are kept twice: ``new_sums`` and ``new_counts`` are of the current epoch only, and take the
    place of ``sums`` and ``counts`` when the next one begins, so that no feature is older than an
    epoch. A class of which nothing has been seen has a random mean.

    Args:
        num_classes: C.
        width: p of the features.
    """

    sums: Tensor
    counts: Tensor
    new_sums: Tensor
    new_counts: Tensor
    unseen: Tensor

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        for name in ("sums", "new_sums"):
            self.register_buffer(name, torch.zeros(num_classes, width))
        for name in ("counts", "new_counts"):
            self.register_buffer(name, torch.zeros(num_classes))
        unseen = INITIAL_LENGTH * F.normalize(torch.randn(num_classes, width))
        self.register_buffer("unseen", unseen)

    @torch.no_grad()
    def begin_epoch(self) -> None:
        """Forget what is older than the epoch that has ended."""
        self.sums.copy_(self.new_sums)
        self.counts.copy_(self.new_counts)
        self.new_sums.zero_()
        self.new_counts.zero_()

    @torch.no_grad()
    def update(self, features: Tensor, labels: Tensor) -> None:
        """Take in a batch; where there are several processes, those of all of them.

        Args:
            features: (n, p).
            labels: (n,) int64.
        """
        features = features.to(self.sums.dtype)
        features, labels = gathered(features), gathered(labels)
        ones = torch.ones_like(labels, dtype=self.counts.dtype)
        for sums, counts in ((self.sums, self.counts), (self.new_sums, self.new_counts)):
            sums.index_add_(0, labels, features)
            counts.index_add_(0, labels, ones)

    def forward(self) -> Tensor:
        """Return the (C, p) means."""
        seen = self.counts[:, None] > 0
        return torch.where(seen, self.sums / self.counts.clamp_min(1)[:, None], self.unseen)
