"""Pictures that are files: lists of paths, tables of paths, folders of classes."""

from __future__ import annotations

import lzma
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import existing_file, quoted
from everyclass.data.pictures.labels import checked_labels, class_number
from everyclass.data.table_files import TableFile
from everyclass.errors import FileFormatError, MissingFileError

__all__ = [
    "ENDINGS",
    "Files",
    "Listed",
    "as_texts",
    "class_folders",
    "list_folder",
    "read_list",
    "read_picture",
    "read_table",
]

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
MOST_BYTES = 1 << 29


@dataclass(frozen=True, eq=False)
class Files:
    """Files below one folder.

    Attributes:
        root: the folder.
        paths: a pyarrow array of texts, relative to it, so that a million of them are small and
            are shared between processes.
    """

    root: Path
    paths: Any

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, row: int) -> bytes:
        """The content of the file."""
        return read_picture(self.place(row))

    def place(self, row: int) -> str:
        """The file's path."""
        return os.path.join(self.root, self.name(row))

    def name(self, row: int) -> str:
        """The path as its list has it."""
        return str(self.paths[row].as_py())

    def sizes(self, rows: npt.NDArray[np.int64]) -> Iterator[int]:
        """Bytes of these files; −1 of one that is missing."""
        return (size_of(self.place(row)) for row in rows.tolist())


def read_picture(path: str | Path) -> bytes:
    """The content of a picture's file.

    Raises:
        OSError: it is missing, no regular file, or too large.
    """
    try:
        about = os.stat(path)  # before it is opened: a pipe would wait for ever
    except ValueError as error:  # a NUL in the path
        raise OSError(f"no path of a file ({error})") from error
    if not stat.S_ISREG(about.st_mode):
        raise OSError("no regular file")
    if about.st_size > MOST_BYTES:
        raise OSError(f"{about.st_size:,} bytes are too many for a picture")
    with open(path, "rb") as stream:
        return stream.read()


def size_of(path: str | Path) -> int:
    """Bytes of a file, −1 where it is missing."""
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return -1


@dataclass(frozen=True, eq=False)
class Listed:
    """What a list says.

    Attributes:
        paths: n texts.
        labels: (n,) int64, or n class names.
        names: class names in class order, where the list says them.
    """

    paths: Sequence[str]
    labels: npt.NDArray[Any]
    names: tuple[str, ...] | None = None

    def files(self, root: Path) -> Files:
        """The files listed, below ``root``.

        Raises:
            FileFormatError: a path is no UTF-8.
        """
        return Files(root, as_texts(self.paths, str(root)))


def as_texts(names: Sequence[str], where: str) -> Any:
    """Names of files as a pyarrow array, which is small and is shared between processes.

    Args:
        names: as the system or an archive gives them.
        where: what holds these files, for the message.

    Raises:
        FileFormatError: one is no UTF-8.
    """
    import pyarrow as pa

    try:
        return pa.array(names, pa.large_string())
    except UnicodeEncodeError as error:
        odd = next(name for name in names if any("\ud800" <= sign <= "\udfff" for sign in name))
        raise FileFormatError(
            f"{where} has a file whose name is no UTF-8, {quoted(odd)}; rename it."
        ) from error


def read_list(path: str | Path) -> Listed:
    """Read a list in the published format: a line ``path label`` for each picture.

    Args:
        path: a text file, or one packed as ``.xz``. The label, a whole number from 0, is the last
            word of a line; paths may have spaces.

    Raises:
        MissingFileError: nothing is there.
        FileFormatError: a line without path or label, a label that is no class number, or no line
            at all.
    """
    path = existing_file(path, "list of pictures")
    where = str(path)
    paths: list[str] = []
    labels: list[int] = []
    try:
        opened: Any = lzma.open if path.suffix == ".xz" else open
        with opened(path, "rt", encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, start=1):
                words = line.rstrip().rsplit(maxsplit=1)
                if not words:
                    continue
                if len(words) != 2:
                    raise FileFormatError(
                        f"{path}: line {number} is {quoted(line.strip())}; each line must be a "
                        "path and a class number from 0, such as train/dog/1.jpg 0."
                    )
                paths.append(words[0])
                labels.append(class_number(words[1], f"{where}: line {number}"))
    except (OSError, UnicodeDecodeError, lzma.LZMAError, EOFError) as error:
        raise FileFormatError(f"{path} is not a readable list of pictures: {error}.") from error
    if not paths:
        raise FileFormatError(f"{path} is empty; a line must be a path and a class number.")
    return Listed(paths, checked_labels(np.array(labels), where))


