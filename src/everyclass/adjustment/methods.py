"""What a method of adjusting is: a function from held-out samples to an adjustment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.optimize

from everyclass.adjustment.held_out import HeldOut
from everyclass.adjustment.objectives import ClassObjective
from everyclass.artifacts import Adjustment

__all__ = ["Method", "Need", "maximise"]

Need = Literal["class_counts", "head"]
Setting = Mapping[str, float]
Vector = npt.NDArray[np.float64]
Family = Callable[[Vector], tuple[Vector, Vector]]
BackwardPass = Callable[[Vector, Vector, Vector], Vector]


@dataclass(frozen=True)
class Method:
    """One way to adjust.

    Attributes:
        name: such as "bias".
        summary: what it does, in a line.
        source: who proposed it.
        fit: (samples, objective, **setting) → adjustment.
        settings: those to choose from, by cross-validation, the plainest first.
        needs: what it cannot do without besides logits and labels.
    """

    name: str
    summary: str
    source: str
    fit: Callable[..., Adjustment]
    settings: tuple[Setting, ...] = ({},)
    needs: tuple[Need, ...] = ()


def maximise(
    samples: HeldOut,
    goal: ClassObjective,
    family: Family,
    backward: BackwardPass,
    start: Vector,
    *,
    penalty: Callable[[Vector], tuple[float, Vector]] | None = None,
    bounds: list[tuple[float, float]] | None = None,
    max_iterations: int = 60,
) -> Vector:
    """The parameters whose adjustment has the largest soft objective, by L-BFGS.

    Args:
        samples: the held-out samples.
        goal: the objective, over all classes.
        family: parameters → (scale, bias).
        backward: (parameters, ∂/∂scale, ∂/∂bias) → ∂/∂parameters.
        start: the parameters to begin at.
        penalty: parameters → (value, gradient), subtracted from the logarithm of the objective.
        bounds: of each parameter.
        max_iterations: of L-BFGS.
    """
    goal = goal.for_classes(samples.num_classes, samples.there)

    def loss(parameters: Vector) -> tuple[float, Vector]:
        value, by_scale, by_bias = samples.objective(goal, *family(parameters))
        gradient = -backward(parameters, by_scale, by_bias)
        if penalty is None:
            return -value, gradient
        extra, of_penalty = penalty(parameters)
        return extra - value, gradient + of_penalty

    found = scipy.optimize.minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": max_iterations, "ftol": 1e-7, "gtol": 1e-5},
    )
    return np.asarray(found.x)
