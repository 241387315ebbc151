"""Turning the hue by way of HSV in bytes, as torchvision does with Pillow's HSV images.

The HSV of bytes is coarse (hues are 1.4° apart), so a neighbouring hue is up to six levels away in
a channel. Hence the conversions reproduce Pillow's numbers exactly, and not only nearly.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from everyclass.data.augmentation.operations.pixels import (
    channels_of,
    images_of,
    per_image,
    to_bytes,
)

__all__ = ["shift_hue"]


def shift_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue of each image; exactly Pillow's RGB → HSV → RGB around a shift of bytes.

    Args:
        images: (k, h, w, 3) uint8.
        turns: (k,) on the CPU, of the full circle, −½..½; cut to whole 255ths towards 0.
    """
    # All numbers are whole and below 2²⁴, so float32 is exact, and faster than integers.
    channels = channels_of(images).float()
    red, green, blue = channels
    value = torch.maximum(torch.maximum(red, green), blue)
    spread = value - torch.minimum(torch.minimum(red, green), blue)
    saturation = (255 * spread).div_(value.clamp(min=1)).floor_()
    difference = ((green - red) * 511 + (blue - red)).add_(255 * 512).int()
    hue = _hues(images.device).index_select(0, difference.flatten()).view_as(value)
    # Bytes wrap around, as the circle does.
    hue = hue + per_image((turns * 255).trunc() % 256, images, torch.uint8)[..., 0]
    # How far each channel's hue is from the pixel's, 0 (near) to 255 (far): the circle has 1530
    # steps, 6 per hue, and the channels stand a third of it apart.
    places = torch.arange(0, 1530, 510, dtype=torch.float32, device=images.device)
    steps = (6 * hue.float() - places.view(3, 1, 1, 1)).abs_()
    distance = torch.minimum(steps, 1530 - steps).sub_(255).clamp_(0, 255)
    # A channel is value·(1 − saturation·distance), in 255ths and 65025ths, to the nearest. Only a
    # true division is exact, and torch divides by a number as it multiplies by the reciprocal.
    product = (65025 - distance.mul_(saturation)).mul_(value).add_(65025 // 2)
    whole = torch.full((), 65025.0, device=images.device)
    return images_of(to_bytes(product.div_(whole)))


@cache
def _hues(device: torch.device) -> Tensor:
    """Pillow's hue by green − red and blue − red, each −255..255: (511·511,) uint8.

    Pillow divides in float32, so that some hues are one lower than exact arithmetic has them;
    hence the table is made by Pillow itself, of colours whose smallest channel is 0.
    """
    from PIL import Image

    green, blue = np.meshgrid(np.arange(-255, 256), np.arange(-255, 256), indexing="ij")
    colours = np.stack([np.zeros_like(green), green, blue], axis=2)
    # Differences above 255 occur in no image.
    colours = (colours - colours.min(axis=2, keepdims=True)).clip(max=255).astype(np.uint8)
    hues = np.array(Image.fromarray(colours).convert("HSV"))[..., 0]
    return torch.from_numpy(hues.ravel()).to(device)
