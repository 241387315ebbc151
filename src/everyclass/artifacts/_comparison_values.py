"""What a comparison's file may hold: every value is looked at before anything believes it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from everyclass.artifacts._json_values import (
    as_between,
    as_class,
    as_count,
    as_limits,
    as_list,
    as_mapping,
    as_number,
    as_share,
    as_text,
    is_nothing,
    or_nan,
    or_none,
    per_class,
)

__all__ = ["comparison_values"]

_COUNTS = ("num_samples", "num_classes", "num_scored")
_CLASSES = ("rose", "paid", "untestable")
_IMAGES = ("support", "both_right", "only_a", "only_b")
_SETTINGS = ("confidence", "correction")  # that a table says
_CORRECTIONS = ("holm", "bh", "none")


def comparison_values(values: Mapping[str, Any], needed: Collection[str]) -> dict[str, Any]:
    """The fields of a comparison from plain values; what newer versions add is passed over.

    Args:
        values: as a file holds them.
        needed: the fields that have no default.

    Raises:
        ValueError: a needed one is missing, or holds what it cannot; the message says which.
    """
    missing = [name for name in needed if name not in values]
    if missing:
        raise ValueError(
            f"it has no {missing[0]!r}; is it a comparison, such as `everyclass compare --out` "
            "writes?"
        )
    found: dict[str, Any] = {name: as_count(values[name], name) for name in _COUNTS}
    classes = found["num_classes"]
    found["names"] = tuple(as_text(name, "names") for name in as_list(values["names"], "names"))
    if len(found["names"]) != 2:
        raise ValueError(f"names has {len(found['names'])} entries; A and B have one each")
    for name in _CLASSES:
        found[name] = tuple(as_class(v, name, classes) for v in as_list(values[name], name))
    for name in _IMAGES:
        found[name] = np.array(per_class(values, name, classes, as_count), dtype=np.int64)
    of_classes = {
        "difference": or_nan(_difference),
        "interval": _limits_or_nan,
        "p_value": or_nan(as_share),
        "adjusted_p_value": or_nan(as_share),
        "images_needed": or_nan(_images),
    }
    for name, check in of_classes.items():
        found[name] = np.array(per_class(values, name, classes, check), dtype=np.float64)
    _check_together(found)
    # Null stands for both: a class without a difference would need infinitely many.
    undecided = np.isnan(found["images_needed"]) & (found["difference"] == 0)
    found["images_needed"][undecided] = np.inf
    found["numbers"] = as_mapping(values["numbers"], "numbers", _compared)
    found["settings"] = _settings(values["settings"], "settings")
    if values.get("class_names") is not None:
        found["class_names"] = tuple(per_class(values, "class_names", classes, as_text))
    return found


def _check_together(found: Mapping[str, Any]) -> None:
    support = found["support"]
    scored = support > 0
    if int(scored.sum()) != found["num_scored"] or int(support.sum()) != found["num_samples"]:
        raise ValueError("support does not add up to num_samples and num_scored")
    if sorted(found["untestable"]) != np.flatnonzero(~scored).tolist():
        raise ValueError("untestable must be the classes whose support is 0")
    decided = [*found["rose"], *found["paid"]]
    if len(set(decided)) < len(decided):
        raise ValueError("rose and paid name a class twice")
    if not scored[decided].all():
        raise ValueError("rose or paid name a class without test images")
    if (found["both_right"] + found["only_a"] + found["only_b"] > support).any():
        raise ValueError("more images are right than support has")
    for name in ("difference", "interval", "p_value", "adjusted_p_value"):
        known = ~np.isnan(found[name]).reshape(len(support), -1).any(axis=1)
        if not np.array_equal(known, scored):
            raise ValueError(f"{name} must be null where support is 0, and only there")


def _compared(value: Any, name: str) -> dict[str, Any]:
    found = as_mapping(value, name)
    checks = {
        "a": as_share,
        "b": as_share,
        "difference": _difference,
        "interval": _limits_of_difference,
        "p_value": or_none(as_share),
    }
    for key, check in checks.items():
        if key not in found:
            raise ValueError(f"{name} has no {key!r}")
        found[key] = check(found[key], f"{name}.{key}")
    return found


def _settings(value: Any, name: str) -> dict[str, Any]:
    found = as_mapping(value, name)
    for key in _SETTINGS:
        if key not in found:
            raise ValueError(f"{name} has no {key!r}")
    as_share(found["confidence"], f"{name}.confidence")
    if found["correction"] not in _CORRECTIONS:
        raise ValueError(f"{name}.correction must be holm, bh or none")
    return found


def _difference(value: Any, name: str) -> float:
    return as_between(value, name, -1, 1)


def _limits_of_difference(value: Any, name: str) -> list[float]:
    return as_limits(value, name, -1, 1)


def _limits_or_nan(value: Any, name: str) -> list[float]:
    nothing = all(is_nothing(limit) for limit in as_list(value, name))
    return [math.nan, math.nan] if nothing else _limits_of_difference(value, name)


def _images(value: Any, name: str) -> float:
    if value == math.inf:  # as it is before it is written
        return math.inf
    found = float(as_number(value, name))
    if found < 0:
        raise ValueError(f"{name} must not be negative, as {found:g} is")
    return found
