"""`everyclass export`: the last layer that a rescue left, for another runtime."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from everyclass import Features, Head, Retraining, rescue
from everyclass.cli import main
from everyclass.errors import FileFormatError, InputError, MissingFileError
from everyclass.stages import load_classifier


@pytest.fixture(scope="module")
def rescued(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("export") / "rescued"
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [80, 20, 8])
    train = Features(generator.normal(size=(108, 4)) + 2 * np.eye(3, 4)[labels], labels)
    result = rescue(train, retraining=Retraining(penalty=0.01))
    result.save(folder)
    return folder, result, train.features


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    said = capsys.readouterr()
    return int(caught.value.code or 0), said.out, said.err


@pytest.mark.parametrize("which", ["old", "retrained", "ensemble"])
def test_the_folder_gives_back_each_classifier(which: Any, rescued: Any) -> None:
    folder, result, features = rescued
    expected = result.classifier(which).logits(features)
    np.testing.assert_array_equal(load_classifier(folder, which).logits(features), expected)
    default = load_classifier(folder).logits(features)
    np.testing.assert_array_equal(default, result.classifier().logits(features))


def test_a_program(rescued: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, result, features = rescued
    out = tmp_path / "head.pt2"
    code, said, _ = run(capsys, "export", folder, out, "--which", "ensemble", "--json")
    assert code == 0
    assert json.loads(said)["classifier"] == "ensemble"
    program = torch.export.load(out).module()
    logits = program(torch.from_numpy(features.astype(np.float32))).detach()
    np.testing.assert_allclose(logits, result.ensemble.logits(features), atol=1e-5)
    code, _, error = run(capsys, "export", folder, out)
    assert code == 2
    assert "--overwrite" in error


def test_weights(rescued: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.numpy import load_file

    folder, result, _ = rescued
    code, said, _ = run(
        capsys, "export", folder, tmp_path / "w.safetensors", "--which", "retrained"
    )
    assert (code, "from 4 features to logits of 3 classes" in said) == (0, True)
    assert np.array_equal(load_file(tmp_path / "w.safetensors")["weight"], result.retrained.weight)
    spelt = tmp_path / "W.SAFETENSORS"  # as Windows may
    assert run(capsys, "export", folder, spelt, "--which", "old")[0] == 0
    assert np.array_equal(load_file(spelt)["weight"], result.old.weight)


def test_the_weights_of_a_cosine_head_stay_a_cosine_head(
    rescued: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    features, labels = rescued[2], np.repeat([0, 1, 2], [80, 20, 8])
    head = Head(np.eye(3, 4), np.zeros(3), "cosine", 16.0)
    folder, out = tmp_path / "rescued", tmp_path / "head.safetensors"
    rescue(Features(features, labels, head), retraining=Retraining(penalty=0.01)).save(folder)
    code, said, _ = run(capsys, "export", folder, out, "--which", "old")
    assert (code, "the cosine head" in said, "read back it differs by 0" in said) == (0, True, True)
    again = Head.load(out)
    assert (again.kind, again.scale) == ("cosine", 16.0)
    np.testing.assert_array_equal(again.logits(features), head.logits(features))


def test_weights_of_an_ensemble_are_refused(
    rescued: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "both.safetensors"
    code, _, error = run(capsys, "export", rescued[0], out, "--which", "ensemble")
    assert (code, out.exists()) == (2, False)
    assert "an ensemble is two with their temperatures; write it as .onnx or .pt2" in error


def test_bad_input(rescued: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = rescued[0]
    code, _, error = run(capsys, "export", folder, tmp_path / "head.pkl")
    assert code == 2
    assert "has to end in .onnx, .pt2 or .safetensors" in error
    with pytest.raises(InputError, match="There is no classifier 'newest'"):
        load_classifier(folder, "newest")  # type: ignore[arg-type]
    with pytest.raises(MissingFileError):
        load_classifier(tmp_path)
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    said = json.loads((damaged / "evaluation.json").read_text())
    said["verdict"]["use"] = "newest"
    for wrong in ({}, said):
        (damaged / "evaluation.json").write_text(json.dumps(wrong))
        with pytest.raises(FileFormatError, match="has no verdict and temperatures"):
            load_classifier(damaged)
