"""How SGD goes over the images: how fast, in what batches, and what of a network learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from everyclass.training.schedules import Schedule

__all__ = ["SgdSettings"]


@dataclass(frozen=True, kw_only=True)
class SgdSettings:
    """What the loop needs to know of a method, besides the network, the loss and the images.

    Attributes:
        schedule: epochs and learning rate.
        batch_size: images per step, of all processes together; the last, smaller batch of an epoch
            is used too.
        momentum, nesterov, weight_decay: of SGD, on every parameter trained, as in the published
            recipes.
        trained: beginnings of parameter names and the factor of their learning rate; what begins
            with none of them is frozen, and the longest that fits counts.
        repeat_after: epochs after which the same batches come again, to pixel and mixture, so that
            teachers look once only; None: never. What they say of each is kept: n · C · 2 bytes an
            epoch.
        begin_after: epochs of batches passed over, which the network that this one goes on from
            has seen under the same seed.
    """

    schedule: Schedule = field(default_factory=Schedule)
    batch_size: int = 128
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 2e-4
    trained: Mapping[str, float] = field(default_factory=lambda: {"": 1.0})
    repeat_after: int | None = None
    begin_after: int = 0
