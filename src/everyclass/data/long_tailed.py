"""The sets that are small enough for memory, and made long-tailed here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from everyclass.data.cifar import CIFAR10, CIFAR100, load_cifar_lt
from everyclass.data.digits import LARGEST, NUM_CLASSES, load_digits_lt
from everyclass.data.image_set import Dataset

__all__ = ["DATASETS", "MadeSet"]


@dataclass(frozen=True)
class MadeSet:
    """A balanced set that is made long-tailed.

    Attributes:
        load: reads the files and draws the long-tailed part.
        largest: training images of the largest class.
        num_classes: C.
    """

    load: Callable[..., Dataset]
    largest: int
    num_classes: int


DATASETS = {
    "cifar100-lt": MadeSet(
        partial(load_cifar_lt, CIFAR100), CIFAR100.largest, CIFAR100.num_classes
    ),
    "cifar10-lt": MadeSet(partial(load_cifar_lt, CIFAR10), CIFAR10.largest, CIFAR10.num_classes),
    "digits-lt": MadeSet(load_digits_lt, LARGEST, NUM_CLASSES),
}
