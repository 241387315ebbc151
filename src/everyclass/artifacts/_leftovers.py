"""What unfinished files are called, and the end of those that a killed process left.

``.result.json.tmp-1f2e3d4c-4711-…`` is what process 4711 writes ``result.json`` into. Into a shared
folder other machines and containers write too, which number their processes for themselves, so the
name says whose number it is.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import re
import shutil
import sys
import time
from pathlib import Path

__all__ = ["is_temporary", "remove_leftovers", "temporary_prefix"]

_MOST_BYTES = 100  # of 255 that a file's name may have, or 143 where names are encrypted
_DAY = 86_400


def temporary_prefix(name: str) -> str:
    """How the names of this process's temporary files and folders for ``name`` begin."""
    return f"{_beginning(name)}{_machine()}-{os.getpid()}-"


def is_temporary(name: str) -> bool:
    """Whether a file or folder of this name is no result: something unfinished, or a leftover."""
    return re.match(r"\..+\.tmp-", name) is not None


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files and folders of ``path`` whose process is no more.

    Whether a process of another machine lives cannot be asked; what it left goes when it is a day
    old. What may not be looked at or removed stays, in nobody's way.
    """
    # Earlier versions named no machine.
    form = re.compile(re.escape(_beginning(path.name)) + r"(?:([0-9a-f]{8})-)?(\d+)-\w+")
    try:
        found = [(entry, form.fullmatch(entry.name)) for entry in path.parent.iterdir()]
    except OSError:
        return
    for entry, name in found:
        with contextlib.suppress(OSError):
            if name and _is_left(entry, name[1], int(name[2])):
                _remove(entry)


def _beginning(name: str) -> str:
    raw = os.fsencode(name)
    short = name if len(raw) <= _MOST_BYTES else hashlib.sha256(raw).hexdigest()[:32]
    return f".{short}.tmp-"


@functools.cache
def _machine() -> str:
    """Stands for all processes whose numbers mean the same as here."""
    known = [platform.node()]
    with contextlib.suppress(OSError):
        known.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
    with contextlib.suppress(OSError):
        known.append(os.readlink("/proc/self/ns/pid"))  # of a container
    return hashlib.sha256("\n".join(known).encode(errors="replace")).hexdigest()[:8]


def _is_left(entry: Path, machine: str | None, process: int) -> bool:
    if machine == _machine():
        return not _is_alive(process)
    return entry.lstat().st_mtime < time.time() - _DAY


def _is_alive(process: int) -> bool:
    if sys.platform == "win32":  # os.kill would interrupt the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # somebody else's
    return True


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)
