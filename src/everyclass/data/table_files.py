"""Tables on disk that can be cut into parts, row by row, without changing what a row says."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import as_array, check_csv_header, existing_file, read_npz
from everyclass.errors import FileFormatError, first_line

__all__ = ["TableFile"]

# Arrays that describe classes and not rows, whatever their length happens to be. A features file
# has its head as head_weight and so on; any other name may be a column, such as head_circumference,
# or the weight of each row. A head's own file has bare names, but no labels to split by.
_OF_A_HEAD = {f"head_{name}" for name in ("weight", "bias", "scale", "kind")}
_OF_CLASSES = {"class_names", "class_counts", *_OF_A_HEAD}
_HEADER = 1 << 16  # bytes in which the first line shows what a file is
_LONGEST_CELL = (1 << 31) - 1


@dataclass(frozen=True, eq=False)
class TableFile:
    """A ``.csv``, ``.parquet`` or ``.npz`` file.

    A CSV file stays text, so that ``007`` is not made 7. Of an ``.npz`` file, the arrays with one
    entry per label are cut, and ``features`` of several views along their second axis; single
    values, names and counts of classes, and a head (``head_weight``, …) stay whole.

    Attributes:
        path: where it is.
        columns: names of columns or arrays.
        content: rows of text, a pyarrow table, or arrays.
    """

    path: Path
    columns: list[str]
    content: Any

    @classmethod
    def load(cls, path: str | Path) -> TableFile:
        """Read a table.

        Raises:
            MissingFileError: nothing is there.
            FileFormatError: not such a table.
        """
        path = existing_file(path, "table")
        ending = path.suffix.lower()
        if ending == ".npz":
            arrays = read_npz(path, "table")
            return cls(path, list(arrays), arrays)
        if ending not in (".csv", ".parquet"):
            raise FileFormatError(f"{path} is no table; a .csv, .parquet or .npz file is needed.")
        table = cls(path, *(_read_csv(path) if ending == ".csv" else _read_parquet(path)))
        if len(set(table.columns)) != len(table.columns):
            raise FileFormatError(f"{path} has two columns of the same name.")
        return table

    def column(self, name: str, flag: str) -> npt.NDArray[Any]:
        """The values of a column.

        Args:
            name: of the column or array.
            flag: the option that names it, for messages.

        Returns:
            One entry per row; text of tables is an array of Python's own strings, since one long
            value would make all of NumPy's long.

        Raises:
            FileFormatError: there is no such column, a value is missing, or one cannot be read,
                such as text that is no UTF-8.
        """
        if name not in self.columns:
            raise FileFormatError(
                f"{self.path} has no column {name!r}; it has {', '.join(self.columns[:10])}. Name "
                f"it with {flag}."
            )
        if isinstance(self.content, dict):
            return np.asarray(self.content[name])
        if isinstance(self.content, list):
            place = self.columns.index(name)
            values: list[Any] = [row[place] for row in self.content]
        else:
            try:
                values = self.content[name].to_pylist()
            except (ArithmeticError, ValueError) as error:
                raise FileFormatError(
                    f"{self.path}: column {name!r} cannot be read: {error}."
                ) from error
        for row, value in enumerate(values):
            if value is None or value == "":
                raise FileFormatError(f"{self.path}: column {name!r} is empty in row {row}.")
        text = any(isinstance(value, str) for value in values[:1])
        return np.array(values, dtype=object) if text else as_array(values)

    def part(self, rows: npt.NDArray[np.intp], total: int) -> bytes:
        """The file with these rows only.

        Args:
            rows: to keep, in order.
            total: how many rows there are, by the labels.

        Raises:
            FileFormatError: an array of an ``.npz`` file has another number of rows.
        """
        stream = io.BytesIO()
        if isinstance(self.content, dict):
            with zipfile.ZipFile(stream, "w") as archive:  # savez takes no array called file
                for name in self.columns:
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, self._cut(name, rows, total))
        elif isinstance(self.content, list):
            text = io.StringIO()
            # Of carriage returns a writer quotes those alone that its own line ends have.
            odd = any("\r" in cell for row in (self.columns, *self.content) for cell in row)
            writer = csv.writer(text, lineterminator="\r\n" if odd else "\n")
            writer.writerow(self.columns)
            writer.writerows(self.content[row] for row in rows)
            stream.write(text.getvalue().encode())
        else:
            import pyarrow.parquet

            pyarrow.parquet.write_table(self.content.take(rows), stream)
        return stream.getvalue()

    def _cut(self, name: str, rows: npt.NDArray[np.intp], total: int) -> npt.NDArray[Any]:
        array = self.content[name]
        if name in _OF_CLASSES or array.ndim == 0:
            return array
        axis = 1 if name == "features" and array.ndim == 3 else 0
        if array.shape[axis] != total:
            raise FileFormatError(
                f"{self.path}: {name!r} has shape {array.shape} and there are {total} labels; "
                "every array needs one entry per label."
            )
        return np.take(array, rows, axis=axis)


def _read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    content = path.read_bytes()
    check_csv_header(path, content[:_HEADER])
    try:
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
        with _long_cells():
            rows = list(csv.reader(text, strict=True))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileFormatError(
            f"{path} is no UTF-8 text in line {line}; save it as UTF-8."
        ) from error
    except csv.Error as error:
        raise FileFormatError(f"{path} is not a readable csv file: {error}.") from error
    rows = [row for row in rows if row]
    if len(rows) < 2:
        raise FileFormatError(f"{path} has no rows below its header.")
    for number, row in enumerate(rows[1:]):
        if len(row) != len(rows[0]):
            raise FileFormatError(
                f"{path}: row {number} has {len(row)} values and the header has {len(rows[0])}."
            )
    return rows[0], rows[1:]


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let a cell be of any length: by itself Python's reader stops at 131,072 characters."""
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _read_parquet(path: Path) -> tuple[list[str], Any]:
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
        return table.column_names, table
    except Exception as error:
        raise FileFormatError(
            f"{path} is not a readable parquet file: {first_line(error)}."
        ) from error
