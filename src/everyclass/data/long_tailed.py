"""The sets that are small enough for memory, and made long-tailed here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from everyclass.data.cifar import CIFAR10, CIFAR100, load_cifar_lt
from everyclass.data.digits import LARGEST, NUM_CLASSES, load_digits_lt
from everyclass.data.image_set import Dataset

__all__ = ["DATASETS", "MADE_OF"]

DATASETS: dict[str, Callable[..., Dataset]] = {
    "cifar100-lt": partial(load_cifar_lt, CIFAR100),
    "cifar10-lt": partial(load_cifar_lt, CIFAR10),
    "digits-lt": load_digits_lt,
}

MADE_OF = {
    "cifar100-lt": (CIFAR100.largest, CIFAR100.num_classes),
    "cifar10-lt": (CIFAR10.largest, CIFAR10.num_classes),
    "digits-lt": (LARGEST, NUM_CLASSES),
}
"""Images of the largest class, and classes."""
