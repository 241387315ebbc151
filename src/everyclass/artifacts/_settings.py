"""Checks of the numbers and words that something is set up with."""

from __future__ import annotations

import math
import operator
from numbers import Real
from typing import Any

from everyclass.errors import InputError, InputTypeError

__all__ = ["check_choice", "check_number", "check_whole_number"]


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Refuse a word that is none of the choices.

    Raises:
        InputError: such a word; the choices are listed.

    Example:
        >>> check_choice("share", "some", ("all", "others"))
        Traceback (most recent call last):
        everyclass.errors.InputError: share must be 'all' or 'others'; got 'some'.
    """
    if isinstance(value, str) and value in choices:
        return
    *first, last = map(repr, choices)
    raise InputError(f"{name} must be {', '.join(first)} or {last}; got {value!r}.")


def check_number(
    name: str, value: Any, low: float = 0.0, high: float = math.inf, *, above: float | None = None
) -> float:
    """Return a finite number as a plain float, or say what is wrong with it.

    Args:
        name: what to call it.
        value: the number.
        low, high: the smallest and the largest that may be; both included.
        above: in the place of ``low``, what it has to be larger than.

    Raises:
        InputError: NaN, infinite, too small or too large.
        InputTypeError: no number.

    Example:
        >>> check_number("temperature", 0, above=0)
        Traceback (most recent call last):
        everyclass.errors.InputError: temperature must be above 0; got 0.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputTypeError(f"{name} must be a number; got {type(value).__name__}.")
    number = float(value)
    large_enough = number >= low if above is None else number > above
    if large_enough and number <= high and number < math.inf:
        return number
    if above is not None:
        allowed = f"above {above:g}" if high == math.inf else f"above {above:g}, at most {high:g}"
    else:
        allowed = f"{low:g} or more" if high == math.inf else f"from {low:g} to {high:g}"
    raise InputError(f"{name} must be {allowed}; got {value}.")


def check_whole_number(name: str, value: Any, low: int = 0, high: int | None = None) -> int:
    """Return a whole number as a plain int, or say what is wrong with it.

    Args:
        name: what to call it.
        value: the number.
        low, high: the smallest and the largest that may be; both included.

    Raises:
        InputError: outside that range.
        InputTypeError: not whole.

    Example:
        >>> check_whole_number("padding", 1.5)
        Traceback (most recent call last):
        everyclass.errors.InputTypeError: padding must be a whole number; got 1.5.
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
