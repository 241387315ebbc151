"""Losses and metrics for the Trainer of transformers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor, nn

from everyclass.errors import InputError, InputTypeError
from everyclass.metrics import geometric_mean, harmonic_mean, per_class_recall
from everyclass.nn import logits_of

__all__ = ["compute_loss_func", "compute_metrics"]

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
    the sum of their weights.

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


def compute_metrics(predictions: Any) -> dict[str, float]:
    """``Trainer(compute_metrics=…)``: accuracy, harmonic mean and lowest recall, and their like.

    ``TrainingArguments(metric_for_best_model="harmonic_mean")`` then keeps the checkpoint in which
    every class counts. Rows with the label -100 are left out, as in the loss.

    Args:
        predictions: what the Trainer passes: logits (…, C) and labels (…).

    Raises:
        InputError: no row has a label other than -100, or there is not one label per row.

    Example:
        >>> said = np.array([[2.0, 0.0], [1.0, 0.0]]), np.array([0, 1])
        >>> compute_metrics(said)["lowest_recall"]
        0.0
    """
    logits, labels = predictions
    logits = logits[0] if isinstance(logits, tuple) else logits
    logits, labels = np.asarray(logits), np.asarray(labels)
    if labels.shape != logits.shape[:-1]:
        raise InputError(
            f"The Trainer gave labels of shape {labels.shape} for logits of shape {logits.shape}; "
            "every row of logits needs one label."
        )
    counts = labels != IGNORED
    if not counts.any():
        raise InputError(
            f"None of the {labels.size:,} labels is a class, all are {IGNORED}, which does not "
            "count; evaluate on a data set with labels."
        )
    predicted, labels = logits.argmax(axis=-1)[counts], labels[counts]
    recall = per_class_recall(labels, predicted, logits.shape[-1])
    return {
        "accuracy": float((predicted == labels).mean()),
        "balanced_accuracy": float(np.nanmean(recall)),
        "geometric_mean": geometric_mean(recall),
        "harmonic_mean": harmonic_mean(recall),
        "lowest_recall": float(np.nanmin(recall)),
    }
