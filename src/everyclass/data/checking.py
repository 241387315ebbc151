"""A look at a data set before anything is trained on it: counts, and what does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from everyclass.artifacts import check_free
from everyclass.data.image_set import Dataset, ImageSet
from everyclass.data.opening import open_pictures
from everyclass.data.part_counts import PartCounts
from everyclass.data.pictures import BadPictures, Cut, DecodedSource, EncodedSet, check_bad_list
from everyclass.data.places import search_roots
from everyclass.data.published import (
    PUBLISHED,
    PublishedSet,
    find_published,
    missing_lists,
    read_published,
)
from everyclass.data.registry import DataConfig, load_dataset
from everyclass.data.specs import parse_spec
from everyclass.errors import FileFormatError, MissingFileError, RunFailedError
from everyclass.progress import Progress, silent

__all__ = [
    "DataCheck",
    "Repeats",
    "check_data",
    "count_parts",
    "count_published",
    "find_bad_pictures",
    "find_repeats",
    "open_every_part",
]


def open_every_part(data: str, root: Path | None = None) -> Dataset:
    """A data set with its validation images, where it brings some along.

    Args:
        data: as for ``--data``, see :class:`everyclass.data.DataConfig`.
        root: folder to look in before ``EVERYCLASS_DATA`` and the cache.

    Raises:
        InputError, DataNotFoundError, MissingFileError, FileFormatError: as
            :func:`everyclass.data.load_dataset`.
    """
    config = DataConfig(data)
    if config.in_memory:
        return load_dataset(config, root=root)
    return open_pictures(parse_spec(data), val="any", root=root)


def count_parts(dataset: Dataset) -> list[PartCounts]:
    """Count the images of every part that has any."""
    C = dataset.num_classes
    return [PartCounts.of(part, images.labels, C) for part, images in _parts(dataset)]


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
    return [
        _count_list(published, part, roots, named) for part in _at_hand(published, roots, named)
    ]


def _at_hand(
    published: PublishedSet, roots: Sequence[Path], named: Mapping[str, str] | None
) -> list[str]:
    return [
        part
        for part in published.lists
        if part in (named or {}) or find_published(published, part, roots) is not None
    ]


def _count_list(
    published: PublishedSet, part: str, roots: Sequence[Path], named: Mapping[str, str] | None
) -> PartCounts:
    listed = read_published(published, roots, parts=[part], named=named)[part]
    return PartCounts.of(part, listed.labels, published.num_classes)


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

    Paths are compared and not what is in the files. Pictures inside shards and Hugging Face sets
    are known by their name or row there, so none of them is found twice.

    Args:
        dataset: what to look at; images in memory have no names.

    Returns:
        One for each part that has such pictures.
    """
    found = []
    for part, images in _parts(dataset):
        if not isinstance(images, EncodedSet):
            continue
        first: dict[str, int] = {}
        again: dict[str, set[int]] = {}
        for place, label in zip(images.places, images.labels.tolist(), strict=True):
            if place in first:
                again.setdefault(place, {first[place]}).add(label)
            else:
                first[place] = label
        if again:
            example = max(again, key=lambda place: len(again[place]))
            several = sum(len(labels) > 1 for labels in again.values())
            found.append(Repeats(part, len(again), several, example))
    return found


