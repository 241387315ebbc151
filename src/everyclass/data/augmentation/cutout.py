"""Cutout: a black square somewhere in each image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from everyclass.artifacts import check_whole_number
from everyclass.data.augmentation.drawing import to_device

__all__ = ["Cutout"]


@dataclass(eq=False)
class Cutout:
    """Blacken a square about a random pixel (DeVries & Taylor 2017).

    The centre is uniform over the pixels and the square ends at the border, so that often less
    than the whole square is black.

    Args:
        size: side in pixels, of which an odd one counts as one less, as in the published code;
            None: half the image's shorter side, which for 32 × 32 is the published 16.

    Raises:
        InputError: the side is negative.
        InputTypeError: it is not whole.
    """

    size: int | None = None

    def __post_init__(self) -> None:
        if self.size is not None:
            self.size = check_whole_number("size", self.size)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Draw and apply: (b, h, w, 3) uint8 → the same shape."""
        n, height, width, _ = images.shape
        half = (min(height, width) // 2 if self.size is None else self.size) // 2
        lines = _beyond(n, height, half, generator)
        columns = _beyond(n, width, half, generator).repeat_interleave(3, dim=1)
        kept = to_device(lines, images)[:, :, None] | to_device(columns, images)[:, None, :]
        return images & kept.view(images.shape)


def _beyond(n: int, size: int, half: int, generator: torch.Generator) -> Tensor:
    """(n, size) uint8: 0 within ``half`` of a random place, and 255, which keeps a byte, beyond."""
    centre = torch.randint(0, size, (n, 1), generator=generator)
    places = torch.arange(size)
    return ((places < centre - half) | (places >= centre + half)).byte() * 255
