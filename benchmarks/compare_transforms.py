"""Whether features should be transformed before a head is retrained, on held-out images.

    EVERYCLASS_DATA=… python benchmarks/compare_transforms.py RUN [RUN …] [--docs PAGE]

Runs of a data set that has `--val rest`. A GML head is fitted to the features as they are, to unit
length, to square roots (as few-shot learning takes them), and to features whitened by what images
of one class differ in, under penalties around those that rescue chooses, and judged on the held-out
images; the test set is not read. Everything is printed from benchmarks/results/transforms.json.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compare_retraining import cached_features, judged
from compare_views import NUMBERS, command, table_by_penalty
from everyclass.artifacts import Features, Run
from everyclass.stages import Retraining, retrain

VIEWS = 5  # as good as ten: compare_views.py
SHARES = (0.25, 0.125, 0.0625, 0.03)  # of 1 / C
RESULTS = Path(__file__).parent / "results" / "transforms.json"

Floats = npt.NDArray[np.floating[Any]]


def unit_length(features: Floats) -> Floats:
    return features / np.linalg.norm(features, axis=-1, keepdims=True)


def square_root(features: Floats) -> Floats:
    return np.sqrt(np.maximum(features, 0))  # of a network that ends in ReLU there are none below


def whitened(train: Features, shrinkage: float) -> Callable[[Floats], Floats]:
    """By the mean covariance within classes, each class weighing alike."""
    width = train.num_features
    within = np.zeros((width, width))
    for c in range(train.num_classes):
        own = train.views[:, train.labels == c].reshape(-1, width)
        within += np.cov(own, rowvar=False, bias=True) / train.num_classes
    within += shrinkage * np.trace(within) / width * np.eye(width)
    values, vectors = np.linalg.eigh(within)
    matrix = (vectors / np.sqrt(values)) @ vectors.T
    return lambda features: features @ matrix


def ways(train: Features) -> dict[str, Callable[[Floats], Floats]]:
    """Name → transformation."""
    return {
        "as they are": lambda features: features,
        "unit length": unit_length,
        "square root": square_root,
        "square root, unit length": lambda features: unit_length(square_root(features)),
        "whitened, shrinkage 0.1": whitened(train, 0.1),
        "whitened, shrinkage 1": whitened(train, 1.0),
    }


def rows_of(run: Run) -> list[dict[str, Any]]:
    """One row per transformation and penalty."""
    train, rest = cached_features(run)
    train = train.first_views(VIEWS)
    rows = []
    for name, transform in ways(train).items():
        new, held_out = (
            Features(transform(part.views).astype(np.float32), part.labels)
            for part in (train, rest)
        )
        for share in SHARES:
            head = retrain(new, Retraining(penalty=share / train.num_classes))
            found = judged(head, held_out).summary()
            rows.append({"features": name, "share": share, **{n: found[n] for n in NUMBERS}})
            print(run.folder.name, rows[-1], flush=True)
    return rows


def table(stored: dict[str, list[dict[str, Any]]]) -> str:
    """One line per transformation."""
    names = list(dict.fromkeys(row["features"] for rows in stored.values() for row in rows))
    return table_by_penalty(stored, "features", names, SHARES)


if __name__ == "__main__":
    command(str(__doc__), __file__, RESULTS, rows_of, table)
