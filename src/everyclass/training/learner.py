"""What one training step does with a batch: the part in which methods differ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from everyclass.data import CutMix, Mixup
from everyclass.nn import Classifier

__all__ = ["Learner", "Outcome", "Supervised"]


class Outcome(NamedTuple):
    """What a step gave: the loss to be lowered, and the logits that training accuracy is from."""

    loss: Tensor
    logits: Tensor


class Learner(nn.Module, ABC):
    """A network together with all that it learns by.

    A subclass names in ``carried`` its modules besides the network that training changes, such as
    a projector, a momentum encoder or a queue: checkpoints hold them, and their parameters that
    require a gradient are trained.

    Args:
        model: what is trained and kept.
        loss: what the subclass calls it with.
        teachers: finished networks to learn from; they stay as they are, in eval mode.

    Attributes:
        autocast: context to run networks in; the loop says which. Losses stay outside.
    """

    carried: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, model: Classifier, loss: nn.Module, *, teachers: Sequence[Classifier] = ()
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.teachers = nn.ModuleList(teachers).requires_grad_(False)
        self.autocast: Callable[[], AbstractContextManager[Any]] = nullcontext

    @abstractmethod
    def forward(
        self, views: Sequence[Tensor], labels: Tensor, generator: torch.Generator
    ) -> Outcome:
        """The loss of one batch.

        Args:
            views: of the same images, one (b, 3, h, w) float tensor for each augmentation.
            labels: (b,) int64.
            generator: on the CPU, for whatever the step draws.
        """

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Tell what changes with the epoch, from 1; called before its first batch."""
        begin: Callable[[int, int], None] | None = getattr(self.loss, "begin_epoch", None)
        if begin is not None:
            begin(epoch, epochs)

    @torch.no_grad()
    def taught(self, images: Tensor) -> Tensor:
        """The teachers' (b, C) float32 logits; the mean, where there are several."""
        with self.autocast():
            return torch.stack([teacher(images).float() for teacher in self.teachers]).mean(dim=0)

    def train(self, mode: bool = True) -> Learner:
        """Switch between training and evaluation; teachers stay in the latter."""
        super().train(mode)
        self.teachers.eval()
        return self


class Supervised(Learner):
    """One view, its logits, a loss of logits and labels; images perhaps mixed.

    Args:
        model, loss: see :class:`Learner`.
        mixing: of every batch's images and labels, or None.
    """

    def __init__(
        self, model: Classifier, loss: nn.Module, *, mixing: Mixup | CutMix | None = None
    ) -> None:
        super().__init__(model, loss)
        self.mixing = mixing

    def forward(
        self, views: Sequence[Tensor], labels: Tensor, generator: torch.Generator
    ) -> Outcome:
        """The loss of the (mixed) images' logits."""
        (images,) = views
        mixed = None if self.mixing is None else self.mixing(images, labels, generator)
        with self.autocast():
            logits = self.model(images if mixed is None else mixed.images).float()
        loss = self.loss(logits, labels) if mixed is None else mixed.loss(self.loss, logits)
        return Outcome(loss, logits)
