"""What is read is not written over, and what is replaced is of the same kind."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from everyclass.metrics.gate_language import Gate

__all__ = ["baselines", "check_spared", "data_files", "holds_json"]


def check_spared(
    *reads: str | Path | None,
    files: Iterable[Path | None] = (),
    folder: Path | None = None,
    overwrite: bool = True,
) -> None:
    """Refuse to write over what is read, whatever ``--overwrite`` says.

    To be called before anything is read or computed.

    Args:
        reads: files and folders that are read; what is None, or not there, is passed over, as are
            words that stand for no file.
        files: the files to be written.
        folder: a folder to write files to; no file that is read may lie in it, whatever its name.
        overwrite: whether ``files`` may replace earlier results.

    Raises:
        InputError: something is read and would be written; or two of ``files`` are one.
        OutputExistsError: one of ``files`` is there already and ``overwrite`` is false.
    """
    from everyclass.artifacts import check_free
    from everyclass.errors import InputError

    read = [Path(path) for path in reads if path is not None and os.path.exists(path)]
    written = [file for file in files if file is not None]
    for path in read:
        place = Path(os.path.realpath(path))
        if folder is not None:
            into = Path(os.path.realpath(folder))
            if place == into:
                raise InputError(f"{folder} is read and would be written to; name another folder.")
            if place.parent == into and not place.is_dir():
                raise InputError(
                    f"{path} is read and lies in {folder}, which is written to; name another "
                    "folder."
                )
        for file in written:
            if os.path.exists(file) and place in Path(os.path.realpath(file)).parents:
                raise InputError(
                    f"{file} is part of {path}, which is read; name another file to write."
                )
    check_free(written, keep=read, overwrite=overwrite)


def holds_json(file: Path, *keys: str) -> bool:
    """Whether a file is a JSON object with one of these keys."""
    from everyclass.artifacts import read_json
    from everyclass.errors import EveryclassError

    try:
        return not read_json(file).keys().isdisjoint(keys)
    except (EveryclassError, OSError):
        return False


def data_files(data: str) -> list[Path]:
    """The files and folders that a ``--data`` names, the folder of the pictures included.

    Raises:
        InputError: it is no such text.
    """
    from everyclass.data import parse_spec

    spec = parse_spec(data)
    root = spec.options.get("root")
    return spec.files if root is None else [*spec.files, Path(root)]


def baselines(gates: Iterable[Gate]) -> list[str]:
    """The files that gates compare with."""
    from everyclass.metrics.gate_language import Drop

    return [gate.operand.baseline for gate in gates if isinstance(gate.operand, Drop)]
