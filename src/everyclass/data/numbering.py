"""Classes of pictures in files: which number each has, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import load_class_names, quoted
from everyclass.data.pictures import EncodedSet
from everyclass.data.pictures.encoded import Encoded
from everyclass.data.published import PUBLISHED
from everyclass.data.specs import Spec
from everyclass.errors import FileFormatError, InputError

__all__ = ["Part", "check_trained", "checked_names", "numbered"]

Part = tuple[Encoded, npt.NDArray[Any], "tuple[str, ...] | None"]
"""Pictures, their class numbers or names, and the names of all classes where files say them."""


def numbered(spec: Spec, parts: dict[str, Part]) -> tuple[dict[str, Part], tuple[str, ...] | None]:
    """Parts with class numbers, the same in all parts, and the names of these classes.

    Names that pictures bring along are numbered as the training images have them, those of tables
    in sorted order. A file that ``names=`` names puts the same names into another order, or gives
    as many others.

    Args:
        spec: what names the parts.
        parts: as they were opened, "train" first.

    Raises:
        FileFormatError: a part has a class that the training images or its own names do not have.
        InputError: class names in one part and numbers in another; a file of other names.
    """
    with_numbers, own = _by_own_names(spec, parts)
    return _as_a_file_names_them(spec, with_numbers, own)


def _by_own_names(
    spec: Spec, parts: dict[str, Part]
) -> tuple[dict[str, Part], tuple[str, ...] | None]:
    """Class names as numbers: in the order of the training images' sorted names.

    Returns:
        The parts with class numbers, and the names that the pictures bring along.
    """
    names = next((n for _, _, n in parts.values() if n is not None), None)
    textual = [part for part, (_, labels, _) in parts.items() if labels.dtype.kind not in "iu"]
    if textual:
        if len(textual) != len(parts):
            raise InputError(
                f"{spec.slug}: the {textual[0]} images have class names and others class numbers; "
                "use one of both in all parts."
            )
        names = tuple(sorted(set(parts["train"][1].tolist())))
    found: dict[str, Part] = {}
    for part, (source, labels, own) in parts.items():
        called, what = labels, f"{spec.slug}: the {part} images"
        if not textual and own is not None:
            if labels.max() >= len(own):
                raise FileFormatError(
                    f"{what} have class {labels.max()} and bring only {len(own)} class names along."
                )
            if own != names:  # other classes, or another order
                called = np.array(own)[labels]
        if called.dtype.kind not in "iu":
            called = _numbers(called, names or (), what)
        found[part] = (source, called, names)
    return found, names


def _numbers(labels: npt.NDArray[Any], names: tuple[str, ...], what: str) -> npt.NDArray[np.int64]:
    number = {name: c for c, name in enumerate(names)}
    unknown = sorted(set(labels.tolist()) - number.keys())
    if unknown:
        raise _untrained(what, unknown)
    return np.array([number[label] for label in labels.tolist()], dtype=np.int64)


def _untrained(what: str, classes: Sequence[str]) -> FileFormatError:
    more = f" ({len(classes):,} such classes)" if len(classes) > 1 else ""
    return FileFormatError(
        f"{what} have the class {quoted(classes[0])}, which no training image has{more}; leave "
        "these images out."
    )


def _as_a_file_names_them(
    spec: Spec, parts: dict[str, Part], own: tuple[str, ...] | None
) -> tuple[dict[str, Part], tuple[str, ...] | None]:
    """What ``names=`` does: it names classes, and puts those in order that have these names.

    Args:
        spec: that may have the key.
        parts: with class numbers.
        own: the names that the pictures bring along.
    """
    if "names" not in spec.options:
        return parts, own
    file = spec.options["names"]
    names = load_class_names(file)
    if own is None:
        return parts, names
    if len(names) != len(own):
        raise InputError(
            f"{file} has {len(names):,} names, and {spec.slug} brings along {len(own):,} of its "
            f"own, such as {quoted(own[0])}; give these in the order to number classes by, or as "
            "many others in the order of these."
        )
    number = {name: c for c, name in enumerate(names)}
    known = set(own)
    others = [name for name in names if name not in known]
    if not others:
        order = np.array([number[name] for name in own], dtype=np.int64)
        return {part: (source, order[y], names) for part, (source, y, _) in parts.items()}, names
    moved = next((name for c, name in enumerate(own) if number.get(name, c) != c), None)
    if moved is not None:  # other names would be others throughout: this is a slip in one
        raise InputError(
            f"{file} has {quoted(moved)}, which {spec.slug} brings along as a class, and "
            f"{quoted(others[0])}, which it does not; give its own names in the order to number "
            "classes by, or others in the order of its own."
        )
    return parts, names


def checked_names(
    spec: Spec, sets: Mapping[str, EncodedSet], names: tuple[str, ...] | None
) -> tuple[str, ...]:
    """C names in class order: those given, or else the numbers.

    Args:
        spec: what names the parts; of a published set C is known.
        sets: the parts.
        names: of the classes, or None.

    Raises:
        InputError: there are fewer names than classes.
    """
    known = PUBLISHED[spec.kind].num_classes if spec.kind in PUBLISHED else 0
    classes = max(known, *(int(images.labels.max()) + 1 for images in sets.values()))
    if names is None:
        return tuple(str(c) for c in range(classes))
    if len(names) < classes:
        raise InputError(
            f"{spec.slug} has class {classes - 1} and only {len(names)} class names; name every "
            "class."
        )
    return names


def check_trained(spec: Spec, sets: Mapping[str, EncodedSet], names: tuple[str, ...]) -> None:
    """Refuse a class that is judged, or chosen by, and that no training image has.

    Args:
        spec: what names the parts.
        sets: the parts, "train" among them.
        names: C names in class order.

    Raises:
        FileFormatError: there is such a class.
    """
    trained = np.bincount(sets["train"].labels, minlength=len(names)) > 0
    for part, images in sets.items():
        unknown = np.unique(images.labels[~trained[images.labels]])
        if len(unknown):
            raise _untrained(f"{spec.slug}: the {part} images", [names[c] for c in unknown])
