"""Per-class recall and what is made of it, as torchmetrics.

All of them keep two counts per class, which add up over batches and over processes, so that what
is computed in parts is what would be computed at once. A class without a sample has no recall: NaN
per class, and left out of every mean. (torchmetrics' own recall says 0 there.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from everyclass.errors import InputError, MissingLibraryError
from everyclass.metrics import geometric_mean, harmonic_mean, worst_mean

try:
    from torchmetrics import Metric
except ImportError as error:
    raise MissingLibraryError("torchmetrics", "torchmetrics") from error

__all__ = [
    "GeometricMeanRecall",
    "HarmonicMeanRecall",
    "LowestRecall",
    "PerClassRecall",
    "WorstRecall",
]


class PerClassRecall(Metric):  # type: ignore[misc]
    """Recall of each class: right / all samples of the class.

    Args:
        num_classes: C.
        ignore_index: samples with this label do not count, or None.
        options: of every torchmetrics ``Metric``.

    Shape:
        ``update(preds, target)`` takes (n, C) logits or probabilities, or (n,) classes, and (n,)
        classes; ``compute()`` gives (C,) fractions, NaN for a class without samples.

    Raises:
        InputError: in ``update``, shapes that do not fit, NaN, or a class outside 0..C−1.

    Example:
        >>> metric = PerClassRecall(num_classes=3)
        >>> metric.update(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]))
        >>> metric.compute()
        tensor([0.5000, 1.0000,    nan])
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    right: Tensor
    support: Tensor

    def __init__(self, num_classes: int, *, ignore_index: int | None = None, **options: Any):
        super().__init__(**options)
        if num_classes < 2:
            raise InputError(f"num_classes must be at least 2; got {num_classes}.")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        zeros = torch.zeros(num_classes, dtype=torch.long)
        self.add_state("right", zeros.clone(), dist_reduce_fx="sum")
        self.add_state("support", zeros.clone(), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch."""
        are_scores = preds.is_floating_point()
        if are_scores and (preds.ndim != 2 or preds.shape[1] != self.num_classes):
            raise InputError(
                f"preds must be (n, {self.num_classes}) scores or (n,) classes; got shape "
                f"{tuple(preds.shape)}."
            )
        rows = preds.shape[:1] if are_scores else preds.shape
        if target.is_floating_point() or target.shape != rows or target.ndim != 1:
            raise InputError(
                f"target must be (n,) whole numbers, one per row of preds; got {target.dtype} of "
                f"shape {tuple(target.shape)} for {len(preds)} rows."
            )
        largest = None
        if are_scores:
            largest, preds = preds.max(dim=1)
        if self.ignore_index is not None:
            counts = target != self.ignore_index
            preds, target = preds[counts], target[counts]
            largest = None if largest is None else largest[counts]
        if largest is not None:
            _check_not_nan(largest)
        for name, classes in (("preds", preds), ("target", target)):
            if len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < len(self.right):
                raise InputError(
                    f"{name} holds classes {int(classes.min())}..{int(classes.max())}, and there "
                    f"are only 0..{self.num_classes - 1}."
                )
        target = target.long()
        ones = torch.ones_like(target)
        self.support.index_add_(0, target, ones)
        self.right.index_add_(0, target, (preds == target).long())

    def per_class(self) -> Tensor:
        """(C,) recall of what has been counted so far, float32."""
        return torch.where(self.support > 0, self.right / self.support, torch.nan)

    def compute(self) -> Tensor:
        """What it measures, of everything counted."""
        return self.per_class()

    def _of_known(self, mean: Any) -> Tensor:
        """A mean of the classes that have a recall; NaN if none has."""
        recall = self.per_class()
        if not bool((self.support > 0).any()):
            return recall.new_tensor(torch.nan)
        return recall.new_tensor(mean(recall.double().cpu().numpy()))


def _check_not_nan(largest: Tensor) -> None:
    """Refuse NaN, which max takes for the largest score of a row."""
    wrong = largest.isnan()
    if bool(wrong.any()):
        raise InputError(
            f"preds has NaN in {int(wrong.sum())} of {len(wrong)} rows that count; look for what "
            "made the network give NaN, such as a learning rate that is too high."
        )


class LowestRecall(PerClassRecall):
    """Recall of the worst class that has samples; scalar.

    Args:
        num_classes, ignore_index, options: as in :class:`PerClassRecall`.

    Example:
        >>> metric = LowestRecall(num_classes=3)
        >>> metric(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]))
        tensor(0.5000)
    """

    def compute(self) -> Tensor:
        """The lowest recall."""
        recall = self.per_class()
        return (
            torch.where(recall.isnan(), torch.inf, recall).min()
            if self.support.any()
            else (recall.new_tensor(torch.nan))
        )


class HarmonicMeanRecall(PerClassRecall):
    """Harmonic mean of recall over the classes that have samples; scalar.

    Args:
        num_classes, ignore_index, options: as in :class:`PerClassRecall`.
        zero_floor: what no recall counts less than.

    Example:
        >>> metric = HarmonicMeanRecall(num_classes=3)
        >>> metric(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]))
        tensor(0.6667)
    """

    def __init__(self, num_classes: int, *, zero_floor: float = 1e-3, **options: Any) -> None:
        super().__init__(num_classes, **options)
        self.zero_floor = zero_floor

    def compute(self) -> Tensor:
        """The harmonic mean."""
        return self._of_known(lambda recall: harmonic_mean(recall, zero_floor=self.zero_floor))


class GeometricMeanRecall(HarmonicMeanRecall):
    """Geometric mean of recall over the classes that have samples; scalar.

    Args:
        num_classes, zero_floor, ignore_index, options: as in :class:`HarmonicMeanRecall`.

    Example:
        >>> metric = GeometricMeanRecall(num_classes=3)
        >>> metric(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]))
        tensor(0.7071)
    """

    def compute(self) -> Tensor:
        """The geometric mean."""
        return self._of_known(lambda recall: geometric_mean(recall, zero_floor=self.zero_floor))


class WorstRecall(PerClassRecall):
    """Mean recall of the worst ``percent`` % of the classes that have samples, or of the worst k.

    Args:
        num_classes, ignore_index, options: as in :class:`PerClassRecall`.
        percent: more than 0, at most 100; at least one class is meant.
        k: so many classes instead, or all that have samples if these are fewer.

    Example:
        >>> metric = WorstRecall(num_classes=3, percent=100)
        >>> metric(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]))
        tensor(0.7500)
    """

    def __init__(
        self, num_classes: int, *, percent: float = 10.0, k: int | None = None, **options: Any
    ) -> None:
        super().__init__(num_classes, **options)
        if not 0 < percent <= 100:
            raise InputError(f"percent must be more than 0 and at most 100; got {percent}.")
        if k is not None and not 1 <= k <= num_classes:
            raise InputError(f"k must be a number of classes, 1 to {num_classes}; got {k}.")
        self.percent = percent
        self.k = k

    def compute(self) -> Tensor:
        """The mean of the worst."""
        return self._of_known(self._worst_mean)

    def _worst_mean(self, recall: Any) -> float:
        if self.k is None:
            return worst_mean(recall, self.percent)
        return float(np.sort(recall[~np.isnan(recall)])[: self.k].mean())
