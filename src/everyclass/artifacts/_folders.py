"""Several files that belong together, written all or none."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from everyclass.artifacts._files import prepare_folder

__all__ = ["replaced_together"]


@contextmanager
def replaced_together(folder: str | Path, *, stale: Iterable[str] = ()) -> Iterator[Path]:
    """A hidden folder inside ``folder``; its files take their places only when all are written.

    Args:
        folder: made if it is not there; files of the same names are replaced.
        stale: files of earlier results, removed where no new one takes their place.

    Raises:
        OutputError: the folder cannot be made or written.
    """
    folder = prepare_folder(folder, overwrite=True)
    with tempfile.TemporaryDirectory(prefix=".results.tmp-", dir=folder) as hidden:
        yield Path(hidden)
        written = {file.name for file in Path(hidden).iterdir()}
        for name in sorted(written):
            os.replace(Path(hidden) / name, folder / name)
        for name in set(stale) - written:
            (folder / name).unlink(missing_ok=True)
