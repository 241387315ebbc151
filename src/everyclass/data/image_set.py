"""Labelled images in memory, and the data sets made of images in memory or in files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import ClassCounts
from everyclass.data.pictures import BadPictureError, Cut, EncodedSet, decode
from everyclass.errors import FileFormatError, first_line

__all__ = ["Dataset", "ImageSet"]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with their labels.

    Attributes:
        images: (n, h, w, 3) uint8.
        labels: (n,) int64 in 0..C−1.
        index: (n,) int64, the row of each image in the original file.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    index: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.intp]) -> ImageSet:
        """The images at ``rows``, in that order."""
        return ImageSet(self.images[rows], self.labels[rows], self.index[rows])

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the original row numbers, in order, as little-endian int64."""
        return hashlib.sha256(self.index.astype("<i8").tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training images, test images, and held-out images where there are any.

    Attributes:
        name: such as ``cifar100-lt``.
        train, test: the images; test is empty where no images are there to judge by.
        val: images that no training uses, or None.
        class_names: C names in class order.
        mean, std: per channel, of pixel values in 0..1, for normalisation.
        crop_padding: pixels of zero padding for the random crop; 0 means no crop, None a random
            resized crop, as pictures of many sizes want it.
        flip: whether a mirrored image keeps its class.
        cut: what becomes of pictures in files; None for images in memory.
        bad_images: "fail" or "skip": what happens where a picture in a file cannot be read.
    """

    name: str
    train: ImageSet | EncodedSet
    test: ImageSet | EncodedSet
    val: ImageSet | EncodedSet | None
    class_names: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop_padding: int | None
    flip: bool
    cut: Cut | None = None
    bad_images: str = "fail"

    @property
    def num_classes(self) -> int:
        """C, the number of classes."""
        return len(self.class_names)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images that a network sees."""
        if self.cut is not None:
            return self.cut.size, self.cut.size
        assert isinstance(self.train, ImageSet)
        return self.train.images.shape[1], self.train.images.shape[2]

    def pictures(
        self, part: ImageSet | EncodedSet, rows: Sequence[int]
    ) -> list[npt.NDArray[np.uint8]]:
        """Some images of a part, (h, w, 3) uint8 each, to be looked at.

        Args:
            part: ``train``, ``val`` or ``test``.
            rows: of that part.

        Raises:
            FileFormatError: a picture in a file cannot be read, or no more.
        """
        if isinstance(part, ImageSet):
            return [part.images[row] for row in rows]
        assert self.cut is not None
        pictures = []
        for row in rows:
            try:
                pictures.append(decode(part.read(row), self.cut)[0])
            except (BadPictureError, OSError) as error:
                raise FileFormatError(
                    f"{part.place(row)} cannot be read as a picture: {first_line(error)}."
                ) from error
        return pictures

    @property
    def class_counts(self) -> ClassCounts:
        """Training images per class."""
        return ClassCounts.from_labels(
            self.train.labels, num_classes=self.num_classes, names=self.class_names
        )
