"""How many cores this process may use."""

from __future__ import annotations

import os

__all__ = ["own_cores"]


def own_cores() -> int:
    """The cores that the system lets this process run on, which may be fewer than there are."""
    affinity = getattr(os, "sched_getaffinity", None)  # which only Linux has
    return len(affinity(0)) if affinity else os.cpu_count() or 1
