"""`everyclass rescue RUN` and `everyclass demo`: from images to a report."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from everyclass import DataConfig, Predictions, Run, evaluate, get_method, pretrain

Command = Callable[..., Any]
QUICK = ("--penalty", "0.001", "--views", "2", "--val", "rest", "-q")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits") / "run"
    pretrain(get_method("ce"), DataConfig("digits-lt", 20), epochs=6, out=folder)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run")  # type: ignore[no-any-return]


def content(folder: Path) -> dict[str, Any]:
    return {
        str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns)
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_a_run_is_rescued_into_its_own_folder(everyclass: Command, run: Path) -> None:
    before = content(run)
    done = everyclass("rescue", run, *QUICK)
    assert done.code == 0, done.err
    assert done.err == ""
    assert f"Report: {run / 'rescue' / 'report.html'}" in done.out
    said = json.loads((run / "rescue" / "evaluation.json").read_text())
    assert {"old", "retrained", "ensemble"} <= set(said)
    assert {k: v for k, v in content(run).items() if not k.startswith("rescue")} == before
    # Again: refused without the flag, replaced with it; elsewhere with --out.
    everyclass("rescue", run, *QUICK).refused("not empty", "--overwrite")
    (run / "rescue" / "bad-images.csv").write_text("path,reason\nearlier.jpg,no such file\n")
    assert everyclass("rescue", run, "--overwrite", *QUICK).code == 0
    assert not (run / "rescue" / "bad-images.csv").exists()
    assert everyclass("rescue", run, "--out", run.parent / "other", *QUICK).code == 0
    again = json.loads((run.parent / "other" / "evaluation.json").read_text())
    assert again["retrained"] == said["retrained"]


def test_an_unfinished_run_says_how_to_go_on(everyclass: Command, run: Path) -> None:
    (run / "result.json").unlink()
    everyclass("rescue", run, *QUICK).refused("not finished", "everyclass pretrain")
    assert not (run / "rescue").exists()


def test_a_damaged_configuration(everyclass: Command, run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    for damaged in ("{", "[]", json.dumps({**config, "data": None}), json.dumps({"format": 1})):
        (run / "config.json").write_text(damaged)
        everyclass("rescue", run, *QUICK).refused("config.json")


def test_ctrl_c_while_features_are_extracted(
    everyclass: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    assert everyclass("rescue", run, *QUICK).code == 0
    before = content(run)
    monkeypatch.setattr("everyclass.data.BatchAugmentation.plain", interrupted)
    done = everyclass("rescue", run, "--overwrite", *QUICK)
    assert (done.code, done.out) == (130, "")
    assert done.err == "Interrupted; what was finished is kept.\n"
    assert content(run) == before


def test_a_real_ctrl_c_and_a_real_kill(start: Command, everyclass: Command, run: Path) -> None:
    """Wherever it hits, the folder holds all of a rescue or nothing of it."""
    command = ("rescue", run, "--views", "2", "-q", "--overwrite")
    for sign in (signal.SIGINT, signal.SIGKILL):
        process = start(*command)
        while not (run / "rescue").exists():  # the work has begun
            assert process.exitcode is None
            time.sleep(0.001)
        time.sleep(0.05)
        os.kill(process.pid, sign)
        process.join(60)
        assert process.exitcode == (130 if sign == signal.SIGINT else -signal.SIGKILL)
        assert not [p for p in (run / "rescue").glob("*") if not p.name.startswith(".")]
        shutil.rmtree(run / "rescue", ignore_errors=True)
    assert everyclass("rescue", run, *QUICK).code == 0


# --- the demo -------------------------------------------------------------------------------------


def test_the_demo(everyclass: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept 1 and 6: a better harmonic mean and lowest recall, and a verdict that says so."""
    monkeypatch.chdir(tmp_path)
    done = everyclass("demo", "-q")
    assert done.code == 0, done.err
    assert done.err == ""
    assert "Report: everyclass-demo/report.html" in done.out
    folder = tmp_path / "everyclass-demo"
    assert (folder / "report.html").stat().st_size > 10_000
    said = json.loads((folder / "evaluation.json").read_text())
    use = said["verdict"]["use"]
    assert use in ("retrained", "ensemble")
    assert said[use]["harmonic_mean"] > said["old"]["harmonic_mean"] + 0.05
    assert said[use]["lowest_recall"] > said["old"]["lowest_recall"] + 0.1
    assert (
        evaluate(Predictions.load(folder / f"{use}.npz")).lowest_recall
        == (said[use]["lowest_recall"])
    )
    assert Run.open(folder / "training-s0").result is not None

    # Once more: nothing is trained again, its own output is replaced, and is the same.
    training = content(folder / "training-s0")
    again = everyclass("demo", "-q")
    assert again.code == 0, again.err
    assert again.out == done.out
    assert content(folder / "training-s0") == training
    assert json.loads((folder / "evaluation.json").read_text())["retrained"] == said["retrained"]


def test_the_demo_overwrites_nothing_of_somebody_else(everyclass: Command, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    everyclass("demo", "--out", tmp_path, "-q").refused(
        f"The output folder {tmp_path} is not empty; name another one with --out."
    )
    assert content(tmp_path).keys() == {"report.html"}
