"""Checks of single values that a JSON file holds; the message of a ``ValueError`` says which."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from everyclass.artifacts._text import printable

__all__ = [
    "as_between",
    "as_class",
    "as_count",
    "as_limits",
    "as_list",
    "as_mapping",
    "as_number",
    "as_share",
    "as_text",
    "is_nothing",
    "or_nan",
    "or_none",
    "per_class",
]


def per_class(
    values: Mapping[str, Any], name: str, classes: int, each: Callable[[Any, str], Any]
) -> list[Any]:
    """The list ``values[name]``, which must have one entry per class."""
    found = as_list(values[name], name)
    if len(found) != classes:
        raise ValueError(f"{name} has {len(found)} entries and num_classes is {classes}")
    return [each(value, name) for value in found]


def as_mapping(
    value: Any, name: str, each: Callable[[Any, str], Any] = lambda item, _: item
) -> dict[str, Any]:
    """An object, each of its values checked."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be an object, not {_kind(value)}")
    return {str(key): each(item, f"{name}.{key}") for key, item in value.items()}


def as_list(value: Any, name: str) -> Sequence[Any]:
    """A list, or an array as nested lists."""
    if isinstance(value, np.ndarray) and value.ndim:
        value = value.tolist()
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name} must be a list, not {_kind(value)}")
    return value


def as_number(value: Any, name: str) -> Any:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, Real) or not _is_finite(value):
        raise ValueError(f"{name} must be a number, not {_kind(value)}")
    return value


def _is_finite(value: Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def as_between(value: Any, name: str, low: float, high: float) -> float:
    """A number within limits, but for rounding."""
    found = float(as_number(value, name))
    if not low - 1e-9 <= found <= high + 1e-9:
        raise ValueError(f"{name} must lie between {low:g} and {high:g}, not be {found:g}")
    return found


def as_share(value: Any, name: str) -> float:
    """A number between 0 and 1."""
    return as_between(value, name, 0, 1)


def as_limits(value: Any, name: str, low: float = 0, high: float = 1) -> list[float]:
    """The two ends of an interval, each within limits."""
    found = [as_between(limit, name, low, high) for limit in as_list(value, name)]
    if len(found) != 2:
        raise ValueError(f"{name} must be [low, high]")
    return found


def as_count(value: Any, name: str) -> int:
    """A whole number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= int(value) < 2**53:
        raise ValueError(f"{name} must be a whole number, 0 at least, not {_kind(value)}")
    return int(value)


def as_class(value: Any, name: str, classes: int) -> int:
    """A class number below ``classes``."""
    found = as_count(value, name)
    if found >= classes:
        raise ValueError(f"{name} holds class {found}, and num_classes is {classes}")
    return found


def as_text(value: Any, name: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be texts, not {_kind(value)}")
    return value


def is_nothing(value: Any) -> bool:
    """Whether a value is null, or NaN as it is before it is written."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def or_nan(check: Callable[..., Any]) -> Callable[..., Any]:
    """The same check, of a value that may be null, which stands for NaN."""
    return lambda value, *more: math.nan if is_nothing(value) else check(value, *more)


def or_none(check: Callable[..., Any]) -> Callable[..., Any]:
    """The same check, of a value that may be null and stay so."""
    return lambda value, *more: None if value is None else check(value, *more)


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float):
        return "null" if value is None else printable(str(value).lower(), 40)
    for kind, name in ((str, "a text"), (Mapping, "an object"), (list, "a list")):
        if isinstance(value, kind):
            return name
    return f"a {type(value).__name__}"
