"""Text from outside (class names, ids, file names) as it can stand in a terminal or a sentence."""

from __future__ import annotations

import difflib
import itertools
import unicodedata
from collections.abc import Iterable, Sequence

__all__ = ["cells", "did_you_mean", "escaped", "padded", "printable", "quoted", "some"]

_JOINERS = "\u200c\u200d"  # without them Persian words and composed emoji fall apart
_ISOLATES = "\u2068\u2069"
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_RIGHT_TO_LEFT = {"R", "AL", "AN"}
# A comparison takes time quadratic in the length: what is longer is no typing mistake.
_COMPARED_NAMES, _COMPARED_SIGNS = 10_000, 60


def printable(text: str, most: int | None = None) -> str:
    """Text that cannot steer a terminal: what has no glyph is written as its escape.

    Control characters, direction overrides and lone surrogates become ``\\x1b``, ``\\u202e``, …;
    right-to-left text is isolated, so that the numbers beside it stay where they are.

    Args:
        text: anything.
        most: columns that it may take, … included; as many as it needs if None.

    Example:
        >>> printable("cat\\x1b[31m"), printable("a very long name", most=8)
        ('cat\\\\x1b[31m', 'a very …')
    """
    if most is not None and len(text) > 3 * most:  # no need to look at 10,000 of them
        text = text[: 3 * most]
    text = escaped(text)
    if most is not None and cells(text) > most:
        kept = text[:most]
        while cells(kept) > most - 1:
            kept = kept[:-1]
        text = kept + "…"
    if any(unicodedata.bidirectional(sign) in _RIGHT_TO_LEFT for sign in text):
        text = text.join(_ISOLATES)
    return text


def escaped(text: str, *, isolates: bool = False) -> str:
    """Text in which every sign without a glyph is written as its escape.

    Args:
        text: anything.
        isolates: leave those that :func:`printable` put around right-to-left text.
    """
    if text.isascii() and text.isprintable():
        return text
    kept = _JOINERS + (_ISOLATES if isolates else "")
    return "".join(
        sign.encode("unicode_escape").decode("ascii")
        if unicodedata.category(sign) in _UNSEEN and sign not in kept
        else sign
        for sign in text
    )


def quoted(text: object, most: int = 60) -> str:
    """A name or value in quotation marks, safe and of bounded length, for a message."""
    return f"'{printable(str(text), most)}'"


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: ``; did you mean …?``, or a full stop.

    Args:
        word: what was given.
        known: what could have been meant.

    Example:
        >>> "There is no class 'cta'" + did_you_mean("cta", ["dog", "cat"])
        "There is no class 'cta'; did you mean 'cat'?"
    """
    short = (name for name in known if len(name) <= _COMPARED_SIGNS)
    few = itertools.islice(short, _COMPARED_NAMES)
    found = difflib.get_close_matches(str(word)[:_COMPARED_SIGNS], few, n=1)
    return f"; did you mean {quoted(found[0])}?" if found else "."


def cells(text: str) -> int:
    """Columns of a terminal that a text takes: two for wide characters, none for accents."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def padded(text: str, width: int) -> str:
    """Text with spaces up to ``width`` columns."""
    return text + " " * max(0, width - cells(text))


def some(names: Sequence[object], most: int = 8, width: int = 40) -> str:
    """The first names, safe and of bounded length, and how many more there are."""
    shown = ", ".join(printable(str(name), width) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
