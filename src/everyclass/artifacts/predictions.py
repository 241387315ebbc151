"""What a classifier said about labelled images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from everyclass.artifacts._checks import as_floats, as_ids, as_labels, as_names, stored_names
from everyclass.artifacts._files import (
    existing_file,
    first_line,
    load_safetensors,
    read_npz,
    write_npz,
)
from everyclass.artifacts.class_counts import ClassCounts
from everyclass.errors import EveryclassError, FileFormatError, InputError

__all__ = ["Predictions", "Scores"]

Scores = Literal["logits", "probs"]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Labels, and logits or probabilities or predicted classes: exactly one of the three.

    Attributes:
        labels: (n,) int64, the true classes.
        logits: (n, C) finite scores whose softmax are probabilities.
        probs: (n, C) in 0..1, rows that sum to one.
        predicted: (n,) int64, where nothing else is known.
        class_names: C names, or None.
        class_counts: training images per class, or None.
        ids: (n,) one id per image, or None.

    Which of the three it is, is said by the caller and never guessed; rows of "logits" that sum to
    one, and "probabilities" that do not, are refused.

    Example:
        >>> said = Predictions(labels=[0, 1], probs=[[0.9, 0.1], [0.8, 0.2]])
        >>> said.top.tolist()
        [0, 0]
    """

    labels: npt.NDArray[np.int64]
    logits: npt.NDArray[np.floating[Any]] | None = None
    probs: npt.NDArray[np.floating[Any]] | None = None
    predicted: npt.NDArray[np.int64] | None = None
    class_names: tuple[str, ...] | None = None
    class_counts: ClassCounts | None = None
    ids: npt.NDArray[Any] | None = None

    def __post_init__(self) -> None:
        given = [n for n in ("logits", "probs", "predicted") if getattr(self, n) is not None]
        if len(given) != 1:
            raise InputError(
                "Give exactly one of logits, probs and predicted; "
                f"got {' and '.join(given) or 'none'}."
            )
        scores = None
        if given[0] != "predicted":
            scores = as_floats(getattr(self, given[0]), name=given[0], ndim=(2,))
            (_check_probs if given[0] == "probs" else _check_logits)(scores)
            object.__setattr__(self, given[0], scores)
        classes = self._known_classes(scores)
        length = None if scores is None else len(scores)
        labels = as_labels(self.labels, num_classes=classes, length=length)
        object.__setattr__(self, "labels", labels)
        if self.predicted is not None:
            predicted = as_labels(
                self.predicted, num_classes=classes, length=len(labels), name="predicted"
            )
            object.__setattr__(self, "predicted", predicted)
            classes = classes or int(max(labels.max(), predicted.max())) + 1
        assert classes is not None
        if classes < 2:
            raise InputError("There is one class only; nothing can be told apart.")
        counts = self.class_counts
        if counts is not None:
            counts = ClassCounts.of(counts, num_classes=classes, names=self.class_names)
        names = self.class_names or (counts.names if counts is not None else None)
        object.__setattr__(self, "class_counts", counts)
        object.__setattr__(self, "class_names", as_names(names, classes))
        object.__setattr__(self, "ids", as_ids(self.ids, len(labels)))
        object.__setattr__(self, "_num_classes", classes)

    def _known_classes(self, scores: npt.NDArray[Any] | None) -> int | None:
        if scores is not None:
            return int(scores.shape[1])
        if self.class_names is not None:
            return len(self.class_names)
        if self.class_counts is not None:
            return ClassCounts.of(self.class_counts).num_classes
        return None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        """C: columns of the scores, else names, else counts, else the largest class seen + 1."""
        return self._num_classes  # type: ignore[attr-defined]

    @property
    def scores(self) -> npt.NDArray[np.floating[Any]] | None:
        """Logits or probabilities, whichever there are."""
        return self.logits if self.logits is not None else self.probs

    @cached_property
    def top(self) -> npt.NDArray[np.int64]:
        """(n,) the predicted class of each image; the first of equal scores."""
        if self.predicted is not None:
            return self.predicted
        assert self.scores is not None
        return np.asarray(self.scores.argmax(axis=1), dtype=np.int64)

    def with_counts(self, class_counts: ClassCounts) -> Predictions:
        """The same predictions, with the training images per class.

        Raises:
            InputError: there are more or fewer counts than classes.
        """
        counts = ClassCounts.of(class_counts)
        if self.predicted is None or self.class_names is not None:
            counts = ClassCounts.of(counts, num_classes=self.num_classes)
        return replace(self, class_counts=counts)

    def save(self, path: str | Path) -> None:
        """Write an ``.npz`` with the arrays that there are."""
        arrays: dict[str, npt.NDArray[Any]] = {"labels": self.labels}
        for name in ("logits", "probs", "predicted", "ids"):
            if getattr(self, name) is not None:
                arrays[name] = getattr(self, name)
        if self.class_names is not None:
            arrays["class_names"] = np.array(self.class_names)
        if self.class_counts is not None:
            arrays["class_counts"] = self.class_counts.counts
        write_npz(path, arrays)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        scores: Scores | None = None,
        labels_column: str = "labels",
        predicted_column: str = "predicted",
        class_names: Sequence[str] | None = None,
        class_counts: ClassCounts | None = None,
    ) -> Predictions:
        """Read ``.npz``, ``.safetensors``, ``.csv`` or ``.parquet``.

        Array files hold ``labels`` and one of ``logits``, ``probs``, ``predicted``; optionally
        ``ids``, ``class_names``, ``class_counts``. Tables hold the column ``labels`` and either
        ``predicted``, or one column per class: ``logit_0, …``, ``prob_0, …``, or columns named as
        the classes together with ``scores``.

        Args:
            path: the file.
            scores: what columns named as classes hold, "logits" or "probs".
            labels_column, predicted_column: other names for these columns.
            class_names: C names, if the file does not say.
            class_counts: training images per class, if the file does not say.

        Raises:
            MissingFileError: nothing is there.
            FileFormatError: not such a file, or without what is needed.
            InputError: what it holds does not fit together.
        """
        path = existing_file(path, "predictions file")
        values: dict[str, Any]
        ending = path.suffix.lower()
        if ending in (".csv", ".parquet"):
            values = _from_table(path, scores, labels_column, predicted_column, class_names)
        elif ending == ".safetensors":
            values = _from_arrays(path, load_safetensors(path, "predictions file")[0], scores)
        else:
            values = _from_arrays(path, read_npz(path, "predictions file"), scores)
        if class_names is not None:
            names = tuple(str(name) for name in class_names)
            if values.setdefault("class_names", names) != names:
                raise FileFormatError(
                    f"{path} names its classes {_some(values['class_names'])}, and class_names "
                    f"says {_some(names)}; leave class_names out."
                )
        if class_counts is not None:
            values["class_counts"] = class_counts
        try:
            return cls(**values)
        except EveryclassError as error:
            raise type(error)(f"{path}: {error}") from error


