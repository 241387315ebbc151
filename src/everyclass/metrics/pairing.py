"""Two classifiers' outcomes on the same images, and nothing taken for granted about that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import Predictions
from everyclass.errors import InputError, InputTypeError

__all__ = ["Outcomes", "pair_outcomes"]

_IN_ORDER = ", row by row; in another order they need ids in both (a column ids or id)"


@dataclass(frozen=True, eq=False)
class Outcomes:
    """How often neither, only B, only A and both were right, class by class.

    Attributes:
        table: (C, 4) int64 images, in this order.
        class_names: C names, or None.
    """

    table: npt.NDArray[np.int64]
    class_names: tuple[str, ...] | None

    @property
    def support(self) -> npt.NDArray[np.int64]:
        """(C,) images of each class."""
        return np.asarray(self.table.sum(axis=1))

    @property
    def right(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(C,) images that A, and that B, got right."""
        _, only_b, only_a, both = self.table.T
        return both + only_a, both + only_b


def pair_outcomes(a: Predictions, b: Predictions, names: tuple[str, str] = ("A", "B")) -> Outcomes:
    """Bring two classifiers' predictions together, image by image.

    Images are matched by their ids where both have some, else by their order; the true classes have
    to agree. Classes are matched by name where both have names, else by number, so that the set of
    classes is fixed once, by the labels, and is the same for both.

    Args:
        a, b: what the two said.
        names: what they are called in messages.

    Raises:
        InputError: an id that stands twice or on one side only, another number of images or
            classes, another true class for the same image.
        InputTypeError: not predictions.
    """
    for value, name in ((a, names[0]), (b, names[1])):
        if not isinstance(value, Predictions):
            raise InputTypeError(
                f"{name} is a {type(value).__name__}; compare needs the Predictions of both, "
                "because it looks at the same images twice; a rescue gives them with "
                "result.predict(test, 'old')."
            )
    a, b = _on_the_same_classes(a, b, names)
    order, where = _matched(a, b, names)
    labels, top = b.labels[order], b.top[order]
    other = np.flatnonzero(a.labels != labels)
    if other.size:
        row = int(other[0])
        hint = "" if a.ids is not None and b.ids is not None else _IN_ORDER
        raise InputError(
            f"{where(row)} is of class {_said(a, a.labels[row])} in {names[0]} and of class "
            f"{_said(a, labels[row])} in {names[1]} ({other.size} such): these are not the same "
            f"images with the same labels{hint}."
        )
    outcome = 2 * (a.top == labels) + (top == labels)
    classes = max(a.num_classes, b.num_classes)
    table = np.bincount(labels * 4 + outcome, minlength=4 * classes).reshape(classes, 4)
    return Outcomes(table, a.class_names)


def _on_the_same_classes(
    a: Predictions, b: Predictions, names: tuple[str, str]
) -> tuple[Predictions, Predictions]:
    if a.class_names is not None and b.class_names is not None:
        if a.class_names == b.class_names:
            return a, b
        # A table names only the classes that stand in it, which may differ between the two.
        known = set(a.class_names)
        every = a.class_names + tuple(name for name in b.class_names if name not in known)
        place = {name: i for i, name in enumerate(every)}
        return tuple(  # type: ignore[return-value]
            _renumbered(p, np.array([place[n] for n in p.class_names or ()]), every) for p in (a, b)
        )
    fixed = {
        name: p.num_classes
        for p, name in zip((a, b), names, strict=True)
        if p.scores is not None or p.class_names is not None or p.class_counts is not None
    }
    most = max(a.num_classes, b.num_classes)
    for name, classes in fixed.items():
        if classes != most:
            other = names[1] if name == names[0] else names[0]
            raise InputError(
                f"{name} has {classes} classes and {other} has {most}; compare classifiers of the "
                "same classes, or give both class names."
            )
    names_known = a.class_names or b.class_names
    if names_known is None:
        return a, b
    same = np.arange(most)
    return _renumbered(a, same, names_known), _renumbered(b, same, names_known)


def _renumbered(p: Predictions, place: npt.NDArray[np.intp], names: tuple[str, ...]) -> Predictions:
    return Predictions(place[p.labels], predicted=place[p.top], class_names=names, ids=p.ids)


def _matched(
    a: Predictions, b: Predictions, names: tuple[str, str]
) -> tuple[npt.NDArray[np.intp], Callable[[int], str]]:
    """Rows of B in A's order, and how to speak of a row."""
    if a.ids is None or b.ids is None:
        if len(a) != len(b):
            raise InputError(
                f"{names[0]} has {len(a):,} images and {names[1]} has {len(b):,}; compare needs "
                "the same images in the same order, or ids in both."
            )
        return np.arange(len(a)), lambda row: f"Row {row}"
    ids_a, ids_b = a.ids, b.ids
    if ids_a.dtype.kind != ids_b.dtype.kind:  # a CSV's numbers beside an array of strings
        ids_a, ids_b = ids_a.astype(str), ids_b.astype(str)
    order_a, order_b = (
        _sorted_ids(ids, name) for ids, name in zip((ids_a, ids_b), names, strict=True)
    )
    missing, extra = np.setdiff1d(ids_a, ids_b), np.setdiff1d(ids_b, ids_a)
    if missing.size or extra.size:
        example = missing[0] if missing.size else extra[0]
        raise InputError(
            f"The ids do not match: {missing.size:,} of {names[0]} are not in {names[1]} and "
            f"{extra.size:,} the other way round, such as {example.item()!r}; compare needs the "
            "same images."
        )
    order = np.empty(len(a), dtype=np.intp)
    order[order_a] = order_b
    return order, lambda row: f"The image with id {ids_a[row].item()!r}"


def _sorted_ids(ids: npt.NDArray[Any], name: str) -> npt.NDArray[np.intp]:
    order = np.argsort(ids, kind="stable")
    twice = np.flatnonzero(ids[order][1:] == ids[order][:-1])
    if twice.size:
        raise InputError(
            f"The id {ids[order][twice[0]].item()!r} stands twice in {name} ({twice.size:,} such); "
            "each image needs an id of its own."
        )
    return order


def _said(p: Predictions, index: np.int64) -> str:
    return repr(p.class_names[index]) if p.class_names else str(index)
