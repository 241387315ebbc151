"""Progress on stderr: a live bar in a terminal, plain lines elsewhere, silence where asked."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from everyclass.artifacts import printable

__all__ = ["Progress", "Task", "progress", "silent"]


class Task(Protocol):
    """One piece of work whose progress is shown."""

    def advance(self, amount: int, note: str = "") -> None:
        """Count ``amount`` more units as done; ``note`` is shown beside the rate."""


class Progress(Protocol):
    """Opens tasks: ``with progress("train", total, "images") as task``."""

    def __call__(
        self, title: str, total: int, unit: str, done: int = 0
    ) -> AbstractContextManager[Task]:
        """Open a task; ``done`` of its units have been done by an earlier run."""


class _Quiet:
    def advance(self, amount: int, note: str = "") -> None:
        pass


class _Lines:
    """A line every ten seconds, for logs and pipes."""

    def __init__(self, title: str, total: int, unit: str, done: int = 0) -> None:
        self._title, self._total, self._unit = printable(title), total, unit
        self._done = self._start_done = done
        self._start = self._last = time.monotonic()

    def advance(self, amount: int, note: str = "") -> None:
        before, self._done = self._done, self._done + amount
        total = max(self._total, self._done)  # a total may be an estimate
        now = time.monotonic()
        if now - self._last < 10 and not before < self._total <= self._done:
            return
        self._last = now
        rate = (self._done - self._start_done) / max(now - self._start, 1e-9)
        left = (total - self._done) / max(rate, 1e-9)
        print(
            f"{self._title}: {self._done:,}/{total:,} {self._unit}, {rate:,.0f}/s, "
            f"{_duration(left)} left{', ' + note if note else ''}",
            file=sys.stderr,
            flush=True,
        )


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


@contextmanager
def silent(title: str, total: int, unit: str, done: int = 0) -> Iterator[Task]:
    """Show nothing: what the library does unless told otherwise."""
    yield _Quiet()


@contextmanager
def progress(title: str, total: int, unit: str, done: int = 0) -> Iterator[Task]:
    """Show rate and time left on stderr.

    Args:
        title: what is being done.
        total: units in all.
        unit: what is counted, in the plural.
        done: units that an earlier run has done already.
    """
    if not sys.stderr.isatty():
        yield _Lines(title, total, unit, done)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars
    from rich.progress import Task as Row
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Row) -> Text:
            return Text(f"{task.speed:,.0f} {unit}/s" if task.speed else "")

    class Bar:
        def advance(self, amount: int, note: str = "") -> None:
            bars.update(row, advance=amount, note=note)

    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    ]
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        row = bars.add_task(printable(title), total=total, completed=done, note="")
        yield Bar()
