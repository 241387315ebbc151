"""Where data sets are looked for."""

from __future__ import annotations

import os
from pathlib import Path

from everyclass.artifacts import cache_folder

__all__ = ["search_roots"]


def search_roots(root: str | Path | None = None) -> list[Path]:
    """The folders to look in, in order: the one named, ``EVERYCLASS_DATA``, the cache."""
    named = [Path(root)] if root is not None else []
    environment = os.environ.get("EVERYCLASS_DATA")
    return [*named, *([Path(environment)] if environment else []), cache_folder()]
