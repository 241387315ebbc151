"""How much memory is free."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["free_memory"]

_CGROUPS = Path("/sys/fs/cgroup")
# Of control groups, version 2 and version 1: the limit, what is used, and what of it is cache.
_FILES = [
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
]


def free_memory() -> int:
    """Bytes that can be taken without pushing anything out, of the machine's or the container's."""
    machine, container = _of_machine(), _of_container()
    return machine if container is None else min(machine, container)


def _of_container() -> int | None:
    """What the control group may take beyond what it has; None where it has no limit."""
    for limit, used, about, cache in _FILES:
        with contextlib.suppress(OSError, ValueError):  # no such file; "max"
            free = int((_CGROUPS / limit).read_text()) - int((_CGROUPS / used).read_text())
            lines = (_CGROUPS / about).read_text().splitlines()
            told = (line.partition(" ") for line in lines)
            return max(0, free + sum(int(value) for name, _, value in told if name == cache))
    return None


def _of_machine() -> int:
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            for line in stream:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    with contextlib.suppress(AttributeError, ValueError, OSError):  # other systems: all there is
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 1 << 36
