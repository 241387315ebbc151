"""RIDE (Wang et al., ICLR 2021): experts that each fit the labels and differ from each other."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from everyclass.artifacts import check_number
from everyclass.losses._inputs import (
    Counts,
    check_experts,
    check_label_range,
    checked_labels,
    count_tensor,
    loss_dtype,
    widest_dtype,
)
from everyclass.losses._weighted import LossModule
from everyclass.losses.class_weights import class_balanced_weights
from everyclass.losses.ldam import check_ldam, ldam_loss
from everyclass.processes import Group, group_of

__all__ = ["RIDELoss", "ride_loss"]

IGNORED = -100  # no label is: RIDE leaves no row out


def ride_loss(
    expert_logits: Tensor,
    labels: Tensor,
    class_counts: Any,
    *,
    diversity: float = 0.45,
    max_margin: float = 0.5,
    scale: float = 30.0,
    reweight: bool = False,
    flattening: float = 0.05,
) -> Tensor:
    """A loss of its own for each expert, less what tells it from the mean of all.

    L = Σ_i [ LDAM(z_i, y; w) − λ T̄² KL( softmax(z̄ / T_c) ‖ softmax(z_i / T_c) ) ],  z̄ = mean of z_i
    T_c = v_c / max_k v_k,  v_c = C π_c r + 1 − r,  T̄ = mean of T_c

    The mean z̄ has no gradient in the divergence. This is the published code; the paper compares
    each pair of experts. Without re-weighting all T_c are 1 and all weights w alike; with it T_c is
    as above, lower for rare classes, and w are class-balanced weights (β = 0.9999), as the code has
    it in the last fifth of the training.

    Args:
        expert_logits: z, (E, n, C) floating point, n ≥ 1: cosines times ``scale``.
        labels: y, (n,) integers in 0..C−1.
        class_counts: training images per class, in any form that ClassCounts.of takes.
        diversity: λ ≥ 0; 0.45 for CIFAR, 0.2 for ImageNet.
        max_margin, scale: see :func:`ldam_loss`.
        reweight: whether weights and temperatures know the class counts.
        flattening: r in 0..1; 0.05 for CIFAR, 0.02 for ImageNet.

    Returns:
        Scalar, float32, or float64 for float64 logits.

    Raises:
        InputError: logits that are not (E, n, C), E ≥ 1; a negative ``diversity``, a
            ``flattening`` outside 0..1; as ldam_loss.
        InputTypeError: as ldam_loss.

    Example:
        >>> cosines = torch.tensor([[[0.9, 0.1]], [[0.4, 0.3]]])
        >>> ride_loss(30 * cosines, torch.tensor([0]), [90, 10])
        tensor(5.6419)
    """
    _check(diversity, max_margin, scale, flattening)
    check_experts(expert_logits)
    counts = count_tensor(class_counts)
    labels = checked_labels(expert_logits[0], labels, len(counts.values))
    check_label_range(labels, len(counts.values))  # LDAM leaves rows of −100 out
    logits = expert_logits.to(loss_dtype(expert_logits))
    weight, temperatures = _by_class(counts, logits, reweight, flattening)
    margins: dict[str, Any] = {"max_margin": max_margin, "scale": scale, "weight": weight}
    individual = torch.stack([ldam_loss(z, labels, counts, **margins) for z in logits]).sum()
    return individual - diversity * _divergence(logits, temperatures)


class RIDELoss(LossModule):
    """RIDE as a module; see :func:`ride_loss` for the equation and errors.

    ``DeferredLoss(RIDELoss(counts), RIDELoss(counts, reweight=True), start=0.8)`` is the published
    one.

    Args:
        class_counts: training images per class; kept as the int64 buffer ``class_counts``.
        diversity, max_margin, scale, reweight, flattening: see :func:`ride_loss`.
        process_group, sync: as in :class:`GMLLoss`.

    Shape:
        expert_logits (E, n, C) and labels (n,) → scalar.

    Raises:
        InputError, InputTypeError: as ride_loss, settings at once, a batch in ``forward``.

    Example:
        >>> loss_fn = RIDELoss([90, 10])
        >>> loss_fn(30 * torch.tensor([[[0.9, 0.1]], [[0.4, 0.3]]]), torch.tensor([0]))
        tensor(5.6419)
    """

    _shown = ("diversity", "max_margin", "scale", "reweight", "flattening")

    def __init__(
        self,
        class_counts: Any,
        *,
        diversity: float = 0.45,
        max_margin: float = 0.5,
        scale: float = 30.0,
        reweight: bool = False,
        flattening: float = 0.05,
        process_group: Group = None,
        sync: bool = True,
    ) -> None:
        super().__init__(process_group=process_group, sync=sync)
        _check(diversity, max_margin, scale, flattening)
        self.diversity, self.max_margin, self.scale = diversity, max_margin, scale
        self.reweight, self.flattening = reweight, flattening
        self._keep_counts(class_counts)

    def forward(self, expert_logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch."""
        options = self._settings
        if group_of(self) is None:
            return ride_loss(expert_logits, labels, self._counts, **options)
        check_experts(expert_logits)
        num_classes = len(self.class_counts)
        labels = checked_labels(expert_logits[0], labels, num_classes, may_be_empty=True)
        check_label_range(labels, num_classes)
        weight, temperatures = _by_class(
            self._counts, expert_logits, self.reweight, self.flattening
        )
        margins: dict[str, Any] = {"max_margin": self.max_margin, "scale": self.scale}
        margins |= {"class_counts": self._counts, "weight": weight}
        margins |= {"reduction": "mean", "ignore_index": IGNORED}
        own = [
            self._mean_over_processes(ldam_loss, z, labels, **margins)
            for z in expert_logits.to(loss_dtype(expert_logits))
        ]
        apart = self._mean_over_processes(
            lambda z, _: _divergence(z.to(loss_dtype(z)), temperatures), expert_logits, labels
        )
        return torch.stack(own).sum() - self.diversity * apart

    def _weight_of(self, labels: Tensor, ignore_index: int) -> Tensor:
        if not self.reweight:
            return super()._weight_of(labels, ignore_index)
        counts = self._counts._replace(values=self.class_counts.to(labels.device))
        weight = class_balanced_weights(counts, dtype=widest_dtype(labels))
        return weight[labels[labels != ignore_index].long()].sum()


