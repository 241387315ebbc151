"""What one training step does with a batch: the part in which methods differ."""

from __future__ import annotations

import hashlib
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
        self.keep_answers(False)

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

    def keep_answers(self, wanted: bool) -> None:
        """Tell whether the same batches come again.

        What teachers say of a batch is then kept, in half precision, and asked for once. The loop
        calls this as it begins: what was said of other batches is forgotten.
        """
        self._keeps = wanted
        self._said: dict[bytes, Tensor] = {}  # by teachers, of each batch
        self._batch: bytes | None = None

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Tell what changes with the epoch, from 1; called before its first batch."""
        for part in self.loss.modules():  # a deferred loss may be within another
            begin: Callable[[int, int], None] | None = getattr(part, "begin_epoch", None)
            if begin is not None:
                begin(epoch, epochs)

    def begin_batch(self, number: int, rows: Tensor, generator: torch.Generator) -> None:
        """Tell which batch comes next, so that it is known again; called before each step.

        Args:
            number: of the batch in its epoch, those counted too that could not be read.
            rows: (b,) the images in it, int64 on the CPU.
            generator: what the step will be given.
        """
        if self._keeps and len(self.teachers):
            digest = hashlib.sha256(f"{number}".encode())
            digest.update(rows.numpy().tobytes())
            digest.update(generator.get_state().numpy().tobytes())
            self._batch = digest.digest()

    def taught(self, images: Tensor) -> Tensor:
        """The teachers' (b, C) float32 logits; the mean, where there are several.

        Called once for each batch.
        """
        if self._batch is None:
            return self._asked(images)
        if self._batch not in self._said:
            # Rounded before they are first used: a resumed training asks for them anew.
            self._said[self._batch] = self._asked(images).half()
        return self._said[self._batch].float()

    @torch.no_grad()
    def _asked(self, images: Tensor) -> Tensor:
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
