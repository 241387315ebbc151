"""`everyclass data`: getting data sets."""

from __future__ import annotations

from typing import Annotated

import typer

from everyclass.cli.options import DataRoot, Quiet, shown

__all__ = ["app"]

app = typer.Typer(help="Data sets: get them.", no_args_is_help=True)


@app.command("get")
def get(
    name: Annotated[str, typer.Argument(help="cifar10 or cifar100.")],
    data_root: DataRoot = None,
    url: Annotated[
        str | None, typer.Option(help="Another address of the same archive, such as a mirror.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Download a data set, check it and unpack it; the same command again goes on.

    Example: everyclass data get cifar100
    """
    from everyclass.data import get_dataset

    folder = get_dataset(name, root=data_root, url=url, show=shown(quiet))
    typer.echo(f"{name} is in {folder}")
