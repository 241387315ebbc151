"""What messages teach can be done: every option that they name is one of the command's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from everyclass import Adjustment, EvaluationState, Predictions, artifacts
from everyclass.artifacts import save_safetensors
from everyclass.cli.app import app

Command = Callable[..., Any]
# Files of the room that read predictions, and what is said of their classes beside them.
READERS = (
    "_prediction_arrays",
    "_prediction_sources",
    "_prediction_tables",
    "_table_columns",
    "_class_files",
    "prediction_stream",
    "predictions",
)
# Commands that read predictions, by these files.
COMMANDS = ("evaluate", "compare", "diagnose", "report", "adjust")
LABELS = np.repeat([0, 1, 2], 20)
SAID = np.where(np.arange(60) % 4, LABELS, (LABELS + 1) % 3)


def taught() -> set[str]:
    """The options that the readers' messages name, as in ``scores (--scores)``."""
    room = Path(artifacts.__file__).parent
    texts = [(room / f"{name}.py").read_text(encoding="utf-8") for name in READERS]
    return set(re.findall(r"\((--[a-z-]+)\)", "".join(texts)))


def test_messages_name_options() -> None:
    assert {"--scores", "--labels", "--labels-column", "--class-names"} <= taught()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_in_a_reader_s_message_is_there(command: str) -> None:
    known = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    options = {name for parameter in known.params for name in parameter.opts}
    assert taught() <= options


# --- and they do what they say --------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Arrays without labels, and tables whose columns are called otherwise."""
    monkeypatch.chdir(tmp_path)
    logits = 3 * np.eye(3)[SAID] + np.random.default_rng(0).normal(size=(60, 3))
    for name in ("val", "test"):
        rows = [f"{c},{','.join(map(str, row))}" for c, row in zip(LABELS, logits, strict=True)]
        Path(f"{name}.csv").write_text("\n".join(["truth,cat,dog,lynx", *rows]) + "\n")
        np.save(f"{name}.npy", logits)
    np.save("labels.npy", LABELS)
    Path("names.txt").write_text("cat\ndog\nlynx\n")
    return tmp_path


def test_compare_arrays_without_labels(everyclass: Command, folder: Path) -> None:
    np.save("a.npy", SAID)
    np.save("b.npy", LABELS)
    everyclass("compare", "a.npy", "b.npy").refused("(--labels)")
    done = everyclass(
        "compare", "a.npy", "b.npy", "--labels", "labels.npy", "--class-names", "names.txt"
    )
    assert done.code == 0, done.err
    assert "\nlynx " in done.out
    Predictions(LABELS, predicted=SAID).save("c.npz")  # which has labels of its own
    done = everyclass("compare", "c.npz", "b.npy", "--labels", "labels.npy")
    assert done.code == 0, done.err
    everyclass("compare", "c.npz", "c.npz", "--labels", "labels.npy").refused("given twice")
    Predictions(LABELS, predicted=LABELS).save("d.npz")
    done = everyclass("compare", "c.npz", "d.npz", "--labels", "labels.npy")
    done.refused("c.npz has labels of its own; leave labels (--labels) out.")


def test_adjust_tables_with_columns_of_other_names(everyclass: Command, folder: Path) -> None:
    command = ("adjust", "val.csv", "test.csv", "--out", "out.NPZ", "--method", "bias", "-q")
    everyclass(*command).refused("(--labels-column)")
    everyclass(*command, "--labels-column", "truth").refused("(--scores)")
    done = everyclass(*command, "--labels-column", "truth", "--scores", "logits")
    assert done.code == 0, done.err
    assert Predictions.load("out.NPZ").class_names == ("cat", "dog", "lynx")
    assert Adjustment.load("out.adjustment.json").method == "bias"


def test_adjust_arrays_with_labels_for_each(everyclass: Command, folder: Path) -> None:
    command = ("adjust", "val.npy", "test.npy", "--scores", "logits", "--out", "out.npz", "-q")
    everyclass(*command).refused("val.npy has no array 'labels'", "(--labels)")
    once = everyclass(*command, "--labels", "labels.npy")
    once.refused("once for each file without true classes", "val.npy, test.npy; got 1.")
    np.save("others.npy", LABELS[::-1])
    done = everyclass(*command, "--labels", "labels.npy", "--labels", "others.npy")
    assert done.code == 0, done.err
    assert Predictions.load("out.npz").labels.tolist() == LABELS[::-1].tolist()
    Predictions(LABELS, np.load("val.npy")).save("val.npz")  # which has labels of its own
    done = everyclass("adjust", "val.npz", *command[2:], "--overwrite", "--labels", "labels.npy")
    assert done.code == 0, done.err
    assert Predictions.load("out.npz").labels.tolist() == LABELS.tolist()


# --- which file the labels go with ----------------------------------------------------------------


def states_and_arrays() -> None:
    state = EvaluationState()
    state.update(labels=LABELS, predicted=SAID)
    state.save("st.npz")
    state.evaluation().save("said.json")
    np.save("bare.npy", SAID)
    Predictions(LABELS, predicted=LABELS).save("with.npz")
    save_safetensors("bare.safetensors", {"predicted": SAID}, {})


def test_labels_go_with_tensors_that_have_none(everyclass: Command, folder: Path) -> None:
    states_and_arrays()
    labels = ("--labels", "labels.npy")
    done = everyclass("compare", "bare.safetensors", "with.npz", *labels)
    assert done.code == 0, done.err
    done = everyclass("report", "bare.safetensors", "with.npz", *labels, "--out", "r.html", "-q")
    assert done.code == 0, done.err


def test_labels_go_with_no_counts(everyclass: Command, folder: Path) -> None:
    states_and_arrays()
    labels = ("--labels", "labels.npy")
    report = ("report", "--out", "r.html", "-q", *labels)
    everyclass(*report, "st.npz", "with.npz").refused("with.npz has labels of its own")
    for file in ("st.npz", "said.json"):
        everyclass(*report, file).refused(f"{file} holds none of these; leave --labels out")
    everyclass("evaluate", "st.npz", *labels).refused("st.npz holds none of these")
    assert not Path("r.html").exists()
    done = everyclass(*report, "st.npz", "bare.npy")
    assert done.code == 0, done.err
    page = Path("r.html").read_text(encoding="utf-8").replace("<wbr>", "")
    assert "files.bare.labels" in page
    assert "files.st.labels" not in page


def test_labels_go_with_a_baseline_that_has_none(everyclass: Command, folder: Path) -> None:
    states_and_arrays()
    gate = ("--fail-if", "drop(bare.npy) > 0.9", "--labels", "labels.npy")
    for file in ("with.npz", "st.npz", "bare.npy"):
        done = everyclass("evaluate", file, *gate)
        assert done.code == 0, done.err
        done = everyclass("report", file, "--out", "r.md", "-q", *gate)
        assert done.code == 0, done.err
    everyclass("evaluate", "with.npz", "with.npz", *gate).refused("goes with one file")


def test_adjust_with_labels_for_nothing(everyclass: Command, folder: Path) -> None:
    Predictions(LABELS, np.load("val.npy")).save("val.npz")
    command = ("adjust", "val.npz", "val.npz", "--out", "out.npz", "-q")
    for times in (1, 2, 3):
        done = everyclass(*command, *(("--labels", "labels.npy") * times))
        done.refused("val.npz has labels of its own; leave labels (--labels) out.")
