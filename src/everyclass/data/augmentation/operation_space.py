"""The operations from which AutoAugment and RandAugment choose, and their magnitudes.

An operation's strength is its level as a share of the highest level, 0..1, with a random sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import Tensor

from everyclass.data.augmentation import operations as ops
from everyclass.data.augmentation.drawing import Operation

__all__ = ["STYLES", "Style", "operation_space"]

SHEAR = 0.3
TRANSLATION = 150 / 331  # of the side: the policy was found on images of 331 × 331
ROTATION = 30.0
ENHANCEMENT = 0.9


@dataclass(frozen=True)
class Style:
    """Where implementations differ.

    Attributes:
        fill: grey level of what comes from outside.
        smooth_shear: shear by cubic interpolation instead of the nearest pixel.
        rotate_both_ways: rotate by −30..30 degrees instead of 0..30.
        whole_pixels: cut off the fraction of a translation instead of rounding it.
        solarize_from: the threshold of level 0.
    """

    fill: int
    smooth_shear: bool
    rotate_both_ways: bool
    whole_pixels: bool
    solarize_from: float


STYLES = {
    "torchvision": Style(0, False, True, True, 255.0),
    # The stand-alone copy of the policy that the published long-tailed pipelines carry.
    "published": Style(128, True, False, False, 256.0),
}


def operation_space(style: Style) -> dict[str, Operation]:
    """Operations by name, from images and (k,) strengths in −1..1 on the CPU.

    Operations without a sign take the strength's absolute value, those without magnitude ignore it.
    """
    shear_x = ops.smooth_shear_x if style.smooth_shear else ops.shear_x
    shear_y = ops.smooth_shear_y if style.smooth_shear else ops.shear_y

    def pixels(side: int, strengths: Tensor) -> Tensor:
        exact = TRANSLATION * side * strengths
        return exact.trunc() if style.whole_pixels else exact

    def rotate(images: Tensor, strengths: Tensor) -> Tensor:
        turn = strengths if style.rotate_both_ways else strengths.abs()
        return ops.rotate(images, ROTATION * turn, style.fill)

    def enhance(operation: Operation, images: Tensor, strengths: Tensor) -> Tensor:
        return operation(images, 1 + ENHANCEMENT * strengths)

    def solarize(images: Tensor, strengths: Tensor) -> Tensor:
        # A threshold that should be whole and is a hair above it would spare one value more.
        return ops.solarize(images, (style.solarize_from * (1 - strengths.abs())).round(decimals=6))

    return {
        "identity": lambda images, _: images,
        "shear-x": lambda images, s: shear_x(images, SHEAR * s, style.fill),
        "shear-y": lambda images, s: shear_y(images, SHEAR * s, style.fill),
        "translate-x": lambda images, s: ops.translate_x(
            images, pixels(images.shape[2], s), style.fill
        ),
        "translate-y": lambda images, s: ops.translate_y(
            images, pixels(images.shape[1], s), style.fill
        ),
        "rotate": rotate,
        "brightness": partial(enhance, ops.brightness),
        "color": partial(enhance, ops.saturation),
        "contrast": partial(enhance, ops.contrast),
        "sharpness": partial(enhance, ops.sharpness),
        # From 8 bits down to 4.
        "posterize": lambda images, s: ops.posterize(images, (8 - 4 * s.abs()).round()),
        "solarize": solarize,
        "autocontrast": lambda images, _: ops.autocontrast(images),
        "equalize": lambda images, _: ops.equalize(images),
        "invert": lambda images, _: ops.invert(images),
    }
