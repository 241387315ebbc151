"""Random rotation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from everyclass.artifacts import check_number
from everyclass.data.augmentation.drawing import uniform
from everyclass.data.augmentation.operations import rotate

__all__ = ["Rotation"]


@dataclass(eq=False)
class Rotation:
    """Turn each image by a random angle, nearest pixel, black outside.

    The third step of RIDE's CIFAR pipeline, and so behind all CIFAR numbers of that code and its
    descendants.

    Args:
        degrees: the angle is uniform in −degrees..degrees.

    Raises:
        InputError: the angle is not in 0..180.
        InputTypeError: it is no number.
    """

    degrees: float = 15

    def __post_init__(self) -> None:
        self.degrees = check_number("degrees", self.degrees, 0, 180)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Draw and apply: (b, h, w, 3) uint8 → the same shape."""
        return rotate(images, uniform(len(images), -self.degrees, self.degrees, generator))
