"""Pictures inside Hugging Face data sets: parquet files, or what ``save_to_disk`` wrote."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import quoted
from everyclass.data.pictures.files import read_picture, size_of
from everyclass.data.pictures.labels import checked_labels
from everyclass.errors import (
    FileFormatError,
    MissingFileError,
    MissingLibraryError,
    first_line,
)

__all__ = [
    "Parquet",
    "SavedDataset",
    "described_names",
    "find_parquet",
    "read_parquet",
    "read_saved",
]

IMAGE_COLUMNS = ("image", "img", "jpg", "png")
LABEL_COLUMNS = ("label", "labels", "fine_label", "cls")
SAVED_FILES = ("dataset_dict.json", "state.json")  # one of which save_to_disk writes
KEPT_BYTES = 1 << 30  # of row groups, in each process that reads


@dataclass(eq=False)
class Parquet:
    """Pictures in a column of parquet files, read a row group at a time.

    Row groups are kept up to a gigabyte, so that smaller sets are read once, and larger ones
    quickly only in order.

    Attributes:
        paths: the files.
        column: of structs with ``bytes`` (and ``path``), or of bytes.
        starts: the first row of each row group, and one more for the end.
        groups: file and number in it, of each row group.
    """

    paths: tuple[Path, ...]
    column: str
    starts: npt.NDArray[np.int64]
    groups: tuple[tuple[int, int], ...]
    _kept: OrderedDict[int, Any] = field(default_factory=OrderedDict, repr=False)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def read(self, row: int) -> bytes:
        """The bytes in the row."""
        group = int(np.searchsorted(self.starts, row, side="right")) - 1
        content = _content(self._group(group)[row - int(self.starts[group])].as_py())
        if isinstance(content, str):
            raise OSError(f"the row has a path ({content}) and no bytes")
        return content

    def place(self, row: int) -> str:
        """The file and the row in it."""
        group = int(np.searchsorted(self.starts, row, side="right")) - 1
        file, inside = self.groups[group]
        return f"{self.paths[file]}: row {row - int(self.starts[group - inside])}"

    def name(self, row: int) -> str:
        """The row's number in all files together."""
        return f"row {row}"

    def sizes(self, rows: npt.NDArray[np.int64]) -> Iterator[int]:
        """Bytes of the parquet files."""
        return (size_of(path) for path in self.paths)

    def _group(self, number: int) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if number not in self._kept:
            file, inside = self.groups[number]
            try:
                with pq.ParquetFile(self.paths[file]) as opened:
                    table = opened.read_row_group(inside, columns=[self.column])
            except (pa.ArrowException, OSError, KeyError) as error:
                raise OSError(f"the file cannot be read ({error})") from error
            self._kept[number] = table[self.column].combine_chunks()
            while len(self._kept) > 1 and sum(a.nbytes for a in self._kept.values()) > KEPT_BYTES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(number)
        return self._kept[number]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": OrderedDict()}  # another process reads for itself


@dataclass(frozen=True, eq=False)
class SavedDataset:
    """Pictures of a ``datasets.Dataset`` whose image column is not decoded."""

    dataset: Any
    column: str
    folder: Path

    def __len__(self) -> int:
        return len(self.dataset)

    def read(self, row: int) -> bytes:
        """The bytes in the row, or of the file that it names."""
        content = _content(self.dataset[row][self.column])
        return read_picture(content) if isinstance(content, str) else content

    def place(self, row: int) -> str:
        """The folder and the row."""
        return f"{self.folder}: row {row}"

    def name(self, row: int) -> str:
        """The row's number."""
        return f"row {row}"

    def sizes(self, rows: npt.NDArray[np.int64]) -> Iterator[int]:
        """Bytes of the set's files."""
        return (size_of(file["filename"]) for file in self.dataset.cache_files)


def find_parquet(folder: Path, part: str) -> tuple[Path, ...]:
    """The parquet files of a part, also in ``data/``.

    ``train-*.parquet`` or ``train_*.parquet``, ``train.parquet``, or ``train/*.parquet``.
    """
    for base in (folder, folder / "data"):
        for pattern in (f"{part}[-_]*.parquet", f"{part}.parquet", f"{part}/*.parquet"):
            found = sorted(base.glob(pattern))
            if found:
                return tuple(found)
    return ()


def read_parquet(
    paths: Sequence[Path], image: str | None = None, label: str | None = None
) -> tuple[Parquet, npt.NDArray[Any], tuple[str, ...] | None]:
    """Open parquet files with a column of pictures and one of class numbers, or of class names.

    Args:
        paths: the files, in order.
        image, label: the columns, if they are not called as usual.

    Returns:
        The pictures, their labels as numbers or as names, and what the files say that numbers are
        called.

    Raises:
        FileFormatError: no such file or column, or one file numbers its classes otherwise than
            those before it.
    """
    import pyarrow.parquet as pq

    starts, groups, labels = [0], [], []
    names: tuple[str, ...] | None = None
    for number, path in enumerate(paths):
        try:
            with pq.ParquetFile(path) as opened:
                schema = opened.schema_arrow
                image = _column(path, schema.names, image, IMAGE_COLUMNS, "image")
                label = _column(path, schema.names, label, LABEL_COLUMNS, "label")
                names = _same_names(names, described_names(schema.metadata, label), path)
                labels.append(_labels(path, opened.read(columns=[label])[label], label))
                for group in range(opened.num_row_groups):
                    starts.append(starts[-1] + opened.metadata.row_group(group).num_rows)
                    groups.append((number, group))
        except FileFormatError:
            raise
        except Exception as error:  # bytes can be wrong in any way
            raise FileFormatError(
                f"{path} is not a readable parquet file: {first_line(error)}."
            ) from error
    assert image is not None
    source = Parquet(tuple(paths), image, np.array(starts), tuple(groups))
    of_names = [each.dtype == object for each in labels]
    if any(of_names) and not all(of_names):
        raise FileFormatError(
            f"{paths[of_names.index(True)]} has class names in the column {label}, and "
            f"{paths[of_names.index(False)]} class numbers; use one of both in all files."
        )
    called = np.concatenate(labels)
    if all(of_names):
        return source, called, None
    return source, checked_labels(called, str(paths[0]), label or ""), names


