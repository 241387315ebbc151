"""What is said when something is wrong.

Every exception of this library derives from :class:`EveryclassError` and from the built-in
exception that callers already catch. A message is one sentence: what was found, where, and what
to do. ``exit_code`` is what the command line returns: 2 for bad input, 1 for a run or a gate that
failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = [
    "DataNotFoundError",
    "EveryclassError",
    "FileFormatError",
    "GateFailedError",
    "InputError",
    "InputTypeError",
    "MissingFileError",
    "MissingLibraryError",
    "OutputError",
    "OutputExistsError",
    "RunFailedError",
    "UnwritableFolderError",
    "first_line",
    "naming",
]


class EveryclassError(Exception):
    """Root of all errors raised by this library."""

    exit_code = 2


class InputError(EveryclassError, ValueError):
    """A value that cannot be used: wrong range, shape, length or combination."""


class InputTypeError(EveryclassError, TypeError):
    """A value of a type that cannot be used, such as labels given as floats."""


class FileFormatError(EveryclassError, ValueError):
    """A file that is not what it should be: truncated, of another format, hostile or incomplete."""


class MissingFileError(EveryclassError, FileNotFoundError):
    """A file or folder that was named and is not there."""


class MissingLibraryError(EveryclassError, ImportError):
    """An optional library that something needs and that is not installed."""

    def __init__(self, library: str, packages: str) -> None:
        which = "which are" if " and " in library else "which is"
        super().__init__(f"This needs {library}, {which} not installed: pip install {packages}")
        self.library, self.packages = library, packages

    def __reduce__(self) -> tuple[Any, ...]:
        """What pickle makes it from again; from args alone, its message, it cannot be made."""
        said = {"args": self.args, "msg": self.msg}
        return type(self), (self.library, self.packages), {**self.__dict__, **said}


class DataNotFoundError(MissingFileError):
    """A data set that is in none of the places where it is looked for."""


class OutputExistsError(EveryclassError, FileExistsError):
    """Results would overwrite something that is already there."""


class OutputError(EveryclassError, OSError):
    """A file could not be written: no permission, no space, no such device."""

    exit_code = 1


class UnwritableFolderError(OutputError):
    """The folder for the output cannot be made or written, which is seen before work begins."""

    exit_code = 2


class RunFailedError(EveryclassError, RuntimeError):
    """A run that started and could not be finished, such as a training that diverged."""

    exit_code = 1


class GateFailedError(EveryclassError, AssertionError):
    """A classifier did not pass a gate.

    Attributes:
        results: what each gate said, the passed ones included.
    """

    exit_code = 1

    def __init__(self, message: str, results: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.results = tuple(results)


def first_line(error: BaseException) -> str:
    """What somebody else's error says in its first line, for a sentence; its type if nothing.

    Example:
        >>> first_line(ValueError("bad magic.\\nTraceback …")), first_line(KeyError())
        ('bad magic', 'KeyError')
    """
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


@contextmanager
def naming(what: object) -> Iterator[None]:
    """Say at the head of an error of this library what it is about, such as a file.

    Example:
        >>> with naming("scores.npz"):
        ...     raise InputError("There is no image in it.")
        Traceback (most recent call last):
        everyclass.errors.InputError: scores.npz: There is no image in it.
    """
    try:
        yield
    except EveryclassError as error:  # the same one, as its type may take other arguments
        error.args = (f"{what}: {error}",)
        if isinstance(error, ImportError):  # which does not print its args
            error.msg = error.args[0]
        raise
