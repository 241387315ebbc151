"""What the operations share: numbers per image, rounding to bytes, gathers of whole pixels."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "channels_of",
    "exact_float",
    "images_of",
    "per_image",
    "take_pixels",
    "to_bytes",
    "to_device",
]


def to_device(values: Tensor, images: Tensor) -> Tensor:
    """``values`` from the CPU beside the images, without waiting for the device."""
    return values.to(images.device, non_blocking=True)


def per_image(values: Tensor, images: Tensor, dtype: torch.dtype) -> Tensor:
    """(k,) numbers on the CPU as (k, 1, 1, 1) beside the images."""
    return to_device(values.to(dtype), images).view(-1, 1, 1, 1)


def channels_of(images: Tensor) -> Tensor:
    """(k, h, w, 3) as (3, k, h, w), contiguous, for arithmetic between channels."""
    return images.permute(3, 0, 1, 2).contiguous()


def images_of(channels: Tensor) -> Tensor:
    """(3, k, h, w) as (k, h, w, 3), contiguous."""
    return torch.stack([*channels], dim=3)  # several times faster than a permuted copy


def to_bytes(values: Tensor) -> Tensor:
    """Clip to 0..255 and cut off the fraction, as Pillow does; overwrites ``values``."""
    # By way of int16, because torch converts float to uint8 one value at a time.
    return values.clamp_(0, 255).to(torch.int16).to(torch.uint8)


def take_pixels(images: Tensor, index: Tensor) -> Tensor:
    """Pixels by their number in the batch.

    Args:
        images: (k, h, w, 3), contiguous.
        index: of any shape, in 0..k·h·w − 1.

    Returns:
        ``index``'s shape and 3.
    """
    return images.view(-1, 3).index_select(0, index.flatten()).view(*index.shape, 3)


def exact_float(device: torch.device) -> torch.dtype:
    """What Pillow's C double is on ``device``: float64, but float32 where there is none."""
    return torch.float32 if device.type == "mps" else torch.float64
