"""Choosing among candidates without believing the numbers that chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.adjustment import (
    HARMONIC_MEAN,
    drawn_objectives,
    needed_certainty,
    pick_by_fold,
    score,
)
from everyclass.metrics import geometric_mean, harmonic_mean, per_class_recall
from everyclass.stages.choosing.candidates import TITLES, Candidate
from everyclass.stages.choosing.deciding import ClassifierName, Verdict

__all__ = ["Choice", "choose", "numbers_of"]

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen, and whether to use it.

    Attributes:
        candidate: the best one that changes something, whether or not it is recommended.
        verdict: whether to use it; judged on folds that did not choose.
        by_fold: what the other folds chose for each fold.
    """

    candidate: Candidate
    verdict: Verdict
    by_fold: tuple[str, ...]


def choose(
    candidates: Sequence[Candidate],
    labels: Integers,
    fold_of: Integers,
    num_classes: int,
    *,
    decided_on: str,
    seed: int = 0,
) -> Choice:
    """Take the candidate with the highest harmonic mean, and test what taking it gives.

    Of few images a class, the highest geometric mean: see ``ClassObjective.for_choosing``. What is
    tested is the harmonic mean.

    The best of many looks better than it is on the images that chose it. So each fold is judged by
    the candidate that is best on the other folds, and these answers, not the winner's own, are
    tested against the old classifier's: there has to be a gain in 95 % of the draws from the
    posterior, or more where answers are fitted fold by fold (see
    :mod:`everyclass.adjustment.pooling`). The recommendation is for the best on all folds.

    Args:
        candidates: "none" first, and at least one other.
        labels: (m,) classes of the images that decide.
        fold_of: (m,) their folds.
        num_classes: C.
        decided_on: what the images are, for the verdict.
        seed: of the draws behind the verdict.
    """
    said = [candidate.predicted for candidate in candidates]
    by = HARMONIC_MEAN.for_choosing(labels)
    pick = pick_by_fold(labels, said, fold_of, num_classes, by)
    chosen = candidates[1 + int(np.argmax(pick.scores[1:]))]
    by_fold = [candidates[c] for c in pick.by_fold]
    old, new = drawn_objectives(
        labels, (said[0], pick.predicted), num_classes, HARMONIC_MEAN, seed=seed
    )
    fitted = float(np.mean([candidate.fitted for candidate in by_fold]))
    needed = needed_certainty(len(by_fold), fitted)
    title = TITLES[chosen.name]
    numbers = f"estimated harmonic mean of recall {np.median(old):.1%} → {np.median(new):.1%}"
    use: ClassifierName = "old"
    compared: ClassifierName = "ensemble" if chosen.name == "ensemble" else "retrained"
    if pick.best == 0:
        reason = f"nothing that was tried does better than the old head; the best was {title}"
    elif float((new > old).mean()) < needed:
        reason = f"the gain is not certain enough ({title}: {numbers})"
    else:
        use = compared
        low, high = 100 * np.quantile(new - old, [1 - needed, needed])
        reason = f"{title}: {numbers}, a gain of {low:.1f} to {high:.1f} points"
    chosen_by_fold = tuple(candidate.name for candidate in by_fold)
    return Choice(chosen, Verdict(use, reason, decided_on, compared), chosen_by_fold)


def numbers_of(candidate: Candidate, labels: Integers, num_classes: int) -> dict[str, Any]:
    """A candidate's numbers on the images that decide, for ``evaluation.json``.

    ``score`` is what candidates are chosen by: a mean of (right + ½) / (images + 1), see
    ``ClassObjective.for_choosing``.
    """
    recall = per_class_recall(labels, candidate.predicted, num_classes)
    return {
        "name": candidate.name,
        "setting": dict(candidate.setting),
        "score": score(
            labels, candidate.predicted, num_classes, HARMONIC_MEAN.for_choosing(labels)
        ),
        "harmonic_mean": harmonic_mean(recall),
        "geometric_mean": geometric_mean(recall),
        "lowest_recall": float(np.nanmin(recall)),
        "balanced_accuracy": float(np.nanmean(recall)),
        "accuracy": float((candidate.predicted == labels).mean()),
    }
