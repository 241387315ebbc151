"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    typer.Option(min=0, help="Processes that decode pictures.", show_default="one per core"),
]
