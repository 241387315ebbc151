"""Callbacks for Lightning: recall per class in the log, checkpoints by it, a rescue at the end."""

from __future__ import annotations

import math
import pickle
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from everyclass.artifacts import check_choice, check_whole_number, quoted, some
from everyclass.errors import InputError, InputTypeError, MissingLibraryError, first_line
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
_OLD_STATE_KEY = "BestClasswiseCheckpoint"  # of checkpoints in which its metrics are not named
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
    found = _found(outputs, batch)
    if found is None:
        raise InputError(f"validation_step or test_step {_MUST_RETURN}")
    return found


def _found(outputs: Any, batch: Any) -> tuple[Tensor, Tensor] | None:
    """What :func:`predictions_of` returns; None where it is not there."""
    found = outputs if isinstance(outputs, dict) else {}
    logits = next((found[key] for key in _LOGIT_KEYS if key in found), None)
    sources = [found, batch if isinstance(batch, dict) else {}]
    labels = next((source[k] for source in sources for k in LABEL_KEYS if k in source), None)
    if labels is None and isinstance(batch, list | tuple) and len(batch) == 2:
        labels = batch[1]
    if not isinstance(logits, Tensor) or not isinstance(labels, Tensor):
        return None
    return logits, labels


class LogClasswiseRecall(Callback):  # type: ignore[misc]
    """Logs lowest recall, harmonic and geometric mean, and the recall of the k worst classes.

    One curve per class would flood the logger; the k classes that are worst after each validation
    are logged by name. ``trainer.callback_metrics`` has besides them those in ``always``, and any
    that another callback or a scheduler monitors, as ``val/recall/NAME``; a class without samples
    is NaN there. ``validation_step`` has to return ``{"logits": …}``; a batch for which it returns
    None is left out. ``trainer.test`` is logged the same way where ``test_step`` returns that and
    the labels are known.

    Args:
        num_classes: C.
        worst: k, of how many classes the recall is logged.
        always: names of classes whose recall is logged every time, whichever are worst.
        class_names: C different names in class order; default "0", "1", ….
        prefix: put in front of every name.
        test_prefix: put there by ``trainer.test``.
        predictions: (outputs, batch) → (logits or classes, labels), where they are found elsewhere;
            not asked where the outputs are None.
        dataloader: of several loaders the one that is judged, from 0, in validation and test.
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
        self._seen = self._counted = 0

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
        if _in_any_process(trainer, self._counted):
            self._log(trainer, pl_module, self.prefix)
        elif _in_any_process(trainer, self._seen):
            raise InputError(f"validation_step returned None for every batch; it {_MUST_RETURN}")

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
        """Count a batch, if it is of the loader that is judged and has logits and labels."""
        if self.predictions is not predictions_of or _found(outputs, batch) is not None:
            self._count(outputs, batch, dataloader_idx)

    def on_test_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Log what was counted, by all processes together; or say that there was nothing."""
        if _in_any_process(trainer, self._counted):
            self._log(trainer, pl_module, self.test_prefix)
            return
        loaders = len(trainer.num_test_batches)
        why = f"for that test_step {_MUST_RETURN}"
        if self.dataloader >= loaders:
            why = (
                f"dataloader={self.dataloader} is to be judged, from 0, and the number of test "
                f"loaders is {loaders}."
            )
        if trainer.is_global_zero:
            warnings.warn(
                f"LogClasswiseRecall has counted nothing in this test and logs nothing; {why}",
                stacklevel=2,
            )

    def _begin(self, pl_module: Any) -> None:
        self.recall = self.recall.to(pl_module.device)
        self.recall.reset()
        self._seen = self._counted = 0

    def _count(self, outputs: Any, batch: Any, dataloader_idx: int) -> None:
        if dataloader_idx != self.dataloader:
            return
        self._seen += 1
        if outputs is None:
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
        held, monitored = trainer.callback_metrics, _monitored(trainer)
        for name, value in zip(self.class_names, recall.float(), strict=True):
            key = f"{prefix}recall/{name}"
            # What is held must not keep the number of an epoch in which it was logged.
            if key in held or key in monitored or key in named:
                held[key] = value.clone()
        pl_module.log_dict(named, rank_zero_only=False, sync_dist=False)


def _in_any_process(trainer: Any, number: int) -> bool:
    """Whether it is above 0 in one of the processes, all of which have to ask."""
    said: bool = trainer.strategy.reduce_boolean_decision(number > 0, all=False)
    return said


def _monitored(trainer: Any) -> set[str]:
    """Names of the metrics that callbacks and schedulers of learning rates look at."""
    watching = [*trainer.callbacks, *trainer.lr_scheduler_configs]
    names = [getattr(each, key, None) for each in watching for key in ("monitor", "tie_break")]
    return {name for name in names if isinstance(name, str)}


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
                    "LogClasswiseRecall to the callbacks; the recall of any class is "
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

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Find the state in an older checkpoint, which may be of the only callback of this kind."""
        states = checkpoint.get("callbacks", {})
        alike = [each for each in trainer.callbacks if isinstance(each, BestClasswiseCheckpoint)]
        if self.state_key not in states and _OLD_STATE_KEY in states and alike == [self]:
            self.load_state_dict(states[_OLD_STATE_KEY])

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
            module, which has them afterwards, on the first process only. They are loaded without
            executing anything.
        options: of :func:`everyclass.rescue`.

    Attributes:
        result: after the fit, on the first process; ``result.to_module(network)`` is the network
            with the new last layer.

    Raises:
        InputError: when the fit ends, ``checkpoint="best"`` and none was kept, or it is a folder,
            or cannot be loaded without executing what is in it.
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
        if self.checkpoint == "best":
            weights = _weights_in(_best_path(trainer))
            pl_module.load_state_dict(weights, strict=pl_module.strict_loading)
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


def _weights_in(path: str) -> dict[str, Tensor]:
    """The weights in a checkpoint, read without executing anything."""
    other = 'take checkpoint="last", or load the weights yourself and call everyclass.rescue.'
    if Path(path).is_dir():
        raise InputError(f"{path} is a folder: a checkpoint in parts, which is not read; {other}")
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} holds more than weights and plain values, such as objects among the "
            f"hyperparameters ({first_line(error)}), and nothing in it is executed; allow their "
            f"classes by torch.serialization.add_safe_globals, {other}"
        ) from error
    weights: dict[str, Tensor] = kept["state_dict"]
    return weights
