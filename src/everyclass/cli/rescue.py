"""`everyclass rescue`: stages 2 and 3."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from everyclass.cli.options import (
    ClassNames,
    DataRoot,
    Device,
    Json,
    Overwrite,
    Quiet,
    Seed,
    Workers,
)
from everyclass.cli.printing import print_json, say, shown
from everyclass.cli.spared_files import check_spared

if TYPE_CHECKING:
    from rich.table import Table

    from everyclass.artifacts import Features
    from everyclass.stages import RescueResult

__all__ = ["print_rescue", "rescue"]

_WORDS = ("rest", "none")  # of --val, for a run


def rescue(
    source: Annotated[
        Path,
        typer.Argument(help="Features, a file (train.npz) or a folder of chunks; or a run."),
    ],
    head: Annotated[
        Path | None, typer.Option(help="The old last layer: weight (C × d) and bias (C).")
    ] = None,
    class_names: ClassNames = None,
    test: Annotated[
        Path | None, typer.Option(help="Features of test images; judged, never used.")
    ] = None,
    val: Annotated[
        str | None,
        typer.Option(help="Features of held-out images; for a run: rest or none."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the results.", show_default="for a run, RUN/rescue"),
    ] = None,
    strategy: Annotated[
        str,
        typer.Option(
            help="gml; auto: the best of doing nothing, offsets, class weights, balanced softmax, "
            "GML and the ensemble; offsets; or one of these by name."
        ),
    ] = "gml",
    objective: Annotated[
        str | None,
        typer.Option(
            help="gml, balanced_softmax, class_weighted, cross_entropy, smoothing, "
            "gml_and_smoothing.",
            show_default="gml; of a run of mislas, gml_and_smoothing",
        ),
    ] = None,
    gml_weight: Annotated[
        float | None, typer.Option(help="Of GML in gml_and_smoothing.", show_default="10")
    ] = None,
    reweight: Annotated[
        bool, typer.Option(help="Re-weight by class counts (eq. 3); gml only.")
    ] = True,
    resample: Annotated[
        bool, typer.Option("--resample", help="Draw classes alike; mini-batches only.")
    ] = False,
    solver: Annotated[
        str, typer.Option(help="exact, minibatch, or running (tracked class means).")
    ] = "exact",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Of minibatch and running.", show_default="20")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Of minibatch and running.", show_default="512")
    ] = None,
    head_precision: Annotated[
        str, typer.Option(help="fp32 or bf16: products of minibatch and running.")
    ] = "fp32",
    penalty: Annotated[
        float | None, typer.Option(help="On the new head.", show_default="chosen")
    ] = None,
    views: Annotated[
        int | None, typer.Option(min=1, help="Views of each image of a run.", show_default="10")
    ] = None,
    missing_classes: Annotated[
        str, typer.Option(help="error, or keep-old: keep the old rows of classes without images.")
    ] = "error",
    seed: Seed = 0,
    device: Device = "auto",
    data_root: DataRoot = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Retrain the last layer so that every class counts, and say whether to use it.

    Example: everyclass rescue train.npz --head head.npz --test test.npz --out rescued/

    Features in a folder of chunks may be larger than memory, and several processes can share the
    work: torchrun --nproc-per-node 4 -m everyclass rescue …
    """
    from everyclass.artifacts import Features, Run, is_feature_folder
    from everyclass.errors import InputError, MissingFileError

    # What is plainly wrong is said before torch is imported, which takes seconds.
    wanted: dict[str, Path | str | None] = {"features file or run": source, "head file": head}
    wanted |= {"file of validation features": val, "file of test features": test}
    wanted |= {"file of class names": class_names}
    for what, path in wanted.items():
        if path is not None and str(path) not in _WORDS and not Path(path).exists():
            raise MissingFileError(f"There is no {what} at {path}.")
    of_run = source.is_dir() and not is_feature_folder(source)
    if not of_run and out is None:
        raise InputError("Name the folder for the results with --out.")
    folder = out or source / "rescue"
    check_spared(source, head, class_names, test, None if of_run else val, folder=folder)

    from everyclass import processes, stages

    of_sgd = _given(epochs=epochs, batch_size=batch_size)
    if of_sgd and solver == "exact":
        raise InputError(
            f"{_flags(of_sgd)} goes with --solver minibatch or running; the exact solver has no "
            "batches."
        )
    _check_retrains(
        strategy,
        **_given(penalty=penalty, gml_weight=gml_weight, **of_sgd),
        no_reweight=not reweight,
        resample=resample,
        solver=solver != "exact",
    )
    settings: dict[str, Any] = {
        "reweight": reweight,
        "resample": resample,
        "solver": solver,
        "penalty": penalty,
        "minibatch": stages.MinibatchSettings(**of_sgd, precision=head_precision),  # type: ignore[arg-type]
        **_given(objective=objective, gml_weight=gml_weight),
    }
    with processes.joined("cpu"):
        if of_run:
            of_features = {"--head": head, "--test": test, "--class-names": class_names}
            _check_for_run(source, of_features, processes.world_size())
            if not (source / "config.json").is_file():
                raise MissingFileError(
                    f"{source} is not a run, as it has no config.json, and no features in chunks, "
                    "as it has no features.json; name a file of features, such as train.npz, or "
                    "one of these folders."
                )
        else:
            of_pictures = {"--device": device != "auto", "--data-root": data_root, "--views": views}
            of_pictures |= {"--workers": workers is not None, f"--val {val}": val in _WORDS}
            _check_for_features(source, of_pictures)
        run = Run.open(source) if of_run else None
        retraining = (
            stages.Retraining(**settings)
            if run is None
            else stages.retraining_of(run, strategy, **settings)
        )
        if gml_weight is not None and retraining.objective != "gml_and_smoothing":
            raise InputError(
                f"--gml-weight goes with --objective gml_and_smoothing, not {retraining.objective}."
            )
        if run is not None:
            result = stages.rescue_run(
                run,
                out=folder,
                **_given(num_views=views),
                val=val,
                strategy=strategy,
                retraining=retraining,
                missing_classes=missing_classes,  # type: ignore[arg-type]
                overwrite=overwrite,
                device=device,
                data_root=data_root,
                workers=workers,
                seed=seed,
                show=shown(quiet),
            )
        else:
            train = _train_features(source, head, class_names)
            held_out = None if val is None else Features.load(val).checked_against(train, val)
            judged = None if test is None else Features.load(test).checked_against(train, str(test))
            result = stages.rescue_features(
                train,
                folder,
                val=held_out,
                test=judged,
                strategy=strategy,
                retraining=retraining,
                missing_classes=missing_classes,  # type: ignore[arg-type]
                overwrite=overwrite,
                seed=seed,
                show=shown(quiet),
            )
        if not processes.is_first():
            return
    if json:
        print_json(result.to_dict())
    else:
        print_rescue(result, folder)
        if result.evaluations and result.verdict.use != "old":
            files = [str(folder / f"{name}.npz") for name in ("old", result.verdict.use)]
            say(f"Class by class: everyclass compare {shlex.join(files)}")


