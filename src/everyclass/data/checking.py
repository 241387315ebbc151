"""A look at a data set before anything is trained on it: counts, and what cannot be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from everyclass.artifacts import ClassCounts
from everyclass.data.image_set import Dataset, ImageSet
from everyclass.data.pictures import BadPictures, Cut, DecodedSource, EncodedSet
from everyclass.data.published import PublishedSet, find_published, read_published
from everyclass.data.registry import DataConfig, load_dataset
from everyclass.errors import InputError
from everyclass.progress import silent

__all__ = [
    "PartCounts",
    "Repeats",
    "count_parts",
    "count_published",
    "find_bad_pictures",
    "find_repeats",
    "open_every_part",
]


@dataclass(frozen=True)
class PartCounts:
    """How many images a part has.

    Attributes:
        part: "train", "val" or "test".
        images: in all.
        classes: with at least one.
        largest, smallest: images of the largest and of the smallest class that has any.
    """

    part: str
    images: int
    classes: int
    largest: int
    smallest: int


def open_every_part(data: str, root: Path | None = None) -> Dataset:
    """A data set with its validation images, where it brings some along.

    Whatever is wrong with a part is refused in either case: all are opened and checked.
    """
    config = DataConfig(data)
    if not config.in_memory:
        with suppress(InputError):
            return load_dataset(replace(config, val="rest"), root=root)
    return load_dataset(config, root=root)


def count_parts(dataset: Dataset) -> list[PartCounts]:
    """Count the images of every part that has any."""
    return [_counted(part, images.labels) for part, images in _parts(dataset)]


def count_published(
    published: PublishedSet, roots: Sequence[Path], named: Mapping[str, str] | None = None
) -> list[PartCounts]:
    """Count the lists of a published set that are at hand, each checked; no picture is needed.

    Args:
        published: which set.
        roots: folders to look in, in order.
        named: paths of lists, instead of looking for them.

    Raises:
        FileFormatError: a list does not fit what is published about it.
    """
    there = [
        part
        for part in published.lists
        if part in (named or {}) or find_published(published, part, roots) is not None
    ]
    lists = read_published(published, roots, parts=there, named=named)
    return [_counted(part, listed.labels) for part, listed in lists.items()]


def _counted(part: str, labels: npt.NDArray[np.int64]) -> PartCounts:
    counts = ClassCounts.from_labels(labels).counts
    some = counts[counts > 0]
    return PartCounts(part, len(labels), len(some), int(some.max()), int(some.min()))


@dataclass(frozen=True)
class Repeats:
    """Pictures that a part names more than once.

    Attributes:
        part: "train", "val" or "test".
        pictures: how many.
        two_classes: how many of them under more than one class.
        example: where one is, under more than one class if there is such a one.
    """

    part: str
    pictures: int
    two_classes: int
    example: str


def find_repeats(dataset: Dataset) -> list[Repeats]:
    """Look for pictures in files that a part names more than once; none is opened.

    Args:
        dataset: what to look at; images in memory have no names.

    Returns:
        One for each part that has such pictures.
    """
    found = []
    for part, images in _parts(dataset):
        if not isinstance(images, EncodedSet):
            continue
        times = Counter(images.places)
        classes: dict[str, set[int]] = {place: set() for place, n in times.items() if n > 1}
        for place, label in zip(images.places, images.labels.tolist(), strict=True):
            if place in classes:
                classes[place].add(label)
        if classes:
            example = max(classes, key=lambda place: len(classes[place]))
            several = sum(len(labels) > 1 for labels in classes.values())
            found.append(Repeats(part, len(classes), several, example))
    return found


def find_bad_pictures(
    dataset: Dataset, *, workers: int | None = None, batch: int = 64, show: Any = silent
) -> BadPictures:
    """Open and decode every picture of a data set whose pictures are in files.

    Args:
        dataset: what to look at; images in memory are not looked at again.
        workers: processes; default one per core.
        batch: pictures for one worker at a time.
        show: how progress is shown.
    """
    bad = BadPictures("skip")
    for part, images in _parts(dataset):
        if not isinstance(images, EncodedSet):
            continue
        source = DecodedSource(
            images,
            cut=Cut(size=16),
            augmentations=[()],
            mean=dataset.mean,
            std=dataset.std,
            device=torch.device("cpu"),
            bad=bad,
            workers=workers,
        )
        with show(f"checking {part} images", len(images), "images") as task:
            for rows, _ in source.pixels(torch.arange(len(images)).split(batch)):
                task.advance(len(rows))
    return bad


def _parts(dataset: Dataset) -> list[tuple[str, ImageSet | EncodedSet]]:
    parts = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    return [(part, images) for part, images in parts.items() if images is not None and len(images)]
