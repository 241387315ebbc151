"""`everyclass compare`: who rose, who paid, who is undecided."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from everyclass.cli.labels_beside import labels_for
from everyclass.cli.options import (
    ClassNames,
    Confidence,
    Json,
    LabelsColumn,
    LabelsFile,
    PredictedColumn,
    ScoresAre,
    Seed,
)
from everyclass.cli.printing import print_json, say
from everyclass.cli.spared_files import check_spared, holds_json

__all__ = ["compare"]


def compare(
    files: Annotated[
        list[Path],
        typer.Argument(help="Predictions of two classifiers or more on the same images."),
    ],
    baseline: Annotated[
        Path | None, typer.Option(help="The one the others are compared with; default the first.")
    ] = None,
    class_names: ClassNames = None,
    scores: ScoresAre = None,
    labels: LabelsFile = None,
    labels_column: LabelsColumn = "labels",
    predicted_column: PredictedColumn = "predicted",
    correction: Annotated[
        str,
        typer.Option(
            help="For many classes: holm (hardly one wrongly named), bh (few of those named), none."
        ),
    ] = "holm",
    confidence: Confidence = 0.95,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="A file to write the comparison to, as JSON.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="List every class.")] = False,
    json: Json = False,
) -> None:
    """Compare classifiers on the same images, the classes that paid first.

    Example: everyclass compare old.npz new.npz
    """
    from everyclass import metrics
    from everyclass.artifacts import Predictions, check_own, load_class_names, write_json
    from everyclass.errors import InputError

    paths = files if baseline is None or baseline in files else [baseline, *files]
    if len({os.path.realpath(path) for path in paths}) < len(paths):
        raise InputError("The same file was given twice; name each classifier's file once.")
    check_spared(*paths, class_names, labels, files=[out])
    check_own(out, "comparison", lambda file: holds_json(file, "only_a", "comparisons"))
    names = None if class_names is None else load_class_names(class_names)
    with_labels = labels_for(paths, labels)
    predictions = {
        str(path): Predictions.load(
            path,
            scores=scores,  # type: ignore[arg-type]
            labels=with_labels.get(path),
            labels_column=labels_column,
            predicted_column=predicted_column,
            class_names=names,
        )
        for path in paths
    }
    found = metrics.compare_all(
        predictions,
        baseline=None if baseline is None else str(baseline),
        correction=correction,  # type: ignore[arg-type]
        confidence=confidence,
        seed=seed,
    )
    values = {"format": 1, "comparisons": [comparison.to_dict() for comparison in found]}
    if len(found) == 1:
        values = {"format": 1, **found[0].to_dict()}
    if out is not None:
        write_json(out, values)
    if json:
        print_json(values)
    else:
        tables = [comparison.table(most=None if every else 20) for comparison in found]
        say("\n\n".join(tables))
