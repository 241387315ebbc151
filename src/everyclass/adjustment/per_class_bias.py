"""A bias for each class: the prior's line and a deviation from it, on held-out samples.

b_c = −τ log π_c + t δ_c, where t is the calibrated temperature; the soft objective is maximised
over τ and δ less λ / 2C ‖δ‖². λ = ∞ is the additive adjustment. Without training counts there is
no line and b = t δ. A class with too few samples keeps δ_c = 0.

The classes' biases are what the head alone can give a class that others take its samples from;
how much of what is seen here is chance, λ has to say, which is why it is chosen by
cross-validation.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from everyclass.adjustment.held_out import HeldOut
from everyclass.adjustment.methods import Method, maximise
from everyclass.adjustment.objectives import ClassObjective
from everyclass.artifacts import Adjustment

Vector = npt.NDArray[np.float64]


def fit(samples: HeldOut, goal: ClassObjective, *, penalty: float = 1.0) -> Adjustment:
    """Choose τ and a bias for every class that has enough samples.

    Args:
        samples: with ``log_prior`` where it is known.
        goal: the objective.
        penalty: λ, on the deviations in units of the calibrated temperature.
    """
    classes = samples.num_classes
    temperature = samples.temperature
    prior = np.zeros(classes) if samples.log_prior is None else samples.log_prior
    prior = prior - prior.mean()
    free = np.flatnonzero(samples.enough)
    scale = np.ones(classes)
    strength = penalty / classes

    def family(parameters: Vector) -> tuple[Vector, Vector]:
        bias = -parameters[0] * prior
        bias[free] += parameters[1:]
        return scale, temperature * bias

    def backward(_: Vector, by_scale: Vector, by_bias: Vector) -> Vector:
        return temperature * np.concatenate([[-by_bias @ prior], by_bias[free]])

    def shrinkage(parameters: Vector) -> tuple[float, Vector]:
        gradient = strength * parameters
        gradient[0] = 0.0
        return 0.5 * float(gradient @ parameters), gradient

    start = np.zeros(1 + len(free))
    start[0] = 0.0 if samples.log_prior is None else 1.0
    found = maximise(samples, goal, family, backward, start, penalty=shrinkage)
    notes = {
        "tau": float(found[0] * temperature) if samples.log_prior is not None else None,
        "penalty": penalty,
    }
    return Adjustment(*family(found), METHOD.name, notes)


METHOD = Method(
    name="bias",
    summary="a bias per class, shrunk towards the line of the training shares",
    source="offsets on held-out data, as in Menon et al. 2021 and Choi & Seo 2025",
    fit=fit,
    settings=tuple({"penalty": penalty} for penalty in (3.0, 1.0, 0.3, 0.1)),
)
