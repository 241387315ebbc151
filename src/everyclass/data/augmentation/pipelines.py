"""The augmentations that have a name."""

from __future__ import annotations

from collections.abc import Callable

from everyclass.data.augmentation.autoaugment import AutoAugment
from everyclass.data.augmentation.checks import check_name
from everyclass.data.augmentation.contrastive import ColorJitter, GaussianBlur, Grayscale
from everyclass.data.augmentation.crop_and_flip import CropAndFlip
from everyclass.data.augmentation.cutout import Cutout
from everyclass.data.augmentation.drawing import Transform
from everyclass.data.augmentation.randaugment import RandAugment
from everyclass.data.augmentation.resized_crop import RandomResizedCrop
from everyclass.data.augmentation.rotation import Rotation

__all__ = ["AUGMENTATIONS", "get_augmentation"]

Pipeline = Callable[[int | None, bool], tuple[Transform, ...]]


def _none(crop_padding: int | None, flip: bool) -> tuple[Transform, ...]:
    return ()


def _basic(crop_padding: int | None, flip: bool) -> tuple[Transform, ...]:
    if crop_padding is None:
        return (RandomResizedCrop((0.08, 1.0)), CropAndFlip(0, flip))
    return (CropAndFlip(crop_padding, flip),)


def _then(*more: Transform) -> Pipeline:
    def transforms(crop_padding: int | None, flip: bool) -> tuple[Transform, ...]:
        return (*_basic(crop_padding, flip), *more)

    return transforms


def _jitter() -> ColorJitter:
    return ColorJitter(0.4, 0.4, 0.4, 0.0, p=1.0)


def _contrastive(smallest: float, blurred: float, jitter: ColorJitter | None = None) -> Pipeline:
    def transforms(crop_padding: int | None, flip: bool) -> tuple[Transform, ...]:
        return (
            RandomResizedCrop((smallest, 1.0)),
            CropAndFlip(0, flip),
            jitter or ColorJitter(),
            Grayscale(),
            *([GaussianBlur(p=blurred)] if blurred else []),
        )

    return transforms


AUGMENTATIONS: dict[str, Pipeline] = {
    "none": _none,
    "basic": _basic,  # LDAM, BOT, LADE, MiSLAS
    "rotation": _then(Rotation(15)),  # RIDE
    "autoaugment": _then(AutoAugment(style="published"), Cutout()),  # BALMS; PaCo's query
    "randaugment": _then(RandAugment()),
    "jitter": _then(_jitter()),  # ImageNet-LT: OLTR, Decoupling, BALMS, LADE, MiSLAS, RIDE
    "jitter-randaugment": _then(  # PaCo's query, ImageNet-LT
        _jitter(), RandAugment(2, 30, magnitude_std=1.5, probability=0.5)
    ),
    "contrastive": _contrastive(smallest=0.2, blurred=0.5),  # PaCo's key
    "contrastive-less-blur": _contrastive(smallest=0.2, blurred=0.2),  # GPaCo's second view
    "contrastive-jitter": _contrastive(  # PaCo's key, ImageNet-LT
        smallest=0.08, blurred=0.5, jitter=_jitter()
    ),
    "contrastive-no-blur": _contrastive(smallest=0.08, blurred=0.0),  # ProCo
}
"""Transforms by name, from a data set's crop padding and whether its images may be mirrored."""


def get_augmentation(name: str, *, crop_padding: int | None, flip: bool) -> tuple[Transform, ...]:
    """The transforms of the augmentation called ``name``, in order.

    Args:
        name: one of ``AUGMENTATIONS``.
        crop_padding: pixels of black padding for the random crop, where there is one; 0: no crop;
            None: a random resized crop in its place.
        flip: whether a mirrored image keeps its class; without it no image is ever mirrored.

    Raises:
        InputError: there is none of that name; the nearest is suggested.

    Example:
        >>> [type(t).__name__ for t in get_augmentation("rotation", crop_padding=4, flip=True)]
        ['CropAndFlip', 'Rotation']
    """
    check_name("augmentation", name, AUGMENTATIONS)
    return AUGMENTATIONS[name](crop_padding, flip)
