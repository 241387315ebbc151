"""`everyclass methods`: what can be trained."""

from __future__ import annotations

import typer

__all__ = ["app"]

app = typer.Typer(help="The methods that can be trained.", no_args_is_help=True)


@app.command("list")
def list_methods() -> None:
    """List every method with its source."""
    from everyclass.methods import get_method, method_names

    for name in method_names():
        recipe = get_method(name)
        typer.echo(f"{name:<12} {recipe.summary} ({recipe.source})")
