"""ONNX, torch.export, safetensors: what is written says what the network says."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from everyclass import Head
from everyclass.errors import InputError, MissingLibraryError, OutputError, RunFailedError
from everyclass.integrations.export import export_onnx, export_program, save_head, save_weights
from everyclass.nn import CosineHead, EnsembleHead

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("ignore")]

INPUTS = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))


def a_head(seed: int, kind: Any = "linear") -> Head:
    draw = np.random.default_rng(seed).normal
    return Head(draw(size=(4, 8)), np.zeros(4), kind)


def network(last: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), last)


MODELS = {
    "linear": lambda: network(nn.Linear(8, 4)),
    "cosine": lambda: network(CosineHead(8, 4)),
    "ensemble": lambda: network(EnsembleHead(a_head(0), a_head(1), 1.3, 0.7)),
    "ensemble with a cosine": lambda: network(EnsembleHead(a_head(0, "cosine"), a_head(1), 1, 1)),
}


@pytest.mark.parametrize("name", MODELS)
def test_onnx_says_the_same_for_batches_of_any_size(name: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = MODELS[name]().train()
    assert export_onnx(model, INPUTS, tmp_path / "model.onnx") < 1e-4
    assert model.training
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    model.eval()
    for n in (1, 3, 5, 64):
        inputs = torch.randn(n, 6)
        (said,) = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
        with torch.no_grad():
            wanted = model(inputs).numpy()
        assert np.abs(said - wanted).max() <= 1e-5 * max(1, np.abs(wanted).max())


@pytest.mark.parametrize("name", MODELS)
def test_programs_say_the_same_for_batches_of_any_size(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    assert export_program(model, INPUTS, tmp_path / "model.pt2") < 1e-5
    again = torch.export.load(tmp_path / "model.pt2").module()
    model.eval()
    for n in (1, 7):
        inputs = torch.randn(n, 6)
        torch.testing.assert_close(again(inputs), model(inputs))


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 4)

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Any:
        return {"logits": self.fc(values if mask is None else values * mask)}


def test_inputs_by_name(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = Named().half()
    example = {"values": INPUTS.half(), "mask": torch.ones(5, 1)}
    export_onnx(model, example, tmp_path / "model.onnx")
    assert next(model.parameters()).dtype == torch.half  # and stays as it was
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [i.name for i in session.get_inputs()] == ["values", "mask"]


def test_weights_are_loaded_again(tmp_path: Path) -> None:
    from safetensors.torch import load_model

    model = MODELS["ensemble"]().eval()
    save_weights(torch.compile(model, backend="eager"), tmp_path / "model.safetensors")
    again = network(EnsembleHead.empty(8, 4)).eval()
    load_model(again, tmp_path / "model.safetensors")
    assert torch.equal(again(INPUTS), model(INPUTS))


def test_heads_are_loaded_again(tmp_path: Path) -> None:
    head = a_head(0, "cosine")
    assert save_head(head, tmp_path / "head.safetensors") == 0
    assert Head.load(tmp_path / "head.safetensors").kind == "cosine"
    with pytest.raises(InputError, match=r"has to end in \.safetensors"):
        save_head(head, tmp_path / "head.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["head.safetensors"]


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    class Looking(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if float(x.sum()) > 0 else -x

    with pytest.raises(RunFailedError, match="The network cannot be exported"):
        export_program(Looking(), INPUTS, tmp_path / "model.pt2")
    with pytest.raises(InputError, match="batch of one; take two samples"):
        export_program(MODELS["linear"](), INPUTS[:1], tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


def test_a_file_that_says_something_else_is_not_written(tmp_path: Path) -> None:
    class Drifting(nn.Linear):
        """Says something else when it is called again."""

        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return super().forward(x) + self.calls

    with pytest.raises(RunFailedError, match="was not written: its logits differ from the network"):
        export_program(Drifting(6, 4), INPUTS, tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


def test_without_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingLibraryError, match="pip install onnx onnxruntime onnxscript"):
        export_onnx(MODELS["linear"](), INPUTS, tmp_path / "model.onnx")


def test_what_onnx_cannot_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")

    def failing(*arguments: Any, **options: Any) -> None:
        raise ValueError("no such operator.\nTraceback")

    monkeypatch.setattr(torch.onnx, "export", failing)
    with pytest.raises(
        RunFailedError, match=r"exported \(ValueError: no such operator\); torch.on"
    ):
        export_onnx(MODELS["linear"](), INPUTS, tmp_path / "model.onnx")
    monkeypatch.setattr("everyclass.integrations.export._MOST_OF_ONNX", 400)
    with pytest.raises(InputError, match=r"0.0 GB in float32, and one ONNX file holds less than 2"):
        export_onnx(MODELS["linear"](), INPUTS, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_program_that_cannot_be_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: Any) -> None:
        raise KeyError("odd")

    monkeypatch.setattr(torch.export, "load", failing)
    with pytest.raises(RunFailedError, match=r"cannot be exported \(KeyError: 'odd'\)"):
        export_program(MODELS["linear"](), INPUTS, tmp_path / "model.pt2")


@pytest.mark.parametrize(
    ("error", "wanted", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left"),
            OutputError,
            r"Cannot write .*model\.pt2: the disk",
        ),
        (OSError("could not get source code"), RunFailedError, r"The network cannot be exported"),
    ],
)
def test_a_full_disk_is_not_the_networks_fault(
    error: OSError, wanted: type, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(torch.export, "save", failing)
    with pytest.raises(wanted, match=said):
        export_program(MODELS["linear"](), INPUTS, tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())
