"""What a head would do on images that it was not fitted to, from training features alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from everyclass.artifacts import Features
from everyclass.errors import InputError
from everyclass.metrics import log_probabilities
from everyclass.progress import silent
from everyclass.stages.objectives import Objective
from everyclass.stages.solvers import fit_exact, standardise

__all__ = ["PENALTIES", "CrossFit", "balanced_log_loss", "cross_fit", "mean_log_probability"]

PENALTIES: tuple[float, ...] = tuple(10.0**k for k in np.arange(-1, -5.5, -0.5))
FOLDS = 5
MOST_VIEWS = 2
NEVER_HELD_OUT = -1

Criterion = Callable[[npt.NDArray[Any], npt.NDArray[np.int64]], float]


@dataclass(frozen=True, eq=False)
class CrossFit:
    """The penalty that does best on held-out folds, and the held-out logits under it.

    Attributes:
        penalty: the choice.
        scores: the criterion of each penalty tried, the lower the better.
        rows: (m,) the images that were held out once; classes of one image never are.
        logits: (m, C) of those images, each from a head that did not see it.
        labels: (m,) their classes.
    """

    penalty: float
    scores: dict[float, float]
    rows: npt.NDArray[np.intp]
    logits: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


def balanced_log_loss(logits: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> float:
    """−mean_c log (mean probability of class c's images): eq. 1 with the test-time softmax."""
    p = np.exp(log_probabilities(logits, are_logits=True)[np.arange(len(labels)), labels])
    sums = np.bincount(labels, weights=p)
    support = np.bincount(labels)
    means = sums[support > 0] / support[support > 0]
    return float(-np.log(np.maximum(means, np.finfo(np.float64).tiny)).mean())


def mean_log_probability(logits: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> float:
    """Mean of −log p_y: what plain cross entropy minimises."""
    return float(-log_probabilities(logits, are_logits=True)[np.arange(len(labels)), labels].mean())


def cross_fit(
    train: Features,
    objective: Objective,
    criterion: Criterion,
    *,
    penalties: Sequence[float] = PENALTIES,
    folds: int = FOLDS,
    seed: int = 0,
    title: str = "cross-fitting",
    show: Any = silent,
) -> CrossFit:
    """Choose the penalty by stratified cross-fitting on the training features.

    Images are dealt to folds class by class. Each fold's head is fitted to the other folds (at
    most two views of them), from the strongest penalty to the weakest, each starting where the
    one before ended, and judged on the first view of its own images.

    Args:
        train: training features.
        objective: what the head minimises.
        criterion: (logits, labels) → number, the lower the better.
        penalties: the ones to try.
        folds: how many.
        seed: of the dealing.
        title: of the progress.
        show: how progress is shown.

    Raises:
        InputError: no class has two images.
    """
    penalties = sorted(penalties, reverse=True)
    fold_of = _deal(train.labels, folds, seed)
    held_out = np.flatnonzero(fold_of != NEVER_HELD_OUT)
    if not len(held_out):
        raise InputError(
            "No class has two training images, so none can be held out to choose the penalty and "
            "to judge by; give a penalty and validation features."
        )
    place = np.full(len(train), -1)
    place[held_out] = np.arange(len(held_out))
    logits = np.zeros((len(penalties), len(held_out), train.num_classes), dtype=np.float32)
    with show(title, folds * len(penalties), "fits") as task:
        for fold in range(folds):
            inside = fold_of == fold
            if not inside.any():
                continue
            data = standardise(train.views[:MOST_VIEWS, ~inside], train.labels[~inside])
            # Eq. 3 needs the counts of what is fitted; the ratios are those of the whole set.
            part = Objective(objective.name, _counts(train, ~inside), objective.reweight)
            plain = train.views[0, inside]
            start = None
            for index, penalty in enumerate(penalties):
                start = fit_exact(data, part, penalty, start=start, tolerance=1e-3)
                logits[index, place[inside]] = data.head(*start).logits(plain)
                task.advance(1)
    labels = train.labels[held_out]
    scores = {p: criterion(logits[i], labels) for i, p in enumerate(penalties)}
    best = min(penalties, key=lambda p: scores[p])
    return CrossFit(best, scores, held_out, logits[penalties.index(best)], labels)


def _counts(train: Features, rows: npt.NDArray[np.bool_]) -> torch.Tensor:
    return torch.from_numpy(
        np.bincount(train.labels[rows], minlength=train.num_classes).astype(np.float32)
    )


def _deal(labels: npt.NDArray[np.int64], folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Deal each class's images to the folds in turn, beginning at a random fold."""
    generator = np.random.default_rng(seed)
    fold_of = np.full(len(labels), NEVER_HELD_OUT)
    for c in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == c))
        if len(rows) > 1:
            fold_of[rows] = (np.arange(len(rows)) + generator.integers(folds)) % folds
    return fold_of
