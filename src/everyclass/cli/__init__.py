"""The command line: parse, call one function, print."""

from __future__ import annotations

import io
import os
import sys
import traceback
import warnings
from typing import Any

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 bad input, 130 Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        # What the terminal's encoding lacks, such as "→" in ISO-8859-1, is printed as its escape:
        # in UTF-8 it would be garbage there, and a result must not be lost to a sign.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    if not debug:
        warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        from everyclass.cli.app import app

        app(arguments, prog_name="everyclass")
    except KeyboardInterrupt:
        code = 130
        message = "Interrupted; what was finished is kept."
    except BrokenPipeError:  # the reader went away, as `| head` does
        _drop_stdout()
        sys.exit(1)
    except Exception as error:
        from everyclass.errors import EveryclassError, first_line

        if debug:
            traceback.print_exc()
        if isinstance(error, EveryclassError):
            code, message = error.exit_code, f"Error: {error}"
        elif _is_out_of_memory(error):
            code = 1
            message = (
                f"Error: out of memory ({first_line(error)}); take less at once, with a smaller "
                "--batch-size or fewer --views where the command has them."
            )
        elif isinstance(error, OSError) and _while_printing(error):
            _drop_stdout()
            code = 1
            message = (
                f"Error: stdout cannot be written ({error.strerror}); free some space, or send it "
                "elsewhere."
            )
        else:
            code = 1
            kind = type(error).__name__
            message = f"Error: {kind}: {error} (a defect of everyclass; --debug shows where)"
    print(_printable(message), file=sys.stderr)
    sys.exit(code)


def _is_out_of_memory(error: Exception) -> bool:
    """Python's own error, or torch's, whose kind cannot be named before torch is imported."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def _while_printing(error: OSError) -> bool:
    """Whether it comes from what prints, as on a full disk; files have errors of our own."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals["__name__"]).partition(".")[0] in ("click", "typer", "rich")


def _drop_stdout() -> None:
    """Send nowhere what stdout holds: Python would complain again while shutting down."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_warning(message: Warning | str, *_: Any) -> None:
    """A warning as a sentence, without the line of code that gave it."""
    print(_printable(f"Warning: {message}"), file=sys.stderr)


def _printable(message: str) -> str:
    """A message in which a file's name or content cannot steer the terminal."""
    if message.isprintable():
        return message
    from everyclass.cli.printing import harmless

    return harmless(message)
