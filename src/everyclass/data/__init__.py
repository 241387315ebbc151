"""Data sets, long-tailed splits and augmentation."""

from everyclass.data.augmentation import BatchAugmentation
from everyclass.data.download import get_dataset
from everyclass.data.image_set import Dataset, ImageSet
from everyclass.data.profiles import Profile, long_tailed_counts
from everyclass.data.registry import DATASETS, DataConfig, load_dataset

__all__ = [
    "DATASETS",
    "BatchAugmentation",
    "DataConfig",
    "Dataset",
    "ImageSet",
    "Profile",
    "get_dataset",
    "load_dataset",
    "long_tailed_counts",
]
