"""Logit adjustment (Menon et al., ICLR 2021): class frequencies in the loss, or taken out after."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from everyclass.artifacts import ClassCounts, check_number
from everyclass.errors import InputError, InputTypeError
from everyclass.losses._inputs import can_look, count_tensor, loss_dtype
from everyclass.losses._weighted import LossModule, Reduction, checked_batch
from everyclass.processes import Group

__all__ = ["LogitAdjustedLoss", "adjust_logits", "logit_adjusted_loss"]


def logit_adjusted_loss(
    logits: Tensor,
    labels: Tensor,
    class_counts: Any,
    *,
    tau: float = 1.0,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
    ignore_index: int = -100,
) -> Tensor:
    """Cross entropy of logits that are raised by τ log π_c, π_c the share of class c in training.

    ℓ_i = −log( π_{y_i}^τ exp(o^i_{y_i}) / Σ_c π_c^τ exp(o^i_c) )

    τ = 1 is :func:`balanced_softmax_loss`, τ = 0 cross entropy, and more than 1 favours rare
    classes beyond balance. At test time use the plain logits, without :func:`adjust_logits`: this
    loss and that function are two ways to the same end. A class with count 0 has probability
    exactly 0, where the published code adds 1e-12 to π^τ; with τ = 0 it is like any other.

    Args:
        logits: (n, C) floating point, n ≥ 1.
        labels: (n,) integers in 0..C−1, or ``ignore_index``.
        class_counts: training images per class, in any form that ClassCounts.of takes.
        tau: τ ≥ 0; 1 in the paper's tables.
        weight, reduction, ignore_index: as in torch.nn.functional.cross_entropy.

    Returns:
        Scalar, or (n,) without reduction; float32, or float64 for float64 logits.

    Raises:
        InputError: as balanced_softmax_loss; a negative ``tau``.
        InputTypeError: as balanced_softmax_loss.

    Example:
        >>> logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
        >>> logit_adjusted_loss(logits, labels, [90, 10])
        tensor(0.7380)
        >>> logit_adjusted_loss(logits, labels, [90, 10], tau=0.5)
        tensor(0.3939)

    References:
        Menon et al., Long-Tail Learning via Logit Adjustment, ICLR 2021.
    """
    check_number("tau", tau)
    counts = count_tensor(class_counts)
    weighting: dict[str, Any] = {"reduction": reduction, "ignore_index": ignore_index}
    labels, weight = checked_batch(
        logits, labels, counts, weight=weight, zero_allowed=tau == 0, **weighting
    )
    # float16 and bfloat16 logits are widened here, by the type of the logarithms.
    z = logits + _times_log(tau, counts.values.to(logits.device, loss_dtype(logits)))
    return F.cross_entropy(z, labels, weight=weight, **weighting)


class LogitAdjustedLoss(LossModule):
    """Logit adjustment as a module; see :func:`logit_adjusted_loss` for equation and errors.

    Args:
        class_counts: training images per class; kept as the int64 buffer ``class_counts``.
        tau: τ ≥ 0.
        weight, reduction, ignore_index: as in torch.nn.CrossEntropyLoss.
        process_group, sync: as in :class:`GMLLoss`.

    Shape:
        logits (n, C) and labels (n,) → scalar, or (n,) without reduction.

    Raises:
        InputError, InputTypeError: as logit_adjusted_loss, settings at once, a batch in
            ``forward``.

    Example:
        >>> loss_fn = LogitAdjustedLoss({"cat": 90, "lynx": 10}, tau=0.5)
        >>> loss_fn(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))
        tensor(0.3939)
    """

    _shown = ("tau",)

    def __init__(
        self,
        class_counts: Any,
        *,
        tau: float = 1.0,
        weight: Tensor | None = None,
        reduction: Reduction = "mean",
        ignore_index: int = -100,
        process_group: Group = None,
        sync: bool = True,
    ) -> None:
        super().__init__(process_group=process_group, sync=sync)
        check_number("tau", tau)
        self.tau = tau
        self._keep_counts(class_counts)
        self._keep_weighting(reduction, weight, ignore_index)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch."""
        options = {"class_counts": self._counts, "tau": self.tau, **self._weighting}
        return self._mean_over_processes(logit_adjusted_loss, logits, labels, **options)


def adjust_logits(logits: Tensor, class_counts: Any, *, tau: float = 1.0) -> Tensor:
    """Take the class frequencies out of the logits of a finished classifier: o_c − τ log π_c.

    For a classifier trained by plain cross entropy on data with the given counts. With τ = 1 the
    softmax of the result is what the classifier would say if all classes were equally frequent
    (PC-softmax). The logarithm is taken from the *logits*, never from probabilities.

    Args:
        logits: (…, C) floating point.
        class_counts: training images per class, each ≥ 1, in any form that ClassCounts.of takes.
        tau: τ ≥ 0.

    Returns:
        The shape of the logits; float32, or float64 for float64 logits.

    Raises:
        InputError: another number of classes, a negative ``tau``, or a class without training
            images, of whose logit nothing is known; looked for where the counts are on the CPU.
        InputTypeError: logits that are not floating-point numbers.

    Example:
        >>> adjust_logits(torch.tensor([2.0, 0.0]), [90, 10])
        tensor([2.1054, 2.3026])
    """
    check_number("tau", tau)
    values, names = count_tensor(class_counts)
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        got = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
        raise InputTypeError(f"logits must be a tensor of floating-point numbers; got {got}.")
    if logits.ndim == 0 or logits.shape[-1] != len(values):
        raise InputError(
            f"class_counts has {len(values)} entries and logits the shape {tuple(logits.shape)}; "
            "give one count per class, in class order."
        )
    if tau and can_look(values) and not values.all():
        known = ClassCounts(values.numpy(), names=names)
        raise InputError(
            f"{known.describe(int(known.missing[0]))} has no training image and so log π = −∞; "
            "leave its column out of logits and class_counts."
        )
    counts = values.to(logits.device, loss_dtype(logits))
    return logits - _times_log(tau, counts / counts.sum())


def _times_log(tau: float, values: Tensor) -> Tensor:
    # 0 · log 0 would be NaN, where 0⁰ is 1.
    return tau * values.log() if tau else torch.zeros_like(values)