def _check_probs(probs: npt.NDArray[Any]) -> None:
    if probs.min() < 0 or probs.max() > 1:
        row, column = (int(i) for i in np.argwhere((probs < 0) | (probs > 1))[0])
        raise InputError(
            f"probs[{row}, {column}] is {probs[row, column]:g}, outside 0..1; "
            "if these are logits, pass them as logits."
        )
    sums = probs.sum(axis=1, dtype=np.float64)
    off = np.abs(sums - 1) > _tolerance(probs)
    if off.any():
        row = int(np.flatnonzero(off)[0])
        raise InputError(
            f"Row {row} of probs sums to {sums[row]:.4g} and must sum to 1 ({int(off.sum())} such "
            "rows); if these are logits, pass them as logits."
        )


def _tolerance(probs: npt.NDArray[Any]) -> float:
    return 1e-2 if probs.dtype == np.float16 else 1e-3


def _check_logits(logits: npt.NDArray[Any]) -> None:
    if logits.shape[1] < 2 or logits.min() < 0 or logits.max() > 1:
        return
    if np.abs(logits.sum(axis=1, dtype=np.float64) - 1).max() <= _tolerance(logits):
        raise InputError(
            "Every row of logits lies in 0..1 and sums to one: these are probabilities; "
            "pass them as probs."
        )


def _from_arrays(
    path: Path, arrays: dict[str, npt.NDArray[Any]], scores: Scores | None
) -> dict[str, Any]:
    if "scores" in arrays and scores is not None:
        arrays[scores] = arrays.pop("scores")
    known = ("labels", "logits", "probs", "predicted", "ids", "class_names", "class_counts")
    values: dict[str, Any] = {name: arrays[name] for name in known if name in arrays}
    if "labels" not in values:
        raise FileFormatError(
            f"{path} has no array 'labels'; it has {', '.join(arrays) or 'nothing'}."
        )
    if not {"logits", "probs", "predicted"} & set(values):
        raise FileFormatError(
            f"{path} has none of the arrays logits, probs, predicted; it has {', '.join(arrays)}."
        )
    if "class_names" in values:
        try:
            values["class_names"] = stored_names(values["class_names"])
        except InputError as error:
            raise FileFormatError(f"{path}: {error}") from error
    return values


