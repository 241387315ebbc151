"""A run's folder: what was asked, how far it is, and what came out."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from everyclass.artifacts._files import (
    atomic_write,
    holds_something,
    plain_json,
    prepare_folder,
    read_json,
    write_json,
)
from everyclass.errors import InputError, MissingFileError, OutputExistsError

try:
    import fcntl
except ImportError:
    # Windows. Its own msvcrt.locking keeps others from reading what is locked, and the
    # configuration has to be read.
    _HAS_LOCKS = False
else:
    _HAS_LOCKS = True

__all__ = ["Run", "differences"]

FORMAT = 1


@dataclass(frozen=True)
class Run:
    """A folder with ``config.json``, ``checkpoint.safetensors``, ``log.jsonl``, ``result.json``.

    Attributes:
        folder: where it is.
        config: what was asked; a run is only ever resumed with the same.
    """

    folder: Path
    config: dict[str, Any]

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Open an existing run.

        Raises:
            MissingFileError: there is no run in that folder.
            FileFormatError: its ``config.json`` is damaged.
        """
        folder = Path(folder)
        if not (folder / "config.json").is_file():
            raise MissingFileError(
                f"{folder} is not a run: it has no config.json. "
                "Make one with: everyclass pretrain ce --data cifar100-lt"
            )
        return cls(folder, read_json(folder / "config.json", "run configuration"))

    @classmethod
    def start(cls, folder: str | Path, config: Mapping[str, Any]) -> Run:
        """Make a run's folder, or come back to one of the same configuration.

        A run of which nothing was done yet, as one that was refused, becomes the one asked for.

        Raises:
            OutputExistsError: the folder holds something that is not a run.
            InputError: it holds a run with another configuration; the differences are named.
        """
        folder = Path(folder)
        asked: dict[str, Any] = plain_json({"format": FORMAT, **config})  # as read back
        if (folder / "config.json").is_file():
            run = cls.open(folder)
            different = differences(run.config, asked)
            if different and run.is_only_asked_for:
                with run.held():
                    write_json(folder / "config.json", asked)
                return cls(folder, asked)
            if different:
                raise InputError(
                    f"{folder} holds a run with another configuration ({'; '.join(different)}); "
                    "name another folder with out (--out), or ask for the same."
                )
            return run
        if folder.is_dir() and holds_something(folder):
            raise OutputExistsError(
                f"{folder} is not empty and not a run; name another with out (--out)"
            )
        prepare_folder(folder, overwrite=False)
        write_json(folder / "config.json", asked)
        return cls(folder, asked)

    @property
    def is_only_asked_for(self) -> bool:
        """Whether the folder holds nothing but the configuration."""
        return [path.name for path in self.folder.iterdir()] == ["config.json"]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from working in this folder at the same time.

        The system lets go of it when the process ends, however it ends. File systems that know no
        locks go without, and so does Windows.

        Raises:
            InputError: another process works there.
        """
        if not _HAS_LOCKS:
            yield
            return
        with (self.folder / "config.json").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(
                    f"Another process is working in {self.folder}; wait until it has ended (or end "
                    "it), or name another folder with out (--out)."
                ) from error
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                    raise
            yield

    @property
    def checkpoint(self) -> Path:
        """Where the newest checkpoint is."""
        return self.folder / "checkpoint.safetensors"

    @property
    def result(self) -> dict[str, Any] | None:
        """What came out, or None while the run is not finished."""
        path = self.folder / "result.json"
        return read_json(path, "run result") if path.is_file() else None

    def log(self, record: Mapping[str, Any]) -> None:
        """Append one line to ``log.jsonl``, replacing the lines of epochs that are run again."""
        path = self.folder / "log.jsonl"
        kept = []
        if path.is_file():
            for line in path.read_bytes().decode(errors="replace").splitlines():
                try:
                    if json.loads(line)["epoch"] < record["epoch"]:
                        kept.append(line)
                except (ValueError, KeyError, TypeError):
                    continue  # a torn line, such as the last one of a machine that lost power
        kept.append(json.dumps(plain_json(record), allow_nan=False))
        with atomic_write(path) as stream:
            stream.write("\n".join(kept).encode() + b"\n")

    @property
    def seconds(self) -> float:
        """How long the logged epochs took, in however many attempts."""
        path = self.folder / "log.jsonl"
        lines = path.read_text().splitlines() if path.is_file() else []
        return sum(json.loads(line).get("seconds", 0.0) for line in lines)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write ``result.json``: the run is complete."""
        write_json(self.folder / "result.json", result)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], place: str = "") -> list[str]:
    """In words, where two nested configurations differ."""
    different = []
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            different += differences(a, b, f"{place}{key}.")
        elif a != b:
            different.append(f"{place}{key}: {a} there, {b} asked")
    return different
