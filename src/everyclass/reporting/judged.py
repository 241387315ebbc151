"""What a report needs of one classifier, so that scores need not be kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import Diagnosis, Evaluation, Predictions
from everyclass.metrics import EvaluationState, certainty_of, diagnose_predictions
from everyclass.reporting.cards import MOST_CARDS
from everyclass.reporting.rows import right_images

__all__ = ["Judged"]

_MOST_IMAGES = 1 << 24  # that are made up from counts, 16 bytes each


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
        diagnosis: of the worst classes, as far as predictions tell; see also :meth:`diagnosed`.

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
        known = _of_state(state)
        return cls(
            **known,
            outcomes=outcomes,
            confidence=None if said is None else said.p_top,
            diagnosis=diagnose_predictions(predictions, classes=_of_cards(known["evaluation"])),
        )

    @classmethod
    def of_state(cls, state: EvaluationState) -> Judged:
        """What was counted elsewhere; single images are not known."""
        return cls(**_of_state(state))

    def diagnosed(self) -> Diagnosis | None:
        """Why the worst classes fail: what was found, or else what counts and pairs tell.

        None where it is not known which classes are confused, or of more than 16 million images.
        """
        if self.diagnosis is not None or self.pairs is None:
            return self.diagnosis
        evaluation = self.evaluation
        if evaluation.num_samples > _MOST_IMAGES:
            return None
        # To the rules images of one class that are given to one class are alike: any will do.
        classes = np.arange(evaluation.num_classes)
        true, given, images = np.array(self.pairs, dtype=np.int64).reshape(-1, 3).T
        images = np.concatenate([right_images(evaluation), images])
        alike = Predictions(
            np.repeat(np.concatenate([classes, true]), images),
            predicted=np.repeat(np.concatenate([classes, given]), images),
            class_names=evaluation.class_names,
            class_counts=evaluation.class_counts,
        )
        found = diagnose_predictions(alike, classes=_of_cards(evaluation))
        return replace(found, classes=tuple(replace(each, examples=()) for each in found.classes))


def _of_cards(evaluation: Evaluation) -> list[int]:
    """The classes that cards are shown of."""
    return [int(c) for c in evaluation.worst_first()[:MOST_CARDS]]


def _of_state(state: EvaluationState) -> dict[str, Any]:
    return {
        "evaluation": state.evaluation(),
        "pairs": tuple(state.confused_pairs(None)),
        "reliability": state.reliability(),
    }
