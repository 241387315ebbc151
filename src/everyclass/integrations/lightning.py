"""Callbacks for Lightning: recall per class in the log, checkpoints by it, a rescue at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from everyclass.artifacts import quoted, some
from everyclass.errors import InputError, MissingLibraryError
from everyclass.integrations.torchmetrics import PerClassRecall
from everyclass.metrics import geometric_mean, harmonic_mean
from everyclass.processes import alone
from everyclass.stages import LABEL_KEYS, RescueResult, rescue

try:
    from lightning.pytorch.callbacks import Callback, Checkpoint
except ImportError as error:
    raise MissingLibraryError("lightning", "lightning") from error

__all__ = ["BestClasswiseCheckpoint", "LogClasswiseRecall", "RescueAtEnd", "predictions_of"]


def predictions_of(outputs: Any, batch: Any) -> tuple[Tensor, Tensor]:
    """Logits and labels of a validation batch, out of what ``validation_step`` returned.

    Args:
        outputs: a dict with "logits" (or "preds") and, unless the batch says them, "labels".
        batch: (inputs, labels), or a dict with labels.

    Raises:
        InputError: they are not there.
    """
    found = outputs if isinstance(outputs, dict) else {}
    logits = next((found[key] for key in ("logits", "preds") if key in found), None)
    sources = [found, batch if isinstance(batch, dict) else {}]
    labels = next((source[k] for source in sources for k in LABEL_KEYS if k in source), None)
    if labels is None and isinstance(batch, list | tuple) and len(batch) == 2:
        labels = batch[1]
    if not isinstance(logits, Tensor) or not isinstance(labels, Tensor):
        raise InputError(
            'validation_step must return a dict with the "logits" of the batch (and its "labels" '
            "unless the batch is (inputs, labels)), or pass predictions=… to the callback."
        )
    return logits, labels


class LogClasswiseRecall(Callback):  # type: ignore[misc]
    """Logs lowest recall, harmonic and geometric mean, and the recall of the k worst classes.

    One curve per class would flood the logger; the k classes that are worst after each validation
    are logged by name. ``validation_step`` has to return ``{"logits": …}``.

    Args:
        num_classes: C.
        worst: k, of how many classes the recall is logged.
        always: names of classes whose recall is logged every time, so that it can be monitored.
        class_names: C names in class order; default "0", "1", ….
        prefix: put in front of every name.
        predictions: (outputs, batch) → (logits or classes, labels), where they are found elsewhere.
        dataloader: of several validation loaders the one that is judged, from 0.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        worst: int = 5,
        always: Sequence[str] = (),
        class_names: Sequence[str] | None = None,
        prefix: str = "val/",
        predictions: Callable[[Any, Any], tuple[Tensor, Tensor]] = predictions_of,
        dataloader: int = 0,
    ) -> None:
        if class_names is not None and len(class_names) != num_classes:
            raise InputError(
                f"There are {len(class_names)} class_names for {num_classes} classes; name each."
            )
        self.recall = PerClassRecall(num_classes)
        self.worst = worst
        self.class_names = list(class_names or map(str, range(num_classes)))
        unknown = [name for name in always if name not in self.class_names]
        if unknown:
            named = some([quoted(name) for name in unknown])
            raise InputError(f"always names {named}, which is no class.")
        self.always = [self.class_names.index(name) for name in always]
        self.prefix = prefix
        self.predictions = predictions
        self.dataloader = dataloader

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to count anew."""
        self.recall = self.recall.to(pl_module.device)
        self.recall.reset()

    def on_validation_batch_end(  # noqa: PLR0917 - Lightning passes them by place
        self,
        trainer: Any,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int = 0,
        dataloader_idx: int = 0,
    ) -> None:
        """Count a batch, if it is of the loader that is judged."""
        if dataloader_idx != self.dataloader:
            return
        logits, labels = self.predictions(outputs, batch)
        self.recall.update(logits.detach(), labels)

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Log what was counted, by all processes together."""
        recall = self.recall.compute().cpu().double()
        known = [c for c in recall.argsort().tolist() if not recall[c].isnan()]
        if not known:
            return
        values = {
            "lowest_recall": float(recall[known[0]]),
            "harmonic_mean": harmonic_mean(recall.numpy()),
            "geometric_mean": geometric_mean(recall.numpy()),
        }
        shown = {*known[: self.worst], *(c for c in self.always if c in known)}
        values |= {f"recall/{self.class_names[c]}": float(recall[c]) for c in sorted(shown)}
        named = {f"{self.prefix}{name}": value for name, value in values.items()}
        pl_module.log_dict(named, rank_zero_only=False, sync_dist=False)


