"""A rescue's folder: not left behind empty, and not one that holds something else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from everyclass.artifacts import some
from everyclass.errors import OutputExistsError

__all__ = ["check_own_folder", "gone_if_empty"]

_OURS = ("evaluation.json", "old-head.safetensors", "result.json")  # one outlives any kill
_REPLACED = ("old.npz", "retrained.npz", "ensemble.npz", "diagnosis.json", "report.html")


def check_own_folder(folder: Path) -> None:
    """Refuse a folder with files of a rescue's names that no rescue wrote.

    Raises:
        OutputExistsError: there are such; they are named.
    """
    if any((folder / name).is_file() for name in _OURS):
        return
    others = [name for name in _REPLACED if (folder / name).exists()]
    if others:
        raise OutputExistsError(
            f"{folder} holds {some(others)} and is no earlier rescue's, so nothing in it is "
            "replaced; name another folder."
        )


@contextmanager
def gone_if_empty(folder: Path, is_new: bool) -> Iterator[None]:
    """Take a new folder away again if nothing comes into it, as where a rescue is refused."""
    try:
        yield
    finally:
        if is_new and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
