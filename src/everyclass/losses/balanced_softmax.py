"""Balanced Softmax (Ren et al., NeurIPS 2020): cross entropy with class counts in the softmax."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from everyclass.losses._weighted import LossModule, Reduction
from everyclass.losses.logit_adjustment import logit_adjusted_loss
from everyclass.processes import Group

__all__ = ["BalancedSoftmaxLoss", "balanced_softmax_loss"]


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
        >>> import torch
        >>> logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
        >>> balanced_softmax_loss(logits, labels, [90, 10])
        tensor(0.7380)
        >>> balanced_softmax_loss(logits, labels, [90, 10], reduction="none")
        tensor([0.0149, 1.4612])

    References:
        Ren et al., Balanced Meta-Softmax for Long-Tailed Visual Recognition, NeurIPS 2020.
    """
    return logit_adjusted_loss(
        logits,
        labels,
        class_counts,
        reduction=reduction,
        weight=weight,
        ignore_index=ignore_index,
    )


class BalancedSoftmaxLoss(LossModule):
    """Balanced Softmax as a module; see :func:`balanced_softmax_loss` for equation and errors.

    Args:
        class_counts: training images per class: ClassCounts, list, array, tensor, or a dict by
            class. Kept as the int64 buffer ``class_counts``, which no ``.half()`` narrows.
        reduction: "mean", "sum" or "none".
        weight: (C,) floating point, a factor for the loss of each class, or None; a buffer.
        ignore_index: rows with this label do not count.
        process_group, sync: as in :class:`GMLLoss`.

    Shape:
        logits (n, C) and labels (n,) → scalar, or (n,) without reduction.

    Raises:
        InputError: counts, weights or a reduction that cannot be used; in ``forward`` as
            balanced_softmax_loss.
        InputTypeError: counts that are not whole numbers; in ``forward`` as
            balanced_softmax_loss.

    Example:
        >>> import torch
        >>> loss_fn = BalancedSoftmaxLoss({"cat": 90, "lynx": 10}, reduction="sum")
        >>> loss_fn(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))
        tensor(1.4761)
    """

    def __init__(
        self,
        class_counts: Any,
        *,
        reduction: Reduction = "mean",
        weight: Tensor | None = None,
        ignore_index: int = -100,
        process_group: Group = None,
        sync: bool = True,
    ) -> None:
        super().__init__(process_group=process_group, sync=sync)
        self._keep_counts(class_counts)
        self._keep_weighting(reduction, weight, ignore_index)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch."""
        options = {"class_counts": self._counts, **self._weighting}
        return self._mean_over_processes(balanced_softmax_loss, logits, labels, **options)
