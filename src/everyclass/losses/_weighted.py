"""What losses have in common that are means over images: weights, reduction, rows left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from everyclass.artifacts import ClassCounts, check_choice
from everyclass.errors import InputError, InputTypeError
from everyclass.losses._inputs import (
    Counts,
    check_label_range,
    check_label_values,
    checked_labels,
    loss_dtype,
    widest_dtype,
)
from everyclass.processes import Group, group_of, summed, weighted_mean

__all__ = ["LossModule", "Reduction", "checked_batch", "reduced"]

Reduction = Literal["mean", "sum", "none"]


class LossModule(nn.Module):
    """A loss function with its settings: class counts and weights as buffers, others as attributes.

    A subclass names its own settings in ``_shown``, keeps counts or weights or both in
    ``__init__``, and hands all to its function in ``forward``.

    Args:
        process_group: the processes whose batches are one batch, in training mode and where
            gradients are recorded, once torch.distributed is initialised; None: all of them.
        sync: False makes the batch of each process a batch of its own.
    """

    _shown: ClassVar[tuple[str, ...]] = ()
    class_counts: Tensor
    class_names: tuple[str, ...] | None
    weight: Tensor | None
    reduction: Reduction

    def __init__(self, *, process_group: Group = None, sync: bool = True) -> None:
        super().__init__()
        self.process_group = process_group
        self.sync = sync

    def _keep_counts(self, class_counts: Any) -> None:
        counts = ClassCounts.of(class_counts)
        self.register_buffer("class_counts", torch.tensor(counts.counts))
        self.class_names = counts.names

    def _keep_weighting(
        self, reduction: Reduction, weight: Tensor | None, ignore_index: int
    ) -> None:
        counts = self._buffers.get("class_counts")
        _check_weighting(reduction, weight, None if counts is None else len(counts))
        self.register_buffer("weight", weight)
        self.reduction = reduction
        self.ignore_index = ignore_index

    @property
    def _counts(self) -> Counts:
        return Counts(self.class_counts, self.class_names)

    @property
    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._shown}

    @property
    def _weighting(self) -> dict[str, Any]:
        names = ("reduction", "weight", "ignore_index")
        return {name: getattr(self, name) for name in names}

    def _mean_over_processes(
        self, function: Callable[..., Tensor], logits: Tensor, labels: Tensor, **options: Any
    ) -> Tensor:
        """The loss of a batch, which is a mean or a sum over images, of all processes' images.

        Args:
            function: from logits, labels and options to the loss, a mean or a sum.
            logits: (n, C), or (…, n, C); n may be 0 here if it is not everywhere.
            labels: (n,).
            options: of the function.
        """
        group = group_of(self)
        reduction = options.get("reduction", "mean")
        if group is None or reduction == "none":
            return function(logits, labels, **options)
        if len(labels) == 0:
            total, weight = logits.sum(), logits.new_zeros(())
        elif "reduction" in options:
            total = function(logits, labels, **{**options, "reduction": "sum"})
            weight = self._weight_of(labels, options["ignore_index"])
        else:
            total = function(logits, labels, **options) * len(labels)
            weight = total.new_tensor(len(labels))
        total = total.to(loss_dtype(logits))
        return summed(total, group) if reduction == "sum" else weighted_mean(total, weight, group)

    def _weight_of(self, labels: Tensor, ignore_index: int) -> Tensor:
        """What the sum of a batch's losses is divided by for their mean."""
        counted = labels[labels != ignore_index].long()
        weight = self._buffers.get("weight")
        if weight is None:
            return counted.new_tensor(len(counted))
        # In half precision a large sum has no digits left, or is infinite.
        return weight.to(labels.device, widest_dtype(labels))[counted].sum()

    def extra_repr(self) -> str:
        """Name the settings in the module's repr, by which a run knows its loss."""
        names = (*self._shown, "reduction", "ignore_index")
        parts = [f"{name}={getattr(self, name)!r}" for name in names if hasattr(self, name)]
        if "class_counts" in self._buffers:
            parts.insert(0, f"num_classes={len(self.class_counts)}")
        if not self.sync:
            parts.append("sync=False")
        return ", ".join(parts)


def checked_batch(
    logits: Tensor,
    labels: Tensor,
    counts: Counts | None,
    *,
    reduction: str,
    weight: Tensor | None,
    ignore_index: int,
    zero_allowed: bool = False,
    has_no: str = "probability 0",
) -> tuple[Tensor, Tensor | None]:
    """Return labels as int64 and weights in the type and place of the loss, after all checks.

    Args:
        logits, labels, reduction, weight, ignore_index: as a loss was given them.
        counts: the class counts, or None where the loss has none.
        zero_allowed, has_no: see :func:`check_label_values`.

    Raises:
        InputError, InputTypeError: as every loss documents them.
    """
    labels = checked_labels(logits, labels, None if counts is None else len(counts.values))
    _check_weighting(reduction, weight, logits.shape[1])
    if counts is None:
        check_label_range(labels, logits.shape[1], ignore_index)
    else:
        check_label_values(
            labels, *counts, zero_allowed=zero_allowed, ignore_index=ignore_index, has_no=has_no
        )
    return labels, None if weight is None else weight.to(logits.device, loss_dtype(logits))


def reduced(
    losses: Tensor,
    labels: Tensor,
    *,
    reduction: Reduction,
    weight: Tensor | None,
    ignore_index: int,
) -> Tensor:
    """Weigh (n,) losses by the class of their label and reduce them, as torch's cross entropy does.

    Args:
        losses: (n,) one per image.
        labels: (n,) int64.
        reduction, weight, ignore_index: as :func:`checked_batch` returns or was given them.

    Returns:
        Scalar, or (n,) without reduction, with 0 for the rows left out.
    """
    counted = labels != ignore_index
    factors = counted.to(losses.dtype)
    if weight is not None:
        factors = factors * weight.index_select(0, labels.where(counted, 0))
    losses = losses.where(counted, 0) * factors
    if reduction == "none":
        return losses
    total = losses.sum()
    return total if reduction == "sum" else total / factors.sum()


def _check_weighting(reduction: str, weight: Tensor | None, num_classes: int | None) -> None:
    check_choice("reduction", reduction, get_args(Reduction))
    if weight is None:
        return
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        got = weight.dtype if isinstance(weight, Tensor) else type(weight).__name__
        raise InputTypeError(f"weight must be a tensor of floating-point numbers; got {got}.")
    wanted = "C" if num_classes is None else num_classes
    if weight.ndim != 1 or (num_classes is not None and len(weight) != num_classes):
        raise InputError(
            f"weight must be ({wanted},), one factor per class; got shape {tuple(weight.shape)}."
        )
