"""A split that keeps every class in every part, and near-duplicates on one side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import as_array, as_ids, check_number, check_whole_number
from everyclass.errors import InputError

__all__ = ["Split", "split"]

# Which parts a class with too few images goes to first: it cannot be judged before it is learned.
_FIRST = ("train", "test", "val")


@dataclass(frozen=True, eq=False)
class Split:
    """Which rows go where.

    Attributes:
        rows: by part ("train", "val", "test"), the rows of it, rising.
        classes: the classes, sorted.
        counts: by part, (C,) images of each class.
    """

    rows: dict[str, npt.NDArray[np.intp]]
    classes: tuple[Any, ...]
    counts: dict[str, npt.NDArray[np.int64]]

    def missing(self, part: str) -> tuple[Any, ...]:
        """The classes that have no image in a part, and cannot be learned or judged there."""
        return tuple(self.classes[c] for c in np.flatnonzero(self.counts[part] == 0))

    def fewer(self, part: str, images: int) -> tuple[Any, ...]:
        """The classes that have some images in a part, and fewer than so many."""
        here = self.counts[part]
        return tuple(self.classes[c] for c in np.flatnonzero((here > 0) & (here < images)))


def split(
    labels: Any,
    *,
    val: float = 0.1,
    test: float = 0.0,
    groups: Any = None,
    seed: int = 0,
) -> Split:
    """Split rows into train, val and test, class by class.

    Each class gives each part its share, rounded, and at least one image or group as far as it has
    any: of too few, train is served first, then test. Rows of one group (a patient, a burst of
    photographs, copies of a picture) stay together; groups of several classes are placed first, the
    rarest class first, where their classes lack most.

    Args:
        labels: (n,) classes, integers or strings.
        val: share of the rows for validation.
        test: share of the rows for testing.
        groups: (n,) one id per row; rows with the same one stay together.
        seed: of the choice.

    Returns:
        A :class:`Split`, in which rows with a share of 0 have no part.

    Raises:
        InputError: shares that leave nothing to train on, no labels, missing values, one group
            only, groups that are not one per row, or a negative seed.
        InputTypeError: a share or a seed that is no number.

    Example:
        >>> parts = split(["cat"] * 8 + ["lynx"] * 2 + ["fox"], val=0.25, test=0.25)
        >>> {name: counts.tolist() for name, counts in parts.counts.items()}
        {'train': [4, 1, 1], 'val': [2, 0, 0], 'test': [2, 0, 1]}
        >>> parts.missing("val")
        ('fox', 'lynx')
    """
    shares = _checked_shares(val, test)
    classes, label = _indices(labels, "labels")
    generator = np.random.default_rng(check_whole_number("seed", seed))
    if groups is None:
        part = _apart(label, len(classes), shares, generator)
    else:
        names, group = _indices(groups, "groups")
        if len(group) != len(label):
            raise InputError(
                f"groups has {len(group)} entries and there are {len(label)} labels; one per row "
                "is needed."
            )
        if len(names) == 1:
            raise InputError("All rows are in one group; nothing can be split.")
        part = _together(label, len(classes), group, shares, generator)[group]
    rows = {name: np.flatnonzero(part == i) for i, name in enumerate(shares)}
    counts = {name: np.bincount(label[r], minlength=len(classes)) for name, r in rows.items()}
    return Split(rows, tuple(classes.tolist()), counts)


def _checked_shares(val: float, test: float) -> dict[str, float]:
    for name, share in (("val", val), ("test", test)):
        check_number(f"{name}, a share of the rows,", share, 0.0, 1.0)
    if val + test >= 1 or val + test == 0:
        raise InputError(
            f"val + test must be more than 0 and leave something to train on; got {val} + {test}."
        )
    shares = {"train": 1 - val - test, "val": val, "test": test}
    return {name: share for name, share in shares.items() if share > 0}


def _indices(values: Any, name: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """The values there are, sorted, and which of them each row has."""
    if isinstance(values, list | tuple) and any(isinstance(value, str) for value in values):
        # NumPy would make text of all, a NaN too, and as wide as the longest.
        array = np.array(values, dtype=object)
    else:
        array = as_array(values)
    if array.ndim != 1 or array.size == 0:
        raise InputError(f"{name} must be one value per row; got shape {array.shape}.")
    if array.dtype.kind == "O":
        return _indices_of_text(array.tolist(), name)
    if array.dtype.kind not in "iuUSb":
        raise InputError(
            f"{name} must be whole numbers or text, without missing values; got {array.dtype}."
        )
    if array.dtype.kind == "S":
        array = np.asarray(as_ids(array, len(array)))
    unique, index = np.unique(array, return_inverse=True)
    return unique, index


def _indices_of_text(values: list[Any], name: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    for row, value in enumerate(values):
        if not isinstance(value, str):
            raise InputError(
                f"{name} must be whole numbers or text, without missing values; got object "
                f"with {value!r} in row {row}."
            )
    unique = sorted({str(value) for value in values})
    number = {value: i for i, value in enumerate(unique)}
    index = np.fromiter((number[value] for value in values), np.intp, len(values))
    return np.array(unique, dtype=object), index


def _served_first(shares: dict[str, float]) -> list[int]:
    parts = list(shares)
    return [parts.index(name) for name in _FIRST if name in shares]


def _apart(
    label: npt.NDArray[np.intp],
    classes: int,
    shares: dict[str, float],
    generator: np.random.Generator,
) -> npt.NDArray[np.intp]:
    """The part of each row, where every row may go anywhere."""
    part = np.empty(len(label), dtype=np.intp)
    by_class = np.split(
        np.argsort(label, kind="stable"), np.cumsum(np.bincount(label, minlength=classes))[:-1]
    )
    first = _served_first(shares)
    share = np.array(list(shares.values()))
    for rows in by_class:
        sizes = np.zeros(len(shares), dtype=np.int64)
        sizes[first[: len(rows)]] = 1
        wanted = np.maximum(np.round(share * len(rows)).astype(np.int64), sizes)
        while wanted.sum() > len(rows):  # rounding, or the one image that each part gets
            over = np.where(wanted > sizes, wanted - share * len(rows), -np.inf)
            wanted[np.argmax(over)] -= 1
        wanted[0] += len(rows) - wanted.sum()
        part[generator.permutation(rows)] = np.repeat(np.arange(len(shares)), wanted)
    return part


def _together(
    label: npt.NDArray[np.intp],
    classes: int,
    group: npt.NDArray[np.intp],
    shares: dict[str, float],
    generator: np.random.Generator,
) -> npt.NDArray[np.intp]:
    """The part of each group."""
    pairs, images = np.unique(group * classes + label, return_counts=True)
    of_group, of_class = np.divmod(pairs, classes)
    starts = np.searchsorted(of_group, np.arange(group.max() + 2))
    holders = np.bincount(of_class, minlength=classes)  # groups that have a class
    size = np.bincount(group)
    kinds = np.diff(starts)
    rarest = np.minimum.reduceat(holders[of_class], starts[:-1])
    # Mixed groups first, since they fit worst; the rarest class first; then the largest.
    order = np.lexsort((generator.random(len(size)), -size, rarest, kinds == 1))
    total = np.bincount(label, minlength=classes)
    wanted = np.outer(list(shares.values()), total)
    # Plain numbers from here on: hundreds of thousands of groups, two or three parts, few classes.
    lacks: list[list[float]] = wanted.tolist()
    given = [[0] * classes for _ in shares]
    left, first = holders.tolist(), _served_first(shares)
    classes_of, images_of, edges = of_class.tolist(), images.tolist(), starts.tolist()
    weight = (1 / np.maximum(total, 1) ** 2).tolist()  # the rarest class has most to say
    part = np.empty(len(size), dtype=np.intp)
    for g in order.tolist():
        content = [(classes_of[i], images_of[i]) for i in range(edges[g], edges[g + 1])]
        # A part that has nothing of a class comes first as soon as there are no more groups of the
        # class than such parts; of too few groups, the parts are served in turn.
        empty = {c: sum(not have[c] for have in given) for c, _ in content}
        scarce = any(left[c] < empty[c] for c in empty)
        scores = []
        for p in first:
            urgent = sum(not given[p][c] and left[c] <= empty[c] for c in empty)
            need = sum(n * weight[c] * lacks[p][c] for c, n in content)
            scores.append((urgent, 0.0 if urgent and scarce else need))
        best = first[max(range(len(first)), key=scores.__getitem__)]
        part[g] = best
        for c, n in content:
            given[best][c] += n
            lacks[best][c] -= n
            left[c] -= 1
    return part
