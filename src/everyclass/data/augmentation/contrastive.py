"""What changes the colours of a contrastive view: jitter, grayscale, blur (SimCLR, MoCo v2)."""

from __future__ import annotations

import torch
from torch import Tensor

from everyclass.data.augmentation.checks import check_probability, check_range
from everyclass.data.augmentation.drawing import apply_each, apply_to, uniform
from everyclass.data.augmentation.operations import brightness as change_brightness
from everyclass.data.augmentation.operations import contrast as change_contrast
from everyclass.data.augmentation.operations import gaussian_blur, grayscale, shift_hue
from everyclass.data.augmentation.operations import saturation as change_saturation
from everyclass.errors import InputError

__all__ = ["ColorJitter", "GaussianBlur", "Grayscale"]


class ColorJitter:
    """Change brightness, contrast, saturation and hue, in another order for each image.

    As torchvision's on Pillow images, inside a coin with probability ``p``.

    Args:
        brightness, contrast, saturation: the factor is uniform in 1 − x..1 + x, and at least 0.
        hue: the turn is uniform in −hue..hue, of the full circle; at most ½.
        p: probability that an image is changed at all.

    Raises:
        InputError: a number is out of bounds.
    """

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.1,
        p: float = 0.8,
    ) -> None:
        if min(brightness, contrast, saturation) < 0 or not 0 <= hue <= 0.5:
            raise InputError(
                "Brightness, contrast and saturation must be 0 or more and hue in 0..0.5; got "
                f"{brightness}, {contrast}, {saturation} and {hue}."
            )
        check_probability(p)
        self.ranges = [
            *((max(0.0, 1 - x), 1 + x) for x in (brightness, contrast, saturation)),
            (-hue, hue),
        ]
        self.p = p

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Draw and apply: (b, h, w, 3) uint8 → the same shape."""
        n = len(images)
        changed = _coins(n, self.p, generator)
        order = torch.rand(n, 4, generator=generator).argsort(dim=1)[changed]
        sizes = torch.stack([uniform(n, *range_, generator) for range_ in self.ranges], dim=1)
        sizes = sizes[changed].gather(1, order)
        operations = [change_brightness, change_contrast, change_saturation, shift_hue]

        def jitter(some: Tensor) -> Tensor:
            for step in range(4):
                some = apply_each(some, order[:, step], sizes[:, step], operations)
            return some

        return apply_to(images, changed, jitter)


class Grayscale:
    """Take the colour from some images.

    Args:
        p: probability.

    Raises:
        InputError: it is not in 0..1.
    """

    def __init__(self, p: float = 0.2) -> None:
        check_probability(p)
        self.p = p

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Draw and apply: (b, h, w, 3) uint8 → the same shape."""
        return apply_to(images, _coins(len(images), self.p, generator), grayscale)


class GaussianBlur:
    """Blur some images, as Pillow does.

    Args:
        radius: range of the standard deviation in pixels.
        p: probability.

    Raises:
        InputError: a number is out of bounds.
    """

    def __init__(self, radius: tuple[float, float] = (0.1, 2.0), p: float = 0.5) -> None:
        check_range("radius", radius, 0, 1e3)
        check_probability(p)
        self.radius = radius
        self.p = p

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Draw and apply: (b, h, w, 3) uint8 → the same shape."""
        chosen = _coins(len(images), self.p, generator)
        radii = uniform(len(images), *self.radius, generator)[chosen]
        return apply_to(images, chosen, lambda some: gaussian_blur(some, radii))


def _coins(count: int, p: float, generator: torch.Generator) -> Tensor:
    """The places of the images that are chosen, each with probability p: int64 on the CPU."""
    return (torch.rand(count, generator=generator) < p).nonzero()[:, 0]
