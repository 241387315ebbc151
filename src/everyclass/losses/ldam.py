"""LDAM (Cao et al., NeurIPS 2019): a margin for each class, the larger the rarer it is."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from everyclass.artifacts import check_number
from everyclass.losses._inputs import Counts, count_tensor, loss_dtype
from everyclass.losses._weighted import LossModule, Reduction, checked_batch
from everyclass.processes import Group

__all__ = ["LDAMLoss", "check_ldam", "ldam_loss"]


def ldam_loss(
    logits: Tensor,
    labels: Tensor,
    class_counts: Any,
    *,
    max_margin: float = 0.5,
    scale: float = 30.0,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
    ignore_index: int = -100,
) -> Tensor:
    """Cross entropy with a margin taken from the cosine of the true class.

    ℓ_i = −log( exp(s(cos θ_y − m_y)) / (exp(s(cos θ_y − m_y)) + Σ_{c≠y} exp(s cos θ_c)) ), y = y_i
    m_c = max_margin · N_c^(−1/4) / max_j N_j^(−1/4)

    **Where the scale s lives.** The logits are s · cos θ, as :class:`everyclass.nn.CosineHead`
    gives them: s is in the head, so that a softmax of the same logits means something at test time
    too. ``scale`` says what it is there, and what is subtracted is s · m_y. In the authors' code
    the head gives bare cosines and the loss multiplies; for such a head pass ``scale * cosines``,
    not ``scale=1``. On logits of a plain linear layer max_margin · scale is a margin in logits.

    The largest margin goes to the smallest class that has an image; one without images has that
    margin too, a label of it is an error. With max_margin = 0 this is cross entropy.

    Args:
        logits: (n, C) floating point, n ≥ 1: cosines times ``scale``.
        labels: (n,) integers in 0..C−1, or ``ignore_index``.
        class_counts: training images per class, in any form that ClassCounts.of takes.
        max_margin: of the smallest class, as a cosine, ≥ 0; 0.5 in the paper, 0.3 for iNaturalist.
        scale: s ≥ 0 of the head; 30 in the authors' code.
        weight, reduction, ignore_index: as in torch.nn.functional.cross_entropy, so that the mean
            divides by the summed weights, as in the authors' code (the paper divides by n).

    Returns:
        Scalar, or (n,) without reduction; float32, or float64 for float64 logits.

    Raises:
        InputError: as balanced_softmax_loss; a negative ``max_margin`` or ``scale``.
        InputTypeError: as balanced_softmax_loss.

    Example:
        >>> cosines = torch.tensor([[0.9, 0.1], [0.2, 0.5]])
        >>> ldam_loss(30 * cosines, torch.tensor([0, 1]), [90, 10])
        tensor(3.0012)

    References:
        Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss,
        NeurIPS 2019.
    """
    check_ldam(max_margin, scale)
    counts = count_tensor(class_counts)
    weighting: dict[str, Any] = {"reduction": reduction, "ignore_index": ignore_index}
    labels, weight = checked_batch(
        logits, labels, counts, weight=weight, has_no="no margin of its own", **weighting
    )
    logits = logits.to(loss_dtype(logits))
    rows = labels.where(labels != ignore_index, 0)
    margins = scale * _margins(counts, max_margin, logits).index_select(0, rows)
    z = logits.scatter_add(1, rows[:, None], -margins[:, None])
    return F.cross_entropy(z, labels, weight=weight, **weighting)


class LDAMLoss(LossModule):
    """LDAM as a module; see :func:`ldam_loss` for equations, errors, and where the scale belongs.

    LDAM-DRW is ``DeferredLoss(LDAMLoss(counts), LDAMLoss(counts, weight=weights), start=0.8)`` with
    ``weights = class_balanced_weights(counts)``.

    Args:
        class_counts: training images per class; kept as the int64 buffer ``class_counts``.
        max_margin: of the smallest class, as a cosine, ≥ 0.
        scale: by which the head multiplies its cosines, ≥ 0.
        weight, reduction, ignore_index: as in torch.nn.CrossEntropyLoss.
        process_group, sync: as in :class:`GMLLoss`.

    Shape:
        logits (n, C) and labels (n,) → scalar, or (n,) without reduction.

    Raises:
        InputError, InputTypeError: as ldam_loss, settings at once, a batch in ``forward``.

    Example:
        >>> loss_fn = LDAMLoss({"cat": 90, "lynx": 10}, max_margin=0.3)
        >>> loss_fn(torch.tensor([[27.0, 3.0], [6.0, 15.0]]), torch.tensor([0, 1]))
        tensor(0.3466)
    """

    _shown = ("max_margin", "scale")

    def __init__(
        self,
        class_counts: Any,
        *,
        max_margin: float = 0.5,
        scale: float = 30.0,
        weight: Tensor | None = None,
        reduction: Reduction = "mean",
        ignore_index: int = -100,
        process_group: Group = None,
        sync: bool = True,
    ) -> None:
        super().__init__(process_group=process_group, sync=sync)
        check_ldam(max_margin, scale)
        self.max_margin = max_margin
        self.scale = scale
        self._keep_counts(class_counts)
        self._keep_weighting(reduction, weight, ignore_index)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch."""
        options = {"max_margin": self.max_margin, "scale": self.scale, **self._weighting}
        options["class_counts"] = self._counts
        return self._mean_over_processes(ldam_loss, logits, labels, **options)


def check_ldam(max_margin: float, scale: float) -> None:
    """Refuse settings that are none.

    Raises:
        InputError, InputTypeError: as :func:`ldam_loss`.
    """
    check_number("max_margin", max_margin)
    check_number("scale", scale)


def _margins(counts: Counts, max_margin: float, like: Tensor) -> Tensor:
    values = counts.values.to(like)
    smallest = values.masked_fill(values == 0, torch.inf).amin()
    return max_margin * (smallest / values.clamp(min=smallest)) ** 0.25
