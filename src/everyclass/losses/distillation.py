"""Distillation (Hinton et al. 2015): a student follows the probabilities of a teacher."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from everyclass.artifacts import check_number
from everyclass.errors import InputError, InputTypeError
from everyclass.losses._inputs import loss_dtype, said_shape
from everyclass.losses._weighted import LossModule
from everyclass.processes import Group

__all__ = ["DistillationLoss", "check_distillation", "distillation_loss"]


def distillation_loss(
    logits: Tensor, teacher_logits: Tensor, *, temperature: float = 1.0, power: float = 1.0
) -> Tensor:
    """Divergence of a student's softened probabilities from a teacher's.

    L = T² · (1/n) Σ_i KL( q_i ‖ softmax(s_i / T) ),  q_i ∝ softmax(t_i / T)^p

    T² keeps the size of the gradient as T grows. The power flattens (p < 1) the teacher only; it
    equals a temperature of T / p for the teacher.

    Args:
        logits: s, (n, C) floating point, n ≥ 1, of the student.
        teacher_logits: t, of the same shape; no gradient goes there.
        temperature: T > 0.
        power: p > 0.

    Returns:
        Scalar, float32, or float64 for float64 logits.

    Raises:
        InputError: two shapes, an empty batch, no tensors; a temperature or power that is not
            above 0.
        InputTypeError: logits that are not floating-point numbers; a temperature or power that is
            no number.

    Example:
        >>> import torch
        >>> distillation_loss(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
        tensor(0.4338)
    """
    check_distillation(temperature, power)
    fitting = (
        isinstance(logits, Tensor)
        and isinstance(teacher_logits, Tensor)
        and logits.ndim == 2
        and logits.shape == teacher_logits.shape
        and len(logits) > 0
    )
    if not fitting:
        raise InputError(
            "logits and teacher_logits must both be tensors (n, C), n ≥ 1; got "
            f"{said_shape(logits)} and {said_shape(teacher_logits)}."
        )
    for name, values in (("logits", logits), ("teacher_logits", teacher_logits)):
        if not values.is_floating_point():
            raise InputTypeError(f"{name} must be floating-point numbers; got {values.dtype}.")
    dtype = loss_dtype(logits)
    followed = (teacher_logits.detach().to(dtype) * (power / temperature)).softmax(dim=1)
    own = (logits.to(dtype) / temperature).log_softmax(dim=1)
    own = own.where(followed > 0, 0)  # a masked class has log 0, of which 0 times is NaN
    return temperature**2 * F.kl_div(own, followed, reduction="batchmean")


def check_distillation(temperature: float, power: float) -> None:
    """Refuse settings that are none.

    Raises:
        InputError, InputTypeError: as :func:`distillation_loss`.
    """
    check_number("temperature", temperature, above=0)
    check_number("power", power, above=0)


class DistillationLoss(LossModule):
    """Distillation as a module; see :func:`distillation_loss` for the equation and errors.

    Args:
        temperature, power: > 0.
        process_group, sync: as in :class:`GMLLoss`.

    Shape:
        logits (n, C), teacher_logits (n, C) → scalar.

    Example:
        >>> import torch
        >>> loss_fn = DistillationLoss(temperature=2.0)
        >>> loss_fn(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
        tensor(0.4805)
    """

    _shown = ("temperature", "power")

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        power: float = 1.0,
        process_group: Group = None,
        sync: bool = True,
    ) -> None:
        super().__init__(process_group=process_group, sync=sync)
        check_distillation(temperature, power)
        self.temperature, self.power = temperature, power

    def forward(self, logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """Return the loss of a batch."""
        options = self._settings
        return self._mean_over_processes(distillation_loss, logits, teacher_logits, **options)
