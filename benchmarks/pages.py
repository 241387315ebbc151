"""Tables that a script writes into a page of the manual, so that nobody types a number."""

from __future__ import annotations

from pathlib import Path


def into_page(path: Path, script: str, text: str) -> None:
    """Put a table between a script's marks in a page."""
    begin, end = f"<!-- {script} -->\n", f"\n<!-- end of {script} -->"
    before, rest = path.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    path.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")
