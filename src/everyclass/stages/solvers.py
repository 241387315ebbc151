"""Fitting a linear head to cached features: the exact objective by L-BFGS, or mini-batches by SGD.

Both work on standardised features and fold the standardisation into the weights that they return,
so that one penalty means the same for every backbone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.optimize
import torch
from torch import Tensor

from everyclass.errors import InputError, RunFailedError
from everyclass.processes import from_first, is_first, summed_in_place, world_size
from everyclass.progress import silent
from everyclass.stages.class_blocks import Block, class_blocks
from everyclass.stages.objectives import Objective, RunningMeans, Whole
from everyclass.stages.standardised import Rows, Standardised, standardise
from everyclass.training import load_checkpoint, save_checkpoint

__all__ = ["MinibatchSettings", "Standardised", "fit_exact", "fit_minibatches", "standardise"]


def fit_exact(
    data: Rows,
    objective: Objective,
    penalty: float,
    *,
    start: tuple[Tensor, Tensor] | None = None,
    max_iterations: int = 500,
    tolerance: float = 1e-5,
) -> tuple[Tensor, Tensor]:
    """Minimise objective + penalty / 2 · ‖W‖² over all images at once; deterministic.

    L-BFGS from SciPy on float64 parameters, the products in float32. The bias carries no penalty.
    The logits of one block of classes are in memory at a time; where there are several processes,
    each has its blocks and all have the same parameters.

    Args:
        data: standardised features.
        objective: the loss.
        penalty: ≥ 0, per mean loss (scikit-learn's C is 1 / (penalty · n)).
        start: (C, d) weights and (C,) biases to begin at; default zeros.
        max_iterations: of L-BFGS.
        tolerance: stop when the largest gradient entry is below this share of the first one.

    Returns:
        (C, d) weights and (C,) biases for the standardised features.
    """
    classes, width = len(objective.counts), data.width
    whole = Whole.of(data.labels, classes)
    order, blocks = class_blocks(data.labels, classes)
    data = data if order is None else data.ordered(order)
    sums = _BlockSums(data, objective, whole, blocks)

    def value_and_gradient(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[Any]]:
        parameters = torch.from_numpy(flat).view(classes, width + 1)
        value, of_weight, of_bias = sums.at(
            parameters[:, :width].float(), parameters[:, width].float()
        )
        gradient = torch.empty(classes * (width + 1) + 1, dtype=torch.float64)
        gradient[-1] = value
        matrix = gradient[:-1].view(classes, width + 1)
        matrix[:, :width], matrix[:, width] = of_weight, of_bias
        summed_in_place(gradient)
        matrix[:, :width] += penalty * parameters[:, :width]
        total = gradient[-1] + 0.5 * penalty * parameters[:, :width].square().sum()
        return float(total), gradient[:-1].numpy()

    first = torch.zeros(classes, width + 1, dtype=torch.float64)
    if start is not None:
        first[:, :width], first[:, width] = start
    at_zero = np.abs(value_and_gradient(np.zeros(first.numel()))[1]).max()
    # Between two products a step of L-BFGS is a few dot products: BLAS threads only wait there,
    # which takes eight times the time on a busy machine.
    with _blas().limit(limits=1, user_api="blas"):
        found = scipy.optimize.minimize(
            value_and_gradient,
            first.view(-1).numpy(),
            jac=True,
            method="L-BFGS-B",
            options={
                "maxiter": max_iterations,
                "maxfun": 2 * max_iterations,
                "maxcor": 10,
                "gtol": tolerance * float(at_zero),
                "ftol": 64 * np.finfo(np.float64).eps,
            },
        )
    if not np.isfinite(found.fun):
        raise RunFailedError("Retraining diverged: the objective is not finite.")
    solution = torch.from_numpy(found.x).view(classes, width + 1).float()
    return solution[:, :width].contiguous(), solution[:, width].contiguous()


class _BlockSums:
    """Value and gradient of an objective, block by block, in the same memory every time."""

    def __init__(self, data: Rows, objective: Objective, whole: Whole, blocks: list[Block]) -> None:
        self._data, self._objective = data, objective
        self._whole, self._blocks = whole, blocks
        longest = max((stop - start for b in blocks for start, stop in b.parts), default=0)
        self._logits = torch.empty(longest, len(objective.counts))
        self._gradient = torch.empty(len(objective.counts), data.width)

    def at(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(value, (C, d), (C,)) of this process's blocks."""
        self._gradient.zero_()
        of_bias, value = torch.zeros_like(bias), torch.zeros((), dtype=torch.float64)
        for block in self._blocks:
            whole = self._whole
            if len(block.parts) > 1 and self._objective.knows_its_classes:
                whole = replace(whole, log_sums=self._log_sums(block, weight, bias))
            for start, stop in block.parts:
                x, y = self._data.block(start, stop), self._data.labels[start:stop]
                logits = torch.addmm(bias, x, weight.T, out=self._logits[: stop - start])
                part, residual = self._objective.value_and_gradient(logits, y, whole)
                self._gradient.addmm_(residual.T, x)
                of_bias += residual.sum(dim=0)
                value += part
        return value, self._gradient, of_bias

    def _log_sums(self, block: Block, weight: Tensor, bias: Tensor) -> Tensor:
        """log Σ p of the one class of a block that is too large to be held."""
        parts = []
        for start, stop in block.parts:
            x, y = self._data.block(start, stop), self._data.labels[start:stop]
            logits = torch.addmm(bias, x, weight.T, out=self._logits[: stop - start])
            parts.append(self._objective.log_probabilities(logits, y))
        return torch.cat(parts).logsumexp(dim=0).expand(len(bias))


@functools.cache
def _blas() -> Any:
    """The BLAS libraries that this process has loaded."""
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()


@dataclass(frozen=True)
class MinibatchSettings:
    """SGD with momentum and cosine decay.

    Attributes:
        epochs: passes over all views of all images.
        batch_size: rows per step.
        learning_rate: the peak; falls to zero along a cosine, step by step.
        momentum: of SGD.
        running: track class means across batches (``RunningMeans``) instead of using the batch's.
        precision: of the factors of both products of a step, "fp32" or "bf16"; weights, their
            speed and the loss are float32. bf16 pays where the hardware multiplies it.
        seed: of the order of rows.
    """

    epochs: int = 20
    batch_size: int = 512
    learning_rate: float = 0.1
    momentum: float = 0.9
    running: bool = False
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "bf16"):
            raise InputError(f"The precision must be fp32 or bf16; got {self.precision!r}.")