def _labels(path: Path, column: Any, name: str) -> npt.NDArray[Any]:
    """A column of labels; objects where these are names."""
    import pyarrow as pa

    if column.null_count:
        row = column.combine_chunks().is_null().index(True).as_py()
        raise FileFormatError(
            f"{path}: the column {name} is empty in row {row}; label that picture, or leave it out."
        )
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.array(column.to_pylist(), dtype=object)
    return np.asarray(column.to_numpy())


def _same_names(
    names: tuple[str, ...] | None, own: tuple[str, ...] | None, path: Path
) -> tuple[str, ...] | None:
    """The class names of the files before and of this one; either may say none."""
    if names is None or own is None or own == names:
        return own if names is None else names
    pairs = enumerate(zip_longest(own, names))
    number, here, before = next((c, a, b) for c, (a, b) in pairs if a != b)
    raise FileFormatError(
        f"{path} numbers its classes otherwise than the files before it: class {number} is "
        f"{quoted(here or '')} here and {quoted(before or '')} there; write all files of a part "
        "with the same class names."
    )


def read_saved(
    folder: Path, part: str, image: str | None = None, label: str | None = None
) -> tuple[SavedDataset, npt.NDArray[np.int64], tuple[str, ...] | None]:
    """Open what ``datasets`` saved with ``save_to_disk``.

    Raises:
        MissingLibraryError: ``datasets`` is not installed.
        MissingFileError: the folder is none of these, or has no such part.
        FileFormatError: damaged, or no such column.
    """
    if not any(os.path.isfile(folder / name) for name in SAVED_FILES):
        raise MissingFileError(
            f"{folder} has no .parquet files of a part, and is nothing that save_to_disk wrote."
        )
    try:
        import datasets
    except ImportError as error:
        raise MissingLibraryError(f"datasets (to read {folder})", "datasets") from error
    try:
        loaded = datasets.load_from_disk(str(folder))
    except Exception as error:  # bytes can be wrong in any way
        raise FileFormatError(
            f"{folder} is not readable as what save_to_disk writes: {first_line(error)}; save the "
            "set again, or check that the copy is complete."
        ) from error
    if isinstance(loaded, dict):
        part = part or "train"
        if part not in loaded:
            raise MissingFileError(f"{folder} has no part {part!r}; it has {', '.join(loaded)}.")
        loaded, folder = loaded[part], folder / part  # where it is: parts must not share places
    image = _column(folder, loaded.column_names, image, IMAGE_COLUMNS, "image")
    label = _column(folder, loaded.column_names, label, LABEL_COLUMNS, "label")
    kind = loaded.features[label]
    names = tuple(kind.names) if isinstance(kind, datasets.ClassLabel) else None
    try:
        loaded = loaded.cast_column(image, datasets.Image(decode=False))
    except Exception as error:  # Arrow's errors share no root
        raise FileFormatError(
            f"{folder}: column {image} holds no pictures: {first_line(error)}; name another with "
            "image=COLUMN."
        ) from error
    labels = checked_labels(np.array(loaded[label][:]), str(folder), label)
    return SavedDataset(loaded, image, folder), labels, names


def _column(
    path: Path, columns: Sequence[str], named: str | None, usual: Sequence[str], key: str
) -> str:
    if named is not None and named in columns:
        return named
    found = [name for name in usual if name in columns]
    if named is None and found:
        return found[0]
    raise FileFormatError(
        f"{path} has no column {named or ' or '.join(usual)}; it has {', '.join(columns)}. "
        f"Name it with {key}=COLUMN."
    )


def _content(cell: Any) -> bytes | str:
    """The bytes in a cell of pictures, or the path that it has instead.

    Raises:
        OSError: it has neither.
    """
    content = cell.get("bytes") if isinstance(cell, dict) else cell
    if content is None and isinstance(cell, dict):
        content = cell.get("path")
    if isinstance(content, bytes) or (isinstance(content, str) and isinstance(cell, dict)):
        return content
    raise OSError("the row is empty")


def described_names(metadata: dict[bytes, bytes] | None, label: str) -> tuple[str, ...] | None:
    """The class names in a Hugging Face file's own description."""
    try:
        described = json.loads((metadata or {})[b"huggingface"])
        return tuple(str(n) for n in described["info"]["features"][label]["names"])
    except (KeyError, RecursionError, TypeError, ValueError):
        return None
