"""WebDataset shards: plain tar files in which ``key.jpg`` stands beside ``key.cls``.

A tar file that is not compressed can be read at any place, so shards are listed once and read in
any order; nothing is unpacked.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from everyclass.data.pictures.files import ENDINGS, as_texts, size_of
from everyclass.data.pictures.labels import checked_labels, class_number
from everyclass.errors import FileFormatError, InputError, MissingFileError

__all__ = ["Shards", "find_shards", "read_shards"]

_LABEL = "cls"
_LONGEST_LABEL = 32
_RANGE = re.compile(r"(.*)\{(0*[0-9]{1,6})\.\.(0*[0-9]{1,6})\}(.*)")  # up to a million shards


@dataclass(frozen=True, eq=False)
class Shards:
    """Pictures inside tar files.

    Attributes:
        paths: the tar files.
        keys: n texts, a pyarrow array.
        shard, offset, size: (n,) int64: in which file, where in it, and how many bytes.
    """

    paths: tuple[Path, ...]
    keys: object
    shard: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.shard)

    def read(self, row: int) -> bytes:
        """The bytes of the member."""
        with open(self.paths[self.shard[row]], "rb") as stream:
            stream.seek(int(self.offset[row]))
            return stream.read(int(self.size[row]))

    def place(self, row: int) -> str:
        """The tar file and the member's name."""
        return f"{self.paths[self.shard[row]]}: {self.name(row)}"

    def name(self, row: int) -> str:
        """The member's name."""
        return str(self.keys[row].as_py())  # type: ignore[index]

    def sizes(self, rows: npt.NDArray[np.int64]) -> Iterator[int]:
        """Bytes of the tar files."""
        return (size_of(path) for path in self.paths)


def find_shards(pattern: str, root: Path | None = None) -> tuple[Path, ...]:
    """The tar files that a pattern means, in order.

    Args:
        pattern: a path with ``*`` or with a range such as ``train-{000000..000127}.tar``.
        root: the folder that it is relative to.

    Raises:
        InputError: a range whose first number is beyond its last.
        MissingFileError: none is there, or one of a range is not.
    """
    place = Path(pattern) if root is None else root / pattern
    found = _RANGE.fullmatch(str(place))
    if found:
        before, first, last, after = found.groups()
        numbers = range(int(first), int(last) + 1)
        if not numbers:
            raise InputError(f"{place}: the range is empty, as {first} is beyond {last}.")
        paths = [Path(f"{before}{number:0{len(first)}}{after}") for number in numbers]
        missing = [path for path in paths if not os.path.isfile(path)]
        if missing:
            raise MissingFileError(
                f"{len(missing)} of {len(paths)} shards are not there, the first of them "
                f"{missing[0]}."
            )
        return tuple(paths)
    name = re.sub(r"\*+", "*", place.name)  # ** in a name is an error for pathlib
    paths = sorted(place.parent.glob(name)) if "*" in name else [place]
    if not paths or not os.path.isfile(paths[0]):
        raise MissingFileError(f"There are no shards {place}.")
    return tuple(paths)


def read_shards(paths: Sequence[Path]) -> tuple[Shards, npt.NDArray[np.int64]]:
    """List what is in tar files: the pictures and their labels.

    Raises:
        FileFormatError: a file is no plain tar, a picture has no ``.cls`` beside it or the other
            way round, that holds no class number, or a name is no UTF-8.
    """
    rows: list[tuple[str, int, int, int]] = []
    labels: list[int] = []
    for number, path in enumerate(paths):
        pictures, classes = _members(path)
        lonely = sorted(pictures.keys() ^ classes.keys())
        if lonely:
            has = "picture and no label" if lonely[0] in pictures else "label and no picture"
            raise FileFormatError(
                f"{path}: {lonely[0]!r} has a {has}; a sample is a picture (.jpg, .png, …) and a "
                f".{_LABEL} of the same name."
            )
        for key, (name, offset, size) in pictures.items():
            rows.append((name, number, offset, size))
            labels.append(classes[key])
    if not rows:
        raise FileFormatError(f"{paths[0]} has no pictures inside.")
    names = [row[0] for row in rows]
    columns = np.array([row[1:] for row in rows], dtype=np.int64).T
    where = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and the other shards"
    source = Shards(tuple(paths), as_texts(names, where), *columns)
    return source, checked_labels(np.array(labels), where)


def _members(path: Path) -> tuple[dict[str, tuple[str, int, int]], dict[str, int]]:
    pictures: dict[str, tuple[str, int, int]] = {}
    classes: dict[str, int] = {}
    length = path.stat().st_size
    try:
        with tarfile.open(path, "r:") as archive:  # "r:" is a plain tar and nothing else
            for member in archive:
                key, _, ending = member.name.rpartition("/")[2].partition(".")
                key = member.name[: len(member.name) - len(ending) - 1] if ending else key
                if member.size < 0:  # which would have older Pythons read the same one for ever
                    raise FileFormatError(f"{path} is damaged at {member.name!r}; get it anew.")
                if not member.isreg():
                    continue
                if ending == _LABEL:
                    if key in classes:
                        raise FileFormatError(f"{path}: {key!r} has two labels.")
                    content = archive.extractfile(member).read(_LONGEST_LABEL)  # type: ignore[union-attr]
                    text = content.decode("utf-8", "backslashreplace").strip()
                    classes[key] = class_number(text, f"{path}: {member.name}")
                elif f".{ending.lower()}".endswith(ENDINGS):
                    if key in pictures:
                        raise FileFormatError(f"{path}: {key!r} has two pictures.")
                    if member.offset_data + member.size > length:
                        raise FileFormatError(f"{path} ends inside {member.name!r}; get it anew.")
                    pictures[key] = (member.name, member.offset_data, member.size)
            if archive.offset >= length:
                raise FileFormatError(f"{path} has no end; it was cut off: get it anew.")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise FileFormatError(
            f"{path} is not a plain tar file ({error}); a compressed one must be unpacked first."
        ) from error
    return pictures, classes