def read_table(path: str | Path, image_column: str, label_column: str) -> Listed:
    """Read a ``.csv`` or ``.parquet`` with a column of paths and one of classes.

    Class numbers stay numbers: where all labels are numbers of any kind, one that is no class
    number is refused, and none is taken for a name.

    Args:
        path: the table.
        image_column: of the paths.
        label_column: of class numbers from 0 (``3.0`` is 3), or of class names; spaces around
            either do not count.

    Raises:
        MissingFileError: nothing is there.
        FileFormatError: no such table or column, a value is missing, or one of numbers is no class
            number.
    """
    table = TableFile.load(path)
    if table.path.suffix.lower() == ".npz":
        raise FileFormatError(f"{path} is no table of pictures; a .csv or .parquet is needed.")
    paths = [str(p) for p in table.column(image_column, "image=COLUMN").tolist()]
    values = table.column(label_column, "label=COLUMN")
    texts = [str(value).strip() for value in values.tolist()]
    where = f"{path}: column {label_column!r}"
    if "" in texts:
        raise FileFormatError(f"{where} is empty in row {texts.index('')}.")
    if values.dtype.kind in "iufc" or all(map(_is_number, texts)):
        numbers = [class_number(text, f"{where}, row {row},") for row, text in enumerate(texts)]
        return Listed(paths, checked_labels(np.array(numbers), str(path), label_column))
    return Listed(paths, np.array(texts, dtype=object))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def class_folders(root: str | Path) -> list[str]:
    """The names of the folders in a folder, sorted; hidden ones and a Mac's leftovers are left out.

    Raises:
        MissingFileError: there is no such folder.
        FileFormatError: it cannot be read.
    """
    if not os.path.isdir(root):
        raise MissingFileError(f"There is no folder {root}.")
    try:
        entries = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    except OSError as error:
        raise FileFormatError(f"{root} cannot be read: {error.strerror}.") from error
    return [name for name in entries if _is_shown(name)]


def _is_shown(name: str) -> bool:
    """Not .ipynb_checkpoints, nor ._1.jpg, nor the folder of such in archives made on a Mac."""
    return not name.startswith(".") and name != "__MACOSX"


def list_folder(root: str | Path) -> Listed:
    """List a folder that has a folder of pictures for each class, in the order of their names.

    Links to folders are followed; what several lead to is listed once in each class. Hidden folders
    and files are left out. A folder without a picture is a class without one.

    Raises:
        MissingFileError: there is no such folder.
        FileFormatError: it has no folders with pictures, or one that cannot be read.
    """

    def refuse(error: OSError) -> NoReturn:
        raise FileFormatError(
            f"{error.filename} cannot be read: {error.strerror}. Put that right, or take the "
            f"folder out of {root}."
        ) from error

    root = Path(root)
    names = class_folders(root)
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        found = sorted(
            os.path.relpath(os.path.join(folder, file), root)
            for folder, files in _below(root / name, refuse)
            for file in files
            if file.lower().endswith(ENDINGS) and _is_shown(file)
        )
        paths += found
        labels += [label] * len(found)
    if not paths:
        raise FileFormatError(
            f"{root} has no pictures in folders of classes, such as {root}/dog/1.jpg "
            f"(endings {', '.join(ENDINGS)})."
        )
    return Listed(paths, np.array(labels, dtype=np.int64), tuple(names))


def _below(top: Path, refuse: Callable[[OSError], NoReturn]) -> Iterator[tuple[str, list[str]]]:
    """Each folder from ``top`` down and the names of its files; a link may lead back to one."""
    visited: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(top, onerror=refuse, followlinks=True):
        try:
            about = os.stat(folder)
        except OSError as error:
            refuse(error)
        if (about.st_dev, about.st_ino) in visited:
            folders.clear()
            continue
        visited.add((about.st_dev, about.st_ino))
        # Sorted, so that the same one of several links is followed everywhere.
        folders[:] = sorted(filter(_is_shown, folders))
        yield folder, files