def find_bad_pictures(
    dataset: Dataset, *, workers: int | None = None, batch: int = 64, show: Progress = silent
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


@dataclass(frozen=True)
class DataCheck:
    """What a look at a data set found.

    Attributes:
        slug: what the set is called.
        counts: of each part that could be counted.
        repeats: pictures that a part names more than once.
        bad: pictures that cannot be read; None if none was opened.
        wrong: what is wrong with lists, or missing, in sentences.
        problems: the same, and in the last sentence the bad pictures.
    """

    slug: str
    counts: tuple[PartCounts, ...]
    repeats: tuple[Repeats, ...]
    bad: BadPictures | None
    wrong: tuple[str, ...]
    problems: tuple[str, ...]

    def raise_problems(self) -> None:
        """Raise what is wrong, all of it at once, a sentence a line.

        Raises:
            FileFormatError: lists are missing, or do not say what they should.
            RunFailedError: only pictures are bad.
        """
        if self.problems:
            kind = FileFormatError if self.wrong else RunFailedError
            raise kind("\n".join(self.problems))


def check_data(
    data: str,
    *,
    root: Path | None = None,
    decode: bool = False,
    bad_list: Path | None = None,
    workers: int | None = None,
    show: Progress = silent,
) -> DataCheck:
    """Count a data set's parts and find everything that does not fit.

    Of a published set only the lists are looked at, if no picture is to be opened; each that is at
    hand is checked, and pictures are not opened before all are there and right.

    Args:
        data: as for ``--data``, see :class:`everyclass.data.DataConfig`.
        root: folder to look in before ``EVERYCLASS_DATA`` and the cache.
        decode: open and decode every picture.
        bad_list: a ``.csv`` to list bad pictures in; one of an earlier look is replaced, or removed
            where no picture is bad any more.
        workers, show: see :func:`find_bad_pictures`.

    Returns:
        What was found, bad pictures and wrong lists included.

    Raises:
        InputError: there is no such data set, its parts do not fit each other, or ``bad_list`` is
            one of its files.
        OutputExistsError: ``bad_list`` is there and is no list of bad pictures.
        DataNotFoundError, MissingFileError, FileFormatError: the set cannot be opened.
    """
    config = DataConfig(data)
    if decode and bad_list is not None:
        check_free([bad_list], keep=parse_spec(data).files, overwrite=True)
        check_bad_list(bad_list)
    counts: list[PartCounts] = []
    repeats: list[Repeats] = []
    wrong: list[str] = []
    bad = None
    published = PUBLISHED.get(config.kind)
    if published is not None:
        counts, wrong = _checked_lists(published, search_roots(root), parse_spec(data).options)
    if published is None or (decode and not wrong):
        dataset = open_every_part(data, root=root)
        counts, repeats = count_parts(dataset), find_repeats(dataset)
        wrong += [_torn(each) for each in repeats if each.two_classes]
        if decode:
            bad = find_bad_pictures(dataset, workers=workers, show=show)
            if bad_list is not None:
                bad.save(bad_list)
    unusable = [_unusable(bad, bad_list)] if bad else []
    return DataCheck(
        config.slug, tuple(counts), tuple(repeats), bad, tuple(wrong), (*wrong, *unusable)
    )


def _checked_lists(
    published: PublishedSet, roots: Sequence[Path], named: Mapping[str, str]
) -> tuple[list[PartCounts], list[str]]:
    """The counts of the lists that fit, and what is wrong with others or missing."""
    counts: list[PartCounts] = []
    wrong: dict[str, str] = {}
    for part in _at_hand(published, roots, named):
        try:
            counts.append(_count_list(published, part, roots, named))
        except (FileFormatError, MissingFileError) as error:
            wrong[part] = str(error)
    missing = {
        part: file for part, file in missing_lists(published, counts).items() if part not in wrong
    }
    sentences = list(wrong.values())
    if missing:
        sentences.append(
            f"{published.title} lacks {', '.join(missing.values())}: lines 'path label', "
            f"{', '.join(f'{published.totals[part]:,}' for part in missing)} of them. They belong "
            f"into {roots[0] / 'lists'}."
        )
    return counts, sentences


def _torn(repeats: Repeats) -> str:
    images = "image is" if repeats.two_classes == 1 else "images are"
    return (
        f"{repeats.two_classes:,} {repeats.part} {images} there under more than one class, such as "
        f"{repeats.example}; leave one line of each."
    )


def _unusable(bad: BadPictures, bad_list: Path | None) -> str:
    pictures = "picture" if len(bad) == 1 else "pictures"
    place, reason = next(iter(bad.found.items()))
    listed = "" if bad_list is None else f"; all are listed in {bad_list}"
    return f"{len(bad):,} {pictures} cannot be used, the first of them {place} ({reason}){listed}."


def _parts(dataset: Dataset) -> list[tuple[str, ImageSet | EncodedSet]]:
    parts = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    return [(part, images) for part, images in parts.items() if images is not None and len(images)]
