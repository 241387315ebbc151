"""How sure one may be of a gain in harmonic mean where many classes have a handful of images.

A class none of whose three images is right may have any recall. Under Jeffreys' prior it is as good
as zero in many draws, and decides every harmonic mean alone. What the other classes are like says
more: here the prior is learned from all classes (Dirichlet-multinomial, as in Skellam 1948).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.optimize
from scipy import special, stats

__all__ = ["drawn_harmonic_means", "pooled_prior"]

DRAWS = 2000
# The logarithm of the prior's weight is normal around that of Jeffreys' prior for either recall,
# which is 1. With few classes the likelihood alone would be too sure of it (docs/strategies.md).
SPREAD = 0.5
LARGEST_WEIGHT = 200.0
Table = npt.NDArray[np.int64]


def pooled_prior(table: Table) -> npt.NDArray[np.float64]:
    """Dirichlet weights of the four outcomes that make all classes' outcomes likely.

    Args:
        table: (C, 4) images of each class that neither, only the new, only the old, or both
            classifiers get right; no empty row.

    Returns:
        (4,) positive weights; their sum is how many images the other classes are worth to one.
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
    return np.asarray(np.exp(found.x) * shares)


def drawn_harmonic_means(
    labels: npt.NDArray[np.int64],
    old: npt.NDArray[np.int64],
    new: npt.NDArray[np.int64],
    num_classes: int,
    seed: int,
) -> npt.NDArray[np.float64]:
    """Draws from the posterior of both classifiers' harmonic mean of recall.

    Args:
        labels: (n,) true classes.
        old, new: (n,) predicted classes.
        num_classes: C.
        seed: of the draws.

    Returns:
        (2, DRAWS): old and new, paired.
    """
    outcome = 2 * (old == labels) + (new == labels)
    table = np.bincount(labels * 4 + outcome, minlength=4 * num_classes).reshape(-1, 4)
    table = table[table.sum(axis=1) > 0]
    generator = np.random.default_rng(seed)
    drawn = generator.standard_gamma(table + pooled_prior(table), size=(DRAWS, *table.shape))
    _, only_new, only_old, both = np.moveaxis(drawn / drawn.sum(axis=-1, keepdims=True), -1, 0)
    return np.asarray(stats.hmean(np.stack([both + only_old, both + only_new]), axis=-1))
