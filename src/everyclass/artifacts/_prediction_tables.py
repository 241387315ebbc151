"""Predictions in tables: names become class numbers, columns become arrays."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from everyclass.artifacts._spelling import check_spelling
from everyclass.artifacts._table_columns import (
    ids_column,
    is_list,
    is_number,
    is_text,
    may_be_no_class,
    named_columns,
    score_columns,
)
from everyclass.artifacts._tables import open_table
from everyclass.artifacts._text import quoted, some
from everyclass.errors import FileFormatError

__all__ = ["TableSource"]

_MOST_ROWS = 1 << 20


class TableSource:
    """Reads a table batch by batch.

    Args:
        path: a ``.csv`` or ``.parquet`` with the columns ``labels`` and either ``predicted``, or
            ``logit_0, …`` or ``prob_0, …``, or a column of lists ``logits`` or ``probs``, or
            columns named as the classes. ``ids``, or ``id`` where there are no ``ids``, are ids.
        scores: what columns named as the classes hold; chooses where there are several kinds.
        labels_column, predicted_column: other names for these columns.
        class_names: C names. Without them, names in ``labels`` are collected in a first pass.

    Integers are positions among the classes; but names where any class, by ``class_names`` or by
    its column, is called by a number.
    """

    class_counts = None

    def __init__(
        self,
        path: Path,
        scores: Literal["logits", "probs"] | None,
        labels_column: str,
        predicted_column: str,
        class_names: Sequence[str] | None,
    ) -> None:
        self.path, self._labels, self._predicted = path, labels_column, predicted_column
        self._table = table = open_table(path)
        columns = list(table.types)
        if labels_column not in columns:
            raise FileFormatError(
                f"{path} has no column {quoted(labels_column)}; it has {some(columns)}. "
                "Name the column of true classes with labels_column "
                "(--labels-column)."
            )
        named = () if class_names is None else class_names
        taken = [labels_column, predicted_column, *(str(name) for name in named)]
        ids = ids_column(table.types, taken)
        self._ids = [] if ids is None else [ids]
        self._kind, self._columns = score_columns(table, scores)
        in_doubt = False
        if self._kind is None and scores is not None:
            others = {labels_column, predicted_column, *self._ids}
            self._kind, self._columns = scores, named_columns(path, columns, others, class_names)
            in_doubt = class_names is None
            class_names = self._columns
        elif self._kind is None and predicted_column not in columns:
            raise FileFormatError(
                f"{path} has neither a column {quoted(predicted_column)} nor score columns; it has "
                f"{some(columns)}. Name the column of predicted classes with "
                "predicted_column (--predicted-column), "
                "or say what the class columns hold, logits or probs, with scores (--scores)."
            )
        self._classes = [labels_column] + ([predicted_column] if self._kind is None else [])
        self._types = self._parsed_as(class_names)
        if in_doubt:
            self._check_are_classes()
        if self._holds_names() and class_names is None:
            class_names = self._collected_names()
        self.class_names = None if class_names is None else tuple(str(n) for n in class_names)

    @property
    def unit(self) -> str:
        """What progress counts."""
        return self._table.unit

    @property
    def total(self) -> int:
        """How much there is."""
        return self._table.total

    @property
    def done(self) -> int:
        """How much has been read."""
        return self._table.done

    def _parsed_as(self, class_names: Sequence[str] | None) -> dict[str, Any]:
        """Types to take columns as: a CSV is parsed so, of a parquet file classes are cast."""
        import pyarrow as pa
        from pyarrow import types as of

        # A class called "7" is a name, once somebody has said that it is one.
        numerals = class_names is not None and any(is_number(str(n)) for n in class_names)
        if self.path.suffix.lower() != ".csv":
            named = [c for c in self._classes if numerals and _is_whole(self._table.types[c])]
            return {**self._table.types, **dict.fromkeys(named, pa.string())}
        parsed = dict.fromkeys(self._ids, pa.string())
        for name in self._classes:
            looks = self._table.types[name]
            number = of.is_integer(looks) or of.is_floating(looks)
            parsed[name] = looks if number and not numerals else pa.string()
        if self._kind is not None:
            parsed |= dict.fromkeys(self._columns, pa.float64())
        return parsed

    def _holds_names(self) -> bool:
        """Whether classes are named in the table; they are named everywhere or nowhere."""
        named = {name: is_text(self._types[name]) for name in self._classes}
        if len(set(named.values())) > 1:
            what = ("names", "numbers") if named[self._labels] else ("numbers", "names")
            raise FileFormatError(
                f"{self.path}: labels are {what[0]} and predicted classes are {what[1]}."
            )
        return named[self._labels]

    def _check_are_classes(self) -> None:
        """Refuse columns that would be taken for classes and are, by all that is known, none.

        A class without test images has a column too, so a column that no label names is refused
        only if its name or type is that of something else.
        """
        doubtful = [c for c in self._columns if may_be_no_class(c, self._table.types[c])]
        if not doubtful:
            return
        labels: set[Any] = set()
        for batch in self._table.batches([self._labels], self._types, _MOST_ROWS):
            labels.update(self._class_cells(batch, self._labels).unique().to_pylist())
        self._table.done = 0
        beside = [c for c in doubtful if c not in labels]
        if beside:
            what = "column {} is no class" if len(beside) == 1 else "columns {} are no classes"
            raise FileFormatError(
                f"{self.path}: the {what.format(', '.join(map(quoted, beside[:8])))}, as no label "
                "is called so; say which columns are classes with class_names (--class-names), or "
                "leave others out (ids of images may stand in a column 'ids')."
            )

    def _collected_names(self) -> list[str]:
        if self._kind is not None:
            raise FileFormatError(
                f"{self.path}: labels are names and the score columns are numbered; say with "
                "class_names (--class-names) which class each column is, in order."
            )
        found: dict[str, set[str]] = {column: set() for column in self._classes}
        first = 0
        for batch in self._table.batches(self._classes, self._types, _MOST_ROWS):
            self._check_no_header(batch, first)
            for column in self._classes:
                _check_filled(self.path, column, batch.column(column), first)
                new = set(batch.column(column).unique().to_pylist()) - found[column]
                numbers = [name for name in new if is_number(name)]
                if numbers and self.path.suffix.lower() == ".csv":  # parquet says that it is text
                    row = first + batch.column(column).to_pylist().index(numbers[0])
                    raise FileFormatError(
                        f"{self.path}: row {row} of {quoted(column)} is {quoted(numbers[0])} and "
                        "other rows hold names; if it is a name, give all of them with "
                        "class_names (--class-names)."
                    )
                found[column] |= new
            first += len(batch)
        self._table.done = 0
        check_spelling(self.path, found[self._labels], found[self._predicted])
        return sorted(set().union(*found.values()))

    def _check_no_header(self, batch: Any, first: int) -> None:
        """Tables that were put together line by line have the header again where the next began."""
        import pyarrow.compute as pc

        if self.path.suffix.lower() != ".csv":
            return
        labels, predicted = (pc.equal(batch.column(name), name) for name in self._classes)
        row = pc.and_(labels, predicted).index(True).as_py()
        if row >= 0:
            raise FileFormatError(
                f"{self.path}: row {first + row} is the header again; remove that line."
            )

    def whole(self) -> dict[str, Any]:
        """All rows of every column that is needed."""
        pieces = list(self.pieces(_MOST_ROWS))
        values = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
        if self.path.suffix.lower() == ".csv" and "ids" in values and _all_whole(values["ids"]):
            values["ids"] = values["ids"].astype(np.int64)
        return values

    def pieces(self, values: int) -> Iterator[dict[str, Any]]:
        """Rows of every column that is needed, in order; ids of a CSV as text.

        Args:
            values: how many scores to read at once, about.
        """
        scores = [] if self._kind is None else self._columns
        wanted = [*dict.fromkeys([*self._classes, *self._ids, *scores])]
        width = self._width()
        rows = min(_MOST_ROWS, max(1, values // max(1, width)))
        first = 0
        for batch in self._table.batches(wanted, self._types, rows):
            for column in wanted:
                _check_filled(self.path, column, batch.column(column), first)
            piece = {"labels": self._class_numbers(batch, self._labels, first)}
            if self._kind is None:
                piece["predicted"] = self._class_numbers(batch, self._predicted, first)
            else:
                piece[self._kind] = self._scores(batch, first, width)
            for column in self._ids:
                piece["ids"] = _ids(batch.column(column))
            yield piece
            first += len(batch)
        if first == 0:
            raise FileFormatError(f"{self.path} has no rows; at least one is needed.")

    def _width(self) -> int:
        """How many scores a row has; of lists the first row says it."""
        if self._kind is None or not is_list(self._types[self._columns[0]]):
            return len(self._columns)
        column = self._columns[0]
        for batch in self._table.batches([column], {}, rows=1):
            self._table.done = 0
            _check_filled(self.path, column, batch.column(column), 0)
            return len(batch.column(column)[0])
        return 0

    def _class_cells(self, batch: Any, column: str) -> Any:
        """A column of classes, as text where they are named."""
        import pyarrow as pa

        cells = batch.column(column)
        if isinstance(cells, pa.DictionaryArray):
            cells = cells.dictionary_decode()
        if is_text(self._types[column]) and not is_text(cells.type):
            cells = cells.cast(pa.string())
        return cells

    def _class_numbers(self, batch: Any, column: str, first: int) -> npt.NDArray[Any]:
        import pyarrow as pa
        import pyarrow.compute as pc

        cells = self._class_cells(batch, column)
        if not is_text(cells.type):
            return np.asarray(cells.to_numpy(zero_copy_only=False))
        assert self.class_names is not None
        numbers = pc.index_in(cells, pa.array(self.class_names, cells.type))
        if numbers.null_count:
            row = numbers.is_null().index(True).as_py()
            raise FileFormatError(
                f"{self.path}: row {first + row} of {quoted(column)} is "
                f"{quoted(cells[row].as_py())}, which is no class; the classes are "
                f"{some(self.class_names)}."
            )
        return numbers.to_numpy(zero_copy_only=False).astype(np.int64)

    def _scores(self, batch: Any, first: int, width: int) -> npt.NDArray[Any]:
        from pyarrow import types as of

        if len(self._columns) == 1 and is_list(self._table.types[self._columns[0]]):
            return _from_lists(self.path, self._columns[0], batch, first, width)
        columns = []
        for name in self._columns:
            cells = batch.column(name)
            if not (of.is_integer(cells.type) or of.is_floating(cells.type)):
                raise FileFormatError(
                    f"{self.path}: column {quoted(name)} holds text where numbers are needed "
                    f"({cells.type})."
                )
            columns.append(cells.to_numpy(zero_copy_only=False).astype(np.float64))
        return np.column_stack(columns)


def _ids(cells: Any) -> npt.NDArray[Any]:
    from pyarrow import types as of

    if of.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if of.is_integer(cells.type):
        return np.asarray(cells.to_numpy(zero_copy_only=False))
    # Not as NumPy's text, in which each takes the room of the longest.
    return np.array(cells.to_pylist(), dtype=object if is_text(cells.type) else None)


def _all_whole(ids: npt.NDArray[Any]) -> bool:
    return all(re.fullmatch("0|-?[1-9][0-9]{0,17}", text) for text in ids.tolist())


def _is_whole(kind: Any) -> bool:
    from pyarrow import types as of

    return bool(of.is_integer(kind.value_type if of.is_dictionary(kind) else kind))


def _check_filled(path: Path, column: str, cells: Any, first: int) -> None:
    import pyarrow.compute as pc

    if cells.null_count:
        empty = cells.is_null()
    elif path.suffix.lower() == ".csv" and is_text(cells.type):
        empty = pc.equal(cells, "")
    else:
        return
    row = empty.index(True).as_py()
    if row >= 0:
        raise FileFormatError(f"{path}: column {quoted(column)} is empty in row {first + row}.")


def _from_lists(path: Path, column: str, batch: Any, first: int, width: int) -> npt.NDArray[Any]:
    import pyarrow.compute as pc

    cells = batch.column(column)
    lengths = pc.list_value_length(cells).to_numpy(zero_copy_only=False)
    if (lengths != width).any():
        row = int(np.flatnonzero(lengths != width)[0])
        raise FileFormatError(
            f"{path}: row {first + row} of {quoted(column)} has {lengths[row]} values and row 0 "
            f"has {width}."
        )
    values = cells.flatten()
    if values.null_count:
        row = values.is_null().index(True).as_py() // width
        raise FileFormatError(
            f"{path}: column {quoted(column)} has an empty value in row {first + row}."
        )
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(len(batch), width)
