"""A file of predictions, whatever its format, as pieces of named arrays."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from everyclass.artifacts._checks import are_other_numbers, as_array, as_ids, names_in_order
from everyclass.artifacts._files import existing_file
from everyclass.artifacts._prediction_arrays import ArraySource
from everyclass.artifacts._prediction_tables import TableSource
from everyclass.artifacts._text import quoted, some
from everyclass.errors import FileFormatError, InputError

__all__ = ["PredictionSource", "RepeatedIds", "open_source"]

_ARRAYS = (".npz", ".npy", ".safetensors")
_TABLES = (".csv", ".parquet")


class PredictionSource(Protocol):
    """Reads predictions in pieces.

    Attributes:
        class_names: C names, where the file or the caller says them.
        class_counts: what the file says of training images per class.
        unit, total, done: what progress counts, how much there is, how much has been read.
    """

    class_names: tuple[str, ...] | None

    @property
    def class_counts(self) -> Any: ...
    @property
    def unit(self) -> str: ...
    @property
    def total(self) -> int: ...
    @property
    def done(self) -> int: ...

    def pieces(self, values: int) -> Iterator[dict[str, Any]]:
        """Labels, one of logits, probs and predicted, and ids: of so many scores at once."""

    def whole(self) -> dict[str, Any]:
        """The same of all rows."""


def open_source(
    path: str | Path,
    *,
    scores: Literal["logits", "probs"] | None = None,
    labels: str | Path | None = None,
    labels_column: str = "labels",
    predicted_column: str = "predicted",
    class_names: Sequence[str] | None = None,
) -> PredictionSource:
    """Open a file of predictions; the arguments are those of ``Predictions.load``.

    Raises:
        MissingFileError: nothing is there.
        FileFormatError: not such a file, or without what is needed.
    """
    path = existing_file(path, "predictions file")
    ending = path.suffix.lower()
    if class_names is not None:
        class_names = names_in_order(class_names)
    if scores not in (None, "logits", "probs"):
        raise InputError(f"scores (--scores) must be logits or probs; got {quoted(scores)}.")
    if ending not in _ARRAYS + _TABLES:
        raise FileFormatError(
            f"{path} ends in {quoted(ending)}; predictions are read from "
            f"{', '.join(_ARRAYS + _TABLES)}."
        )
    if ending in _TABLES:
        if labels is not None:
            raise InputError(
                f"{path} is a table, which holds its labels in a column; name the column with "
                "labels_column (--labels-column) instead of a file with labels (--labels)."
            )
        return TableSource(path, scores, labels_column, predicted_column, class_names)
    source = ArraySource(path, scores, None if labels is None else Path(labels))
    if class_names is not None:
        if are_other_numbers(class_names):
            raise InputError(
                f"class_names holds numbers, {some(list(class_names), most=4)}, and labels in an "
                f"array are positions in it: pass names as strings, and see that {path} holds "
                "positions (of labels that are such numbers np.searchsorted(classes, labels))."
            )
        names = tuple(str(name) for name in class_names)
        if source.class_names not in (None, names):
            raise FileFormatError(
                f"{path} names its classes {some(source.class_names or ())}, and class_names says "
                f"{some(names)}; leave class_names out."
            )
        source.class_names = names
    return source


class RepeatedIds:
    """Refuses an image that stands twice, in one file or in two; looks at the first four million.

    Attributes:
        files: those that had ids, in order.
    """

    _MOST = 1 << 22

    def __init__(self) -> None:
        self.files: list[str | Path] = []
        self._begins: list[int] = []  # how many ids stood before each file's
        self._chunks: list[Any] = []
        self._count = 0

    def see(self, path: str | Path, ids: Any) -> None:
        """Take the next ids of a file; None where there are none.

        Raises:
            InputError: not one per image, bytes that are no text, or half a character.
        """
        if ids is None or self._count >= self._MOST:
            return
        if not self.files or self.files[-1] is not path:
            self.files.append(path)
            self._begins.append(self._count)
        self._chunks.append(_as_arrow(ids))
        self._count += len(ids)

    def check(self) -> None:
        """Compare all ids that were seen.

        Raises:
            InputError: one of them stands twice.
        """
        import pyarrow as pa

        if not self._chunks:
            return
        if len({chunk.type for chunk in self._chunks}) > 1:  # a CSV's numbers are text
            self._chunks = [chunk.cast(pa.string()) for chunk in self._chunks]
        codes = pa.chunked_array(self._chunks).combine_chunks().dictionary_encode()
        if len(codes.dictionary) == len(codes):
            return
        # Codes are given in the order of appearance, so before a repeated one they count rows.
        numbers = codes.indices.to_numpy()
        again = int((numbers != np.arange(len(numbers))).argmax())
        before = int((numbers == numbers[again]).argmax())
        said = quoted(codes[again].as_py())
        (first, row), (second, other) = self._place(before), self._place(again)
        if first is second:
            raise InputError(
                f"{first}: the id {said} stands in rows {row} and {other}; give each image once, "
                "or leave the ids out (of a table the column 'ids', or 'id')."
            )
        raise InputError(
            f"The image with the id {said} stands in {first} (row {row}) and in {second} (row "
            f"{other}), and files that are judged together are parts of one set; to compare two "
            f"classifiers on the same images: everyclass compare {first} {second}; where ids only "
            "count the rows of each file, leave them out."
        )

    def _place(self, index: int) -> tuple[str | Path, int]:
        """The file and row of an id."""
        file = bisect.bisect_right(self._begins, index) - 1
        return self.files[file], index - self._begins[file]


def _as_arrow(ids: Any) -> Any:
    import pyarrow as pa

    if as_array(ids).dtype != object:  # a table's text stays as it is: see its ids
        ids = as_ids(ids, len(ids))
    try:
        return pa.array(ids)
    except UnicodeError as error:
        odd = next(i for i in map(str, ids) if any("\ud800" <= sign <= "\udfff" for sign in i))
        raise InputError(
            f"The id {quoted(odd)} is no text: it holds half a character, as names of files do "
            "that are no UTF-8; rename it, or leave the ids out."
        ) from error
