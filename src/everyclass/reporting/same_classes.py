"""The classifiers of a report on the same classes in the same order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import ClassCounts, Evaluation, Predictions
from everyclass.errors import InputError
from everyclass.reporting.judged import Judged

__all__ = ["judged_alike", "on_the_same_classes"]

Places = npt.NDArray[np.intp]


def judged_alike(read: Mapping[str, Predictions | Judged]) -> dict[str, Judged]:
    """Judge what are predictions, all with the same classes in the same order.

    Args:
        read: by name what was said, or what was judged elsewhere: numbers and pairs. What is known
            of its single images, and a diagnosis, would keep the old order of classes.

    Raises:
        InputError: as :func:`on_the_same_classes`.
    """
    same = on_the_same_classes(read)
    return {n: Judged.of(e) if isinstance(e, Predictions) else e for n, e in same.items()}


def on_the_same_classes(
    read: Mapping[str, Predictions | Judged],
) -> dict[str, Predictions | Judged]:
    """Give all the same classes in the same order, matched by name where they have names.

    A classifier that lacks classes which another names keeps predicted classes only, as it has no
    scores of those; one that has them all keeps its scores.

    Raises:
        InputError: scores over another number of unnamed classes.
    """
    parts = [each if isinstance(each, Predictions) else each.evaluation for each in read.values()]
    if len({(part.num_classes, part.class_names) for part in parts}) <= 1:
        return dict(read)
    every = _every_class(parts)
    return {
        name: _with_classes(name, each, every)
        if isinstance(each, Predictions)
        else _judged_with_classes(name, each, every)
        for name, each in read.items()
    }


def _every_class(parts: Sequence[Predictions | Evaluation]) -> tuple[str, ...]:
    """The names of all classes that anybody names; numbers where nobody does."""
    named = [part.class_names for part in parts if part.class_names is not None]
    if named:
        return tuple(dict.fromkeys(chain(*named)))
    return tuple(str(c) for c in range(max(part.num_classes for part in parts)))


def _own_names(
    name: str, part: Predictions | Evaluation, with_scores: bool, every: tuple[str, ...]
) -> tuple[str, ...]:
    """What a classifier's classes are called, in its own order; by number where it has no names."""
    classes = part.num_classes
    if part.class_names is None and (
        classes > len(every) or (with_scores and classes != len(every))
    ):
        raise InputError(
            f"{name} has {classes} classes and another has {len(every)}; give classifiers of "
            "the same classes, or class names to both."
        )
    return part.class_names or every[:classes]


def _places(names: tuple[str, ...], every: tuple[str, ...]) -> Places:
    place = {each: i for i, each in enumerate(every)}
    return np.array([place[each] for each in names])


def _placed_counts(
    counts: ClassCounts | None, where: Places, every: tuple[str, ...]
) -> ClassCounts | None:
    """Training images in the new order; None where those of some classes are not known."""
    if counts is None or len(where) < len(every):
        return None
    return ClassCounts(counts.counts[np.argsort(where)], names=every)


def _with_classes(name: str, p: Predictions, every: tuple[str, ...]) -> Predictions:
    names = _own_names(name, p, p.scores is not None, every)
    if p.class_names == every:
        return p
    where = _places(names, every)
    scores: dict[str, Any] = {"predicted": where[p.top]}
    if p.scores is not None and len(names) == len(every):
        kind = "logits" if p.logits is not None else "probs"
        scores = {kind: p.scores[:, np.argsort(where)]}
    counts = _placed_counts(p.class_counts, where, every)
    return Predictions(where[p.labels], **scores, class_names=every, class_counts=counts, ids=p.ids)


def _judged_with_classes(name: str, judged: Judged, every: tuple[str, ...]) -> Judged:
    evaluation = judged.evaluation
    names = _own_names(name, evaluation, evaluation.top5_accuracy is not None, every)
    if evaluation.class_names == every:
        return judged
    where = _places(names, every)
    pairs = judged.pairs
    if pairs is not None:
        moved = ((int(where[true]), int(where[given]), images) for true, given, images in pairs)
        pairs = tuple(sorted(moved, key=lambda pair: (-pair[2], pair[:2])))
    numbers = _evaluation_with_classes(evaluation, where, every)
    return replace(judged, evaluation=numbers, pairs=pairs)


def _evaluation_with_classes(
    evaluation: Evaluation, where: Places, every: tuple[str, ...]
) -> Evaluation:
    """The same numbers with class i in place ``where[i]``; the classes added have no images."""

    def placed(values: npt.NDArray[Any], missing: float) -> npt.NDArray[Any]:
        found = np.full(len(every), missing, dtype=values.dtype)
        found[where] = values
        return found

    def classes(old: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(int(where[c]) for c in old))

    intervals = evaluation.intervals
    if intervals is not None and intervals.get("per_class_recall") is not None:
        limits: list[list[float] | None] = [None] * len(every)
        for c, of_class in zip(where.tolist(), intervals["per_class_recall"], strict=True):
            limits[c] = of_class
        intervals = {**intervals, "per_class_recall": limits}
    support = placed(evaluation.support, 0)
    return replace(
        evaluation,
        num_classes=len(every),
        lowest_classes=classes(evaluation.lowest_classes),
        never_predicted=classes(evaluation.never_predicted),
        untestable=tuple(np.flatnonzero(support == 0).tolist()),
        support=support,
        predicted_count=placed(evaluation.predicted_count, 0),
        per_class_recall=placed(evaluation.per_class_recall, np.nan),
        per_class_precision=placed(evaluation.per_class_precision, np.nan),
        per_class_f1=placed(evaluation.per_class_f1, np.nan),
        class_names=every,
        class_counts=_placed_counts(evaluation.class_counts, where, every),
        intervals=intervals,
    )
