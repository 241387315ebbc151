"""How numbers read on a page, in a comment and in a notebook."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import takewhile

__all__ = [
    "exact_percent",
    "intervals_of",
    "loss",
    "number",
    "of_classes",
    "p_value",
    "percent",
    "percent_range",
    "points",
    "points_range",
    "sentence",
    "told_apart",
]


def percent(value: float | None) -> str:
    """Such as ``12.0%``; a dash for what is not known."""
    return "–" if value is None or math.isnan(value) else f"{100 * value:.1f}%"


def exact_percent(value: float) -> str:
    """Such as ``0.01%``: as many digits as a number has that somebody chose."""
    return f"{100 * value:g}%"


def intervals_of(confidence: float | None) -> str:
    """Such as ``95% interval``; without the percentage where it is not known."""
    return "interval" if confidence is None else f"{exact_percent(confidence)} interval"


def percent_range(limits: Sequence[float] | None) -> str:
    """Such as ``9.1–15.4%``; nothing without limits."""
    return "" if limits is None else f"{100 * limits[0]:.1f}–{100 * limits[1]:.1f}%"


def points(value: float | None, *, signed: bool = True) -> str:
    """Percentage points such as ``+3.0``, with a true minus sign; a dash for None."""
    if value is None or math.isnan(value):
        return "–"
    if not signed:
        return f"{100 * value:.1f}"
    text = f"{100 * value:+.1f}"
    return "±0.0" if text in ("+0.0", "-0.0") else text.replace("-", "\N{MINUS SIGN}")


def points_range(limits: Sequence[float] | None) -> str:
    """Such as ``+1.2 to +4.8``; nothing without limits."""
    return "" if limits is None else f"{points(limits[0])} to {points(limits[1])}"


def loss(value: float) -> str:
    """Three digits; ``∞`` where a true class was given probability 0."""
    return "∞" if math.isinf(value) else f"{value:.3f}"


def p_value(value: float | None) -> str:
    """Three digits; a dash for None."""
    return "–" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"


def number(value: float) -> str:
    """A whole number with commas."""
    return f"{value:,.0f}"


def of_classes(count: int) -> str:
    """``1 class``, ``8,142 classes``."""
    return f"{count:,} class{'' if count == 1 else 'es'}"


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    text = text.strip()
    end = "" if text.endswith((".", "!", "?")) else "."
    return f"{text[:1].upper()}{text[1:]}{end}" if text else ""


def told_apart(first: str, second: str, most: int) -> tuple[str, str]:
    """Two names cut to ``most`` characters so that they stay two; what they share goes first.

    Example:
        >>> told_apart("runs/2026-11/a/test.npz", "runs/2026-11/b/test.npz", 20)
        ('…/a/test.npz', '…/b/test.npz')
    """
    if max(len(first), len(second)) <= most:
        return first, second
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    start = max((i for i, (sign, _) in enumerate(pairs) if not sign.isalnum()), default=0)
    rest = [f"…{name[start:]}" if start else name for name in (first, second)]
    one, other = (name if len(name) <= most else f"{name[: most - 1]}…" for name in rest)
    return (one, other) if one != other else ("first", "second")
