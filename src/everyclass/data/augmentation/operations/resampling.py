"""Operations that blend neighbouring pixels: the resized crop, the smooth shear."""

from __future__ import annotations

import torch
from torch import Tensor

from everyclass.data.augmentation.operations.pixels import exact_float, to_bytes, to_device

__all__ = ["resized_crop", "smooth_shear_x", "smooth_shear_y"]

BITS = 22  # of Pillow's weights


def resized_crop(
    images: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor
) -> Tensor:
    """Cut a box out of each image and enlarge it to the image's size, bilinearly.

    Exactly Pillow's ``crop`` and then ``resize`` with ``BILINEAR``: columns first, then lines, with
    22-bit weights and bytes in between.

    Args:
        images: (k, h, w, 3) uint8.
        top, left: (k,) int64 on the CPU, the first line and column of each box.
        height, width: (k,) int64 on the CPU, at least 1; the box lies within the image.
    """
    k, lines, columns, _ = images.shape
    places, weights = _taps(left, width, columns)
    # One number per byte of a line: torch gathers those faster than pixels of three bytes.
    bytes_ = (3 * places[..., None] + torch.arange(3)).view(2, k, 1, -1)
    pair = [images.flatten(2).gather(2, x.expand(k, lines, -1)) for x in to_device(bytes_, images)]
    weights = weights.repeat_interleave(3, dim=2).unsqueeze(2)
    enlarged = _weighted(pair, to_device(weights, images)).view(k * lines, -1)

    places, weights = _taps(top, height, lines)
    numbers = (places + lines * torch.arange(k)[:, None]).view(2, -1)
    pair = [enlarged.index_select(0, x) for x in to_device(numbers, images)]
    return _weighted(pair, to_device(weights.view(2, -1, 1), images)).view(images.shape)


def _weighted(pair: list[Tensor], weights: Tensor) -> Tensor:
    """Mean of two uint8 tensors by int32 weights, rounded, as uint8."""
    sums = pair[0].int().mul_(weights[0]).add_(pair[1].int().mul_(weights[1]))
    return sums.add_(1 << (BITS - 1)).bitwise_right_shift_(BITS).byte()


def _taps(first: Tensor, count: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The two places of which each of ``size`` new ones is made, and their 22-bit weights.

    Args:
        first, count: (k,) int64, the part that is enlarged to ``size`` places.
        size: number of new places.

    Returns:
        Places before and after, (2, k, size) int64, and weights, (2, k, size) int32.
    """
    span = count.double()[:, None]
    centre = (torch.arange(size) + 0.5) * (span / size)
    before = (centre - 0.5).floor()
    places = torch.stack([before, before + 1])
    # A place outside the part has no weight, and the two weights are made to sum to 1.
    weights = (1 - (places - centre + 0.5).abs()) * ((places >= 0) & (places < span))
    fixed = (weights / weights.sum(dim=0) * (1 << BITS) + 0.5).int()
    return places.clamp(min=0).minimum(span - 1).long() + first[:, None], fixed


def smooth_shear_x(images: Tensor, slopes: Tensor, fill: int = 0) -> Tensor:
    """Shear along the lines with cubic interpolation; exactly Pillow's ``BICUBIC`` transform.

    On devices without float64 a value may be one lower or higher.

    Args:
        images: (k, h, w, 3) uint8.
        slopes: (k,) on the CPU, columns per line, about the upper left corner.
        fill: 0..255, of what comes from outside.
    """
    height, width = images.shape[1:3]
    down = slopes.double()[:, None, None] * (torch.arange(height) + 0.5)[:, None]
    middle = torch.arange(width) + 0.5 + down
    source = (middle - 0.5).floor()
    outside = to_device((middle < 0) | (middle >= width), images)[..., None]
    part = (middle - 0.5 - source).to(exact_float(images.device))
    part = to_device(part, images)[..., None]
    taps = []
    for offset in (-1, 0, 1, 2):
        column = to_device((source + offset).clamp(0, width - 1).long(), images)[..., None]
        taps.append(images.gather(2, column.expand_as(images)).to(part.dtype))
    a, b, c, d = taps
    # Pillow's cubic, in its order of operations.
    cubic = 2 * (a - b) + c - d + (b - a + d - c) * part
    cubic = b + (c - a + cubic * part) * part
    return to_bytes(cubic).masked_fill_(outside, fill)


def smooth_shear_y(images: Tensor, slopes: Tensor, fill: int = 0) -> Tensor:
    """Shear along the columns; as :func:`smooth_shear_x`."""
    turned = images.transpose(1, 2).contiguous()
    return smooth_shear_x(turned, slopes, fill).transpose(1, 2).contiguous()
