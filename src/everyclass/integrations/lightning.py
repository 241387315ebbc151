"""Callbacks for Lightning: recall per class in the log, checkpoints by it, a rescue at the end."""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from everyclass.artifacts import check_choice, check_whole_number, quoted, some
from everyclass.errors import InputError, InputTypeError, MissingLibraryError
from everyclass.integrations.torchmetrics import PerClassRecall
from everyclass.metrics import geometric_mean, harmonic_mean
from everyclass.processes import alone
from everyclass.stages import LABEL_KEYS, RescueResult, rescue

try:
    from lightning.pytorch.callbacks import Callback, Checkpoint
except ImportError as error:
    try:  # the same under its older name, which may be there alone
        from pytorch_lightning.callbacks import (  # type: ignore[import-not-found, unused-ignore]
            Callback,
            Checkpoint,
        )
    except ImportError:
        raise MissingLibraryError("lightning", "lightning") from error

__all__ = ["BestClasswiseCheckpoint", "LogClasswiseRecall", "RescueAtEnd", "predictions_of"]

_LOGIT_KEYS = ("logits", "preds")
_MUST_RETURN = (
    'must return a dict with the "logits" of the batch (and its "labels" unless the batch is '
    "(inputs, labels)), or pass predictions=… to the callback."
)


def predictions_of(outputs: Any, batch: Any) -> tuple[Tensor, Tensor]:
    """Logits and labels of a batch, out of what ``validation_step`` or ``test_step`` returned.

    Args:
        outputs: a dict with "logits" (or "preds") and, unless the batch says them, "labels".
        batch: (inputs, labels), or a dict with labels.

    Raises:
        InputError: they are not there.
    """
    found = outputs if isinstance(outputs, dict) else {}
    logits = next((found[key] for key in _LOGIT_KEYS if key in found), None)
    sources = [found, batch if isinstance(batch, dict) else {}]
    labels = next((source[k] for source in sources for k in LABEL_KEYS if k in source), None)
    if labels is None and isinstance(batch, list | tuple) and len(batch) == 2:
        labels = batch[1]
    if not isinstance(logits, Tensor) or not isinstance(labels, Tensor):
        raise InputError(f"validation_step {_MUST_RETURN}")
    return logits, labels


def _has_logits(outputs: Any) -> bool:
    return isinstance(outputs, dict) and any(key in outputs for key in _LOGIT_KEYS)


