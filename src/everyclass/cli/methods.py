"""`everyclass methods`: what can be trained."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everyclass.cli.options import RESULTS, Json
from everyclass.cli.printing import print_json, say

if TYPE_CHECKING:
    from everyclass.training import HeadRecipe, Recipe

__all__ = ["app"]

app = typer.Typer(help="The methods that can be trained.", no_args_is_help=True)

Method = Annotated[str, typer.Argument(help="Such as ce; see everyclass methods list.")]


@app.command("list")
def list_methods(
    results: Annotated[Path, typer.Option(help="Folder with stored results.")] = RESULTS,
    json: Json = False,
) -> None:
    """List every method: what it is, what it costs, and what it gave.

    The cost is that of the recipe for CIFAR: passes over the training images, and the method whose
    network is needed first. What it gave is accuracy and lowest recall on CIFAR100-LT at ratio 100,
    where results are stored. Those without strong augmentation have a sister with it, NAME-modern.
    """
    from everyclass.errors import EveryclassError, InputError
    from everyclass.methods import get_method, method_names

    gave = {}
    if results.is_dir():
        try:
            gave = _gave(results)
        except EveryclassError as error:  # the list is of use without results too
            say(f"Without results: {error}", err=True)
    else:
        nowhere = f"There is no folder {results}; --results names the one with results."
        if results != RESULTS:
            raise InputError(nowhere)
        say(nowhere, err=True)
    recipes = {name: get_method(name) for name in method_names()}
    if json:
        listed = [
            {
                "name": name,
                "summary": recipe.summary,
                "source": recipe.source,
                "cost": _cost(recipe),
                "gave": gave.get(name),
            }
            for name, recipe in recipes.items()
        ]
        print_json({"methods": listed})
        return
    for name, recipe in recipes.items():
        numbers = gave.get(name)
        said = f"{numbers['accuracy']:.1%}, {numbers['lowest_recall']:.0%}" if numbers else "–"
        say(f"{name:<17} {_cost(recipe):<27} {said:<11} {recipe.summary} ({recipe.source})")


def _gave(results: Path) -> dict[str, dict[str, float]]:
    """Accuracy and lowest recall by method."""
    from everyclass.bench import load_table, table_rows

    return {
        row.result: {name: numbers[name] for name in ("accuracy", "lowest_recall")}
        for table in map(load_table, ("table3", "table9", "beyond"))
        for row, numbers in zip(table.rows, table_rows(table, results), strict=True)
        if row.retraining is None and numbers["n"]
    }


def _cost(recipe: Recipe | HeadRecipe) -> str:
    from everyclass.training import HeadRecipe

    networks = _trained_first(recipe)
    named = networks[0] if len(networks) == 1 else f"{len(networks)} networks"
    needs = f"{named} + " if networks else ""
    if isinstance(recipe, HeadRecipe):
        return f"{needs}seconds"
    views = 1 + len(recipe.other_views)
    return f"{needs}{recipe.schedule.epochs} epochs" + (f" × {views} views" if views > 1 else "")


@app.command("show")
def show(
    method: Method,
    data: Annotated[
        str, typer.Option(help="A named data set that the method may have a recipe for.")
    ] = "cifar100-lt",
    imbalance_ratio: Annotated[
        float | None, typer.Option(help="Of a set that is made long-tailed.", show_default="100")
    ] = None,
    json: Json = False,
) -> None:
    """Show a method's notes and constants; its loss where the set's class counts are known.

    Example: everyclass methods show ldam-drw
    """
    from everyclass.data import DataConfig
    from everyclass.methods import get_method, method_notes

    config = DataConfig(data, imbalance_ratio)
    recipe = get_method(method, config.kind, config.imbalance_ratio)
    constants = recipe.to_dict(config.known_counts)
    if json:
        print_json({"name": method, "notes": method_notes(method), "recipe": constants})
        return
    say(method_notes(method))
    print_json(constants)


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
    copied = shlex.quote(str(out))
    say(f"Change what you like, then: everyclass pretrain {copied} --data cifar100-lt")


def _trained_first(recipe: Recipe | HeadRecipe) -> list[str]:
    """The methods whose networks a method needs, each once, without heads that take seconds."""
    from everyclass.training import HeadRecipe

    named: dict[str, None] = {}
    for needed in recipe.rests_on:
        named |= dict.fromkeys(_trained_first(needed))
        if not isinstance(needed, HeadRecipe):
            named[needed.name] = None
    return list(named)