def fit_minibatches(
    data: Rows,
    objective: Objective,
    penalty: float,
    settings: MinibatchSettings,
    *,
    sampling: Tensor | None = None,
    checkpoint: Path | None = None,
    show: Any = silent,
) -> tuple[Tensor, Tensor]:
    """Minimise objective + penalty / 2 · ‖W‖² by SGD on mini-batches of rows.

    Where there are several processes, each has its share of every batch, and all have the same
    weights.

    Args:
        data: standardised features.
        objective: the loss of a batch.
        penalty: ≥ 0, on the weights.
        settings: see :class:`MinibatchSettings`.
        sampling: (rows,) probabilities to draw rows by, with replacement, instead of shuffling:
            for the re-sampling row of table 8.
        checkpoint: file that is written after every epoch, and gone on from.
        show: how progress is shown.

    Returns:
        (C, d) weights and (C,) biases for the standardised features.
    """
    rows, classes = len(data.labels), len(objective.counts)
    size = min(settings.batch_size, rows)
    if settings.running:
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
        for epoch, order in enumerate(_orders(data, settings, sampling)):
            if epoch < done:
                continue
            step = epoch * steps_per_epoch
            for batch, y, every in data.batches(order, size):
                whole = Whole.of(every, classes, split=world_size() > 1)
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


def _orders(data: Rows, settings: MinibatchSettings, sampling: Tensor | None) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(settings.seed)
    for _ in range(settings.epochs):
        if sampling is None:
            yield data.order(generator)
        else:
            rows = len(data.labels)
            yield torch.multinomial(sampling, rows, replacement=True, generator=generator)
