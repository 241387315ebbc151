"""Checks of what augmentations are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from everyclass.artifacts import did_you_mean
from everyclass.errors import InputError

__all__ = ["check_name", "check_range"]


def check_name(what: str, name: str, known: Iterable[str]) -> None:
    """Refuse a name that is not ``known``, and suggest the nearest one."""
    names = list(known)
    if name not in names:
        hint = did_you_mean(name, names)
        raise InputError(f"There is no {what} {name!r}; there are {', '.join(names)}{hint}")


def check_range(what: str, given: Any, low: float, high: float) -> tuple[float, float]:
    """Return a range as two plain floats; refuse one that is not increasing within low..high."""
    try:
        first, last = (float(end) for end in given)
    except (TypeError, ValueError):
        first = last = math.nan
    if not low <= first <= last <= high:
        raise InputError(
            f"The {what} must be two increasing numbers in {low}..{high}; got {given}."
        )
    return first, last
