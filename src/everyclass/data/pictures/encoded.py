"""Labelled pictures that stay encoded where they are until they are needed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Encoded", "EncodedSet"]


class Encoded(Protocol):
    """Where the bytes of pictures come from. Used in several processes at once."""

    def __len__(self) -> int:
        """How many pictures there are."""

    def read(self, row: int) -> bytes:
        """The content of the picture's file.

        Raises:
            OSError: it cannot be read.
        """

    def place(self, row: int) -> str:
        """What to call the picture where it is missing or damaged: its path."""

    def name(self, row: int) -> str:
        """What the picture is called wherever its folder is; part of a set's fingerprint."""

    def sizes(self, rows: npt.NDArray[np.int64]) -> Iterable[int]:
        """Bytes of these pictures' files, or of those that hold all; −1 of one that is missing."""


@dataclass(frozen=True, eq=False)
class EncodedSet:
    """Labelled pictures in files; any range of them can be read by itself.

    Attributes:
        source: where the bytes come from.
        labels: (n,) int64 in 0..C−1.
        index: (n,) int64, the row of each picture in ``source``.
    """

    source: Encoded
    labels: npt.NDArray[np.int64]
    index: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.intp]) -> EncodedSet:
        """The pictures at ``rows``, in that order; nothing is read."""
        return EncodedSet(self.source, self.labels[rows], self.index[rows])

    def read(self, row: int) -> bytes:
        """The encoded picture at ``row``."""
        return self.source.read(int(self.index[row]))

    def place(self, row: int) -> str:
        """Where the picture at ``row`` is, for messages."""
        return self.source.place(int(self.index[row]))

    def name(self, row: int) -> str:
        """What the picture at ``row`` is called, wherever its folder is."""
        return self.source.name(int(self.index[row]))

    @property
    def places(self) -> Iterator[str]:
        """Where each picture is, in order, however its list spells the path.

        Links to folders are followed, links to files are not.
        """
        real: dict[str, str] = {}  # of each folder: there are few, and pictures may be millions
        for row in range(len(self)):
            folder, name = os.path.split(self.place(row))
            if folder not in real:
                real[folder] = _real(folder)
            yield os.path.join(real[folder], name)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the lines ``name label``, in order."""
        digest = hashlib.sha256()
        for row, label in enumerate(self.labels.tolist()):
            digest.update(f"{self.name(row)} {label}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    @property
    def sizes_digest(self) -> str:
        """SHA-256 (hex) of the sizes of the files: other pictures of the same names differ."""
        sizes = np.fromiter(self.source.sizes(self.index), dtype=np.int64)
        return hashlib.sha256(sizes.tobytes()).hexdigest()


def _real(folder: str) -> str:
    try:
        return os.path.realpath(folder)
    except ValueError:  # a NUL in it, so that nothing can be there
        return folder
