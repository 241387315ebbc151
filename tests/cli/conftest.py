"""The command in this process, in processes that can be killed, and files to give it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from everyclass.cli import main
from forked import CONTEXT
from started_by_hand import by_hand

torch.set_num_threads(1)


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    def refused(self, *words: str, code: int = 2) -> None:
        """Check that it ended with one clear sentence, and nothing else."""
        assert self.code == code, self.err
        assert self.out == ""
        (line,) = self.err.splitlines()
        assert line.startswith("Error: ")
        assert "Traceback" not in line
        assert "defect" not in line
        for word in words:
            assert word in line, line


@pytest.fixture
def everyclass(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run the command in this process: ``everyclass("evaluate", path)``."""

    def run(*arguments: Any) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        code = ended.value.code
        return Done(0 if code is None else int(code), out, err)

    return run


# --- features whose rescue is quick ---------------------------------------------------------------

CLASSES, WIDTH = 4, 6


def draw(counts: list[int], seed: int) -> dict[str, np.ndarray]:
    """Features and labels around one mean per class."""
    generator = np.random.default_rng(seed)
    means = np.random.default_rng(0).normal(size=(CLASSES, WIDTH))
    labels = generator.permutation(np.repeat(np.arange(CLASSES), counts))
    features = means[labels] + generator.normal(size=(len(labels), WIDTH))
    return {"features": features.astype(np.float32), "labels": labels}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with train.npz, val.npz, test.npz and head.npz: the head has a prior."""
    counts = [60, 30, 12, 5]
    np.savez(tmp_path / "train.npz", **draw(counts, 1))
    np.savez(tmp_path / "val.npz", **draw([25] * 4, 2))
    np.savez(tmp_path / "test.npz", **draw([40] * 4, 3))
    means = np.random.default_rng(0).normal(size=(CLASSES, WIDTH)).astype(np.float32)
    bias = (np.log(np.array(counts) / sum(counts)) - 0.5 * (means**2).sum(axis=1)).astype("f4")
    np.savez(tmp_path / "head.npz", weight=means, bias=bias)
    return tmp_path


# --- processes ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[..., Any]]:
    """Start the command in a process of its own, which costs no import: ``start("demo")``.

    A server that has imported everything is forked for each; it is a real process to kill.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        started: list[Any] = []

        def run(*arguments: Any) -> Any:
            process = CONTEXT.Process(target=by_hand, args=([str(a) for a in arguments],))
            process.start()
            started.append(process)
            return process

        yield run
        for process in started:
            process.kill()
            process.join()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a disk of a given size, such as ``"64k"``; a test that cannot is skipped."""
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        place = tmp_path / f"disk-{len(mounted)}"
        place.mkdir()
        options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if not hasattr(os, "geteuid") or os.geteuid() != 0:
            pytest.skip("only root can mount a small disk")
        try:
            subprocess.run(["mount", *options], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no small disk can be mounted here: {error}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True, capture_output=True)
