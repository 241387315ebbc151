"""`everyclass zoo`: trained networks, small and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from everyclass.cli.options import DataRoot, check_spared, say

__all__ = ["app"]

app = typer.Typer(help="Trained networks, small and checked.", no_args_is_help=True)

Folder = Annotated[Path, typer.Option(help="Where the networks are.")]


@app.command("list")
def list_networks(folder: Folder = Path("zoo")) -> None:
    """List the networks with their accuracy, harmonic mean and lowest recall."""
    from everyclass import zoo

    for name in zoo.names(folder):
        test = zoo.load(name, folder).facts["test"]
        say(
            f"{name:<32} {test['accuracy']:.2%} accuracy, {test['harmonic_mean']:.2%} harmonic "
            f"mean, {test['lowest_recall']:.2%} lowest recall"
        )


@app.command("add")
def add(
    run: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    folder: Folder = Path("zoo"),
    data_root: DataRoot = None,
) -> None:
    """Keep a finished run's network, in about a megabyte.

    Example: everyclass zoo add runs/cifar100-lt-ir100-paco-s0
    """
    from everyclass import zoo
    from everyclass.artifacts import Run

    check_spared(run, folder=folder)
    added = zoo.add(Run.open(run), folder=folder, data_root=data_root)
    say(f"Added {added.name}: {added.facts['test']['accuracy']:.2%} accuracy.")


@app.command("check")
def check(
    name: Annotated[str | None, typer.Argument(help="Such as cifar100-lt/paco; all.")] = None,
    folder: Folder = Path("zoo"),
    data_root: DataRoot = None,
) -> None:
    """Evaluate networks anew and compare with the recalls stored beside them."""
    from everyclass import zoo

    for each in [name] if name else zoo.names(folder):
        evaluation = zoo.check(each, folder=folder, data_root=data_root)
        say(f"{each}: {evaluation.accuracy:.2%} accuracy; every recall as stored.")
