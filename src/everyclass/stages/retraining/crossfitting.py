"""What a head would do on images that it was not fitted to, from training features alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from everyclass.adjustment import deal
from everyclass.artifacts import Features, StoredFeatures, free_memory
from everyclass.errors import InputError
from everyclass.metrics import log_probabilities
from everyclass.progress import Progress, silent
from everyclass.stages.retraining.exact_solver import fit_exact
from everyclass.stages.retraining.objectives import Objective
from everyclass.stages.retraining.standardised import standardise

__all__ = [
    "MOST_VIEWS",
    "PENALTIES",
    "CrossFit",
    "balanced_log_loss",
    "check_room",
    "cross_fit",
    "folds_of",
    "held_out_rows",
    "mean_log_probability",
]

PENALTIES: tuple[float, ...] = tuple(10.0 ** (-k / 2) for k in range(2, 13))
FOLDS = 5
FOLD_TOLERANCE = 1e-3
MOST_VIEWS = 2
PATIENCE = 2
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
    show: Progress = silent,
) -> CrossFit:
    """Choose the penalty by stratified cross-fitting on the training features.

    Images are dealt to folds class by class. Each fold's head is fitted to the other folds (at
    most two views of them), from the strongest penalty to the weakest, each starting where the
    one before ended, and judged on the first view of its own images. After two penalties that
    do worse than the best one, the weaker ones are not tried.

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
        InputError: no class has two images; more is needed than there is free memory.
    """
    check_room(train)
    penalties = sorted(penalties, reverse=True)
    fold_of = folds_of(train, folds, seed)
    held_out = held_out_rows(train)
    if len(held_out) == 0:
        raise InputError(
            "Every class has one training image only, so none can be held out; give held-out "
            "features, val (--val)."
        )
    labels = train.labels[held_out]
    starts: dict[int, tuple[Tensor, Tensor]] = {}
    scores: dict[float, float] = {}
    best_logits = np.empty((0, 0), dtype=np.float32)
    with show(title, folds * len(penalties), "fits") as task:
        for penalty in penalties:
            logits = np.zeros((len(train), train.num_classes), dtype=np.float32)
            for fold in np.unique(fold_of[held_out]).tolist():
                inside = fold_of == fold
                data = standardise(train.views[:MOST_VIEWS, ~inside], train.labels[~inside])
                part = replace(objective, counts=_counts(train, ~inside))
                starts[fold] = fit_exact(
                    data, part, penalty, start=starts.get(fold), tolerance=FOLD_TOLERANCE
                )
                logits[inside] = data.head(*starts[fold]).logits(train.views[0, inside])
                task.advance(1)
            scores[penalty] = criterion(logits[held_out], labels)
            best = min(scores, key=lambda p: scores[p])
            if penalty == best:
                best_logits = logits[held_out]
            elif len(scores) >= PATIENCE and best not in list(scores)[-PATIENCE:]:
                break
    return CrossFit(best, scores, held_out, best_logits, labels)


def held_out_rows(train: Features) -> npt.NDArray[np.intp]:
    """(m,) the images that cross-fitting holds out once: all but those of classes of one image."""
    return np.flatnonzero(train.class_counts.counts[train.labels] > 1)


def folds_of(train: Features, folds: int = FOLDS, seed: int = 0) -> npt.NDArray[np.int64]:
    """(n,) the fold that holds each image out; ``NEVER_HELD_OUT`` of those of classes of one."""
    fold_of = deal(train.labels, folds, seed)
    fold_of[np.setdiff1d(np.arange(len(train)), held_out_rows(train))] = NEVER_HELD_OUT
    return fold_of


def check_room(train: Features, *, also: int = 0) -> None:
    """Refuse what would not fit: every image's logits, and two views as float32, are held.

    Args:
        train: training features.
        also: bytes that are held beside those.

    Raises:
        InputError: more is needed than there is free memory.
    """
    views = min(train.num_views, MOST_VIEWS)
    read = train.nbytes if isinstance(train, StoredFeatures) else 0
    needed = also + read + 4 * len(train) * (3 * views * train.num_features + 3 * train.num_classes)
    if needed > (free := free_memory()):
        raise InputError(
            f"Cross-fitting on {len(train):,} images of {train.num_classes:,} classes takes about "
            f"{needed / 2**30:.1f} GiB of memory and {free / 2**30:.1f} GiB are free; give the old "
            "head, and held-out features, val (--val): then training features are read row by row."
        )


def _counts(train: Features, rows: npt.NDArray[np.bool_]) -> torch.Tensor:
    return torch.from_numpy(
        np.bincount(train.labels[rows], minlength=train.num_classes).astype(np.float32)
    )
