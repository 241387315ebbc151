"""A rescue replaces what an earlier rescue left, and nothing else."""

from __future__ import annotations

from pathlib import Path

from everyclass.artifacts import some
from everyclass.errors import OutputExistsError

__all__ = ["MARK", "check_own_folder"]

MARK = "old-head.safetensors"
"""The file that a rescue's folder is known by: it takes its place first and is never removed."""
_WRITTEN = (
    "evaluation.json",
    "result.json",
    "report.html",
    "diagnosis.json",
    "head.safetensors",
    "old.npz",
    "retrained.npz",
    "ensemble.npz",
    "train-features.npz",
    "test-features.npz",
)


def check_own_folder(folder: Path) -> None:
    """Refuse a folder with files of a rescue's names that no rescue wrote, and that of a run.

    Raises:
        OutputExistsError: there are such; they are named.
    """
    if (folder / MARK).is_file():
        return
    others = [name for name in ("config.json", *_WRITTEN) if (folder / name).exists()]
    if others:
        raise OutputExistsError(
            f"{folder} holds {some(others)} and is no earlier rescue's, so nothing in it is "
            "replaced; name another folder."
        )
