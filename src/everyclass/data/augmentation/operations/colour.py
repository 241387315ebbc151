"""Brightness, contrast, saturation: blends with black, the mean grey, the grey image.

All are equal to Pillow's ``ImageEnhance``, which blends in float32 and cuts off the fraction.
"""

from __future__ import annotations

import torch
from torch import Tensor

from everyclass.data.augmentation.operations.pixels import (
    channels_of,
    images_of,
    per_image,
    to_bytes,
)

__all__ = ["blend", "brightness", "contrast", "grayscale", "saturation"]


def blend(base: Tensor, images: Tensor, factors: Tensor) -> Tensor:
    """``base`` at factor 0, the image at 1, beyond it above 1; exactly ``Image.blend``.

    Args:
        base: float32 of whole numbers.
        images: uint8.
        factors: float32; base and factors are broadcast to the images.
    """
    # Product and sum apart: fused they would be rounded once, and Pillow rounds twice.
    return to_bytes((images.float() - base).mul_(factors).add_(base))


def _luminance(channels: Tensor) -> Tensor:
    """ITU-R 601 luma in 16.16 fixed point; exactly ``Image.convert("L")``.

    Args:
        channels: (3, k, h, w) uint8.

    Returns:
        (k, h, w) int32 in 0..255.
    """
    red, green, blue = channels.int()
    weighted = (red * 19595).add_(green, alpha=38470).add_(blue, alpha=7471)
    return weighted.add_(0x8000).bitwise_right_shift_(16)


def grayscale(images: Tensor) -> Tensor:
    """The luminance in all three channels; exactly ``Image.convert("L")``.

    Args:
        images: (k, h, w, 3) uint8.
    """
    return images_of(_luminance(channels_of(images)).byte().expand(3, -1, -1, -1))


def brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Black at factor 0, unchanged at 1; exactly ``ImageEnhance.Brightness``.

    Args:
        images: (k, h, w, 3) uint8.
        factors: (k,) on the CPU.
    """
    return to_bytes(images.float().mul_(per_image(factors, images, torch.float32)))


def contrast(images: Tensor, factors: Tensor) -> Tensor:
    """The mean grey at factor 0, unchanged at 1; exactly ``ImageEnhance.Contrast``.

    Args:
        images: (k, h, w, 3) uint8.
        factors: (k,) on the CPU.
    """
    grey = _luminance(channels_of(images))
    pixels = grey[0].numel()
    # The mean, rounded to the nearest whole number, halves up.
    mean = (2 * grey.sum(dim=(1, 2)) + pixels) // (2 * pixels)
    base = mean.float().view(-1, 1, 1, 1)
    return blend(base, images, per_image(factors, images, torch.float32))


def saturation(images: Tensor, factors: Tensor) -> Tensor:
    """The grey image at factor 0, unchanged at 1; exactly ``ImageEnhance.Color``.

    Args:
        images: (k, h, w, 3) uint8.
        factors: (k,) on the CPU.
    """
    channels = channels_of(images)
    grey = _luminance(channels).float()
    factors = per_image(factors, images, torch.float32)[..., 0]
    return images_of(blend(grey, channels, factors))
