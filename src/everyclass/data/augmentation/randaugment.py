"""RandAugment: a few random operations of one strength for each image."""

from __future__ import annotations

import torch
from torch import Tensor

from everyclass.data.augmentation.drawing import apply_each
from everyclass.data.augmentation.operation_space import STYLES, operation_space
from everyclass.errors import InputError

__all__ = ["RandAugment"]

LEVELS = 31


class RandAugment:
    """Apply operations drawn uniformly from a fixed set (Cubuk et al. 2020), as torchvision does.

    The set has 14 members, the identity one of them: AutoAugment's without invert.

    Args:
        num_ops: operations per image, one after another.
        magnitude: level of all of them, 0..30; half of the signed ones get the other sign.

    Raises:
        InputError: a number is out of bounds.
    """

    def __init__(self, num_ops: int = 2, magnitude: int = 9) -> None:
        if num_ops < 0 or not 0 <= magnitude < LEVELS:
            raise InputError(
                f"num_ops must be 0 or more and magnitude in 0..{LEVELS - 1}; got {num_ops} and "
                f"{magnitude}."
            )
        space = operation_space(STYLES["torchvision"])
        self.operations = {name: space[name] for name in space if name != "invert"}
        self.num_ops = num_ops
        self.strength = magnitude / (LEVELS - 1)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Draw and apply: (b, h, w, 3) uint8 → the same shape."""
        kind, sign = self.draw(len(images), generator)
        operations = list(self.operations.values())
        for step in range(self.num_ops):
            images = apply_each(images, kind[:, step], self.strength * sign[:, step], operations)
        return images

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Numbers of operations, int64, and signs, float64, both (count, num_ops) on the CPU."""
        shape = (count, self.num_ops)
        kind = torch.randint(len(self.operations), shape, generator=generator)
        sign = 2.0 * torch.randint(2, shape, generator=generator) - 1
        return kind, sign.double()
