"""Reading and writing files so that nobody ever meets half of one, or runs what is inside."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from everyclass.errors import (
    EveryclassError,
    FileFormatError,
    InputError,
    MissingFileError,
    OutputError,
    OutputExistsError,
    UnwritableFolderError,
)

__all__ = [
    "atomic_write",
    "cache_folder",
    "check_free",
    "existing_file",
    "plain_json",
    "prepare_folder",
    "read_json",
    "remove_file",
    "remove_leftovers",
    "sha256_of",
    "write_json",
    "writing",
]


def cache_folder() -> Path:
    """Where data sets and what can be made again are kept: ``$XDG_CACHE_HOME/everyclass``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "everyclass"


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path`` that takes its name only when all is written.

    The file is flushed to disk before it is renamed. On any failure, Ctrl-C included, the
    temporary file is removed and whatever stood at ``path`` stays as it was. What a killed process
    left behind is removed by the next one that writes ``path``.

    Raises:
        OutputError: no permission, no space, or something at ``path`` that is no regular file.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        with writing(path):
            if path.exists() and not path.is_file():  # renaming onto /dev/null would replace it
                raise OutputError(f"Cannot write {path}: it is a folder or a device; name a file.")
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(path)
            # Named before it is made: Ctrl-C may come between any two lines.
            name = f".{path.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}"
            temporary = path.with_name(name)
            with open(temporary, "xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
            temporary = None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the system refuses inside means that ``path`` cannot be written: say so, and why."""
    try:
        yield
    except EveryclassError:
        raise
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {_reason(error)}.") from error


def remove_file(path: str | Path) -> None:
    """Remove a file that an earlier result left at ``path``, if there is one.

    A folder or a device stays.

    Raises:
        OutputError: no permission.
    """
    path = Path(path)
    with writing(path):
        if path.is_file():
            path.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files and folders of ``path`` whose process is no more."""
    for entry in path.parent.iterdir():
        found = re.fullmatch(re.escape(f".{path.name}.tmp-") + r"(\d+)-.*", entry.name)
        if not found or _is_alive(int(found[1])):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    if sys.platform == "win32":  # os.kill would interrupt the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # somebody else's
    return True


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk is full; free some space or name another folder"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "there is no permission to write there; name another folder"
    return error.strerror or str(error)


def prepare_folder(
    path: str | Path,
    *,
    overwrite: bool,
    way_out: str = "name another one or pass overwrite (--overwrite)",
) -> Path:
    """Return ``path`` as a writable folder, refusing one that already holds something.

    Args:
        path: made if it is not there.
        overwrite: whether it may hold something.
        way_out: what to do where it does and may not, for the message.

    Raises:
        OutputExistsError: the folder is not empty and ``overwrite`` is false.
        UnwritableFolderError: the folder cannot be made or written.
        OutputError: the disk is full.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_dir():
            raise OutputExistsError(f"{path} is a file, not a folder; name another output folder.")
        if path.is_dir() and not overwrite and holds_something(path):
            raise OutputExistsError(f"The output folder {path} is not empty; {way_out}.")
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path, prefix=".writable.tmp-"):
            pass
    except EveryclassError:
        raise
    except OSError as error:
        kind = OutputError if error.errno == errno.ENOSPC else UnwritableFolderError
        raise kind(f"Cannot write into {path}: {_reason(error)}.") from error
    return path


def check_free(paths: Iterable[Path], *, keep: Iterable[Path], overwrite: bool) -> None:
    """Refuse to write files over what they are made from, or over earlier results.

    Args:
        paths: the files to be written.
        keep: files that are read and must stay, whatever is said.
        overwrite: whether earlier results may be replaced.

    Raises:
        InputError: two of the files are one, or one would replace what is read.
        OutputExistsError: one is there already.
    """
    seen = {os.path.realpath(path): "is read and would be replaced" for path in keep}
    for path in paths:
        place = os.path.realpath(path)
        if place in seen:
            raise InputError(f"{path} {seen[place]}; name another file to write.")
        seen[place] = "would be written twice"
        if not overwrite and os.path.exists(path):
            raise OutputExistsError(
                f"{path} is there already; pass overwrite (--overwrite) to replace it."
            )


def holds_something(folder: Path) -> bool:
    """Whether a folder holds more than what a killed :func:`atomic_write` left."""
    return bool(entries(folder))


def entries(folder: Path) -> list[Path]:
    """What is in a folder, in order, less what a killed :func:`atomic_write` left."""
    return [path for path in sorted(folder.iterdir()) if not re.match(r"\..+\.tmp-", path.name)]


def existing_file(path: str | Path, what: str = "file") -> Path:
    """Return ``path`` if a file is there.

    Raises:
        MissingFileError: nothing is there, or it is a folder.
        FileFormatError: there is no permission to read it.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise MissingFileError(f"{path} is a folder; a {what} is needed.")
    if not os.path.exists(path):  # unlike Path.exists, false where the folder may not be searched
        raise MissingFileError(f"There is no {what} at {path}.")
    if not os.access(path, os.R_OK):
        raise FileFormatError(f"There is no permission to read {path}.")
    return path


def sha256_of(path: Path) -> str:
    """The SHA-256 (hex) of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_json(path: str | Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` as indented JSON; NaN and infinities become null."""
    text = json.dumps(plain_json(value), indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as stream:
        stream.write(text.encode() + b"\n")


def read_json(path: str | Path, what: str = "JSON file") -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        MissingFileError: nothing is there.
        FileFormatError: it is not a JSON object.
    """
    path = existing_file(path, what)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} is not a readable {what}: {error}.") from error
    if not isinstance(value, dict):
        raise FileFormatError(f"{path} holds a {type(value).__name__}; a JSON object is needed.")
    return value


def plain_json(value: Any) -> Any:
    """Turn arrays, NumPy scalars and non-finite floats into what JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain_json(value.tolist())
    if isinstance(value, np.generic):
        return plain_json(value.item())
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value
