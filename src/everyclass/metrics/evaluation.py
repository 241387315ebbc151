"""From predictions to every number that a classifier is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from everyclass.artifacts import ClassCounts, Evaluation, Predictions, names_in_order
from everyclass.errors import InputError, InputTypeError
from everyclass.metrics.state import EvaluationState

__all__ = ["evaluate"]


def evaluate(
    predictions: Predictions | None = None,
    /,
    *,
    labels: Any = None,
    logits: Any = None,
    probs: Any = None,
    predicted: Any = None,
    class_counts: Any = None,
    class_names: Sequence[str] | None = None,
    zero_floor: float = 1e-3,
    confidence: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Judge a classifier class by class.

    Args:
        predictions: everything at once; or the parts by name:
        labels: (n,) true classes: names of ``class_names``, or integers, which are positions in it
            (0..C−1). Of a classifier whose ``classes_`` are other numbers pass
            ``np.searchsorted(clf.classes_, y)`` and ``clf.classes_.astype(str)``.
        logits: (n, C), or
        probs: (n, C), or
        predicted: (n,) predicted classes, positions or names too.
        class_counts: training images per class, for the many / medium / few groups.
        class_names: C names, in the order of the columns of scores: of a scikit-learn classifier
            ``clf.classes_``.
        zero_floor: what no recall counts less than in the geometric and harmonic mean (the paper:
            1e-3 in place of zeros); the lowest recall is never replaced.
        confidence: of the intervals (docs/intervals.md says which they are).
        replicates: draws behind the intervals of the geometric and harmonic mean.
        seed: of these draws.

    Returns:
        An :class:`Evaluation`; ``print`` it for a table that begins with the worst classes.

    Raises:
        InputError: values that do not fit together.
        InputTypeError: labels or a seed that are not integers.

    Example:
        >>> said = evaluate(labels=[0, 0, 1, 1, 2], predicted=[0, 0, 0, 1, 0])
        >>> said.lowest_recall, said.never_predicted
        (0.0, (2,))
    """
    if predictions is None:
        if labels is None:
            raise InputError("evaluate needs labels=, the true classes.")
        names = None if class_names is None else tuple(names_in_order(class_names))
        counts = None if class_counts is None else ClassCounts.of(class_counts, names=names)
        predictions = Predictions(labels, logits, probs, predicted, names, counts)
    elif any(v is not None for v in (labels, logits, probs, predicted, class_counts, class_names)):
        raise InputError("Give evaluate either a Predictions or its parts by name, not both.")
    elif not isinstance(predictions, Predictions):
        raise InputTypeError(
            f"evaluate takes a Predictions, or labels= and one of logits=, probs=, predicted=; got "
            f"a {type(predictions).__name__}."
        )
    state = EvaluationState()
    state.update(predictions)
    return state.evaluation(
        zero_floor=zero_floor, confidence=confidence, replicates=replicates, seed=seed
    )
