"""The callbacks in a real fit of Lightning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import recall_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

pytest.importorskip("lightning")
import lightning
from lightning.pytorch.callbacks import EarlyStopping

from everyclass.errors import InputError, InputTypeError
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


class Scripted(Module):
    """In the validation of each epoch it is wrong about the classes that are named for it."""

    def __init__(self, *wrong: Any) -> None:
        super().__init__()
        self.wrong = wrong

    def validation_step(self, batch: Any, _: int) -> Any:
        labels = batch[1]
        wrong = torch.isin(labels, torch.tensor(self.wrong[self.current_epoch], dtype=torch.long))
        return {"logits": nn.functional.one_hot((labels + wrong) % 10, 10).float()}

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        return self.validation_step(batch, batch_idx)


def few() -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Two images of each class but the last."""
    labels = torch.arange(18) % 9
    return (DataLoader(TensorDataset(torch.rand(18, 64), labels), 9),) * 2


def fit(
    callbacks: list[Any],
    tmp_path: Path,
    epochs: int = 3,
    module: Module | None = None,
    *,
    resume: str | None = None,
    **options: Any,
) -> Any:
    given = few() if isinstance(module, Scripted) else loaders()
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
    module = module or Module()
    trainer.fit(module, *given, ckpt_path=resume)
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
    shown = {k: float(v) for k, v in trainer.logged_metrics.items() if "/recall/" in k}
    assert shown == pytest.approx(worst)
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


def test_a_fit_is_resumed_from_a_checkpoint_of_before_metrics_were_in_the_key(
    tmp_path: Path,
) -> None:
    best = BestClasswiseCheckpoint(tmp_path / "kept")
    fit([LogClasswiseRecall(10), best], tmp_path, 1, Scripted([]))  # nothing is better
    state = torch.load(best.best_model_path, weights_only=True)
    state["callbacks"]["BestClasswiseCheckpoint"] = state["callbacks"].pop(best.state_key)
    torch.save(state, tmp_path / "old.ckpt")
    again = BestClasswiseCheckpoint(tmp_path / "kept")
    recall = LogClasswiseRecall(10)
    fit([recall, again], tmp_path, 2, Scripted([], [0]), resume=str(tmp_path / "old.ckpt"))
    assert again.best == best.best == (1, 1)
    of_zero = BestClasswiseCheckpoint(tmp_path / "zero", monitor="val/recall/0")
    of_one = BestClasswiseCheckpoint(tmp_path / "one", monitor="val/recall/1")
    both = [recall, of_zero, of_one]  # of neither of which the old state is known to be
    fit(both, tmp_path, 2, Scripted([], [0]), resume=str(tmp_path / "old.ckpt"))
    assert of_zero.best is not None
    assert of_zero.best[0] == 0


