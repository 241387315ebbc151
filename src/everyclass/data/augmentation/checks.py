"""Checks of what augmentations are asked for."""

from __future__ import annotations

from collections.abc import Iterable

from everyclass.artifacts import did_you_mean
from everyclass.errors import InputError

__all__ = ["check_name", "check_probability", "check_range"]


def check_name(what: str, name: str, known: Iterable[str]) -> None:
    """Refuse a name that is not ``known``, and suggest the nearest one."""
    names = list(known)
    if name not in names:
        hint = did_you_mean(name, names)
        raise InputError(f"There is no {what} {name!r}; there are {', '.join(names)}{hint}")


def check_probability(p: float) -> None:
    """Refuse what is not in 0..1."""
    if not 0 <= p <= 1:
        raise InputError(f"The probability p must be in 0..1; got {p}.")


def check_range(what: str, given: tuple[float, float], low: float, high: float) -> None:
    """Refuse a range that is not increasing or not within low..high."""
    if not low <= given[0] <= given[1] <= high:
        raise InputError(
            f"The {what} must be two increasing numbers in {low}..{high}; got {given}."
        )
