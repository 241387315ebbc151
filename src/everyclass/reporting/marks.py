"""What tells a report from any other file, so that nothing else is replaced by one."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["COMMENT_MARK", "PAGE_MARK", "holds_report"]

PAGE_MARK = '<p class="brand"><b>everyclass</b>'  # as report.html.j2 has it
COMMENT_MARK = "<!-- everyclass report -->"  # the first line
_LOOKED_AT = 1 << 16  # bytes; in a page the styles come first
_AT_THE_END = 256  # bytes, where earlier versions wrote the mark of a comment


def holds_report(path: str | Path) -> bool:
    """Whether a file is a report, as a page or as a comment.

    Example:
        >>> import tempfile
        >>> mine = Path(tempfile.mkdtemp()) / "mine.html"
        >>> mine.write_text("<h1>Mine</h1>")
        13
        >>> holds_report(mine)
        False
    """
    try:
        with open(path, "rb") as stream:
            start = stream.read(_LOOKED_AT)
            stream.seek(-min(_AT_THE_END, stream.seek(0, os.SEEK_END)), os.SEEK_END)
            end = stream.read().rstrip()
    except OSError:
        return False
    mark = COMMENT_MARK.encode()
    return PAGE_MARK.encode() in start or start.startswith(mark) or end.endswith(mark)
