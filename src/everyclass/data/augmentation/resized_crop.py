"""Random resized crop: a random box of the image, enlarged to the image's size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from everyclass.data.augmentation.checks import check_range
from everyclass.data.augmentation.drawing import uniform
from everyclass.data.augmentation.operations import resized_crop

__all__ = ["RandomResizedCrop"]

ATTEMPTS = 10


@dataclass(eq=False)
class RandomResizedCrop:
    """Cut out a box of random area and shape at a random place, and enlarge it.

    As torchvision's: ten tries to find a box that fits into the image, else its largest box of a
    shape within ``ratio``, centred. Bilinear as Pillow does it.

    Args:
        scale: range of the box's area, as a share of the image's.
        ratio: range of width over height, drawn uniformly in its logarithm.

    Raises:
        InputError: a range is none, empty or out of bounds.
    """

    scale: tuple[float, float] = (0.2, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        self.scale = check_range("scale", self.scale, 0, 1)
        self.ratio = check_range("ratio", self.ratio, 1e-3, 1e3)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Draw and apply: (b, h, w, 3) uint8 → the same shape."""
        count, height, width, _ = images.shape
        if count == 0:
            return images
        return resized_crop(images, *self.draw(count, height, width, generator))

    def draw(
        self, count: int, height: int, width: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Boxes as (top, left, height, width), each (count,) int64 on the CPU."""
        tries = ATTEMPTS * count
        area = uniform(tries, *self.scale, generator) * height * width
        low, high = (math.log(r) for r in self.ratio)
        ratio = uniform(tries, low, high, generator).exp()
        # torch rounds halves to even, as Python's round does.
        wide = (area * ratio).sqrt().round().long().view(ATTEMPTS, count)
        tall = (area / ratio).sqrt().round().long().view(ATTEMPTS, count)
        fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
        first = fits.byte().argmax(dim=0, keepdim=True)
        some = fits.any(dim=0)
        full_height, full_width = self._largest(height, width)
        tall = tall.gather(0, first)[0].where(some, full_height)
        wide = wide.gather(0, first)[0].where(some, full_width)
        # Truncation makes every place from 0 to the last equally likely.
        places = uniform(2 * count, 0, 1, generator).view(2, count)
        top = (places[0] * (height - tall + 1)).long().where(some, (height - full_height) // 2)
        left = (places[1] * (width - wide + 1)).long().where(some, (width - full_width) // 2)
        return top, left, tall, wide

    def _largest(self, height: int, width: int) -> tuple[int, int]:
        low, high = self.ratio
        if width / height < low:
            return round(width / low), width
        if width / height > high:
            return height, round(height * high)
        return height, width
