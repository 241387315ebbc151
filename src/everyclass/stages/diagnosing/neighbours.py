"""Which classes lie nearest to a class in feature space."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from everyclass.artifacts import Features

__all__ = ["nearest_classes"]

_CHUNK_VALUES = 1 << 21


def nearest_classes(
    features: Features, classes: Iterable[int], *, most: int = 5
) -> dict[int, tuple[tuple[int, float], ...]]:
    r"""The nearest classes of some classes, by the distance of class means.

    In standard deviations within classes, column by column, less what the means of so few images
    differ by chance:

    .. math:: D^2 = \sum_j \frac{(\mu_{cj} - \mu_{dj})^2}{\sigma_j^2}
              - d \left(\frac{1}{n_c} + \frac{1}{n_d}\right)

    Without the second term a class of four images would look far from every other. Below zero is
    0: the two means cannot be told apart.

    Args:
        features: of any images; the first view is looked at.
        classes: those whose neighbours are asked for; those without images are left out.
        most: how many neighbours.

    Returns:
        By class, (class, distance) of its neighbours, nearest first.

    Example:
        >>> points = np.repeat([[0.0], [1.0], [5.0]], 50, axis=0)
        >>> noise = np.random.default_rng(0).normal(size=(150, 1))
        >>> near = nearest_classes(Features(points + noise, np.repeat([0, 1, 2], 50)), [0])
        >>> [(c, round(distance)) for c, distance in near[0]]
        [(1, 1), (2, 5)]
    """
    images = np.bincount(features.labels, minlength=features.num_classes)
    mean, scale = _means_and_scale(features.views[0], features.labels, images)
    width = int((scale > 0).sum())
    there = np.flatnonzero(images > 0)
    found = {}
    for c in classes:
        if images[c] == 0:
            continue
        others = there[there != c]
        squared = ((mean[others] - mean[c]) ** 2).sum(axis=1)
        squared -= width * (1 / images[c] + 1 / images[others])
        distance = np.sqrt(np.maximum(squared, 0))
        # Of those at 0 the one that lies furthest below zero comes first.
        nearest = np.argsort(squared, kind="stable")[:most]
        found[c] = tuple(zip(others[nearest].tolist(), distance[nearest].tolist(), strict=True))
    return found


def _means_and_scale(
    features: npt.NDArray[Any], labels: npt.NDArray[np.int64], images: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(C, d) class means in standard deviations within classes, and (d,) one over those.

    A column that does not vary within classes is left out, as one that is broken.
    """
    n, width = features.shape
    total = np.zeros((len(images), width))
    step = max(1, _CHUNK_VALUES // width)
    pieces = [slice(start, start + step) for start in range(0, n, step)]
    for piece in pieces:
        rows = features[piece].astype(np.float64)
        here = np.arange(len(rows))
        member = sparse.csr_array(
            (np.ones(len(rows)), (labels[piece], here)), shape=(len(images), len(rows))
        )
        total += member @ rows
    mean = total / np.maximum(images, 1)[:, None]
    squares = np.zeros(width)
    for piece in pieces:
        squares += ((features[piece].astype(np.float64) - mean[labels[piece]]) ** 2).sum(axis=0)
    spread = np.sqrt(squares / max(1, n - int((images > 0).sum())))
    constant = spread <= 1e-6 * np.abs(mean).max(axis=0) + np.finfo(np.float64).tiny
    scale = np.where(constant, 0.0, 1 / np.where(constant, 1.0, spread))
    return mean * scale, scale
