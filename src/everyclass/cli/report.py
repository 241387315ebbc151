"""`everyclass report`: one page, or a short comment, about any classifiers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from everyclass.cli.labels_beside import labels_for
from everyclass.cli.options import (
    ClassNames,
    Counts,
    LabelsColumn,
    LabelsFile,
    PredictedColumn,
    ScoresAre,
)
from everyclass.cli.printing import say
from everyclass.cli.spared_files import baselines, check_spared

__all__ = ["report"]

_ENDINGS = {".html": "html", ".htm": "html", ".md": "md"}


def report(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Predictions of one classifier, or of several on the same images; also a saved "
            "--state, or the .json of an evaluation, which say nothing of single images.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file to write; .md makes a comment.",
            show_default="report.html, or report.md with --format md",
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(help="html, or md: a short comment.", show_default="by the ending of --out"),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(help='What the classifiers are called: "old,new".', show_default="the files"),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="The file, or name, the others are compared with; default the first."),
    ] = None,
    show: Annotated[
        str | None,
        typer.Option(
            help="The file, or name, set against it; default the one with the highest harmonic "
            "mean of recall."
        ),
    ] = None,
    title: Annotated[str | None, typer.Option(help="The heading.")] = None,
    counts: Counts = None,
    class_names: ClassNames = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Folder in which the predictions' ids are file names; shows errors."),
    ] = None,
    scores: ScoresAre = None,
    labels: LabelsFile = None,
    labels_column: LabelsColumn = "labels",
    predicted_column: PredictedColumn = "predicted",
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GATE",
            help="As in evaluate, on the classifier that is shown; a comment lists the gates.",
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Do not say where the report is.")
    ] = False,
) -> None:
    """Write one page that says whether the worst classes are better, and who pays for it.

    Example: everyclass report old.npz new.npz --out report.html
    """
    from everyclass import metrics, reporting
    from everyclass.artifacts import check_own, load_class_names
    from everyclass.errors import InputError

    if format not in (None, "html", "md"):
        raise InputError(f"--format must be html or md; got {format!r}.")
    out = out or Path("report.md" if format == "md" else "report.html")
    made_by = _ENDINGS.get(out.suffix.lower())
    gates = metrics.read_gates(fail_if or [])
    # A page may lie among the pictures; no picture may become one.
    pictures = None if made_by else images
    check_spared(*files, counts, class_names, labels, pictures, *baselines(gates), files=[out])
    if made_by is None and format is None:
        raise InputError(f"--out {out} ends in neither .html nor .md; say --format html or md.")
    if made_by is not None and format not in (None, made_by):
        raise InputError(
            f"--out {out} ends as a file of --format {made_by}, and --format is {format}; give one "
            "of them only."
        )
    check_own(out, "report", reporting.holds_report)
    options: dict[str, Any] = {
        "scores": scores,
        "labels_column": labels_column,
        "predicted_column": predicted_column,
        "class_names": None if class_names is None else load_class_names(class_names),
    }
    of = labels_for([*files, *map(Path, baselines(gates))], labels)
    made = reporting.report_of_files(
        reporting.named_files(files, names),
        baseline=baseline,
        show=show,
        title=title,
        class_counts=counts,
        images=images,
        labels=of,
        **options,
    )
    results = metrics.judge_gates(
        made.evaluations[made.judged or ""],
        gates,
        lambda path: metrics.evaluation_of_file(path, labels=of.get(Path(path)), **options),
    )
    reporting.write_as(out, made, format, results)  # type: ignore[arg-type]
    if not quiet:
        say(f"Report: {out}")
    if results:
        say(reporting.gate_table(results))
    metrics.check_results(results)
