"""Transforms in words, to tell views from others that are made otherwise."""

from __future__ import annotations

import re

from everyclass.data.augmentation.drawing import Transform

__all__ = ["described"]

_PLACE_IN_MEMORY = re.compile(r" at 0x[0-9A-Fa-f]+")


def described(transform: Transform) -> str:
    """A transform with its settings: its repr, without where it happens to be in memory.

    Those of this library are dataclasses, and so are written as they are made. A function, or an
    object whose class has no repr, is left with its name.

    Example:
        >>> from everyclass.data.augmentation import Rotation
        >>> described(Rotation(15)), described(lambda images, generator: images)
        ('Rotation(degrees=15.0)', '<function <lambda>>')
    """
    return _PLACE_IN_MEMORY.sub("", repr(transform))