def _from_table(
    path: Path,
    scores: Scores | None,
    labels_column: str,
    predicted_column: str,
    class_names: Sequence[str] | None,
) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    try:
        read = pa.csv.read_csv if path.suffix.lower() == ".csv" else pa.parquet.read_table
        table = read(path)
        columns = table.column_names  # decoded only here
    except Exception as error:
        raise FileFormatError(
            f"{path} is not a readable {path.suffix[1:]} file: {first_line(error)}."
        ) from error
    if len(set(columns)) != len(columns):
        raise FileFormatError(f"{path} has two columns of the same name.")
    if labels_column not in columns:
        raise FileFormatError(
            f"{path} has no column {labels_column!r}; it has {_some(columns)}. "
            "Name the column of true classes with --labels-column."
        )
    values: dict[str, Any] = {}
    if "ids" in columns:
        values["ids"] = _column(path, table, "ids")
    labels = _column(path, table, labels_column)
    kind, names = _numbered_columns(path, columns)
    if kind is None and scores is not None:
        others = {labels_column, predicted_column, "ids"}
        kind, names = scores, _named_columns(path, columns, others, class_names)
        class_names = names
    if kind is not None:
        values[kind] = np.column_stack([_numbers(path, table, name) for name in names])
    elif predicted_column in columns:
        values["predicted"] = _column(path, table, predicted_column)
    else:
        raise FileFormatError(
            f"{path} has neither a column {predicted_column!r} nor score columns; it has "
            f"{_some(columns)}. Name the column of predicted classes with --predicted-column, or "
            "say what the class columns hold with --scores logits or --scores probs."
        )
    if labels.dtype.kind == "U":
        said = values.get("predicted", labels)
        if said.dtype.kind != "U":
            raise FileFormatError(f"{path}: labels are names and predicted classes are numbers.")
        if kind is not None and class_names is None:
            raise FileFormatError(
                f"{path}: labels are names and the score columns are numbered; say with "
                "class_names which class each column is, in order."
            )
        class_names = class_names or sorted({*labels.tolist(), *said.tolist()})
        labels = _indices(path, labels, class_names, labels_column)
        if "predicted" in values:
            values["predicted"] = _indices(path, said, class_names, predicted_column)
    if class_names is not None:
        values["class_names"] = tuple(str(name) for name in class_names)
    return {"labels": labels, **values}


def _numbered_columns(path: Path, columns: list[str]) -> tuple[str | None, list[str]]:
    for kind, prefix in (("logits", "logit_"), ("probs", "prob_")):
        numbered = [c for c in columns if re.fullmatch(prefix + r"\d+", c)]
        if numbered:
            expected = [f"{prefix}{i}" for i in range(len(numbered))]
            missing = [c for c in expected if c not in numbered]
            if missing:
                raise FileFormatError(f"{path} has no column {missing[0]!r} beside the others.")
            return kind, expected
    return None, []


def _named_columns(
    path: Path, columns: list[str], others: set[str], class_names: Sequence[str] | None
) -> list[str]:
    if class_names is None:
        names = [c for c in columns if c not in others]
    else:
        names = [str(name) for name in class_names]
    missing = [name for name in names if name not in columns]
    if missing or not names:
        wanted = f"class {missing[0]!r}" if missing else "any class"
        raise FileFormatError(f"{path} has no column for {wanted}; it has {_some(columns)}.")
    return names


def _column(path: Path, table: Any, name: str) -> npt.NDArray[Any]:
    values = table[name].to_pylist()
    if None in values:
        raise FileFormatError(f"{path}: column {name!r} is empty in row {values.index(None)}.")
    try:
        array = np.array(values)
    except ValueError as error:
        raise FileFormatError(f"{path}: column {name!r} holds no plain values.") from error
    if array.dtype.kind == "S":
        raise FileFormatError(f"{path}: column {name!r} is no UTF-8 text; save the file as UTF-8.")
    return array


def _numbers(path: Path, table: Any, name: str) -> npt.NDArray[np.float64]:
    if table[name].null_count:
        row = table[name].is_null().to_pylist().index(True)
        raise FileFormatError(f"{path}: column {name!r} is empty in row {row}.")
    values = table[name].to_numpy()
    if values.dtype.kind not in "iuf":
        raise FileFormatError(f"{path}: column {name!r} holds text where numbers are needed.")
    return values.astype(np.float64)


def _indices(
    path: Path, values: npt.NDArray[Any], names: Sequence[str], column: str
) -> npt.NDArray[np.int64]:
    index = {name: i for i, name in enumerate(names)}
    try:
        return np.array([index[value] for value in values.tolist()], dtype=np.int64)
    except KeyError as error:
        row = values.tolist().index(error.args[0])
        raise FileFormatError(
            f"{path}: row {row} of {column!r} is {error.args[0]!r}, which is no class; "
            f"the classes are {_some(list(names))}."
        ) from error


def _some(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
