"""What a report needs of one classifier, so that scores need not be kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import Diagnosis, Evaluation, Predictions
from everyclass.metrics import EvaluationState, certainty_of, diagnose_predictions

__all__ = ["Judged"]

_LOOKED_AT = 12  # classes that a diagnosis is made for


@dataclass(frozen=True, eq=False)
class Judged:
    """A classifier on one labelled set, as far as it is known.

    Attributes:
        evaluation: its numbers.
        pairs: (true class, predicted class, images) that it confuses, most frequent first; None
            where only numbers are known.
        reliability: (15, 3) per bin of the top class's probability: images, summed probability,
            images right; None without scores.
        outcomes: labels, predicted classes and ids of the images; None where only counts are known.
        confidence: (n,) probability of each image's predicted class; None without scores.
        diagnosis: of the worst classes, as far as predictions tell.

    Example:
        >>> said = Judged.of(Predictions([0, 1], probs=[[0.9, 0.1], [0.8, 0.2]]))
        >>> said.pairs, said.confidence.round(2).tolist()
        (((1, 0, 1),), [0.9, 0.8])
    """

    evaluation: Evaluation
    pairs: tuple[tuple[int, int, int], ...] | None = None
    reliability: npt.NDArray[np.float64] | None = None
    outcomes: Predictions | None = None
    confidence: npt.NDArray[np.float64] | None = None
    diagnosis: Diagnosis | None = None

    @classmethod
    def of(cls, predictions: Predictions) -> Judged:
        """Judge predictions, and keep neither logits nor probabilities of them."""
        state = EvaluationState()
        state.update(predictions)
        outcomes = Predictions(
            labels=predictions.labels,
            predicted=predictions.top,
            class_names=predictions.class_names,
            class_counts=predictions.class_counts,
            ids=predictions.ids,
        )
        said = certainty_of(predictions)
        return cls(
            **_of_state(state),
            outcomes=outcomes,
            confidence=None if said is None else said.p_top,
            diagnosis=diagnose_predictions(predictions, worst=_LOOKED_AT),
        )

    @classmethod
    def of_state(cls, state: EvaluationState) -> Judged:
        """What was counted elsewhere; single images are not known."""
        return cls(**_of_state(state))


def _of_state(state: EvaluationState) -> dict[str, Any]:
    return {
        "evaluation": state.evaluation(),
        "pairs": tuple(state.confused_pairs(None)),
        "reliability": state.reliability(),
    }
