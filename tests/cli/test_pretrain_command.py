"""`everyclass pretrain`: stopped and killed at any moment, a training ends the same."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from everyclass import DataConfig, Run, get_method, pretrain
from everyclass.training import load_checkpoint

Command = Callable[..., Any]
EPOCHS = 24
SETTINGS = ("pretrain", "ce", "--data", "digits-lt", "--imbalance-ratio", "20", "--precision",
            "fp32", "-q")  # fmt: skip


def arguments(folder: Path, epochs: int = EPOCHS) -> tuple[Any, ...]:
    return (*SETTINGS, "--epochs", epochs, "--out", folder)


def logged_epochs(folder: Path) -> list[int]:
    try:
        return [json.loads(x)["epoch"] for x in (folder / "log.jsonl").read_text().splitlines()]
    except FileNotFoundError:
        return []


def wait_for_epoch(folder: Path, epoch: int, process: Any) -> None:
    deadline = time.monotonic() + 120
    while len(logged_epochs(folder)) < epoch:
        assert time.monotonic() < deadline, "no progress"
        assert process.exitcode is None, f"it ended with {process.exitcode}"
        time.sleep(0.002)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    data = DataConfig("digits-lt", imbalance_ratio=20.0)
    pretrain(get_method("ce"), data, epochs=EPOCHS, precision="fp32", out=folder)
    return folder


def assert_same(folder: Path, undisturbed: Path) -> None:
    ours, theirs = (
        load_checkpoint(f / "checkpoint.safetensors")["model"] for f in (folder, undisturbed)
    )
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert logged_epochs(folder) == list(range(1, EPOCHS + 1))
    ours, theirs = (Run.open(f).result for f in (folder, undisturbed))
    assert ours is not None
    assert theirs is not None
    assert ours["test"] == theirs["test"]
    assert (folder / "predictions.npz").read_bytes() == (
        undisturbed / "predictions.npz"
    ).read_bytes()


def test_killed_at_random_moments_it_ends_bit_for_bit_the_same(
    start: Command, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    chance = random.Random(0)
    for epoch in (1, 9, 17):  # a few milliseconds after each of these is logged
        process = start(*arguments(folder))
        wait_for_epoch(folder, epoch, process)
        time.sleep(chance.random() * 0.03)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert not (folder / "result.json").exists()
    process = start(*arguments(folder))
    process.join(120)
    assert process.exitcode == 0
    assert_same(folder, undisturbed)


def test_ctrl_c_says_so_and_the_same_command_goes_on(
    everyclass: Command, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "everyclass", *map(str, arguments(folder))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        # Tests may run where SIGINT is ignored, as in the background of a shell.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    process.exitcode = None  # type: ignore[attr-defined]
    wait_for_epoch(folder, 3, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert err == "Interrupted; what was finished is kept.\n"
    assert not [p for p in folder.iterdir() if ".tmp-" in p.name]  # nothing half-written
    done = load_checkpoint(folder / "checkpoint.safetensors")["epoch"]
    assert 1 <= done < EPOCHS
    assert everyclass(*arguments(folder)).code == 0
    assert_same(folder, undisturbed)


def test_what_it_prints(everyclass: Command, undisturbed: Path) -> None:
    """A second call on a finished run prints the same, and does nothing."""
    before = {p.name: p.stat().st_mtime_ns for p in undisturbed.iterdir()}
    done = everyclass(*arguments(undisturbed))
    assert done.code == 0
    assert done.err == ""
    result = Run.open(undisturbed).result
    assert result is not None
    assert f"{result['test']['harmonic_mean']:6.1%}" in done.out
    assert f"Next: everyclass rescue {undisturbed}" in done.out
    said = json.loads(everyclass(*arguments(undisturbed), "--json").out)
    assert said == {"run": str(undisturbed), **result}
    assert {p.name: p.stat().st_mtime_ns for p in undisturbed.iterdir()} == before


def test_progress_goes_to_stderr(everyclass: Command, tmp_path: Path) -> None:
    done = everyclass(*arguments(tmp_path / "run", 1)[:-4], "--epochs", 1, "--out", tmp_path / "r")
    assert done.err == ""  # -q
    loud = [a for a in arguments(tmp_path / "run", 1) if a != "-q"]
    done = everyclass(*loud, "--json")
    assert "training: 405/405 images, " in done.err
    assert "epoch 1/1" in done.err
    json.loads(done.out)


def test_a_second_process_in_the_same_folder_is_refused(
    everyclass: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    everyclass(*arguments(folder, epochs=1))
    (folder / "result.json").unlink()
    with Run.open(folder).held():
        everyclass(*arguments(folder, epochs=1)).refused("Another process is working in", "--out")
    assert not (folder / "result.json").exists()
    everyclass(*arguments(folder, epochs=1))
    assert (folder / "result.json").exists()


def test_what_was_refused_does_not_stand_in_the_way_of_the_corrected_command(
    everyclass: Command, tmp_path: Path
) -> None:
    command = ("pretrain", "ce", "--data", "digits-lt", "--epochs", 1, "--out", tmp_path / "run")
    everyclass(*command, "--backbone", "no_such_network").refused("no_such_network")
    everyclass(*command)
    assert (tmp_path / "run" / "result.json").is_file()


def test_another_configuration_is_refused(everyclass: Command, undisturbed: Path) -> None:
    everyclass(*arguments(undisturbed, 41)).refused(
        "another configuration", "recipe.schedule.epochs: 24 there, 41 asked", "--out"
    )
    everyclass(*arguments(undisturbed), "--seed", 1).refused("seed: 0 there, 1 asked")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--data", "cifar1000-lt"), ("no data set 'cifar1000-lt'", "cifar100-lt", "digits-lt")),
        (("--imbalance-ratio", "0.5"), ("imbalance ratio must be at least 1",)),
        (("--imbalance-ratio", "5000"), ("leaves a class without images",)),
        (("--profile", "linear"), ("'exp' or 'step'", "'linear'")),
        (("--val", "some"), ("'none' or 'rest'", "'some'")),
        (("--epochs", "0"), ("epochs must be 1 or more; got 0",)),
        (("--precision", "fp8"), ("auto, fp32 or bf16", "'fp8'")),
        (("--device", "tpu9"), ("device 'tpu9' cannot be used here", "auto")),
    ],
)
def test_what_cannot_be_trained_leaves_nothing(
    options: tuple[str, ...],
    words: tuple[str, ...],
    everyclass: Command,
    tmp_path: Path,
) -> None:
    everyclass(*SETTINGS, *options, "--out", tmp_path / "run").refused(*words)
    assert not list(tmp_path.iterdir())


def test_data_that_are_not_there_say_where_they_were_looked_for(
    everyclass: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERYCLASS_DATA", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    asked = (
        "pretrain", "ce", "--data", "cifar100-lt", "--data-root", tmp_path / "named", "--out",
        tmp_path / "run",
    )  # fmt: skip
    everyclass(*asked).refused(f"There is no folder {tmp_path / 'named'} to look for data in")
    assert not list(tmp_path.iterdir())
    (tmp_path / "named").mkdir()
    done = everyclass(*asked)
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("Error: ")
    assert "everyclass data get cifar100" in done.err
    for place in ("named", "elsewhere", "cache"):
        assert str(tmp_path / place) in done.err
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == [tmp_path / "named"]


def test_an_unknown_method_suggests_the_nearest(everyclass: Command, tmp_path: Path) -> None:
    done = everyclass("pretrain", "cee", "--data", "digits-lt", "--out", tmp_path / "run")
    done.refused("no method 'cee'", "did you mean 'ce'?")


def test_a_negative_seed_is_a_usage_error(everyclass: Command, tmp_path: Path) -> None:
    done = everyclass(*arguments(tmp_path / "run"), "--seed", "-1")
    assert done.code == 2
    assert "--seed" in done.err
    assert "Traceback" not in done.err


def test_a_full_disk_is_a_failed_run_that_can_go_on(
    everyclass: Command, small_disk: Command, undisturbed: Path, tmp_path: Path
) -> None:
    disk = small_disk("300k")
    for name in ("config.json", "log.jsonl", "checkpoint.safetensors"):
        shutil.copy(undisturbed / name, tmp_path / name)
    (disk / "filler").write_bytes(bytes(120_000))
    everyclass(*arguments(disk / "run")).refused("Cannot write", "the disk is full", code=1)
    assert not [p for p in (disk / "run").iterdir() if ".tmp-" in p.name]
    (disk / "filler").unlink()
    assert everyclass(*arguments(disk / "run")).code == 0
    assert_same(disk / "run", undisturbed)


def test_a_damaged_checkpoint_is_refused(
    everyclass: Command, undisturbed: Path, tmp_path: Path
) -> None:
    for name in ("config.json", "log.jsonl"):
        shutil.copy(undisturbed / name, tmp_path / name)
    whole = (undisturbed / "checkpoint.safetensors").read_bytes()
    (tmp_path / "checkpoint.safetensors").write_bytes(whole[:1000])
    everyclass(*arguments(tmp_path)).refused("checkpoint.safetensors", "not a readable checkpoint")
