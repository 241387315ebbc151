"""The values that gates speak of, looked up in an evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import Evaluation, did_you_mean, quoted, some
from everyclass.errors import InputError
from everyclass.metrics.gate_language import Drop, Number

__all__ = ["Interval", "drop_of", "interval_of", "value_of"]

Interval = tuple[float, float]


def value_of(said: Evaluation, number: Number) -> tuple[float, str]:
    """A number of an evaluation, and which classes or how many images it is about.

    Raises:
        InputError: there is no such number, no such class, or nothing to judge it by.
    """
    if number.key is None:
        value = getattr(said, number.name)
        if value is None:
            raise InputError(
                f"{number.name} needs logits or probabilities, and there are predicted classes "
                "only."
            )
        classes = value if isinstance(value, tuple) else None
        if number.name == "lowest_recall":
            classes = said.lowest_classes
        names = [said.class_label(c) for c in classes or ()]
        return float(len(value) if isinstance(value, tuple) else value), some(names, most=3)
    if number.name == "worst":
        return said.worst[str(number.key)], ""
    c = _class_index(said, number)
    if number.name == "support":
        return float(said.support[c]), ""
    value = float(getattr(said, f"per_class_{number.name}")[c])
    if math.isnan(value):
        why = "has no test images" if said.support[c] == 0 else "was never predicted"
        raise InputError(
            f"Class {quoted(said.class_label(c))} {why}, so its {number.name} cannot be judged."
        )
    if number.name != "recall":
        return value, ""
    return value, f"{round(value * said.support[c])} of {said.support[c]} images"


def _class_index(said: Evaluation, number: Number) -> int:
    key = number.key
    if isinstance(key, int):
        if key >= said.num_classes:
            raise InputError(
                f"There is no class {key} for {number.name}; they go from 0 to "
                f"{said.num_classes - 1}."
            )
        return key
    if said.class_names is None:
        raise InputError(
            f"There are no class names to find {quoted(key)} among; write a number, as in "
            f"{number.name}[0], or say what the classes are called."
        )
    if key not in said.class_names:
        raise InputError(f"There is no class {quoted(key)}{did_you_mean(key, said.class_names)}")
    return said.class_names.index(key)


def interval_of(said: Evaluation, number: Number) -> Interval | None:
    """The interval of a number, from ``Evaluation.intervals``, or None where there is none."""
    intervals: Mapping[str, Any] = getattr(said, "intervals", None) or {}
    if number.key is None:
        found = intervals.get(number.name)
    elif number.name == "worst":
        found = (intervals.get("worst") or {}).get(str(number.key))
    else:
        per_class = intervals.get(f"per_class_{number.name}")
        found = None if per_class is None else per_class[_class_index(said, number)]
    return None if found is None else (float(found[0]), float(found[1]))


def drop_of(now: Evaluation, before: Evaluation, drop: Drop) -> tuple[float, str]:
    """What the baseline has more of, and what it was and is.

    Raises:
        InputError: the two are not of the same classes, or there is no such number.
    """
    order = _matched(now, before, drop)
    if drop.of is None:
        loss = before.per_class_recall[order] - now.per_class_recall
        c = int(np.nanargmax(loss))
        was, is_now = before.per_class_recall[order[c]], now.per_class_recall[c]
        return float(loss[c]), f"{some([now.class_label(c)])}: {was:.4g} → {is_now:.4g}"
    of = drop.of
    if of.name in ("geometric_mean", "harmonic_mean") and before.zero_floor != now.zero_floor:
        raise InputError(
            f"{drop.baseline} counts no recall less than {before.zero_floor:g} and this evaluation "
            f"none less than {now.zero_floor:g}; {of.name} can only be compared with the same "
            "zero_floor (--zero-floor)."
        )
    is_now, _ = value_of(now, of)
    if of.key is not None and of.name != "worst":
        of = Number(of.name, int(order[_class_index(now, of)]))
    was, _ = value_of(before, of)
    return was - is_now, f"{was:.4g} → {is_now:.4g}"


def _matched(now: Evaluation, before: Evaluation, drop: Drop) -> npt.NDArray[np.int64]:
    """For each class now, its number in the baseline."""
    where = f"The baseline {Path(drop.baseline)}"
    if now.num_classes != before.num_classes:
        raise InputError(
            f"{where} has {before.num_classes} classes and this evaluation {now.num_classes}; drop "
            "compares the same classes."
        )
    order = np.arange(now.num_classes)
    if now.class_names is not None and before.class_names is not None:
        place = {name: c for c, name in enumerate(before.class_names)}
        missing = [name for name in now.class_names if name not in place]
        if missing:
            raise InputError(
                f"{where} has no class {quoted(missing[0])}{did_you_mean(missing[0], place)}"
            )
        order = np.array([place[name] for name in now.class_names])
    differing = np.flatnonzero((now.support > 0) != (before.support[order] > 0))
    if differing.size:
        c = int(differing[0])
        sides = (f"the baseline {Path(drop.baseline)}", "this evaluation")
        lacks, has = sides if now.support[c] else sides[::-1]
        raise InputError(
            f"Class {quoted(now.class_label(c))} has test images in {has} and none in {lacks}; "
            "drop compares classes that can be judged on both sides."
        )
    return order
