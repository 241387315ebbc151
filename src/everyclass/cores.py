"""How many cores this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["own_cores"]

_CGROUPS = Path("/sys/fs/cgroup")


def own_cores() -> int:
    """The cores that the system lets this process run on, which may be fewer than there are.

    A container's share of the processor counts too, rounded up: of ``docker --cpus 1.5``, two.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # which only Linux has
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = _quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def _quota() -> float | None:
    """Cores' worth of time that the process's control group allows; None without a limit.

    A container sees its own group as the root of all, in the first version of control groups or in
    the second.
    """
    told = _words("cpu.max") or _words("cpu/cpu.cfs_quota_us") + _words("cpu/cpu.cfs_period_us")
    try:
        quota, period = map(int, told)
    except ValueError:  # nothing there, or "max": no limit
        return None
    return quota / period if quota > 0 and period > 0 else None


def _words(name: str) -> list[str]:
    try:
        return (_CGROUPS / name).read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []
