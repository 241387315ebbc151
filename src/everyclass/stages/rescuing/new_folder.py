"""A rescue's folder that is not left behind empty."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["gone_if_empty"]


@contextmanager
def gone_if_empty(folder: Path, is_new: bool) -> Iterator[None]:
    """Take a new folder away again if nothing comes into it, as where a rescue is refused."""
    try:
        yield
    finally:
        if is_new and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
