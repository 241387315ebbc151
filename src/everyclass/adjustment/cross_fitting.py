"""What each way of adjusting does to samples that it was not fitted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.adjustment.held_out import HeldOut
from everyclass.adjustment.methods import Method
from everyclass.adjustment.objectives import ClassObjective, smoothed_recall
from everyclass.artifacts import Adjustment
from everyclass.progress import Progress, silent

__all__ = ["CrossFitted", "Pick", "cross_fit_methods", "deal", "pick_by_fold", "score"]

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """A method with its setting, and what it says about samples that it did not see.

    Attributes:
        method: which.
        setting: the best one on all samples.
        scores: what the setting was chosen by, in the order of the method's settings.
        parts: for each fold, the adjustment fitted to the others, its setting chosen there.
        predicted: (n,) the class that each sample's part says.
    """

    method: Method
    setting: Mapping[str, float]
    scores: tuple[float, ...]
    parts: tuple[Adjustment, ...]
    predicted: Integers

    def logits(self, samples: HeldOut, fold_of: Integers) -> npt.NDArray[np.floating[Any]]:
        """(n, C) logits, each sample's adjusted by the part that did not see it."""
        logits = np.array(self.parts[0].apply(samples.logits))
        for fold, part in enumerate(self.parts[1:], start=1):
            rows = fold_of == fold
            logits[rows] = part.apply(samples.logits[rows])
        return logits

    def fit(self, samples: HeldOut, goal: ClassObjective) -> Adjustment:
        """The adjustment under the chosen setting, fitted to all samples."""
        return self.method.fit(samples, goal, **self.setting)


@dataclass(frozen=True, eq=False)
class Pick:
    """A choice, and the predictions by which choosing this way can be judged.

    Attributes:
        best: the choice on all samples.
        by_fold: the choice for each fold, on the other folds.
        scores: what was chosen by, on all samples, of each that there was to choose from.
        predicted: (n,) the class that the choice for its fold says.
    """

    best: int
    by_fold: tuple[int, ...]
    scores: tuple[float, ...]
    predicted: Integers


def deal(labels: Integers, folds: int, seed: int) -> Integers:
    """Deal each class's samples to the folds in turn, beginning at a random fold.

    Args:
        labels: (n,).
        folds: how many.
        seed: of the order, and of where each class begins.

    Returns:
        (n,) the fold of each sample.
    """
    generator = np.random.default_rng(seed)
    fold_of = np.zeros(len(labels), dtype=np.int64)
    for at, c in enumerate(np.unique(labels)):
        rows = generator.permutation(np.flatnonzero(labels == c))
        first = generator.integers(folds) if len(rows) > 1 else at
        fold_of[rows] = (np.arange(len(rows)) + first) % folds
    return fold_of


def score(
    labels: Integers, predicted: npt.NDArray[np.integer[Any]], classes: int, goal: ClassObjective
) -> float:
    """The objective of the smoothed recalls of the classes that have samples."""
    there = np.bincount(labels, minlength=classes) > 0
    recall = smoothed_recall(labels, predicted, classes)
    return float(goal.for_classes(classes, there).value(recall))


def pick_by_fold(
    labels: Integers,
    said: Sequence[npt.NDArray[np.integer[Any]]],
    fold_of: Integers,
    classes: int,
    by: ClassObjective,
) -> Pick:
    """Choose among predictions, and say what that gives on samples that did not choose.

    For every fold the one with the highest score on the other folds is taken, so that no sample
    helps to choose what it is judged by; of equal ones the first.

    Args:
        labels: (n,).
        said: (n,) predicted classes, of each that there is to choose from.
        fold_of: (n,).
        classes: C.
        by: what to choose by.
    """
    predicted = np.empty(len(labels), dtype=np.int64)
    by_fold = []
    for fold in range(int(fold_of.max()) + 1):
        inside = fold_of == fold
        others = labels[~inside]
        by_fold.append(int(np.argmax([score(others, p[~inside], classes, by) for p in said])))
        predicted[inside] = said[by_fold[-1]][inside]
    scores = tuple(score(labels, p, classes, by) for p in said)
    return Pick(int(np.argmax(scores)), tuple(by_fold), scores, predicted)


def cross_fit_methods(
    samples: HeldOut,
    goal: ClassObjective,
    methods: Sequence[Method],
    fold_of: Integers,
    *,
    by: ClassObjective | None = None,
    show: Progress = silent,
) -> list[CrossFitted]:
    """Fit each method under each of its settings to all folds but one, in turn.

    Args:
        samples: the held-out samples.
        goal: the objective that is fitted to.
        methods: which.
        fold_of: (n,) as :func:`deal` deals.
        by: what settings are chosen by; default the objective's ``for_choosing``.
        show: how progress is shown.
    """
    folds = range(int(fold_of.max()) + 1)
    others = [samples.take(fold_of != fold) for fold in folds]
    fits = len(folds) * sum(len(method.settings) for method in methods)
    by = by or goal.for_choosing(samples.labels)
    with show("adjusting", fits, "fits") as task:
        return [_settle(samples, by, m, fold_of, _fits(m, goal, others, task)) for m in methods]


def _fits(
    method: Method, goal: ClassObjective, others: Sequence[HeldOut], task: Any
) -> list[list[Adjustment]]:
    """By setting, and by the fold that was left out."""
    fits: list[list[Adjustment]] = []
    for setting in method.settings:
        fits.append([])
        for rest in others:
            fits[-1].append(method.fit(rest, goal, **setting))
            task.advance(1)
    return fits


def _settle(
    samples: HeldOut,
    by: ClassObjective,
    method: Method,
    fold_of: Integers,
    fits: list[list[Adjustment]],
) -> CrossFitted:
    said = []
    for parts in fits:
        predicted = np.empty(len(samples.labels), dtype=np.int64)
        for fold, part in enumerate(parts):
            inside = fold_of == fold
            predicted[inside] = part.apply(samples.logits[inside]).argmax(axis=1)
        said.append(predicted)
    pick = pick_by_fold(samples.labels, said, fold_of, samples.num_classes, by)
    chosen = tuple(fits[s][f] for f, s in enumerate(pick.by_fold))
    setting = method.settings[pick.best]
    return CrossFitted(method, setting, pick.scores, chosen, pick.predicted)
