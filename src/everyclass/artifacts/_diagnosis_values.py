"""What a diagnosis's file may hold: every value is looked at before anything believes it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, get_args

from everyclass.artifacts._json_values import (
    as_class,
    as_count,
    as_limits,
    as_list,
    as_mapping,
    as_number,
    as_share,
    as_text,
    or_none,
    per_class,
)
from everyclass.artifacts._text import quoted
from everyclass.artifacts.class_diagnosis import (
    Calibration,
    Cause,
    ClassDiagnosis,
    ErrorExample,
    Reachable,
    Suspect,
)

__all__ = ["diagnosis_values"]

_COUNTS = ("num_samples", "num_classes", "num_scored")


def diagnosis_values(values: Mapping[str, Any], needed: Collection[str]) -> dict[str, Any]:
    """The fields of a diagnosis from plain values; what newer versions add is passed over.

    Args:
        values: as a file holds them.
        needed: the fields that have no default.

    Raises:
        ValueError: a needed one is missing, or holds what it cannot; the message says which.
    """
    missing = [name for name in needed if name not in values]
    if missing:
        raise ValueError(
            f"it has no {missing[0]!r}; is it a diagnosis, such as `everyclass diagnose --json` "
            "prints?"
        )
    found: dict[str, Any] = {name: as_count(values[name], name) for name in _COUNTS}
    classes = found["num_classes"]
    found["mean_recall"] = as_share(values["mean_recall"], "mean_recall")
    found["classes"] = _each(_of_class, values["classes"], "classes", classes)
    found["untestable"] = _each(as_class, values.get("untestable") or (), "untestable", classes)
    found["unknown"] = _each(as_text, values.get("unknown") or (), "unknown")
    found["held_out"] = or_none(as_text)(values.get("held_out"), "held_out")
    found["settings"] = as_mapping(values.get("settings") or {}, "settings")
    if values.get("class_names") is not None:
        found["class_names"] = tuple(per_class(values, "class_names", classes, as_text))
    return found


def _each(check: Any, value: Any, name: str, *more: Any) -> tuple[Any, ...]:
    return tuple(check(item, name, *more) for item in as_list(value, name))


def _of_class(value: Any, name: str, classes: int) -> ClassDiagnosis:
    held = as_mapping(value, name)
    index = as_class(_of(held, "index", name), f"{name}.index", classes)
    at = f"{name}, of class {index}"
    get = partial(_of, held, place=at)
    cause = get("cause")
    if cause not in get_args(Cause):
        raise ValueError(f"{at}: {quoted(cause)} is no cause")
    nearest = held.get("nearest")
    suspect = held.get("suspect")
    return ClassDiagnosis(
        index=index,
        support=as_count(get("support"), f"{at}: support"),
        right=as_count(get("right"), f"{at}: right"),
        recall=as_share(get("recall"), f"{at}: recall"),
        interval=_limits(get("interval"), f"{at}: interval"),
        cause=cause,
        reason=as_text(get("reason"), f"{at}: reason"),
        training_count=or_none(as_count)(held.get("training_count"), f"{at}: training_count"),
        taken_by=_pairs(held.get("taken_by") or (), f"{at}: taken_by", classes, as_count),
        takes_from=_pairs(held.get("takes_from") or (), f"{at}: takes_from", classes, as_count),
        nearest=or_none(_pairs)(nearest, f"{at}: nearest", classes, as_number),
        calibration=or_none(_calibration)(held.get("calibration"), f"{at}: calibration"),
        reachable=or_none(_reachable)(held.get("reachable"), f"{at}: reachable"),
        suspect=None if suspect is None else _each(_suspect, suspect, f"{at}: suspect", classes),
        examples=_each(_example, held.get("examples") or (), f"{at}: examples", classes),
    )


def _of(held: Mapping[str, Any], key: str, place: str) -> Any:
    if key not in held:
        raise ValueError(f"{place} has no {key!r}")
    return held[key]


def _limits(value: Any, name: str) -> tuple[float, float]:
    low, high = as_limits(value, name)
    return low, high


def _pairs(value: Any, name: str, classes: int, number: Any) -> tuple[tuple[int, Any], ...]:
    """Pairs of a class and a number that belongs to it."""
    pairs = [as_list(pair, name) for pair in as_list(value, name)]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{name} must hold pairs of a class and a number")
    return tuple((as_class(c, name, classes), number(said, name)) for c, said in pairs)


def _calibration(value: Any, name: str) -> Calibration:
    held = as_mapping(value, name)
    return Calibration(
        *(as_share(_of(held, key, name), f"{name}.{key}") for key in ("true_class", "confidence"))
    )


def _reachable(value: Any, name: str) -> Reachable:
    held = as_mapping(value, name)
    return Reachable(
        images=as_count(_of(held, "images", name), f"{name}.images"),
        old=as_share(_of(held, "old", name), f"{name}.old"),
        recall=as_share(_of(held, "recall", name), f"{name}.recall"),
        interval=_limits(_of(held, "interval", name), f"{name}.interval"),
        p_value=as_share(_of(held, "p_value", name), f"{name}.p_value"),
        shown=or_none(as_share)(held.get("shown"), f"{name}.shown"),
        shown_images=or_none(as_count)(held.get("shown_images"), f"{name}.shown_images"),
    )


def _suspect(value: Any, name: str, classes: int) -> Suspect:
    held = as_mapping(value, name)
    part = _of(held, "part", name)
    if part not in ("test", "train"):
        raise ValueError(f"{name}.part must be test or train")
    return Suspect(
        part=part,
        row=as_count(_of(held, "row", name), f"{name}.row"),
        label=as_class(_of(held, "label", name), f"{name}.label", classes),
        looks_like=as_class(_of(held, "looks_like", name), f"{name}.looks_like", classes),
        probability=as_share(_of(held, "probability", name), f"{name}.probability"),
    )


def _example(value: Any, name: str, classes: int) -> ErrorExample:
    held = as_mapping(value, name)
    return ErrorExample(
        row=as_count(_of(held, "row", name), f"{name}.row"),
        predicted=as_class(_of(held, "predicted", name), f"{name}.predicted", classes),
        probability=or_none(as_share)(held.get("probability"), f"{name}.probability"),
    )