class LogClasswiseRecall(Callback):  # type: ignore[misc]
    """Logs lowest recall, harmonic and geometric mean, and the recall of the k worst classes.

    One curve per class would flood the logger; the k classes that are worst after each validation
    are logged by name. ``trainer.callback_metrics`` has the recall of every class, so that any can
    be monitored; a class without samples is NaN there. ``validation_step`` has to return
    ``{"logits": …}``; a batch for which it returns None is left out. ``trainer.test`` is logged
    the same way where ``test_step`` returns that.

    Args:
        num_classes: C.
        worst: k, of how many classes the recall is logged.
        always: names of classes whose recall is logged every time, whichever are worst.
        class_names: C different names in class order; default "0", "1", ….
        prefix: put in front of every name.
        test_prefix: put there by ``trainer.test``.
        predictions: (outputs, batch) → (logits or classes, labels), where they are found elsewhere.
        dataloader: of several loaders the one that is judged, from 0.
        ignore_index: samples with this label do not count, or None.

    Raises:
        InputError: names that are not one for each class, or the same twice; ``always`` names no
            class; in a validation, NaN among the logits, or nothing to count.
        InputTypeError: ``always`` is a text and no list of names.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        worst: int = 5,
        always: Sequence[str] = (),
        class_names: Sequence[str] | None = None,
        prefix: str = "val/",
        test_prefix: str = "test/",
        predictions: Callable[[Any, Any], tuple[Tensor, Tensor]] = predictions_of,
        dataloader: int = 0,
        ignore_index: int | None = None,
    ) -> None:
        if class_names is not None and len(class_names) != num_classes:
            raise InputError(
                f"There are {len(class_names)} class_names for {num_classes} classes; name each."
            )
        self.recall = PerClassRecall(num_classes, ignore_index=ignore_index)
        self.worst = check_whole_number("worst", worst)
        self.class_names = list(class_names or map(str, range(num_classes)))
        twice = [name for name, times in Counter(self.class_names).items() if times > 1]
        if twice:
            named = some([quoted(name) for name in twice])
            raise InputError(f"class_names has {named} more than once; give each class its own.")
        if isinstance(always, str):
            raise InputTypeError(
                f"always must be a list of names; got the text {always!r}: [{always!r}] is a list."
            )
        unknown = [name for name in always if name not in self.class_names]
        if unknown:
            named = some([quoted(name) for name in unknown])
            raise InputError(f"always names {named}, which is no class.")
        self.always = [self.class_names.index(name) for name in always]
        self.prefix = prefix
        self.test_prefix = test_prefix
        self.predictions = predictions
        self.dataloader = dataloader
        self._counted = 0

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to count anew."""
        loaders = len(trainer.num_val_batches)
        if self.dataloader >= loaders:
            raise InputError(
                f"dataloader={self.dataloader} is to be judged, from 0, and the number of "
                f"validation loaders is {loaders}."
            )
        self._begin(pl_module)

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
        self._count(outputs, batch, dataloader_idx)

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Log what was counted, by all processes together."""
        if not self._counted:
            raise InputError(f"validation_step returned None for every batch; it {_MUST_RETURN}")
        self._log(trainer, pl_module, self.prefix)

    def on_test_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to count anew."""
        self._begin(pl_module)

    def on_test_batch_end(  # noqa: PLR0917 - Lightning passes them by place
        self,
        trainer: Any,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int = 0,
        dataloader_idx: int = 0,
    ) -> None:
        """Count a batch, if it is of the loader that is judged and ``test_step`` has logits."""
        ours = self.predictions is predictions_of
        if _has_logits(outputs) or not (ours or outputs is None):
            self._count(outputs, batch, dataloader_idx)

    def on_test_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Log what was counted, by all processes together; or say that there was nothing."""
        if self._counted:
            self._log(trainer, pl_module, self.test_prefix)
        elif trainer.is_global_zero:
            warnings.warn(
                "LogClasswiseRecall has counted nothing in this test and logs nothing; for that "
                f"test_step {_MUST_RETURN}",
                stacklevel=2,
            )

    def _begin(self, pl_module: Any) -> None:
        self.recall = self.recall.to(pl_module.device)
        self.recall.reset()
        self._counted = 0

    def _count(self, outputs: Any, batch: Any, dataloader_idx: int) -> None:
        left_out = outputs is None and self.predictions is predictions_of
        if left_out or dataloader_idx != self.dataloader:
            return
        logits, labels = self.predictions(outputs, batch)
        self.recall.update(logits.detach(), labels)
        self._counted += 1

    def _log(self, trainer: Any, pl_module: Any, prefix: str) -> None:
        recall = self.recall.compute().cpu().double()
        known = [c for c in recall.argsort().tolist() if not recall[c].isnan()]
        values = {
            "lowest_recall": float(recall[known[0]]) if known else math.nan,
            "harmonic_mean": harmonic_mean(recall.numpy()) if known else math.nan,
            "geometric_mean": geometric_mean(recall.numpy()) if known else math.nan,
        }
        shown = sorted({*known[: self.worst], *self.always})
        values |= {f"recall/{self.class_names[c]}": float(recall[c]) for c in shown}
        named = {f"{prefix}{name}": value for name, value in values.items()}
        # Those that are not logged now must not keep the number of an epoch in which they were.
        for name, value in zip(self.class_names, recall.float(), strict=True):
            trainer.callback_metrics[f"{prefix}recall/{name}"] = value
        pl_module.log_dict(named, rank_zero_only=False, sync_dist=False)


class BestClasswiseCheckpoint(Checkpoint):  # type: ignore[misc]
    """Keeps the checkpoint with the best value of a metric, ties broken by another one.

    The lowest recall takes few values where the worst class has few images, so epochs are often
    equal in it; the first of them is not the best one. Use it with :class:`LogClasswiseRecall`.

    A fit with it has no ``ModelCheckpoint`` unless you add one: Lightning makes one only where
    there is no other checkpoint. A file of an earlier fit in the folder is replaced; take another
    folder to keep it.

    Args:
        folder: where ``best.ckpt`` is written. Where several of these callbacks share a folder,
            each one's file is called after its metric, such as ``best-val_lowest_recall.ckpt``.
        monitor: name of the logged metric; larger is better.
        tie_break: name of the one that decides between equal values.

    Attributes:
        best: (metric, tie-break) of the checkpoint that is kept, or None. NaN, as of a class
            without samples, counts as −∞: less than any value.
        best_model_path: of the checkpoint, or "".

    Raises:
        InputError: in the fit, the metric was not logged, or two of these callbacks would write
            the same file.
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
        self._file_name = "best.ckpt"

    @property
    def state_key(self) -> str:
        """What tells this callback from another one of its kind in a checkpoint."""
        key: str = self._generate_state_key(monitor=self.monitor, tie_break=self.tie_break)
        return key

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Choose a file that no other callback of this kind writes."""
        beside = [
            other
            for other in trainer.callbacks
            if isinstance(other, BestClasswiseCheckpoint)
            and other.folder.absolute() == self.folder.absolute()
        ]
        names = [_named_after(other.monitor) for other in beside]
        self._file_name = _named_after(self.monitor) if len(names) > 1 else "best.ckpt"
        if names.count(self._file_name) > 1:
            raise InputError(
                f"Two BestClasswiseCheckpoints would write {self.folder / self._file_name}; give "
                "each a folder of its own."
            )

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Write a checkpoint if it is the best one."""
        if trainer.sanity_checking or trainer.fast_dev_run or trainer.state.fn != "fit":
            return
        said = trainer.callback_metrics
        for name in (self.monitor, self.tie_break):
            if name not in said:
                raise InputError(
                    f"No metric {name!r} was logged; there are {some(sorted(said))}. Add "
                    "LogClasswiseRecall to the callbacks; it has the recall of every class as "
                    "'val/recall/NAME'."
                )
        value = _comparable(said[self.monitor]), _comparable(said[self.tie_break])
        # Every process has to take part in writing, or none.
        if trainer.strategy.reduce_boolean_decision(self.best is None or value > self.best):
            self.best = value
            self.best_model_path = str(self.folder / self._file_name)
            trainer.save_checkpoint(self.best_model_path)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed fit has to know."""
        return {"best": self.best, "best_model_path": self.best_model_path}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what was known."""
        best = state_dict["best"]
        self.best = None if best is None else (_comparable(best[0]), _comparable(best[1]))
        self.best_model_path = state_dict["best_model_path"]


