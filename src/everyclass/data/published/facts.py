"""What is published about long-tailed sets of large pictures, and how files are checked by it."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources

import numpy as np
import numpy.typing as npt

from everyclass.data.pictures.files import Listed
from everyclass.errors import FileFormatError

__all__ = ["PUBLISHED", "PublishedSet", "check_list"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class PublishedSet:
    """A named set whose lists are published and whose pictures everybody gets for themselves.

    Attributes:
        name, title: what the command line and people call it.
        num_classes: C.
        lists: the file of each part.
        totals: pictures of each part.
        per_class: pictures of each class, of the parts that are balanced.
        counts: the file beside this one with each class's name and training pictures, or None
            where only the total is known.
        folders: what the folder of the pictures may be called, below a data root.
        pictures: where the pictures come from, and how they are laid out.
        mean, std: per channel, that the published recipes normalise by.
    """

    name: str
    title: str
    num_classes: int
    lists: Mapping[str, str]
    totals: Mapping[str, int]
    per_class: Mapping[str, int]
    counts: str | None
    folders: tuple[str, ...]
    pictures: str
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    @cached_property
    def _table(self) -> list[dict[str, str]]:
        if self.counts is None:
            return []
        file = resources.files("everyclass.data.published") / self.counts
        return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """C names in class order, where they are known."""
        return tuple(row["name"] for row in self._table) or None

    def counts_of(self, part: str) -> npt.NDArray[np.int64] | None:
        """(C,) pictures of each class in a part, where that is known."""
        if part == "train":
            counts = [int(row["count"]) for row in self._table]
            return np.array(counts, dtype=np.int64) if counts else None
        return np.full(self.num_classes, self.per_class[part], dtype=np.int64)


PUBLISHED = {
    each.name: each
    for each in (
        PublishedSet(
            name="imagenet-lt",
            title="ImageNet-LT",
            num_classes=1000,
            lists={part: f"ImageNet_LT_{part}.txt" for part in ("train", "val", "test")},
            totals={"train": 115_846, "val": 20_000, "test": 50_000},
            per_class={"val": 20, "test": 50},
            counts="imagenet_lt.csv",
            folders=("imagenet", "ILSVRC2012", "ImageNet"),
            pictures=(
                "the pictures of ILSVRC 2012 (image-net.org), those of train and of val in a "
                "folder for each class"
            ),
        ),
        PublishedSet(
            name="places-lt",
            title="Places-LT",
            num_classes=365,
            lists={part: f"Places_LT_{part}.txt" for part in ("train", "val", "test")},
            totals={"train": 62_500, "val": 7_300, "test": 36_500},
            per_class={"val": 20, "test": 100},
            counts="places_lt.csv",
            folders=("places365", "places365_standard", "Places"),
            pictures=(
                "the pictures of Places365-Standard, 256 × 256 (places2.csail.mit.edu), with the "
                "folders train and val"
            ),
        ),
        PublishedSet(
            name="inat2018",
            title="iNaturalist 2018",
            num_classes=8142,
            lists={"train": "iNaturalist18_train.txt", "test": "iNaturalist18_val.txt"},
            totals={"train": 437_513, "test": 24_426},
            per_class={"test": 3},
            counts=None,
            folders=("inat2018", "iNaturalist18", "iNaturalist2018"),
            pictures=(
                "the pictures of the iNaturalist 2018 competition, with the folder train_val2018"
            ),
            mean=(0.466, 0.471, 0.380),
            std=(0.195, 0.194, 0.192),
        ),
    )
}
"""The sets by name."""


def check_list(published: PublishedSet, part: str, listed: Listed, where: str) -> None:
    """Compare a list with what is published about it.

    Args:
        published: which set.
        part: "train", "val" or "test".
        listed: what the list says.
        where: the list's path, for messages.

    Raises:
        FileFormatError: too few or too many pictures, in all or of a class; a class number out of
            range, a path twice, or a picture among those of another class.
    """
    n, total, C = len(listed.paths), published.totals[part], published.num_classes
    title = f"{published.title}'s {part} list"
    if listed.labels.max() >= C:
        row = int(np.argmax(listed.labels >= C))
        raise FileFormatError(
            f"{where} names class {listed.labels[row]} in picture {row}; {published.title} has the "
            f"classes 0..{C - 1}."
        )
    counts = np.bincount(listed.labels, minlength=C)
    known = published.counts_of(part)
    short = np.flatnonzero(counts < (1 if known is None else known))
    if n != total:
        kind = f"{total - n:,} are missing" if n < total else f"{n - total:,} are too many"
        raise FileFormatError(
            f"{where} is not {title}: it has {n:,} of {total:,} pictures, {kind}"
            f"{_worst(short, counts, known)}. Get the published list."
        )
    if known is not None and not np.array_equal(counts, known):
        wrong = np.flatnonzero(counts != known)
        c = int(wrong[0])
        raise FileFormatError(
            f"{where} is not {title}: {len(wrong)} classes have other numbers of pictures than "
            f"published, the first of them class {c}, {counts[c]:,} for {known[c]:,}."
        )
    if len(short):
        raise FileFormatError(
            f"{where} is not {title}: {len(short)} classes have no picture, the first of them "
            f"class {short[0]}."
        )
    if len(set(listed.paths)) != n:
        twice, _ = Counter(listed.paths).most_common(1)[0]
        raise FileFormatError(f"{where} is not {title}: it has {twice} twice.")
    _check_folders(listed, C, f"{where} is not {title}")


def _check_folders(listed: Listed, num_classes: int, fault: str) -> None:
    """In the published lists the pictures of a class, and no others, are in a folder of its own."""
    class_of: dict[str, int] = {}
    for row, (path, label) in enumerate(zip(listed.paths, listed.labels.tolist(), strict=True)):
        folder = path.rpartition("/")[0]
        if class_of.setdefault(folder, label) != label:
            raise FileFormatError(
                f"{fault}: {folder}/ holds pictures of class {class_of[folder]}, and picture "
                f"{row}, {path}, is said to be of class {label}."
            )
    if len(class_of) != num_classes:
        raise FileFormatError(
            f"{fault}: its pictures are in {len(class_of):,} folders and there are {num_classes:,} "
            "classes, each with its own."
        )


def _worst(
    short: npt.NDArray[np.intp], counts: npt.NDArray[np.int64], known: npt.NDArray[np.int64] | None
) -> str:
    """In how many classes pictures are missing, and where most of them."""
    if known is None or not len(short):
        return ""
    c = int(np.argmax(known - counts))
    what = "class" if len(short) == 1 else "classes"
    return f" in {len(short)} {what}, most of them in class {c} ({counts[c]:,} of {known[c]:,})"