def _check(diversity: float, max_margin: float, scale: float, flattening: float) -> None:
    check_number("diversity", diversity)
    check_ldam(max_margin, scale)
    check_number("flattening", flattening, 0.0, 1.0)


def _by_class(
    counts: Counts, logits: Tensor, reweight: bool, flattening: float
) -> tuple[Tensor | None, Tensor | None]:
    """Weights w and temperatures T_c, or None for each without re-weighting."""
    if not reweight:
        return None, None
    dtype = loss_dtype(logits)
    weight = class_balanced_weights(counts, dtype=dtype).to(logits.device)
    return weight, _temperatures(counts.values.to(logits.device, dtype), flattening)


def _temperatures(counts: Tensor, flattening: float) -> Tensor:
    share = counts / counts.mean() * flattening + 1 - flattening
    return share / share.max()


def _divergence(logits: Tensor, temperatures: Tensor | None) -> Tensor:
    """Σ_i T̄² KL(mean of the experts ‖ expert i), (E, n, C) logits, a mean over n."""
    factor: Tensor | float = 1.0
    if temperatures is not None:
        logits = logits / temperatures
        factor = temperatures.mean() ** 2
    together = logits.detach().mean(dim=0).softmax(dim=1).expand_as(logits)
    own = logits.log_softmax(dim=2).where(together > 0, 0)  # 0 times the log of 0 is NaN
    return factor * F.kl_div(own, together, reduction="sum") / logits.shape[1]
