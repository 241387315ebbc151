"""Predicted names that are no label because somebody spelt them otherwise."""

from __future__ import annotations

from pathlib import Path

from everyclass.artifacts._text import quoted, some
from everyclass.errors import FileFormatError

__all__ = ["check_spelling"]

_WAY_OUT = "give all classes with class_names (--class-names)"


def check_spelling(path: Path, labels: set[str], predicted: set[str]) -> None:
    """Refuse names that would become classes of their own by mistake.

    A class without test images may be predicted, so a predicted name need not be a label. Where
    the caller has named the classes, there is nothing to be in doubt about.

    Args:
        path: the file, for the message.
        labels, predicted: the names that stand in the two columns.

    Raises:
        FileFormatError: no predicted name is a label, or a name differs from a label only by case
            or blanks.
    """
    by_blanks: dict[str, str] = {}
    for name in sorted(labels):
        other = by_blanks.setdefault(_less_blanks(name), name)
        if other != name:  # "A" and "a" may be two letters to be told apart
            raise FileFormatError(
                f"{path}: the labels {quoted(other)} and {quoted(name)} differ by blanks only; "
                f"spell them alike, or {_WAY_OUT}."
            )
    known = {_less_blanks(name).casefold(): name for name in sorted(labels)}
    for name in sorted(predicted - labels):
        like = known.get(_less_blanks(name).casefold())
        if like is not None:
            raise FileFormatError(
                f"{path}: the predicted class {quoted(name)} is no label and differs from the "
                f"label {quoted(like)} by case or blanks only; spell them alike, or {_WAY_OUT}."
            )
    if labels and predicted and not labels & predicted:
        raise FileFormatError(
            f"{path}: no predicted class is a label: labels are {some(sorted(labels), 4)}, and "
            f"predicted are {some(sorted(predicted), 4)}; spell them alike, or {_WAY_OUT}."
        )


def _less_blanks(name: str) -> str:
    return " ".join(name.split())