def test_a_metric_that_nobody_logged(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No metric 'val/lowest_recall' was logged"):
        fit([BestClasswiseCheckpoint(tmp_path)], tmp_path, epochs=1, num_sanity_val_steps=0)


def test_a_class_that_is_no_longer_among_the_worst_has_its_new_recall(tmp_path: Path) -> None:
    best = BestClasswiseCheckpoint(tmp_path, monitor="val/recall/0")
    trainer, _ = fit([LogClasswiseRecall(10, worst=1), best], tmp_path, 2, Scripted([0], [1, 2]))
    assert float(trainer.callback_metrics["val/recall/0"]) == 1
    assert best.best is not None
    assert best.best[0] == 1
    trainer, _ = fit([LogClasswiseRecall(10, worst=1)], tmp_path, 2, Scripted([0], [1, 2]))
    recalls = {k: v for k, v in trainer.callback_metrics.items() if "/recall/" in k}
    assert {k: float(v) for k, v in recalls.items()} == {"val/recall/0": 1, "val/recall/1": 0}
    assert {v.untyped_storage().nbytes() for v in recalls.values()} == {4}  # of one class each


def test_a_class_without_samples_is_monitored_as_nan(tmp_path: Path) -> None:
    callback = LogClasswiseRecall(10, worst=1, always=["9"])
    stop = EarlyStopping("val/recall/9", mode="max", check_finite=False)
    best = BestClasswiseCheckpoint(tmp_path, monitor="val/recall/9")
    trainer, _ = fit([callback, stop, best], tmp_path, 2, Scripted([0, 1], [0]))
    assert torch.isnan(trainer.callback_metrics["val/recall/9"])
    assert torch.isnan(trainer.logged_metrics["val/recall/9"])
    assert best.best is not None
    assert best.best[0] == -np.inf  # and the better harmonic mean decides
    assert torch.load(best.best_model_path, weights_only=False)["epoch"] == 1


def test_nan_in_the_first_validation_is_less_than_anything_after_it(tmp_path: Path) -> None:
    class Odd(Scripted):
        def on_validation_epoch_end(self) -> None:
            self.log("odd", float("nan") if self.current_epoch == 0 else 0.25)

    best = BestClasswiseCheckpoint(tmp_path, monitor="odd", tie_break="odd")
    fit([best], tmp_path, 2, Odd([], []), num_sanity_val_steps=0)
    assert best.best == (0.25, 0.25)


def test_two_checkpoints_by_two_metrics(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    of_zero, of_one = (BestClasswiseCheckpoint(folder, monitor=f"val/recall/{c}") for c in range(2))
    recall = LogClasswiseRecall(10)
    fit([recall, of_zero, of_one], tmp_path, 2, Scripted([0], [1]))
    epochs = {}
    for best in (of_zero, of_one):
        epochs[Path(best.best_model_path).name] = torch.load(
            best.best_model_path, weights_only=False
        )["epoch"]
    assert epochs == {"best-val_recall_0.ckpt": 1, "best-val_recall_1.ckpt": 0}
    beside = BestClasswiseCheckpoint(folder, monitor="val/recall/0", tie_break="other")
    with pytest.raises(InputError, match=r"would write .*best-val_recall_0.ckpt; give each a fold"):
        fit([recall, of_zero, beside], tmp_path, 1, Scripted([0]))


def test_all_processes_write_a_checkpoint_or_none_does(tmp_path: Path) -> None:
    class Others:
        """A strategy in which another process has said no."""

        @staticmethod
        def reduce_boolean_decision(decision: bool) -> bool:
            return False

    class Trainer:
        sanity_checking = fast_dev_run = False
        state = type("State", (), {"fn": "fit"})
        callback_metrics: ClassVar = {"val/lowest_recall": 1, "val/harmonic_mean": 1}
        strategy = Others

    best = BestClasswiseCheckpoint(tmp_path)
    best.on_validation_end(Trainer, None)  # which could not write
    assert best.best is None


def test_samples_that_do_not_count(tmp_path: Path) -> None:
    callback = LogClasswiseRecall(10, ignore_index=0, always=["0"])
    trainer, _ = fit([callback], tmp_path, 1, Scripted([0]))
    assert float(trainer.callback_metrics["val/lowest_recall"]) == 1
    assert torch.isnan(trainer.callback_metrics["val/recall/0"])


def test_a_test_is_logged_as_well(tmp_path: Path) -> None:
    trainer, module = fit([LogClasswiseRecall(10)], tmp_path, 1, Scripted([3], [4]))
    trainer.test(module, few()[1], verbose=False)
    assert float(trainer.callback_metrics["test/recall/4"]) == 0
    no_labels = DataLoader(few()[1].dataset.tensors[0], 9)  # type: ignore[attr-defined]
    for outputs, data in ((None, few()[1]), ({"logits": torch.zeros(9, 10)}, no_labels)):
        module.test_step = lambda batch, batch_idx, outputs=outputs: outputs
        with pytest.warns(UserWarning, match="counted nothing in this test .* that test_step must"):
            trainer.test(module, data, verbose=False)


def test_a_test_without_the_loader_that_is_judged(tmp_path: Path) -> None:
    callback = LogClasswiseRecall(10, dataloader=1)
    trainer = lightning.Trainer(
        accelerator="cpu", callbacks=[callback], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, default_root_dir=tmp_path,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="dataloader=1 is to be .* number of test loaders is 1"):
        trainer.test(Scripted([0]), few()[1], verbose=False)


@pytest.mark.parametrize("kind", ["validation", "test"])
def test_outputs_that_are_none_are_left_out_whoever_finds_the_predictions(kind: str) -> None:
    callback = LogClasswiseRecall(10, predictions=lambda outputs, batch: outputs["said"])
    getattr(callback, f"on_{kind}_batch_end")(None, None, None, [])
    assert (callback._seen, callback._counted) == (1, 0)


class Processes:
    """A trainer of several processes, of which another one has counted something, or none has."""

    is_global_zero = True
    num_test_batches: ClassVar = [1]
    callbacks: ClassVar[list[Any]] = []
    lr_scheduler_configs: ClassVar[list[Any]] = []

    def __init__(self, *, others: bool) -> None:
        self.strategy = self
        self.others = others
        self.callback_metrics: dict[str, Any] = {}

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        assert not all
        return decision or self.others


@pytest.mark.parametrize("kind", ["validation", "test"])
def test_a_process_without_a_batch_that_counts_logs_with_the_others(kind: str) -> None:
    logged: list[Any] = []
    module = type("Module", (), {"log_dict": lambda *said, **_: logged.extend(said)})
    callback = LogClasswiseRecall(10)
    getattr(callback, f"on_{kind}_batch_end")(None, None, None, [])
    getattr(callback, f"on_{kind}_epoch_end")(Processes(others=True), module)
    assert len(logged) == 1


def test_a_validation_without_a_batch_is_silent() -> None:
    callback = LogClasswiseRecall(10)
    callback.on_validation_epoch_end(Processes(others=False), None)
    callback.on_validation_batch_end(None, None, None, [])
    with pytest.raises(InputError, match="returned None for every batch"):
        callback.on_validation_epoch_end(Processes(others=False), None)


def test_a_batch_that_is_left_out(tmp_path: Path) -> None:
    class Half(Scripted):
        def validation_step(self, batch: Any, index: int) -> Any:
            return super().validation_step(batch, index) if index else None

    callback = LogClasswiseRecall(10)
    trainer, _ = fit([callback], tmp_path, 1, Half([0]))
    assert callback.recall.support.tolist() == [1] * 9 + [0]
    assert float(trainer.callback_metrics["val/recall/0"]) == 0


def test_nan_is_no_answer(tmp_path: Path) -> None:
    class Lost(Scripted):
        def validation_step(self, batch: Any, index: int) -> Any:
            return {"logits": torch.full((9, 10), torch.nan)}

    with pytest.raises(InputError, match="preds has NaN in 9 of 9 rows"):
        fit([LogClasswiseRecall(10)], tmp_path, 1, Lost([0]))


def test_what_the_callbacks_refuse(tmp_path: Path) -> None:
    with pytest.raises(InputTypeError, match=r"always must be a list of names; got the text 'ab'"):
        LogClasswiseRecall(3, class_names=["a", "b", "c"], always="ab")
    with pytest.raises(InputError, match="class_names has 'a' more than once"):
        LogClasswiseRecall(3, class_names=["a", "b", "a"])
    with pytest.raises(InputError, match="worst must be 0 or more; got -1"):
        LogClasswiseRecall(3, worst=-1)
    with pytest.raises(InputError, match="number of validation loaders is 1"):
        fit([LogClasswiseRecall(10, dataloader=1)], tmp_path, 1, Scripted([0]))
    with pytest.raises(InputError, match="checkpoint must be 'best' or 'last'"):
        RescueAtEnd([], checkpoint="first")  # type: ignore[arg-type]


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
from test_lightning_callbacks import (
    BestClasswiseCheckpoint, LogClasswiseRecall, Module, RescueAtEnd, lightning, loaders,
)

torch.set_num_threads(1)
train, val = loaders()
rescued = RescueAtEnd(train, test=val, folder=sys.argv[2] + "/rescued", checkpoint="best")
best = BestClasswiseCheckpoint(sys.argv[2] + "/kept")
trainer = lightning.Trainer(
    max_epochs=1, accelerator="cpu", devices=2, strategy="ddp", logger=False,
    callbacks=[LogClasswiseRecall(10, worst=10), rescued, best],
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
    assert (tmp_path / "kept" / "best.ckpt").exists()


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


@pytest.mark.parametrize("checkpoint", ["best", "last"])
def test_which_weights_are_rescued(checkpoint: Any, tmp_path: Path) -> None:
    seen: list[Tensor] = []

    def network(module: Any) -> nn.Module:
        seen.append(module.net[2].weight.detach().clone())
        raise RuntimeError("that was all")

    best = BestClasswiseCheckpoint(tmp_path)
    rescued = RescueAtEnd([], network=network, checkpoint=checkpoint)
    module = Scripted([], [0])  # the first epoch is the best one
    with pytest.raises(RuntimeError, match="that was all"):
        fit([LogClasswiseRecall(10), best, rescued], tmp_path, 2, module)
    kept = torch.load(best.best_model_path, weights_only=False)["state_dict"]
    assert torch.equal(seen[0], kept["net.2.weight"]) == (checkpoint == "best")
    if checkpoint == "best":
        with pytest.raises(InputError, match="finds no checkpoint of this fit"):
            fit([RescueAtEnd([], checkpoint="best")], tmp_path, 1, Scripted([0]))


class ReadyError(Exception):
    """The weights are loaded."""


def ready(module: Any) -> nn.Module:
    raise ReadyError


def test_the_best_weights_are_loaded_as_strictly_as_the_module_says(tmp_path: Path) -> None:
    class Partly(Scripted):
        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            del checkpoint["state_dict"]["net.0.weight"]  # as of a frozen backbone

    for strict, expected in ((True, RuntimeError), (False, ReadyError)):
        module = Partly([])
        module.strict_loading = strict
        rescued = RescueAtEnd([], network=ready, checkpoint="best")
        best = BestClasswiseCheckpoint(tmp_path)
        with pytest.raises(expected):
            fit([LogClasswiseRecall(10), best, rescued], tmp_path, 1, module)


class Ran:
    """Says so when it is unpickled."""

    def __reduce__(self) -> Any:
        return print, ("executed",)


def test_nothing_in_a_checkpoint_is_executed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Odd(Scripted):
        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["odd"] = Ran()

    rescued = RescueAtEnd([], network=ready, checkpoint="best")
    best = BestClasswiseCheckpoint(tmp_path)
    with pytest.raises(
        InputError, match=r"best\.ckpt holds more than weights .*safe_globals, take"
    ):
        fit([LogClasswiseRecall(10), best, rescued], tmp_path, 1, Odd([]))
    assert "executed" not in capsys.readouterr().out


def test_a_checkpoint_in_parts_is_refused(tmp_path: Path) -> None:
    class Kept:
        best_model_path = str(tmp_path)

    class Trainer:
        is_global_zero = True
        fast_dev_run = interrupted = False
        checkpoint_callbacks: ClassVar = [Kept]

    with pytest.raises(InputError, match=r'is a folder: a checkpoint in parts.*checkpoint="last"'):
        RescueAtEnd([], network=ready, checkpoint="best").on_fit_end(Trainer, Module())


def test_under_its_older_name() -> None:
    code = (
        "import sys\n"
        "sys.modules['lightning'] = None\n"
        "import pytorch_lightning, everyclass.integrations.lightning as ours\n"
        "assert issubclass(ours.BestClasswiseCheckpoint, pytorch_lightning.callbacks.Checkpoint)\n"
        "sys.modules['pytorch_lightning'] = None\n"
        "del sys.modules['everyclass.integrations.lightning']\n"
        "try:\n"
        "    import everyclass.integrations.lightning\n"
        "except ImportError as error:\n"
        "    assert 'pip install lightning' in str(error)\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


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
