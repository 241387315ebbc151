"""A training that is killed at any moment and started again ends as one left alone, in every file.

Of a network with batch norm, and of the methods that carry most besides their network.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from everyclass import get_method
from everyclass.artifacts import load_safetensors
from everyclass.training import Recipe
from forked import CONTEXT
from started_by_hand import by_hand

EPOCHS = 8
BACKBONES = {"ce": "resnet32", "paco": "mlp", "proco": "mlp"}


def asked_for(method: str, folder: Path) -> list[str]:
    return [
        "pretrain", method, "--data", "digits-lt", "--backbone", BACKBONES[method], "--precision",
        "fp32", "--epochs", str(EPOCHS), "--out", str(folder), "-q",
    ]  # fmt: skip


def started(method: str, folder: Path) -> BaseProcess:
    process = CONTEXT.Process(target=by_hand, args=(asked_for(method, folder),))
    process.start()
    return process


def wait_until(ready: Callable[[], bool], process: BaseProcess) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert process.exitcode is None, f"it ended with {process.exitcode}"
        assert time.monotonic() < deadline, "no progress"
        time.sleep(0.0005)  # a checkpoint takes some milliseconds to be written


def kill(process: BaseProcess) -> None:
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def epochs_logged(folder: Path) -> int:
    """That of the last one is not kept yet, perhaps."""
    log = folder / "log.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


def is_being_kept(folder: Path, process: BaseProcess) -> bool:
    """Whether a checkpoint is half written; what others left does not count."""
    return any(
        name.startswith(".checkpoint.safetensors.tmp-") and f"-{process.pid}-" in name
        for name in (os.listdir(folder) if folder.exists() else ())
    )


def logged(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def content(folder: Path) -> dict[str, Any]:
    """Every file and every tensor, but for dates, seconds and memory."""
    found: dict[str, Any] = {file.name: file.read_bytes() for file in folder.iterdir()}
    tensors, plain = load_safetensors(folder / "checkpoint.safetensors", "checkpoint")
    found["checkpoint.safetensors"] = plain  # whose order in the file is drawn
    found |= {name: (array.dtype, array.shape, array.tobytes()) for name, array in tensors.items()}
    found["log.jsonl"] = [{**record, "seconds": 0} for record in logged(folder)]
    result = json.loads(found["result.json"])
    found["result.json"] = {**result, "made": "", "seconds": 0, "peak_memory_bytes": 0}
    return found


@pytest.mark.parametrize("method", BACKBONES)
def test_killed_at_any_moment_it_ends_with_the_same_files(method: str, tmp_path: Path) -> None:
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    undisturbed = started(method, alone)
    undisturbed.join(120)
    assert undisturbed.exitcode == 0

    luck = random.Random(method)

    def kill_in_the_middle_of_an_epoch(after: int) -> None:
        process = started(method, killed)
        wait_until(lambda: epochs_logged(killed) > after, process)
        time.sleep(luck.random() * logged(killed)[-1]["seconds"])
        kill(process)

    def kill_while_a_checkpoint_is_written() -> bool:
        process = started(method, killed)
        wait_until(lambda: is_being_kept(killed, process), process)
        kill(process)
        return is_being_kept(killed, process)

    kill_in_the_middle_of_an_epoch(after=1)
    if not kill_while_a_checkpoint_is_written():  # it takes milliseconds, and may be missed
        kill_while_a_checkpoint_is_written()
    kill_in_the_middle_of_an_epoch(after=5)  # when PaCo's queue has been once around
    if method == "ce":  # a process of its own from the start, in which sets have another order
        command = [sys.executable, "-m", "everyclass", *asked_for(method, killed)]
        subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300, check=True)
    else:
        last = started(method, killed)
        last.join(120)
        assert last.exitcode == 0

    found, expected = content(killed), content(alone)
    names = sorted(found.keys() | expected.keys())
    assert not [name for name in names if found.get(name) != expected.get(name)]
    recipe = get_method(method)
    assert isinstance(recipe, Recipe)
    for part in recipe.learner.carried:
        assert any(name.startswith(f"/{part}/") for name in names)
