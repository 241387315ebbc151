"""Mixup and CutMix: each image of a batch mixed with another one, and the loss likewise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from everyclass.artifacts import check_number
from everyclass.data.augmentation.drawing import to_device

__all__ = ["CutMix", "Mixed", "Mixup"]


@dataclass(frozen=True, eq=False)
class Mixed:
    """A batch of mixtures.

    Attributes:
        images: (b, 3, h, w) float.
        labels: (b,) int64, of the images themselves.
        partner_labels: (b,) int64, of what is mixed into them.
        weight: λ, share of the images themselves, 0..1.
    """

    images: Tensor
    labels: Tensor
    partner_labels: Tensor
    weight: float

    def loss(self, loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor) -> Tensor:
        """λ·loss(logits, labels) + (1 − λ)·loss(logits, partner_labels).

        Args:
            loss: (logits, labels) → a loss.
            logits: (b, C) of the mixed images.
        """
        own = loss(logits, self.labels)
        return self.weight * own + (1 - self.weight) * loss(logits, self.partner_labels)


@dataclass(eq=False)
class Mixup:
    """Weighted mean of each image and a partner (Zhang et al. 2018).

    One λ ~ Beta(α, α) and one permutation per batch, as in the authors' code.

    Args:
        alpha: of the Beta distribution, above 0: 1 on CIFAR, 0.2 on ImageNet.

    Raises:
        InputError: it is not above 0, or infinite.
        InputTypeError: it is no number.

    Example:
        >>> mixed = Mixup()(torch.rand(4, 3, 8, 8), torch.arange(4), torch.Generator())
        >>> mixed.loss(torch.nn.functional.cross_entropy, torch.zeros(4, 10))
        tensor(2.3026)
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        self.alpha = check_number("alpha", self.alpha, above=0)

    def __call__(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> Mixed:
        """Draw and mix.

        Args:
            images: (b, 3, h, w) float.
            labels: (b,) int64.
            generator: a CPU generator.
        """
        weight = _draw_weight(self.alpha, generator)
        partner = to_device(torch.randperm(len(images), generator=generator), images)
        return Mixed(images[partner].lerp(images, weight), labels, labels[partner], weight)


@dataclass(eq=False)
class CutMix:
    """A box of each image replaced by the same box of a partner (Yun et al. 2019).

    One λ ~ Beta(α, α), one permutation and one box per batch. The box has the image's shape and the
    area 1 − λ about a uniform pixel; where the border cuts it, λ is corrected to what is left.

    Args:
        alpha: of the Beta distribution, above 0.

    Raises:
        InputError: it is not above 0, or infinite.
        InputTypeError: it is no number.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        self.alpha = check_number("alpha", self.alpha, above=0)

    def __call__(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> Mixed:
        """Draw and mix.

        Args:
            images: (b, 3, h, w) float.
            labels: (b,) int64.
            generator: a CPU generator.
        """
        height, width = images.shape[2:]
        side = (1 - _draw_weight(self.alpha, generator)) ** 0.5
        partner = to_device(torch.randperm(len(images), generator=generator), images)
        lines = _box_side(height, side, generator)
        columns = _box_side(width, side, generator)
        mixed = images.clone()
        mixed[:, :, lines, columns] = images[partner][:, :, lines, columns]
        area = (lines.stop - lines.start) * (columns.stop - columns.start)
        return Mixed(mixed, labels, labels[partner], 1 - area / (height * width))


def _draw_weight(alpha: float, generator: torch.Generator) -> float:
    """λ ~ Beta(α, α), by inversion, because torch's Beta takes no generator."""
    from scipy.special import betaincinv

    unit = torch.rand((), generator=generator, dtype=torch.float64)
    return float(betaincinv(alpha, alpha, unit.item()))


def _box_side(size: int, share: float, generator: torch.Generator) -> slice:
    centre = int(torch.randint(0, size, (), generator=generator))
    half = int(size * share) // 2
    return slice(max(0, centre - half), min(size, centre + half))
