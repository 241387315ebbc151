"""Random rotation."""

from __future__ import annotations

import torch
from torch import Tensor

from everyclass.data.augmentation.drawing import uniform
from everyclass.data.augmentation.operations import rotate
from everyclass.errors import InputError

__all__ = ["Rotation"]


class Rotation:
    """Turn each image by a random angle, nearest pixel, black outside.

    The third step of RIDE's CIFAR pipeline, and so behind all CIFAR numbers of that code and its
    descendants.

    Args:
        degrees: the angle is uniform in −degrees..degrees.

    Raises:
        InputError: the angle is not in 0..180.
    """

    def __init__(self, degrees: float = 15) -> None:
        if not 0 <= degrees <= 180:
            raise InputError(f"The angle must be in 0..180 degrees; got {degrees}.")
        self.degrees = degrees

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Draw and apply: (b, h, w, 3) uint8 → the same shape."""
        return rotate(images, uniform(len(images), -self.degrees, self.degrees, generator))
