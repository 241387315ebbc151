"""RandAugment: a few random operations of one strength for each image."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from everyclass.artifacts import check_number, check_whole_number
from everyclass.data.augmentation.drawing import apply_each
from everyclass.data.augmentation.operation_space import STYLES, operation_space

__all__ = ["RandAugment"]

LEVELS = 31
IDENTITY = 0  # its number


@dataclass(eq=False)
class RandAugment:
    """Apply operations drawn uniformly from a fixed set (Cubuk et al. 2020), as torchvision does.

    The set has 14 members, the identity one of them: AutoAugment's without invert.

    Args:
        num_ops: operations per image, one after another.
        magnitude: level of all of them, 0..30; half of the signed ones get the other sign.
        magnitude_std: standard deviation of a normal noise on the level of each, within 0..30.
        probability: with which an operation takes place.

    timm's "rand-m10-n2-mstd0.5" counts levels to 10 and skips half of the operations: magnitude 30,
    magnitude_std 1.5 and probability 0.5 are its strength. The operations stay torchvision's:
    timm's never solarize at that level and only add to brightness, colour, contrast and sharpness,
    have two members more, no identity, and fill with the mean colour.

    Raises:
        InputError: a number is out of bounds.
        InputTypeError: one is no number, or should be whole.
    """

    num_ops: int = 2
    magnitude: int = 9
    _: KW_ONLY
    magnitude_std: float = 0.0
    probability: float = 1.0

    def __post_init__(self) -> None:
        self.num_ops = check_whole_number("num_ops", self.num_ops)
        self.magnitude = check_whole_number("magnitude", self.magnitude, 0, LEVELS - 1)
        self.magnitude_std = check_number("magnitude_std", self.magnitude_std)
        self.probability = check_number("probability", self.probability, 0, 1)
        space = operation_space(STYLES["torchvision"])
        self.operations = {name: space[name] for name in space if name != "invert"}

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Draw and apply: (b, h, w, 3) uint8 → the same shape."""
        kind, strength = self.draw(len(images), generator)
        operations = list(self.operations.values())
        for step in range(self.num_ops):
            images = apply_each(images, kind[:, step], strength[:, step], operations)
        return images

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Numbers of operations and signed strengths in −1..1, both (count, num_ops) on the CPU."""
        shape = (count, self.num_ops)
        kind = torch.randint(len(self.operations), shape, generator=generator)
        sign = 2.0 * torch.randint(2, shape, generator=generator) - 1
        strength = torch.full(shape, self.magnitude / (LEVELS - 1), dtype=torch.float64)
        if self.magnitude_std:
            noise = torch.randn(shape, dtype=torch.float64, generator=generator)
            strength = (strength + self.magnitude_std / (LEVELS - 1) * noise).clamp(0, 1)
        if self.probability < 1:
            takes_place = torch.rand(shape, generator=generator) < self.probability
            kind = torch.where(takes_place, kind, IDENTITY)
        return kind, sign.double() * strength
