"""Focal loss (Lin et al., ICCV 2017): what is classified well already counts less."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from everyclass.artifacts import check_choice, check_number
from everyclass.losses._inputs import loss_dtype
from everyclass.losses._weighted import LossModule, Reduction, checked_batch, reduced
from everyclass.processes import Group

__all__ = ["FocalForm", "FocalLoss", "check_focal", "focal_loss"]

FocalForm = Literal["softmax", "sigmoid"]


def focal_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    gamma: float = 1.0,
    form: FocalForm = "softmax",
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
    ignore_index: int = -100,
) -> Tensor:
    """Cross entropy times (1 − p)^γ, p the probability of the truth.

    softmax: ℓ_i = −(1 − p_y)^γ log p_y, p = softmax(o^i), y = y_i
    sigmoid: ℓ_i = −Σ_c (1 − q_c)^γ log q_c, q_c = σ(o^i_c) for c = y_i and σ(−o^i_c) for the others

    γ = 0 makes the softmax form cross entropy, and the sigmoid form binary cross entropy summed
    over the classes. The factor is that of the probability itself, and has a gradient. In LDAM's
    code it comes from the weighted loss, so that with weights its p is no probability; in LADE's
    it is a constant. Neither is done here. However sure or wrong the classifier is, the gradient
    stays finite, also for γ < 1.

    The sigmoid form, of the paper and of class-balanced focal loss, starts badly unless the bias
    of the last layer does at −log(C − 1), so that all classes together begin with probability 1.

    Args:
        logits: (n, C) floating point, n ≥ 1.
        labels: (n,) integers in 0..C−1, or ``ignore_index``.
        gamma: γ ≥ 0; 2 in the paper, 0.5 to 2 in use on long tails.
        form: "softmax" or "sigmoid".
        weight, reduction, ignore_index: as in torch.nn.functional.cross_entropy. The weight of an
            image's class multiplies all terms of its ℓ_i, and the mean divides by the summed
            weights, in both forms; class-balanced focal loss divides by n, which is
            ``reduction="none"`` and then ``.mean()``.

    Returns:
        Scalar, or (n,) without reduction; float32, or float64 for float64 logits.

    Raises:
        InputError: shapes that do not fit, an empty batch, a negative ``gamma``, an unknown
            ``form`` or ``reduction``; on the CPU also a label outside 0..C−1.
        InputTypeError: labels that are not whole numbers, logits or weights that are.

    Example:
        >>> logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
        >>> focal_loss(logits, labels, gamma=2.0)
        tensor(0.0122)
        >>> focal_loss(logits, labels, gamma=2.0, form="sigmoid")
        tensor(0.1855)

    References:
        Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, equation 4.
    """
    check_focal(gamma, form)
    labels, weight = checked_batch(
        logits, labels, None, reduction=reduction, weight=weight, ignore_index=ignore_index
    )
    z = logits.to(loss_dtype(logits))
    if form == "sigmoid":
        losses = _of_sigmoids(z, labels.where(labels != ignore_index, 0), gamma)
    else:
        losses = F.cross_entropy(z, labels, ignore_index=ignore_index, reduction="none")
        if gamma:
            # At p = 1 the power has no finite slope for γ < 1; there the loss has slope 0.
            smallest = torch.finfo(losses.dtype).tiny
            losses = losses * (-torch.expm1(-losses)).clamp(min=smallest) ** gamma
    return reduced(losses, labels, reduction=reduction, weight=weight, ignore_index=ignore_index)


class FocalLoss(LossModule):
    """Focal loss as a module; see :func:`focal_loss` for equations and errors.

    Args:
        gamma: γ ≥ 0.
        form: "softmax" or "sigmoid".
        weight, reduction, ignore_index: as in torch.nn.CrossEntropyLoss.
        process_group, sync: as in :class:`GMLLoss`.

    Shape:
        logits (n, C) and labels (n,) → scalar, or (n,) without reduction.

    Raises:
        InputError, InputTypeError: as focal_loss, settings at once, a batch in ``forward``.

    Example:
        >>> loss_fn = FocalLoss(gamma=2.0)
        >>> loss_fn(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))
        tensor(0.0122)
    """

    _shown = ("gamma", "form")

    def __init__(
        self,
        *,
        gamma: float = 1.0,
        form: FocalForm = "softmax",
        weight: Tensor | None = None,
        reduction: Reduction = "mean",
        ignore_index: int = -100,
        process_group: Group = None,
        sync: bool = True,
    ) -> None:
        super().__init__(process_group=process_group, sync=sync)
        check_focal(gamma, form)
        self.gamma = gamma
        self.form: FocalForm = form
        self._keep_weighting(reduction, weight, ignore_index)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch."""
        options = {"gamma": self.gamma, "form": self.form, **self._weighting}
        return self._mean_over_processes(focal_loss, logits, labels, **options)


def check_focal(gamma: float, form: str) -> None:
    """Refuse a focusing exponent or a form that is none.

    Raises:
        InputError, InputTypeError: as :func:`focal_loss`.
    """
    check_number("gamma", gamma)
    check_choice("form", form, get_args(FocalForm))


def _of_sigmoids(z: Tensor, rows: Tensor, gamma: float) -> Tensor:
    signs = torch.full_like(z, -1.0).scatter(1, rows[:, None], 1.0)
    losses = -F.logsigmoid(signs * z)
    if gamma:  # else the factor is 1, and not the power 0 of log 0
        losses = losses * (gamma * F.logsigmoid(-signs * z)).exp()
    return losses.sum(dim=1)
