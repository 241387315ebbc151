"""The callbacks in a real fit of Lightning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import recall_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

pytest.importorskip("lightning")
import lightning

from everyclass.errors import InputError
from everyclass.integrations.lightning import (
    BestClasswiseCheckpoint,
    LogClasswiseRecall,
    RescueAtEnd,
)

pytestmark = [
    pytest.mark.integrations,
    pytest.mark.filterwarnings("ignore"),  # Lightning's own, of loaders and loggers
]


class Module(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out

    def training_step(self, batch: Any, _: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, _: int) -> Any:
        return {"logits": self(batch[0])}

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def loaders() -> tuple[DataLoader[Any], DataLoader[Any]]:
    X, y = load_digits(return_X_y=True)
    x, labels = torch.tensor(X / 16, dtype=torch.float), torch.tensor(y)
    rows = np.concatenate([np.flatnonzero(y[:1200] == c)[: 110 - 10 * c] for c in range(10)])
    train = TensorDataset(x[rows], labels[rows])
    return DataLoader(train, 50), DataLoader(TensorDataset(x[1200:], labels[1200:]), 100)


def fit(callbacks: list[Any], tmp_path: Path, epochs: int = 3, **options: Any) -> Any:
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=any(isinstance(c, BestClasswiseCheckpoint) for c in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        **options,
    )
    module = Module()
    trainer.fit(module, *loaders())
    return trainer, module


def test_the_worst_classes_are_logged_and_no_more(tmp_path: Path) -> None:
    names = [f"digit {c}" for c in range(10)]
    callback = LogClasswiseRecall(10, worst=3, class_names=names)
    trainer, module = fit([callback], tmp_path, epochs=1)
    logged = {k: float(v) for k, v in trainer.callback_metrics.items()}
    x, y = loaders()[1].dataset.tensors  # type: ignore[attr-defined]
    with torch.no_grad():
        recall = recall_score(y, module(x).argmax(1), average=None)
    worst = {f"val/recall/digit {c}": recall[c] for c in np.argsort(recall, kind="stable")[:3]}
    assert {k: v for k, v in logged.items() if "/recall/" in k} == pytest.approx(worst)
    assert logged["val/lowest_recall"] == pytest.approx(recall.min())
    floored = np.where(recall == 0, 1e-3, recall)
    assert logged["val/harmonic_mean"] == pytest.approx(10 / (1 / floored).sum())


def test_the_checkpoint_of_the_best_epoch_is_kept(tmp_path: Path) -> None:
    seen: list[tuple[float, float]] = []

    class Watch(lightning.Callback):
        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            if not trainer.sanity_checking:
                said = trainer.callback_metrics
                seen.append((float(said["val/lowest_recall"]), float(said["val/harmonic_mean"])))

    best = BestClasswiseCheckpoint(tmp_path / "kept")
    fit([LogClasswiseRecall(10), Watch(), best], tmp_path, epochs=4)
    assert best.best == max(seen)
    assert len({first for first, _ in seen}) < len(seen)  # there were ties
    state = torch.load(best.best_model_path, weights_only=False)
    assert state["epoch"] == seen.index(max(seen))
    again = BestClasswiseCheckpoint(tmp_path / "kept")
    again.load_state_dict(best.state_dict())
    assert again.best == best.best


def test_a_metric_that_nobody_logged(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No metric 'val/lowest_recall' was logged"):
        fit([BestClasswiseCheckpoint(tmp_path)], tmp_path, epochs=1, num_sanity_val_steps=0)


def test_the_recall_of_one_class_can_be_monitored(tmp_path: Path) -> None:
    callback = LogClasswiseRecall(10, worst=1, always=["0"])
    best = BestClasswiseCheckpoint(tmp_path, monitor="val/recall/0")
    fit([callback, best], tmp_path, epochs=2)
    assert best.best is not None
    with pytest.raises(InputError, match="always names 'zero', which is no class"):
        LogClasswiseRecall(10, always=["zero"])


IN_TWO_PROCESSES = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from test_lightning_callbacks import LogClasswiseRecall, Module, RescueAtEnd, lightning, loaders

torch.set_num_threads(1)
train, val = loaders()
rescued = RescueAtEnd(train, test=val, folder=sys.argv[2] + "/rescued")
trainer = lightning.Trainer(
    max_epochs=1, accelerator="cpu", devices=2, strategy="ddp", logger=False,
    callbacks=[LogClasswiseRecall(10, worst=10), rescued], enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False, default_root_dir=sys.argv[2],
)
module = Module()
trainer.fit(module, train, val)
if trainer.is_global_zero:
    with torch.no_grad():
        said = module(val.dataset.tensors[0]).argmax(1)
    own = said[val.dataset.tensors[1] == 0].eq(0).double().mean()
    assert abs(float(trainer.callback_metrics["val/recall/0"]) - own) < 1e-6
"""


def test_two_processes_count_together_and_the_first_rescues(tmp_path: Path) -> None:
    script = tmp_path / "fit.py"  # Lightning starts the second process from it
    script.write_text(IN_TWO_PROCESSES, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, Path(__file__).parent, tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "rescued" / "report.html").exists()


def test_the_rescue_at_the_end(tmp_path: Path) -> None:
    train, val = loaders()
    callback = RescueAtEnd(train, test=val, folder=tmp_path / "rescued")
    _, module = fit([callback], tmp_path, epochs=5)
    result = callback.result
    assert result is not None
    assert result.evaluations["old"].support.sum() == len(val.dataset)  # type: ignore[arg-type]
    assert (tmp_path / "rescued" / "report.html").exists()
    new = result.to_module(module, "retrained")
    x, y = val.dataset.tensors  # type: ignore[attr-defined]
    with torch.no_grad():
        said = recall_score(y, new(x).argmax(1), average=None)
    np.testing.assert_allclose(said, result.evaluations["retrained"].per_class_recall)


def test_a_validation_step_that_returns_nothing(tmp_path: Path) -> None:
    class Silent(Module):
        def validation_step(self, batch: Any, _: int) -> Any:
            return None

    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", callbacks=[LogClasswiseRecall(10)], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path,
    )  # fmt: skip
    with pytest.raises(InputError, match='must return a dict with the "logits" of the batch'):
        trainer.fit(Silent(), *loaders())


@pytest.mark.parametrize("dataloader", [0, 1])
def test_of_several_validation_loaders_one_is_judged(dataloader: int, tmp_path: Path) -> None:
    class Twice(Module):
        def validation_step(self, batch: Any, _: int, dataloader_idx: int = 0) -> Any:
            return {"logits": self(batch[0])}

    train, val = loaders()
    x, y = val.dataset.tensors  # type: ignore[attr-defined]
    wrong = DataLoader(TensorDataset(x, (y + 1) % 10), 100)
    trainer = lightning.Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False,
        callbacks=[LogClasswiseRecall(10, dataloader=dataloader)], enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    module = Twice()
    trainer.fit(module, train, [val, wrong])
    with torch.no_grad():
        recall = recall_score((y + dataloader) % 10, module(x).argmax(1), average=None)
    assert float(trainer.callback_metrics["val/lowest_recall"]) == pytest.approx(recall.min())
    floored = np.where(recall == 0, 1e-3, recall)
    expected = 10 / (1 / floored).sum()
    assert float(trainer.callback_metrics["val/harmonic_mean"]) == pytest.approx(expected)


def test_names_for_other_classes() -> None:
    with pytest.raises(InputError, match="2 class_names for 3 classes"):
        LogClasswiseRecall(3, class_names=["a", "b"])
