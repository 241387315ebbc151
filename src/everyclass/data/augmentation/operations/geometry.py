"""Rotation, shear and translation by the nearest pixel: one gather for all of them.

All are equal to Pillow's ``Image.rotate`` and ``Image.transform`` with ``NEAREST``, which compute
in 16.16 fixed point (Pillow, ``Geometry.c``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from everyclass.data.augmentation.operations.pixels import take_pixels, to_device

__all__ = ["rotate", "shear_x", "shear_y", "translate_x", "translate_y"]


def rotate(images: Tensor, degrees: Tensor, fill: int = 0) -> Tensor:
    """Turn each image counter-clockwise about its centre; exactly ``Image.rotate``.

    Args:
        images: (k, h, w, 3) uint8.
        degrees: (k,) on the CPU.
        fill: 0..255, of what comes from outside.
    """
    height, width = images.shape[1:3]
    angle = -torch.deg2rad(degrees.double() % 360)
    cos, sin = angle.cos(), angle.sin()
    x, y = width / 2, height / 2
    return _affine(
        images, [cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y], fill
    )


def shear_x(images: Tensor, slopes: Tensor, fill: int = 0) -> Tensor:
    """Shear along the lines; exactly Pillow's matrix (1, slope, 0, 0, 1, 0).

    Args:
        images: (k, h, w, 3) uint8.
        slopes: (k,) on the CPU, columns per line, about the upper left corner.
        fill: 0..255, of what comes from outside.
    """
    zero, one = _constants(slopes)
    return _affine(images, [one, slopes.double(), zero, zero, one, zero], fill)


def shear_y(images: Tensor, slopes: Tensor, fill: int = 0) -> Tensor:
    """Shear along the columns; exactly Pillow's matrix (1, 0, 0, slope, 1, 0)."""
    zero, one = _constants(slopes)
    return _affine(images, [one, zero, zero, slopes.double(), one, zero], fill)


def translate_x(images: Tensor, pixels: Tensor, fill: int = 0) -> Tensor:
    """Move to the left; exactly Pillow's matrix (1, 0, pixels, 0, 1, 0).

    Args:
        images: (k, h, w, 3) uint8.
        pixels: (k,) on the CPU; the nearest whole number is meant.
        fill: 0..255, of what comes from outside.
    """
    zero, one = _constants(pixels)
    return _affine(images, [one, zero, _nearest(pixels), zero, one, zero], fill)


def translate_y(images: Tensor, pixels: Tensor, fill: int = 0) -> Tensor:
    """Move up; exactly Pillow's matrix (1, 0, 0, 0, 1, pixels)."""
    zero, one = _constants(pixels)
    return _affine(images, [one, zero, zero, zero, one, _nearest(pixels)], fill)


def _constants(like: Tensor) -> tuple[Tensor, Tensor]:
    zero = torch.zeros(len(like), dtype=torch.float64)
    return zero, zero + 1


def _nearest(pixels: Tensor) -> Tensor:
    # Pillow shifts without fixed point: the source of column x is the one that holds x + ½ + shift.
    return (pixels.double() + 0.5).floor()


def _affine(images: Tensor, matrix: list[Tensor], fill: int) -> Tensor:
    """Pixel (x, y) becomes the source's pixel at (a·x + b·y + c, d·x + e·y + f), from centres.

    Args:
        images: (k, h, w, 3) uint8.
        matrix: a to f, each (k,) float64 on the CPU.
        fill: of what comes from outside.
    """
    k, height, width, _ = images.shape
    a, b, c, d, e, f = matrix
    centred = torch.stack([a, b, c + a * 0.5 + b * 0.5, d, e, f + d * 0.5 + e * 0.5])
    fixed = (centred * 65536 + 0.5).floor()
    a, b, c, d, e, f = to_device(fixed.int(), images).view(6, k, 1, 1)
    x = torch.arange(width, dtype=torch.int32, device=images.device)
    y = torch.arange(height, dtype=torch.int32, device=images.device)[:, None]
    # A frame of one pixel of the fill takes everything that comes from outside.
    framed = torch.nn.functional.pad(images, (0, 0, 1, 1, 1, 1), value=fill)
    column = ((a * x + (b * y + c)) >> 16).clamp_(-1, width) + 1
    line = ((d * x + (e * y + f)) >> 16).clamp_(-1, height) + 1
    first = torch.arange(k, dtype=torch.int32, device=images.device) * ((height + 2) * (width + 2))
    return take_pixels(framed, line * (width + 2) + column + first.view(-1, 1, 1))
