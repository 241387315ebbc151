"""Sharpness and Gaussian blur, equal to Pillow's."""

from __future__ import annotations

import torch
from torch import Tensor

from everyclass.data.augmentation.operations.colour import blend
from everyclass.data.augmentation.operations.pixels import per_image

__all__ = ["gaussian_blur", "sharpness"]

PASSES = 3


def sharpness(images: Tensor, factors: Tensor) -> Tensor:
    """Smoothed at factor 0, unchanged at 1; exactly ``ImageEnhance.Sharpness``.

    Smoothing is the 3 × 3 kernel of ones with 5 in its middle, over 13; the border stays as it is.

    Args:
        images: (k, h, w, 3) uint8.
        factors: (k,) on the CPU.
    """
    smooth = images.float()
    if min(images.shape[1:3]) >= 3:
        middle = images.short()
        lines = middle[:, :-2] + middle[:, 1:-1] + middle[:, 2:]
        nine = lines[:, :, :-2] + lines[:, :, 1:-1] + lines[:, :, 2:]
        thirteen = (nine + 4 * middle[:, 1:-1, 1:-1]).float()
        smooth[:, 1:-1, 1:-1] = ((thirteen + 6.5) / 13).floor_()
    return blend(smooth, images, per_image(factors, images, torch.float32))


def gaussian_blur(images: Tensor, radii: Tensor) -> Tensor:
    """Blur each image by three box filters in each direction; exactly ``ImageFilter.GaussianBlur``.

    Boxes have a fractional radius (Gwosdek et al. 2011), and weights of 24 bits as in Pillow.

    Args:
        images: (k, h, w, 3) uint8.
        radii: (k,) on the CPU, standard deviations in pixels, at least 0.
    """
    box = _box_radii(radii.float())
    reach = box.long()
    inner = ((1 << 24) / (2 * box + 1)).long()
    outer = ((1 << 24) - (2 * reach + 1) * inner) // 2
    weights = []
    for distance in range(int(reach.max()) + 2):
        at_edge = outer * (reach + 1 == distance)
        weights.append(inner.where(reach >= distance, at_edge))
    # Values are taken about 128, so that sums of 24-bit weights stay within int32.
    total = (2 * reach + 1) * inner + 2 * outer
    start = per_image(128 * total - (1 << 31) + (1 << 23), images, torch.int32)
    on_device = [per_image(weight, images, torch.int32) for weight in weights]
    values = images.int().sub_(128)
    for axis in (2, 1):
        values = _box_filters(values, on_device, start, axis)
    return (values + 128).byte()


def _box_radii(radii: Tensor) -> Tensor:
    """Radius of the box whose ``PASSES``-fold use is most like a Gaussian: (k,) float32.

    In float32 with the same steps in float64 as Pillow's C, because the weights show the rounding.
    """
    variance = radii * radii / PASSES
    length = (12 * variance.double() + 1).sqrt().float()
    whole = ((length.double() - 1) / 2).floor().float()
    part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance)
    return whole + part / (6 * (variance - (whole + 1) * (whole + 1)))


def _box_filters(values: Tensor, weights: list[Tensor], start: Tensor, axis: int) -> Tensor:
    """All passes along ``axis``; ``weights`` by distance, the edge's values go on beyond it."""
    size, reach = values.shape[axis], len(weights) - 1
    shape = list(values.shape)
    shape[axis] += 2 * reach
    padded = values.new_empty(shape)
    before, inner, after = padded.split([reach, size, reach], dim=axis)
    inner.copy_(values)
    for _ in range(PASSES):
        before.copy_(inner.narrow(axis, 0, 1).expand_as(before))
        after.copy_(inner.narrow(axis, size - 1, 1).expand_as(after))
        sums = (inner * weights[0]).add_(start)
        for distance in range(1, reach + 1):
            left = padded.narrow(axis, reach - distance, size)
            right = padded.narrow(axis, reach + distance, size)
            sums.addcmul_(left + right, weights[distance])
        inner.copy_(sums.bitwise_right_shift_(24))
    return inner
