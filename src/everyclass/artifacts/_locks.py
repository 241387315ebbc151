"""One process at a time, where two would disturb each other.

The system lets go of a lock when its process ends, however it ends. File systems that know no locks
go without, and so does Windows.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from everyclass.artifacts._files import writing
from everyclass.errors import InputError

try:
    import fcntl
except ImportError:
    # Windows. Its own msvcrt.locking keeps others from reading what is locked, and what is locked
    # here has to be read.
    _HAS_LOCKS = False
else:
    _HAS_LOCKS = True

__all__ = ["holding", "holding_lock_file"]

# What file systems say that know no locks, or, with EBADF, none of a file that is only read.
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EBADF}


@contextmanager
def holding(path: Path, refusal: str) -> Iterator[None]:
    """Keep out other processes that would hold the same file.

    Args:
        path: a file that is there; others may replace it until it is held.
        refusal: what to say where another process holds it.

    Raises:
        InputError: another process holds it.
    """
    if not _HAS_LOCKS:
        yield
        return
    while True:
        with _opened(path) as file:
            _lock(file, refusal)
            if not _is_at(path, file):  # replaced by who held it until now
                continue
            yield
            return


def _opened(path: Path) -> IO[bytes]:
    try:
        return open(path, "r+b")  # nothing is written, but NFS locks only what could be
    except OSError:  # not ours, or a file system to be read only
        return open(path, "rb")


@contextmanager
def holding_lock_file(path: Path, refusal: str) -> Iterator[None]:
    """As :func:`holding`, of a file that is made for it and removed at the end.

    Raises:
        InputError: another process holds it.
        OutputError: it cannot be made.
    """
    if not _HAS_LOCKS:
        yield
        return
    while True:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        with open(path, "ab") as file:
            _lock(file, refusal)
            if not _is_at(path, file):  # removed by who held it until now
                continue
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    path.unlink()
            return


def _lock(file: IO[Any], refusal: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(refusal) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _is_at(path: Path, file: IO[Any]) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
