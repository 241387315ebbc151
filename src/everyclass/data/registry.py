"""The data sets that have a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from everyclass.data.cifar import CIFAR10, CIFAR100, load_cifar_lt
from everyclass.data.digits import load_digits_lt
from everyclass.data.image_set import Dataset
from everyclass.data.profiles import Profile
from everyclass.errors import InputError

__all__ = ["DATASETS", "DataConfig", "load_dataset"]

DATASETS: dict[str, Callable[..., Dataset]] = {
    "cifar100-lt": partial(load_cifar_lt, CIFAR100),
    "cifar10-lt": partial(load_cifar_lt, CIFAR10),
    "digits-lt": load_digits_lt,
}


@dataclass(frozen=True)
class DataConfig:
    """Which data set, made long-tailed how.

    Attributes:
        name: one of ``DATASETS``.
        imbalance_ratio: largest over smallest class.
        profile: "exp" or "step".
        val: "none", or "rest" for a held-out set that no training uses.
    """

    name: str = "cifar100-lt"
    imbalance_ratio: float = 100.0
    profile: Profile = "exp"
    val: str = "none"

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for ``config.json``."""
        return asdict(self)


def load_dataset(config: DataConfig, *, root: str | Path | None = None) -> Dataset:
    """Load a named data set.

    Args:
        config: which one, and how long-tailed.
        root: folder to look in before ``EVERYCLASS_DATA`` and the cache.

    Raises:
        InputError: there is no data set of that name, or the split is impossible.
        DataNotFoundError: its files are in none of the places tried.

    Example:
        >>> digits = load_dataset(DataConfig("digits-lt", imbalance_ratio=20))
        >>> digits.class_counts.counts.tolist()
        [120, 86, 61, 44, 31, 22, 16, 11, 8, 6]
    """
    if config.name not in DATASETS:
        raise InputError(
            f"There is no data set {config.name!r}; there are {', '.join(sorted(DATASETS))}."
        )
    return DATASETS[config.name](
        imbalance_ratio=config.imbalance_ratio, profile=config.profile, val=config.val, root=root
    )
