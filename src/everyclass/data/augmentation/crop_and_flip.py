"""The basic augmentation: a random crop of the padded image, and a mirror for every other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from everyclass.artifacts import check_whole_number
from everyclass.data.augmentation.drawing import apply_to, to_device

__all__ = ["CropAndFlip"]


@dataclass(eq=False)
class CropAndFlip:
    """Crop out of black padding at a random place, and mirror with probability ½.

    Each image gets its own offset and its own coin. On CIFAR: 4 pixels of padding and the mirror.

    Args:
        padding: pixels of black on each side; 0: no crop.
        flip: whether to mirror every other image.

    Raises:
        InputError: the padding is negative.
        InputTypeError: it is not whole.
    """

    padding: int
    flip: bool

    def __post_init__(self) -> None:
        self.padding = check_whole_number("padding", self.padding)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Draw and apply: (b, h, w, 3) uint8 → the same shape."""
        n = len(images)
        offsets = torch.randint(0, 2 * self.padding + 1, (2, n), generator=generator)
        views = self._crop(images, *offsets) if self.padding and n else images
        if self.flip:
            mirrored = (torch.rand(n, generator=generator) < 0.5).nonzero()[:, 0]
            views = apply_to(views, mirrored, lambda some: some.flip(2))
        return views

    def _crop(self, images: Tensor, top: Tensor, left: Tensor) -> Tensor:
        n, height, width, _ = images.shape
        p = self.padding
        padded = torch.nn.functional.pad(images, (0, 0, p, p, p, p))
        # Every run of ``width`` pixels of the padded batch, by its first; one per line is the crop.
        runs = padded.view(-1).unfold(0, 3 * width, 3)
        line = torch.arange(height) + top[:, None] + padded.shape[1] * torch.arange(n)[:, None]
        first = line * padded.shape[2] + left[:, None]
        return runs.index_select(0, to_device(first.flatten(), images)).view(images.shape)
