"""Fitting a linear head to cached features: all images at once, by L-BFGS.

It works on standardised features, so that one penalty means the same for every backbone; the
standardisation is folded into the weights afterwards.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.optimize
import torch
from torch import Tensor

from everyclass.errors import RunFailedError
from everyclass.processes import summed_in_place
from everyclass.stages.retraining.class_blocks import Block, class_blocks
from everyclass.stages.retraining.objectives import Objective, Whole
from everyclass.stages.retraining.standardised import Rows

__all__ = ["fit_exact"]


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
        max_iterations: of L-BFGS; under the weakest penalties it may not have converged by then,
            and what it has come to is the head.
        tolerance: stop when the largest gradient entry is below this share of the first one; or
            before, where float32 products show no further descent.

    Returns:
        (C, d) weights and (C,) biases for the standardised features.

    Raises:
        RunFailedError: the objective is not finite.
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
