"""Progress on stderr: lines where there is no terminal, a bar where there is one."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from everyclass import progress as module
from everyclass.progress import progress, silent


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now  # type: ignore[return-value]


def test_lines_every_ten_seconds_and_at_the_end(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("training", 1000, "images") as task:
        for _ in range(10):
            clock[0] += 4
            task.advance(100, "epoch 1/1")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "training: 300/1,000 images, 25/s, 0:28 left, epoch 1/1",
        "training: 600/1,000 images, 25/s, 0:16 left, epoch 1/1",
        "training: 900/1,000 images, 25/s, 0:04 left, epoch 1/1",
        "training: 1,000/1,000 images, 25/s, 0:00 left, epoch 1/1",
    ]


def test_a_resumed_task_counts_what_is_done_but_not_into_the_rate(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("training", 72_000_000, "images", done=36_000_000) as task:
        clock[0] += 10
        task.advance(100_000)
    assert capsys.readouterr().err == (
        "training: 36,100,000/72,000,000 images, 10,000/s, 59:50 left\n"
    )


def test_hours(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress("x", 1000, "rows") as task:
        clock[0] += 100
        task.advance(10)
    assert "2:45:00 left" in capsys.readouterr().err


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    with silent("x", 10, "rows") as task:
        task.advance(10, "done")
    assert capsys.readouterr() == ("", "")


BAR = """
from everyclass.progress import progress
with progress("training", 200, "images", done=50) as task:
    for _ in range(3):
        task.advance(50, "epoch 1/1")
print("result")
"""


@pytest.mark.parametrize("colour", [True, False])
def test_a_bar_in_a_terminal(colour: bool) -> None:
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    environment.pop("NO_COLOR", None)
    if not colour:
        environment["NO_COLOR"] = "1"
    process = subprocess.Popen(
        [sys.executable, "-c", BAR], stderr=slave, stdout=subprocess.PIPE, env=environment
    )
    os.close(slave)
    shown = b""
    try:
        while piece := os.read(master, 4096):
            shown += piece
    except OSError:  # Linux says so when the other side is closed
        pass
    os.close(master)
    assert process.stdout is not None
    assert process.stdout.read() == b"result\n"
    process.stdout.close()
    assert process.wait(60) == 0
    text = shown.decode()
    assert "training" in text
    assert "200/200" in text
    assert "epoch 1/1" in text
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-9]", text)) is colour
