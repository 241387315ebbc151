"""Label-aware smoothing (Zhong et al., CVPR 2021): the larger a class, the softer its labels."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from everyclass.artifacts import check_choice
from everyclass.losses._inputs import count_tensor, loss_dtype
from everyclass.losses._weighted import LossModule, Reduction, checked_batch, reduced
from everyclass.losses.smoothing import SmoothingProfile, check_smoothing, smoothing_by_class
from everyclass.processes import Group

__all__ = ["LabelAwareSmoothingLoss", "SmoothingShare", "label_aware_smoothing_loss"]

SmoothingShare = Literal["all", "others"]


def label_aware_smoothing_loss(
    logits: Tensor,
    labels: Tensor,
    class_counts: Any,
    *,
    smooth_head: float = 0.4,
    smooth_tail: float = 0.1,
    profile: SmoothingProfile = "concave",
    share: SmoothingShare = "all",
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
    ignore_index: int = -100,
) -> Tensor:
    """Cross entropy with labels that are smoothed by class: ε_c from :func:`smoothing_by_class`.

    all:    ℓ_i = −(1 − ε_y) log p_y − ε_y / C · Σ_c log p_c, y = y_i
    others: ℓ_i = −(1 − ε_y) log p_y − ε_y / (C − 1) · Σ_{c≠y} log p_c

    The published code is "all", which leaves 1 − ε + ε / C on the true class; the paper is
    "others". With many classes they differ little. Without smoothing both are cross entropy, with
    equal smoothing "all" is torch's ``label_smoothing``. Classes without images get their share
    too; a label of one is an error. A logit of −∞, as of a masked class, makes the loss infinite
    where the class has a share, and does not matter where it has none.

    Args:
        logits: (n, C) floating point, n ≥ 1.
        labels: (n,) integers in 0..C−1, or ``ignore_index``.
        class_counts: training images per class, in any form that ClassCounts.of takes.
        smooth_head, smooth_tail, profile: see :func:`smoothing_by_class`, also for the values that
            the paper uses for each data set.
        share: who gets ε: "all" classes, or the "others".
        weight: (C,) factor for the loss of the images of each class, or None. (torch's
            ``label_smoothing`` weighs every term by its own class.)
        reduction, ignore_index: as in torch.nn.functional.cross_entropy.

    Returns:
        Scalar, or (n,) without reduction; float32, or float64 for float64 logits.

    Raises:
        InputError: as balanced_softmax_loss; settings as smoothing_by_class, an unknown share.
        InputTypeError: as balanced_softmax_loss.

    Example:
        >>> logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
        >>> label_aware_smoothing_loss(logits, labels, [90, 10])
        tensor(0.4451)
        >>> label_aware_smoothing_loss(logits, labels, [90, 10], share="others")
        tensor(0.6701)

    References:
        Zhong et al., Improving Calibration for Long-Tailed Recognition, CVPR 2021, section 3.2.
    """
    check_smoothing(smooth_head, smooth_tail, profile)
    check_choice("share", share, get_args(SmoothingShare))
    counts = count_tensor(class_counts)
    weighting: dict[str, Any] = {"reduction": reduction, "ignore_index": ignore_index}
    labels, weight = checked_batch(
        logits, labels, counts, weight=weight, has_no="no smoothing of its own", **weighting
    )
    log_p = logits.to(loss_dtype(logits)).log_softmax(dim=1)
    counts = counts._replace(values=counts.values.to(logits.device))
    of_class = smoothing_by_class(
        counts,
        smooth_head=smooth_head,
        smooth_tail=smooth_tail,
        profile=profile,
        dtype=log_p.dtype,
    )
    rows = labels.where(labels != ignore_index, 0)
    epsilon = of_class.index_select(0, rows)
    of_label = log_p.gather(1, rows[:, None]).squeeze(1)
    if share == "all":
        mean = log_p.mean(dim=1)
    else:
        mean = log_p.scatter(1, rows[:, None], 0).sum(dim=1) / max(log_p.shape[1] - 1, 1)
    losses = -_between(of_label, mean, epsilon)
    return reduced(losses, labels, weight=weight, **weighting)


def _between(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """(n,) ``start`` + share · (``end`` − ``start``), where what is −∞ with weight 0 is left out.

    Args:
        start, end: (n,) log p ≤ 0, −∞ where logits are.
        share: (n,) in 0..1, the weight of ``end``.
    """
    line = torch.lerp(start, end, share)
    kept = (start * (1 - share)).where(share < 1, 0) + (end * share).where(share > 0, 0)
    return line.where(line.isfinite(), kept)


class LabelAwareSmoothingLoss(LossModule):
    """Label-aware smoothing as a module; see :func:`label_aware_smoothing_loss`.

    Args:
        class_counts: training images per class; kept as the int64 buffer ``class_counts``.
        smooth_head, smooth_tail, profile: see :func:`smoothing_by_class`.
        share: "all" classes share ε, or the "others".
        weight, reduction, ignore_index: as in label_aware_smoothing_loss.
        process_group, sync: as in :class:`GMLLoss`.

    Shape:
        logits (n, C) and labels (n,) → scalar, or (n,) without reduction.

    Raises:
        InputError, InputTypeError: as label_aware_smoothing_loss, settings at once, a batch in
            ``forward``.

    Example:
        >>> loss_fn = LabelAwareSmoothingLoss({"cat": 90, "lynx": 10}, share="others")
        >>> loss_fn(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))
        tensor(0.6701)
    """

    _shown = ("smooth_head", "smooth_tail", "profile", "share")

    def __init__(
        self,
        class_counts: Any,
        *,
        smooth_head: float = 0.4,
        smooth_tail: float = 0.1,
        profile: SmoothingProfile = "concave",
        share: SmoothingShare = "all",
        weight: Tensor | None = None,
        reduction: Reduction = "mean",
        ignore_index: int = -100,
        process_group: Group = None,
        sync: bool = True,
    ) -> None:
        super().__init__(process_group=process_group, sync=sync)
        check_smoothing(smooth_head, smooth_tail, profile)
        check_choice("share", share, get_args(SmoothingShare))
        self.smooth_head, self.smooth_tail = smooth_head, smooth_tail
        self.profile, self.share = profile, share
        self._keep_counts(class_counts)
        self._keep_weighting(reduction, weight, ignore_index)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch."""
        options = self._settings | self._weighting
        options["class_counts"] = self._counts
        return self._mean_over_processes(label_aware_smoothing_loss, logits, labels, **options)
