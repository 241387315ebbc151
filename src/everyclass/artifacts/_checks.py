"""Checks of arrays that several artifacts share."""

from __future__ import annotations

from collections import Counter
from collections.abc import KeysView, Mapping, Sequence, Set, Sized
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts._text import printable, quoted, some
from everyclass.errors import InputError, InputTypeError

__all__ = [
    "are_other_numbers",
    "as_array",
    "as_float32",
    "as_floats",
    "as_ids",
    "as_labels",
    "as_names",
    "class_numbers",
    "holds_names",
    "names_in_order",
    "of_class",
    "stored_names",
]

# One number per class is kept in memory: a label of 10**12 is a mistake, not a trillion classes.
MOST_CLASSES = 10_000_000


def as_array(value: Any) -> npt.NDArray[Any]:
    """Return a NumPy array of a list, an array, or a tensor on any device.

    Raises:
        InputError: lists of different lengths inside a list.
    """
    if hasattr(value, "detach"):  # a tensor; torch itself is not needed to know that
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":  # NumPy has no bfloat16
            value = value.float()
        value = value.numpy()
    try:
        return np.asarray(value)
    except ValueError as error:
        raise InputError(f"These values make no array: {error}.") from error


# Not by np.unique: labels of test images may lack a class, and all after it would be another one.
_NUMBERED = "; number them by one list of all classes: [classes.index(name) for name in labels]"
_TO_INTEGERS = {  # by kind of dtype
    "f": "; convert them with labels.astype(int)",
    "U": _NUMBERED,
    "S": _NUMBERED,
    "O": _NUMBERED,
}


def as_labels(
    value: Any,
    *,
    num_classes: int | None = None,
    length: int | None = None,
    name: str = "labels",
    first_row: int | None = None,
) -> npt.NDArray[np.int64]:
    """Return (n,) int64 labels, or say what is wrong with them.

    Args:
        value: the labels.
        num_classes: C, or None where the labels themselves say it.
        length: how many there must be.
        name: what to call them.
        first_row: where they begin in what they are a part of; None if they are all.

    Raises:
        InputTypeError: floats, strings or booleans.
        InputError: empty, not one-dimensional, of another length, or outside 0..C−1.
    """
    labels = as_array(value)
    if labels.ndim != 1:
        one_hot = labels.ndim == 2 and labels.shape[1] > 1
        hint = "; of one-hot rows take the class: labels.argmax(axis=1)" if one_hot else ""
        raise InputError(
            f"{name} must be one-dimensional; got an array of shape {labels.shape}{hint}."
        )
    if labels.size == 0:
        raise InputError(f"{name} is empty; at least one is needed.")
    if labels.dtype.kind not in "iu":
        hint = _TO_INTEGERS.get(labels.dtype.kind, "")
        raise InputTypeError(f"{name} must be integers 0..C−1; got {labels.dtype}{hint}.")
    if length is not None and len(labels) != length:
        raise InputError(f"{name} has {len(labels)} entries where {length} are needed.")
    if labels.dtype.kind == "u" and labels.max() > np.iinfo(np.int64).max:
        raise InputError(f"{name} holds {labels.max()}, which is no class index.")
    labels = labels.astype(np.int64)
    limit = MOST_CLASSES if num_classes is None else num_classes
    if labels.min() < 0 or labels.max() >= limit:
        bad = (labels < 0) | (labels >= limit)
        row = int(np.flatnonzero(bad)[0])
        bound = "0..C−1" if num_classes is None and labels[row] < 0 else f"0..{limit - 1}"
        where, count = row + (first_row or 0), int(bad.sum())
        such = f"{count} such" if first_row is None else f"at least {count} such"
        raise InputError(f"{name}[{where}] is {labels[row]}, outside {bound} ({such}).")
    return labels


def holds_names(value: Any) -> bool:
    """Whether labels are strings; of an array of objects, whether any is."""
    labels = as_array(value)
    if labels.dtype.kind == "O":
        return any(isinstance(label, str) for label in labels.flat)
    return labels.dtype.kind in "UST"


def class_numbers(
    value: Any, class_names: Sequence[str], *, name: str, first_row: int | None = None
) -> npt.NDArray[np.int64]:
    """Return the place of each label, a string, among the class names.

    Args:
        value: (n,) strings.
        class_names: C names in class order.
        name: what to call the labels.
        first_row: where they begin in what they are a part of; None if they are all.

    Raises:
        InputError: not one-dimensional, or a label that is no class (the first is named).
    """
    labels = as_array(value)
    if labels.ndim != 1:
        raise InputError(f"{name} must be one-dimensional; got an array of shape {labels.shape}.")
    if labels.dtype.kind == "S":
        labels = _as_text(labels, name)
    place = {class_name: c for c, class_name in enumerate(class_names)}
    said = labels.tolist()
    numbers = np.array([place.get(label, -1) if isinstance(label, str) else -1 for label in said])
    unknown = np.flatnonzero(numbers < 0)
    if unknown.size:
        row = int(unknown[0])
        raise InputError(
            f"{name}[{row + (first_row or 0)}] is {quoted(said[row])}, which is no class; the "
            f"classes are {some(class_names)}."
        )
    return numbers.astype(np.int64)


def are_other_numbers(class_names: Any) -> bool:
    """Whether names of classes are numbers, and not those that the classes have: 0..C−1 in order.

    Digits in strings are names.
    """
    if isinstance(class_names, str) or not hasattr(class_names, "__len__"):
        return False
    names = list(class_names)
    numbers = all(isinstance(name, int | float | np.number) for name in names)
    return numbers and names != list(range(len(names)))


