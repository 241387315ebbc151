"""Losses and metrics for the Trainer of transformers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from everyclass.artifacts import as_array
from everyclass.errors import InputError, InputTypeError
from everyclass.metrics import geometric_mean, harmonic_mean
from everyclass.nn import logits_of
from everyclass.processes import group_of

__all__ = ["BatchMetrics", "compute_loss_func", "compute_metrics"]

IGNORED = -100  # labels of rows that the Trainer does not count either


def compute_loss_func(
    loss: nn.Module,
) -> Callable[[Any, Tensor, Tensor | int | None], Tensor]:
    """``Trainer(compute_loss_func=…)`` of a loss of this library or of torch.

    The Trainer adds up the losses of the micro-batches of a step, and of all processes, without
    dividing; so a function that returns a mean makes gradients too large by as many times. Here
    each micro-batch counts by its share of the images of the step:

    - a loss per sample (one with a ``reduction``) is summed and divided by the images of the
      step, which is exactly the mean over all of them;
    - the geometric-mean loss is no mean over images; the step minimises the mean of the losses of
      its micro-batches, weighted by their sizes. p̄_c is then taken over a micro-batch, so prefer
      large ones.

    A ``weight`` per class is a factor on each sample: the sum is divided by the images, and not by
    the sum of their weights. Of a micro-batch in which no label counts, all being -100, the loss is
    0.

    Args:
        loss: such as ``ec.losses.GMLLoss(class_counts)`` or ``nn.CrossEntropyLoss()``.

    Returns:
        A function of (outputs, labels, num_items_in_batch). Where the last is not given, as in
        evaluation, the images of the batch are meant.

    Raises:
        InputTypeError: the loss has ``reduction="none"`` or is no module.

    Example:
        >>> import torch
        >>> function = compute_loss_func(nn.CrossEntropyLoss())
        >>> logits, labels = torch.zeros(2, 4), torch.tensor([0, 3])
        >>> function({"logits": logits}, labels, 8)  # a quarter of the step
        tensor(0.3466)
    """
    if not isinstance(loss, nn.Module):
        raise InputTypeError(f"loss must be a module such as GMLLoss; got {type(loss).__name__}.")
    if getattr(loss, "reduction", "mean") == "none":
        raise InputTypeError("loss has reduction='none'; the Trainer needs one number: use 'mean'.")
    has_reduction = hasattr(loss, "reduction")

    def function(
        outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        counts = labels != IGNORED
        logits, labels = logits_of(outputs).float()[counts], labels[counts]
        items = len(labels) if num_items_in_batch is None else num_items_in_batch
        loss.to(logits.device)
        if not len(labels) and (has_reduction or not _waits_for_others(loss)):
            return logits.sum()  # of nothing: 0, with a gradient of 0
        if not has_reduction:
            return loss(logits, labels) * (len(labels) / items)
        # The Trainer adds up the processes itself, so a loss of ours may not.
        kept = {name: getattr(loss, name) for name in ("reduction", "sync") if hasattr(loss, name)}
        for name, value in {"reduction": "sum", "sync": False}.items():
            if name in kept:
                setattr(loss, name, value)
        try:
            return loss(logits, labels) / items
        finally:
            for name, value in kept.items():
                setattr(loss, name, value)

    return function


def _waits_for_others(loss: nn.Module) -> bool:
    """Whether other processes wait until this one has given the loss its rows, if only none."""
    parts = (part for part in loss.modules() if getattr(part, "sync", False))
    return any(group_of(part) is not None for part in parts)


def compute_metrics(predictions: Any) -> dict[str, float]:
    """``Trainer(compute_metrics=…)``: accuracy, harmonic mean and lowest recall, and their like.

    ``TrainingArguments(metric_for_best_model="harmonic_mean")`` then keeps the checkpoint in which
    every class counts. Rows with the label -100 are left out, as in the loss. With
    ``batch_eval_metrics=True`` take :class:`BatchMetrics`.

    Args:
        predictions: what the Trainer passes: logits (…, C) and labels (…).

    Raises:
        InputError: no row has a label other than -100, there is not one label per row, a logit of
            a row that counts is NaN, or there are classes in the place of logits.

    Example:
        >>> said = np.array([[2.0, 0.0], [1.0, 0.0]]), np.array([0, 1])
        >>> compute_metrics(said)["lowest_recall"]
        0.0
    """
    return _means(*_counts(predictions))


class BatchMetrics:
    """:func:`compute_metrics` for ``TrainingArguments(batch_eval_metrics=True)``, batch by batch.

    ``Trainer(compute_metrics=BatchMetrics())``, one for each Trainer: it keeps two counts per class
    from one batch to the next. After a batch that it refuses it begins anew; an evaluation that was
    interrupted between two batches leaves its counts, so then take a new object.

    Raises:
        InputError: when it is called, as :func:`compute_metrics`.

    Example:
        >>> metrics = BatchMetrics()
        >>> metrics((np.array([[2.0, 0.0]]), np.array([0])), compute_result=False)
        {}
        >>> metrics((np.array([[1.0, 0.0]]), np.array([1])), compute_result=True)["accuracy"]
        0.5
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._right: npt.NDArray[np.int64] | int = 0
        self._support: npt.NDArray[np.int64] | int = 0

    def __call__(self, predictions: Any, compute_result: bool = True) -> dict[str, float]:
        """Count a batch; after the last one say the result and begin anew.

        Args:
            predictions: what the Trainer passes: logits (…, C) and labels (…).
            compute_result: whether the batch is the last one.
        """
        try:
            right, support = _counts(predictions)
        except BaseException:  # which ends the evaluation
            self._begin()
            raise
        right, support = self._right + right, self._support + support
        if not compute_result:
            self._right, self._support = right, support
            return {}
        self._begin()
        return _means(right, support)


