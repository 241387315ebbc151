"""`everyclass evaluate`: judge predictions that anybody made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from everyclass.cli.options import Json, print_json

__all__ = ["evaluate"]


def evaluate(
    file: Annotated[Path, typer.Argument(help="Predictions: .npz, .safetensors, .csv, .parquet.")],
    counts: Annotated[
        Path | None, typer.Option(help="Training images per class: a CSV with class,count.")
    ] = None,
    scores: Annotated[
        str | None, typer.Option(help="What columns named as classes hold: logits or probs.")
    ] = None,
    labels_column: Annotated[str, typer.Option(help="Column of the true classes.")] = "labels",
    predicted_column: Annotated[
        str, typer.Option(help="Column of the predicted classes.")
    ] = "predicted",
    zero_floor: Annotated[
        float, typer.Option(help="Stands for a recall of zero in the means.")
    ] = 1e-3,
    every: Annotated[bool, typer.Option("--all", help="List every class.")] = False,
    json: Json = False,
) -> None:
    """Judge a classifier class by class, the worst first.

    Example: everyclass evaluate predictions.parquet --counts counts.csv
    """
    from everyclass import metrics
    from everyclass.artifacts import ClassCounts, Predictions
    from everyclass.errors import InputError

    if scores not in (None, "logits", "probs"):
        raise InputError(f"--scores must be logits or probs; got {scores!r}.")
    predictions = Predictions.load(
        file,
        scores=scores,  # type: ignore[arg-type]
        labels_column=labels_column,
        predicted_column=predicted_column,
    )
    if counts is not None:
        predictions = predictions.with_counts(
            ClassCounts.load(counts, names=predictions.class_names)
        )
    evaluation = metrics.evaluate(predictions, zero_floor=zero_floor)
    if json:
        print_json(evaluation.to_dict())
    else:
        typer.echo(evaluation.table(most=None if every else 20))
