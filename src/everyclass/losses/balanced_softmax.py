"""Balanced Softmax (Ren et al., NeurIPS 2020): cross entropy with class counts in the softmax."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everyclass.artifacts import ClassCounts
from everyclass.errors import InputError, InputTypeError
from everyclass.losses._inputs import (
    check_label_values,
    checked_labels,
    count_tensor,
    loss_dtype,
)

__all__ = ["BalancedSoftmaxLoss", "Reduction", "balanced_softmax_loss"]

Reduction = Literal["mean", "sum", "none"]


def balanced_softmax_loss(
    logits: Tensor,
    labels: Tensor,
    class_counts: Any,
    *,
    reduction: Reduction = "mean",
    weight: Tensor | None = None,
    ignore_index: int = -100,
) -> Tensor:
    """Cross entropy of logits that are raised by the logarithm of the class counts.

    ℓ_i = −log( N_{y_i} exp(o^i_{y_i}) / Σ_c N_c exp(o^i_c) ), N_c the training images of class c.

    The classifier is left to explain what the class frequencies do not, so at test time the plain
    logits are used. A class with count 0 has probability exactly 0 and its logit no gradient; a
    label of it is an error.

    Args:
        logits: (n, C) floating point, n ≥ 1.
        labels: (n,) integers in 0..C−1, or ``ignore_index``.
        class_counts: N, the training images per class: ClassCounts, list, array, tensor, or a
            dict by class. An integer tensor on the device of the logits is fastest, and what
            torch.compile wants.
        reduction: "mean", "sum" or "none". As in torch the mean divides by the summed weights of
            the rows that count, and is NaN where none does.
        weight: (C,) floating point, a factor for the loss of each class, or None.
        ignore_index: rows with this label do not count.

    Returns:
        Scalar, or (n,) without reduction; float32, or float64 for float64 logits.

    Raises:
        InputError: shapes that do not fit, an empty batch, a negative count, an unknown
            ``reduction``; on the CPU also a label outside 0..C−1 or of a class with count 0. On
            other devices and under torch.compile labels are not looked at: there a label of a
            class with count 0 gives an infinite loss.
        InputTypeError: labels or counts that are not whole numbers, logits or weights that are.

    Example:
        >>> logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
        >>> balanced_softmax_loss(logits, labels, [90, 10])
        tensor(0.7380)
        >>> balanced_softmax_loss(logits, labels, [90, 10], reduction="none")
        tensor([0.0149, 1.4612])

    References:
        Ren et al., Balanced Meta-Softmax for Long-Tailed Visual Recognition, NeurIPS 2020.
    """
    counts, names = count_tensor(class_counts)
    return _balanced_softmax(
        logits,
        labels,
        counts,
        names=names,
        reduction=reduction,
        weight=weight,
        ignore_index=ignore_index,
    )


class BalancedSoftmaxLoss(nn.Module):
    """Balanced Softmax as a module; see :func:`balanced_softmax_loss` for equation and errors.

    Args:
        class_counts: training images per class: ClassCounts, list, array, tensor, or a dict by
            class. Kept as the int64 buffer ``class_counts``, which no ``.half()`` narrows.
        reduction: "mean", "sum" or "none".
        weight: (C,) floating point, a factor for the loss of each class, or None; a buffer.
        ignore_index: rows with this label do not count.

    Shape:
        logits (n, C) and labels (n,) → scalar, or (n,) without reduction.

    Raises:
        InputError: counts, weights or a reduction that cannot be used; in ``forward`` as
            balanced_softmax_loss.
        InputTypeError: counts that are not whole numbers; in ``forward`` as
            balanced_softmax_loss.

    Example:
        >>> loss_fn = BalancedSoftmaxLoss({"cat": 90, "lynx": 10}, reduction="sum")
        >>> loss_fn(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))
        tensor(1.4761)
    """

    class_counts: Tensor
    weight: Tensor | None

    def __init__(
        self,
        class_counts: Any,
        *,
        reduction: Reduction = "mean",
        weight: Tensor | None = None,
        ignore_index: int = -100,
    ) -> None:
        super().__init__()
        counts = ClassCounts.of(class_counts)
        _check_options(reduction, weight, counts.num_classes)
        self.register_buffer("class_counts", torch.tensor(counts.counts))
        self.register_buffer("weight", weight)
        self.class_names = counts.names
        self.reduction: Reduction = reduction
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return _balanced_softmax(
            logits,
            labels,
            self.class_counts,
            names=self.class_names,
            reduction=self.reduction,
            weight=self.weight,
            ignore_index=self.ignore_index,
        )

    def extra_repr(self) -> str:
        """Name the settings in the module's repr."""
        return (
            f"num_classes={len(self.class_counts)}, reduction={self.reduction!r}, "
            f"ignore_index={self.ignore_index}"
        )


def _check_options(reduction: str, weight: Tensor | None, num_classes: int) -> None:
    if reduction not in get_args(Reduction):
        raise InputError(f"reduction must be 'mean', 'sum' or 'none'; got {reduction!r}.")
    if weight is None:
        return
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        got = weight.dtype if isinstance(weight, Tensor) else type(weight).__name__
        raise InputTypeError(f"weight must be a tensor of floating-point numbers; got {got}.")
    if weight.shape != (num_classes,):
        raise InputError(
            f"weight must be ({num_classes},), one factor per class; got shape "
            f"{tuple(weight.shape)}."
        )


def _balanced_softmax(
    logits: Tensor,
    labels: Tensor,
    counts: Tensor,
    *,
    names: tuple[str, ...] | None,
    reduction: Reduction,
    weight: Tensor | None,
    ignore_index: int,
) -> Tensor:
    _check_options(reduction, weight, len(counts))
    labels = checked_labels(logits, labels, len(counts))
    check_label_values(labels, counts, names, ignore_index=ignore_index)
    dtype = loss_dtype(logits)
    # float16 and bfloat16 logits are widened here, by the type of the logarithms.
    z = logits + counts.to(logits.device, dtype).log()
    weight = None if weight is None else weight.to(logits.device, dtype)
    return F.cross_entropy(z, labels, weight=weight, ignore_index=ignore_index, reduction=reduction)
