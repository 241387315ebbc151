"""Tables on disk (``.csv``, ``.parquet``), read some columns and some rows at a time."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from everyclass.artifacts._text import printable, quoted
from everyclass.errors import FileFormatError, first_line

__all__ = ["Table", "check_csv_header", "open_table"]

# Bytes of a CSV that are parsed at once, at least: Arrow reads up to 32 such blocks ahead.
_BLOCK = 1 << 20
_LONGEST_LINE = 1 << 26
_BUFFER = 1 << 20  # bytes of a parquet column that are read at once


class Table(Protocol):
    """A table on disk.

    Attributes:
        path: the file.
        types: Arrow's type of each column; of a CSV what the first block looks like.
        unit, total, done: what progress counts, how much there is, and how much has been read.
    """

    path: Path
    types: dict[str, Any]
    unit: str
    total: int
    done: int

    def batches(self, columns: Sequence[str], types: Mapping[str, Any], rows: int) -> Iterator[Any]:
        """Read these columns, batch by batch.

        Args:
            columns: the columns to read.
            types: Arrow types that columns of a CSV are parsed as.
            rows: how many at once, where the format allows to say.

        Raises:
            FileFormatError: truncated, damaged, or a cell of another type.
        """


def open_table(path: Path) -> Table:
    """Open a table and read the names and types of its columns.

    Raises:
        FileFormatError: no such file, or two columns of the same name.
    """
    with _readable(path):
        table: Table = _Csv(path) if path.suffix.lower() == ".csv" else _Parquet(path)
    return table


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileFormatError:
        raise
    except Exception as error:  # Arrow's errors share no root, and bytes can be wrong in any way
        raise FileFormatError(
            f"{path} is not a readable {path.suffix[1:].lower()} file "
            f"({printable(first_line(error), 200)}); save the table again, or check that the copy "
            "is complete."
        ) from error


def _types(path: Path, schema: Any) -> dict[str, Any]:
    types = dict(zip(schema.names, schema.types, strict=True))
    if len(types) != len(schema.names):
        raise FileFormatError(f"{path} has two columns of the same name.")
    return types


class _Parquet:
    unit = "rows"

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self.path = path
        with pq.ParquetFile(path) as file:
            self.types = _types(path, file.schema_arrow)
            self.total = int(file.metadata.num_rows)
        self.done = 0

    def batches(self, columns: Sequence[str], types: Mapping[str, Any], rows: int) -> Iterator[Any]:
        import pyarrow.parquet as pq

        # Otherwise whole row groups are read, and all of them ahead.
        frugal = {"buffer_size": _BUFFER, "pre_buffer": False}
        with _readable(self.path), pq.ParquetFile(self.path, **frugal) as file:
            for batch in file.iter_batches(rows, columns=list(columns), use_threads=False):
                self.done += len(batch)
                yield batch


def check_csv_header(path: Path, header: bytes) -> None:
    """Refuse what other programs call a CSV, by what its first line shows.

    Args:
        path: of the file, for the message.
        header: the first line, or more.

    Raises:
        FileFormatError: UTF-16, or columns that are not separated by commas.
    """
    header = header.split(b"\n", 1)[0]
    if header.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise FileFormatError(f"{path} is UTF-16; save it as UTF-8.")
    for separator, name in ((b";", "semicolons"), (b"\t", "tabs")):
        if separator in header and b"," not in header:
            raise FileFormatError(
                f"The columns of {path} are separated by {name}; write the table with commas, and "
                "its numbers with points."
            )


class _Csv:
    unit = "MB"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.total = max(1, path.stat().st_size >> 20)
        self.done = 0
        with open(path, "rb") as stream:
            header, first = (stream.readline(_LONGEST_LINE) for _ in ("header", "first row"))
        check_csv_header(path, header)
        longest = max(len(header), len(first))
        if longest == _LONGEST_LINE:
            raise FileFormatError(f"{path} is no table: a line has {longest:,} bytes or more.")
        self._block = max(_BLOCK, 8 * longest)
        self.types = _types(path, self._open(None, {})[0].schema)

    def _open(self, columns: Sequence[str] | None, types: Mapping[str, Any]) -> tuple[Any, Any]:
        import pyarrow as pa
        from pyarrow import csv

        stream = pa.OSFile(str(self.path))
        return csv.open_csv(
            stream,
            read_options=csv.ReadOptions(block_size=self._block),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            # Nothing but an empty cell is a missing one: "NA" and "nan" may be names.
            convert_options=csv.ConvertOptions(
                include_columns=columns, column_types=dict(types), null_values=[""]
            ),
        ), stream

    def batches(self, columns: Sequence[str], types: Mapping[str, Any], rows: int) -> Iterator[Any]:
        import pyarrow as pa

        with _readable(self.path):
            try:
                reader, stream = self._open(columns, types)
                for batch in reader:
                    self.done = stream.tell() >> 20
                    yield batch
            except pa.ArrowInvalid:
                self._name_bad_cell(columns, types)
                raise

    def _name_bad_cell(self, columns: Sequence[str], types: Mapping[str, Any]) -> None:
        """Look for the first cell that is not of its column's type: Arrow does not say its row."""
        import pyarrow as pa

        first = 0
        for batch in self._open(columns, dict.fromkeys(columns, pa.binary()))[0]:
            for name in columns:
                wanted = types.get(name, pa.string())
                for target in (pa.string(), wanted):
                    row = _first_failure(batch.column(name), target)
                    if row is None:
                        continue
                    if target == pa.string():
                        raise FileFormatError(
                            f"{self.path}: column {quoted(name)} is no UTF-8 text in row "
                            f"{first + row}; save the file as UTF-8."
                        )
                    cell = batch.column(name)[row].as_py().decode()
                    raise FileFormatError(
                        f"{self.path}: column {quoted(name)} holds text where numbers are needed: "
                        f"row {first + row} is {quoted(cell)}."
                    )
            first += len(batch)


def _first_failure(cells: Any, target: Any) -> int | None:
    """The first cell, of bytes, that is not empty and cannot be cast to a type; by halving."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def fails(start: int, stop: int) -> bool:
        part = cells.slice(start, stop - start)
        try:
            text = part.cast(pa.string())
            if target != pa.string():
                pc.if_else(pc.equal(text, ""), None, text).cast(target)
        except pa.ArrowInvalid:
            return True
        return False

    start, stop = 0, len(cells)
    if not fails(start, stop):
        return None
    while stop - start > 1:
        middle = (start + stop) // 2
        start, stop = (start, middle) if fails(start, middle) else (middle, stop)
    return start
