"""What an evaluation's file may hold: every value is looked at before anything believes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts._json_values import (
    as_class,
    as_count,
    as_limits,
    as_list,
    as_mapping,
    as_number,
    as_share,
    as_text,
    or_nan,
    or_none,
    per_class,
)
from everyclass.artifacts.class_counts import ClassCounts

__all__ = ["evaluation_values"]

_SHARES = ("accuracy", "balanced_accuracy", "geometric_mean", "harmonic_mean", "lowest_recall")
_COUNTS = ("num_samples", "num_classes", "num_scored", "zeros_replaced")
_CLASSES = ("lowest_classes", "never_predicted", "untestable")
_BY_CLASS = ("support", "predicted_count")
_SHARES_BY_CLASS = ("per_class_recall", "per_class_precision", "per_class_f1")
_KNOWN_OR_NOT = (
    "top5_accuracy",
    "brier_score",
    "calibration_error",
    "classwise_calibration_error",
    "lowest_if_equal",
)
_WITH_SCORES = ("negative_log_likelihood", "geometric_mean_loss")  # null is infinite there
_WORST = ("1", "5", "10")
_LIMITS = (*_SHARES, "lowest_if_equal")


def evaluation_values(values: Mapping[str, Any], needed: Collection[str]) -> dict[str, Any]:
    """The fields of an evaluation from plain values; what newer versions add is passed over.

    Args:
        values: as a file holds them.
        needed: the fields that have no default.

    Raises:
        ValueError: a needed one is missing, or holds what it cannot; the message says which.
    """
    missing = [name for name in sorted(needed) if name not in values]
    if {"accuracy", "per_class_recall"} <= set(missing):
        raise ValueError("it is no evaluation, such as `everyclass evaluate --json` prints")
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    found: dict[str, Any] = {name: as_count(values[name], name) for name in _COUNTS}
    classes = found["num_classes"]
    found |= {name: as_share(values[name], name) for name in _SHARES}
    found["zero_floor"] = as_number(values["zero_floor"], "zero_floor")
    for name in _CLASSES:
        found[name] = tuple(as_class(v, name, classes) for v in as_list(values[name], name))
    for name in _BY_CLASS:
        found[name] = np.array(per_class(values, name, classes, as_count), dtype=np.int64)
    for name in _SHARES_BY_CLASS:
        found[name] = np.array(per_class(values, name, classes, or_nan(as_share)), dtype=np.float64)
    _check_together(found)
    for name in ("worst", "recall_quantiles"):
        found[name] = as_mapping(values[name], name, as_share)
    for percent in _WORST:
        if percent not in found["worst"]:
            raise ValueError(f"worst has no {percent!r}")
    found["groups"] = _groups(values["groups"], "groups", or_none(as_share))
    for name in _KNOWN_OR_NOT:
        found[name] = or_none(as_number)(values.get(name), name)
    for name in _WITH_SCORES:
        value = or_none(as_number)(values.get(name), name)
        found[name] = math.inf if value is None and found["brier_score"] is not None else value
    names = values.get("class_names")
    if names is not None:
        found["class_names"] = tuple(per_class(values, "class_names", classes, as_text))
    if values.get("class_counts") is not None:
        counts = values["class_counts"]
        found["class_counts"] = ClassCounts.of(counts, num_classes=classes, names=names)
    found["intervals"] = or_none(_intervals)(values.get("intervals"), "intervals", classes)
    _check_limits(found)
    settings = values.get("interval_settings")
    found["interval_settings"] = or_none(as_mapping)(settings, "interval_settings", as_number)
    return found


def _check_together(found: Mapping[str, Any]) -> None:
    support: npt.NDArray[np.int64] = found["support"]
    scored = support > 0
    if not np.array_equal(np.isnan(found["per_class_recall"]), ~scored):
        raise ValueError("per_class_recall must be null where support is 0, and only there")
    if int(scored.sum()) != found["num_scored"] or int(support.sum()) != found["num_samples"]:
        raise ValueError("support does not add up to num_samples and num_scored")
    if not scored.any() or not found["lowest_classes"]:
        raise ValueError("no class was scored")
    if not scored[[*found["lowest_classes"], *found["never_predicted"]]].all():
        raise ValueError("lowest_classes or never_predicted name a class without test images")


def _check_limits(found: Mapping[str, Any]) -> None:
    limits = (found["intervals"] or {}).get("per_class_recall")
    if limits is not None:
        without = np.array([each is None for each in limits])
        if not np.array_equal(without, found["support"] == 0):
            raise ValueError(
                "intervals.per_class_recall must be null where support is 0, and only there"
            )


def _intervals(value: Any, name: str, classes: int) -> dict[str, Any]:
    given = as_mapping(value, name)
    found = dict(given)
    for key in _LIMITS:
        if given.get(key) is not None:
            found[key] = as_limits(given[key], f"{name}.{key}")
    if given.get("worst") is not None:
        found["worst"] = as_mapping(given["worst"], f"{name}.worst", or_none(as_limits))
    found["groups"] = _groups(given.get("groups"), f"{name}.groups", or_none(as_limits))
    if given.get("per_class_recall") is not None:
        found["per_class_recall"] = per_class(
            given, "per_class_recall", classes, or_none(as_limits)
        )
    return found


def _groups(value: Any, name: str, each: Callable[[Any, str], Any]) -> dict[str, Any] | None:
    if value is None:
        return None
    return as_mapping(value, name, lambda group, place: as_mapping(group, place, each))
