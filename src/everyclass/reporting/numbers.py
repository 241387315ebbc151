"""The table before and after: every number with its interval, every difference with its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import Evaluation
from everyclass.reporting.data import Report
from everyclass.reporting.rows import GROUPS

__all__ = ["SUMMARY", "Cell", "NumberRow", "number_rows"]

SUMMARY = ("lowest_recall", "harmonic_mean", "geometric_mean", "balanced_accuracy", "accuracy")
_WORST = ("5", "10")
_SCORES = ("calibration_error", "negative_log_likelihood")


class Cell(TypedDict):
    """One number of one classifier; ``difference`` is to the first, ``None`` where there is none.

    ``floored``: a class counts as the floor in it; ``classes`` which have the lowest recall.
    """

    value: float | None
    interval: list[float] | None
    difference: float | None
    difference_interval: list[float] | None
    p_value: float | None
    floored: bool
    classes: list[str]


class NumberRow(TypedDict):
    """One number of every classifier that was evaluated."""

    key: str
    cells: dict[str, Cell]


def number_rows(report: Report) -> list[NumberRow]:
    """The worst classes, the means, the groups, calibration; in the order of the table."""
    if not report.evaluations:
        return []
    lowest, *means = (
        _row(report, key, _values(report, key), _limits(report, key)) for key in SUMMARY
    )
    rows = [lowest]
    scored = next(report.each())[1].num_scored
    for percent in _WORST:
        if scored * int(percent) <= 100:
            continue  # of one class, which is the lowest recall
        values = {name: e.worst[percent] for name, e in report.each()}
        limits = {
            n: ((e.intervals or {}).get("worst") or {}).get(percent) for n, e in report.each()
        }
        rows.append(_row(report, f"worst_{percent}", values, limits))
    rows += means
    for group in GROUPS if report.groups is not None else ():
        assert report.groups is not None
        of_group = {n: _mean_recall(e, report.groups == group) for n, e in report.each()}
        if None not in of_group.values():
            limits = {n: _group_limits(e, group) for n, e in report.each()}
            rows.append(_row(report, group, of_group, limits))
    for key in _SCORES:
        numbers = _values(report, key)
        if None not in numbers.values():
            rows.append(_row(report, key, numbers, dict.fromkeys(numbers)))
    return rows


def _values(report: Report, key: str) -> dict[str, float | None]:
    return {name: getattr(evaluation, key) for name, evaluation in report.each()}


def _limits(report: Report, key: str) -> dict[str, Any]:
    return {name: (evaluation.intervals or {}).get(key) for name, evaluation in report.each()}


def _group_limits(evaluation: Evaluation, group: str) -> Any:
    groups = (evaluation.intervals or {}).get("groups") or {}
    return (groups.get("paper") or {}).get(group)


def _mean_recall(evaluation: Evaluation, members: npt.NDArray[np.bool_]) -> float | None:
    recall = evaluation.per_class_recall[members & (evaluation.support > 0)]
    return float(recall.mean()) if recall.size else None


def _row(
    report: Report, key: str, values: Mapping[str, float | None], limits: Mapping[str, Any]
) -> NumberRow:
    base = values[report.classifiers[0]]
    cells: dict[str, Cell] = {}
    for name, evaluation in report.each():
        value = values[name]
        compared = report.comparisons.get(name)
        paired = {} if compared is None else compared.numbers.get(key, {})
        first = name == report.baseline
        means = key in ("geometric_mean", "harmonic_mean")
        lowest = evaluation.lowest_classes if key == "lowest_recall" else ()
        cells[name] = {
            "value": value,
            "interval": limits[name],
            "difference": None if first else _difference(value, base),
            "difference_interval": paired.get("interval"),
            "p_value": paired.get("p_value"),
            "floored": means and evaluation.zeros_replaced > 0,
            "classes": [report.names[c] for c in lowest],
        }
    return {"key": key, "cells": cells}


def _difference(value: float | None, base: float | None) -> float | None:
    """None where a number is not known, or infinite as a likelihood with a probability of 0."""
    if value is None or base is None or not (math.isfinite(value) and math.isfinite(base)):
        return None
    return value - base
