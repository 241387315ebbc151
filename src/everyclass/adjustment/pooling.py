"""How sure one may be of a gain where many classes have a handful of samples.

A class none of whose three samples is right may have any recall. Under Jeffreys' prior it is as
good as zero in many draws, and decides every harmonic mean alone. What the other classes are like
says more: here the prior is learned from all classes (a Dirichlet-multinomial one).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.optimize
from scipy import special

from everyclass.adjustment.objectives import ClassObjective
from everyclass.metrics import draw_paired_recalls

__all__ = ["drawn_objectives", "needed_certainty", "pooled_prior"]

DRAWS = 4000
LEVEL = 0.05
# The logarithm of the prior's weight is normal around that of Jeffreys' prior for either recall,
# which is 1. With few classes the likelihood alone would be too sure of it (docs/strategies.md).
SPREAD = 0.5
LARGEST_WEIGHT = 200.0
_CHUNK_VALUES = 1 << 22
Integers = npt.NDArray[np.int64]


def pooled_prior(table: Integers) -> tuple[float, npt.NDArray[np.float64], float]:
    """How alike the classes are: a Dirichlet prior of the four outcomes that fits all of them.

    Args:
        table: (C, 4) images of each class that neither, only the new, only the old, or both
            classifiers get right; no empty row.

    Returns:
        The weight of the prior, in images; (4,) its shares, the mean over classes; and how many
        independent images those shares rest on.
    """
    images = table.sum(axis=1)
    shares = (table / images[:, None]).mean(axis=0) + 1e-3
    shares /= shares.sum()

    def loss(log_weight: float) -> float:
        prior = np.exp(log_weight) * shares
        weight = prior.sum()
        of_images = special.gammaln(weight) - special.gammaln(weight + images)
        of_outcomes = (special.gammaln(prior + table) - special.gammaln(prior)).sum(axis=1)
        return float(0.5 * (log_weight / SPREAD) ** 2 - (of_images + of_outcomes).sum())

    bound = np.log(LARGEST_WEIGHT)
    found = scipy.optimize.minimize_scalar(loss, bounds=(-bound, bound), method="bounded")
    weight = float(np.exp(found.x))
    # Images of one class are alike: n of them say as much about all classes as n (w+1) / (w+n).
    return weight, shares, float((images * (weight + 1) / (images + weight)).sum())


def needed_certainty(folds: int, fitted: float) -> float:
    """The share of draws that have to be a gain: 95 %, and more for what is fitted fold by fold.

    Predictions of k folds that were fitted to each other's samples are no independent trials: their
    mean varies 1 + k / (k − 1) times as much as it would if they were (Nadeau and Bengio 2003). So
    the normal quantile of 95 % is stretched by the square root of that: 99.3 % for five folds.

    Args:
        folds: k.
        fitted: the share of folds whose predictions come from a fit to the other folds.
    """
    stretch = np.sqrt(1 + fitted * folds / (folds - 1))
    return float(special.ndtr(stretch * special.ndtri(1 - LEVEL)))


def drawn_objectives(
    labels: Integers,
    said: tuple[Integers, Integers],
    num_classes: int,
    goal: ClassObjective,
    *,
    seed: int = 0,
) -> npt.NDArray[np.float64]:
    """Draws from the posterior of an objective of two classifiers' recalls.

    Args:
        labels: (n,) true classes.
        said: (n,) predicted classes of the old and of the new classifier.
        num_classes: C.
        goal: the objective.
        seed: of the draws.

    Returns:
        (2, DRAWS) of old and new, paired.
    """
    outcome = 2 * (said[0] == labels) + (said[1] == labels)
    table = np.bincount(labels * 4 + outcome, minlength=4 * num_classes).reshape(-1, 4)
    there = table.sum(axis=1) > 0
    table = table[there]
    goal = goal.for_classes(num_classes, there)
    weight, shares, rests_on = pooled_prior(table)
    generator = np.random.default_rng(seed)
    step = max(1, _CHUNK_VALUES // table.size)
    parts = []
    for start in range(0, DRAWS, step):
        draws = min(step, DRAWS - start)
        # The shares are known from these images only, so they are drawn as well.
        prior = weight * generator.dirichlet(rests_on * shares, size=(draws, 1))
        recalls = draw_paired_recalls(table, prior, draws, generator)
        parts.append(goal.value(np.stack(recalls)))
    return np.concatenate(parts, axis=1)
