"""Code blocks of a Markdown page, run in order as a reader would run them.

`python` blocks share their names. A `text` block right after a `python` block is what that one has
to print, and what follows a `$ everyclass …` line in a `console` block is what the command has to
print; `...` stands for anything, as in doctests. `sh` and other blocks are not run. Set-up that no
reader needs to see stands in a comment, `<!-- invisible-code-block: python`.

Where a network is trained, another version of torch may get an image more or less right. A page
with `<!-- numbers vary -->` has to print the same words, and any numbers.
"""

from __future__ import annotations

import contextlib
import doctest
import glob
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from sybil import Example, Sybil
from sybil.document import Document
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, SkipParser

from everyclass.cli import main

ROOT = Path(__file__).parents[2]
RUN = re.compile(r"(?m)^```(python|console)$")
PRINTED = "printed"
VARY = "<!-- numbers vary -->"
NUMBER = re.compile(r"[-+−]?\d[\d.,]*")
# What takes a download or minutes; tests of the commands themselves are in tests/cli.
NOT_HERE = ("data get", "pretrain", "rescue runs/", "bench run", "demo")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_python = PythonEvaluator()


def pages() -> list[Path]:
    """Every page with code, but the integrations', which need the libraries they are about."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [
        page
        for page in found
        if "integrations" not in page.parts and RUN.search(page.read_text(encoding="utf-8"))
    ]


def examples(page: Path) -> Iterator[Example]:
    """The blocks of a page that are to be run, in order."""
    sybil = Sybil(
        parsers=[
            CodeBlockParser(language="python", evaluator=_run_python),
            CodeBlockParser(language="text", evaluator=_check_text),
            CodeBlockParser(language="console", evaluator=_run_console),
            SkipParser(),
        ],
        path=str(page.parent),
        pattern=page.name,
    )
    document: Document = sybil.parse(page)
    return iter(document.examples())


def _run_python(example: Example) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        _python(example)
    example.namespace[PRINTED] = out.getvalue()


def _check_text(example: Example) -> str | None:
    printed = example.namespace.pop(PRINTED, None)
    if printed is None:  # a picture in letters, not an output
        return None
    return _difference(example, str(example.parsed), printed)


def _run_console(example: Example) -> str | None:
    for command, expected in _commands(str(example.parsed)):
        out = io.StringIO()
        words = shlex.split(command, comments=True)[1:]
        arguments = [path for word in words for path in sorted(glob.glob(word)) or [word]]
        with contextlib.redirect_stdout(out):
            code = _exit_code(arguments)
        allowed = (0, 1) if "--fail-if" in command else (0,)
        if code not in allowed:
            return f"{command}\nended with exit code {code}"
        if expected and (wrong := _difference(example, expected, out.getvalue())):
            return f"{command}\n{wrong}"
    return None


def _commands(block: str) -> Iterator[tuple[str, str]]:
    """Each command with the output that stands under it."""
    for part in block.removeprefix("$ ").split("\n$ "):
        command, _, expected = part.partition("\n")
        words = command.removeprefix("everyclass ")
        if words != command and not words.startswith(NOT_HERE):
            yield command, expected


def _exit_code(arguments: list[str]) -> int:
    try:
        main(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _difference(example: Example, expected: str, printed: str) -> str | None:
    want, got = expected.strip() + "\n", printed.strip() + "\n"
    if VARY in example.document.text:
        want, got = NUMBER.sub("#", want), NUMBER.sub("#", got)
    if doctest.OutputChecker().check_output(want, got, FLAGS):
        return None
    return f"the page says\n{expected}\nand this is printed:\n{printed}"
