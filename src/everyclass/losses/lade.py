"""LADE (Hong et al., CVPR 2021): balanced softmax, and logits that know no class frequencies."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from everyclass.artifacts import check_number
from everyclass.losses._weighted import LossModule
from everyclass.losses.lader import Importance, check_lader, lade_inputs, regulariser
from everyclass.processes import Group, group_of, weighted_mean

__all__ = ["LADELoss", "lade_loss"]


def lade_loss(
    logits: Tensor,
    labels: Tensor,
    class_counts: Any,
    *,
    alpha: float = 0.1,
    penalty: float = 0.01,
    importance: Importance = "class",
) -> Tensor:
    """Balanced softmax plus α times LADE's regulariser.

    L = −(1/n) Σ_i log( π_{y_i} exp(o^i_{y_i}) / Σ_c π_c exp(o^i_c) ) + α R

    R is :func:`lade_regulariser`, which says what differs between paper and code. At test time use
    the plain logits. α = 0 is balanced softmax.

    Args:
        logits, labels, class_counts, penalty, importance: see :func:`lade_regulariser`.
        alpha: α ≥ 0; 0.1 for CIFAR, 0.05 for ImageNet, 0.005 for Places.

    Returns:
        Scalar, float32, or float64 for float64 logits.

    Raises:
        InputError, InputTypeError: as lade_regulariser; a negative ``alpha``.

    Example:
        >>> import torch
        >>> logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
        >>> lade_loss(logits, labels, [90, 10])
        tensor(0.6476)
    """
    check_number("alpha", alpha)
    check_lader(penalty, importance)
    z, labels, log_prior = lade_inputs(logits, labels, class_counts)
    loss = F.cross_entropy(z + log_prior, labels)
    return loss + alpha * regulariser(z, labels, log_prior, penalty, importance)


class LADELoss(LossModule):
    """LADE as a module; see :func:`lade_loss` for equations and errors.

    Args:
        class_counts: training images per class; kept as the int64 buffer ``class_counts``.
        alpha: α ≥ 0, the weight of the regulariser.
        penalty: λ ≥ 0 in it.
        importance: "class" or "sample".
        process_group, sync: as in :class:`GMLLoss`.

    Shape:
        logits (n, C) and labels (n,) → scalar.

    Raises:
        InputError, InputTypeError: as lade_loss, settings at once, a batch in ``forward``.

    Example:
        >>> import torch
        >>> loss_fn = LADELoss({"cat": 90, "lynx": 10})
        >>> loss_fn(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))
        tensor(0.6476)
    """

    _shown = ("alpha", "penalty", "importance")

    def __init__(
        self,
        class_counts: Any,
        *,
        alpha: float = 0.1,
        penalty: float = 0.01,
        importance: Importance = "class",
        process_group: Group = None,
        sync: bool = True,
    ) -> None:
        super().__init__(process_group=process_group, sync=sync)
        check_number("alpha", alpha)
        check_lader(penalty, importance)
        self.alpha, self.penalty, self.importance = alpha, penalty, importance
        self._keep_counts(class_counts)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch."""
        options = self._settings
        group = group_of(self)
        if group is None:
            return lade_loss(logits, labels, self._counts, **options)
        z, labels, log_prior = lade_inputs(logits, labels, self._counts, may_be_empty=True)
        extra = regulariser(z, labels, log_prior, self.penalty, self.importance, group=group)
        total = F.cross_entropy(z + log_prior, labels, reduction="sum")
        return weighted_mean(total, total.new_tensor(len(labels)), group) + self.alpha * extra
