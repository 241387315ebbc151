"""What changes the colours of a contrastive view: jitter, grayscale, blur (SimCLR, MoCo v2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from everyclass.artifacts import check_number
from everyclass.data.augmentation.checks import check_range
from everyclass.data.augmentation.drawing import Operation, apply_each, apply_to, uniform
from everyclass.data.augmentation.operations import brightness as change_brightness
from everyclass.data.augmentation.operations import contrast as change_contrast
from everyclass.data.augmentation.operations import gaussian_blur, grayscale, shift_hue
from everyclass.data.augmentation.operations import saturation as change_saturation

__all__ = ["ColorJitter", "GaussianBlur", "Grayscale"]


@dataclass(eq=False)
class ColorJitter:
    """Change brightness, contrast, saturation and hue, in another order for each image.

    As torchvision's on Pillow images, inside a coin with probability ``p``.

    Args:
        brightness, contrast, saturation: the factor is uniform in 1 − x..1 + x, and at least 0.
        hue: the turn is uniform in −hue..hue, of the full circle; at most ½. At 0 the hue is left
            alone, as it would be rounded on its way there and back.
        p: probability that an image is changed at all.

    Raises:
        InputError: a number is out of bounds.
        InputTypeError: one is no number.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    p: float = 0.8

    def __post_init__(self) -> None:
        self.brightness = check_number("brightness", self.brightness)
        self.contrast = check_number("contrast", self.contrast)
        self.saturation = check_number("saturation", self.saturation)
        self.hue = check_number("hue", self.hue, 0, 0.5)
        self.p = check_number("p", self.p, 0, 1)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Draw and apply: (b, h, w, 3) uint8 → the same shape."""
        n = len(images)
        changed = _coins(n, self.p, generator)
        factors = (self.brightness, self.contrast, self.saturation)
        ranges = [(max(0.0, 1 - x), 1 + x) for x in factors]
        operations: list[Operation] = [change_brightness, change_contrast, change_saturation]
        if self.hue:
            ranges.append((-self.hue, self.hue))
            operations.append(shift_hue)
        order = torch.rand(n, len(operations), generator=generator).argsort(dim=1)[changed]
        sizes = torch.stack([uniform(n, *range_, generator) for range_ in ranges], dim=1)
        sizes = sizes[changed].gather(1, order)

        def jitter(some: Tensor) -> Tensor:
            for step in range(len(operations)):
                some = apply_each(some, order[:, step], sizes[:, step], operations)
            return some

        return apply_to(images, changed, jitter)


@dataclass(eq=False)
class Grayscale:
    """Take the colour from some images.

    Args:
        p: probability.

    Raises:
        InputError: it is not in 0..1.
        InputTypeError: it is no number.
    """

    p: float = 0.2

    def __post_init__(self) -> None:
        self.p = check_number("p", self.p, 0, 1)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Draw and apply: (b, h, w, 3) uint8 → the same shape."""
        return apply_to(images, _coins(len(images), self.p, generator), grayscale)


@dataclass(eq=False)
class GaussianBlur:
    """Blur some images, as Pillow does.

    Args:
        radius: range of the standard deviation in pixels.
        p: probability.

    Raises:
        InputError: a number is out of bounds.
        InputTypeError: one is no number.
    """

    radius: tuple[float, float] = (0.1, 2.0)
    p: float = 0.5

    def __post_init__(self) -> None:
        self.radius = check_range("radius", self.radius, 0, 1e3)
        self.p = check_number("p", self.p, 0, 1)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Draw and apply: (b, h, w, 3) uint8 → the same shape."""
        chosen = _coins(len(images), self.p, generator)
        radii = uniform(len(images), *self.radius, generator)[chosen]
        return apply_to(images, chosen, lambda some: gaussian_blur(some, radii))


def _coins(count: int, p: float, generator: torch.Generator) -> Tensor:
    """The places of the images that are chosen, each with probability p: int64 on the CPU."""
    return (torch.rand(count, generator=generator) < p).nonzero()[:, 0]
