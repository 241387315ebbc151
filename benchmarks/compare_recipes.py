"""Constants of recipes that no paper gives, compared in short trainings on held-out images.

    EVERYCLASS_DATA=… python benchmarks/compare_recipes.py weight-decay --epochs 50 [--docs PAGE]
    EVERYCLASS_DATA=… python benchmarks/compare_recipes.py gml-from-scratch --epochs 40
    EVERYCLASS_DATA=… python benchmarks/compare_recipes.py distilled --epochs 20
    EVERYCLASS_DATA=… python benchmarks/compare_recipes.py distilled-again --epochs 12

Trains each candidate on CIFAR100-LT on its schedule cut to so many epochs, and judges the network
as it is trained and with a head retrained by GML on the held-out images (`--val rest`); the test
set chooses nothing. Stopped at any point it goes on. Everything is printed from
benchmarks/results/recipes.json; `--epochs 0` only prints.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from compare_retraining import judged
from everyclass.artifacts import read_json, write_json
from everyclass.data import (
    ClassAware,
    ClassBalanced,
    CutMix,
    DataConfig,
    InstanceBalanced,
    Mixup,
    SquareRoot,
)
from everyclass.losses import GMLLoss
from everyclass.methods import get_method
from everyclass.progress import progress
from everyclass.stages import extract_run, pretrain, rescue
from everyclass.training import Recipe
from pages import into_page

VIEWS = 2  # within a point of ten: compare_views.py
NUMBERS = ("balanced_accuracy", "geometric_mean", "harmonic_mean", "lowest_recall")
RESULTS = Path(__file__).parent / "results" / "recipes.json"


def weight_decay() -> dict[str, Recipe]:
    """Of the modern family, on cross entropy."""
    return {
        f"{decay:g}": replace(_recipe("ce-modern"), weight_decay=decay)
        for decay in (2e-4, 5e-4, 1e-3, 2e-3)
    }


def gml_from_scratch() -> dict[str, Recipe]:
    """How batches are drawn; where classes come alike, eq. 3 has nothing to re-weight."""
    recipe = _recipe("gml")
    alike = replace(recipe, loss=partial(GMLLoss, reweight=False))
    return {
        "image-by-image": recipe,
        "batches-of-512": replace(recipe, batch_size=512),
        "class-balanced": replace(alike, sampler=ClassBalanced),
        "four-of-a-class": replace(alike, sampler=ClassAware),
    }


def distilled() -> dict[str, Recipe]:
    """Where a student of many begins, what it sees, and how it listens; one of them changes."""
    recipe = _recipe("distilled")
    as_they_come = replace(recipe, sampler=InstanceBalanced)
    usual = replace(recipe.schedule, learning_rate=0.1)
    return {
        "from-scratch": replace(as_they_come, start=None, keep_head=False, schedule=usual),
        "from-paco": as_they_come,
        "class-balanced": recipe,
        "square-root": replace(recipe, sampler=SquareRoot),
        "mixup": replace(recipe, mixing=Mixup()),
        "decay-1e-4": replace(recipe, weight_decay=1e-4),
    }


def distilled_again() -> dict[str, Recipe]:
    """What a second generation sees of the images."""
    recipe = _recipe("distilled-again")
    return {
        "cutmix": replace(recipe, mixing=CutMix(alpha=1.0)),
        "cutmix-0.2": replace(recipe, mixing=CutMix(alpha=0.2)),  # two in three: under a tenth
        "unmixed": replace(recipe, mixing=None),
    }


COMPARISONS = {
    "weight-decay": weight_decay,
    "gml-from-scratch": gml_from_scratch,
    "distilled": distilled,
    "distilled-again": distilled_again,
}


def _recipe(name: str) -> Recipe:
    recipe = get_method(name)
    assert isinstance(recipe, Recipe)
    return recipe


def row_of(recipe: Recipe, epochs: int, run_folder: Path) -> dict[str, Any]:
    """Train, retrain, and what both say of the held-out images; teachers are not cut short."""
    data = DataConfig()
    taught = [
        pretrain(
            needed, data, out=Path("runs") / f"{data.folder_name}-{needed.name}-s0", show=progress
        )
        for needed in recipe.rests_on
    ]
    start = [run.folder for run in taught] or None
    run = pretrain(recipe, data, epochs=epochs, start=start, out=run_folder, show=progress)
    train, rest, _ = extract_run(run, num_views=VIEWS, val="rest", show=progress)
    assert rest is not None
    found = rescue(train)
    said: dict[str, Any] = {}
    for name, head in (("as trained", found.old), ("with GML", found.retrained)):
        summary = judged(head, rest).summary()
        said[name] = {number: summary[number] for number in NUMBERS}
    return said


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Mean recall / G / H / lowest in percent, one line per candidate and length."""
    lines = ["| | as trained: mean / G / H / lowest | with GML |", "|---|---|---|"]
    for name, row in rows.items():
        cells = [
            " / ".join(f"{100 * row[which][number]:.1f}" for number in NUMBERS)
            for which in ("as trained", "with GML")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("comparison", choices=COMPARISONS)
    parser.add_argument("--epochs", type=int, required=True, help="0: only print what is stored")
    parser.add_argument("--only", help="names of candidates, with commas")
    parser.add_argument("--docs", type=Path, help="page to write the table into")
    options = parser.parse_args()
    wanted = None if options.only is None else options.only.split(",")
    for name, recipe in COMPARISONS[options.comparison]().items():
        title = f"{name}, {options.epochs} epochs"
        known = title in stored().get(options.comparison, {})
        if options.epochs and not known and (wanted is None or name in wanted):
            place = Path("runs") / f"{options.comparison}-{name}-{options.epochs}-epochs"
            row = row_of(recipe, options.epochs, place)
            rows = stored()  # another process may have written some meanwhile
            rows.setdefault(options.comparison, {})[title] = row
            write_json(RESULTS, rows)
    text = table(stored().get(options.comparison, {}))
    print(text)
    if options.docs is not None:
        into_page(options.docs, f"{Path(__file__).name} {options.comparison}", text)


def stored() -> dict[str, Any]:
    """The rows of each comparison."""
    return read_json(RESULTS) if RESULTS.is_file() else {}


if __name__ == "__main__":
    main()
