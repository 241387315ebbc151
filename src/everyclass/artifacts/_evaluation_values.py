"""What an evaluation's file may hold: every value is looked at before anything believes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts._text import printable
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
    found: dict[str, Any] = {name: _count(values[name], name) for name in _COUNTS}
    classes = found["num_classes"]
    found |= {name: _share(values[name], name) for name in _SHARES}
    found["zero_floor"] = _number(values["zero_floor"], "zero_floor")
    for name in _CLASSES:
        found[name] = tuple(_class(v, name, classes) for v in _list(values[name], name))
    for name in _BY_CLASS:
        found[name] = np.array(_per_class(values, name, classes, _count), dtype=np.int64)
    for name in _SHARES_BY_CLASS:
        found[name] = np.array(_per_class(values, name, classes, _share_or_nan), dtype=np.float64)
    _check_together(found)
    for name in ("worst", "recall_quantiles"):
        found[name] = _mapping(values[name], name, _share)
    for percent in _WORST:
        if percent not in found["worst"]:
            raise ValueError(f"worst has no {percent!r}")
    found["groups"] = _groups(values["groups"], "groups", _or_none(_share))
    for name in _KNOWN_OR_NOT:
        found[name] = _or_none(_number)(values.get(name), name)
    for name in _WITH_SCORES:
        value = _or_none(_number)(values.get(name), name)
        found[name] = math.inf if value is None and found["brier_score"] is not None else value
    names = values.get("class_names")
    if names is not None:
        found["class_names"] = tuple(_per_class(values, "class_names", classes, _text))
    if values.get("class_counts") is not None:
        counts = values["class_counts"]
        found["class_counts"] = ClassCounts.of(counts, num_classes=classes, names=names)
    found["intervals"] = _or_none(_intervals)(values.get("intervals"), "intervals", classes)
    _check_limits(found)
    settings = values.get("interval_settings")
    found["interval_settings"] = _or_none(_mapping)(settings, "interval_settings", _number)
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
    given = _mapping(value, name)
    found = dict(given)
    for key in _LIMITS:
        if given.get(key) is not None:
            found[key] = _limits(given[key], f"{name}.{key}")
    if given.get("worst") is not None:
        found["worst"] = _mapping(given["worst"], f"{name}.worst", _or_none(_limits))
    found["groups"] = _groups(given.get("groups"), f"{name}.groups", _or_none(_limits))
    if given.get("per_class_recall") is not None:
        found["per_class_recall"] = _per_class(
            given, "per_class_recall", classes, _or_none(_limits)
        )
    return found


def _groups(value: Any, name: str, each: Callable[[Any, str], Any]) -> dict[str, Any] | None:
    if value is None:
        return None
    return _mapping(value, name, lambda group, place: _mapping(group, place, each))


def _per_class(
    values: Mapping[str, Any], name: str, classes: int, each: Callable[[Any, str], Any]
) -> list[Any]:
    found = _list(values[name], name)
    if len(found) != classes:
        raise ValueError(f"{name} has {len(found)} entries and num_classes is {classes}")
    return [each(value, name) for value in found]


def _mapping(
    value: Any, name: str, each: Callable[[Any, str], Any] = lambda item, _: item
) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be an object, not {_kind(value)}")
    return {str(key): each(item, f"{name}.{key}") for key, item in value.items()}


def _list(value: Any, name: str) -> Sequence[Any]:
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = value.tolist()
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name} must be a list, not {_kind(value)}")
    return value


def _limits(value: Any, name: str) -> list[float]:
    found = [_share(v, name) for v in _list(value, name)]
    if len(found) != 2:
        raise ValueError(f"{name} must be [low, high]")
    return found


def _number(value: Any, name: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, Real) or not _is_finite(value):
        raise ValueError(f"{name} must be a number, not {_kind(value)}")
    return value


def _is_finite(value: Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def _share(value: Any, name: str) -> float:
    found = float(_number(value, name))
    if not -1e-9 <= found <= 1 + 1e-9:
        raise ValueError(f"{name} must lie between 0 and 1, not be {found:g}")
    return found


def _share_or_nan(value: Any, name: str) -> float:
    nothing = value is None or (isinstance(value, float) and math.isnan(value))
    return math.nan if nothing else _share(value, name)


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= int(value) < 2**53:
        raise ValueError(f"{name} must be a whole number, 0 at least, not {_kind(value)}")
    return int(value)


def _class(value: Any, name: str, classes: int) -> int:
    found = _count(value, name)
    if found >= classes:
        raise ValueError(f"{name} holds class {found}, and num_classes is {classes}")
    return found


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be texts, not {_kind(value)}")
    return value


def _or_none(check: Callable[..., Any]) -> Callable[..., Any]:
    return lambda value, *more: None if value is None else check(value, *more)


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float):
        return "null" if value is None else printable(str(value).lower(), 40)
    for kind, name in ((str, "a text"), (Mapping, "an object"), (list, "a list")):
        if isinstance(value, kind):
            return name
    return f"a {type(value).__name__}"
