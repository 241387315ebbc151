"""What commands print: results on stdout, notices and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import typer

__all__ = ["harmless", "print_json", "say", "shown"]


def shown(quiet: bool) -> Any:
    """The progress to hand to a function: on stderr, or none."""
    from everyclass.progress import progress, silent

    return silent if quiet else progress


def harmless(text: str) -> str:
    """Text in which what came out of files cannot steer a terminal; its lines stay lines.

    What has no glyph is written as its escape, as :func:`everyclass.artifacts.escaped` does.
    """
    lines = text.split("\n")
    if all(line.isprintable() for line in lines):
        return text
    from everyclass.artifacts import escaped

    return "\n".join(escaped(line, isolates=True) for line in lines)


def say(text: str, *, err: bool = False) -> None:
    """Print text, made :func:`harmless`, on stdout; on stderr if ``err``.

    Nothing of our own that is said so has colours. Tables of rich have, and print themselves; they
    hold nothing from files.
    """
    typer.echo(harmless(text), err=err)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout; NaN becomes null, and what has no glyph its JSON escape."""
    from everyclass.artifacts import json_text

    text = json_text(value)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:  # what stdout would put in its place is no JSON
        text = "".join(s if s.isascii() else json.dumps(s)[1:-1] for s in text)
    typer.echo(text)
