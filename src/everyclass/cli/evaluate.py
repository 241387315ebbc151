"""`everyclass evaluate`: judge predictions that anybody made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from everyclass.cli.labels_beside import labels_for
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
)
from everyclass.cli.printing import print_json, say, shown
from everyclass.cli.spared_files import baselines, check_spared, holds_json

if TYPE_CHECKING:
    from everyclass.metrics import GateResult
    from everyclass.metrics.gate_language import Gate

__all__ = ["evaluate"]


def evaluate(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Predictions: .npz, .npy, .safetensors, .csv, .parquet, or a saved --state; "
            "several are parts of one set.",
        ),
    ],
    counts: Counts = None,
    class_names: ClassNames = None,
    scores: ScoresAre = None,
    labels: LabelsFile = None,
    labels_column: LabelsColumn = "labels",
    predicted_column: PredictedColumn = "predicted",
    zero_floor: Annotated[
        float, typer.Option(help="What no recall counts less than in the means.")
    ] = 1e-3,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GATE",
            help='End with exit code 1 if this is true, e.g. "lowest_recall < 0.05", '
            '"recall[\'lynx\'] < 90%", "drop(baseline.npz) > 0.02" (largest loss of recall of '
            'any class), "lower(harmonic_mean) < 0.5" (end of its interval). May be repeated.',
        ),
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the gates as JUnit XML.")] = None,
    github: Annotated[
        bool, typer.Option("--github", help="Print the gates as GitHub annotations.")
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(help="Write counts and sums (.npz), to be judged with other parts later."),
    ] = None,
    confidence: Confidence = 0.95,
    out: Annotated[
        Path | None,
        typer.Option(help="A .json file for all numbers; everyclass report reads it."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="List every class.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge a classifier class by class, the worst first; files may be larger than memory.

    Example: everyclass evaluate predictions.parquet --fail-if "lowest_recall < 0.05"
    """
    from everyclass import metrics
    from everyclass.artifacts import check_own, load_class_names
    from everyclass.errors import InputError
    from everyclass.reporting import holds_junit

    if state is not None:
        metrics.check_replaceable(state)
    # A refusal is written too, so what is read is spared before a gate can be refused.
    named = baselines(_readable(fail_if or []))
    check_spared(*files, counts, class_names, labels, *named, files=[junit, state, out])
    if out is not None and out.suffix.lower() != ".json":
        raise InputError(f"--out {out} has to end in .json, which is what is written.")
    check_own(out, "evaluation", lambda file: holds_json(file, "per_class_recall"))
    check_own(junit, "JUnit report", holds_junit)
    if (junit or github) and not fail_if:
        raise InputError("--junit and --github report gates; give at least one --fail-if.")
    with _refusals_reported(junit, github, json):
        gates = metrics.read_gates(fail_if or [])
        options: dict[str, Any] = {
            "scores": scores,
            "labels_column": labels_column,
            "predicted_column": predicted_column,
            "class_names": None if class_names is None else load_class_names(class_names),
            "show": shown(quiet),
        }
        of = labels_for([*files, *map(Path, baselines(gates))], labels)
        own = of.get(files[0]) if len(files) == 1 else labels
        judged = metrics.state_of_files(*files, labels=own, class_counts=counts, **options)
        evaluation = judged.evaluation(zero_floor=zero_floor, confidence=confidence)
        results = metrics.judge_gates(
            evaluation,
            gates,
            lambda path: metrics.evaluation_of_file(
                path, zero_floor=zero_floor, labels=of.get(Path(path)), **options
            ),
        )
    if state is not None:
        judged.save(state)
    if out is not None:
        evaluation.save(out)
    if json:
        said = evaluation.to_dict()
        print_json({**said, "gates": [r.to_dict() for r in results]} if gates else said)
    else:
        say(evaluation.table(most=None if every else 20))
    _report(results, junit, github, json)
    metrics.check_results(results)


def _readable(fail_if: list[str]) -> list[Gate]:
    """Those gates that are not refused."""
    from everyclass import metrics
    from everyclass.errors import EveryclassError

    gates: list[Gate] = []
    for text in fail_if:
        with suppress(EveryclassError):
            gates += metrics.read_gates([text])
    return gates


@contextmanager
def _refusals_reported(junit: Path | None, github: bool, json: bool) -> Iterator[None]:
    """Where predictions cannot be judged, say so in what other programs read too."""
    from everyclass import reporting
    from everyclass.artifacts import atomic_write
    from everyclass.errors import EveryclassError

    try:
        yield
    except EveryclassError as error:
        if github:
            say(reporting.refusal_as_github(str(error)), err=json)
        if junit is not None:
            with atomic_write(junit) as stream:
                stream.write(reporting.refusal_as_junit(str(error)))
        raise


def _report(results: tuple[GateResult, ...], junit: Path | None, github: bool, json: bool) -> None:
    from everyclass import reporting
    from everyclass.artifacts import atomic_write

    if results and not json:
        say("\n" + reporting.gate_table(results))
    if github:
        # GitHub reads both streams; JSON on stdout stays JSON.
        say(reporting.github_annotations(results), err=json)
    if junit is not None:
        with atomic_write(junit) as stream:
            stream.write(reporting.junit_xml(results))
