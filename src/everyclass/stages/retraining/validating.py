"""The penalty of a new head, chosen on validation data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.adjustment import HARMONIC_MEAN, score
from everyclass.artifacts import Features, Head
from everyclass.progress import Progress, silent
from everyclass.stages.retraining.retraining import Retraining, penalties_to_try, retrain

__all__ = ["Validated", "validate"]


@dataclass(frozen=True, eq=False)
class Validated:
    """The head under the penalty that does best on validation data.

    Attributes:
        head: fitted under ``penalty``.
        penalty: the choice.
        scores: harmonic mean of recall under each penalty tried, the higher the better.
        logits: (m, C) of the validation samples, each from the head whose penalty was chosen on the
            half of them that it is not in, so that they can be judged as if nothing was chosen.
    """

    head: Head
    penalty: float
    scores: dict[float, float]
    logits: npt.NDArray[np.floating[Any]]


def validate(
    train: Features, val: Features, settings: Retraining, *, seed: int = 0, show: Progress = silent
) -> Validated:
    """Fit a head under each penalty and keep the one with the highest harmonic mean of recall.

    Args:
        train: training features.
        val: features of samples that neither the network nor a head was trained on.
        settings: how heads are fitted; a penalty set there is the only one tried.
        seed: of the halves, and of mini-batches.
        show: how progress is shown.
    """
    penalties = penalties_to_try(settings, train.num_classes, held_out=True)
    first_half = _halves(val.labels, seed)
    heads: dict[float, Head] = {}
    said: dict[float, npt.NDArray[np.intp]] = {}  # of many classes the logits take gigabytes
    with show("choosing the penalty", len(penalties), "fits") as task:
        for penalty in penalties:
            heads[penalty] = retrain(train, replace(settings, penalty=penalty), seed=seed)
            said[penalty] = heads[penalty].logits(val.views[0]).argmax(axis=1)
            task.advance(1)

    def scores(rows: npt.NDArray[np.bool_]) -> dict[float, float]:
        labels = val.labels[rows]
        return {
            p: score(labels, answers[rows], train.num_classes, HARMONIC_MEAN)
            for p, answers in said.items()
        }

    judged = np.empty((len(val), train.num_classes), dtype=np.float32)
    for half in (first_half, ~first_half):
        judged[half] = heads[_best(scores(~half))].logits(val.views[0][half])
    overall = scores(np.ones(len(val), dtype=bool))
    best = _best(overall)
    return Validated(heads[best], best, overall, judged)


def _best(scores: dict[float, float]) -> float:
    return max(scores, key=lambda penalty: scores[penalty])


def _halves(labels: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.bool_]:
    """Every second sample of each class, in random order; a class of one falls on either side."""
    generator = np.random.default_rng(seed)
    first = np.zeros(len(labels), dtype=bool)
    for c in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == c))
        first[rows[int(generator.integers(2)) :: 2]] = True
    return first
