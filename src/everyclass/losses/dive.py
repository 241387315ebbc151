"""DiVE (He et al., ICCV 2021): a teacher's soft labels as virtual examples of other classes."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from everyclass.artifacts import check_number
from everyclass.losses._inputs import check_label_range, checked_labels, count_tensor
from everyclass.losses._weighted import LossModule
from everyclass.losses.balanced_softmax import balanced_softmax_loss
from everyclass.losses.distillation import check_distillation, distillation_loss
from everyclass.processes import Group

__all__ = ["DiVELoss", "dive_loss"]


def dive_loss(
    logits: Tensor,
    labels: Tensor,
    class_counts: Any,
    teacher_logits: Tensor,
    *,
    alpha: float = 0.5,
    temperature: float = 2.0,
    power: float = 0.5,
) -> Tensor:
    """Balanced softmax on the labels and distillation from a flattened teacher.

    L = (1 − α) · BSCE(s, y) + α · T² · KL( q ‖ softmax(s / T) ),  q ∝ softmax(t / T)^p

    A soft label is a fraction of an example of each class; T and p are chosen so that these virtual
    examples are spread more evenly than the real ones. The paper says T = 3, the published code for
    CIFAR has 2, which gave the published numbers.

    Args:
        logits: s, (n, C) floating point, n ≥ 1.
        labels: y, (n,) integers in 0..C−1.
        class_counts: training images per class, in any form that ClassCounts.of takes.
        teacher_logits: t, (n, C), of a network trained with balanced softmax.
        alpha: α in 0..1.
        temperature: T > 0.
        power: p > 0.

    Returns:
        Scalar, float32, or float64 for float64 logits.

    Raises:
        InputError, InputTypeError: as balanced_softmax_loss and distillation_loss.

    Example:
        >>> import torch
        >>> logits, teacher = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]])
        >>> dive_loss(logits, torch.tensor([0]), [90, 10], teacher)
        tensor(0.2477)
    """
    _check(alpha, temperature, power)
    counts = count_tensor(class_counts)
    labels = checked_labels(logits, labels, len(counts.values))
    check_label_range(labels, len(counts.values))  # balanced softmax leaves rows of −100 out
    hard = balanced_softmax_loss(logits, labels, counts)
    soft = distillation_loss(logits, teacher_logits, temperature=temperature, power=power)
    return (1 - alpha) * hard + alpha * soft


class DiVELoss(LossModule):
    """DiVE as a module; see :func:`dive_loss` for the equation and errors.

    Args:
        class_counts: training images per class; kept as the int64 buffer ``class_counts``.
        alpha: weight of the distillation, in 0..1.
        temperature, power: of the distillation, > 0.
        process_group, sync: as in :class:`GMLLoss`.

    Shape:
        logits (n, C), labels (n,), teacher_logits (n, C) → scalar.

    Raises:
        InputError, InputTypeError: as dive_loss, settings at once, a batch in ``forward``.

    Example:
        >>> import torch
        >>> loss_fn = DiVELoss([90, 10])
        >>> loss_fn(torch.tensor([[2.0, 0.0]]), torch.tensor([0]), torch.tensor([[0.0, 0.0]]))
        tensor(0.2477)
    """

    _shown = ("alpha", "temperature", "power")

    def __init__(
        self,
        class_counts: Any,
        *,
        alpha: float = 0.5,
        temperature: float = 2.0,
        power: float = 0.5,
        process_group: Group = None,
        sync: bool = True,
    ) -> None:
        super().__init__(process_group=process_group, sync=sync)
        _check(alpha, temperature, power)
        self.alpha, self.temperature, self.power = alpha, temperature, power
        self._keep_counts(class_counts)

    def forward(self, logits: Tensor, labels: Tensor, teacher_logits: Tensor) -> Tensor:
        """Return the loss of a batch."""
        options = self._settings
        options |= {"class_counts": self._counts, "teacher_logits": teacher_logits}
        return self._mean_over_processes(dive_loss, logits, labels, **options)


def _check(alpha: float, temperature: float, power: float) -> None:
    check_number("alpha", alpha, 0.0, 1.0)
    check_distillation(temperature, power)