def _comparable(value: Any) -> float:
    """A number, and −∞ for NaN, which would be neither more nor less than any other."""
    number = float(value)
    return -math.inf if math.isnan(number) else number


def _named_after(monitor: str) -> str:
    name = re.sub(r"[^\w.\-]", "_", monitor)
    return f"best-{name}.ckpt"


class RescueAtEnd(Callback):  # type: ignore[misc]
    """Rescues the worst classes when the fit ends; what it found is in ``result``.

    Args:
        train: loader of the training images, neither shuffled nor augmented.
        val: loader of images that were not trained on; the verdict is made on them.
        test: loader of images that the result is judged on.
        folder: for heads, evaluation and report; None writes nothing.
        network: (LightningModule) → the module that returns logits; default the whole module.
        checkpoint: "last" rescues the weights with which the fit ended. "best" first loads those
            that :class:`BestClasswiseCheckpoint` kept, or else ``ModelCheckpoint``, into the
            module, which has them afterwards.
        options: of :func:`everyclass.rescue`.

    Attributes:
        result: after the fit, on the first process; ``result.to_module(network)`` is the network
            with the new last layer.

    Raises:
        InputError: when the fit ends, ``checkpoint="best"`` and none was kept.
    """

    def __init__(
        self,
        train: Iterable[Any],
        *,
        val: Iterable[Any] | None = None,
        test: Iterable[Any] | None = None,
        folder: str | Path | None = None,
        network: Callable[[Any], torch.nn.Module] | None = None,
        checkpoint: Literal["best", "last"] = "last",
        **options: Any,
    ) -> None:
        check_choice("checkpoint", checkpoint, ("best", "last"))
        self.train, self.val, self.test = train, val, test
        self.folder = folder
        self.network = network
        self.checkpoint = checkpoint
        self.options = options
        self.result: RescueResult | None = None

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Rescue, on the first process only; the others do not wait for it."""
        if not trainer.is_global_zero or trainer.fast_dev_run or trainer.interrupted:
            return
        if self.checkpoint == "best":  # which this fit has written itself, whatever is in it
            kept = torch.load(_best_path(trainer), map_location="cpu", weights_only=False)
            pl_module.load_state_dict(kept["state_dict"])
        model = pl_module if self.network is None else self.network(pl_module)
        with alone():
            self.result = rescue(
                self.train, model=model, val=self.val, test=self.test, **self.options
            )
            if self.folder is not None:
                self.result.save(self.folder)


def _best_path(trainer: Any) -> str:
    """The checkpoint that was kept: ours, or else that of another callback."""
    found = trainer.checkpoint_callbacks
    kept = [each for each in found if getattr(each, "best_model_path", "")]
    kept.sort(key=lambda each: not isinstance(each, BestClasswiseCheckpoint))
    if not kept:
        raise InputError(
            'RescueAtEnd(checkpoint="best") finds no checkpoint of this fit; add '
            "BestClasswiseCheckpoint to the callbacks."
        )
    path: str = kept[0].best_model_path
    return path
