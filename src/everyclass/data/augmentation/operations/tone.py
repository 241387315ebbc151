"""Operations that map every value of a channel by itself: invert, posterize, solarize, histograms.

All are equal to the functions of the same names in Pillow's ``ImageOps``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from everyclass.data.augmentation.operations.pixels import exact_float, per_image, to_bytes

__all__ = ["autocontrast", "equalize", "invert", "posterize", "solarize"]


def invert(images: Tensor) -> Tensor:
    """The negative; exactly ``ImageOps.invert``.

    Args:
        images: (k, h, w, 3) uint8.
    """
    return 255 - images


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest bits of every value; exactly ``ImageOps.posterize``.

    Args:
        images: (k, h, w, 3) uint8.
        bits: (k,) on the CPU, whole numbers in 0..8.
    """
    return images & per_image(256 - 2 ** (8 - bits.long()), images, torch.uint8)


def solarize(images: Tensor, thresholds: Tensor) -> Tensor:
    """Invert the values from a threshold on; exactly ``ImageOps.solarize``.

    Args:
        images: (k, h, w, 3) uint8.
        thresholds: (k,) on the CPU, 0 (all are inverted) to 256 (none is).
    """
    first = per_image(thresholds.ceil(), images, torch.int16)
    # Exclusive or with 255 inverts, and with 0 leaves alone.
    return images ^ ((images.short() >= first).byte() * 255)


def autocontrast(images: Tensor) -> Tensor:
    """Stretch every channel of every image to 0..255; exactly ``ImageOps.autocontrast``.

    On devices without float64 a value may be one lower or higher.

    Args:
        images: (k, h, w, 3) uint8.
    """
    values = _channels(images)
    number = exact_float(images.device)
    low = values.amin(dim=1, keepdim=True).to(number)
    span = values.amax(dim=1, keepdim=True).to(number) - low
    # A tensor over a tensor: torch would compute a number over a tensor by the reciprocal.
    scale = torch.full_like(span, 255) / span.clamp(min=1)
    scale = torch.where(span > 0, scale, 1)
    offset = torch.where(span > 0, -low * scale, 0)
    return _images(to_bytes(values.to(number).mul_(scale).add_(offset)), images)


def equalize(images: Tensor) -> Tensor:
    """Even out the histogram of every channel of every image; exactly ``ImageOps.equalize``.

    Args:
        images: (k, h, w, 3) uint8.
    """
    values = _channels(images).long()
    one = torch.ones((), dtype=torch.int32, device=images.device).expand_as(values)
    counts = one.new_zeros(len(values), 256).scatter_add_(1, values, one)
    of_highest = counts.gather(1, values.amax(dim=1, keepdim=True))
    step = (values.shape[1] - of_highest) // 255
    below = counts.cumsum(dim=1, dtype=torch.int32) - counts
    table = (below + step // 2) // step.clamp(min=1)
    same = torch.arange(256, dtype=torch.int32, device=images.device)
    table = torch.where(step > 0, table.clamp(max=255), same).byte()
    return _images(table.gather(1, values), images)


def _channels(images: Tensor) -> Tensor:
    """(k·3, h·w): one row per channel of each image."""
    return images.permute(0, 3, 1, 2).reshape(len(images) * 3, -1)


def _images(channels: Tensor, like: Tensor) -> Tensor:
    k, height, width, _ = like.shape
    return channels.view(k, 3, height, width).permute(0, 2, 3, 1).contiguous()
