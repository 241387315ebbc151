"""Multiplicative and additive logit adjustment: (π_c / π_max)^γ z_c − τ log π_c.

The form of the VS loss (Kini et al. 2021), here after training. Where a network has no training
error left, a loss that only adds to the logits vanishes and only factors are left to tell; γ and
τ are chosen together on the held-out samples. γ = 0 is the additive adjustment.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from everyclass.adjustment.held_out import HeldOut
from everyclass.adjustment.methods import Method, maximise
from everyclass.adjustment.objectives import ClassObjective
from everyclass.artifacts import Adjustment

LARGEST_GAMMA = 1.0
Vector = npt.NDArray[np.float64]


def fit(samples: HeldOut, goal: ClassObjective) -> Adjustment:
    """Choose γ and τ.

    Args:
        samples: with ``log_prior``.
        goal: the objective.
    """
    assert samples.log_prior is not None
    prior = samples.log_prior - samples.log_prior.mean()

    # While they are searched the factors have geometric mean 1, which keeps the temperature.
    def family(parameters: Vector) -> tuple[Vector, Vector]:
        return np.exp(parameters[0] * prior), -parameters[1] * prior

    def backward(parameters: Vector, by_scale: Vector, by_bias: Vector) -> Vector:
        scale = np.exp(parameters[0] * prior)
        return np.array([by_scale @ (scale * prior), -by_bias @ prior])

    gamma, tau = maximise(
        samples,
        goal,
        family,
        backward,
        np.array([0.0, samples.temperature]),
        bounds=[(-LARGEST_GAMMA, LARGEST_GAMMA), (-np.inf, np.inf)],
    )
    scale, bias = family(np.array([gamma, tau]))
    top = scale[prior.argmax()]  # of the largest class; said as in the paper, its factor is 1
    notes = {"gamma": float(gamma), "tau": float(tau / top)}
    return Adjustment(scale, bias, METHOD.name, notes)


METHOD = Method(
    name="multiplicative",
    summary="(share / largest share)^γ times the logits, less τ log of the shares",
    source="after Kini et al. 2021",
    fit=fit,
    needs=("class_counts",),
)
