"""Data sets, long-tailed splits and augmentation."""

from everyclass.data.augmentation import (
    AUGMENTATIONS,
    BatchAugmentation,
    CutMix,
    Mixed,
    Mixup,
    Transform,
    get_augmentation,
)
from everyclass.data.download import get_dataset
from everyclass.data.image_set import Dataset, ImageSet
from everyclass.data.profiles import Profile, long_tailed_counts
from everyclass.data.registry import DATASETS, DataConfig, load_dataset
from everyclass.data.samplers import (
    ClassAware,
    ClassBalanced,
    InstanceBalanced,
    ProgressivelyBalanced,
    RowSampler,
    SquareRoot,
)
from everyclass.data.splitting import Split, split
from everyclass.data.table_files import TableFile

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "BatchAugmentation",
    "ClassAware",
    "ClassBalanced",
    "CutMix",
    "DataConfig",
    "Dataset",
    "ImageSet",
    "InstanceBalanced",
    "Mixed",
    "Mixup",
    "Profile",
    "ProgressivelyBalanced",
    "RowSampler",
    "Split",
    "SquareRoot",
    "TableFile",
    "Transform",
    "get_augmentation",
    "get_dataset",
    "load_dataset",
    "long_tailed_counts",
    "split",
]
