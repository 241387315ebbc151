"""`everyclass diagnose`: why the worst classes fail."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from everyclass.cli.options import (
    ClassNames,
    Confidence,
    Counts,
    Json,
    LabelsColumn,
    LabelsFile,
    PredictedColumn,
    Quiet,
    ScoresAre,
    Seed,
)
from everyclass.cli.printing import print_json, say, shown
from everyclass.cli.spared_files import check_spared, holds_json

__all__ = ["diagnose"]


def diagnose(
    predictions: Annotated[
        Path | None,
        typer.Argument(help="Predictions on test images; default: of --head on --test-features."),
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(help="Training features: what a retrained head reaches is shown on these."),
    ] = None,
    test_features: Annotated[
        Path | None, typer.Option(help="Features of the test images, for the nearest classes.")
    ] = None,
    head: Annotated[
        Path | None, typer.Option(help="The last layer: weight (C × d) and bias (C).")
    ] = None,
    val: Annotated[
        Path | None,
        typer.Option(help="Features of held-out images, to show it on instead; goes with --train."),
    ] = None,
    counts: Counts = None,
    class_names: ClassNames = None,
    scores: ScoresAre = None,
    labels: LabelsFile = None,
    labels_column: LabelsColumn = "labels",
    predicted_column: PredictedColumn = "predicted",
    worst: Annotated[int, typer.Option(min=1, help="How many classes to look at.")] = 10,
    confidence: Confidence = 0.95,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="A file to write the diagnosis to, as JSON.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say why the worst classes fail: labels, pairs, too few images, the head, or the features.

    Example: everyclass diagnose old.npz --train train.npz --head head.npz --val val.npz
    """
    from everyclass import metrics
    from everyclass.artifacts import (
        ClassCounts,
        Features,
        Head,
        Predictions,
        check_own,
        load_class_names,
    )
    from everyclass.errors import InputError

    check_spared(
        predictions, train, test_features, head, val, counts, class_names, labels, files=[out]
    )
    check_own(out, "diagnosis", lambda file: holds_json(file, "mean_recall"))
    if predictions is None:
        _check_for_none(
            {
                "--counts": counts is not None,
                "--class-names": class_names is not None,
                "--scores": scores is not None,
                "--labels": labels is not None,
                "--labels-column": labels_column != "labels",
                "--predicted-column": predicted_column != "predicted",
            }
        )
    said = None
    if predictions is not None:
        names = None if class_names is None else load_class_names(class_names)
        said = Predictions.load(
            predictions,
            scores=scores,  # type: ignore[arg-type]
            labels=labels,
            labels_column=labels_column,
            predicted_column=predicted_column,
            class_names=names,
            class_counts=None if counts is None else ClassCounts.load(counts, names=names),
        )
    parts = {
        name: None if path is None else Features.load(path)
        for name, path in (("train", train), ("test", test_features), ("val", val))
    }
    if head is not None:
        part = "train" if train is not None else "test"
        features = parts[part]
        if features is None:
            raise InputError("--head goes with --train or --test-features.")
        try:
            parts[part] = features.with_head(Head.load(head))
        except InputError as error:
            raise InputError(f"{head} does not fit the features: {error}") from error
    if said is not None and not any(parts.values()):
        found = metrics.diagnose_predictions(said, worst=worst, confidence=confidence)
    else:
        from everyclass import stages

        found = stages.diagnose(
            said, **parts, worst=worst, confidence=confidence, seed=seed, show=shown(quiet)
        )
    if out is not None:
        found.save(out)
    if json:
        print_json({"format": 1, **found.to_dict()})
    else:
        say(str(found))


def _check_for_none(options: dict[str, bool]) -> None:
    """Refuse options that say how predictions are read, where there are none."""
    from everyclass.errors import InputError

    for name, given in options.items():
        if given:
            raise InputError(
                f"{name} goes with predictions, and only features are given; name a file of "
                f"predictions, or leave {name} out."
            )
