"""A bench run that is killed at any moment and started again ends as one left alone."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from made_table import make_table

from everyclass.artifacts import load_safetensors, read_npz
from forked import CONTEXT

RECIPE = """
from dataclasses import replace
from everyclass.methods.ce import RECIPE as CE
from everyclass.training import Schedule
RECIPE = replace(CE, schedule=Schedule(epochs=16))
"""
SCRIPT = """
import sys
from made_table import make_table
make_table(sys.argv[1], sys.argv[2], 2)
"""


def started(recipe: Path, folder: Path) -> BaseProcess:
    process = CONTEXT.Process(target=make_table, args=(str(recipe), str(folder), 1))
    process.start()
    return process


def started_in_a_shell(recipe: Path, folder: Path, **more: Any) -> subprocess.Popen[bytes]:
    """With two jobs, which are processes of their own."""
    here = str(Path(__file__).parent)
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(recipe), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": here},
        **more,
    )


def epochs_done(folder: Path) -> int:
    logs = list(folder.glob("runs/*/log.jsonl"))
    return len(logs[0].read_text().splitlines()) if logs else 0


def killed_when(
    ready: Callable[[], bool],
    process: BaseProcess | subprocess.Popen[bytes],
    later: float = 0.0,
) -> None:
    deadline = time.monotonic() + 300
    while not ready():
        ended = process.exitcode if isinstance(process, BaseProcess) else process.poll()
        assert ended is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(later)
    process.kill()


def content(folder: Path) -> dict[str, Any]:
    """Every file, whatever form it has, but for dates, seconds and memory."""
    found: dict[str, Any] = {}
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        name = str(file.relative_to(folder))
        if file.suffix == ".safetensors":
            arrays, found[name] = load_safetensors(file, "checkpoint")
        elif file.suffix == ".npz":
            arrays = read_npz(file, "arrays")
            found[name] = undated(json.loads(str(arrays.pop("certificate", "0"))))
        else:
            found[name] = [undated(json.loads(text)) for text in texts(file)]
            continue
        found |= {f"{name}: {key}": (x.dtype, x.tobytes()) for key, x in arrays.items()}
    return found


def texts(file: Path) -> list[str]:
    text = file.read_text()
    return text.splitlines() if file.suffix == ".jsonl" else [text]


def undated(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    drawn = ("made", "seconds", "peak_memory_bytes")
    return {key: undated(item) for key, item in value.items() if key not in drawn}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "mine.py"
    path.write_text(RECIPE)
    return path


def test_killed_three_times_it_ends_the_same(recipe: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    undisturbed = started(recipe, whole)
    undisturbed.join(120)
    assert undisturbed.exitcode == 0
    luck = random.Random(0)
    for epoch in (2, 9):  # in the middle of one that follows
        process = started(recipe, killed)
        killed_when(
            lambda epoch=epoch: epochs_done(killed) >= epoch,  # type: ignore[misc]
            process,
            later=0.05 * luck.random(),
        )
        process.join()
    process = started(recipe, killed)
    killed_when(lambda: any(killed.glob("results/*/ce-s0.npz")), process)
    process.join()
    finishing = started(recipe, killed)
    finishing.join(120)
    assert finishing.exitcode == 0

    found, expected = content(killed), content(whole)
    names = found.keys() | expected.keys()
    assert not sorted(name for name in names if found.get(name) != expected.get(name))


@pytest.mark.skipif(sys.platform == "win32", reason="groups of processes are POSIX's")
def test_workers_end_with_their_parent_and_leave_nothing_held(recipe: Path, tmp_path: Path) -> None:
    long = tmp_path / "long.py"
    long.write_text(recipe.read_text().replace("epochs=16", "epochs=60"))
    # All of its processes have its output open, and are one group.
    with started_in_a_shell(
        long, tmp_path, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            killed_when(lambda: epochs_done(tmp_path) >= 2, process)
            process.communicate(timeout=60)  # until the last of them has ended
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert 2 <= epochs_done(tmp_path) < 60
    assert started_in_a_shell(long, tmp_path).wait(timeout=300) == 0
    assert len(list(tmp_path.glob("results/*/*.npz"))) == 4
