"""Numbers of an evaluation for experiment trackers: TensorBoard, MLflow, wandb, Lightning's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from everyclass.artifacts import Evaluation, check_whole_number
from everyclass.errors import InputTypeError

__all__ = ["log_evaluation", "log_scalars", "scalars_of"]


def scalars_of(evaluation: Evaluation, *, worst: int = 5, prefix: str = "") -> dict[str, float]:
    """The summary of an evaluation and the recall of its worst classes, by name.

    One number per class would flood a tracker; the worst few are what is looked at.

    Args:
        evaluation: from :func:`everyclass.evaluate`.
        worst: of how many classes the recall is given.
        prefix: put in front of every name, such as ``"val/"``.

    Raises:
        InputError: ``worst`` is less than 0.

    Example:
        >>> import everyclass as ec
        >>> e = ec.evaluate(labels=[0, 0, 1, 1], predicted=[0, 0, 0, 1], class_names=["cat", "fox"])
        >>> scalars_of(e, worst=1, prefix="val/")["val/recall/fox"]
        0.5
    """
    worst = check_whole_number("worst", worst)
    values = {name: float(value) for name, value in evaluation.summary().items()}
    recall = np.asarray(evaluation.per_class_recall, dtype=float)
    order = [int(c) for c in np.argsort(recall, kind="stable") if not np.isnan(recall[c])]
    names = _names_of_classes(evaluation)
    values |= {names[c]: float(recall[c]) for c in order[:worst]}
    return {f"{prefix}{name}": value for name, value in values.items()}


def _names_of_classes(evaluation: Evaluation) -> list[str]:
    """What the recall of each class is called."""
    numbers = range(len(evaluation.per_class_recall))
    return [f"recall/{name}" for name in evaluation.class_names or numbers]


def log_scalars(tracker: Any, values: Mapping[str, float], step: int) -> None:
    """Give named numbers to a tracker, whichever of the three usual methods it has.

    For a tracker with ``log_metrics`` a character that MLflow refuses in names becomes "_". Where
    two names become the same by that, the second has a number behind it: give all of them at every
    step, or the number is another one's. :func:`log_evaluation` numbers all classes.

    Args:
        tracker: has ``log_metrics(values, step)`` (MLflow, Lightning's loggers),
            ``add_scalar(name, value, step)`` (TensorBoard's ``SummaryWriter``), or
            ``log(values, step=)`` (wandb and its like).
        values: by name.
        step: of the training.

    Raises:
        InputTypeError: it has none of them.
    """
    _log(tracker, values, step, list(values))


def _log(tracker: Any, values: Mapping[str, float], step: int, names: Sequence[str]) -> None:
    """Log values; ``names`` are all that there may be, at other steps too."""
    if hasattr(tracker, "log_metrics"):
        accepted = _accepted_by_mlflow(names)
        tracker.log_metrics({accepted[name]: value for name, value in values.items()}, step=step)
    elif hasattr(tracker, "add_scalar"):
        for name, value in values.items():
            tracker.add_scalar(name, value, step)
    elif hasattr(tracker, "log"):
        tracker.log(dict(values), step=step)
    else:
        raise InputTypeError(
            f"A {type(tracker).__name__} is no tracker: it has no log_metrics(values, step=), no "
            "add_scalar(name, value, step) and no log(values, step=)."
        )


def _accepted_by_mlflow(names: Sequence[str]) -> dict[str, str]:
    """Names without commas, brackets and the like, by the names that have them."""
    accepted = {name: re.sub(r"[^\w.\- :/]", "_", name) for name in names}
    taken = {name for name in names if accepted[name] == name}
    for name in names:
        if accepted[name] != name:
            plain, number = accepted[name], 2
            while accepted[name] in taken:
                accepted[name] = f"{plain}_{number}"
                number += 1
            taken.add(accepted[name])
    return accepted


def log_evaluation(
    tracker: Any, evaluation: Evaluation, step: int, *, worst: int = 5, prefix: str = ""
) -> None:
    """Give a tracker the summary of an evaluation and its worst classes; see :func:`log_scalars`.

    Args:
        tracker: as in :func:`log_scalars`.
        evaluation: from :func:`everyclass.evaluate`.
        step: of the training.
        worst: of how many classes the recall is given.
        prefix: put in front of every name.
    """
    values = scalars_of(evaluation, worst=worst, prefix=prefix)
    # Of all classes, so that one has the same name whichever others are among the worst.
    classes = [f"{prefix}{name}" for name in _names_of_classes(evaluation)]
    _log(tracker, values, step, [*dict.fromkeys([*classes, *values])])
