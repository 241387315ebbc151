"""What a published method is made of: the parts that the one loop puts together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from everyclass.artifacts import ClassCounts
from everyclass.training.schedules import Schedule

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """A method as data.

    Attributes:
        name: what the command line calls it.
        summary: one line.
        source: where the method and its constants come from.
        loss: from the training counts to the loss module.
        schedule: epochs and learning rate.
        batch_size, momentum, weight_decay: of SGD.
    """

    name: str
    summary: str
    source: str
    loss: Callable[[ClassCounts], nn.Module]
    schedule: Schedule = field(default_factory=Schedule)
    batch_size: int = 128
    momentum: float = 0.9
    weight_decay: float = 2e-4

    def to_dict(self) -> dict[str, Any]:
        """The constants as plain values, for ``config.json``."""
        values = asdict(self)
        for words in ("loss", "summary", "source"):
            del values[words]
        values["schedule"]["milestones"] = list(self.schedule.milestones)
        return values
