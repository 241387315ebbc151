"""Linear ascent on the worst classes (after Choi & Seo 2025).

Round by round the target prior moves a step towards the uniform distribution on the worst k % of
the classes, π_t ← π_t + α (e_K − π_t), and the logits become z − τ log π_train + t log π_t, the
last less its mean, so that a class with too few samples to judge, whose bias is 0, stays in the
middle.
The authors move the prior of a loss while a network learns; after training the same ascent is on
the biases, and stops after as many rounds as cross-validation says.
"""

from __future__ import annotations

import numpy as np

from everyclass.adjustment import additive
from everyclass.adjustment.drops import spread
from everyclass.adjustment.held_out import HeldOut
from everyclass.adjustment.methods import Method
from everyclass.adjustment.objectives import ClassObjective
from everyclass.artifacts import Adjustment
from everyclass.metrics import number_of_worst

STEP = 0.02


def fit(samples: HeldOut, goal: ClassObjective, *, rounds: int = 30) -> Adjustment:
    """Climb for some rounds.

    Args:
        samples: with ``log_prior`` where it is known.
        goal: chooses τ of the training prior, and says in ``worst_percent`` how many classes
            are the worst ones.
        rounds: how many steps.
    """
    base = np.zeros(samples.num_classes)
    if samples.log_prior is not None:
        base = additive.fit(samples, goal).bias
    free = samples.enough
    scale = np.ones(samples.num_classes)
    count = int(np.count_nonzero(free))
    if count == 0:
        return Adjustment(scale, base, METHOD.name, {"rounds": int(rounds)})
    worst = number_of_worst(count, goal.worst_percent)
    prior = np.full(count, 1 / count)
    for _ in range(int(rounds)):
        bias = base + spread(samples, np.log(prior))
        recall = samples.soft_recall(scale, bias)[free[samples.there]]
        towards = np.zeros(count)
        towards[np.argsort(recall, kind="stable")[:worst]] = 1 / worst
        prior += STEP * (towards - prior)
    return Adjustment(
        scale, base + spread(samples, np.log(prior)), METHOD.name, {"rounds": int(rounds)}
    )


METHOD = Method(
    name="linear_ascent",
    summary="the prior moved step by step towards the worst classes",
    source="after Choi & Seo 2025",
    fit=fit,
    settings=tuple({"rounds": rounds} for rounds in (5, 15, 40)),
)
