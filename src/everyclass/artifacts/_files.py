"""Reading and writing files so that nobody ever meets half of one, or runs what is inside."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import math
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from everyclass.artifacts._leftovers import is_temporary, remove_leftovers, temporary_prefix
from everyclass.artifacts._text import escaped
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
    "check_own",
    "existing_file",
    "json_text",
    "keep_mode",
    "plain_json",
    "prepare_folder",
    "read_json",
    "remove_file",
    "sha256_of",
    "write_json",
    "writing",
]


def cache_folder() -> Path:
    """Where data sets and what can be made again are kept: ``$XDG_CACHE_HOME/everyclass``.

    Without that variable it is in ``~/.cache``; for a user without a home, as containers have, in
    a temporary folder of this process.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or _home_cache()) / "everyclass"


def _home_cache() -> Path:
    try:
        return Path.home() / ".cache"
    except RuntimeError:  # neither HOME nor an entry among the users
        return Path(_temporary_cache().name)


@functools.cache
def _temporary_cache() -> tempfile.TemporaryDirectory[str]:
    # With a name that nobody can guess: what others put there would be loaded, as kernels are.
    return tempfile.TemporaryDirectory(prefix="everyclass-cache-", ignore_cleanup_errors=True)


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path`` that takes its name only when all is written.

    The file is flushed to disk before it is renamed. On any failure, Ctrl-C included, the
    temporary file is removed and whatever stood at ``path`` stays as it was. What a killed process
    left behind is removed by the next one that writes ``path``. A link stays one: the file that it
    leads to is replaced. The new file has the permissions of the old one.

    Raises:
        OutputError: no permission, no space, or something at ``path`` that is no regular file.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        with writing(path):
            if _is_no_file(path):  # renaming onto /dev/null would replace it
                raise OutputError(f"Cannot write {path}: it is a folder or a device; name a file.")
            place = Path(os.path.realpath(path))
            place.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(place)
            # Named before it is made: Ctrl-C may come between any two lines.
            temporary = place.with_name(temporary_prefix(place.name) + secrets.token_hex(4))
            with open(temporary, "xb") as stream:
                keep_mode(place, temporary)
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, place)
            temporary = None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):  # whatever went wrong before is what to say
                temporary.unlink(missing_ok=True)


def _is_no_file(path: Path) -> bool:
    """Whether something stands at ``path`` that cannot be replaced; links in a circle raise."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False


def keep_mode(place: Path, new: Path) -> None:
    """Give ``new`` the permissions of the file that it is to replace, if there is one."""
    with contextlib.suppress(OSError):  # there is none, or the file system knows no permissions
        new.chmod(stat.S_IMODE(place.stat().st_mode))


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


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk is full; free some space or name another folder"
    if error.errno == errno.EDQUOT:
        return "your quota is used up; free some space or name another folder"
    if error.errno == errno.ENAMETOOLONG:
        return "the name is too long; choose a shorter one"
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
        OutputError: the disk is full, or the quota used up.
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
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        kind = OutputError if full else UnwritableFolderError
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


def check_own(file: Path | None, what: str, is_own: Callable[[Path], bool]) -> None:
    """Refuse to write over anything but an earlier file of the same kind, or an empty one.

    For what is made from stored predictions in a moment, which may be made again without asking.

    Args:
        file: to be written.
        what: what such a file is called.
        is_own: whether a file is one.

    Raises:
        OutputExistsError: something else is there.
    """
    # By os.path: a name that no file can have is nothing that is there, and who writes it says so.
    if file is not None and os.path.isfile(file) and os.path.getsize(file) and not is_own(file):
        raise OutputExistsError(
            f"{file} is there and is no {what}, so it is not replaced; name another file."
        )


def holds_something(folder: Path) -> bool:
    """Whether a folder holds more than what a killed :func:`atomic_write` left."""
    return bool(entries(folder))


def entries(folder: Path) -> list[Path]:
    """What is in a folder, in order, less what a killed :func:`atomic_write` left."""
    return [path for path in sorted(folder.iterdir()) if not is_temporary(path.name)]


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
    """Write ``value`` as :func:`json_text`."""
    text = json_text(value)
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
        # Of bytes json finds the encoding itself: what PowerShell writes is UTF-16 or has a mark.
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} is not a readable {what}: {error}.") from error
    if not isinstance(value, dict):
        raise FileFormatError(f"{path} holds a {type(value).__name__}; a JSON object is needed.")
    return value


def json_text(value: Mapping[str, Any]) -> str:
    """Indented JSON that reads back the same and can stand anywhere.

    NaN and infinities become null. What has no glyph is written as its JSON escape: control
    characters, and the halves that stand for bytes of file names that are no UTF-8.

    Example:
        >>> print(json_text({"file": "caf\\udce9.npz", "accuracy": float("nan")}))
        {
          "file": "caf\\udce9.npz",
          "accuracy": null
        }
    """
    text = json.dumps(plain_json(value), indent=2, ensure_ascii=False, allow_nan=False)
    return "\n".join(map(_without_unseen, text.split("\n")))


def _without_unseen(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(
        sign if escaped(sign, isolates=True) == sign else json.dumps(sign)[1:-1] for sign in line
    )


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
