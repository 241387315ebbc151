"""Getting a data set from where it is published: resumed, checked, unpacked whole or not at all."""

from __future__ import annotations

import gzip
import http.client
import os
import shutil
import tarfile
import urllib.error
import urllib.parse
import urllib.request
import zlib
from pathlib import Path

from everyclass.artifacts import (
    cache_folder,
    existing_file,
    holding_lock_file,
    sha256_of,
    writing,
)
from everyclass.data.cifar import CIFAR10, CIFAR100, CIFARFacts
from everyclass.data.published import PUBLISHED
from everyclass.errors import (
    EveryclassError,
    FileFormatError,
    InputError,
    OutputError,
    OutputExistsError,
    RunFailedError,
)
from everyclass.progress import Progress, silent

__all__ = ["DOWNLOADS", "download", "get_dataset"]

OFFICIAL = "https://www.cs.toronto.edu/~kriz/"
DOWNLOADS = {facts.name: facts for facts in (CIFAR10, CIFAR100)}
TIMEOUT_SECONDS = 60.0
ATTEMPTS = 5
_BLOCK = 1 << 18


def get_dataset(
    name: str, *, root: str | Path | None = None, url: str | None = None, show: Progress = silent
) -> Path:
    """Download and unpack a data set, unless it is there already.

    The archive is checked against its published SHA-256 before anything of it is read, and stays
    beside the folder. Of its members only the files that the data set consists of are unpacked.

    Args:
        name: "cifar10" or "cifar100".
        root: where to put it; default ``$XDG_CACHE_HOME/everyclass``.
        url: of the archive, instead of the official one, such as a mirror's or ``file:///…``.
        show: how progress is shown.

    Returns:
        The folder with the data set's files.

    Raises:
        InputError: there is no data set of that name to download, or another process fetches it.
        FileFormatError: the archive is not the published one.
        OutputError: it cannot be written.
        OutputExistsError: the folder is there and is not complete.
        RunFailedError: it could not be fetched.
    """
    if name in PUBLISHED:
        raise InputError(
            f"{PUBLISHED[name].title} cannot be fetched by a command: {PUBLISHED[name].pictures}. "
            f"everyclass data check {name} says which lists are there and where they belong."
        )
    if name not in DOWNLOADS:
        raise InputError(
            f"There is no data set {name!r} to download; there are {', '.join(DOWNLOADS)}."
        )
    facts = DOWNLOADS[name]
    root = cache_folder() if root is None else Path(root)
    folder = root / facts.folder
    if _is_complete(folder, facts):
        return folder
    refusal = (
        f"Another process is fetching {name} into {root}; wait until it has ended and run this "
        "again, or name another folder with root (--data-root)."
    )
    with holding_lock_file(root / f".{facts.folder}.lock", refusal):
        if not _is_complete(folder, facts):  # by a process that has ended since
            url = url or OFFICIAL + facts.archive
            archive = download(url, root / facts.archive, facts.sha256, show=show)
            _unpack(archive, facts, folder)
    return folder


def _is_complete(folder: Path, facts: CIFARFacts) -> bool:
    missing = [file for file in facts.files if not (folder / file).is_file()]
    if missing and folder.is_dir() and any(folder.iterdir()):
        raise OutputExistsError(
            f"{folder} is there and lacks {', '.join(missing)}; remove it and run this again."
        )
    return not missing


