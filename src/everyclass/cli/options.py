"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "RESULTS",
    "BadImages",
    "ClassNames",
    "Confidence",
    "Counts",
    "Data",
    "DataRoot",
    "Device",
    "Json",
    "LabelsColumn",
    "LabelsFile",
    "Overwrite",
    "PredictedColumn",
    "Quiet",
    "ScoresAre",
    "Seed",
    "Workers",
    "print_json",
    "shown",
]

RESULTS = Path("benchmarks/results")  # of the bench, where it was cloned

BadImages = Annotated[
    str, typer.Option(help="fail, or skip: leave out and list pictures that cannot be read.")
]
ClassNames = Annotated[
    Path | None,
    typer.Option(help="Class names in class order: .txt, one a line, or .json (id2label too)."),
]
Confidence = Annotated[float, typer.Option(help="Of intervals and tests, such as 0.95.")]
Counts = Annotated[
    Path | None,
    typer.Option(help="Training images per class: .csv with class,count, .json or .npz."),
]
Data = Annotated[
    str,
    typer.Option(
        help="cifar100-lt, cifar10-lt, digits-lt, imagenet-lt, places-lt, inat2018; or pictures "
        "in files: list:, table:, folder:, hf:, shards:; such as list:train.txt,test=test.txt."
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(help="Folder to look for the data in, before EVERYCLASS_DATA and the cache."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps, …")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
LabelsColumn = Annotated[str, typer.Option(help="Column of the true classes.")]
LabelsFile = Annotated[
    Path | None, typer.Option(help="An .npy of the true classes, for a file without any.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace earlier results in --out.")]
PredictedColumn = Annotated[str, typer.Option(help="Column of the predicted classes.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
ScoresAre = Annotated[
    str | None,
    typer.Option(
        "--scores", help="What an .npy, or columns named as classes, hold: logits or probs."
    ),
]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of everything random.")]
Workers = Annotated[
    int | None,
    typer.Option(min=0, help="Processes that decode pictures. [default: one per core]"),
]


def shown(quiet: bool) -> Any:
    """The progress to hand to a function: on stderr, or none."""
    from everyclass.progress import progress, silent

    return silent if quiet else progress


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout; NaN becomes null."""
    from everyclass.artifacts import plain_json

    typer.echo(json.dumps(plain_json(value), indent=2, ensure_ascii=False, allow_nan=False))
