"""`everyclass zoo`: trained networks, small and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from everyclass.cli.options import DataRoot, Json
from everyclass.cli.printing import print_json, say
from everyclass.cli.spared_files import check_spared

__all__ = ["app"]

app = typer.Typer(help="Trained networks, small and checked.", no_args_is_help=True)

Folder = Annotated[
    Path | None,
    typer.Option(
        help="Where the networks are.",
        show_default="EVERYCLASS_ZOO, else zoo, else that of the clone",
    ),
]
OwnFolder = Annotated[
    Path | None,
    typer.Option(help="Where to keep it.", show_default="EVERYCLASS_ZOO, else zoo"),
]


@app.command("list")
def list_networks(folder: Folder = None, json: Json = False) -> None:
    """List the networks with their accuracy, harmonic mean and lowest recall.

    All are listed before a damaged one ends the command with exit code 1.
    """
    from everyclass import zoo
    from everyclass.errors import FileFormatError

    tests, failed = {}, []
    names = zoo.known_names(folder)
    for name in names:
        try:
            tests[name] = zoo.load(name, folder).facts["test"]
        except FileFormatError as error:
            if len(names) == 1:
                raise
            say(str(error), err=True)
            failed.append(name)
    if json:
        print_json({"networks": [{"name": name, **test} for name, test in tests.items()]})
    else:
        for name, test in tests.items():
            say(
                f"{name:<32} {test['accuracy']:.2%} accuracy, {test['harmonic_mean']:.2%} harmonic "
                f"mean, {test['lowest_recall']:.2%} lowest recall"
            )
    _fail(failed, names)


@app.command("add")
def add(
    run: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    folder: OwnFolder = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a network of the same name.")
    ] = False,
    data_root: DataRoot = None,
) -> None:
    """Keep a finished run's network, in half the bytes of its weights.

    Example: everyclass zoo add runs/cifar100-lt-ir100-paco-s0
    """
    from everyclass import zoo
    from everyclass.artifacts import Run

    folder = zoo.own_folder() if folder is None else folder
    check_spared(run, folder=folder)
    added = zoo.add(Run.open(run), folder=folder, overwrite=overwrite, data_root=data_root)
    say(f"Added {added.name}: {added.facts['test']['accuracy']:.2%} accuracy.")


@app.command("check")
def check(
    name: Annotated[str | None, typer.Argument(help="Such as cifar100-lt/paco; all.")] = None,
    folder: Folder = None,
    data_root: DataRoot = None,
) -> None:
    """Evaluate networks anew and compare with the recalls stored beside them.

    All are looked at before a bad one ends the command with exit code 1.
    """
    from everyclass import zoo
    from everyclass.errors import FileFormatError, RunFailedError

    failed = []
    names = [name] if name else zoo.known_names(folder)
    for each in names:
        try:
            evaluation = zoo.check(each, folder=folder, data_root=data_root)
        except (FileFormatError, RunFailedError) as error:
            if len(names) == 1:
                raise
            say(str(error), err=True)
            failed.append(each)
        else:
            say(f"{each}: {evaluation.accuracy:.2%} accuracy; every recall as stored.")
    _fail(failed, names)


def _fail(failed: list[str], names: list[str]) -> None:
    from everyclass.errors import RunFailedError

    if failed:
        raise RunFailedError(f"{len(failed)} of {len(names)} networks failed: {', '.join(failed)}.")
