"""`everyclass methods`: what can be trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="The methods that can be trained.", no_args_is_help=True)

Method = Annotated[str, typer.Argument(help="Such as ce; see everyclass methods list.")]


@app.command("list")
def list_methods() -> None:
    """List every method with its source. Each has a sister of strong augmentation, NAME-modern."""
    from everyclass.methods import get_method, method_names

    for name in method_names():
        recipe = get_method(name)
        typer.echo(f"{name:<17} {recipe.summary} ({recipe.source})")


@app.command("show")
def show(
    method: Method,
    data: Annotated[
        str | None, typer.Option(help="A named data set that the method may have a recipe for.")
    ] = None,
) -> None:
    """Show a method's notes and constants.

    Example: everyclass methods show ldam-drw
    """
    from everyclass.methods import get_method, method_notes

    typer.echo(method_notes(method))
    typer.echo(json.dumps(get_method(method, data).to_dict(), indent=2, ensure_ascii=False))


@app.command("copy")
def copy(
    method: Method,
    out: Annotated[Path, typer.Argument(help="The file to write, such as mine.py.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Copy a method's recipe to a file of your own, which `everyclass pretrain FILE` runs.

    Example: everyclass methods copy ce mine.py
    """
    from everyclass.methods import copy_method

    copy_method(method, out, overwrite=overwrite)
    typer.echo(f"Change what you like, then: everyclass pretrain {out} --data cifar100-lt")
