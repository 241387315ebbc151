"""Where data sets are looked for."""

from __future__ import annotations

import os
from pathlib import Path

from everyclass.artifacts import cache_folder
from everyclass.errors import MissingFileError

__all__ = ["search_roots"]


def search_roots(root: str | Path | None = None) -> list[Path]:
    """The folders to look in, in order: the one named, ``EVERYCLASS_DATA``, the cache.

    Args:
        root: the one named, or None.

    Raises:
        MissingFileError: it is not there; data from elsewhere are not what was asked for.
    """
    if root is not None and not os.path.isdir(root):
        raise MissingFileError(
            f"There is no folder {root} to look for data in; name one that is there with data_root "
            "(--data-root), or leave it out."
        )
    named = [Path(root)] if root is not None else []
    environment = os.environ.get("EVERYCLASS_DATA")
    return [*named, *([Path(environment)] if environment else []), cache_folder()]
