"""From predictions to every number that a classifier is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import ClassCounts, Evaluation, GroupRule, Predictions
from everyclass.errors import InputError, InputTypeError
from everyclass.metrics.lowest import lowest_if_equal
from everyclass.metrics.recall import (
    WORST_PERCENT,
    count_outcomes,
    divide,
    geometric_mean,
    harmonic_mean,
    worst_mean,
)
from everyclass.metrics.scores import score_numbers
from everyclass.metrics.uncertainty import recall_uncertainty

__all__ = ["evaluate"]

QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


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
        labels: (n,) true classes, integers in 0..C−1.
        logits: (n, C), or
        probs: (n, C), or
        predicted: (n,) predicted classes.
        class_counts: training images per class, for the many / medium / few groups.
        class_names: C names.
        zero_floor: what a recall of exactly zero is replaced by in the geometric and harmonic
            mean (the paper: 1e-3); the lowest recall is never replaced.
        confidence: of the intervals (docs/intervals.md says which they are).
        replicates: draws behind the intervals of the geometric and harmonic mean.
        seed: of these draws.

    Returns:
        An :class:`Evaluation`; ``print`` it for a table that begins with the worst classes.

    Raises:
        InputError: values that do not fit together.
        InputTypeError: labels that are not integers.

    Example:
        >>> said = evaluate(labels=[0, 0, 1, 1, 2], predicted=[0, 0, 0, 1, 0])
        >>> said.lowest_recall, said.never_predicted
        (0.0, (2,))
    """
    if predictions is None:
        if labels is None:
            raise InputError("evaluate needs labels=, the true classes.")
        names = None if class_names is None else tuple(class_names)
        counts = None if class_counts is None else ClassCounts.of(class_counts, names=names)
        predictions = Predictions(labels, logits, probs, predicted, names, counts)
    elif any(v is not None for v in (labels, logits, probs, predicted, class_counts, class_names)):
        raise InputError("Give evaluate either a Predictions or its parts by name, not both.")
    elif not isinstance(predictions, Predictions):
        raise InputTypeError(
            f"evaluate takes a Predictions, or labels= and one of logits=, probs=, predicted=; got "
            f"a {type(predictions).__name__}."
        )
    classes = predictions.num_classes
    support, given, right = count_outcomes(predictions.labels, predictions.top, classes)
    recall = divide(right, support)
    precision = divide(right, given)
    scored = support > 0
    mean = float(recall[scored].mean())
    settings = {"confidence": confidence, "replicates": replicates, "seed": seed}
    lowest = float(np.nanmin(recall))
    numbers = {} if predictions.scores is None else asdict(score_numbers(predictions))
    return Evaluation(
        num_samples=len(predictions),
        num_classes=classes,
        num_scored=int(scored.sum()),
        accuracy=float(right.sum() / len(predictions)),
        balanced_accuracy=mean,
        geometric_mean=geometric_mean(recall, zero_floor=zero_floor),
        harmonic_mean=harmonic_mean(recall, zero_floor=zero_floor),
        zero_floor=zero_floor,
        zeros_replaced=int((recall == 0).sum()),
        lowest_recall=lowest,
        lowest_classes=tuple(np.flatnonzero(recall == lowest).tolist()),
        worst={str(p): worst_mean(recall, p) for p in WORST_PERCENT},
        recall_quantiles={str(q): float(np.nanquantile(recall, q)) for q in QUANTILES},
        groups=_group_means(recall, predictions.class_counts),
        never_predicted=tuple(np.flatnonzero(scored & (given == 0)).tolist()),
        untestable=tuple(np.flatnonzero(~scored).tolist()),
        support=support,
        predicted_count=given,
        per_class_recall=recall,
        per_class_precision=precision,
        # 2PR/(P+R) in counts, which is defined where nothing was predicted: F1 = 0 there.
        per_class_f1=np.where(scored, divide(2 * right, support + given), np.nan),
        class_names=predictions.class_names,
        class_counts=predictions.class_counts,
        lowest_if_equal=lowest_if_equal(support, mean, confidence=confidence)[0],
        intervals=recall_uncertainty(
            right,
            support,
            class_counts=predictions.class_counts,
            zero_floor=zero_floor,
            **settings,  # type: ignore[arg-type]
        ),
        interval_settings=settings,
        **numbers,
    )


def _group_means(
    recall: npt.NDArray[np.float64], counts: ClassCounts | None
) -> dict[str, dict[str, float | None]] | None:
    if counts is None:
        return None
    means: dict[str, dict[str, float | None]] = {}
    for rule in get_args(GroupRule):
        groups = counts.groups(rule)
        means[rule] = {}
        for group in ("many", "medium", "few"):
            of_group = recall[(groups == group) & ~np.isnan(recall)]
            means[rule][group] = float(of_group.mean()) if of_group.size else None
    return means
