"""`digits-lt`: scikit-learn's handwritten digits, made long-tailed; needs no download."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.data.image_set import Dataset, ImageSet
from everyclass.data.profiles import Profile, long_tailed_counts

__all__ = ["load_digits_lt"]

LARGEST = 120
NUM_CLASSES = 10
TEST_PER_CLASS = 50
MEAN = STD = (0.5, 0.5, 0.5)


def load_digits_lt(
    *,
    imbalance_ratio: float = 20.0,
    profile: Profile = "exp",
    val: str = "none",
    root: str | Path | None = None,
) -> Dataset:
    """Cut a long-tailed training set and a balanced test set out of scikit-learn's digits.

    The 1,797 images of 8 × 8 are shuffled class by class (seed 0). The last 50 of each class are
    the test set; the first N_c, at most 120, the training set; with ``val="rest"`` the images in
    between are held out.

    Args:
        imbalance_ratio: largest over smallest class, at most 120.
        profile: "exp" or "step".
        val: "none" or "rest".
        root: not used; the images come with scikit-learn.
    """
    del root
    images, labels = _digits()
    everything = ImageSet(images, labels, np.arange(len(labels)))
    counts = long_tailed_counts(LARGEST, NUM_CLASSES, imbalance_ratio, profile)
    train, test, rest = [], [], []
    generator = np.random.default_rng(0)
    for c in range(NUM_CLASSES):
        rows = generator.permutation(np.flatnonzero(labels == c))
        train.append(rows[: counts[c]])
        rest.append(rows[counts[c] : -TEST_PER_CLASS])
        test.append(rows[-TEST_PER_CLASS:])
    return Dataset(
        name="digits-lt",
        train=everything.take(np.concatenate(train)),
        test=everything.take(np.concatenate(test)),
        val=everything.take(np.concatenate(rest)) if val == "rest" else None,
        class_names=tuple(str(c) for c in range(NUM_CLASSES)),
        mean=MEAN,
        std=STD,
        crop_padding=1,
        flip=False,
    )


@functools.cache
def _digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """All (n, 8, 8, 3) images and (n,) labels; parsing them takes longer than a short training."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
    images, labels = np.repeat(pixels[..., None], 3, axis=3), digits.target.astype(np.int64)
    images.setflags(write=False)
    labels.setflags(write=False)
    return images, labels
