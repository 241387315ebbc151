"""Whether a change still does good beside the rows that classes without training images keep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from everyclass.adjustment import HARMONIC_MEAN, score
from everyclass.artifacts import ClassCounts, Features
from everyclass.metrics import per_class_recall
from everyclass.stages.choosing.deciding import Verdict
from everyclass.stages.choosing.ensembling import Ensemble

__all__ = ["judged_as_delivered"]


def judged_as_delivered(
    verdict: Verdict, both: Ensemble, val: Features, counts: ClassCounts
) -> Verdict:
    """Take a recommendation back if the old head does better on all validation images.

    What was decided on are the classes that have training images, among themselves; new rows that
    do better there may still take images away from the classes that keep their old rows.

    Args:
        verdict: what was decided.
        both: the old and the new head as they are delivered, of all classes.
        val: validation features of all classes.
        counts: training images per class, with the classes' names.

    Returns:
        The verdict, which says in words what was found here.
    """
    if verdict.use == "old":
        return verdict
    used = both if verdict.use == "ensemble" else both.new
    features, labels, classes = val.views[0], val.labels, counts.num_classes
    said = [each.logits(features).argmax(axis=1) for each in (both.old, used)]
    before, after = (score(labels, each, classes, HARMONIC_MEAN) for each in said)
    numbers = f"estimated harmonic mean of recall {before:.1%} → {after:.1%}"
    if after >= before:
        more = f"; of all validation images, kept rows included: {numbers}"
        return replace(verdict, reason=verdict.reason + more)
    recalls = [per_class_recall(labels, each, classes) for each in said]
    worst = int(np.nanargmin(recalls[1] - recalls[0]))
    reason = (
        "the gain among the classes that have training images is lost beside the rows that the "
        f"others keep (of all validation images: {numbers}; {counts.describe(worst)} falls most, "
        f"{recalls[0][worst]:.1%} → {recalls[1][worst]:.1%})"
    )
    return replace(verdict, use="old", reason=reason)
