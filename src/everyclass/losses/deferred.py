"""One loss for the first epochs and another for the rest: deferred re-weighting and its kin."""

from __future__ import annotations

from typing import Any

from torch import nn

from everyclass.artifacts import check_number
from everyclass.errors import InputError

__all__ = ["DeferredLoss"]


class DeferredLoss(nn.Module):
    """Be ``before`` for the first epochs of a training and ``after`` from then on.

    The epochs e ≤ round(start · epochs), counted from 1, have ``before``. Deferred re-weighting
    (DRW, Cao et al., NeurIPS 2019) is the same loss with class-balanced weights in the last fifth:
    in a training of 200 epochs from the 161st, where the learning rate falls for the first time.

    Tell it each epoch by :meth:`begin_epoch`; until told, it is ``before``. Which loss it is
    follows from the epoch alone, so that a resumed training needs nothing from a checkpoint.

    Args:
        before: the loss of the first epochs: any module, called with what this one is called with.
        after: the loss of the others.
        start: where ``after`` begins, as a fraction of the training in 0..1; 0.8 for DRW.

    Shape:
        Those of the two losses.

    Raises:
        InputError: ``start`` outside 0..1.
        InputTypeError: ``start`` that is no number.

    Example:
        >>> import torch
        >>> loss_fn = DeferredLoss(
        ...     nn.CrossEntropyLoss(), nn.CrossEntropyLoss(torch.tensor([0.2, 1.8])), start=0.8
        ... )
        >>> logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
        >>> for epoch in range(1, 6):
        ...     loss_fn.begin_epoch(epoch, epochs=5)
        ...     print(epoch, loss_fn(logits, labels))
        1 tensor(0.2201)
        2 tensor(0.2201)
        3 tensor(0.2201)
        4 tensor(0.2201)
        5 tensor(0.2946)
    """

    def __init__(self, before: nn.Module, after: nn.Module, *, start: float) -> None:
        super().__init__()
        check_number("start", start, 0.0, 1.0)
        self.before = before
        self.after = after
        self.start = start
        self.has_started = False

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Choose the loss of an epoch; call it before the epoch's first batch.

        Args:
            epoch: 1 for the first.
            epochs: of the whole training.

        Raises:
            InputError: an epoch outside 1..epochs, such as 0 from a loop that counts from there.
        """
        if not 1 <= epoch <= epochs:
            raise InputError(f"epoch counts from 1 to epochs = {epochs}; got {epoch}.")
        self.has_started = epoch > round(self.start * epochs)
        for loss in (self.before, self.after):
            if isinstance(loss, DeferredLoss):
                loss.begin_epoch(epoch, epochs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the loss of a batch."""
        return (self.after if self.has_started else self.before)(*args, **kwargs)

    def extra_repr(self) -> str:
        """Name the settings in the module's repr."""
        return f"start={self.start}"