def download(url: str, path: str | Path, sha256: str, *, show: Progress = silent) -> Path:
    """Fetch one file, going on where an interrupted attempt stopped.

    What has arrived is kept as ``<path>.part``, which takes its name when its checksum is right. A
    connection that breaks is taken up again as long as each attempt brings something.

    Args:
        url: ``https``, ``http`` or ``file``.
        path: where to put it; if it is there already, only its checksum is looked at.
        sha256: what its SHA-256 must be, in hexadecimal.
        show: how progress is shown.

    Returns:
        ``path``.

    Raises:
        InputError: a URL of another kind, or none.
        MissingFileError: a folder is at ``path``.
        FileFormatError: the checksum is wrong; what was fetched is removed.
        OutputError: it cannot be written.
        RunFailedError: it could not be fetched; what has arrived is kept.
    """
    path = Path(path)
    if path.exists():
        found = sha256_of(existing_file(path))
        if found != sha256:
            raise FileFormatError(
                f"{path} is not the file expected: its SHA-256 should be {sha256} and is {found}; "
                "remove it and run this again."
            )
        return path
    try:
        scheme = urllib.parse.urlsplit(url).scheme
    except ValueError as error:
        raise InputError(f"{url!r} is no URL: {error}.") from error
    if scheme not in ("https", "http", "file"):
        raise InputError(f"The URL must begin with https://, http:// or file://; got {url!r}.")
    part = path.with_name(f"{path.name}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot make the folder {part.parent}: {error.strerror}.") from error
    _fetch(url, part, f"download {url} by hand and put it at {path}", show)
    found = sha256_of(part)
    if found != sha256:
        part.unlink()
        raise FileFormatError(
            f"{url} gave a file whose SHA-256 is {found} and should be {sha256}; nothing of it is "
            f"kept. Run this again, or download it elsewhere and put it at {path}."
        )
    with writing(path):
        os.replace(part, path)
    return path


def _fetch(url: str, part: Path, instead: str, show: Progress) -> None:
    """Make ``part`` complete, over several connections if they break."""
    for attempt in range(1, ATTEMPTS + 1):
        before = _size(part)
        try:
            _fetch_rest(url, part, show)
            return
        except EveryclassError:
            raise
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # nothing is missing; the checksum tells whether too much is there
            raise RunFailedError(
                f"{url} answered {error.code} {error.reason}; {instead}."
            ) from error
        except (OSError, ValueError, http.client.HTTPException) as error:  # a NUL in the path
            if attempt == ATTEMPTS or _size(part) <= before:
                reason = getattr(error, "reason", error)
                raise RunFailedError(
                    f"{url} could not be fetched ({reason}); {_size(part):,} bytes are kept in "
                    f"{part}. Check the network and run this again to go on, or {instead}."
                ) from error


def _fetch_rest(url: str, part: Path, show: Progress) -> None:
    """Append to ``part`` what it lacks, or write all of it if the server sends only that."""
    have = _size(part)
    headers = {"User-Agent": "everyclass", **({"Range": f"bytes={have}-"} if have else {})}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
        if not (answer.headers.get("Content-Range") or "").startswith(f"bytes {have}-"):
            have = 0
        length = answer.headers.get("Content-Length") or ""
        total = have + int(length) if length.isdecimal() else None
        with show(part.stem, total or 0, "bytes", have) as task:
            if not have:
                _write(part, "wb", b"")
            while block := answer.read(_BLOCK):
                _write(part, "ab", block)
                if total is not None:
                    task.advance(len(block))
    if total is not None and _size(part) < total:
        raise ConnectionError(f"the connection closed after {_size(part):,} of {total:,} bytes")


def _write(part: Path, mode: str, block: bytes) -> None:
    try:
        with open(part, mode) as file:
            file.write(block)
    except OSError as error:
        raise OutputError(
            f"Cannot write {part}: {error.strerror}. What has arrived is kept; see to the disk and "
            "run this again to go on."
        ) from error


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _unpack(archive: Path, facts: CIFARFacts, folder: Path) -> None:
    """Unpack the data set's files into ``folder``, which appears only when all are there.

    No path of the archive is ever used: a member is known by its whole name, must be a plain file,
    and is copied to a name of ours. So links, devices and ``../`` have nowhere to go.
    """
    wanted = {f"{facts.folder}/{file}": file for file in facts.files}
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
    try:
        unfinished.mkdir()
        with tarfile.open(archive) as tar:
            for member in tar:
                source = tar.extractfile(member) if member.isreg() else None
                if source is not None and member.name in wanted:
                    with source, open(unfinished / wanted.pop(member.name), "xb") as target:
                        shutil.copyfileobj(source, target)
        if wanted:
            raise FileFormatError(f"{archive} has no plain file {', '.join(wanted)}.")
        os.replace(unfinished, folder)
    except EveryclassError:
        raise
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise FileFormatError(f"{archive} is not a readable archive: {error}.") from error
    except OSError as error:
        raise OutputError(f"Cannot unpack into {folder}: {error.strerror}.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