def _counts(predictions: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Right and all samples of each class, of what the Trainer passes."""
    if hasattr(predictions, "label_ids"):  # which may have inputs and losses beside them
        logits, labels = predictions.predictions, predictions.label_ids
    else:
        logits, labels = predictions
    logits = as_array(logits[0] if isinstance(logits, tuple) else logits)
    labels = as_array(labels)
    if logits.shape == labels.shape:
        raise InputError(
            f"The Trainer gave one number per label, of shape {logits.shape}, in the place of "
            "logits; preprocess_logits_for_metrics has to return the logits."
        )
    if labels.shape != logits.shape[:-1]:
        raise InputError(
            f"The Trainer gave labels of shape {labels.shape} for logits of shape {logits.shape}; "
            "every row of logits needs one label."
        )
    classes = logits.shape[-1]
    said = logits.argmax(axis=-1)
    largest = np.take_along_axis(logits, said[..., None], axis=-1)[..., 0]
    counts = labels != IGNORED
    said, largest, labels = said[counts], largest[counts], labels[counts]
    wrong = np.isnan(largest)  # NaN is what argmax takes for the largest
    if wrong.any():
        raise InputError(
            f"The network gave NaN in {wrong.sum():,} of {len(wrong):,} rows that count; look for "
            "what made it do so, such as a learning rate that is too high."
        )
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise InputError(
            f"There are labels {labels.min()}..{labels.max()}, and the network has {classes} "
            f"classes; a label is 0..{classes - 1}, or {IGNORED} where it does not count."
        )
    support = np.bincount(labels, minlength=classes)
    right = np.bincount(labels[said == labels], minlength=classes)
    return right, support


def _means(right: npt.NDArray[np.int64], support: npt.NDArray[np.int64]) -> dict[str, float]:
    """What is made of the counts of each class."""
    if not support.any():
        raise InputError(
            f"None of the labels is a class, all are {IGNORED}, which does not count; evaluate on "
            "a data set with labels."
        )
    recall = np.full(len(support), np.nan)
    np.divide(right, support, out=recall, where=support > 0)
    return {
        "accuracy": float(right.sum() / support.sum()),
        "balanced_accuracy": float(np.nanmean(recall)),
        "geometric_mean": geometric_mean(recall),
        "harmonic_mean": harmonic_mean(recall),
        "lowest_recall": float(np.nanmin(recall)),
    }
