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
from everyclass.data.batch_source import BatchSource, MemorySource
from everyclass.data.checking import (
    DataCheck,
    Repeats,
    check_data,
    count_parts,
    count_published,
    find_bad_pictures,
    find_repeats,
    open_every_part,
)
from everyclass.data.download import get_dataset
from everyclass.data.image_set import Dataset, ImageSet
from everyclass.data.long_tailed import DATASETS
from everyclass.data.opening import open_pictures
from everyclass.data.part_counts import PartCounts
from everyclass.data.pictures import BadPictures, Cut, DecodedSource, EncodedSet, check_bad_list
from everyclass.data.places import search_roots
from everyclass.data.profiles import Profile, long_tailed_counts
from everyclass.data.published import (
    PUBLISHED,
    find_published,
    missing_lists,
    read_published,
)
from everyclass.data.registry import DataConfig, load_dataset
from everyclass.data.samplers import (
    ClassAware,
    ClassBalanced,
    InstanceBalanced,
    ProgressivelyBalanced,
    RowSampler,
    SquareRoot,
)
from everyclass.data.specs import parse_spec
from everyclass.data.splitting import Split, split
from everyclass.data.table_files import TableFile

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "PUBLISHED",
    "BadPictures",
    "BatchAugmentation",
    "BatchSource",
    "ClassAware",
    "ClassBalanced",
    "Cut",
    "CutMix",
    "DataCheck",
    "DataConfig",
    "Dataset",
    "DecodedSource",
    "EncodedSet",
    "ImageSet",
    "InstanceBalanced",
    "MemorySource",
    "Mixed",
    "Mixup",
    "PartCounts",
    "Profile",
    "ProgressivelyBalanced",
    "Repeats",
    "RowSampler",
    "Split",
    "SquareRoot",
    "TableFile",
    "Transform",
    "check_bad_list",
    "check_data",
    "count_parts",
    "count_published",
    "find_bad_pictures",
    "find_published",
    "find_repeats",
    "get_augmentation",
    "get_dataset",
    "load_dataset",
    "long_tailed_counts",
    "missing_lists",
    "open_every_part",
    "open_pictures",
    "parse_spec",
    "read_published",
    "search_roots",
    "split",
]