class BestClasswiseCheckpoint(Checkpoint):  # type: ignore[misc]
    """Keeps the checkpoint with the best value of a metric, ties broken by another one.

    The lowest recall takes few values where the worst class has few images, so epochs are often
    equal in it; the first of them is not the best one. Put it after :class:`LogClasswiseRecall`.

    Args:
        folder: where ``best.ckpt`` is written.
        monitor: name of the logged metric; larger is better.
        tie_break: name of the one that decides between equal values.

    Attributes:
        best: (metric, tie-break) of the checkpoint that is kept, or None.
        best_model_path: of the checkpoint, or "".
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        monitor: str = "val/lowest_recall",
        tie_break: str = "val/harmonic_mean",
    ) -> None:
        self.folder = Path(folder)
        self.monitor = monitor
        self.tie_break = tie_break
        self.best: tuple[float, float] | None = None
        self.best_model_path = ""

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Write a checkpoint if it is the best one."""
        if trainer.sanity_checking or trainer.fast_dev_run or trainer.state.fn != "fit":
            return
        said = trainer.callback_metrics
        for name in (self.monitor, self.tie_break):
            if name not in said:
                raise InputError(
                    f"No metric {name!r} was logged; there are {', '.join(sorted(said))}. Add "
                    "LogClasswiseRecall before this callback, and name there a class whose recall "
                    "is to be monitored: always=[…]."
                )
        value = float(said[self.monitor]), float(said[self.tie_break])
        if self.best is None or value > self.best:
            self.best = value
            self.best_model_path = str(self.folder / "best.ckpt")
            trainer.save_checkpoint(self.best_model_path)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed fit has to know."""
        return {"best": self.best, "best_model_path": self.best_model_path}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what was known."""
        self.best = None if state_dict["best"] is None else tuple(state_dict["best"])
        self.best_model_path = state_dict["best_model_path"]


class RescueAtEnd(Callback):  # type: ignore[misc]
    """Rescues the worst classes when the fit ends; what it found is in ``result``.

    Args:
        train: loader of the training images, neither shuffled nor augmented.
        val: loader of images that were not trained on; the verdict is made on them.
        test: loader of images that the result is judged on.
        folder: for heads, evaluation and report; None writes nothing.
        network: (LightningModule) → the module that returns logits; default the whole module.
        options: of :func:`everyclass.rescue`.

    Attributes:
        result: after the fit, on the first process; ``result.to_module(network)`` is the network
            with the new last layer.
    """

    def __init__(
        self,
        train: Iterable[Any],
        *,
        val: Iterable[Any] | None = None,
        test: Iterable[Any] | None = None,
        folder: str | Path | None = None,
        network: Callable[[Any], torch.nn.Module] | None = None,
        **options: Any,
    ) -> None:
        self.train, self.val, self.test = train, val, test
        self.folder = folder
        self.network = network
        self.options = options
        self.result: RescueResult | None = None

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Rescue, on the first process only; the others do not wait for it."""
        if not trainer.is_global_zero or trainer.fast_dev_run or trainer.interrupted:
            return
        model = pl_module if self.network is None else self.network(pl_module)
        with alone():
            self.result = rescue(
                self.train, model=model, val=self.val, test=self.test, **self.options
            )
            if self.folder is not None:
                self.result.save(self.folder)
