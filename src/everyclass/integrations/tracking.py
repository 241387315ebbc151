"""Numbers of an evaluation for experiment trackers: TensorBoard, MLflow, wandb, Lightning's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from everyclass.artifacts import Evaluation
from everyclass.errors import InputTypeError

__all__ = ["log_evaluation", "log_scalars", "scalars_of"]


def scalars_of(evaluation: Evaluation, *, worst: int = 5, prefix: str = "") -> dict[str, float]:
    """The summary of an evaluation and the recall of its worst classes, by name.

    One number per class would flood a tracker; the worst few are what is looked at.

    Args:
        evaluation: from :func:`everyclass.evaluate`.
        worst: of how many classes the recall is given.
        prefix: put in front of every name, such as ``"val/"``.

    Example:
        >>> import everyclass as ec
        >>> e = ec.evaluate(labels=[0, 0, 1, 1], predicted=[0, 0, 0, 1], class_names=["cat", "fox"])
        >>> scalars_of(e, worst=1, prefix="val/")["val/recall/fox"]
        0.5
    """
    values = {name: float(value) for name, value in evaluation.summary().items()}
    recall = np.asarray(evaluation.per_class_recall, dtype=float)
    order = [int(c) for c in np.argsort(recall, kind="stable") if not np.isnan(recall[c])]
    names = evaluation.class_names or [str(c) for c in range(len(recall))]
    values |= {f"recall/{names[c]}": float(recall[c]) for c in order[:worst]}
    return {f"{prefix}{name}": value for name, value in values.items()}


def log_scalars(tracker: Any, values: Mapping[str, float], step: int) -> None:
    """Give named numbers to a tracker, whichever of the three usual methods it has.

    For ``log_metrics`` a character that MLflow refuses in names becomes "_".

    Args:
        tracker: has ``log_metrics(values, step)`` (MLflow, Lightning's loggers),
            ``add_scalar(name, value, step)`` (TensorBoard's ``SummaryWriter``), or
            ``log(values, step=)`` (wandb and its like).
        values: by name.
        step: of the training.

    Raises:
        InputTypeError: it has none of them.
    """
    if hasattr(tracker, "log_metrics"):
        # MLflow refuses a name with a comma or a bracket in it, as names of classes have.
        named = {re.sub(r"[^\w.\- :/]", "_", name): value for name, value in values.items()}
        tracker.log_metrics(named, step=step)
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
    log_scalars(tracker, scalars_of(evaluation, worst=worst, prefix=prefix), step)
