"""`everyclass diagnose` on files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everyclass import Diagnosis, Predictions
from everyclass.metrics import diagnose_predictions

Command = Callable[..., Any]
LABELS = np.repeat([0, 1, 2], 60)
PREDICTED = np.where(LABELS == 2, np.arange(180) % 2 + 1, LABELS)
PREDICTED[60:90] = 2


@pytest.fixture
def said(tmp_path: Path) -> Path:
    Predictions(LABELS, predicted=PREDICTED, class_names=("cat", "dog", "lynx")).save(
        tmp_path / "said.npz"
    )
    return tmp_path / "said.npz"


def test_it_prints_the_worst_first(everyclass: Command, said: Path) -> None:
    done = everyclass("diagnose", said, "--worst", "2")
    assert done.code == 0, done.err
    assert done.err == ""
    assert done.out.rstrip() == str(diagnose_predictions(Predictions.load(said), worst=2))
    assert "lynx: a confusable pair" in done.out
    assert "'dog' takes 30 of its 30 errors" in done.out


def test_json_and_file_are_the_diagnosis(everyclass: Command, said: Path, tmp_path: Path) -> None:
    done = everyclass("diagnose", said, "--json", "--out", tmp_path / "why.json")
    assert done.code == 0, done.err
    expected = diagnose_predictions(Predictions.load(said))
    assert Diagnosis.from_dict(json.loads(done.out)) == expected
    assert Diagnosis.load(tmp_path / "why.json") == expected


def test_counts_and_names_come_from_files(everyclass: Command, tmp_path: Path) -> None:
    (tmp_path / "said.csv").write_text(
        "labels,predicted\n" + "\n".join(f"{y},{p}" for y, p in zip(LABELS, PREDICTED, strict=True))
    )
    (tmp_path / "names.txt").write_text("cat\ndog\nlynx\n")
    (tmp_path / "counts.csv").write_text("class,count\ncat,500\ndog,400\nlynx,7\n")
    done = everyclass(
        "diagnose", tmp_path / "said.csv", "--counts", tmp_path / "counts.csv",
        "--class-names", tmp_path / "names.txt",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "lynx: too few training images" in done.out
    assert "7 training images where the median class has 450" in done.out


def test_features_and_a_head_are_enough(everyclass: Command, files: Path) -> None:
    done = everyclass(
        "diagnose", "--train", files / "train.npz", "--head", files / "head.npz",
        "--test-features", files / "test.npz", "--val", files / "val.npz", "-q", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    found = Diagnosis.from_dict(json.loads(done.out))
    assert (found.held_out, found.unknown, len(found.classes)) == ("validation data", (), 4)


def test_bad_input_is_refused(everyclass: Command, files: Path, said: Path) -> None:
    everyclass("diagnose").refused("needs predictions, or test features")
    everyclass("diagnose", said, "--scores", "odds").refused(
        "scores (--scores) must be logits or probs"
    )
    everyclass("diagnose", said, "--head", files / "head.npz").refused("--head goes with --train")
    everyclass("diagnose", said, "--val", files / "val.npz").refused("give both")
    everyclass("diagnose", files / "none.npz").refused("There is no", "none.npz")
    everyclass("diagnose", said, "--test-features", files / "test.npz").refused("know")
    np.savez(files / "narrow.npz", weight=np.ones((4, 2)), bias=np.zeros(4))
    everyclass("diagnose", "--train", files / "train.npz", "--head", files / "narrow.npz").refused(
        "narrow.npz does not fit the features", "width"
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--counts", "none.csv"),
        ("--class-names", "none.txt"),
        ("--scores", "bananas"),
        ("--labels", "none.npy"),
        ("--labels-column", "truth"),
        ("--predicted-column", "said"),
    ],
)
def test_what_goes_with_predictions_is_not_dropped_without(
    everyclass: Command, files: Path, option: str, value: str
) -> None:
    features = ("--test-features", files / "test.npz", "--train", files / "train.npz")
    done = everyclass("diagnose", *features, option, value)
    done.refused(f"{option} goes with predictions", "name a file of predictions, or leave")


def test_it_needs_no_torch_for_predictions(said: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys\nfrom everyclass.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "sys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "diagnose", str(said)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_only_a_diagnosis_is_replaced_by_one(
    everyclass: Command, said: Path, tmp_path: Path
) -> None:
    out = tmp_path / "why.json"
    for _ in range(2):
        assert everyclass("diagnose", said, "--out", out).code == 0
    for mine in ('{"precious": 1}', '{"cat": 5, "unknown": 7}'):
        out.write_text(mine)
        everyclass("diagnose", said, "--out", out).refused("why.json is there and is no diagnosis")
        assert out.read_text() == mine
