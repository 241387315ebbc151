"""Where data sets are looked for."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder", "search_roots"]


def cache_folder() -> Path:
    """Where ``everyclass data get`` puts data sets: ``$XDG_CACHE_HOME/everyclass``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "everyclass"


def search_roots(root: str | Path | None = None) -> list[Path]:
    """The folders to look in, in order: the one named, ``EVERYCLASS_DATA``, the cache."""
    named = [Path(root)] if root is not None else []
    environment = os.environ.get("EVERYCLASS_DATA")
    return [*named, *([Path(environment)] if environment else []), cache_folder()]
