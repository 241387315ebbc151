"""A run's folder: what was asked, how far it is, and what came out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from everyclass.artifacts._configurations import differences
from everyclass.artifacts._files import (
    atomic_write,
    entries,
    holds_something,
    plain_json,
    prepare_folder,
    read_json,
    write_json,
)
from everyclass.artifacts._locks import holding
from everyclass.errors import InputError, MissingFileError, OutputExistsError

__all__ = ["TOLD_LATER", "Run"]

FORMAT = 1
TOLD_LATER = frozenset({"loss", "loss_values", "learner", "fit"})
"""Constants of a recipe that configurations of runs did not always hold."""
_ELSEWHERE = "with out (--out; of bench run --runs)"


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
            MissingFileError: there is no run in that folder, or its checkpoint lies in parts.
            FileFormatError: its ``config.json`` is damaged.
        """
        folder = Path(folder)
        if not (folder / "config.json").is_file():
            raise MissingFileError(
                f"{folder} is not a run: it has no config.json. "
                "Make one with: everyclass pretrain ce --data cifar100-lt"
            )
        run = cls(folder, read_json(folder / "config.json", "run configuration"))
        parts = f"{run.checkpoint.name}.part-*"
        if not run.checkpoint.exists() and any(folder.glob(parts)):
            raise MissingFileError(
                f"The checkpoint of {folder} lies there in parts; put them together, in that "
                f"folder: cat {parts} > {run.checkpoint.name}"
            )
        return run

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
                    if run.is_only_asked_for:  # still: it may have been trained meanwhile
                        write_json(folder / "config.json", asked)
                        return cls(folder, asked)
            if different:
                raise InputError(
                    f"{folder} holds a run with another configuration ({'; '.join(different)}); "
                    f"name another folder {_ELSEWHERE}, or ask for the same."
                )
            return run
        if folder.is_dir() and holds_something(folder):
            raise OutputExistsError(
                f"{folder} is not empty and not a run; name another {_ELSEWHERE}."
            )
        prepare_folder(folder, overwrite=False)
        write_json(folder / "config.json", asked)
        return cls(folder, asked)

    @property
    def is_only_asked_for(self) -> bool:
        """Whether the folder holds nothing but the configuration."""
        return [path.name for path in entries(self.folder)] == ["config.json"]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from working in this folder at the same time.

        The system lets go of it when the process ends, however it ends. File systems that know no
        locks go without, and so does Windows.

        Raises:
            InputError: another process works there, or has made another run of it since.
        """
        refusal = (
            f"Another process is working in {self.folder}; wait until it has ended (or end it), or "
            f"name another folder {_ELSEWHERE}."
        )
        with holding(self.folder / "config.json", refusal):
            if different := differences(Run.open(self.folder).config, self.config):
                raise InputError(
                    f"Another process has made another run of {self.folder} just now "
                    f"({'; '.join(different)}); name another folder {_ELSEWHERE}."
                )
            yield

    @property
    def checkpoint(self) -> Path:
        """Where the newest checkpoint is."""
        return self.folder / "checkpoint.safetensors"

    @property
    def predictions(self) -> Path:
        """Where the logits of the test images are."""
        return self.folder / "predictions.npz"

    @property
    def result(self) -> dict[str, Any] | None:
        """What came out, or None while the run is not finished."""
        path = self.folder / "result.json"
        return read_json(path, "run result") if path.is_file() else None

    def log(self, record: Mapping[str, Any]) -> None:
        """Append one line to ``log.jsonl``, replacing the lines of epochs that are run again."""
        kept = [line for line, earlier in self._logged() if earlier["epoch"] < record["epoch"]]
        kept.append(json.dumps(plain_json(record), allow_nan=False))
        with atomic_write(self.folder / "log.jsonl") as stream:
            stream.write("\n".join(kept).encode() + b"\n")

    @property
    def seconds(self) -> float:
        """How long the logged epochs took, in however many attempts."""
        taken = (record.get("seconds") for _, record in self._logged())
        return sum((each for each in taken if isinstance(each, int | float)), 0.0)

    def _logged(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The lines of ``log.jsonl`` and their records, without those that hold no epoch."""
        path = self.folder / "log.jsonl"
        lines = path.read_bytes().decode(errors="replace").splitlines() if path.is_file() else []
        for line in lines:
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue  # torn, such as the last one of a machine that lost power
            if isinstance(record, dict) and isinstance(record.get("epoch"), int):
                yield line, record

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write ``result.json``: the run is complete."""
        write_json(self.folder / "result.json", result)
