"""`everyclass adjust`: post-hoc rescue from predictions alone."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from everyclass.cli.labels_beside import without_labels
from everyclass.cli.named_weights import named_weights
from everyclass.cli.options import (
    ClassNames,
    Counts,
    Json,
    LabelsColumn,
    PredictedColumn,
    Quiet,
    ScoresAre,
    Seed,
)
from everyclass.cli.printing import print_json, say, shown
from everyclass.cli.spared_files import check_spared

__all__ = ["adjust"]

_PRIORS = ("uniform", "estimated")  # words of --prior, which stand for no file


def adjust(
    validation: Annotated[
        Path, typer.Argument(help="Labelled predictions with logits, of images that did not train.")
    ],
    predictions: Annotated[Path, typer.Argument(help="The predictions to adjust, with logits.")],
    out: Annotated[Path, typer.Option(help="The .npz file for the adjusted predictions.")],
    adjustment: Annotated[
        Path | None,
        typer.Option(
            help="The .json or .npz file for the adjustment.",
            show_default="beside OUT, NAME.adjustment.json",
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="auto, additive, multiplicative, tau_norm, bias, drops, linear_ascent; or prior: "
            "calibrated probabilities."
        ),
    ] = "auto",
    objective: Annotated[
        str | None,
        typer.Option(
            help="harmonic_mean, geometric_mean, lowest_recall, worst_mean, weighted_mean.",
            show_default="harmonic_mean",
        ),
    ] = None,
    worst_percent: Annotated[float, typer.Option(help="Of worst_mean, and linear_ascent.")] = 10.0,
    weight: Annotated[
        list[str] | None,
        typer.Option(help="NAME=WEIGHT: what recall of a class is worth; others 1. Repeatable."),
    ] = None,
    counts: Counts = None,
    class_names: ClassNames = None,
    scores: ScoresAre = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            help="An .npy of the true classes, for a file without any; twice where neither has any."
        ),
    ] = None,
    labels_column: LabelsColumn = "labels",
    predicted_column: PredictedColumn = "predicted",
    head: Annotated[
        Path | None, typer.Option(help="The last layer that made the logits, for tau_norm.")
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(
            help="With --method prior: uniform, estimated, or a CSV with class,count of where it "
            "is used.",
            show_default="uniform",
        ),
    ] = None,
    min_samples: Annotated[
        int, typer.Option(help="Classes with fewer validation images are left alone.")
    ] = 3,
    folds: Annotated[int, typer.Option(help="Of the cross-validation.")] = 5,
    seed: Seed = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier files.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Give every class a bias that lifts the worst ones, chosen on validation predictions.

    Example: everyclass adjust val.npz test.npz --counts counts.csv --out adjusted.npz
    """
    from everyclass import adjustment as room
    from everyclass.artifacts import (
        ClassCounts,
        Head,
        Predictions,
        load_class_names,
        prepare_folder,
    )
    from everyclass.errors import InputError

    if out.suffix.lower() != ".npz":
        raise InputError(f"--out {out} has to end in .npz, which is what is written.")
    place = adjustment or out.with_name(f"{out.stem}.adjustment.json")
    given = None if prior in _PRIORS else prior
    read = [validation, predictions, counts, class_names, head, given, *(labels or [])]
    check_spared(*read, files=[out, place], overwrite=overwrite)
    options: dict[str, Any] = {
        "scores": scores,
        "labels_column": labels_column,
        "predicted_column": predicted_column,
        "class_names": None if class_names is None else load_class_names(class_names),
    }
    with_labels = _with_labels([validation, predictions], labels or [])
    known = Predictions.load(validation, labels=with_labels.get(validation), **options)
    said = Predictions.load(predictions, labels=with_labels.get(predictions), **options)
    names = known.class_names or said.class_names
    shares = None if given is None else ClassCounts.load(given, names=names)
    for file in (out, place):  # both or none are written
        if file.is_dir():
            raise InputError(f"{file} is a folder; name a file.")
        prepare_folder(file.parent, overwrite=True)
    found = room.adjust(
        known,
        class_counts=None if counts is None else ClassCounts.load(counts, names=names),
        head=None if head is None else Head.load(head),
        method=method,
        objective=objective,  # type: ignore[arg-type]
        worst_percent=worst_percent,
        class_weights=named_weights(weight, names, known.num_classes) if weight else None,
        prior="estimated" if prior == "estimated" else shares,
        unlabelled=said.logits if prior == "estimated" else None,
        min_samples=min_samples,
        folds=folds,
        seed=seed,
        show=shown(quiet),
    )
    found.adjust(said).save(out)
    found.save(place)
    if json:
        print_json({"out": str(out), "adjustment": str(place), **found.notes})
        return
    say(room.describe(found))
    say(f"Adjusted predictions: {out}")
    say(f"Adjustment: {place}")
    say(f"Next: everyclass evaluate {shlex.quote(str(out))}")


def _with_labels(files: list[Path], labels: list[Path]) -> dict[Path, Path]:
    """Which of the two files each file of true classes goes with."""
    from everyclass.errors import InputError

    if not labels:
        return {}
    bare = without_labels(files)
    if not bare:  # who reads them says why labels must not be given
        return dict.fromkeys(files, labels[0])
    if len(labels) != len(bare):
        raise InputError(
            "--labels must be given once for each file without true classes, in their order: "
            f"{', '.join(map(str, bare))}; got {len(labels)}."
        )
    return dict(zip(bare, labels, strict=True))
