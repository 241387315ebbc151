"""Fitting a linear head to cached features: the exact objective by L-BFGS, or mini-batches by SGD.

Both work on standardised features and fold the standardisation into the weights that they return,
so that one penalty means the same for every backbone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.optimize
import torch
from torch import Tensor

from everyclass.artifacts import Head
from everyclass.errors import RunFailedError
from everyclass.progress import silent
from everyclass.stages.objectives import Objective, RunningMeans

__all__ = ["MinibatchSettings", "Standardised", "fit_exact", "fit_minibatches", "standardise"]


@dataclass(frozen=True)
class Standardised:
    """Features with zero mean and unit variance per column, all views stacked.

    Attributes:
        features: (views · n, d) float32.
        labels: (views · n,) int64.
        mean, scale: (d,) float32; features = (original − mean) · scale.
        num_views: how many views each image has.
    """

    features: Tensor
    labels: Tensor
    mean: Tensor
    scale: Tensor
    num_views: int

    def head(self, weight: Tensor, bias: Tensor) -> Head:
        """The head on original features that equals (weight, bias) on standardised ones."""
        folded = weight * self.scale
        return Head(folded.numpy(), (bias - folded @ self.mean).numpy())


def standardise(
    views: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.int64]
) -> Standardised:
    """Standardise features column by column; a constant column stays at zero.

    Args:
        views: (v, n, d).
        labels: (n,).
    """
    stacked = torch.from_numpy(views.reshape(-1, views.shape[-1])).float()
    std, mean = torch.std_mean(stacked, dim=0, correction=0)
    # A column that varies by rounding only would otherwise be blown up into noise.
    constant = std <= 1e-6 * mean.abs() + torch.finfo(std.dtype).tiny
    scale = torch.where(constant, torch.zeros_like(std), 1 / std)
    return Standardised(
        features=(stacked - mean) * scale,
        labels=torch.from_numpy(np.tile(labels, len(views))),
        mean=mean,
        scale=scale,
        num_views=len(views),
    )


def fit_exact(
    data: Standardised,
    objective: Objective,
    penalty: float,
    *,
    start: tuple[Tensor, Tensor] | None = None,
    max_iterations: int = 500,
    tolerance: float = 1e-5,
) -> tuple[Tensor, Tensor]:
    """Minimise objective + penalty / 2 · ‖W‖² over all images at once; deterministic.

    L-BFGS from SciPy on float64 parameters, the products in float32. The bias carries no penalty.

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
    features, labels = data.features, data.labels
    classes, width = len(objective.counts), features.shape[1]
    buffer = torch.empty(len(features), classes)

    def value_and_gradient(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[Any]]:
        parameters = torch.from_numpy(flat).view(classes, width + 1)
        weight = parameters[:, :width].float()
        torch.addmm(parameters[:, width].float(), features, weight.T, out=buffer)
        value, residual = objective.value_and_gradient(buffer, labels)
        gradient = torch.empty(classes, width + 1, dtype=torch.float64)
        gradient[:, :width] = residual.T @ features
        gradient[:, width] = residual.sum(dim=0)
        gradient[:, :width] += penalty * parameters[:, :width]
        total = value.double() + 0.5 * penalty * parameters[:, :width].square().sum()
        return float(total), gradient.view(-1).numpy()

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
        seed: of the order of rows.
    """

    epochs: int = 20
    batch_size: int = 512
    learning_rate: float = 0.1
    momentum: float = 0.9
    running: bool = False
    seed: int = 0


def fit_minibatches(
    data: Standardised,
    objective: Objective,
    penalty: float,
    settings: MinibatchSettings,
    *,
    sampling: Tensor | None = None,
    show: Any = silent,
) -> tuple[Tensor, Tensor]:
    """Minimise objective + penalty / 2 · ‖W‖² by SGD on mini-batches of rows.

    Args:
        data: standardised features.
        objective: the loss of a batch.
        penalty: ≥ 0, on the weights.
        settings: see :class:`MinibatchSettings`.
        sampling: (rows,) probabilities to draw rows by, with replacement, instead of shuffling:
            for the re-sampling row of table 8.
        show: how progress is shown.

    Returns:
        (C, d) weights and (C,) biases for the standardised features.
    """
    features, labels = data.features, data.labels
    rows, width = features.shape
    classes = len(objective.counts)
    size = min(settings.batch_size, rows)
    value_and_gradient = objective.value_and_gradient
    if settings.running:
        share = torch.full((rows,), 1 / rows) if sampling is None else sampling / sampling.sum()
        per_class = rows * torch.zeros(classes).index_add_(0, labels, share)
        value_and_gradient = RunningMeans(objective, per_class).value_and_gradient
    weight, bias = torch.zeros(classes, width), torch.zeros(classes)
    weight_speed, bias_speed = torch.zeros_like(weight), torch.zeros_like(bias)
    logits = torch.empty(size, classes)
    steps = settings.epochs * (rows // size)
    step = 0
    with show("retraining", settings.epochs * rows, "rows") as task:
        for order in _orders(rows, settings, sampling):
            shuffled, targets = features[order], labels[order]
            for at in range(0, rows - size + 1, size):
                x, y = shuffled[at : at + size], targets[at : at + size]
                torch.addmm(bias, x, weight.T, out=logits)
                _, residual = value_and_gradient(logits, y)
                weight_speed.mul_(settings.momentum).addmm_(residual.T, x)
                weight_speed.add_(weight, alpha=penalty)
                bias_speed.mul_(settings.momentum).add_(residual.sum(dim=0))
                rate = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
                weight.add_(weight_speed, alpha=-rate)
                bias.add_(bias_speed, alpha=-rate)
                step += 1
            task.advance(rows)
    if not (torch.isfinite(weight).all() and torch.isfinite(bias).all()):
        raise RunFailedError("Retraining diverged; lower the learning rate.")
    return weight, bias


def _orders(rows: int, settings: MinibatchSettings, sampling: Tensor | None) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(settings.seed)
    for _ in range(settings.epochs):
        if sampling is None:
            yield torch.randperm(rows, generator=generator)
        else:
            yield torch.multinomial(sampling, rows, replacement=True, generator=generator)
