"""Class names and counts of training images in files that somebody may have typed."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from everyclass.artifacts._archives import read_npz
from everyclass.artifacts._checks import as_names, stored_names
from everyclass.artifacts._files import existing_file
from everyclass.artifacts._tables import check_csv_header
from everyclass.artifacts._text import quoted, some
from everyclass.errors import FileFormatError, InputError, first_line

__all__ = ["is_index", "load_class_names", "read_counts"]

_COUNTS = "class-counts file"
_NAMES = "class-names file"
_MOST_BYTES = 1 << 30


def load_class_names(path: str | Path) -> tuple[str, ...]:
    """Read class names in class order.

    Args:
        path: a ``.txt`` with one name a line; or a ``.json`` with a list of names, or with an
            object from class number to name, such as the ``id2label`` of a transformers model.

    Raises:
        MissingFileError: nothing is there.
        FileFormatError: not such a file, an empty name, or the same name twice.
    """
    path = existing_file(path, _NAMES)
    names = _json_names(path) if path.suffix.lower() == ".json" else _lines(path)
    empty = [i for i, name in enumerate(names) if not name.strip()]
    if empty:
        raise FileFormatError(
            f"{path}: the name of class {empty[0]} is empty; give every class one."
        )
    if len(names) < 2:
        raise FileFormatError(f"{path} has {len(names)} class names; give one a line.")
    try:
        return as_names(names, len(names)) or ()
    except InputError as error:
        raise FileFormatError(f"{path}: {error}") from error


def _lines(path: Path) -> list[str]:
    try:
        # Only line ends that editors make: str.splitlines knows ten more.
        lines = _bytes(path).decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is no UTF-8 text; save it as UTF-8.") from error
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _json_names(path: Path) -> list[str]:
    value = _json(path, _NAMES)
    if isinstance(value, dict):
        expected = [str(i) for i in range(len(value))]
        missing = [key for key in expected if key not in value]
        if missing:
            turned = all(isinstance(number, int) for number in value.values())
            hint = "; it goes from name to number: turn it round" if turned else ""
            raise FileFormatError(
                f"{path} has no name of class {missing[0]}; it has {some(list(value))}{hint}."
            )
        value = [value[key] for key in expected]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise FileFormatError(f"{path} must hold a list of names, or an object from class to name.")
    return value


def read_counts(path: Path, names: Sequence[str] | None) -> Any:
    """Read what ``ClassCounts.of`` takes.

    Args:
        path: a ``.csv`` with the columns ``class`` (name or index; or else ``name``) and
            ``count``; a ``.json`` with a list of counts, or an object from name or index to count;
            or an ``.npz`` with ``class_counts`` (or ``counts``) and perhaps ``class_names``.
        names: class names in class order; classes may be numbered where none of them is a number.

    Raises:
        MissingFileError: nothing is there.
        FileFormatError: not such a file.
    """
    path = existing_file(path, _COUNTS)
    ending = path.suffix.lower()
    if ending == ".npz":
        return _npz_counts(path)
    pairs, numbered = _json_counts(path) if ending == ".json" else _csv_counts(path)
    numerals = names is not None and any(is_index(str(name)) for name in names)
    if numbered and not numerals and pairs and all(map(is_index, pairs)):
        return {int(index): count for index, count in pairs.items()}
    return pairs


def is_index(text: str) -> bool:
    """Whether a word is a class number as one would write it."""
    return re.fullmatch("0|[1-9][0-9]{0,17}", text) is not None


def _csv_counts(path: Path) -> tuple[dict[str, int], bool]:
    content = _bytes(path)
    check_csv_header(path, content)
    try:
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
        reader = csv.DictReader(text)
        rows, columns = list(reader), list(reader.fieldnames or ())
        key = "name" if "name" in columns and "class" not in columns else "class"
        if rows and (columns.count(key), columns.count("count")) != (1, 1):
            raise ValueError(f"its columns are {', '.join(columns)}")
        pairs = {row[key]: _count(row["count"]) for row in rows}
        if None in pairs:
            raise ValueError("a row is too short")
        if any(None in row for row in rows):
            raise ValueError("a row is too long; a count of thousands has no comma")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is no UTF-8 text; save it as UTF-8.") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise FileFormatError(
            f"{path} is not a {_COUNTS}: it needs a header line 'class,count' and a "
            f"whole number in each row ({first_line(error)})."
        ) from error
    if len(pairs) != len(rows):
        raise FileFormatError(f"{path} names a class twice.")
    return pairs, key == "class"


def _count(text: str) -> int:
    """A whole number as somebody types it; int itself also takes 1_0."""
    if "_" in text:
        raise ValueError(f"{quoted(text)} is no whole number")
    return int(text)


def _json_counts(path: Path) -> tuple[Any, bool]:
    value = _json(path, _COUNTS)
    counts = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(counts, list) or not counts:
        raise FileFormatError(
            f"{path} must hold an object from class to count, or a list of counts in class order."
        )
    for i, count in enumerate(counts):
        if isinstance(count, bool) or not isinstance(count, int | float):
            where = quoted(list(value)[i]) if isinstance(value, dict) else i
            raise FileFormatError(
                f"{path}: the count of class {where} is {quoted(json.dumps(count))}; it must be a "
                "whole number."
            )
    return value, isinstance(value, dict)


def _npz_counts(path: Path) -> Any:
    arrays = read_npz(path, _COUNTS)
    held = [name for name in ("class_counts", "counts") if name in arrays]
    if not held:
        raise FileFormatError(
            f"{path} has no array 'class_counts'; it has {some(list(arrays)) or 'nothing'}."
        )
    counts = arrays[held[0]]
    try:
        names = stored_names(arrays.get("class_names"))
    except InputError as error:
        raise FileFormatError(f"{path}: {error}") from error
    if names is None:
        return counts
    if counts.shape != (len(names),) or len(set(names)) != len(names):
        raise FileFormatError(
            f"{path} has {len(names)} class names, {len(set(names))} of them different, and "
            f"{held[0]} of shape {counts.shape}; each class needs one name and one count."
        )
    return dict(zip(names, counts.tolist(), strict=True))


def _bytes(path: Path) -> bytes:
    size = path.stat().st_size
    if size > _MOST_BYTES:  # some hundred bytes for each of ten million classes
        raise FileFormatError(f"{path} has {size:,} bytes; a file of classes is not that large.")
    return path.read_bytes()


def _json(path: Path, what: str) -> Any:
    def distinct(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            raise FileFormatError(f"{path} names a class twice.")
        return value

    try:
        return json.loads(_bytes(path), object_pairs_hook=distinct)
    except FileFormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} is not a readable {what}: {first_line(error)}.") from error
