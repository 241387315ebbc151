"""Pictures that are missing or damaged: named, counted, and either the end or left out."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from everyclass.artifacts import atomic_write, remove_file
from everyclass.errors import FileFormatError, InputError, MissingFileError, OutputExistsError

__all__ = ["BadPictures", "Policy", "check_bad_list", "check_policy"]

Policy = Literal["fail", "skip"]
MISSING = "no such file"
_COLUMNS = ("path", "reason")


def check_policy(policy: str) -> None:
    """Refuse a policy of another name.

    Raises:
        InputError: neither "fail" nor "skip".
    """
    if policy not in get_args(Policy):
        raise InputError(
            "bad_images (--bad-images) must be 'fail' (the first bad picture ends it) or 'skip' "
            f"(it is left out, and listed); got {policy!r}."
        )


def check_bad_list(path: str | Path) -> None:
    """Refuse to write or remove a list of bad pictures where anything else is.

    Raises:
        OutputExistsError: something is there whose first line is not ``path,reason``.
    """
    if os.path.exists(path) and not _is_bad_list(path):
        raise OutputExistsError(
            f"{path} is there and is no list of bad pictures, so it is not replaced; name another "
            "file."
        )


def _is_bad_list(path: str | Path) -> bool:
    header = ",".join(_COLUMNS).encode()
    try:
        if not os.path.isfile(path):  # a pipe would wait for ever
            return False
        with open(path, "rb") as stream:
            return stream.read(len(header) + 1).rstrip(b"\r\n") == header
    except OSError:
        return False


@dataclass
class BadPictures:
    """What was found so far.

    Attributes:
        policy: "fail": the first one ends the work; "skip": they are left out.
        found: why, by path.
    """

    policy: str = "fail"
    found: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_policy(self.policy)

    def __len__(self) -> int:
        return len(self.found)

    def add(self, place: str, reason: str) -> None:
        """Note a picture, or stop because of it.

        Raises:
            MissingFileError: the policy is "fail" and the file is not there.
            FileFormatError: the policy is "fail" and the file is damaged.
        """
        if self.policy == "fail":
            kind = MissingFileError if reason == MISSING else FileFormatError
            raise kind(
                f"{place} cannot be used: {reason}. Put it right, or leave such pictures out with "
                "bad_images='skip' (--bad-images skip); everyclass data check --decode lists all."
            )
        self.found.setdefault(place, reason)

    def sentence(self) -> str:
        """How many there are, and which is the first; empty where there is none."""
        if not self.found:
            return ""
        place, reason = next(iter(self.found.items()))
        return f"{len(self):,} bad pictures left out, the first of them {place} ({reason})"

    def save(self, path: Path) -> None:
        """Write a ``.csv`` with the columns ``path`` and ``reason``.

        Where there is no bad picture there is no file: that of an earlier pass is removed.

        Raises:
            OutputExistsError: a file is there that is no such list.
            OutputError: no permission, or no space.
        """
        if not self.found:
            if path.is_file():
                check_bad_list(path)
                remove_file(path)
            return
        check_bad_list(path)
        text = io.StringIO()
        writer = csv.writer(text)  # whose line ends make it quote carriage returns
        writer.writerow(_COLUMNS)
        writer.writerows(sorted(self.found.items()))
        with atomic_write(path) as stream:
            stream.write(text.getvalue().encode("utf-8", "surrogateescape"))
