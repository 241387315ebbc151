"""The pictures that a run left out, in a file of its own as soon as an epoch is over.

So a run that was stopped and gone on with lists what an undisturbed one lists, although it need not
meet each bad picture again.
"""

from __future__ import annotations

import csv

from everyclass.artifacts import Run
from everyclass.data import BadPictures, check_bad_list
from everyclass.errors import FileFormatError
from everyclass.processes import everybody_has, is_first

__all__ = ["note_left_out", "remember_left_out"]

_FILE = "bad-images.csv"


def note_left_out(run: Run, bad: BadPictures) -> None:
    """Tell every process what all have left out so far; the first one writes it down.

    Raises:
        OutputExistsError: another file of that name is in the run's folder.
    """
    for found in everybody_has(bad.found):
        bad.found |= found
    if is_first():
        bad.save(run.folder / _FILE)


def remember_left_out(run: Run, bad: BadPictures) -> None:
    """Take what a run that goes on has left out up to its checkpoint for found.

    Raises:
        OutputExistsError: another file of that name is in the run's folder.
        FileFormatError: the list is damaged.
    """
    path = run.folder / _FILE
    if not (is_first() and run.checkpoint.is_file() and path.is_file()):
        return
    check_bad_list(path)
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            _, *rows = csv.reader(stream)
        bad.found |= dict(rows)
    except (csv.Error, ValueError) as error:
        raise FileFormatError(
            f"{path} is a damaged list of bad pictures ({error}); remove it to go on without it."
        ) from error
