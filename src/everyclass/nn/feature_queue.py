"""The features of earlier batches, first in, first out (He et al. 2020, MoCo)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from everyclass.artifacts import check_whole_number
from everyclass.processes import gathered

__all__ = ["FeatureQueue"]


class FeatureQueue(nn.Module):
    """A ring of features with their labels, empty at first.

    Args:
        size: features kept.
        width: of each.

    Raises:
        InputError, InputTypeError: a size or a width that is no whole number above 0.

    Attributes:
        features: (size, width) float32, zero where nothing is yet.
        labels: (size,) int64, −1 where nothing is yet.

    Example:
        >>> queue = FeatureQueue(size=3, width=1)
        >>> for batch in ([[1.0], [2.0]], [[3.0], [4.0]]):
        ...     queue.push(torch.tensor(batch), torch.tensor([0, 1]))
        >>> queue.features.flatten().tolist(), queue.labels.tolist()
        ([4.0, 2.0, 3.0], [1, 1, 0])
    """

    features: Tensor
    labels: Tensor
    place: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        check_whole_number("size", size, 1)
        check_whole_number("width", width, 1)
        self.register_buffer("features", torch.zeros(size, width))
        self.register_buffer("labels", torch.full((size,), -1))
        self.register_buffer("place", torch.tensor(0))

    @torch.no_grad()
    def push(self, features: Tensor, labels: Tensor) -> None:
        """Put a batch in the place of the oldest; of one larger than the queue its end is kept.

        Where there are several processes, it is the batches of all of them, in their order, so that
        all have the same queue.

        Args:
            features: (n, width).
            labels: (n,) int64.
        """
        features, labels = gathered(features), gathered(labels)
        size = len(self.labels)
        kept = min(len(labels), size)
        places = (self.place + torch.arange(kept, device=labels.device)) % size
        self.features[places] = features[-kept:].to(self.features.dtype)
        self.labels[places] = labels[-kept:]
        self.place.copy_((self.place + kept) % size)
