"""Checks of the whole numbers that samplers are set up with."""

from __future__ import annotations

import operator
from typing import Any

from everyclass.errors import InputError, InputTypeError

__all__ = ["whole_number"]


def whole_number(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return a whole number from ``low`` to ``high``, both included, as an int.

    Raises:
        InputError: outside that range.
        InputTypeError: not whole.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise InputTypeError(f"{name} must be a whole number; got {value!r}.")
    if number < low or (high is not None and number > high):
        allowed = f"{low} or more" if high is None else f"from {low} to {high}"
        raise InputError(f"{name} must be {allowed}; got {number}.")
    return number
