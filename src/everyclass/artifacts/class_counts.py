"""How many training images each class has, and which group that puts it in."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from everyclass.artifacts._checks import as_array, as_labels, as_names, names_in_order
from everyclass.artifacts._class_files import is_index, read_counts
from everyclass.artifacts._files import atomic_write
from everyclass.artifacts._text import quoted
from everyclass.errors import EveryclassError, FileFormatError, InputError, InputTypeError

__all__ = ["ClassCounts", "Group", "GroupRule"]

GroupRule = Literal["paper", "common"]
Group = Literal["many", "medium", "few"]


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """Training images per class, in class order, with names where they are known.

    Attributes:
        counts: (C,) int64, each ≥ 0.
        names: C distinct names, or None.

    Example:
        >>> counts = ClassCounts.from_labels([0, 0, 0, 1, 2, 2])
        >>> counts.counts.tolist(), counts.imbalance_ratio
        ([3, 1, 2], 3.0)
        >>> ClassCounts.of({"cat": 120, "lynx": 4}).names
        ('cat', 'lynx')
    """

    counts: npt.NDArray[np.int64]
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        counts = _as_counts(self.counts)
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "names", as_names(self.names, len(counts)))

    def __repr__(self) -> str:
        least, most = int(self.counts.min()), int(self.counts.max())
        named = "" if self.names is None else ", named"
        return f"ClassCounts({self.num_classes:,} classes of {least:,} to {most:,} images{named})"

    @classmethod
    def of(
        cls, value: Any, *, num_classes: int | None = None, names: Sequence[str] | None = None
    ) -> ClassCounts:
        """Accept whatever a caller has: ClassCounts, a list, array or tensor, or a dict by name.

        Args:
            value: counts in class order, or a mapping from class name (or index) to count. With
                ``names``, what is counted by name is put in that order.
            num_classes: the number of classes there must be; default the number of ``names``.
            names: class names in class order.

        Raises:
            InputError: a negative count, a wrong length, or a name that is missing or unknown.
            InputTypeError: counts that are not whole numbers.
        """
        names = None if names is None else names_in_order(names)
        if isinstance(value, Mapping):
            counts = cls._from_mapping(value, names)
        else:
            counts = value if isinstance(value, ClassCounts) else cls(value)
        if num_classes is None and names is not None:
            num_classes = len(names)
        if num_classes is not None and counts.num_classes != num_classes:
            raise InputError(
                f"class_counts has {counts.num_classes} entries and there are {num_classes} "
                "classes; give one count per class, in class order."
            )
        if names is None or counts.names == tuple(names):
            return counts
        if counts.names is None:
            return cls(counts.counts, names=tuple(names))
        by_name = dict(zip(counts.names, counts.counts.tolist(), strict=True))
        return cls._from_mapping(by_name, names)

    @classmethod
    def _from_mapping(cls, value: Mapping[Any, Any], names: Sequence[str] | None) -> ClassCounts:
        if value and all(isinstance(k, int | np.integer) for k in value):
            expected = list(range(len(value)))
            if sorted(value) != expected:
                raise InputError(
                    f"class_counts is keyed by class index and has {sorted(value)[:5]}…; give "
                    f"every class from 0 to {len(value) - 1}, or use names."
                )
            return cls([value[k] for k in expected])  # type: ignore[arg-type]
        by_name = {str(k): v for k, v in value.items()}
        order = list(by_name) if names is None else [str(n) for n in names]
        known = set(order)
        missing = [n for n in order if n not in by_name]
        unknown = [n for n in by_name if n not in known]
        if missing or unknown:
            raise InputError(
                "class_counts does not fit the class names: "
                f"missing {_listed(missing)}, unknown {_listed(unknown)}."
            )
        return cls([by_name[n] for n in order], names=tuple(order))  # type: ignore[arg-type]

    @classmethod
    def from_labels(
        cls, labels: Any, *, num_classes: int | None = None, names: Sequence[str] | None = None
    ) -> ClassCounts:
        """Count labels, in one pass over an array and never over a dataset.

        Args:
            labels: (n,) integers in 0..C−1, as list, array or tensor.
            num_classes: C; default the number of ``names``, else the largest label + 1.
            names: class names in class order.

        Raises:
            InputError: no labels, or one outside 0..C−1.
            InputTypeError: labels that are not integers.
        """
        names = None if names is None else names_in_order(names)
        if num_classes is None and names is not None:
            num_classes = len(names)
        labels = as_labels(labels, num_classes=num_classes)
        counts = np.bincount(labels, minlength=num_classes or 0)
        return cls(counts, names=None if names is None else tuple(names))

    @property
    def num_classes(self) -> int:
        """C, the number of classes."""
        return len(self.counts)

    @property
    def total(self) -> int:
        """The number of training images."""
        return int(self.counts.sum())

    @property
    def imbalance_ratio(self) -> float:
        """Largest over smallest class; infinite if a class has no image."""
        smallest = int(self.counts.min())
        return float(self.counts.max()) / smallest if smallest else float("inf")

    @property
    def missing(self) -> npt.NDArray[np.int64]:
        """Indices of the classes without a training image."""
        return np.flatnonzero(self.counts == 0)

    def groups(self, rule: GroupRule = "paper") -> npt.NDArray[np.str_]:
        """Put each class into "many", "medium" or "few".

        Args:
            rule: "paper" (Du & Wu 2023, after OLTR): many ≥ 100, few ≤ 20 training images;
                "common" (Kang et al. 2020 and most code since): many > 100, few < 20.

        Returns:
            (C,) strings.
        """
        if rule not in get_args(GroupRule):
            raise InputError(f"The grouping rule must be 'paper' or 'common'; got {rule!r}.")
        strict = rule == "common"
        many = self.counts > 100 if strict else self.counts >= 100
        few = self.counts < 20 if strict else self.counts <= 20
        return np.where(many, "many", np.where(few, "few", "medium"))

    def describe(self, index: int) -> str:
        """Name a class for a message: ``'lynx' (class 7)`` or ``class 7``."""
        return f"{quoted(self.names[index])} (class {index})" if self.names else f"class {index}"

    def save(self, path: str | Path) -> None:
        """Write a CSV file with the columns ``class`` and ``count``, in class order.

        Names that are all numbers would be read back as indices; their column is called ``name``.
        """
        numbers = self.names is not None and all(map(is_index, self.names))
        names = self.names or tuple(str(c) for c in range(self.num_classes))
        text = io.StringIO()
        # Before Python 3.13 a lone carriage return is not quoted where it has to be.
        dialect = csv.unix_dialect if any("\r" in name for name in names) else csv.excel
        writer = csv.writer(text, dialect, lineterminator="\n")
        writer.writerow(["name" if numbers else "class", "count"])
        writer.writerows(zip(names, self.counts.tolist(), strict=True))
        with atomic_write(path) as stream:
            stream.write(text.getvalue().encode())

    @classmethod
    def load(cls, path: str | Path, *, names: Sequence[str] | None = None) -> ClassCounts:
        """Read a file of counts.

        A ``.csv`` has the columns ``class`` (name or index; or else ``name``) and ``count``; a
        ``.json`` holds a list of counts in class order, or an object from name or index to count;
        an ``.npz`` holds ``class_counts`` (or ``counts``) and perhaps ``class_names``.

        Args:
            path: the file; what ends in neither ``.json`` nor ``.npz`` is read as CSV.
            names: class names in class order, which the file's names are put in.

        Raises:
            MissingFileError: nothing is there.
            FileFormatError: not such a file, a class twice, a count that is not a whole number
                ≥ 0, or the classes are not those of ``names``.
        """
        value = read_counts(Path(path), names)
        try:
            return cls.of(value, names=names)
        except EveryclassError as error:
            raise FileFormatError(f"{path}: {error}") from error


def _listed(names: list[str]) -> str:
    return f"[{', '.join(quoted(name) for name in names[:5])}]"


def _as_counts(value: Any) -> npt.NDArray[np.int64]:
    counts = as_array(value)
    if counts.ndim != 1 or counts.size == 0:
        raise InputError(
            f"class_counts must be one number per class; got an array of shape {counts.shape}."
        )
    if counts.dtype.kind == "f" and (np.abs(counts) < 2**53).all():
        whole = counts.astype(np.int64)
        counts = whole if np.array_equal(counts, whole) else counts
    if counts.dtype.kind not in "iu":
        raise InputTypeError(f"class_counts must be whole numbers; got {counts.dtype}.")
    if (counts < 0).any():
        worst = int(np.argmin(counts))
        raise InputError(f"class_counts[{worst}] is {counts[worst]}; a count cannot be negative.")
    if counts.max() > np.iinfo(np.int64).max:
        raise InputError(f"class_counts holds {counts.max()}, which is no number of images.")
    counts = counts.astype(np.int64)
    counts.flags.writeable = False
    return counts
