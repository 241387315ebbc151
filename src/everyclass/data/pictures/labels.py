"""Labels as files of pictures say them: checked, and what is no class number is named."""

from __future__ import annotations

import re
from typing import Any

import numpy.typing as npt
from numpy import int64

from everyclass.artifacts import as_labels, quoted
from everyclass.errors import FileFormatError, InputError, InputTypeError

__all__ = ["checked_labels", "class_number"]

# A table that had an empty cell once has class 3 as 3.0. Eight digits are more than any label has.
_NUMBER = re.compile(r"0*([0-9]{1,8})(\.0*)?")


def class_number(text: str, where: str) -> int:
    """The class number that a text is, such as "3"; "3.0" is 3 too.

    Args:
        text: without spaces around it.
        where: what has this label, for the message.

    Raises:
        FileFormatError: it is no whole number from 0, or a far too large one.
    """
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise FileFormatError(
            f"{where} has the label {quoted(text)}; it must be a class number: a whole number "
            "from 0, of at most 8 digits."
        )
    return int(found[1])


def checked_labels(values: npt.NDArray[Any], where: str, name: str = "label") -> npt.NDArray[int64]:
    """The labels (n,) of a file as int64.

    Args:
        values: what the file says.
        where: its path, for the message.
        name: what the labels are called there.

    Raises:
        FileFormatError: none at all, no integers, or no class numbers.
    """
    try:
        return as_labels(values, name=name)
    except (InputError, InputTypeError) as error:
        raise FileFormatError(f"{where}: {error}") from error
