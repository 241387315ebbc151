"""Fitting a linear head to cached features: mini-batches of rows, by SGD.

It works on standardised features, as the exact solver does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from everyclass.errors import InputError, RunFailedError
from everyclass.processes import from_first, is_first, summed_in_place, world_size
from everyclass.progress import Progress, silent
from everyclass.stages.retraining.objectives import Objective, RunningMeans, Whole
from everyclass.stages.retraining.standardised import Rows
from everyclass.training import load_checkpoint, save_checkpoint

__all__ = ["MinibatchSettings", "fit_minibatches"]


@dataclass(frozen=True)
class MinibatchSettings:
    """SGD with momentum and cosine decay.

    Attributes:
        epochs: passes over all views of all images.
        batch_size: rows per step.
        learning_rate: the peak; falls to zero along a cosine, step by step.
        momentum: of SGD.
        precision: of the factors of both products of a step, "fp32" or "bf16"; weights, their
            speed and the loss are float32. bf16 pays where the hardware multiplies it.

    Raises:
        InputError: a number out of range, or another precision.
    """

    epochs: int = 20
    batch_size: int = 512
    learning_rate: float = 0.1
    momentum: float = 0.9
    precision: Literal["fp32", "bf16"] = "fp32"

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "bf16"):
            raise InputError(f"The precision must be fp32 or bf16; got {self.precision!r}.")
        for name in ("epochs", "batch_size"):
            number = getattr(self, name)
            if not isinstance(number, Integral) or number < 1:
                raise InputError(f"{name} must be a whole number from 1; got {number!r}.")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning_rate must be a number above 0; got {self.learning_rate!r}.")
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum must be from 0 to below 1; got {self.momentum!r}.")


def fit_minibatches(
    data: Rows,
    objective: Objective,
    penalty: float,
    settings: MinibatchSettings,
    *,
    running: bool = False,
    sampling: Tensor | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    show: Progress = silent,
) -> tuple[Tensor, Tensor]:
    """Minimise objective + penalty / 2 · ‖W‖² by SGD on mini-batches of rows.

    Where there are several processes, each has its share of every batch, and all have the same
    weights.

    Args:
        data: standardised features.
        objective: the loss of a batch.
        penalty: ≥ 0, on the weights.
        settings: see :class:`MinibatchSettings`.
        running: track class means across batches (``RunningMeans``) instead of using the batch's.
        sampling: (rows,) probabilities to draw rows by, with replacement, instead of shuffling:
            for the re-sampling row of table 8; the objective has to know of it (``balanced``).
        seed: of the order of rows.
        checkpoint: file that is written after every epoch, and gone on from.
        show: how progress is shown.

    Returns:
        (C, d) weights and (C,) biases for the standardised features.
    """
    rows, classes = len(data.labels), len(objective.counts)
    size = min(settings.batch_size, rows)
    if running:
        share = torch.full((rows,), 1 / rows) if sampling is None else sampling / sampling.sum()
        per_class = rows * torch.zeros(classes).index_add_(0, data.labels, share)
        estimate = RunningMeans(objective, per_class)
        value_and_gradient = estimate.value_and_gradient
    else:
        estimate = None
        value_and_gradient = objective.value_and_gradient
    head = _MovingHead(classes, data.width)
    state = head.state | ({} if estimate is None else {"means": estimate.means})
    done = _go_on(checkpoint, state)
    weight, bias = head.weight, head.bias
    dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
    logits = torch.empty(-(-size // world_size()), classes)
    steps_per_epoch = rows // size
    with show("retraining", settings.epochs * rows, "rows", done * rows) as task:
        for epoch, order in enumerate(_orders(data, settings.epochs, sampling, seed)):
            if epoch < done:
                continue
            step = epoch * steps_per_epoch
            for batch, y, every in data.batches(order, size):
                whole = Whole.of(every, classes, split=world_size() > 1, drawn=True)
                x, out = batch.to(dtype), logits[: len(batch)]
                if dtype == torch.float32:
                    torch.addmm(bias, x, weight.T, out=out)
                else:
                    torch.add(bias, x @ weight.to(dtype).T, out=out)
                _, residual = value_and_gradient(out, y, whole)
                progress = step / (settings.epochs * steps_per_epoch)
                rate = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
                head.step(x, residual, rate, settings.momentum, penalty)
                step += 1
            if checkpoint is not None and is_first():
                save_checkpoint(checkpoint, {**state, "epoch": epoch + 1})
            task.advance(rows)
    if not (torch.isfinite(weight).all() and torch.isfinite(bias).all()):
        raise RunFailedError("Retraining diverged; lower the learning rate.")
    return weight, bias


class _MovingHead:
    """Weights and biases that start at zero, and SGD with momentum that moves them."""

    def __init__(self, classes: int, width: int) -> None:
        self.weight, self.bias = torch.zeros(classes, width), torch.zeros(classes)
        self._speed_of_weight = torch.zeros_like(self.weight)
        self._speed_of_bias = torch.zeros_like(self.bias)
        # In one piece, for one sum over processes.
        self._gradient = torch.empty(classes * (width + 1))
        self._of_weight = self._gradient[:-classes].view_as(self.weight)
        self._of_bias = self._gradient[-classes:]

    @property
    def state(self) -> dict[str, Tensor]:
        """What a checkpoint holds; loading writes into these tensors."""
        return {
            "weight": self.weight,
            "bias": self.bias,
            "weight_speed": self._speed_of_weight,
            "bias_speed": self._speed_of_bias,
        }

    def step(
        self, x: Tensor, residual: Tensor, rate: float, momentum: float, penalty: float
    ) -> None:
        """Move along the gradient that all processes' features x and ∂loss/∂logits give."""
        if x.dtype == torch.float32:
            torch.mm(residual.T, x, out=self._of_weight)
        else:
            self._of_weight.copy_(residual.T.to(x.dtype) @ x)
        torch.sum(residual, dim=0, out=self._of_bias)
        summed_in_place(self._gradient)
        self._speed_of_weight.mul_(momentum).add_(self._of_weight).add_(self.weight, alpha=penalty)
        self._speed_of_bias.mul_(momentum).add_(self._of_bias)
        self.weight.add_(self._speed_of_weight, alpha=-rate)
        self.bias.add_(self._speed_of_bias, alpha=-rate)


def _go_on(checkpoint: Path | None, state: dict[str, Tensor]) -> int:
    """Put the tensors back to where a checkpoint was made; the number of epochs that are done."""
    if checkpoint is None or not from_first(checkpoint.is_file()):
        return 0
    kept = load_checkpoint(checkpoint)
    for name, tensor in state.items():
        tensor.copy_(kept[name])
    return int(kept["epoch"])


def _orders(data: Rows, epochs: int, sampling: Tensor | None, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        if sampling is None:
            yield data.order(generator)
        else:
            rows = len(data.labels)
            yield torch.multinomial(sampling, rows, replacement=True, generator=generator)
