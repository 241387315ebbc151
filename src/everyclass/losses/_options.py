"""Checks of the numbers and words that losses are set up with."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from everyclass.errors import InputError, InputTypeError

__all__ = ["check_choice", "check_number"]


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Refuse a word that is none of the choices.

    Raises:
        InputError: such a word; the choices are listed.
    """
    if isinstance(value, str) and value in choices:
        return
    *first, last = map(repr, choices)
    raise InputError(f"{name} must be {', '.join(first)} or {last}; got {value!r}.")


def check_number(name: str, value: Any, low: float = 0.0, high: float = math.inf) -> None:
    """Refuse what is no finite number from ``low`` to ``high``, both included.

    Raises:
        InputError: NaN, infinite, too small or too large.
        InputTypeError: no number.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputTypeError(f"{name} must be a number; got {type(value).__name__}.")
    if not (low <= float(value) <= high and float(value) < math.inf):
        allowed = f"{low:g} or more" if high == math.inf else f"from {low:g} to {high:g}"
        raise InputError(f"{name} must be {allowed}; got {value}.")