def of_class(class_names: Any, column: int) -> str:
    """`` (class 'cat')`` for a message about a column of scores; nothing where it has no name."""
    if not isinstance(class_names, list | tuple | np.ndarray) or column >= len(class_names):
        return ""
    return f" (class {quoted(class_names[column])})"


def as_floats(
    value: Any,
    *,
    name: str,
    ndim: tuple[int, ...],
    first_row: int | None = None,
    columns: Any = None,
) -> npt.NDArray[np.floating[Any]]:
    """Return a finite, non-empty floating-point array, or say what is wrong with it.

    Args:
        value: the array.
        name: what to call it.
        ndim: how many dimensions it may have.
        first_row: where it begins in what it is a part of; None if it is all.
        columns: what the columns are called, or None.

    Raises:
        InputTypeError: not numbers.
        InputError: empty, of another rank, or with NaN or infinite entries (the first is named).
    """
    array = as_array(value)
    if array.dtype.kind in "iu":
        array = array.astype(np.float64)
    if array.dtype.kind != "f":
        raise InputTypeError(f"{name} must be floating-point numbers; got {array.dtype}.")
    if array.ndim not in ndim:
        wanted = " or ".join(str(n) for n in ndim)
        maps = "; of maps take means: x.mean(axis=(2, 3))" if array.ndim == 4 else ""
        raise InputError(f"{name} must have {wanted} dimensions; got shape {array.shape}{maps}.")
    if array.size == 0:
        raise InputError(f"{name} is empty: its shape is {array.shape}.")
    finite = np.isfinite(array)
    if not finite.all():
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        place = [where[0] + (first_row or 0), *where[1:]]
        count = array.size - int(finite.sum())
        such = f"{count} of {array.size}" if first_row is None else f"at least {count}"
        named = of_class(columns, where[-1])
        raise InputError(f"{name}{place}{named} is {array[where]}; {such} values are not finite.")
    return array


def as_float32(value: npt.NDArray[np.floating[Any]], *, name: str) -> npt.NDArray[np.float32]:
    """Return finite numbers as float32.

    Raises:
        InputError: one of them is beyond the range of float32.
    """
    with np.errstate(over="ignore"):
        array = value.astype(np.float32)
    if not np.isfinite(array).all():
        raise InputError(f"{name} holds values beyond the range of float32.")
    return array


def names_in_order(value: Any) -> Sequence[Any]:
    """Class names in class order, however they are given; a dict's are put in its numbers' order.

    Raises:
        InputTypeError: one string, something without an order, or no sequence at all.
        InputError: a dict that is not from class number to name.
    """
    if isinstance(value, Mapping):
        numbered = {str(number): name for number, name in value.items()}
        expected = [str(number) for number in range(len(value))]
        if sorted(numbered) != sorted(expected):
            raise InputError(
                "class_names is a dict whose keys are not the class numbers 0..C−1: it has "
                f"{some(list(numbered), most=4)}; of a dict from name to number pass "
                "sorted(names, key=names.get)."
            )
        return [numbered[number] for number in expected]
    if isinstance(value, KeysView):  # of a dict, which has an order, such as class_to_idx
        return list(value)
    if isinstance(value, str | bytes | Set) or not isinstance(value, Sized):
        raise InputTypeError(
            f"class_names must be a sequence of C names; got {printable(repr(value), 60)}."
        )
    return value  # type: ignore[return-value]


def as_names(value: Any, num_classes: int | None = None) -> tuple[str, ...] | None:
    """Return C distinct class names, or None; without ``num_classes`` however many there are.

    Raises:
        InputTypeError: one string, or no sequence at all, instead of a sequence of names.
        InputError: a wrong number of names, the same name twice, one that is none, or one that no
            file can hold.
    """
    if value is None:
        return None
    names = tuple(_as_name(c, name) for c, name in enumerate(names_in_order(value)))
    if num_classes is not None and len(names) != num_classes:
        raise InputError(f"There are {len(names)} class names and {num_classes} classes.")
    if len(set(names)) != len(names):
        ((twice, _),) = Counter(names).most_common(1)
        raise InputError(f"The class name {quoted(twice)} stands twice.")
    for name in names:
        if not name.isascii() and any("\ud800" <= sign <= "\udfff" for sign in name):
            raise InputError(
                f"The class name {quoted(name)} is no text: it holds half a character."
            )
    return names


def _as_name(number: int, name: Any) -> str:
    if name is None:
        raise InputError(f"class_names has no name of class {number}: it is None.")
    if not isinstance(name, bytes):  # as HDF5 and Python 2's pickles have them
        return str(name)
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"class_names cannot be read as text: {error}.") from error


def stored_names(array: npt.NDArray[Any] | None) -> tuple[str, ...] | None:
    """Return the class names that a file holds as an array, or None.

    Raises:
        InputError: not one-dimensional, or bytes that are no text.
    """
    if array is None:
        return None
    if array.ndim != 1:
        raise InputError(f"class_names must be one-dimensional; got shape {array.shape}.")
    return tuple(_as_text(array, "class_names").tolist())


def as_ids(value: Any, length: int) -> npt.NDArray[Any] | None:
    """Return one id per image as an array of integers or strings, or None.

    Raises:
        InputError: not one per image, or bytes that are no text.
    """
    if value is None:
        return None
    ids = as_array(value)
    if ids.shape != (length,):
        raise InputError(f"ids has shape {ids.shape}; one per image is needed: ({length},).")
    if ids.dtype.kind not in "iuU":
        return _as_text(ids, "ids")
    return ids.astype(ids.dtype.newbyteorder("="), copy=False)


def _as_text(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.str_]:
    try:
        return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array.astype(str)
    except ValueError as error:
        raise InputError(f"{name} cannot be read as text: {error}.") from error
