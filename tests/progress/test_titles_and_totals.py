"""What progress shows of names from outside, and of more work than was expected."""

from __future__ import annotations

import pytest

from everyclass import progress as module
from everyclass.progress import progress


def test_more_than_the_total_is_a_larger_total(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with progress("reading", 10, "images") as task:
        now[0] += 12
        task.advance(12)
        for _ in range(20):  # which are no line each
            now[0] += 1
            task.advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "reading: 12/12 images, 1/s, 0:00 left"
    assert len(lines) == 3


@pytest.mark.parametrize("terminal", [False, True])
def test_a_name_of_a_file_is_text(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither markup of rich nor what steers a terminal."""
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setenv("FORCE_COLOR", "1" if terminal else "")
    monkeypatch.setenv("COLUMNS", "200")
    with progress("preds[red].npz\x1b[2J", 1, "images") as task:
        task.advance(1, "epoch [b]1[/b]")
    said = capsys.readouterr().err
    assert "preds[red].npz\\x1b[2J" in said
    assert "epoch [b]1[/b]" in said
