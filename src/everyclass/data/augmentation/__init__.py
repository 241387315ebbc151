"""Augmentation of a whole batch at once, on whatever device the images are.

A transform takes (b, h, w, 3) uint8 images and a CPU generator and gives a random view of each;
``BatchAugmentation`` chains them and normalises; ``Mixup`` and ``CutMix`` come after that.
"""

from everyclass.data.augmentation.autoaugment import AutoAugment
from everyclass.data.augmentation.batches import BatchAugmentation
from everyclass.data.augmentation.contrastive import ColorJitter, GaussianBlur, Grayscale
from everyclass.data.augmentation.crop_and_flip import CropAndFlip
from everyclass.data.augmentation.cutout import Cutout
from everyclass.data.augmentation.drawing import Transform
from everyclass.data.augmentation.mixing import CutMix, Mixed, Mixup
from everyclass.data.augmentation.pipelines import AUGMENTATIONS, get_augmentation
from everyclass.data.augmentation.randaugment import RandAugment
from everyclass.data.augmentation.resized_crop import RandomResizedCrop
from everyclass.data.augmentation.rotation import Rotation

__all__ = [
    "AUGMENTATIONS",
    "AutoAugment",
    "BatchAugmentation",
    "ColorJitter",
    "CropAndFlip",
    "CutMix",
    "Cutout",
    "GaussianBlur",
    "Grayscale",
    "Mixed",
    "Mixup",
    "RandAugment",
    "RandomResizedCrop",
    "Rotation",
    "Transform",
    "get_augmentation",
]
