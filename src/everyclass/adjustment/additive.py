"""Additive logit adjustment: τ log π_c is taken from the logits (Menon et al. 2021).

π_c is the class's share of the training set. τ = 1 is the exact change from the training prior to
the uniform one, where the logits are calibrated; a network that is too sure of itself needs
another, and the held-out samples choose it. One number, so it cannot overfit, and cannot mend one
confusable class.
"""

from __future__ import annotations

import numpy as np

from everyclass.adjustment.held_out import HeldOut
from everyclass.adjustment.methods import Method, maximise
from everyclass.adjustment.objectives import ClassObjective
from everyclass.artifacts import Adjustment


def fit(samples: HeldOut, goal: ClassObjective) -> Adjustment:
    """Choose τ and hand back −τ log π as biases.

    Args:
        samples: with ``log_prior``.
        goal: the objective.
    """
    prior = samples.log_prior
    assert prior is not None
    scale = np.ones_like(prior)
    (tau,) = maximise(
        samples,
        goal,
        lambda parameters: (scale, -parameters[0] * prior),
        lambda _, by_scale, by_bias: np.array([-by_bias @ prior]),
        np.array([samples.temperature]),
    )
    return Adjustment(scale, -tau * (prior - prior.mean()), METHOD.name, {"tau": float(tau)})


METHOD = Method(
    name="additive",
    summary="τ log of the training shares taken from the logits",
    source="Menon et al. 2021",
    fit=fit,
    needs=("class_counts",),
)
