"""The sets that are small enough for memory, and made long-tailed here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from everyclass.data import cifar, digits
from everyclass.data.image_set import Dataset

__all__ = ["DATASETS", "MadeSet"]


@dataclass(frozen=True)
class MadeSet:
    """A balanced set that is made long-tailed.

    Attributes:
        load: reads the files and draws the long-tailed part.
        largest: training images of the largest class.
        num_classes: C.
        mean, std: per channel, that images are normalised by.
    """

    load: Callable[..., Dataset]
    largest: int
    num_classes: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def _cifar(facts: cifar.CIFARFacts) -> MadeSet:
    load = partial(cifar.load_cifar_lt, facts)
    return MadeSet(load, facts.largest, facts.num_classes, cifar.MEAN, cifar.STD)


DATASETS = {
    "cifar100-lt": _cifar(cifar.CIFAR100),
    "cifar10-lt": _cifar(cifar.CIFAR10),
    "digits-lt": MadeSet(
        digits.load_digits_lt, digits.LARGEST, digits.NUM_CLASSES, digits.MEAN, digits.STD
    ),
}