def _given(**options: Any) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _flags(options: dict[str, Any]) -> str:
    return " and ".join(f"--{name.replace('_', '-')}" for name in options)


def _check_retrains(strategy: str, **settings: Any) -> None:
    """Refuse settings of retraining, those that are not False, with a strategy of offsets."""
    from everyclass import stages
    from everyclass.errors import InputError

    given = {name: value for name, value in settings.items() if value is not False}
    if given and strategy in stages.STRATEGIES and not stages.retrains(strategy):
        goes = "goes" if len(given) == 1 else "go"
        raise InputError(
            f"{_flags(given)} {goes} with retraining, and the strategy {strategy} retrains "
            "nothing: it moves the old head's logits; leave one of the two out."
        )


def _compared(result: RescueResult) -> Table:
    """The candidates on the images that decided."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"on {result.verdict.decided_on}", overflow="fold")
    numbers = ("harmonic_mean", "lowest_recall", "balanced_accuracy", "accuracy")
    for name in numbers:
        table.add_column(name.replace("_", " "), justify="right")
    for each in result.candidates:
        mark = " ←" if each["name"] == result.chosen else ""
        table.add_row(f"{each['name']}{mark}", *[f"{each[name]:.1%}" for name in numbers])
    return table


def _ahead(result: RescueResult) -> str:
    """Which candidate has more harmonic mean than the best of GML, and how much; "" for none."""
    means = {each["name"]: each["harmonic_mean"] for each in result.candidates}
    first = max(means, key=lambda name: means[name])
    lead = 100 * (means[first] - means[result.best])
    if lead < 0.05 or first == "none":
        return ""
    return f"{first} is {lead:.1f} points of harmonic mean ahead of {result.best}"


def _check_for_features(source: Path, options: dict[str, Any]) -> None:
    """Refuse options that go with a run."""
    from everyclass.errors import InputError

    for name, given in options.items():
        if given:
            raise InputError(f"{name} goes with a run; {source} holds features.")


def _check_for_run(source: Path, options: dict[str, Any], processes: int) -> None:
    """Refuse options that go with features, and several processes."""
    from everyclass.errors import InputError

    if any(given is not None for given in options.values()):
        raise InputError(
            f"{source} is a run, which has its own head, classes and test set; "
            f"{', '.join(options)} go with a features file."
        )
    if processes > 1:
        raise InputError(
            f"{source} is a run, which is rescued by one process; several go with features."
        )


def _train_features(source: Path, head: Path | None, class_names: Path | None) -> Features:
    """Features with head and class names of files in place of their own, where they are named."""
    from everyclass.artifacts import Features, Head, load_class_names
    from everyclass.errors import InputError

    train = Features.load(source)
    try:
        train = train.with_head(train.head if head is None else Head.load(head))
    except InputError as error:
        raise InputError(f"{head or source} does not fit {source}: {error}") from error
    if class_names is None:
        return train
    try:
        return train.with_classes(train.labels, train.head, load_class_names(class_names))
    except InputError as error:
        raise InputError(f"{class_names} does not fit {source}: {error}") from error


def print_rescue(result: RescueResult, folder: Path) -> None:
    """Print verdict and before/after table of a rescue, and where its files are."""
    from rich.console import Console
    from rich.table import Table

    from everyclass.artifacts import some

    say(str(result.verdict))
    Console().print(_compared(result))
    if result.strategy == "gml" and result.verdict.decided_on == "validation data":
        if ahead := _ahead(result):
            say(f"{ahead} there, perhaps by luck; --strategy auto compares all and tests the best.")
        elif result.verdict.use == "old":
            say("More ways can be compared on the same validation data: --strategy auto.")
    if result.cost is not None:
        say(f"Of {result.title}: {result.cost.sentence(result.class_counts)}.")
    if result.evaluations:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("test set")
        for name in result.evaluations:
            table.add_column(name, justify="right")
        keys = next(iter(result.evaluations.values())).summary()
        for key in reversed(keys):
            cells = [f"{e.summary()[key]:.1%}" for e in result.evaluations.values()]
            table.add_row(key.replace("_", " "), *cells)
        never = [str(len(e.never_predicted)) for e in result.evaluations.values()]
        table.add_row("classes never predicted", *never)
        Console().print(table)
        old = result.evaluations["old"]
        if old.never_predicted:
            named = some([old.class_label(c) for c in old.never_predicted])
            say(f"Never predicted by the old classifier: {named}.")
    else:
        say("No test set was given; name one with --test to see before and after.")
    say(f"Report: {folder / 'report.html'}")
