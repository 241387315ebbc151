"""From counts per class to every number that a classifier is judged by."""

from __future__ import annotations

from dataclasses import asdict
from typing import get_args

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import ClassCounts, Evaluation, GroupRule
from everyclass.metrics.lowest import lowest_if_equal
from everyclass.metrics.recall import (
    WORST_PERCENT,
    divide,
    geometric_mean,
    harmonic_mean,
    worst_mean,
)
from everyclass.metrics.scores import ScoreNumbers
from everyclass.metrics.uncertainty import recall_uncertainty

__all__ = ["summarise"]

QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)

Ints = npt.NDArray[np.int64]


def summarise(
    support: Ints,
    given: Ints,
    right: Ints,
    *,
    scores: ScoreNumbers | None,
    class_names: tuple[str, ...] | None,
    class_counts: ClassCounts | None,
    zero_floor: float,
    confidence: float,
    replicates: int,
    seed: int,
) -> Evaluation:
    """Compute an evaluation.

    Args:
        support, given, right: (C,) images of each class, images given to it, and images that are
            both; at least one image in all.
        scores: numbers that need scores, where there are any.
        class_names, class_counts: where known.
        zero_floor: what no recall counts less than in the geometric and harmonic mean.
        confidence, replicates, seed: of the intervals.
    """
    recall = divide(right, support)
    scored = support > 0
    lowest = float(np.nanmin(recall))
    mean = float(recall[scored].mean())
    total = int(support.sum())
    settings = {"confidence": confidence, "replicates": replicates, "seed": seed}
    return Evaluation(
        num_samples=total,
        num_classes=len(support),
        num_scored=int(scored.sum()),
        accuracy=float(right.sum() / total),
        balanced_accuracy=mean,
        geometric_mean=geometric_mean(recall, zero_floor=zero_floor),
        harmonic_mean=harmonic_mean(recall, zero_floor=zero_floor),
        zero_floor=zero_floor,
        zeros_replaced=int((recall < zero_floor).sum()),
        lowest_recall=lowest,
        lowest_classes=tuple(np.flatnonzero(recall == lowest).tolist()),
        worst={str(p): worst_mean(recall, p) for p in WORST_PERCENT},
        recall_quantiles={str(q): float(np.nanquantile(recall, q)) for q in QUANTILES},
        groups=_group_means(recall, class_counts),
        never_predicted=tuple(np.flatnonzero(scored & (given == 0)).tolist()),
        untestable=tuple(np.flatnonzero(~scored).tolist()),
        support=support,
        predicted_count=given,
        per_class_recall=recall,
        per_class_precision=divide(right, given),
        # 2PR/(P+R) in counts, which is defined where nothing was predicted: F1 = 0 there.
        per_class_f1=np.where(scored, divide(2 * right, support + given), np.nan),
        class_names=class_names,
        class_counts=class_counts,
        lowest_if_equal=lowest_if_equal(support, mean, confidence=confidence)[0],
        intervals=recall_uncertainty(
            right,
            support,
            class_counts=class_counts,
            zero_floor=zero_floor,
            **settings,  # type: ignore[arg-type]
        ),
        interval_settings=settings,
        **({} if scores is None else asdict(scores)),
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
