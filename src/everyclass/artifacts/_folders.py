"""Several files that belong together, written all or none."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from everyclass.artifacts._files import keep_mode, prepare_folder, remove_file, writing
from everyclass.artifacts._leftovers import remove_leftovers, temporary_prefix

__all__ = ["replaced_together"]


@contextmanager
def replaced_together(
    folder: str | Path, *, seal: str, first: str | None = None, stale: Iterable[str] = ()
) -> Iterator[Path]:
    """A hidden folder inside ``folder``; its files take their places only when all are written.

    The hidden folder of a killed process is removed by the next one that writes here. One that is
    killed while files take their places leaves the folder without its seal, which readers ask for
    first, never with files of two results.

    Args:
        folder: made if it is not there; files of the same names are replaced.
        seal: the file that is removed first and takes its place last.
        first: the file that takes its place first, by which such a folder is known ever after.
        stale: files of earlier results, removed where no new one takes their place.

    Raises:
        OutputError: the folder cannot be made or written, or a file cannot take its place.
    """
    folder = prepare_folder(folder, overwrite=True)
    with writing(folder):
        remove_leftovers(folder / "results")
        made = tempfile.TemporaryDirectory(prefix=temporary_prefix("results"), dir=folder)
    with made as hidden:
        yield Path(hidden)
        written = {file.name for file in Path(hidden).iterdir()}
        for name in written:
            keep_mode(folder / name, Path(hidden) / name)
        for name in (seal, *sorted(set(stale) - written)):
            remove_file(folder / name)
        for name in sorted(written, key=lambda name: (name == seal, name != first, name)):
            with writing(folder / name):
                os.replace(Path(hidden) / name, folder / name)
