"""How numbers and names are printed in plain-text tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = [
    "NAME_WIDTH",
    "TOO_FEW",
    "percent",
    "percent_range",
    "points",
    "points_range",
    "too_wide",
]

NAME_WIDTH = 40  # of a class
TOO_FEW = "too few to say"
_WIDEST = 0.5


def percent(value: float) -> str:
    """Six characters, such as ``  3.0%``; a dash for NaN."""
    return "   –  " if np.isnan(value) else f"{100 * value:5.1f}%"


def percent_range(limits: Sequence[float] | None) -> str:
    """Such as ``[0.6–9.1]``; nothing without limits."""
    return "" if limits is None else f"[{100 * limits[0]:.1f}–{100 * limits[1]:.1f}]"


def too_wide(limits: Sequence[float]) -> bool:
    """Whether an interval leaves more than half of the scale open, so that it says nothing."""
    return bool(limits[1] - limits[0] > _WIDEST)


def points(difference: float) -> str:
    """Six characters, such as `` +3.0``: percentage points."""
    return f"{100 * difference:+6.1f}"


def points_range(limits: Sequence[float]) -> str:
    """Such as ``[-0.6 to +9.1]``."""
    return f"[{100 * limits[0]:+.1f} to {100 * limits[1]:+.1f}]"
