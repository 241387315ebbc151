"""Learning-rate schedules, assembled from torch's."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, MultiStepLR
from torch.optim.lr_scheduler import SequentialLR as _SequentialLR

from everyclass.artifacts import check_choice, check_number, check_whole_number

__all__ = ["Schedule", "build_scheduler"]

Decay = Literal["steps", "cosine"]


@dataclass(frozen=True)
class Schedule:
    """How long to train and how the learning rate moves, epoch by epoch.

    Attributes:
        epochs: how many.
        learning_rate: the peak.
        decay: "steps" multiplies by ``step_factor`` at each of ``milestones``; "cosine" goes to
            zero at the end.
        warmup_epochs: the first epochs, at learning_rate · e / warmup_epochs for e = 1, 2, ….
        milestones: as fractions of ``epochs``, so that a shorter run keeps its shape.
        step_factor: what each milestone multiplies the rate by.

    Raises:
        InputError: less than one epoch, a number out of its range, or a decay of another name.
        InputTypeError: something else where a number should be.
    """

    epochs: int = 200
    learning_rate: float = 0.1
    decay: Decay = "steps"
    warmup_epochs: int = 5
    milestones: tuple[float, ...] = (0.8, 0.9)
    step_factor: float = 0.01

    def __post_init__(self) -> None:
        check_whole_number("epochs", self.epochs, 1)
        check_whole_number("warmup_epochs", self.warmup_epochs)
        check_number("learning_rate", self.learning_rate, above=0)
        check_number("step_factor", self.step_factor, above=0)
        check_choice("decay", self.decay, get_args(Decay))
        for milestone in self.milestones:
            check_number("A milestone, as a fraction of the epochs,", milestone, high=1, above=0)


class _Steps(MultiStepLR):
    """Takes milestones back from a checkpoint, where torch's Counter of them is a plain dict."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({**state_dict, "milestones": Counter(state_dict["milestones"])})


def build_scheduler(optimizer: torch.optim.Optimizer, schedule: Schedule) -> LRScheduler:
    """A scheduler to be stepped once after each epoch."""
    warmup = min(schedule.warmup_epochs, schedule.epochs - 1)
    after: LRScheduler
    if schedule.decay == "cosine":
        after = CosineAnnealingLR(optimizer, T_max=schedule.epochs - warmup)
    else:
        steps = [round(m * schedule.epochs) - warmup for m in schedule.milestones]
        if warmup == 0:  # else torch takes the step before the first epoch
            steps = [step for step in steps if step > 0]
        after = _Steps(optimizer, steps, gamma=schedule.step_factor)
    if warmup == 0:
        return after
    # LinearLR runs from 1/w to 1 over w−1 steps: epoch e (from 1) has the rate · e / w.
    rising = LinearLR(optimizer, start_factor=1 / warmup, total_iters=max(warmup - 1, 1))
    return _SequentialLR(optimizer, [rising, after], milestones=[warmup])
