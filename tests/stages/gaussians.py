"""Features whose best classifier is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from everyclass import Features, Head


class Gaussians:
    """One Gaussian with unit covariance per class, so that the best head is known.

    Args:
        classes: C.
        width: d.
        spread: standard deviation of the coordinates of the class means.
        seed: of the means.
    """

    def __init__(self, classes: int = 8, width: int = 10, spread: float = 0.9, seed: int = 0):
        self.means = spread * np.random.default_rng(seed).normal(size=(classes, width))

    def draw(self, counts: Sequence[int], seed: int, views: int = 1) -> Features:
        """``counts[c]`` images of class c; further views are the same images with some noise."""
        generator = np.random.default_rng(seed)
        labels = generator.permutation(np.repeat(np.arange(len(counts)), counts))
        plain = self.means[labels] + generator.normal(size=(len(labels), self.means.shape[1]))
        if views == 1:
            return Features(plain.astype(np.float32), labels)
        noise = 0.3 * generator.normal(size=(views, *plain.shape))
        noise[0] = 0
        return Features((plain + noise).astype(np.float32), labels)

    def bayes_head(self, prior: Sequence[float] | None = None) -> Head:
        """The head with the fewest errors where classes are as frequent as ``prior`` says."""
        bias = -0.5 * (self.means**2).sum(axis=1)
        if prior is not None:
            bias = bias + np.log(np.asarray(prior) / np.sum(prior))
        return Head(self.means, bias)


def long_tail(classes: int = 8, largest: int = 400, smallest: int = 5) -> list[int]:
    """Class counts that fall exponentially."""
    return np.geomspace(largest, smallest, classes).round().astype(int).tolist()  # type: ignore[no-any-return]
