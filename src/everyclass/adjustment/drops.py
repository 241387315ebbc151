"""Minimax reweighting: the best classifier for the worst prior near the uniform one (DROPS).

Wei et al., ICLR 2023: predict argmax log p_c + log(q_c / π_c), where q is the prior of a game. An
adversary raises the weight of the classes that fare badly by exponentiated gradient, q_c ← q_c
exp(η (1 − ŝ_c)), and stays within KL(q ‖ uniform) ≤ δ; δ = 0 is the additive adjustment and δ → ∞
lets it put everything on the worst class. What is handed back is the geometric mean of the priors
played in the second half. Here ŝ is a soft recall, since counts of few samples make the game
jump.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.optimize

from everyclass.adjustment import additive
from everyclass.adjustment.held_out import HeldOut
from everyclass.adjustment.methods import Method
from everyclass.adjustment.objectives import ClassObjective
from everyclass.artifacts import Adjustment

RATE = 1.0
ROUNDS = 40
Vector = npt.NDArray[np.float64]


def fit(samples: HeldOut, goal: ClassObjective, *, radius: float = 0.2) -> Adjustment:
    """Play the game on the classes that have enough samples.

    Args:
        samples: with ``log_prior`` where it is known.
        goal: chooses τ of the training prior; the game itself is about the worst classes.
        radius: δ.
    """
    base = np.zeros(samples.num_classes)
    if samples.log_prior is not None:
        base = additive.fit(samples, goal).bias
    free = samples.enough
    if not free.any():
        return Adjustment(np.ones_like(base), base, METHOD.name, {"radius": radius})
    scale = np.ones(samples.num_classes)
    played = np.zeros((ROUNDS, np.count_nonzero(free)))
    log_weights = np.zeros(played.shape[1])
    for at in range(ROUNDS):
        played[at] = log_weights
        recall = samples.soft_recall(scale, base + spread(samples, log_weights))
        log_weights = nearest_in_ball(log_weights - RATE * recall[free[samples.there]], radius)
    average = played[ROUNDS // 2 :].mean(axis=0)
    return Adjustment(scale, base + spread(samples, average), METHOD.name, {"radius": radius})


def spread(samples: HeldOut, log_weights: Vector) -> Vector:
    """(C,) biases of log weights, less their mean; 0 where a class is left alone."""
    bias = np.zeros(samples.num_classes)
    bias[samples.enough] = samples.temperature * (log_weights - log_weights.mean())
    return bias


def nearest_in_ball(log_weights: Vector, radius: float) -> Vector:
    """The distribution within KL(q ‖ uniform) ≤ δ that is nearest to given weights, as logs.

    Nearest in KL(· ‖ weights). The Lagrangian says that it lies on the line to the uniform one in
    logarithms: q ∝ weights^a for the largest a ≤ 1 that is inside.

    Args:
        log_weights: (k,) log weights, not normalised.
        radius: δ ≥ 0.
    """

    def distance(share: float) -> float:
        log_q = share * log_weights
        log_q = log_q - np.logaddexp.reduce(log_q)
        return float((np.exp(log_q) * (log_q + np.log(len(log_q)))).sum())

    share = 1.0
    if distance(1.0) > radius:
        share = scipy.optimize.brentq(lambda a: distance(a) - radius, 0.0, 1.0) if radius else 0.0
    log_q = share * log_weights
    return np.asarray(log_q - np.logaddexp.reduce(log_q))


METHOD = Method(
    name="drops",
    summary="the worst prior within a ball around the uniform one, by exponentiated gradient",
    source="Wei et al. 2023",
    fit=fit,
    settings=tuple({"radius": radius} for radius in (0.02, 0.1, 0.3)),
)
