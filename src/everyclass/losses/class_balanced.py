"""Class-balanced loss (Cui et al., CVPR 2019): cross entropy or focal loss, weighted by class."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from everyclass.artifacts import check_number
from everyclass.losses._inputs import count_tensor, loss_dtype, widest_dtype
from everyclass.losses._weighted import LossModule, Reduction, checked_batch
from everyclass.losses.class_weights import class_balanced_weights
from everyclass.losses.focal import FocalForm, check_focal, focal_loss
from everyclass.processes import Group

__all__ = ["ClassBalancedLoss", "class_balanced_loss"]


def class_balanced_loss(
    logits: Tensor,
    labels: Tensor,
    class_counts: Any,
    *,
    beta: float = 0.9999,
    gamma: float = 0.0,
    form: FocalForm = "softmax",
    reduction: Reduction = "mean",
    ignore_index: int = -100,
) -> Tensor:
    """Cross entropy, or with ``gamma`` focal loss, with class-balanced weights.

    ℓ_i = w_{y_i} · focal_i, w as in :func:`class_balanced_weights`, focal as in :func:`focal_loss`

    The mean is torch's: it divides by the summed weights of the images. The authors divide by n,
    which is ``reduction="none"`` and then ``.mean()``. A label of a class with count 0 is an error.
    From the first epoch large β hurts on long tails; see :class:`DeferredLoss`.

    Args:
        logits: (n, C) floating point, n ≥ 1.
        labels: (n,) integers in 0..C−1, or ``ignore_index``.
        class_counts: training images per class, in any form that ClassCounts.of takes.
        beta: β in 0..1.
        gamma: γ ≥ 0 of the focal loss; 0: cross entropy.
        form: "softmax" or, as in the authors' code, "sigmoid".
        reduction, ignore_index: as in torch.nn.functional.cross_entropy.

    Returns:
        Scalar, or (n,) without reduction; float32, or float64 for float64 logits.

    Raises:
        InputError, InputTypeError: as class_balanced_weights and focal_loss; on the CPU also a
            label of a class with count 0, which elsewhere has weight 0.

    Example:
        >>> import torch
        >>> logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
        >>> class_balanced_loss(logits, labels, [90, 10])
        tensor(0.2946)
    """
    check_number("beta", beta, 0.0, 1.0)
    check_focal(gamma, form)
    counts = count_tensor(class_counts)
    options: dict[str, Any] = {"reduction": reduction, "ignore_index": ignore_index}
    checked_batch(logits, labels, counts, weight=None, has_no="no weight", **options)
    counts = counts._replace(values=counts.values.to(logits.device))
    weight = class_balanced_weights(counts, beta=beta, dtype=loss_dtype(logits))
    return focal_loss(logits, labels, gamma=gamma, form=form, weight=weight, **options)


class ClassBalancedLoss(LossModule):
    """Class-balanced loss as a module; see :func:`class_balanced_loss` for equation and errors.

    Args:
        class_counts: training images per class; kept as the int64 buffer ``class_counts``.
        beta: β in 0..1.
        gamma: γ ≥ 0 of the focal loss; 0: cross entropy.
        form: "softmax" or "sigmoid".
        reduction, ignore_index: as in torch.nn.CrossEntropyLoss.
        process_group, sync: as in :class:`GMLLoss`.

    Shape:
        logits (n, C) and labels (n,) → scalar, or (n,) without reduction.

    Raises:
        InputError, InputTypeError: as class_balanced_loss, settings at once, a batch in
            ``forward``.

    Example:
        >>> import torch
        >>> loss_fn = ClassBalancedLoss({"cat": 90, "lynx": 10}, beta=0.99, gamma=1.0)
        >>> loss_fn(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))
        tensor(0.0747)
    """

    _shown = ("beta", "gamma", "form")

    def __init__(
        self,
        class_counts: Any,
        *,
        beta: float = 0.9999,
        gamma: float = 0.0,
        form: FocalForm = "softmax",
        reduction: Reduction = "mean",
        ignore_index: int = -100,
        process_group: Group = None,
        sync: bool = True,
    ) -> None:
        super().__init__(process_group=process_group, sync=sync)
        check_number("beta", beta, 0.0, 1.0)
        check_focal(gamma, form)
        self.beta, self.gamma = beta, gamma
        self.form: FocalForm = form
        self._keep_counts(class_counts)
        self._keep_weighting(reduction, None, ignore_index)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch."""
        names = (*self._shown, "reduction", "ignore_index")
        options: dict[str, Any] = {name: getattr(self, name) for name in names}
        options["class_counts"] = self._counts
        return self._mean_over_processes(class_balanced_loss, logits, labels, **options)

    def _weight_of(self, labels: Tensor, ignore_index: int) -> Tensor:
        counts = self._counts._replace(values=self.class_counts.to(labels.device))
        weight = class_balanced_weights(counts, beta=self.beta, dtype=widest_dtype(labels))
        return weight[labels[labels != ignore_index].long()].sum()
