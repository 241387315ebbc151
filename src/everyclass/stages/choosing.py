"""Choosing among candidates without believing the numbers that chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.adjustment import pick_by_fold, score
from everyclass.metrics import geometric_mean, harmonic_mean, per_class_recall
from everyclass.stages.candidates import HARMONIC_MEAN, TITLES, Candidate
from everyclass.stages.deciding import ClassifierName, Verdict, decide

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

    The best of many looks better than it is on the images that chose it. So each fold is judged by
    the candidate that is best on the other folds, and these answers, not the winner's own, are
    tested against the old classifier's; the recommendation is for the best on all folds.

    Args:
        candidates: "none" first, and at least one other.
        labels: (m,) classes of the images that decide.
        fold_of: (m,) their folds.
        num_classes: C.
        decided_on: what the images are, for the verdict.
        seed: of the draws behind the verdict.
    """
    names = [candidate.name for candidate in candidates]
    pick = pick_by_fold(
        labels, [c.predicted for c in candidates], fold_of, num_classes, HARMONIC_MEAN
    )
    by_fold = tuple(names[c] for c in pick.by_fold)
    best = 1 + int(np.argmax(pick.scores[1:]))
    chosen = candidates[best]
    slot: ClassifierName = "ensemble" if chosen.name == "ensemble" else "retrained"
    if pick.best == 0:
        means = [
            harmonic_mean(per_class_recall(labels, c.predicted, num_classes))
            for c in (candidates[0], chosen)
        ]
        reason = (
            f"nothing that was tried does better; the best of it is {TITLES[chosen.name]}, with a "
            f"harmonic mean of recall of {means[1]:.1%} instead of {means[0]:.1%}"
        )
        return Choice(chosen, Verdict("old", reason, decided_on), by_fold)
    verdict = decide(
        labels,
        {"old": candidates[0].predicted, slot: pick.predicted},
        num_classes,
        decided_on=decided_on,
        seed=seed,
    )
    reason = f"{TITLES[chosen.name]}: {verdict.reason}"
    return Choice(chosen, replace(verdict, reason=reason), by_fold)


def numbers_of(candidate: Candidate, labels: Integers, num_classes: int) -> dict[str, Any]:
    """A candidate's numbers on the images that decide, for ``evaluation.json``.

    ``score`` is what candidates are chosen by: the harmonic mean of (right + ½) / (images + 1).
    """
    recall = per_class_recall(labels, candidate.predicted, num_classes)
    return {
        "name": candidate.name,
        "setting": dict(candidate.setting),
        "score": score(labels, candidate.predicted, num_classes, HARMONIC_MEAN),
        "harmonic_mean": harmonic_mean(recall),
        "geometric_mean": geometric_mean(recall),
        "lowest_recall": float(np.nanmin(recall)),
        "balanced_accuracy": float(np.nanmean(recall)),
        "accuracy": float((candidate.predicted == labels).mean()),
    }
